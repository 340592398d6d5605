//! How long the core takes from the end of a picture until it has chosen and started the next one.
//!
//! Every channel has frames waiting, half of them reserved pictures and half from the slack. The time is that of all
//! that the core does with a completion and the frame that takes its place; what matters is how it grows with channels.

use avpu_proto::types::Class;
use avpu_tests::schedule::{Daemon, Discipline as _, Load};
use std::time::{Duration, Instant};

/// Channels at once.
const CHANNELS: [usize; 3] = [2, 8, 64];
const DECISIONS: u32 = 20_000;
/// Runs of which the fastest counts: whatever else the machine does only adds.
const RUNS: u32 = 7;

fn main() {
    println!("from the end of a picture until the next one is started, in the core alone");
    let mut first = None;
    for channels in CHANNELS {
        let took = (0..RUNS).map(|_| measure(channels)).min();
        let each_ns = took.unwrap_or_default().as_nanos() / u128::from(DECISIONS);
        let base = *first.get_or_insert(each_ns.max(1));
        let percent = each_ns * 100 / base;
        println!("  {channels:>2} channels {each_ns:>6} ns, {percent:>4} % of the first");
    }
}

fn measure(channels: usize) -> Duration {
    let loads: Vec<Load> = (0..channels)
        .map(|index| {
            let mut load = Load::flood(64, 64, 1);
            if index % 2 == 0 {
                load.wish.class = Class::Live;
            }
            load
        })
        .collect();
    let mut daemon = Daemon::new(&loads).unwrap_or_else(|(index, refusal)| {
        panic!("channel {index} is refused: {}", refusal.sentence);
    });
    let mut now_us = 0;
    for index in 0..channels {
        for _ in 0..3 {
            assert!(daemon.arrive(now_us, index));
        }
    }
    let mut took = Duration::ZERO;
    for _ in 0..DECISIONS {
        let index = daemon.start(now_us).expect("frames wait");
        now_us += 150;
        let start = Instant::now();
        daemon.done(now_us, index);
        took += start.elapsed();
        assert!(daemon.arrive(now_us, index));
    }
    took
}
