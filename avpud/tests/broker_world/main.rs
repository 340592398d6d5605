//! The broker in a simulated world: random clients, an engine with faults, virtual time, an oracle after each step.
//!
//! A failure prints its seed; `AVPU_SEED=n` runs that seed alone.

mod client;
mod isolation;
mod oracle;
mod rng;
mod world;

use avpu_proto::event::Event;
use avpu_proto::types::PictureKind;
use oracle::Seen;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use world::World;

const SEEDS: u64 = 300;
const STEPS: u32 = 800;

fn run(seed: u64) -> (u64, Seen) {
    let outcome = catch_unwind(AssertUnwindSafe(|| World::new(seed).run(STEPS)));
    outcome.unwrap_or_else(|panic| {
        eprintln!("the world of seed {seed} failed: run it alone with AVPU_SEED={seed}");
        resume_unwind(panic)
    })
}

fn seeds() -> Vec<u64> {
    match std::env::var("AVPU_SEED") {
        Ok(seed) => vec![seed.parse().expect("AVPU_SEED is a number")],
        Err(_) => (1..=SEEDS).collect(),
    }
}

#[test]
fn nothing_that_clients_and_engine_do_breaks_an_invariant() {
    let mut all = Seen::default();
    let seeds = seeds();
    let many = seeds.len() > 1;
    for seed in seeds {
        let (_, seen) = run(seed);
        all.packets += seen.packets;
        all.gaps += seen.gaps;
        all.lost_gaps += seen.lost_gaps;
        all.refused += seen.refused;
        all.timeouts += seen.timeouts;
        all.reference_lost += seen.reference_lost;
        all.ends_of_stream += seen.ends_of_stream;
        all.offline += seen.offline;
    }
    println!("{all:?}");
    // Worlds in which these never happen would prove nothing about them.
    if many {
        let happened = [
            all.packets,
            all.gaps,
            all.lost_gaps,
            all.refused,
            all.timeouts,
            all.reference_lost,
            all.ends_of_stream,
            all.offline,
        ];
        assert!(happened.iter().all(|count| *count > 0), "{all:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in seeds().into_iter().take(20) {
        assert_eq!(run(seed).0, run(seed).0, "seed {seed}");
    }
}

#[test]
fn hostile_neighbours_change_nothing_for_a_camera_and_its_recorder() {
    let (alone, _) = isolation::run(1, 0);
    let mut foreign_jobs = 0;
    assert!(alone.is_complete(isolation::FRAMES), "{alone:?}");
    for seed in seeds().into_iter().take(50) {
        let (beside, foreign) = isolation::run(seed, 5);
        foreign_jobs += foreign;
        assert!(
            beside == alone,
            "seed {seed}: expected {alone:?}, found {beside:?}"
        );
    }
    println!("pictures of neighbours: {foreign_jobs}");
    assert!(
        foreign_jobs > 1000,
        "neighbours that do nothing prove nothing"
    );
}

#[test]
fn readers_that_stop_reading_for_a_minute_cost_nobody_anything_and_go_on_at_an_idr() {
    const CREDITS: u16 = 3;
    let (alone, _) = isolation::run_beside_sleepers(0, CREDITS);
    assert!(alone.is_complete(isolation::FRAMES_ASLEEP));
    let (beside, slept) = isolation::run_beside_sleepers(16, CREDITS);
    assert!(beside == alone, "sleeping readers changed something");
    assert_eq!(slept.len(), 16);
    for (meanwhile, woken) in slept {
        let [Event::ChannelChanged(_), packets @ ..] = &meanwhile[..] else {
            panic!("expected that the channel runs, found {meanwhile:?}");
        };
        assert_eq!(packets.len(), usize::from(CREDITS), "{packets:?}");
        let is_packet = |event: &Event| matches!(event, Event::Packet(_));
        assert!(packets.iter().all(is_packet), "{packets:?}");
        let [Event::Gap(gap), Event::Packet(next), rest @ ..] = &woken[..] else {
            panic!("expected a gap and an IDR, found {woken:?}");
        };
        assert!(gap.count > 1000, "{gap:?}");
        let after = gap.first.value() + gap.count;
        assert_eq!(next.sequence.value(), after);
        assert_eq!(next.kind, PictureKind::Idr);
        assert_eq!(rest.len(), usize::from(CREDITS) - 1, "{rest:?}");
    }
}
