//! A reader that is stopped for a minute, beside a log that nobody reads: two live channels lose nothing, the daemon's
//! memory does not grow, and the reader is told what it missed.
//!
//! `cargo bench -p avpu-tests --bench sharing -- stopped`.

use crate::PATIENCE;
use crate::clock::Ticks;
use crate::contention::{listen, start};
use avpu_client::Client;
use avpu_client::proto::event::Event;
use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::Process;
use avpu_tests::unread_log;
use nix::sys::signal::Signal;
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
    let (daemon, _pipe) = unread_log::start(&scratch, "body=pattern,pace=t31,size=64M");
    let socket = daemon.socket();
    let client = Client::connect(&socket).expect("the daemon takes connections");
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
    let before_kib = daemon.anonymous_kib();
    halves.wait();
    let after_kib = daemon.anonymous_kib();
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
