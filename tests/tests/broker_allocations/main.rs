//! The broker allocates nothing for a picture: submit, start, completion, delivery to its readers, release.

mod conditions;
#[path = "../../../avpud/src/core/tests/config.rs"]
#[allow(dead_code, reason = "shared with the scripts of the broker")]
mod config;
mod world;

use avpu_proto::request::OpenChannel;
use avpu_proto::types::RateControl;
use avpu_tests::alloc::{CountingAllocator, count};
use world::world;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn camera(rate_control: RateControl) -> OpenChannel {
    OpenChannel {
        width: 640,
        height: 360,
        gop_length: 10,
        rate_control,
        ..OpenChannel::default()
    }
}

#[test]
fn the_broker_allocates_nothing_for_a_picture() {
    let mut world = world();
    world.join(1, camera(RateControl::FixQp { qp: 30 }));
    let bitrate_bps = 400_000;
    world.join(
        2,
        camera(RateControl::Cbr {
            bitrate_bps,
            qp_min: 0,
            qp_max: 0,
        }),
    );
    for reader in 0..2 {
        for source in 0..2 {
            let (session, channel) = (world.sources[reader].0, world.sources[source].1);
            world.subscribe(session, channel);
        }
    }
    let before = count();
    world.turn();
    assert!(
        count() > before,
        "states change in the first turn, which is told in strings: otherwise nothing is counted"
    );
    world.turn();
    let (before, packets, made_ready) = (count(), world.packets, world.made_ready);
    for _ in 0..500 {
        world.turn();
    }
    assert_eq!(world.packets - packets, 500 * 3 * 2);
    assert!(world.made_ready > made_ready);
    assert_eq!(count() - before, 0, "allocations in 1500 pictures");
}
