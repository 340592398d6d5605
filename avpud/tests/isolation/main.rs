//! The broker alone, with an engine that does what it should: what a camera gets does not depend on its neighbours.
//!
//! A failure prints its seed. What hostile clients and failing hardware do to the daemon as a whole is tried in the
//! worlds of the package `avpu-tests`.

mod client;
mod config;
mod rng;
mod stage;

use avpu_proto::event::Event;
use avpu_proto::types::PictureKind;

const SEEDS: u64 = 50;

#[test]
fn hostile_neighbours_change_nothing_for_a_camera_and_its_recorder() {
    let (alone, _) = stage::run(1, 0);
    let mut foreign_jobs = 0;
    assert!(alone.is_complete(stage::FRAMES), "{alone:?}");
    for seed in 1..=SEEDS {
        let (beside, foreign) = stage::run(seed, 5);
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
    let (alone, _) = stage::run_beside_sleepers(0, CREDITS);
    assert!(alone.is_complete(stage::FRAMES_ASLEEP));
    let (beside, slept) = stage::run_beside_sleepers(16, CREDITS);
    assert!(beside == alone, "sleeping readers changed something");
    assert_eq!(slept.len(), 16);
    for (meanwhile, woken) in slept {
        let [
            Event::ChannelChanged(_),
            Event::ChannelChanged(_),
            packets @ ..,
        ] = &meanwhile[..]
        else {
            panic!("expected that the channel was opened and runs, found {meanwhile:?}");
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
