//! Inputs for the fuzz target of sessions: the bytes of worlds that together show everything that worlds can.

use crate::Options;
use avpu_tests::world::{Script, Seen, live};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

/// Writes the bytes of every world in which something happened that did in none before it.
pub(crate) fn write(options: &Options, folder: &Path) -> ExitCode {
    let mut known = BTreeSet::new();
    let mut all = Seen::default();
    let mut files = 0;
    for seed in options.start..options.start.saturating_add(options.seeds) {
        let bytes = Script::bytes(seed, options.ops);
        let seen = live(&Script::from_bytes(&bytes)).seen;
        let happened = seen.all().filter(|(.., count)| *count > 0);
        let kinds: Vec<_> = happened
            .map(|(subject, kind, _)| (subject.name(), kind))
            .collect();
        all.add(&seen);
        if kinds.iter().all(|kind| known.contains(kind)) {
            continue;
        }
        known.extend(kinds);
        let path = folder.join(format!("world-{seed:05}"));
        if let Err(error) = std::fs::write(&path, &bytes) {
            eprintln!("expected to write {}, found {error}", path.display());
            return ExitCode::FAILURE;
        }
        files += 1;
    }
    println!("{files} inputs for {} kinds of things", known.len());
    for (subject, kind) in all.missing() {
        println!("nothing shows {}: {kind}", subject.name());
    }
    ExitCode::SUCCESS
}
