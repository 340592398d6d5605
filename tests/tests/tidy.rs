//! House rules that a machine can check, so that a review does not have to.

use avpu_tests::skip::workspace_root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines that a source file may have, tests included.
const FILE_LINES_MAX: usize = 700;

/// Files in which `unsafe` may stand: they do nothing else.
const UNSAFE_PLACES: [&str; 7] = [
    "avpud/src/mem/map.rs",
    "avpud/src/device/linux/",
    "avpud/src/sys.rs",
    "avpu-client/src/mem/map.rs",
    "avpu-client/src/sys.rs",
    "tests/rig/",
    "tests/src/alloc.rs",
];

/// Parts that touch nothing outside themselves.
const PURE_PLACES: [&str; 9] = [
    "proto/src/",
    "avpud/src/core/",
    "avpud/src/codec/",
    "avpud/src/hw/",
    "avpud/src/job.rs",
    "avpud/src/picture.rs",
    "avpud/src/picture/",
    "avpud/src/mem/addr.rs",
    "avpud/model/src/avc/",
];

/// What a pure part may not name.
const IMPURE_NAMES: [&str; 10] = [
    "nix::",
    "mio::",
    "libc::",
    "std::fs",
    "std::net",
    "std::os",
    "std::thread",
    "std::sync",
    "std::time",
    "HashMap",
];

/// Layers that a part of the daemon may not import, as `crate::` paths.
const FORBIDDEN_IMPORTS: [(&str, &[&str]); 6] = [
    (
        "avpud/src/core/",
        &["driver", "device", "server", "hw", "config", "demo"],
    ),
    (
        "avpud/src/codec/",
        &["core", "driver", "device", "server", "hw", "config", "demo"],
    ),
    (
        "avpud/src/hw/",
        &[
            "core", "codec", "driver", "device", "server", "config", "demo",
        ],
    ),
    (
        "avpud/src/driver/",
        &["core", "codec", "server", "config", "demo"],
    ),
    (
        "avpud/src/device/",
        &["core", "codec", "driver", "server", "config", "demo"],
    ),
    (
        "avpud/src/mem/",
        &[
            "core", "codec", "driver", "device", "server", "hw", "config", "demo",
        ],
    ),
];

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let long: Vec<String> = sources()
        .iter()
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.name))
        })
        .collect();
    assert!(
        long.is_empty(),
        "expected at most {FILE_LINES_MAX} lines a file, found {long:#?}"
    );
}

#[test]
fn unsafe_stands_only_where_it_is_argued() {
    let mut found = Vec::new();
    for file in sources() {
        if UNSAFE_PLACES
            .iter()
            .any(|place| file.name.starts_with(place))
        {
            continue;
        }
        for (number, line) in code_lines(&file.text) {
            let words = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "allow(unsafe_code",
            ];
            if words.iter().any(|word| line.contains(word)) && file.name != "tests/tests/tidy.rs" {
                found.push(format!("{}:{number}: {line}", file.name));
            }
        }
    }
    assert!(
        found.is_empty(),
        "expected no unsafe outside the mapping and system files, found {found:#?}"
    );
}

#[test]
fn pure_parts_name_nothing_of_the_outside_world() {
    let mut found = Vec::new();
    for file in sources() {
        if !PURE_PLACES.iter().any(|place| file.name.starts_with(place)) {
            continue;
        }
        for (number, line) in code_lines(&file.text) {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            if IMPURE_NAMES.iter().any(|name| line.contains(name)) {
                found.push(format!("{}:{number}: {line}", file.name));
            }
        }
    }
    assert!(found.is_empty(), "expected pure code, found {found:#?}");
}

