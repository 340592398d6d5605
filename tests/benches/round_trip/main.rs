//! How long a frame takes to become a packet when the device takes no time, against a bare socket round trip.
//!
//! `cargo bench -p avpu-tests`. Every process at the other end is this program again, so what is compared runs in the
//! same way and with the same priority: the daemon, a process that only answers as many bytes, and one in which a
//! second thread first wakes the one that answers, because an encoder's interrupt does that too. All of them are there
//! all the time and take turns, so that what disturbs one disturbs all; the ratios of one run are what to compare, not
//! the times of two. On any processor the kernel decides which wake-ups cross from one to another, and those dominate.

mod instant;
mod peer;
mod sizes;

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use avpu_tests::processors::Processors;
use peer::{Peer, Role};
use sizes::Sizes;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Turns, each of [`BATCH`] round trips of every kind.
const TURNS: usize = 60;
const BATCH: usize = 50;
/// No turn begins later than this after the first one.
const TIME_MAX: Duration = Duration::from_secs(8);
/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn main() {
    let sizes = Sizes::of_a_picture();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, role, socket] = arguments.as_slice()
        && flag == "--peer"
    {
        Role::named(role)
            .expect("a role")
            .play(Path::new(socket), sizes);
        return;
    }
    println!(
        "from submitting a frame to having its packet, on a device that has finished at once;\n\
         a bare round trip is {} bytes there and {} back, as many as for a frame",
        sizes.asked, sizes.answered
    );
    let processors = Processors::allowed();
    run("on any processor", sizes);
    processors.use_one();
    run("all on one processor", sizes);
    processors.use_all();
}

/// What is measured.
#[derive(Clone, Copy)]
enum Kind {
    Bare,
    Woken,
    Unwaited,
    Waited,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Bare, Self::Woken, Self::Unwaited, Self::Waited];

    fn label(self) -> &'static str {
        match self {
            Self::Bare => "bare round trip",
            Self::Woken => "bare, woken by a thread",
            Self::Unwaited => "submit_unwaited to packet",
            Self::Waited => "submit to packet",
        }
    }
}

/// Measures everything in turns and prints it.
fn run(place: &str, sizes: Sizes) {
    let [bare, woken, daemon] = [Role::Bare, Role::Woken, Role::Daemon].map(Peer::start);
    let (mut bare_line, mut woken_line) = (Line::new(&bare, sizes), Line::new(&woken, sizes));
    let mut camera = Camera::new(&daemon);
    let mut samples = Kind::ALL.map(|_| Vec::with_capacity(TURNS * BATCH));
    let start = Instant::now();
    let mut pictures: usize = 0;
    for turn in 0..=TURNS {
        if start.elapsed() > TIME_MAX {
            break;
        }
        for (kind, into) in Kind::ALL.into_iter().zip(&mut samples) {
            for _ in 0..BATCH {
                let took = match kind {
                    Kind::Bare => bare_line.round_trip(),
                    Kind::Woken => woken_line.round_trip(),
                    Kind::Unwaited | Kind::Waited => {
                        pictures += 1;
                        camera.picture(matches!(kind, Kind::Waited))
                    }
                };
                // The first turn warms up.
                if turn > 0 {
                    into.push(took);
                }
            }
        }
    }
    drop(camera);
    let daemon_is_realtime = daemon.is_realtime();
    let spent_us: usize = daemon.end().trim().parse().expect("the time spent");

    println!("\n{place}, {} samples each", samples[0].len());
    println!("                                 median us    p99 us  to bare  to woken");
    let [bare_us, woken_us] = [0, 1].map(|index| quantile_us(&mut samples[index], 50));
    for (kind, of_kind) in Kind::ALL.into_iter().zip(&mut samples) {
        let (median, p99) = (quantile_us(of_kind, 50), quantile_us(of_kind, 99));
        let (to_bare, to_woken) = (median / bare_us, median / woken_us);
        let label = kind.label();
        println!("  {label:<30} {median:>9.1} {p99:>9.1} {to_bare:>8.2} {to_woken:>9.2}");
    }
    println!(
        "  a picture spends {} us in the model; the daemon runs {}",
        spent_us / pictures,
        if daemon_is_realtime {
            "before ordinary processes"
        } else {
            "as any process"
        }
    );
}

/// A quantile in per cent, in microseconds.
fn quantile_us(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort_unstable();
    let index = samples.len() * percent / 100;
    let found = samples.get(index).expect("there are samples");
    found.as_secs_f64() * 1e6
}

/// A connection to a process that answers.
struct Line {
    stream: UnixStream,
    asks: Vec<u8>,
    answer: Vec<u8>,
}

impl Line {
    fn new(peer: &Peer, sizes: Sizes) -> Self {
        Self {
            stream: UnixStream::connect(peer.socket()).expect("it listens"),
            asks: vec![7; sizes.asked],
            answer: vec![0; sizes.answered],
        }
    }

    fn round_trip(&mut self) -> Duration {
        let start = Instant::now();
        self.stream.write_all(&self.asks).expect("it reads");
        self.stream
            .read_exact(&mut self.answer)
            .expect("it answers");
        start.elapsed()
    }
}

/// A client that encodes and reads its own channel.
struct Camera {
    channel: Channel,
    reader: Reader,
    buffers: Vec<Buffer>,
}

impl Camera {
    fn new(daemon: &Peer) -> Self {
        let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
        let config = ChannelConfig::new(64, 64).gop_length(25).fix_qp(30);
        let channel = client.open_channel(&config).expect("a channel can be had");
        Self {
            reader: channel.subscribe().expect("its owner may read it"),
            buffers: channel.lease(1).expect("a buffer can be had"),
            channel,
        }
    }

    /// From submitting a frame to having its packet.
    fn picture(&mut self, waits: bool) -> Duration {
        let buffer = self.buffers.pop().expect("it came back");
        let start = Instant::now();
        if waits {
            let accepted = self.channel.submit(buffer, Frame::default());
            accepted.expect("it is accepted");
        } else {
            let sent = self.channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
        }
        let next = self.reader.next_packet(PATIENCE).expect("a packet");
        assert!(matches!(next, Next::Packet(_)), "{next:?}");
        let took = start.elapsed();
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.buffers.extend(released.source.into_buffer());
        took
    }
}
