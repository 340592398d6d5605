//! Processes that serve at a socket in a folder of their own.

use crate::process::Process;
use crate::scratch::Scratch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

const LOG: &str = "log";

/// A process that serves. Killed when this value goes.
#[derive(Debug)]
pub struct Service {
    process: Process,
    scratch: Scratch,
}

impl Service {
    /// Starts the program that `command` makes for the path of a socket, and waits until that is there. Its standard
    /// input says nothing and is over when it serves, its standard error is a file.
    ///
    /// # Panics
    /// When it cannot be started or ends before it is ready; says what it printed.
    #[must_use]
    pub fn start(label: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let scratch = Scratch::new(label);
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify starts");
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        watch
            .add_watch(scratch.path(), flags)
            .expect("the scratch folder can be watched");
        let log = File::create(scratch.path().join(LOG)).expect("a log file can be made");
        let mut command = command(&socket_in(&scratch));
        let process = Process::start(command.stdin(Stdio::piped()).stderr(log));
        let mut service = Self { process, scratch };
        service.wait_for_socket(&watch);
        service
    }

    fn wait_for_socket(&mut self, watch: &Inotify) {
        // Nobody writes to it. It has no other end any more when the process ends.
        let input = self.process.stdin().expect("it is a pipe");
        while !self.socket().exists() {
            let mut wanted = [
                PollFd::new(watch.as_fd(), PollFlags::POLLIN),
                PollFd::new(input.as_fd(), PollFlags::empty()),
            ];
            // Bounded by the life of the process.
            poll(&mut wanted, PollTimeout::NONE).expect("it can be waited for");
            let [changed, ended] = wanted.map(|fd| fd.any() == Some(true));
            if changed {
                watch.read_events().expect("inotify can be read");
            } else if ended {
                let status = self.process.wait();
                panic!("it ended with {status} before it was ready: {}", self.log());
            }
        }
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.scratch)
    }

    /// A folder of its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Its process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join(LOG)).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process was waited for already.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.process.has_ended();
            let (socket, log) = (self.socket(), self.log());
            eprintln!(
                "what served at {} when the test failed, ended {ended}; its log:\n{log}",
                socket.display()
            );
        }
    }
}

/// The socket of a program that such a process may be: it gets its name when it can be connected to, as the daemon's
/// does.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn listen(socket: &Path) -> UnixListener {
    let hidden = socket.with_extension("hidden");
    let listener = UnixListener::bind(&hidden).expect("a socket");
    fs::rename(&hidden, socket).expect("a name");
    listener
}

fn socket_in(scratch: &Scratch) -> PathBuf {
    scratch.path().join("socket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_program_that_ends_before_it_serves_is_not_waited_for() {
        let started = catch_unwind(|| {
            Service::start("ends", |_| {
                let mut command = Command::new("sh");
                command.args(["-c", "echo its last words >&2; exit 7"]);
                command
            })
        });
        let told = started.expect_err("it never served");
        let told = told.downcast_ref::<String>().expect("a sentence");
        assert!(told.contains("exit status: 7") && told.contains("its last words"));
    }
}