#[test]
fn imports_point_from_what_touches_the_world_to_what_does_not() {
    let mut found = Vec::new();
    for file in sources() {
        for (place, layers) in FORBIDDEN_IMPORTS {
            if !file.name.starts_with(place) {
                continue;
            }
            for (number, line) in code_lines(&file.text) {
                if layers
                    .iter()
                    .any(|layer| line.contains(&format!("crate::{layer}::")))
                {
                    found.push(format!("{}:{number}: {line}", file.name));
                }
            }
        }
        if file.name.starts_with("avpud/src/driver/") {
            for (number, line) in code_lines(&file.text) {
                if line.contains("avpu_proto") {
                    found.push(format!("{}:{number}: {line}", file.name));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "expected arrows that point down only, found {found:#?}"
    );
}

#[test]
fn nothing_uses_an_atomic_that_the_target_does_not_have() {
    let names = [concat!("Atomic", "U64"), concat!("Atomic", "I64")];
    let found: Vec<String> = sources()
        .iter()
        .filter(|file| names.iter().any(|name| file.text.contains(name)))
        .map(|file| file.name.clone())
        .collect();
    assert!(
        found.is_empty(),
        "expected no 64-bit atomics: 32-bit MIPS has none, found {found:?}"
    );
}

#[test]
fn nothing_of_the_daemon_sleeps_or_asks_for_the_time_of_day() {
    // The one that may: a number for this run, from which nothing is measured. The demo is no daemon.
    let exempt = |name: &str| name == "avpud/src/server/policy.rs" || name.contains("/demo/");
    let names = [
        "sleep(",
        "yield_now",
        "spin_loop",
        "SystemTime",
        "CLOCK_REALTIME",
        "Instant::now",
    ];
    let mut found = Vec::new();
    let daemon = |source: &Source| source.name.starts_with("avpud/src/") && !exempt(&source.name);
    for source in sources().into_iter().filter(daemon) {
        for (number, line) in code_lines(&source.text) {
            let named = names.iter().filter(|name| line.contains(**name));
            found.extend(named.map(|name| format!("{}:{number}: {name}", source.name)));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn nothing_is_left_unfinished() {
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[ign", "ore"),
        concat!("thread::sl", "eep"),
    ];
    let mut found = Vec::new();
    for file in sources() {
        for (number, line) in file.text.lines().enumerate() {
            // Six of them are the template of a temporary name.
            let line = line.replace(concat!("XX", "XX", "XX"), "");
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", file.name, number + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "expected nothing unfinished and no sleeps, found {found:#?}"
    );
}

/// The bench of rate control is no test: CI gives it a budget of time.
#[test]
fn no_test_waits_for_a_program_without_bound() {
    let waits = ["output", "wait_with_output"];
    let ends = [".expect(", ".unwrap("];
    let mut found = Vec::new();
    for file in sources() {
        let is_ours = file.name.starts_with("tests/") && !file.name.starts_with("tests/src/rc/");
        let text: String = file.text.split_whitespace().collect();
        let unbounded = |(wait, end): (&str, &str)| text.contains(&format!(".{wait}(){end}"));
        let mut ways = waits.iter().flat_map(|wait| ends.map(|end| (*wait, end)));
        if is_ours && ways.any(unbounded) {
            found.push(file.name);
        }
    }
    assert!(
        found.is_empty(),
        "expected avpu_tests::process::Finish, found waits without bound in {found:#?}"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = workspace_root();
    let mut found = Vec::new();
    for name in tracked_files(&root, "*.md") {
        let text = fs::read_to_string(root.join(&name)).expect("a tracked document can be read");
        let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
        for target in link_targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !outside && !root.join(folder).join(path).exists() {
                found.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(
        found.is_empty(),
        "expected links to files that exist, found {found:#?}"
    );
}

struct Source {
    name: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = workspace_root();
    tracked_files(&root, "*.rs")
        .into_iter()
        .filter_map(|name| {
            let text = fs::read_to_string(root.join(&name)).ok()?;
            Some(Source { name, text })
        })
        .collect()
}

/// Files of the checkout that match, known to git or new; every file below the root where there is no git.
fn tracked_files(root: &Path, pattern: &str) -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            pattern,
        ])
        .current_dir(root)
        .output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect()
        }
        _ => {
            let mut names = Vec::new();
            walk(root, root, pattern.trim_start_matches('*'), &mut names);
            names
        }
    }
}

fn walk(root: &Path, folder: &Path, ending: &str, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries
        .flatten()
        .map(|entry| entry.path())
        .collect::<Vec<PathBuf>>()
    {
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            walk(root, &path, ending, names);
        } else if name.ends_with(ending) {
            names.push(name);
        }
    }
}

/// Lines that are not comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Targets of `[text](target)` outside code blocks.
fn link_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some(target) = part.split(')').next() {
                targets.push(target.to_owned());
            }
        }
    }
    targets
}
