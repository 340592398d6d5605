//! Frames that find the queue full, and frames that waited too long.

use super::requests::drain;
use super::world::{World, frame, small};
use crate::core::event::{Input, SessionKey};
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::limits::{QUEUE_MAX, SUBMIT_CREDITS};
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, OpenChannel, Reconfigure, Request, Submit, UserData};
use avpu_proto::types::{Address, Bytes, ChannelId, DropReason, FrameEnd, FrameNumber, Overload};

/// A connection with a channel of this policy and deadline whose encoder is busy and whose queue is full.
fn full(overload: Overload, deadline_us: u32) -> (World, SessionKey, ChannelId, Address) {
    let mut world = World::new();
    let wish = OpenChannel {
        overload,
        deadline_us,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    for _ in 0..=QUEUE_MAX {
        world.submit(app, channel, address);
    }
    assert!(world.ends(app).is_empty());
    (world, app, channel, address)
}

fn dropped(world: &mut World, app: SessionKey) -> Vec<(u32, DropReason)> {
    let ends = world.releases(app).into_iter();
    ends.filter_map(|released| match released.end {
        FrameEnd::Dropped(reason) => Some((released.frame.value(), reason)),
        _ => None,
    })
    .collect()
}

fn number(reply: &Reply) -> FrameNumber {
    match reply {
        Reply::Submitted(submitted) => submitted.frame,
        other => panic!("expected an accepted frame, found {other:?}"),
    }
}

#[test]
fn reject_refuses_the_frame_that_finds_the_queue_full() {
    let (mut world, app, channel, address) = full(Overload::Reject, 0);
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::QUEUE_FULL);
    assert_eq!(world.report(app, channel).submits_refused, 1);
}

#[test]
fn drop_oldest_drops_the_frame_that_waits_longest_and_still_owes_its_key_frame() {
    let (mut world, app, channel, address) = full(Overload::DropOldest, 0);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.releases(app);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    assert_eq!(number(&world.ask(app, Request::Submit(forced))).value(), 6);
    assert_eq!(dropped(&mut world, app), [(2, DropReason::Superseded)]);
    for lost in 3..=6 {
        world.submit(app, channel, address);
        let expected = [(lost, DropReason::Superseded)];
        assert_eq!(dropped(&mut world, app), expected);
    }
    // The forced one was the last of those.
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
    let report = world.report(app, channel);
    assert_eq!((report.dropped_superseded, report.frames_dropped), (5, 5));
}

#[test]
fn drop_newest_accepts_the_frame_and_drops_it_after_the_answer() {
    let (mut world, app, channel, address) = full(Overload::DropNewest, 0);
    world.trace.clear();
    let last = world.submit(app, channel, address);
    assert_eq!(number(&last).value(), 5);
    assert_eq!(world.trace, ["reply Submitted", "event SourceReleased"]);
    assert_eq!(dropped(&mut world, app), [(5, DropReason::QueueFull)]);
    assert_eq!(world.report(app, channel).dropped_queue_full, 1);
}

#[test]
fn of_a_channel_that_wants_the_latest_only_one_frame_waits() {
    let mut world = World::new();
    let wish = OpenChannel {
        overload: Overload::LatestOnly,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    for _ in 0..40 {
        world.submit(app, channel, address);
    }
    let lost: Vec<u32> = dropped(&mut world, app).iter().map(|d| d.0).collect();
    assert_eq!(lost, (1..39).collect::<Vec<u32>>());
    world.finish(1000, 100);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
    assert_eq!(world.report(app, channel).dropped_superseded, 38);
}

#[test]
fn a_submit_that_waits_is_answered_when_there_is_room() {
    let (mut world, app, channel, address) = full(Overload::Wait, 0);
    let first = world.ask_later(app, Request::Submit(frame(channel, address)));
    let second = world.ask_later(app, Request::Submit(frame(channel, address)));
    assert_eq!(world.answer_to(app, first), None);
    world.finish(1000, 100);
    let answer = world.answer_to(app, first).expect("there is room");
    assert_eq!(number(&answer).value(), 5);
    assert_eq!(world.answer_to(app, second), None);
    world.finish(1000, 100);
    let answer = world.answer_to(app, second).expect("there is room");
    assert_eq!(number(&answer).value(), 6);
    for _ in 0..5 {
        world.finish(1000, 100);
    }
    assert_eq!(world.ends(app).len(), 7);
    world.pass(120_000);
    assert_eq!(world.broker.poll_timeout(), None, "it starves once");
}

#[test]
fn submits_that_wait_take_credits_and_are_checked_before_they_wait() {
    let (mut world, app, channel, address) = full(Overload::Wait, 0);
    let foreign = frame(channel, Address::new(0x0700_0000));
    let code = world.refused(app, Request::Submit(foreign));
    assert_eq!(code, ErrorCode::ADDRESS_FOREIGN);
    for _ in QUEUE_MAX + 1..SUBMIT_CREDITS {
        world.ask_later(app, Request::Submit(frame(channel, address)));
    }
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::NO_CREDIT);
}

