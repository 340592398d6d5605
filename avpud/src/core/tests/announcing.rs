//! What readers know of the state of their channel: those that join, those that lag, those that missed something.

use super::world::{World, small};
use crate::core::event::SessionKey;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, ReleasePackets, Request, Watch};
use avpu_proto::types::{Address, ChannelId, ChannelState, Join, SubscriptionId};

/// Longer than three periods of the channel.
const LONG_US: u64 = 1_000_000;

struct Scene {
    world: World,
    app: SessionKey,
    channel: ChannelId,
    address: Address,
}

/// A word for each event but packets and released sources.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    State(ChannelState),
    Gap,
}

use ChannelState::{Configured, Running, Starved};
use Told::{Gap, State};

impl Scene {
    /// A channel of IDRs whose ring holds few of them.
    fn new() -> Self {
        let mut world = World::new();
        let wish = OpenChannel {
            ring_bytes: 4096,
            gop_length: 1,
            ..small()
        };
        let (app, channel, address) = world.ready_with(1, wish);
        Self {
            world,
            app,
            channel,
            address,
        }
    }

    fn encode(&mut self, pictures: u32) {
        for _ in 0..pictures {
            self.world.submit(self.app, self.channel, self.address);
            self.world.finish(1_000, 1_500);
        }
    }

    /// Lets the channel starve.
    fn starve(&mut self) {
        self.world.pass(LONG_US);
    }

    fn join(&mut self, number: u32) -> (SessionKey, SubscriptionId) {
        let reader = self.world.connect(number);
        let subscribed = self.world.subscribe(reader, self.channel, Join::LastIdr, 1);
        (reader, subscribed.subscription)
    }

    fn release(&mut self, (reader, subscription): (SessionKey, SubscriptionId)) {
        let last = self.world.packets(reader).pop().expect("it was sent one");
        let release = ReleasePackets {
            subscription,
            sequence: last.sequence,
        };
        let reply = self.world.ask(reader, Request::ReleasePackets(release));
        assert_eq!(reply, Reply::Done);
    }

    fn told(&mut self, session: SessionKey) -> Vec<Told> {
        let events = self.world.other_events(session).into_iter();
        events
            .map(|event| match event {
                Event::ChannelChanged(changed) => State(changed.state),
                Event::Gap(_) => Gap,
                other => panic!("expected a state or a gap, found {other:?}"),
            })
            .collect()
    }
}

#[test]
fn a_reader_that_joins_is_told_the_state_once() {
    let mut scene = Scene::new();
    let (early, _) = scene.join(2);
    assert_eq!(scene.told(early), [State(Configured)]);
    scene.encode(1);
    scene.starve();
    let (late, _) = scene.join(3);
    assert_eq!(scene.told(late), [State(Starved)], "after its first packet");
    assert_eq!(scene.world.packets(late).len(), 1);
    assert_eq!(scene.told(early), [State(Running), State(Starved)]);
}

#[test]
fn a_reader_that_lags_is_told_when_it_has_caught_up_and_what_passed_is_not() {
    let mut scene = Scene::new();
    let reader = scene.join(2);
    scene.encode(1);
    assert_eq!(scene.told(reader.0), [State(Configured), State(Running)]);
    // The second packet waits for a credit: the channel starves, runs and starves again meanwhile.
    scene.encode(1);
    scene.starve();
    assert_eq!(scene.told(reader.0), []);
    scene.release(reader);
    assert_eq!(scene.told(reader.0), [State(Starved)]);
    scene.release(reader);
    assert_eq!(scene.told(reader.0), [], "nothing is news");
    scene.encode(1);
    assert_eq!(scene.told(reader.0), [State(Running)]);
}

#[test]
fn a_reader_that_missed_packets_is_told_the_state_once_when_it_is_with_the_others_again() {
    let mut scene = Scene::new();
    let reader = scene.join(2);
    scene.encode(1);
    scene.told(reader.0);
    scene.encode(10);
    scene.starve();
    assert_eq!(scene.told(reader.0), []);
    scene.release(reader);
    assert_eq!(scene.told(reader.0), [Gap, State(Starved)]);
    scene.release(reader);
    assert_eq!(scene.told(reader.0), []);
    scene.encode(1);
    assert_eq!(scene.told(reader.0), [State(Running)]);
    scene.encode(10);
    scene.release(reader);
    assert_eq!(scene.told(reader.0), [Gap], "it runs as it did");
}

#[test]
fn owners_and_those_who_watch_everything_hear_of_each_change_once_also_as_readers() {
    let mut scene = Scene::new();
    let (app, channel) = (scene.app, scene.channel);
    let watcher = scene.world.connect(2);
    let watch = Request::Watch(Watch { on: true });
    assert_eq!(scene.world.ask(watcher, watch), Reply::Done);
    assert_eq!(scene.told(app), [State(Configured)]);
    for session in [app, watcher, watcher] {
        scene.world.subscribe(session, channel, Join::LastIdr, 4);
        assert_eq!(scene.told(session), []);
    }
    scene.encode(1);
    scene.starve();
    for session in [app, watcher] {
        assert_eq!(scene.told(session), [State(Running), State(Starved)]);
    }
}

#[test]
fn two_subscriptions_of_one_connection_are_told_once() {
    let mut scene = Scene::new();
    let (reader, _) = scene.join(2);
    let channel = scene.channel;
    assert_eq!(scene.told(reader), [State(Configured)]);
    scene.world.subscribe(reader, channel, Join::LastIdr, 4);
    assert_eq!(scene.told(reader), [State(Configured)], "each joins");
    scene.encode(1);
    assert_eq!(scene.told(reader), [State(Running)]);
}
