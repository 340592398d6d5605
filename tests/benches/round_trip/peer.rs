//! The processes at the other end: the daemon, and two that do nothing but answer.

use crate::instant;
use crate::sizes::Sizes;
use avpu_tests::daemon::Scratch;
use avpud::config::Config;
use avpud::server::{self, Encoder, Machine, Shell, SocketLock};
use avpud::sys::{self, Urgency};
use nix::sys::eventfd::EventFd;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    child: Child,
    scratch: Scratch,
}

impl Peer {
    /// Starts this program again in another role; returns when its socket is there.
    pub(crate) fn start(role: Role) -> Self {
        let scratch = Scratch::new(role.name());
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify starts");
        watch
            .add_watch(scratch.path(), AddWatchFlags::IN_MOVED_TO)
            .expect("the scratch folder can be watched");
        let log = File::create(scratch.path().join("log")).expect("a log file");
        let child = Command::new(std::env::current_exe().expect("a program knows its path"))
            .args(["--peer", role.name()])
            .arg(scratch.path().join("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("this program starts again");
        let peer = Self { child, scratch };
        watch.read_events().expect("inotify can be read");
        peer
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    /// The kernel runs it before ordinary processes.
    pub(crate) fn is_realtime(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // The name may hold spaces; behind it the policy is the thirty-ninth field, 2 for round robin.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split_whitespace().nth(38) == Some("2")
    }

    /// Ends it and takes what it printed.
    pub(crate) fn end(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("process ids are positive");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
        let mut printed = String::new();
        if let Some(output) = &mut self.child.stdout {
            output.read_to_string(&mut printed).expect("text");
        }
        printed
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.scratch.path().join("log"));
            eprintln!("what {:?} said: {}", self.socket(), log.unwrap_or_default());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(socket: &Path) {
    let config = Config::default();
    let (log, lines_lost) = server::logger(config.log_format, config.log_level);
    let lock = SocketLock::take(socket).expect("the socket is free");
    let spent_us = Arc::new(AtomicUsize::new(0));
    let (device, interrupts, canceller) = instant::open(Arc::clone(&spent_us));
    let encoder = Encoder {
        device,
        interrupts,
        canceller,
        machine: Machine::developer(),
    };
    let shell = Shell {
        log,
        lines_lost,
        lock,
    };
    server::serve(&config, shell, encoder).expect("the daemon serves");
    println!("{}", spent_us.load(Ordering::Relaxed));
}

/// Reads, does something, writes, until the other end closes.
fn answer(socket: &Path, sizes: Sizes, mut between: impl FnMut()) {
    let hidden = socket.with_extension("hidden");
    let listener = UnixListener::bind(&hidden).expect("a socket");
    // It gets its name when it can be connected to, as the daemon's does.
    fs::rename(&hidden, socket).expect("a name");
    let (mut stream, _): (UnixStream, _) = listener.accept().expect("a connection");
    // As the daemon does: what differs is what it does and not when it may.
    sys::request_realtime(Urgency::Loop);
    let (mut asked, answer) = (vec![0; sizes.asked], vec![7; sizes.answered]);
    while stream.read_exact(&mut asked).is_ok() {
        between();
        stream.write_all(&answer).expect("the other end reads");
    }
}
