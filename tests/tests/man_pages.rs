//! The manual pages and `--help` tell the same options, commands, settings, addresses, keys and exit statuses.
//!
//! An entry of a page is a paragraph `.TP` and the line after it. What is missing is printed as text to paste.

use avpu_tests::daemon::program;
use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip, workspace_root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Program, its page, and the words after which it prints what it can.
const PAGES: [(&str, &str, &[&[&str]]); 3] = [
    (
        "avpud",
        "avpud.8",
        &[&["--help"], &["plan"], &["demo", "--help"]],
    ),
    ("avpuctl", "avpuctl.1", &[&["--help"]]),
    ("avpucat", "avpucat.1", &[&["--help"]]),
];

/// What an entry is about, and the section of the page in which it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Option,
    Command,
    Address,
    Key,
    ExitStatus,
    Variable,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Option, "OPTIONS"),
    (Kind::Command, "COMMANDS"),
    (Kind::Address, "ADDRESSES"),
    (Kind::Key, "KEYS"),
    (Kind::ExitStatus, "EXIT STATUS"),
    (Kind::Variable, "ENVIRONMENT"),
];

type Entries = BTreeMap<Kind, BTreeSet<String>>;

#[test]
fn every_page_has_what_the_help_has_and_nothing_else() {
    let mut wrong = Vec::new();
    for (name, page, helps) in PAGES {
        let mut help = Entries::new();
        for words in helps {
            read_help(name, &help_text(name, words), &mut help);
        }
        let text = fs::read_to_string(page_path(page)).expect("the page can be read");
        let page_entries = read_page(&text);
        assert!(help[&Kind::Option].len() > 3, "{name}: {help:?}");
        for (kind, section) in KINDS {
            let none = BTreeSet::new();
            let told = help.get(&kind).unwrap_or(&none);
            let written = page_entries.get(&kind).unwrap_or(&none);
            for entry in told.difference(written) {
                let escaped = entry.replace('-', "\\-");
                wrong.push(format!(
                    "packaging/man/{page} lacks \"{entry}\", which `{name} --help` has; add to its section {section}:\n\
                     .TP\n.B {escaped}\nWhat it does.\n"
                ));
            }
            for entry in written.difference(told) {
                wrong.push(format!(
                    "packaging/man/{page} has \"{entry}\" in its section {section}, which `{name} --help` has not: \
                     remove it from the page, or add it to the help\n"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_formatted_without_a_warning() {
    if !has_program("groff", "--version") {
        return skip("the manual pages' format", "groff is not installed");
    }
    for (_, page, _) in PAGES {
        let output = Command::new("groff")
            .args(["-man", "-ww", "-z", "-Tutf8"])
            .arg(page_path(page))
            .stdin(Stdio::null())
            .finish();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{page}:\n{said}"
        );
    }
}

#[test]
fn an_option_that_a_page_forgets_or_invents_is_seen() {
    let mut help = Entries::new();
    let text = "\
Usage: avpuctl [--json] [--wait=SECONDS] COMMAND

Commands:
  status          the daemon
                  and its encoder
  idr [CHANNEL]   ask for one, as -v does
Options:
  -h, --help      this text, $AVPUD_SOCKET

Exit codes: 0 done, 75 restart me.
";
    read_help("avpuctl", text, &mut help);
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(
        help[&Kind::Option],
        set(&["--json", "--wait", "-h", "--help"])
    );
    assert_eq!(help[&Kind::Command], set(&["status", "idr"]));
    assert_eq!(help[&Kind::ExitStatus], set(&["0", "75"]));
    assert_eq!(help[&Kind::Variable], set(&["AVPUD_SOCKET"]));

    let page = read_page(
        ".SH COMMANDS\n.TP\n.BI idr \" \\fR[\\fPCHANNEL\\fR]\"\nSee\n.BR \\-v .\n.SH OPTIONS\n\
         .TP\n.BR \\-h \", \" \\-\\-help\n.TP\n.BI \\-\\-wait= SECONDS\n.SH FILES\n.TP\n.I /dev/shm\n",
    );
    assert_eq!(page[&Kind::Command], set(&["idr"]));
    assert_eq!(page[&Kind::Option], set(&["-h", "--help", "--wait"]));
    assert_eq!(page.len(), 2);
}

fn page_path(page: &str) -> PathBuf {
    workspace_root().join("packaging/man").join(page)
}

/// What a program prints, wherever it prints it: usage goes to the standard error stream.
fn help_text(name: &str, words: &[&str]) -> String {
    let output = Command::new(program(name))
        .args(words)
        .stdin(Stdio::null())
        .finish();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).expect("help is text")
}

/// Notes what a help tells: usage lines, and lines that begin with an option, a command or an address.
fn read_help(name: &str, text: &str, entries: &mut Entries) {
    let mut section = "";
    let mut in_keys = false;
    for line in text.lines() {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        for variable in line.split('$').skip(1) {
            add(entries, Kind::Variable, head(variable, "_"));
        }
        let marked = words
            .strip_prefix("Usage: ")
            .or_else(|| words.strip_prefix("usage: "));
        // Further lines of the usage stand below the first one's words.
        let usage = marked.or(Some(words).filter(|_| indent > 2 && section.is_empty()));
        if let Some(rest) = usage.and_then(|usage| usage.strip_prefix(&format!("{name} "))) {
            options(entries, rest);
            let command = rest.split(' ').next().unwrap_or_default();
            if command.bytes().all(|letter| letter.is_ascii_lowercase()) {
                add(entries, Kind::Command, command);
            }
            continue;
        }
        if let Some((_, rest)) = words.split_once(": ").filter(|(start, _)| {
            start.eq_ignore_ascii_case("exit codes") || start.eq_ignore_ascii_case("exit status")
        }) {
            for part in rest.split(", ") {
                let number = head(part, "");
                if number.parse::<u8>().is_ok() {
                    add(entries, Kind::ExitStatus, number);
                }
            }
        }
        if indent == 0 {
            // "Commands:", "Addresses (...):", or prose.
            section = match words.ends_with(':') {
                true => head(words, ""),
                false if words.is_empty() => section,
                false => "",
            };
            in_keys = false;
            continue;
        }
        // The entry, and what is said about it.
        let entry = words.split("  ").next().unwrap_or_default();
        if indent == 2 && entry.len() > 1 && entry.starts_with('-') && section != "Addresses" {
            options(entries, entry);
        }
        match section {
            "Commands" if indent == 2 => add(entries, Kind::Command, head(entry, "-")),
            "Addresses" => {
                if indent == 2 {
                    in_keys = false;
                    addresses(entries, entry);
                }
                keys(entries, words, &mut in_keys);
            }
            _ => {}
        }
    }
}

fn add(entries: &mut Entries, kind: Kind, word: &str) {
    if !word.is_empty() {
        entries.entry(kind).or_default().insert(word.to_owned());
    }
}

/// The word with which a text begins.
fn head<'a>(text: &'a str, also: &str) -> &'a str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && !also.contains(letter));
    text.split_at(end.unwrap_or(text.len())).0
}

/// Words with one or two dashes in front.
fn options(entries: &mut Entries, text: &str) {
    for word in text.split([' ', ',', '[', ']', '|', '=', '"']) {
        let name = word.trim_start_matches('-');
        let dashes = word.len() - name.len();
        // `--SETTING` stands for all settings.
        let named = !name.is_empty() && (dashes == 1 || !name.starts_with(char::is_uppercase));
        if dashes > 0 && named {
            add(entries, Kind::Option, word);
        }
    }
}

/// `FILE:path`, `- or STDIO`.
fn addresses(entries: &mut Entries, text: &str) {
    for word in text.split(" or ") {
        let keyword = head(word, "-");
        add(entries, Kind::Address, keyword);
    }
}

/// `size=WxH`, and what follows "keys" up to the end of the list.
fn keys(entries: &mut Entries, text: &str, in_keys: &mut bool) {
    for word in text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '=') {
        if let Some((key, _)) = word.split_once('=') {
            add(entries, Kind::Key, key);
        }
    }
    for word in text.split("[,").skip(1) {
        add(entries, Kind::Key, head(word, ""));
    }
    let list = match text.split_once("keys ") {
        Some((_, list)) => list,
        None if *in_keys => text,
        None => return,
    };
    for item in list.split(", ") {
        // "gop=50 or 2s" names one key.
        add(entries, Kind::Key, head(item, ""));
    }
    *in_keys = list.ends_with(',');
}

/// Notes the entries of a page.
fn read_page(text: &str) -> Entries {
    let mut entries = Entries::new();
    let mut section = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix(".SH ") {
            section = title;
        }
        if line != ".TP" {
            continue;
        }
        let tag = plain(lines.next().unwrap_or_default());
        match section {
            "OPTIONS" | "SETTINGS" => options(&mut entries, &tag),
            "COMMANDS" => {
                options(&mut entries, &tag);
                add(&mut entries, Kind::Command, head(&tag, "-"));
            }
            "ADDRESSES" => addresses(&mut entries, &tag),
            "KEYS" => add(&mut entries, Kind::Key, head(&tag, "")),
            "EXIT STATUS" => add(&mut entries, Kind::ExitStatus, head(&tag, "")),
            "ENVIRONMENT" => add(&mut entries, Kind::Variable, head(&tag, "_")),
            _ => {}
        }
    }
    entries
}

/// A line of a page without macro, fonts and quotes: as it is read.
fn plain(line: &str) -> String {
    let (fonts, rest) = line.split_once(' ').unwrap_or(("", line));
    let mut text = rest.replace("\\-", "-");
    for font in ["\\fB", "\\fI", "\\fR", "\\fP"] {
        text = text.replace(font, "");
    }
    // `.BI word "word"` sets its words without spaces between, `.B word word` with.
    let mut joined = String::new();
    for (index, part) in text.split('"').enumerate() {
        let quoted = index % 2 == 1;
        if quoted || fonts.len() < 3 {
            joined.push_str(part);
        } else {
            joined.push_str(&part.replace(' ', ""));
        }
    }
    joined
}
