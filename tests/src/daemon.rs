//! The real daemon as a process of its own, with a private folder and socket, for tests and benchmarks.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed when this value goes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(label: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("avpud-{label}-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch folder can be made");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: a folder that cannot be removed is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running daemon on the model. Killed when this value goes.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    scratch: Scratch,
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
        let scratch = Scratch::new("daemon");
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify starts");
        let flags =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE;
        watch
            .add_watch(scratch.path(), flags)
            .expect("the scratch folder can be watched");
        let log = fs::File::create(scratch.path().join("log")).expect("a log file can be made");
        let child = command
            .arg("--device")
            .arg(format!("model,{model_options}").trim_end_matches(','))
            .arg("--socket")
            .arg(scratch.path().join("socket"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("avpud starts");
        let mut daemon = Self { child, scratch };
        daemon.wait_for_socket(&watch);
        daemon
    }

    fn wait_for_socket(&mut self, watch: &Inotify) {
        while !self.socket().exists() {
            let events = watch.read_events().expect("inotify can be read");
            // The log is closed when the last process that holds it ends.
            let ended = events.iter().any(|event| {
                event.mask.contains(AddWatchFlags::IN_CLOSE_WRITE)
                    && event.name.as_deref() == Some(OsStr::new("log"))
            });
            if ended {
                let status = self.child.wait().expect("the daemon can be waited for");
                panic!(
                    "avpud ended with {status} before it was ready: {}",
                    self.log()
                );
            }
        }
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    /// A folder of its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids are positive");
        kill(Pid::from_raw(pid), signal).expect("the daemon runs");
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.child.wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.child.try_wait();
            eprintln!(
                "the daemon when the test failed: {ended:?}, its log:\n{}",
                self.log()
            );
        }
        // It may have ended already; both calls then say so and there is nothing to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
