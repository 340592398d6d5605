//! A daemon whose log goes into a pipe that nobody reads: it is full, and stays so.

use crate::daemon::{Daemon, program};
use crate::scratch::Scratch;
use avpu_client::Client;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

/// Connections that fill a pipe of one page many times over.
const VISITS_MAX: u32 = 1000;
/// Lines that are lost when a pipe is certainly full.
const LINES_LOST: u32 = 10;

/// Starts a daemon whose log is such a pipe, and lets it log until the pipe is full. The pipe is held open by the file.
///
/// # Panics
/// When it cannot be started, or loses no lines.
#[must_use]
pub fn start(scratch: &Scratch, model_options: &str) -> (Daemon, File) {
    let path = scratch.path().join("pipe");
    let pipe = small_pipe(&path);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2<>\"$LOG_PIPE\""]);
    shell.arg(program("avpud")).env("LOG_PIPE", &path);
    let arguments = ["--log-format", "json", "--log-level", "debug"].map(OsStr::new);
    let daemon = Daemon::start_by(shell, model_options, &arguments);
    let visit = || Client::connect(daemon.socket()).expect("the daemon takes connections");
    let asks = visit();
    let is_full = |_| {
        drop(visit());
        asks.status().expect("it answers").log_lines_lost >= LINES_LOST
    };
    assert!((0..VISITS_MAX).any(is_full), "a pipe has an end");
    (daemon, pipe)
}

/// A pipe of one page.
fn small_pipe(path: &Path) -> File {
    mkfifo(path, Mode::S_IRWXU).expect("a pipe can be made");
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .expect("it opens");
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(4096)).expect("it may be small");
    pipe
}
