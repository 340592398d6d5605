//! Says what was skipped, past the harness: that keeps what a test which passes prints by the usual macros.

use std::io::{Write as _, stderr};

/// Prints that something was skipped and why.
pub(crate) fn skip(what: &str, why: &str) {
    let _ = writeln!(stderr(), "SKIPPED: {what}: {why}");
}
