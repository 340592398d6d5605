//! What the stateful encoder interface of Video4Linux says of a drain that is disturbed, or of nothing.

use super::requests::{drain, flush, reset, resume};
use super::world::{World, encoded, frame, small};
use crate::core::event::SessionKey;
use crate::job::JobFailure;
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, Gap, GapReason};
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Reconfigure, ReleasePackets, Request};
use avpu_proto::types::{ChannelId, DropReason, FailReason, FrameEnd, Join, RateControl, Sequence};

fn larger(channel: ChannelId) -> Request {
    Request::Reconfigure(Reconfigure {
        channel,
        width: 640,
        height: 368,
        ..Reconfigure::default()
    })
}

const NOTHING: [i64; 0] = [];

/// Packets by number; a mark is negative, the number after its own.
fn packets(world: &mut World, session: SessionKey) -> Vec<i64> {
    let shown = |packet: &avpu_proto::event::Packet| {
        let number = i64::from(packet.sequence.value());
        if packet.last { -number - 1 } else { number }
    };
    world.packets(session).iter().map(shown).collect()
}

fn gaps(world: &mut World, session: SessionKey) -> Vec<(u32, u32, GapReason)> {
    let gap = |event: &Event| match event {
        Event::Gap(Gap {
            first,
            count,
            reason,
            ..
        }) => Some((first.value(), *count, *reason)),
        _ => None,
    };
    world.other_events(session).iter().filter_map(gap).collect()
}

fn ends_of_stream(world: &mut World, session: SessionKey) -> Vec<u32> {
    let end = |event: &Event| match event {
        Event::EndOfStream(end) => Some(end.packets),
        _ => None,
    };
    world.other_events(session).iter().filter_map(end).collect()
}

#[test]
fn a_stream_without_a_frame_ends_with_one_empty_packet_or_at_once() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    assert_eq!(world.ask(app, drain(channel, true)), Reply::Done);
    assert_eq!(packets(&mut world, app), [-1]);
    world.pass(1_000_000);
    assert_eq!(packets(&mut world, app), NOTHING);
    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    // Drained again with nothing in between: its own mark, once.
    assert_eq!(world.ask(app, drain(channel, true)), Reply::Done);
    assert_eq!(packets(&mut world, app), [-2]);
    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(packets(&mut world, app), [2]);

    let (other, empty, _) = world.ready_channel(2);
    world.subscribe(other, empty, Join::LastIdr, 8);
    world.ask(other, drain(empty, false));
    assert_eq!(packets(&mut world, other), NOTHING);
    assert_eq!(ends_of_stream(&mut world, other), [0]);
}

#[test]
fn a_drain_is_neither_begun_twice_nor_left_before_its_end() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    let refused = |world: &mut World, request| {
        assert_eq!(world.refused(app, request), ErrorCode::WRONG_STATE);
    };
    refused(&mut world, resume(channel));
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    world.ask(app, drain(channel, true));
    for keep in [true, false] {
        refused(&mut world, drain(channel, keep));
    }
    refused(&mut world, resume(channel));
    refused(&mut world, Request::Submit(frame(channel, address)));
    world.finish(1000, 100);
    world.finish(1000, 100);
    assert_eq!(packets(&mut world, app), [0, 1, -3]);
    refused(&mut world, drain(channel, true));
    refused(&mut world, flush(channel));
    assert_eq!(packets(&mut world, app), NOTHING);
}

#[test]
fn what_goes_on_after_a_drain_has_all_the_state_from_before() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.ask(app, drain(channel, true));
    world.ask(app, resume(channel));
    world.submit(app, channel, address);
    let job = world.finish(1000, 100);
    assert_eq!((job.kind, job.gop_index), (PictureKind::P, 1));
    assert_eq!(packets(&mut world, app), [0, -2, 2]);
}

#[test]
fn who_waits_for_an_idr_goes_on_waiting_behind_the_mark() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let late = world.connect(2);
    world.subscribe(late, channel, Join::NextIdr, 8);
    world.ask(app, drain(channel, true));
    world.ask(app, resume(channel));
    for force_idr in [false, true, false] {
        let wish = avpu_proto::request::Submit {
            force_idr,
            ..frame(channel, address)
        };
        world.ask(app, Request::Submit(wish));
        world.finish(1000, 100);
    }
    assert_eq!(packets(&mut world, late), [-2, 3, 4]);
    assert_eq!(gaps(&mut world, late), [], "it had not begun");
}

#[test]
fn who_fell_behind_is_told_up_to_the_mark_and_behind_it() {
    let mut world = World::new();
    let wish = OpenChannel {
        ring_bytes: 4096,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    let slow = world.connect(2);
    let subscription = world
        .subscribe(slow, channel, Join::LastIdr, 1)
        .subscription;
    let encode = |world: &mut World, count| {
        for _ in 0..count {
            world.submit(app, channel, address);
            world.finish(1000, 300);
        }
    };
    encode(&mut world, 20);
    world.ask(app, drain(channel, true));
    world.ask(app, resume(channel));
    let release = |world: &mut World, number| {
        let sequence = Sequence::new(number);
        let release = ReleasePackets {
            subscription,
            sequence,
        };
        world.ask(slow, Request::ReleasePackets(release));
    };
    assert_eq!(packets(&mut world, slow), [0]);
    release(&mut world, 0);
    assert_eq!(gaps(&mut world, slow), [(0, 20, GapReason::Overrun)]);
    assert_eq!(packets(&mut world, slow), [-21]);
    release(&mut world, 20);
    encode(&mut world, 3);
    assert_eq!(
        packets(&mut world, slow),
        NOTHING,
        "pictures that it has no reference for"
    );
    world.ask(app, reset(channel));
    encode(&mut world, 1);
    assert_eq!(gaps(&mut world, slow), [(21, 3, GapReason::Overrun)]);
    assert_eq!(packets(&mut world, slow), [24]);
}

#[test]
fn a_flush_in_a_drain_completes_it_and_the_mark_comes_once() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.ask(app, drain(channel, true));
    for _ in 0..2 {
        assert_eq!(world.ask(app, flush(channel)), Reply::Done);
        assert_eq!(packets(&mut world, app), NOTHING, "one is in the encoder");
    }
    world.finish(1000, 100);
    assert_eq!(packets(&mut world, app), [0, -2]);
    let flushed = FrameEnd::Dropped(DropReason::Flushed);
    let sequence = Sequence::new(0);
    let encoded = FrameEnd::Encoded { sequence };
    assert_eq!(world.ends(app), [flushed, flushed, encoded]);
}

