//! The processes at the other end: the daemon, and two that do nothing but answer.

use crate::instant;
use crate::sizes::Sizes;
use avpu_tests::in_process;
use avpu_tests::service::{self, Service};
use avpud::config::Config;
use avpud::sys::{self, Urgency};
use nix::sys::eventfd::EventFd;
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What a process does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is the daemon, on the device that finishes at once.
    Daemon,
    /// It answers.
    Bare,
    /// It answers when another of its threads has woken it, as an interrupt does.
    Woken,
}

impl Role {
    const ALL: [Self; 3] = [Self::Daemon, Self::Bare, Self::Woken];

    fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Bare => "bare",
            Self::Woken => "woken",
        }
    }

    /// The role that a process was started for.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Plays it until the other end is gone or says so.
    pub(crate) fn play(self, socket: &Path, sizes: Sizes) {
        match self {
            Self::Daemon => serve(socket),
            Self::Bare => answer(socket, sizes, || ()),
            Self::Woken => {
                let counter = || Arc::new(EventFd::new().expect("an event counter"));
                let (there, back) = (counter(), counter());
                // It ends with the process.
                thread::spawn({
                    let (there, back) = (Arc::clone(&there), Arc::clone(&back));
                    move || {
                        sys::request_realtime(Urgency::Interrupts);
                        while there.read().is_ok() {
                            back.write(1).expect("room in the counter");
                        }
                    }
                });
                answer(socket, sizes, || {
                    there.write(1).expect("room in the counter");
                    back.read().expect("the counter");
                });
            }
        }
    }
}

/// A process that was started for this run. Ended when this value goes.
pub(crate) struct Peer {
    service: Service,
}

impl Peer {
    /// Starts this program again in another role; returns when its socket is there.
    pub(crate) fn start(role: Role) -> Self {
        let again = std::env::current_exe().expect("a program knows its path");
        let service = Service::start(role.name(), |socket| {
            let mut command = Command::new(again);
            command.args(["--peer", role.name()]).arg(socket);
            command.stdout(Stdio::piped());
            command
        });
        Self { service }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.service.socket()
    }

    /// The kernel runs it before ordinary processes.
    pub(crate) fn is_realtime(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.service.pid()));
        let stat = stat.unwrap_or_default();
        // The name may hold spaces; behind it the policy is the thirty-ninth field, 2 for round robin.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split_whitespace().nth(38) == Some("2")
    }

    /// Ends it and takes what it printed.
    pub(crate) fn end(mut self) -> String {
        self.service.signal(Signal::SIGTERM);
        let mut printed = String::new();
        if let Some(mut output) = self.service.process().stdout() {
            output.read_to_string(&mut printed).expect("text");
        }
        printed
    }
}

fn serve(socket: &Path) {
    let config = Config::default();
    let spent_us = Arc::new(AtomicUsize::new(0));
    in_process::serve(&config, socket, || instant::open(Arc::clone(&spent_us)));
    println!("{}", spent_us.load(Ordering::Relaxed));
}

/// Reads, does something, writes, until the other end closes.
fn answer(socket: &Path, sizes: Sizes, mut between: impl FnMut()) {
    let (mut stream, _) = service::listen(socket).accept().expect("a connection");
    // As the daemon does: what differs is what it does and not when it may.
    sys::request_realtime(Urgency::Loop);
    let (mut asked, answer) = (vec![0; sizes.asked], vec![7; sizes.answered]);
    while stream.read_exact(&mut asked).is_ok() {
        between();
        stream.write_all(&answer).expect("the other end reads");
    }
}
