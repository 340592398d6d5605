//! A client that is a process of its own: requests go in as JSON lines, replies and events come out.

use avpu_proto::error::ErrorCode;
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::Process;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Output, Stdio};

/// `nobody` on every Linux.
pub(crate) const NOBODY: u32 = 65534;

/// A running `avpucat`.
pub(crate) struct App {
    process: Process,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
}

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) word: String,
    pub(crate) sentence: String,
}

impl App {
    /// One of this process's user.
    pub(crate) fn start(daemon: &Daemon) -> Self {
        Self::run(command(&program("avpucat"), daemon))
    }

    /// One of the user [`NOBODY`]: only root can do that.
    pub(crate) fn start_as_nobody(daemon: &Daemon) -> Self {
        fs::set_permissions(daemon.socket(), Permissions::from_mode(0o666)).expect("it is ours");
        // Where the programs are built another user may not be able to look.
        let copy = daemon.folder().join("avpucat");
        if !copy.exists() {
            fs::copy(program("avpucat"), &copy).expect("it can be copied");
        }
        let mut command = command(&copy, daemon);
        command.uid(NOBODY).gid(NOBODY);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut process = Process::start(&mut command);
        Self {
            input: process.stdin().expect("it is a pipe"),
            lines: BufReader::new(process.stdout().expect("it is a pipe")),
            process,
        }
    }

    /// The next line that says something of this kind.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).expect("lines are text");
            assert!(count > 0, "it ended: {}", self.complaint());
            let mut said: Value = serde_json::from_str(&line).expect("lines are JSON");
            if let Some(value) = said.get_mut(kind) {
                return value.take();
            }
        }
    }

    fn send(&mut self, request: &Value) {
        let line = format!("{request}\n");
        self.input.write_all(line.as_bytes()).expect("it reads");
    }

    /// The answer to a request.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.next("reply")
    }

    /// The refusal of a request.
    pub(crate) fn refused(&mut self, request: &Value) -> Refused {
        let reply = self.ask(request);
        let refused = reply.get("Refused").unwrap_or_else(|| {
            panic!("expected that {request} is refused, found {reply}");
        });
        let text = |key: &str| refused.get(key).map(ToString::to_string);
        let number = text("code").expect("it has a code");
        let code = number.parse().expect("codes are small numbers");
        Refused {
            word: ErrorCode::from_number(code).word().to_owned(),
            sentence: text("sentence").expect("it says why"),
        }
    }

    /// Waits for the event of this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(event) = self.next("event").get_mut(name) {
                return event.take();
            }
        }
    }

    /// Ends it as the kernel does when memory runs out.
    pub(crate) fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
    }

    /// Waits for its end; answers what it complained about and its exit code.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let complaint = self.complaint();
        (self.process.wait().code(), complaint)
    }

    fn complaint(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut errors) = self.process.stderr() {
            errors.read_to_string(&mut said).expect("it is text");
        }
        said
    }
}

fn command(program: &Path, daemon: &Daemon) -> Command {
    let mut command = Command::new(program);
    command
        .args(["JSON:-", "AVPU-RAW:"])
        .env("AVPUD_SOCKET", daemon.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the operator's tool says to these words, and its exit code.
pub(crate) fn avpuctl(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let mut tool = Command::new(program("avpuctl"));
    tool.arg("--socket").arg(daemon.socket()).args(words);
    let Output {
        status,
        stdout,
        stderr,
    } = avpu_tests::process::run(&mut tool, b"");
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).expect("text"))
}

/// The lines of the daemon's log with this in them.
pub(crate) fn logged(daemon: &Daemon, wanted: &str) -> Vec<String> {
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains(wanted));
    lines.map(str::to_owned).collect()
}
