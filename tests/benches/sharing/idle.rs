//! How long the encoder waits for the daemon between two pictures when there is always one waiting.
//!
//! The model is a thread that the kernel wakes when a picture's time is over. How late it does that is measured beside
//! it in the same way and told apart: a real encoder is not late.

use crate::PATIENCE;
use avpu_client::{ChannelConfig, Client, Frame, Next};
use avpu_model::timing::Costs;
use avpu_tests::daemon::Daemon;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Sizes, and pictures of each.
const SIZES: [(u16, u16, u32); 2] = [(1920, 1080, 50), (640, 360, 300)];
/// Runs of which the best counts: whatever else the machine does only adds.
const RUNS: u32 = 5;
/// Frames that wait or are in the encoder at all times.
const DEPTH: u8 = 4;

pub(crate) fn run(place: &str) {
    let daemon = Daemon::start("body=pattern,pace=t31,size=64M");
    for (width, height, pictures) in SIZES {
        let macroblocks = u32::from(width).div_ceil(16) * u32::from(height).div_ceil(16);
        let picture_us = Costs::T31.p.picture_us(macroblocks);
        let runs = (0..RUNS).map(|_| back_to_back_us(&daemon, width, height, pictures));
        let took_us = runs.min().expect("some");
        let each_us = f64::from(u32::try_from(took_us).expect("short")) / f64::from(pictures);
        let nominal_us = f64::from(u32::try_from(picture_us).expect("short"));
        let late_us = (0..RUNS)
            .map(|_| timer_late_us(picture_us, pictures / 5))
            .min();
        let late_us = f64::from(late_us.expect("some"));
        let idle_us = each_us - nominal_us - late_us;
        println!(
            "  {place:<22} {width:>4}x{height:<4} {nominal_us:>6.0} us a picture, idle {idle_us:>4.0} us, {:.1} %; the model's timer is {late_us:.0} us late",
            idle_us / nominal_us * 100.0
        );
    }
}

/// How much later than asked for a waiting thread is woken, on average.
fn timer_late_us(wait_us: u64, times: u32) -> u32 {
    let (never, nothing) = (Condvar::new(), Mutex::new(()));
    let wait = Duration::from_micros(wait_us);
    let mut late = Duration::ZERO;
    for _ in 0..times {
        let guard = nothing.lock().expect("nobody else has it");
        let start = Instant::now();
        let waited = never.wait_timeout(guard, wait).expect("nobody else has it");
        late += start.elapsed().saturating_sub(wait);
        drop(waited);
    }
    u32::try_from((late / times).as_micros()).expect("short")
}

/// Time from the end of the first picture to the end of the last one, so many pictures later.
fn back_to_back_us(daemon: &Daemon, width: u16, height: u16, pictures: u32) -> u64 {
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let config = ChannelConfig::new(width, height).fps(1, 1).fix_qp(40);
    // Of one kind: the two take different times.
    let config = config.gop_length(2 * pictures);
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut reader = channel.subscribe().expect("its owner may read it");
    let mut buffers = channel.lease(DEPTH).expect("buffers can be had");
    let mut ends = Vec::new();
    let mut submitted = 0;
    while ends.len() <= usize::try_from(pictures).expect("few") {
        while submitted <= pictures
            && let Some(buffer) = buffers.pop()
        {
            let sent = channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
            submitted += 1;
        }
        let next = reader.next_packet(PATIENCE).expect("a packet");
        let Next::Packet(packet) = next else {
            panic!("expected a packet, found {next:?}");
        };
        ends.push(packet.meta.done_us.value());
        let released = channel.next_released(PATIENCE).expect("it ends");
        buffers.extend(released.source.into_buffer());
    }
    let (first, last) = (ends.first().expect("some"), ends.last().expect("some"));
    last - first
}
