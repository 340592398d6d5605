//! A reader that is stopped for a minute, beside a log that nobody reads: two live channels lose nothing, the daemon's
//! memory does not grow, and the reader is told what it missed.
//!
//! `cargo bench -p avpu-tests --bench sharing -- stopped`.

use crate::PATIENCE;
use crate::clock::Ticks;
use crate::contention::{listen, start};
use avpu_client::Client;
use avpu_client::proto::event::Event;
use avpu_tests::daemon::{Daemon, Scratch, program};
use avpu_tests::process::Process;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time that the reader is stopped. In half of it all tables of the daemon have been used once.
const STOPPED: Duration = Duration::from_secs(60);
/// Time that the live channels run: longer than the reader is stopped.
const SECONDS: &str = "66";
/// What the daemon's memory may grow by: nothing of it goes by pictures.
const GROWTH_KIB_MAX: u64 = 128;

pub(crate) fn run() {
    let scratch = Scratch::new("unread-log");
    let (path, _pipe) = unread_pipe(&scratch);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2<>\"$LOG_PIPE\""]);
    shell.arg(program("avpud")).env("LOG_PIPE", &path);
    let debug = ["--log-level", "debug"].map(OsStr::new);
    let daemon = Daemon::start_by(shell, "body=pattern,pace=t31,size=64M", &debug);
    let socket = daemon.socket();
    let client = Client::connect(&socket).expect("the daemon takes connections");
    fill_log(&client, &socket);
    client.watch(true).expect("it may");
    let live = || start(&["live"], &socket, &["640", "360", SECONDS]);
    let first = live();
    let opened = |event: &Event| matches!(event, Event::ChannelChanged(_));
    while !opened(&client.next_event(PATIENCE).expect("it is told")) {}
    client.watch(false).expect("it may");
    let second = live();

    let mut command = Command::new(program("avpucat"));
    command
        .env("AVPUD_SOCKET", &socket)
        .args(["-v", "-u", "AVPU-SUB:,channel=ch0,join=next"])
        .arg(format!("H264:{}", scratch.path().join("out").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut reader = Process::start(&mut command);
    let said = reader.stderr_until("\"Packet\"");
    reader.signal(Signal::SIGSTOP);
    let halves = Ticks::every(STOPPED / 2);
    halves.wait();
    let before_kib = anonymous_kib(&daemon);
    halves.wait();
    let after_kib = anonymous_kib(&daemon);
    reader.signal(Signal::SIGCONT);

    let live = [first, second].map(listen);
    assert!(reader.wait().success());
    let gaps = said.join().expect("no panic").matches("\"Gap\"").count();
    let lines_lost = client.status().expect("it serves").log_lines_lost;
    let lost = live.each_ref().map(|told| told.lost);
    println!(
        "a reader stopped for {} s beside a log that nobody reads: live channels {} and {} frames, {} and {} lost; {before_kib} KiB became {after_kib}; {gaps} gap, {lines_lost} log lines lost",
        STOPPED.as_secs(),
        live[0].frames,
        live[1].frames,
        lost[0],
        lost[1],
    );
    assert_eq!(lost, [0, 0]);
    assert!(gaps > 0 && lines_lost > 0);
    assert!(after_kib <= before_kib + GROWTH_KIB_MAX);
}

/// A pipe of one page that nobody reads, held open.
fn unread_pipe(scratch: &Scratch) -> (std::path::PathBuf, File) {
    let path = scratch.path().join("pipe");
    mkfifo(&path, Mode::S_IRWXU).expect("a pipe can be made");
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .expect("it opens");
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(4096)).expect("it may be small");
    (path, pipe)
}

/// Comes and goes until the log takes no more.
fn fill_log(client: &Client, socket: &Path) {
    let is_full = |_| {
        drop(Client::connect(socket).expect("the daemon takes connections"));
        client.status().expect("it serves").log_lines_lost > 0
    };
    assert!((0..1000).any(is_full), "a pipe has an end");
}

/// Memory of the daemon that is its own: neither mapped files nor what it shares.
fn anonymous_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let words = line.expect("the kernel says so").split_whitespace();
    let mut numbers = words.filter_map(|word| word.parse().ok());
    numbers.next().expect("a number")
}