#[test]
fn submits_that_wait_for_room_that_never_comes_are_refused() {
    let close = |channel| Request::CloseChannel(CloseChannel { channel });
    let ways = [
        (close(ChannelId::new(1)), ErrorCode::NO_SUCH_CHANNEL),
        (drain(ChannelId::new(1), false), ErrorCode::WRONG_STATE),
    ];
    for (way, code) in ways {
        let (mut world, app, channel, address) = full(Overload::Wait, 0);
        assert_eq!(channel, ChannelId::new(1));
        let held = world.ask_later(app, Request::Submit(frame(channel, address)));
        world.ask_later(app, way);
        match world.answer_to(app, held) {
            Some(Reply::Refused(refusal)) => assert_eq!(refusal.code, code),
            other => panic!("expected {code:?}, found {other:?}"),
        }
    }
    let (mut world, app, channel, address) = full(Overload::Wait, 0);
    let held = world.ask_later(app, Request::Submit(frame(channel, address)));
    world.feed(Input::Shutdown);
    let answer = world.answer_to(app, held);
    let Some(Reply::Refused(refusal)) = answer else {
        panic!("expected a refusal, found {answer:?}");
    };
    assert_eq!(refusal.code, ErrorCode::SHUTTING_DOWN);
}

#[test]
fn a_client_that_leaves_while_its_submits_wait_leaves_nothing_behind() {
    let (mut world, app, channel, address) = full(Overload::Wait, 0);
    for _ in 0..4 {
        world.ask_later(app, Request::Submit(frame(channel, address)));
    }
    world.feed(Input::Closed { session: app });
    world.finish(1000, 100);
    assert!(world.replies.is_empty());
    world.assert_quiet();
}

#[test]
fn a_frame_past_its_deadline_is_dropped_before_the_encoder_and_nothing_refers_to_it() {
    let (mut world, app, channel, address) = full(Overload::Reject, 30_000);
    world.finish(1000, 100);
    let gop_index = world.finish(28_000, 100).gop_index;
    assert_eq!(gop_index, 1);
    world.releases(app);
    // The third is started in time, the last two are not.
    assert_eq!(world.jobs.len(), 1);
    let third = world.finish(10_000, 100);
    assert_eq!((third.kind, third.gop_index), (PictureKind::P, 2));
    let lost = [(3, DropReason::Deadline), (4, DropReason::Deadline)];
    assert_eq!(dropped(&mut world, app), lost);
    assert_eq!(world.jobs.len(), 0);
    world.submit(app, channel, address);
    let next = world.finish(1000, 100);
    assert_eq!((next.kind, next.gop_index), (PictureKind::P, 3));
    assert_eq!(world.report(app, channel).dropped_deadline, 2);
}

#[test]
fn a_frame_is_started_up_to_its_deadline_and_not_after() {
    for (waited_us, encoded) in [(30_000, 1), (30_001, 0)] {
        let (mut world, _, _, _) = full(Overload::Reject, 30_000);
        world.finish(waited_us, 100);
        assert_eq!(world.jobs.len(), encoded, "{waited_us}");
    }
}

