//! Draining, going on, flushing and beginning anew.

use super::requests::{drain, flush, reset, resume};
use super::world::{World, frame, small};
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, GapReason};
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Request};
use avpu_proto::types::{
    ChannelId, ChannelState, DropReason, FrameEnd, Join, Overload, RateControl, Sequence,
};

fn keep(channel: ChannelId) -> Request {
    drain(channel, true)
}

#[test]
fn a_drain_that_keeps_ends_with_an_empty_packet_and_goes_on_where_it_was() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    assert_eq!(world.ask(app, keep(channel)), Reply::Done);
    assert_eq!(world.refused(app, resume(channel)), ErrorCode::WRONG_STATE);
    assert_eq!(world.refused(app, keep(channel)), ErrorCode::WRONG_STATE);
    world.finish(1000, 100);
    assert!(world.packets(app).iter().all(|packet| !packet.last));
    world.finish(1000, 100);
    let packets = world.packets(app);
    let told: Vec<_> = packets
        .iter()
        .map(|p| (p.sequence.value(), p.last, p.len_bytes > 0))
        .collect();
    assert_eq!(told, [(1, false, true), (2, true, false)]);
    let events = world.other_events(app);
    let ended = |e: &Event| matches!(e, Event::EndOfStream(_));
    assert!(!events.iter().any(ended), "{events:?}");
    let drained =
        |e: &Event| matches!(e, Event::ChannelChanged(c) if c.state == ChannelState::Drained);
    assert!(events.iter().any(drained), "{events:?}");
    let refused = world.submit(app, channel, address);
    assert!(matches!(refused, Reply::Refused(_)), "{refused:?}");

    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    world.submit(app, channel, address);
    let job = world.finish(1000, 100);
    assert_eq!(job.kind, PictureKind::P);
    let packets = world.packets(app);
    let sequences: Vec<_> = packets.iter().map(|p| p.sequence.value()).collect();
    assert_eq!(sequences, [3]);
}

#[test]
fn a_drain_of_nothing_marks_the_end_at_once_also_for_who_waits_for_an_idr() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let late = world.connect(2);
    world.subscribe(late, channel, Join::NextIdr, 8);
    world.ask(app, keep(channel));
    let packets = world.packets(late);
    assert_eq!(packets.len(), 1);
    assert!(packets[0].last);
    // Who joins at the last IDR gets what there is, and its end.
    let later = world.connect(3);
    world.subscribe(later, channel, Join::LastIdr, 8);
    let last: Vec<_> = world.packets(later).iter().map(|p| p.last).collect();
    assert_eq!(last, [false, true]);
}

#[test]
fn a_picture_lost_at_the_end_is_told_before_the_mark() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.ask(app, keep(channel));
    world.fail(crate::job::JobFailure::ErrorFill { status: 1 });
    let events = world.other_events(app);
    let lost =
        |e: &Event| matches!(e, Event::Gap(gap) if gap.reason == GapReason::Lost && gap.count == 1);
    assert!(events.iter().any(lost), "{events:?}");
    assert!(world.packets(app).last().is_some_and(|p| p.last));
}

#[test]
fn a_flush_ends_what_waits_before_it_is_answered_and_leaves_the_stream() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.ends(app);
    world.trace.clear();
    assert_eq!(world.ask(app, flush(channel)), Reply::Done);
    let order = ["event SourceReleased", "event SourceReleased", "reply Done"];
    assert_eq!(world.trace, order);
    let flushed = FrameEnd::Dropped(DropReason::Flushed);
    assert_eq!(world.ends(app), [flushed, flushed]);
    let job = world.finish(1000, 100);
    assert_eq!(job.kind, PictureKind::P);
    let sequence = Sequence::new(1);
    assert_eq!(world.ends(app), [FrameEnd::Encoded { sequence }]);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
}

#[test]
fn a_flush_lets_a_drain_end_early() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.ask(app, keep(channel));
    world.ask(app, flush(channel));
    world.finish(1000, 100);
    let last: Vec<_> = world.packets(app).iter().map(|p| p.last).collect();
    assert_eq!(last, [false, true]);
}

#[test]
fn after_a_reset_comes_an_idr_with_the_quantiser_of_a_new_channel() {
    let mut world = World::new();
    let wish = OpenChannel {
        rate_control: RateControl::Cbr {
            bitrate_bps: 500_000,
            qp_min: 0,
            qp_max: 0,
        },
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    let mut first = None;
    for _ in 0..10 {
        world.submit(app, channel, address);
        // Much more than the rate allows: the quantiser grows.
        let job = world.finish(1000, 20_000);
        first.get_or_insert(job.qp);
    }
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    assert_eq!(world.ask(app, reset(channel)), Reply::Done);
    let old = world.finish(1000, 20_000);
    assert_eq!(old.kind, PictureKind::P);
    assert!(Some(old.qp) > first);
    world.submit(app, channel, address);
    let new = world.finish(1000, 20_000);
    assert_eq!(new.kind, PictureKind::Idr);
    assert_eq!(Some(new.qp), first);
}

#[test]
fn streams_are_controlled_by_their_owner_only_and_not_when_they_have_ended() {
    let mut world = World::new();
    let (app, channel, _) = world.ready_channel(1);
    let other = world.connect(2);
    for request in [
        keep(channel),
        resume(channel),
        flush(channel),
        reset(channel),
    ] {
        assert_eq!(world.refused(other, request), ErrorCode::NOT_OWNER);
    }
    assert_eq!(world.refused(app, resume(channel)), ErrorCode::WRONG_STATE);
    world.ask(app, drain(channel, false));
    for request in [
        keep(channel),
        resume(channel),
        flush(channel),
        reset(channel),
    ] {
        assert_eq!(world.refused(app, request), ErrorCode::WRONG_STATE);
    }
}

#[test]
fn a_flush_reaches_frames_that_wait_for_room_and_a_drain_refuses_them() {
    let mut world = World::new();
    let wish = OpenChannel {
        overload: Overload::Wait,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    let fill = |world: &mut World, frames: u16| -> Vec<u16> {
        (0..frames)
            .map(|_| world.ask_later(app, Request::Submit(frame(channel, address))))
            .collect()
    };
    let asked = fill(&mut world, 10);
    assert_eq!(world.answer_to(app, asked[9]), None, "it waits for room");
    world.ask(app, flush(channel));
    for id in &asked[..9] {
        let answer = world.answer_to(app, *id);
        assert!(matches!(answer, Some(Reply::Submitted(_))), "{answer:?}");
    }
    let flushed = FrameEnd::Dropped(DropReason::Flushed);
    assert_eq!(world.ends(app), [flushed; 9]);
    let asked = fill(&mut world, 6);
    world.ask(app, keep(channel));
    let last = world.answer_to(app, asked[5]);
    assert!(matches!(last, Some(Reply::Refused(_))), "{last:?}");
}
