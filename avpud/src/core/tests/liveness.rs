//! What clients are told of a channel's life, in virtual time.

use super::world::{World, small};
use crate::core::event::SessionKey;
use crate::job::JobFailure;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, Page, Reconfigure, ReleasePackets, Request, Unsubscribe, Watch,
};
use avpu_proto::types::{ChannelId, ChannelState, FrameRate, Join, Sequence, SubscriptionId};

/// Of a channel with 25 pictures a second.
const PERIOD_US: u64 = 40_000;

/// Takes the states that a session was told.
fn told(world: &mut World, session: SessionKey) -> Vec<ChannelState> {
    let states = world.other_events(session).into_iter();
    let state = |event| match event {
        Event::ChannelChanged(changed) => Some(changed.state),
        _ => None,
    };
    states.filter_map(state).collect()
}

fn shown(world: &mut World, session: SessionKey) -> ChannelState {
    let Reply::Channels(page) = world.ask(session, Request::Channels(Page::default())) else {
        panic!("expected channels");
    };
    page.entries.first().expect("a channel").0.state
}

/// Lets time pass as the shell does: no further than the next deadline in one step. Answers how often it had to wake.
fn wait(world: &mut World, us: u64) -> u32 {
    let end = world.now.plus_us(us);
    let mut wakes = 0;
    while let Some(at) = world.broker.poll_timeout().filter(|at| *at <= end) {
        world.pass(at.since_us(world.now));
        wakes += 1;
        assert!(wakes < 1000, "a timer is armed again and again");
    }
    world.pass(end.since_us(world.now));
    wakes
}

#[test]
fn a_channel_without_frames_is_starved_after_three_periods_and_wakes_nobody_again() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let watcher = world.connect(2);
    world.ask(watcher, Request::Watch(Watch { on: true }));
    told(&mut world, app);
    assert_eq!(world.broker.poll_timeout(), None, "nothing is expected yet");

    world.submit(app, channel, address);
    world.finish(5_000, 100);
    assert_eq!(told(&mut world, app), [ChannelState::Running]);
    assert_eq!(wait(&mut world, 3 * PERIOD_US - 5_001), 0);
    assert_eq!(told(&mut world, app), []);
    assert_eq!(wait(&mut world, 1), 1, "one wake-up, when it is due");
    assert_eq!(told(&mut world, app), [ChannelState::Starved]);
    assert_eq!(shown(&mut world, app), ChannelState::Starved);
    assert_eq!(world.broker.poll_timeout(), None);
    assert_eq!(wait(&mut world, 3_600_000_000), 0, "idle means idle");

    world.submit(app, channel, address);
    assert_eq!(told(&mut world, app), [ChannelState::Running]);
    let all = [
        ChannelState::Running,
        ChannelState::Starved,
        ChannelState::Running,
    ];
    assert_eq!(told(&mut world, watcher), all);
}

#[test]
fn a_channel_whose_rate_is_changed_starves_by_the_new_one() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(5_000, 100);
    told(&mut world, app);
    let change = |world: &mut World, num, den| {
        let change = Reconfigure {
            channel,
            fps: Some(FrameRate { num, den }),
            ..Reconfigure::default()
        };
        let reply = world.ask(app, Request::Reconfigure(change));
        assert!(matches!(reply, Reply::Reconfigured(_)), "{reply:?}");
    };
    change(&mut world, 1, 1);
    wait(&mut world, 3_000_000 - 1);
    assert_eq!(told(&mut world, app), [], "three periods are not over");
    change(&mut world, 25, 1);
    wait(&mut world, 3 * PERIOD_US);
    assert_eq!(told(&mut world, app), [ChannelState::Starved]);
    // Another rate does not feed it.
    change(&mut world, 1, 1);
    wait(&mut world, 10_000_000);
    assert_eq!(told(&mut world, app), []);
}

#[test]
fn a_channel_that_is_fed_in_time_is_never_woken_for() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    for _ in 0..100 {
        world.submit(app, channel, address);
        world.finish(5_000, 100);
        assert_eq!(wait(&mut world, 2 * PERIOD_US), 0);
    }
    let states = [ChannelState::Configured, ChannelState::Running];
    assert_eq!(told(&mut world, app), states);
}

#[test]
fn a_channel_whose_frames_wait_for_the_encoder_is_not_starved() {
    let mut world = World::new();
    let (first, one, at) = world.ready_channel(1);
    world.submit(first, one, at);
    let (second, two, address) = world.ready_channel(2);
    world.submit(second, two, address);
    told(&mut world, second);
    // The picture before it is lost, and its engine fails two resets, which takes longer than three periods.
    world.hang_and_reset(false);
    world.hang_and_reset(false);
    wait(&mut world, 4 * PERIOD_US);
    assert_eq!(told(&mut world, second), []);
    world.resets_asked = 1;
    world.hang_and_reset(true);
    world.finish(5_000, 100);
    wait(&mut world, 4 * PERIOD_US);
    assert_eq!(told(&mut world, second), [ChannelState::Starved]);
}

#[test]
fn a_closed_channel_expects_nothing() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(5_000, 100);
    world.ask(app, Request::CloseChannel(CloseChannel { channel }));
    assert_eq!(world.broker.poll_timeout(), None);
}

