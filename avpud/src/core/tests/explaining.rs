//! Every frame keeps its story.

use super::world::{World, small};
use crate::job::JobFailure;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::Reply;
use avpu_proto::report::FrameRecord;
use avpu_proto::request::{CloseChannel, Explain, OpenChannel, Page, Request};
use avpu_proto::types::{
    ChannelId, Class, DropReason, FrameEnd, FrameNumber, Join, PictureKind, Sequence,
};

fn explain(world: &mut World, channel: ChannelId, number: u32, by_frame: bool) -> Reply {
    // Anybody may ask.
    let anyone = world.connect(1000 + number);
    world.ask(
        anyone,
        Request::Explain(Explain {
            channel,
            number,
            by_frame,
            ..Explain::default()
        }),
    )
}

fn of_packet(world: &mut World, channel: ChannelId, number: u32) -> FrameRecord {
    match explain(world, channel, number, false) {
        Reply::Explanation(record) => record,
        other => panic!("expected an explanation, found {other:?}"),
    }
}

#[test]
fn a_packet_says_when_its_frame_was_accepted_started_done_delivered_and_ended() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    let accepted = world.now.value();
    world.finish(1200, 500);
    let record = of_packet(&mut world, channel, 0);
    assert_eq!((record.channel, record.pid), (channel, 101));
    assert_eq!(record.name, "ch0");
    assert_eq!(record.frame, FrameNumber::new(0));
    assert_eq!(record.kind, Some(PictureKind::Idr));
    assert_eq!(record.accepted_us.value(), accepted);
    assert_eq!(record.started_us.value(), accepted);
    assert_eq!(record.done_us.value(), accepted + 1200);
    assert!(record.delivered_us >= record.done_us && record.ended_us >= record.delivered_us);
    let sequence = Sequence::new(0);
    assert_eq!(record.end, Some(FrameEnd::Encoded { sequence }));
    assert_eq!((record.behind, record.overtaken_by), (None, 0));
    assert_eq!(record.readers, 1);
    assert!(record.len_bytes > 500, "{}", record.len_bytes);
}

#[test]
fn a_frame_that_waited_says_for_whom() {
    let mut world = World::new();
    let (main, busy, first) = world.ready_channel(1);
    let (sub, waiting, second) = world.ready_channel(2);
    world.submit(main, busy, first);
    world.submit(sub, waiting, second);
    world.finish(5000, 500);
    world.finish(1000, 500);
    let record = of_packet(&mut world, waiting, 0);
    assert_eq!(record.behind, Some(busy));
    assert_eq!(record.started_us.value() - record.accepted_us.value(), 5000);
    // What was in the encoder already has overtaken nobody.
    assert_eq!((record.overtaken_by, record.overtaker), (0, None));
}

#[test]
fn a_dropped_frame_is_explained_by_its_own_number_also_when_its_channel_is_gone() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    world.ask_later(app, Request::CloseChannel(CloseChannel { channel }));
    world.finish(1000, 500);
    let Reply::Explanation(record) = explain(&mut world, channel, 1, true) else {
        panic!("expected an explanation");
    };
    let end = FrameEnd::Dropped(DropReason::ChannelClosed);
    assert_eq!((record.end, record.sequence), (Some(end), None));
    assert_eq!((record.started_us.value(), record.kind), (0, None));
    assert_eq!(record.queued_before, 0);
}

#[test]
fn what_nobody_remembers_is_refused() {
    let mut world = World::new();
    let (_, channel, _) = world.ready_channel(1);
    let code = |reply| match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("expected a refusal, found {other:?}"),
    };
    let unknown = explain(&mut world, channel, 7, false);
    assert_eq!(code(unknown), ErrorCode::NO_SUCH_OBJECT);
    let nobody = explain(&mut world, ChannelId::new(99), 8, false);
    assert_eq!(code(nobody), ErrorCode::NO_SUCH_CHANNEL);
}

#[test]
fn a_trace_goes_on_where_the_last_one_ended() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    for _ in 0..20 {
        world.submit(app, channel, address);
        world.finish(1000, 500);
    }
    let page = |world: &mut World, cursor| match world.ask(app, Request::Trace(Page { cursor })) {
        Reply::Trace(listing) => listing,
        other => panic!("expected a trace, found {other:?}"),
    };
    let first = page(&mut world, 0);
    let next = first.next.expect("a second page");
    let second = page(&mut world, next);
    let frames = first.entries.iter().chain(&second.entries);
    let frames: Vec<u32> = frames.map(|entry| entry.0.frame.value()).collect();
    assert_eq!(frames, (0..20).collect::<Vec<_>>());
    assert_eq!(second.next, None);
    let last = second.entries.last().expect("not empty").0.number;
    assert!(page(&mut world, last + 1).entries.is_empty());
    world.submit(app, channel, address);
    let [new] = page(&mut world, last + 1).entries.try_into().expect("one");
    assert_eq!((new.0.frame, new.0.end), (FrameNumber::new(20), None));
}

#[test]
fn a_frame_that_was_too_large_tells_of_its_second_attempt_only() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 500);
    world.submit(app, channel, address);
    world.pass(2000);
    world.fail(JobFailure::Overflow {
        bytes: 90_000,
        budget: 8000,
    });
    let again = world.now;
    let of_frame = |world: &mut World| match explain(world, channel, 1, true) {
        Reply::Explanation(record) => record,
        other => panic!("expected an explanation, found {other:?}"),
    };
    let record = of_frame(&mut world);
    assert!(record.retried);
    assert_eq!(record.kind, Some(PictureKind::Idr));
    assert_eq!(record.started_us.value(), again.value());
    assert_eq!(record.done_us.value(), 0, "it is in the encoder");
}

#[test]
fn a_frame_says_since_when_its_ticket_counted_and_only_where_it_did() {
    let mut world = World::new();
    let app = world.connect(1);
    let wish = OpenChannel {
        class: Class::Live,
        ..small()
    };
    let opened = world.open(app, wish);
    let channel = opened.channel;
    let address = world.lease(app, channel, 1).buffers[0].address;
    world.pass(1_000_000);
    let due = world.now.value();
    for _ in 0..2 {
        world.submit(app, channel, address);
    }
    world.finish(1000, 500);
    world.finish(1000, 500);
    let record = of_packet(&mut world, channel, 0);
    assert_eq!(
        (record.ticket_us, record.due_us.value()),
        (opened.ticket_us, due)
    );
    assert!(record.ticket_us > 0);
    let beyond_rate = of_packet(&mut world, channel, 1);
    assert_eq!(beyond_rate.due_us.value(), 0);
}
