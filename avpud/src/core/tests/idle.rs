//! Idle means idle: when nothing is in flight no timer is left, whatever else there is.

use super::world::{WINDOW, World, config};
use crate::core::event::Input;
use avpu_proto::request::{RegisterRegion, Request};
use avpu_proto::types::{Address, Join};

/// Lets an hour pass as the shell does: no further than the next deadline in one step. Answers how often it had to wake.
fn wakes_in_an_hour(world: &mut World) -> u32 {
    let end = world.now.plus_us(3_600_000_000);
    let mut wakes = 0;
    while let Some(at) = world.broker.poll_timeout().filter(|at| *at <= end) {
        world.pass(at.since_us(world.now));
        wakes += 1;
        assert!(wakes < 1000, "a timer is armed again and again");
    }
    world.pass(end.since_us(world.now));
    wakes
}

/// A client that registers memory and dies.
fn leave_region(world: &mut World) {
    let raw = world.connect_as(9, 44);
    let body = Request::RegisterRegion(RegisterRegion {
        address: Address::new(WINDOW + 0x10_0000),
        len_bytes: 0x1_0000,
    });
    world.ask(raw, body);
    world.feed(Input::Closed { session: raw });
    assert_eq!(world.broker.sources.regions.remains().count(), 1);
}

#[test]
fn open_channels_starved_ones_stopped_readers_and_quarantined_memory_wake_nobody() {
    let mut config = config();
    config.quarantine_us = None;
    let mut world = World::with(config);
    // Opened and never fed, with a reader.
    let (_, unfed, _) = world.ready_channel(1);
    let reader = world.connect(3);
    world.subscribe(reader, unfed, Join::LastIdr, 1);
    assert_eq!(wakes_in_an_hour(&mut world), 0);
    // Fed, with a reader that stopped.
    let (app, channel, address) = world.ready_channel(2);
    world.subscribe(reader, channel, Join::LastIdr, 1);
    for _ in 0..10 {
        world.submit(app, channel, address);
        world.finish(1_000, 100);
    }
    leave_region(&mut world);
    assert_eq!(wakes_in_an_hour(&mut world), 1, "that it starves is told");
    assert_eq!(wakes_in_an_hour(&mut world), 0);
    assert_eq!(world.resets_asked, 0);
}

#[test]
fn the_end_of_a_quarantine_is_one_wake_up() {
    let mut world = World::with(config());
    leave_region(&mut world);
    assert_eq!(wakes_in_an_hour(&mut world), 1);
    assert_eq!(world.broker.sources.regions.remains().count(), 0);
    assert_eq!(wakes_in_an_hour(&mut world), 0);
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1_000, 100);
    assert_eq!(wakes_in_an_hour(&mut world), 1, "that it starves is told");
    let session = app;
    world.feed(Input::Closed { session });
    assert_eq!(wakes_in_an_hour(&mut world), 0);
    world.assert_quiet();
}
