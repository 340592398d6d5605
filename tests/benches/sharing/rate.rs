//! Frames a second through the daemon when the device takes no time, beside round trips to a process that only answers.

use crate::PATIENCE;
use crate::instant;
use avpu_client::{ChannelConfig, Client, Frame, Next};
use avpu_tests::in_process;
use avpu_tests::service::{self, Service};
use avpud::config::Config;
use avpud::sys::{self, Urgency};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 4, 16];
/// Turns of each kind, and how long one takes.
const TURNS: u32 = 4;
const TURN: Duration = Duration::from_millis(300);
/// Bytes of a bare round trip each way: what a picture takes.
const BYTES: usize = 120;

/// This program again, in another role.
fn start(role: &str, more: &[String]) -> Service {
    let again = std::env::current_exe().expect("a program knows its path");
    Service::start(role, |socket| {
        let mut command = Command::new(again);
        command.args(["--role", role]).arg(socket).args(more);
        command.stdout(Stdio::null());
        command
    })
}

pub(crate) fn announce() {
    println!(
        "\nframes a second, device that has finished at once, and bare round trips of {BYTES} bytes in the same run"
    );
}

pub(crate) fn run(place: &str) {
    let daemon = start("instant", &[]);
    let echo = start("echo", &[BYTES.to_string()]);
    for clients in CLIENTS {
        let mut frames = 0.0;
        let mut trips = 0.0;
        for _ in 0..TURNS {
            trips += together(clients, |stop| bare(&echo.socket(), stop));
            frames += together(clients, |stop| encode(&daemon.socket(), stop));
        }
        let turns = f64::from(TURNS);
        println!(
            "  {place:<22} {clients:>2} clients {:>8.0} frames/s {:>8.0} bare/s   ratio {:.2}",
            frames / turns,
            trips / turns,
            frames / trips
        );
    }
}

/// So many threads do the same for a while; how often in a second all of them did it.
fn together(clients: usize, act: impl Fn(&AtomicBool) -> u32 + Sync) -> f64 {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut count = 0;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| act(&stop))).collect();
        let ticks = crate::clock::Ticks::every(TURN);
        ticks.wait();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            count += thread.join().expect("it ended well");
        }
    });
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn bare(socket: &Path, stop: &AtomicBool) -> u32 {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let mut bytes = [7; BYTES];
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&bytes).expect("it reads");
        stream.read_exact(&mut bytes).expect("it answers");
        count += 1;
    }
    count
}

fn encode(socket: &Path, stop: &AtomicBool) -> u32 {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let config = ChannelConfig::new(64, 64)
        .fps(1, 1)
        .gop_length(25)
        .fix_qp(30);
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut reader = channel.subscribe().expect("its owner may read it");
    let mut buffers = channel.lease(1).expect("a buffer can be had");
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let buffer = buffers.pop().expect("it came back");
        let sent = channel.submit_unwaited(buffer, Frame::default());
        sent.expect("the daemon is there");
        let next = reader.next_packet(PATIENCE).expect("a packet");
        assert!(matches!(next, Next::Packet(_)), "{next:?}");
        let released = channel.next_released(PATIENCE).expect("it ends");
        buffers.extend(released.source.into_buffer());
        count += 1;
    }
    count
}

/// Is the daemon, on the device that finishes at once.
pub(crate) fn serve(socket: &Path) {
    let open = || instant::open(Arc::new(AtomicUsize::new(0)));
    in_process::serve(&Config::default(), socket, open);
}

/// Answers anybody with as many bytes as it was sent, in one thread, with the daemon's priority.
pub(crate) fn echo(socket: &Path, bytes: usize) {
    let listener = service::listen(socket);
    sys::request_realtime(Urgency::Loop);
    let mut streams: Vec<UnixStream> = Vec::new();
    let mut message = vec![0; bytes];
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            streams
                .iter()
                .map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)),
        );
        poll(&mut fds, PollTimeout::NONE).expect("waited");
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        let (knocks, ready) = ready.split_first().expect("the listener");
        let mut ready = ready.iter();
        streams.retain_mut(|stream| {
            if ready.next() != Some(&true) {
                return true;
            }
            stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok()
        });
        if *knocks {
            let (stream, _) = listener.accept().expect("a connection");
            streams.push(stream);
        }
    }
}
