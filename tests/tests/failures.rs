//! The tables of failures name tests that exist.

use avpu_tests::skip::workspace_root;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all tests of the project.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            tests(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                    let name = name.split('(').next().expect("a name");
                    names.insert(name.to_owned());
                }
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
}

/// What stands between backticks and looks like a test's name, without the file before it.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.map(|name| name.rsplit("::").next().unwrap_or(name));
    names.filter(|name| name.matches('_').count() >= 2)
}

#[test]
fn every_failure_is_tried_by_tests_that_exist() {
    let root = workspace_root();
    let mut existing = BTreeSet::new();
    tests(&root, &mut existing);
    for (table, rows) in [
        ("tests/FAILURES.md", 20),
        ("avpud/model/tests/quirks.rs", 20),
    ] {
        let text = fs::read_to_string(root.join(table)).expect("the table is there");
        let is_row = |line: &&str| line.trim_start_matches("//! ").starts_with("| ");
        let lines: Vec<&str> = text.lines().filter(is_row).collect();
        let missing: Vec<&str> = lines
            .iter()
            .flat_map(|line| named(line))
            .filter(|name| !existing.contains(*name))
            .collect();
        assert_eq!(missing, [""; 0], "{table}");
        assert!(lines.len() > rows, "{table}: {} lines", lines.len());
    }
}