#[test]
fn a_picture_that_takes_long_stalls_its_channel_until_it_comes_or_is_given_up() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    told(&mut world, app);
    assert_eq!(wait(&mut world, 49_999), 0);
    assert_eq!(wait(&mut world, 1), 1, "half of the patience of 100 ms");
    assert_eq!(told(&mut world, app), [ChannelState::Stalled]);
    world.finish(10_000, 100);
    assert_eq!(told(&mut world, app), [ChannelState::Running]);

    world.submit(app, channel, address);
    world.hang_and_reset(true);
    let states = [ChannelState::Stalled, ChannelState::Recovering];
    assert_eq!(told(&mut world, app), states);
    world.submit(app, channel, address);
    world.finish(1_000, 100);
    assert_eq!(told(&mut world, app), [ChannelState::Running]);
}

#[test]
fn a_channel_that_fails_for_good_is_told_as_failed() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    told(&mut world, app);
    for _ in 0..crate::core::channel::FAILURES_MAX {
        world.submit(app, channel, address);
        world.fail(JobFailure::ErrorFill { status: 1 });
    }
    let states = told(&mut world, app);
    assert_eq!(states.last(), Some(&ChannelState::Failed));
    assert_eq!(wait(&mut world, 1_000_000), 1, "the last frame's deadline");
    assert_eq!(told(&mut world, app), []);
}

fn encode(world: &mut World, app: SessionKey, channel: ChannelId, pictures: u32) {
    let address = avpu_proto::types::Address::new(address_of(world));
    for _ in 0..pictures {
        world.submit(app, channel, address);
        world.finish(1_000, 100);
    }
}

fn address_of(world: &World) -> u32 {
    let leases = world.broker.pool.leased();
    let source = leases
        .iter()
        .find(|t| t.tenant.purpose == avpu_proto::report::Purpose::Source);
    source.expect("a lease").range.start().value() + 4096
}

fn release(world: &mut World, reader: SessionKey, subscription: SubscriptionId, last: u32) {
    let release = ReleasePackets {
        subscription,
        sequence: Sequence::new(last),
    };
    world.ask(reader, Request::ReleasePackets(release));
}

#[test]
fn a_channel_is_blocked_when_none_of_its_readers_reads_and_not_before() {
    let mut world = World::new();
    let (app, channel, _) = world.ready_channel(1);
    let (slow, dead) = (world.connect(2), world.connect(3));
    let first = world
        .subscribe(slow, channel, Join::NextIdr, 1)
        .subscription;
    let second = world
        .subscribe(dead, channel, Join::NextIdr, 1)
        .subscription;
    encode(&mut world, app, channel, 1);
    told(&mut world, app);
    for picture in 1..20 {
        encode(&mut world, app, channel, 1);
        release(&mut world, slow, first, picture - 1);
    }
    assert_eq!(told(&mut world, app), [], "one of two readers reads");

    encode(&mut world, app, channel, 2);
    assert_eq!(told(&mut world, app), []);
    encode(&mut world, app, channel, 1);
    assert_eq!(told(&mut world, app), [ChannelState::Blocked]);
    assert_eq!(shown(&mut world, app), ChannelState::Blocked);
    release(&mut world, slow, first, 19);
    assert_eq!(told(&mut world, app), [], "it is still behind");
    release(&mut world, slow, first, 20);
    release(&mut world, slow, first, 21);
    assert_eq!(told(&mut world, app), [ChannelState::Running]);

    world.feed(crate::core::event::Input::Closed { session: slow });
    assert_eq!(told(&mut world, app), [ChannelState::Blocked]);
    let subscription = second;
    world.ask(dead, Request::Unsubscribe(Unsubscribe { subscription }));
    assert_eq!(told(&mut world, app), [ChannelState::Running]);
}

#[test]
fn a_reader_that_waits_for_an_idr_blocks_nothing() {
    let mut world = World::new();
    let (app, channel, _) = world.ready_channel(1);
    encode(&mut world, app, channel, 1);
    let reader = world.connect(2);
    world.subscribe(reader, channel, Join::NextIdr, 1);
    told(&mut world, app);
    encode(&mut world, app, channel, 10);
    assert_eq!(told(&mut world, app), []);
}

#[test]
fn a_reader_whose_packets_were_all_overwritten_still_blocks() {
    let mut world = World::new();
    let session = world.connect(1);
    let wish = avpu_proto::request::OpenChannel {
        ring_bytes: 4096,
        ..small()
    };
    let channel = world.open(session, wish).channel;
    world.lease(session, channel, 1);
    let reader = world.connect(2);
    world.subscribe(reader, channel, Join::NextIdr, 1);
    told(&mut world, session);
    let address = avpu_proto::types::Address::new(address_of(&world));
    for _ in 0..40 {
        world.submit(session, channel, address);
        world.finish(1_000, 1000);
    }
    let states = [ChannelState::Running, ChannelState::Blocked];
    assert_eq!(told(&mut world, session), states);
    let before_it_lagged = [ChannelState::Configured, ChannelState::Running];
    assert_eq!(told(&mut world, reader), before_it_lagged);
}
