//! Other programs as children of a test: none outlives the value that stands for it, and none keeps a test waiting for
//! ever.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output};
use std::process::{Stdio, id};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A child that is still there after this time is killed: its pipes end then, its sockets are closed, and whoever waits
/// for any of it goes on and fails. No test takes as long, also on a busy machine.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// A running program. Killed when this value goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The thread that ends the child when it has lived too long; told by the end of the sender that it has not.
    watch: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::start_for(command, LIFE_MAX)
    }

    /// Stands for a program that was started in another way.
    #[must_use]
    pub fn of(child: Child) -> Self {
        Self::of_for(child, "a program", LIFE_MAX)
    }

    fn start_for(command: &mut Command, life_max: Duration) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} starts: {error}"));
        Self::of_for(child, &program, life_max)
    }

    fn of_for(child: Child, program: &str, life_max: Duration) -> Self {
        let (sender, ended) = channel();
        let (pid, program) = (pid_of(&child), program.to_owned());
        let thread = thread::spawn(move || {
            if ended.recv_timeout(life_max) == Err(RecvTimeoutError::Timeout) {
                eprintln!(
                    "{program} was killed by process {} after {life_max:?}",
                    id()
                );
                // It may be ending at this moment. It is not taken down before this thread is, so the number is its own.
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self {
            child,
            watch: Some((sender, thread)),
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if that was made a pipe and not taken yet.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if that was made a pipe and not taken yet.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if that was made a pipe and not taken yet.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process was waited for already.
    pub fn signal(&self, signal: Signal) {
        kill(pid_of(&self.child), signal).expect("the process is there");
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if self.watch.is_none() {
            return true;
        }
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(pid_of(&self.child)), look).expect("it can be looked at");
        status != WaitStatus::StillAlive
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        if let Some((sender, thread)) = self.watch.take() {
            let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            let ended = || waitid(Id::Pid(pid_of(&self.child)), look);
            while ended() == Err(Errno::EINTR) {}
            drop(sender);
            thread.join().expect("the watch does not panic");
        }
        self.child.wait().expect("a child can be waited for")
    }

    /// Waits for its end and takes what it wrote to the pipes that were not taken before.
    ///
    /// # Panics
    /// When it cannot be waited for.
    #[must_use]
    pub fn output(mut self) -> Output {
        let errors = self.stderr().map(|pipe| thread::spawn(|| whole(pipe)));
        let stdout = self.stdout().map(whole).unwrap_or_default();
        let stderr = errors.map(|errors| errors.join().expect("the reader does not panic"));
        Output {
            status: self.wait(),
            stdout,
            stderr: stderr.unwrap_or_default(),
        }
    }

    /// Reads lines of its standard error until one contains `wanted`. The thread that is answered reads on, and has all
    /// of it in the end.
    ///
    /// # Panics
    /// When it ends without such a line, or its standard error is no pipe.
    pub fn stderr_until(&mut self, wanted: &str) -> JoinHandle<String> {
        let mut lines = BufReader::new(self.stderr().expect("standard error is a pipe"));
        let mut said = String::new();
        while !said.contains(wanted) {
            let count = lines.read_line(&mut said).expect("standard error is text");
            assert!(count > 0, "it ended without {wanted}: {said}");
        }
        thread::spawn(move || said + &String::from_utf8_lossy(&whole(lines)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        if self.watch.is_some() {
            let _ = self.child.kill();
            self.wait();
        }
    }
}

/// Running a command to its end, in bounded time.
pub trait Finish {
    /// Runs it and takes what it wrote to its standard output and error streams. Its standard input is what the command
    /// says: say `Stdio::null()` where it is to have none.
    ///
    /// # Panics
    /// When it cannot be started or waited for.
    fn finish(&mut self) -> Output;
}

impl Finish for Command {
    fn finish(&mut self) -> Output {
        self.stdout(Stdio::piped()).stderr(Stdio::piped());
        Process::start(self).output()
    }
}

/// Runs a program to its end with `input` on its standard input.
///
/// # Panics
/// When it cannot be started or waited for.
#[must_use]
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command.stdin(Stdio::piped()));
    let stdin = process.stdin();
    thread::scope(|scope| {
        scope.spawn(|| {
            // A program that ends early does not read on, and its exit code says why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        process.output()
    })
}

fn whole(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What a pipe does not give any more, the exit code speaks for.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids are positive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut endless = Command::new("cat");
        endless.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start_for(&mut endless, Duration::from_millis(1));
        // Held here, so that the program reads on.
        let (_stdin, stdout) = (process.stdin(), process.stdout());
        assert_eq!(stdout.map(whole), Some(Vec::new()));
        let killed = std::os::unix::process::ExitStatusExt::signal(&process.wait());
        assert_eq!(killed, Some(9));
        assert!(process.has_ended());
    }

    #[test]
    fn what_goes_in_comes_out_also_when_it_is_more_than_a_pipe_holds() {
        let input = vec![b'x'; 1 << 20];
        let output = run(&mut Command::new("cat"), &input);
        assert!(output.status.success());
        assert!(output.stdout == input);
    }
}