#[test]
fn frames_past_their_deadline_make_room_for_one_that_is_not() {
    for overload in [Overload::Reject, Overload::DropNewest, Overload::Wait] {
        let (mut world, app, channel, address) = full(overload, 30_000);
        world.pass(30_001);
        // The encoder is busy with another picture for longer than any of them may wait.
        assert_eq!(number(&world.submit(app, channel, address)).value(), 5);
        let late = [1, 2, 3, 4].map(|frame| (frame, DropReason::Deadline));
        assert_eq!(dropped(&mut world, app), late, "{overload:?}");
        world.finish(1000, 100);
        world.finish(1000, 100);
        let encoded = |end: &FrameEnd| matches!(end, FrameEnd::Encoded { .. });
        assert!(world.ends(app).iter().all(encoded), "{overload:?}");
    }
}

#[test]
fn user_data_goes_with_the_frame_that_is_submitted_next_also_where_that_waits_for_room() {
    let (mut world, app, channel, address) = full(Overload::Wait, 0);
    let text = |world: &mut World, text: &[u8]| {
        let data = UserData {
            channel,
            uuid: Bytes(vec![1; 16]),
            payload: Bytes(text.to_vec()),
            every_idr: false,
        };
        assert_eq!(world.ask(app, Request::UserData(data)), Reply::Done);
    };
    text(&mut world, b"fifth");
    world.ask_later(app, Request::Submit(frame(channel, address)));
    text(&mut world, b"sixth");
    world.ask_later(app, Request::Submit(frame(channel, address)));
    for number in 0..7 {
        let header = world.finish(1000, 100).header;
        let says = |text: &[u8]| header.bytes().windows(5).any(|five| five == text);
        assert_eq!((says(b"fifth"), says(b"sixth")), (number == 5, number == 6));
    }
}

#[test]
fn those_that_wait_for_room_are_answered_as_a_changed_policy_says() {
    let changes = [
        (Overload::Reject, 0, vec![]),
        (Overload::DropOldest, 2, vec![1, 2]),
        (Overload::DropNewest, 2, vec![5, 6]),
        (Overload::LatestOnly, 2, vec![1, 2, 3, 4, 5]),
    ];
    for (overload, accepted, lost) in changes {
        let (mut world, app, channel, address) = full(Overload::Wait, 0);
        let submit = || Request::Submit(frame(channel, address));
        let waiting = [0; 2].map(|_| world.ask_later(app, submit()));
        assert!(waiting.iter().all(|id| world.answer_to(app, *id).is_none()));
        let change = Reconfigure {
            channel,
            overload: Some(overload),
            ..Reconfigure::default()
        };
        let changed = world.ask(app, Request::Reconfigure(change));
        assert!(matches!(changed, Reply::Reconfigured(_)), "{changed:?}");
        let answers = waiting.map(|id| world.answer_to(app, id).expect("answered now"));
        let submitted = |reply: &&Reply| matches!(reply, Reply::Submitted(_));
        assert_eq!(
            answers.iter().filter(submitted).count(),
            accepted,
            "{overload:?}"
        );
        let dropped: Vec<u32> = dropped(&mut world, app).iter().map(|d| d.0).collect();
        assert_eq!(dropped, lost, "{overload:?}");
        // What is left comes in the order of its acceptance.
        let mut frames = Vec::new();
        while !world.jobs.is_empty() {
            world.finish(1000, 100);
            frames.extend(world.releases(app).iter().map(|r| r.frame.value()));
        }
        assert!(frames.is_sorted(), "{overload:?}: {frames:?}");
    }
}

#[test]
fn a_key_frame_that_was_dropped_as_the_newest_is_still_owed() {
    let (mut world, app, channel, address) = full(Overload::DropNewest, 0);
    // One that is under way answers it.
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    world.submit(app, channel, address);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    world.ask(app, Request::Submit(forced));
    assert_eq!(dropped(&mut world, app), [(6, DropReason::QueueFull)]);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
}
