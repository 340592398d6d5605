//! Tests that can use more than the toolchain use it when it is there, and say so when it is not.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static SKIPPED: AtomicU32 = AtomicU32::new(0);

/// Prints that something was skipped and why, with a count for this test program.
pub fn skip(what: &str, why: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // Past the harness: it keeps what a test that passes prints by the usual macros.
    let _ = writeln!(stderr(), "SKIPPED ({count} in this program): {what}: {why}");
}

/// Whether a program can be started; asks for its version.
#[must_use]
pub fn has_program(program: &str, version_flag: &str) -> bool {
    Command::new(program)
        .arg(version_flag)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `true` when ffmpeg is there; otherwise prints that `what` was skipped.
#[must_use]
pub fn ffmpeg_or_skip(what: &str) -> bool {
    let there = has_program("ffmpeg", "-version");
    if !there {
        skip(what, "ffmpeg is not installed");
    }
    there
}

/// A file of the material that lies beside the checkout (`../shared`); otherwise prints that `what` was skipped.
#[must_use]
pub fn shared_or_skip(what: &str, relative: &str) -> Option<PathBuf> {
    let path = workspace_root().parent()?.join("shared").join(relative);
    if path.exists() {
        return Some(path);
    }
    skip(what, &format!("../shared/{relative} is not there"));
    None
}

/// The root of the checkout.
///
/// # Panics
/// When this package does not lie in a workspace.
#[must_use]
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a workspace")
        .into()
}
