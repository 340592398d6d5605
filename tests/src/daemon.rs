//! The real daemon as a process of its own, with a private folder and socket, for tests and benchmarks.

pub use crate::scratch::Scratch;
use crate::service::Service;
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

/// A running daemon on the model. Killed when this value goes.
#[derive(Debug)]
pub struct Daemon {
    service: Service,
}

impl Daemon {
    /// Starts `avpud --device model,OPTIONS` and waits until its socket is there.
    ///
    /// # Panics
    /// When it cannot be started or ends before it is ready; says what it printed.
    #[must_use]
    pub fn start(model_options: &str) -> Self {
        Self::start_with(model_options, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(model_options: &str, arguments: &[&OsStr]) -> Self {
        Self::start_by(Command::new(program("avpud")), model_options, arguments)
    }

    /// The same by a command that runs the daemon's program in some way, in an emulator for example. The command becomes
    /// the daemon: its process is the one that gets signals.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_by(mut command: Command, model_options: &str, arguments: &[&OsStr]) -> Self {
        let device = format!("model,{model_options}");
        let service = Service::start("daemon", |socket| {
            command
                .args(["--device", device.trim_end_matches(',')])
                .arg("--socket")
                .arg(socket)
                .args(arguments)
                .stdout(Stdio::null());
            command
        });
        Self { service }
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.service.socket()
    }

    /// A folder of its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.service.folder()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Memory that is its own, in KiB: neither mapped files nor what it shares.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn anonymous_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let words = line.expect("the kernel says so").split_whitespace();
        let mut numbers = words.filter_map(|word| word.parse().ok());
        numbers.next().expect("a number")
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process was waited for already.
    pub fn signal(&self, signal: Signal) {
        self.service.signal(signal);
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        Ok(self.service.wait())
    }
}

/// Whether the daemon comes to what `asked` of it says, once it has heard everything that others said before they left:
/// it is asked for as many turns of its loop as that takes at most, and takes 16 requests of one peer in a turn.
pub fn comes_true(mut asked: impl FnMut() -> bool) -> bool {
    const TURNS_MAX: usize = 64;
    (0..TURNS_MAX).any(|_| asked())
}

/// Path of one of the workspace's programs, built once for each test program with the profile that runs now.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build_programs).join(name)
}

fn build_programs() -> PathBuf {
    let test = std::env::current_exe().expect("a program knows its path");
    let folder = test
        .ancestors()
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name == "debug" || name == "release")
        })
        .expect("tests and programs lie below target/debug or target/release");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--workspace", "--bins"])
        .arg("--target-dir");
    build.arg(folder.parent().expect("target/debug lies in target"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let status = build
        .current_dir(crate::skip::workspace_root())
        .stdin(Stdio::null())
        .status()
        .expect("cargo starts");
    assert!(
        status.success(),
        "the workspace's programs cannot be built: {status}"
    );
    folder.to_owned()
}
