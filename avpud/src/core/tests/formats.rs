//! Readers are told of another format just before the first packet that has it.

use super::requests::{drain, resume};
use super::world::{World, small};
use crate::core::event::SessionKey;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Reconfigure, ReleasePackets, Request, RequestIdr};
use avpu_proto::types::{ChannelId, FrameRate, Join, Sequence};

/// What a reader is sent, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Packet(u32),
    Last(u32),
    Gap(u32),
    Format(u32, (u16, u16), u32),
}

fn told(world: &mut World, session: SessionKey) -> Vec<Told> {
    let mut taken = Vec::new();
    world.events.retain(|(to, event)| {
        if *to != session {
            return true;
        }
        taken.extend(match event {
            Event::Packet(packet) if packet.last => Some(Told::Last(packet.sequence.value())),
            Event::Packet(packet) => Some(Told::Packet(packet.sequence.value())),
            Event::Gap(gap) => Some(Told::Gap(gap.count)),
            Event::FormatChanged(format) => Some(Told::Format(
                format.first.value(),
                (format.width, format.height),
                format.fps.num,
            )),
            _ => None,
        });
        false
    });
    taken
}

fn encode(world: &mut World, app: SessionKey, channel: ChannelId, count: u32) {
    let address = world.lease(app, channel, 1).buffers[0].address;
    for _ in 0..count {
        let reply = world.submit(app, channel, address);
        assert!(matches!(reply, Reply::Submitted(_)), "{reply:?}");
        world.finish(1000, 100);
    }
}

/// Drains, changes the size and goes on.
fn resize(world: &mut World, app: SessionKey, channel: ChannelId, (width, height): (u16, u16)) {
    assert_eq!(world.ask(app, drain(channel, true)), Reply::Done);
    let wish = Reconfigure {
        channel,
        width,
        height,
        ..Reconfigure::default()
    };
    world.change(app, wish);
    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
}

const SMALL: (u16, u16) = (320, 192);
const LARGE: (u16, u16) = (640, 368);

fn open(world: &mut World) -> (SessionKey, ChannelId) {
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    (app, channel)
}

#[test]
fn a_reader_that_is_behind_is_told_where_the_new_size_begins_and_not_before() {
    let mut world = World::new();
    let (app, channel) = open(&mut world);
    let slow = world.connect(2);
    let subscription = world
        .subscribe(slow, channel, Join::LastIdr, 1)
        .subscription;
    encode(&mut world, app, channel, 2);
    resize(&mut world, app, channel, LARGE);
    encode(&mut world, app, channel, 1);
    assert_eq!(told(&mut world, slow), [Told::Packet(0)]);
    let mut seen = Vec::new();
    for sequence in 0..4 {
        let sequence = Sequence::new(sequence);
        let release = ReleasePackets {
            subscription,
            sequence,
        };
        world.ask(slow, Request::ReleasePackets(release));
        seen.extend(told(&mut world, slow));
    }
    let expected = [
        Told::Packet(1),
        Told::Last(2),
        Told::Format(3, LARGE, 25),
        Told::Packet(3),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_size_that_no_picture_had_is_never_told() {
    let mut world = World::new();
    let (app, channel) = open(&mut world);
    world.subscribe(app, channel, Join::LastIdr, 8);
    encode(&mut world, app, channel, 1);
    resize(&mut world, app, channel, LARGE);
    resize(&mut world, app, channel, (160, 96));
    encode(&mut world, app, channel, 1);
    resize(&mut world, app, channel, LARGE);
    resize(&mut world, app, channel, (160, 96));
    encode(&mut world, app, channel, 1);
    let formats: Vec<_> = told(&mut world, app)
        .into_iter()
        .filter(|told| matches!(told, Told::Format(..)))
        .collect();
    assert_eq!(formats, [Told::Format(3, (160, 96), 25)]);
}

#[test]
fn a_reader_that_starts_in_the_past_is_told_of_the_past_and_then_of_the_change() {
    let mut world = World::new();
    let (app, channel) = open(&mut world);
    encode(&mut world, app, channel, 2);
    resize(&mut world, app, channel, LARGE);
    let (late, patient) = (world.connect(2), world.connect(3));
    let found = world.subscribe(late, channel, Join::LastIdr, 8);
    assert_eq!((found.width, found.height), SMALL);
    let found = world.subscribe(patient, channel, Join::NextIdr, 8);
    assert_eq!((found.width, found.height), LARGE);
    encode(&mut world, app, channel, 1);
    let expected = [
        Told::Packet(0),
        Told::Packet(1),
        Told::Last(2),
        Told::Format(3, LARGE, 25),
        Told::Packet(3),
    ];
    assert_eq!(told(&mut world, late), expected);
    assert_eq!(told(&mut world, patient), [Told::Packet(3)]);
}

#[test]
fn a_reader_that_missed_the_change_is_told_once_behind_its_gap() {
    let mut world = World::new();
    let app = world.connect(1);
    let wish = OpenChannel {
        ring_bytes: 4096,
        gop_length: 10,
        ..small()
    };
    let channel = world.open(app, wish).channel;
    let slow = world.connect(2);
    let subscription = world
        .subscribe(slow, channel, Join::LastIdr, 1)
        .subscription;
    encode(&mut world, app, channel, 2);
    resize(&mut world, app, channel, LARGE);
    encode(&mut world, app, channel, 60);
    let sequence = Sequence::new(0);
    let release = ReleasePackets {
        subscription,
        sequence,
    };
    world.ask(slow, Request::ReleasePackets(release));
    let seen = told(&mut world, slow);
    assert!(
        matches!(
            seen[..],
            [Told::Packet(0), Told::Gap(_), Told::Format(first, LARGE, 25), Told::Packet(same)] if first == same
        ),
        "{seen:?}"
    );
}

#[test]
fn another_frame_rate_is_told_with_the_idr_whose_parameter_sets_say_so() {
    let mut world = World::new();
    let (app, channel) = open(&mut world);
    world.subscribe(app, channel, Join::LastIdr, 8);
    encode(&mut world, app, channel, 2);
    let wish = Reconfigure {
        channel,
        fps: Some(FrameRate { num: 15, den: 1 }),
        ..Reconfigure::default()
    };
    world.change(app, wish);
    encode(&mut world, app, channel, 1);
    let wish = RequestIdr {
        channel,
        name: String::new(),
    };
    world.ask(app, Request::RequestIdr(wish));
    encode(&mut world, app, channel, 2);
    let expected = [
        Told::Packet(0),
        Told::Packet(1),
        Told::Packet(2),
        Told::Format(3, SMALL, 15),
        Told::Packet(3),
        Told::Packet(4),
    ];
    assert_eq!(told(&mut world, app), expected);
}