#[test]
fn a_reset_in_a_drain_cancels_it() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.ask(app, drain(channel, true));
    assert_eq!(world.ask(app, reset(channel)), Reply::Done);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let job = world.finish(1000, 100);
    assert_eq!(job.kind, PictureKind::Idr);
    assert_eq!(packets(&mut world, app), [0, 1], "and no mark");
    // A drain for good is the end of the stream, whatever comes.
    world.submit(app, channel, address);
    world.ask(app, drain(channel, false));
    assert_eq!(world.refused(app, reset(channel)), ErrorCode::WRONG_STATE);
    world.finish(1000, 100);
    assert_eq!(ends_of_stream(&mut world, app), [3]);
}

#[test]
fn a_reset_of_a_drained_channel_and_two_of_them_begin_one_stream() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.ask(app, drain(channel, true));
    for _ in 0..2 {
        assert_eq!(world.ask(app, reset(channel)), Reply::Done);
    }
    let kinds: Vec<_> = (0..3)
        .map(|_| {
            world.submit(app, channel, address);
            world.finish(1000, 100).kind
        })
        .collect();
    assert_eq!(kinds, [PictureKind::Idr, PictureKind::P, PictureKind::P]);
    assert_eq!(packets(&mut world, app), [0, -2, 2, 3, 4]);
}

#[test]
fn a_picture_of_a_stream_that_was_reset_is_not_tried_again_in_the_next() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.ask(app, reset(channel));
    world.ends(app);
    world.fail(JobFailure::Overflow {
        bytes: 1 << 20,
        budget: 1 << 19,
    });
    assert_eq!(world.ends(app), [FrameEnd::Failed(FailReason::Overflow)]);
    assert!(world.jobs.is_empty(), "nothing of the old stream is left");
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(gaps(&mut world, app), [(1, 1, GapReason::Lost)]);
    assert_eq!(packets(&mut world, app), [0, 1]);
}

#[test]
fn a_drain_ends_as_it_would_when_a_change_waits_for_its_next_picture() {
    let mut world = World::new();
    let wish = OpenChannel {
        rate_control: RateControl::Cbr {
            bitrate_bps: 400_000,
            qp_min: 0,
            qp_max: 0,
        },
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    // It waits for the picture in the encoder, and then there is none that it could act on.
    let change = Reconfigure {
        channel,
        bitrate_bps: 800_000,
        ..Reconfigure::default()
    };
    let Reply::Reconfigured(changed) = world.ask(app, Request::Reconfigure(change)) else {
        panic!("expected a changed channel");
    };
    assert_eq!(changed.first, Sequence::new(1));
    world.ask(app, drain(channel, true));
    world.finish(1000, 100);
    assert_eq!(packets(&mut world, app), [0, -2]);
    assert!(world.tuned.is_empty());
    world.ask(app, resume(channel));
    world.submit(app, channel, address);
    let job = world.finish(1000, 100);
    let target = job.rate_control.target().map(|rate| rate.bps());
    assert_eq!((job.kind, target), (PictureKind::P, Some(800_000)));
    assert_eq!(world.tuned.len(), 1);
}

#[test]
fn a_size_waits_for_the_end_of_a_drain_and_is_forgotten_by_nothing_but_another() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.ask(app, drain(channel, true));
    assert_eq!(world.refused(app, larger(channel)), ErrorCode::WRONG_STATE);
    world.finish(1000, 100);
    assert!(matches!(
        world.ask(app, larger(channel)),
        Reply::Reconfigured(_)
    ));
    // A reset goes on with the new size, as resuming would.
    assert_eq!(world.ask(app, reset(channel)), Reply::Done);
    let address = world.lease(app, channel, 1).buffers[0].address;
    world.submit(app, channel, address);
    let job = world.finish(1000, 100);
    assert_eq!(job.kind, PictureKind::Idr);
    assert_eq!(packets(&mut world, app), [0, -2, 2]);
}

#[test]
fn a_drain_whose_only_picture_is_lost_ends_with_one_mark_and_goes_on_with_an_idr() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    let job = world.jobs.pop_front().expect("it was started").id;
    world.ask(app, drain(channel, true));
    let outcome = crate::job::JobOutcome::Failed(JobFailure::ErrorFill { status: 1 });
    world.done(job, outcome);
    // An end that is told twice is nobody's.
    world.done(job, encoded(100));
    assert_eq!(packets(&mut world, app), [-1]);
    world.ask(app, resume(channel));
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
}

#[test]
fn what_was_lost_before_the_mark_is_told_once() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 64);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.fail(JobFailure::Device);
    assert_eq!(world.ask(app, drain(channel, true)), Reply::Done);
    assert_eq!(gaps(&mut world, app), [(1, 1, GapReason::Lost)]);
    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(gaps(&mut world, app), []);
    assert_eq!(packets(&mut world, app), [0, -2, 2]);
}
