//! Frames through the engine: order, references, failures, recovery.

use super::world::{SMALL_BYTES, World, encoded, frame, small};
use crate::core::event::Input;
use crate::core::note::Note;
use crate::job::{EngineId, JobFailure};
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, Gap, GapReason};
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Request, Submit};
use avpu_proto::types::{
    self, ChannelState, DropReason, FailReason, FrameEnd, FrameNumber, Join, Sequence,
};

#[test]
fn a_frame_is_accepted_encoded_delivered_and_released() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    let reply = world.submit(app, channel, address);
    assert!(matches!(reply, Reply::Submitted(s) if s.frame == FrameNumber::new(0)));
    let job = world.finish(1200, 500);
    assert_eq!((job.kind, job.gop_index), (PictureKind::Idr, 0));
    assert_eq!(job.source.start().value(), address.value());
    assert_eq!(job.source.len().get(), 320 * 192 * 3 / 2);

    let packets = world.packets(app);
    let [packet] = packets.as_slice() else {
        panic!("expected one packet, found {packets:?}");
    };
    assert_eq!(packet.timestamp, 0x1122_3344_5566_7788);
    assert_eq!(packet.kind, types::PictureKind::Idr);
    assert_eq!(packet.done_us.value() - packet.started_us.value(), 1200);
    let ends = world.releases(app);
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].address, ends[0].cookie), (address, 5));
    let sequence = Sequence::new(0);
    assert_eq!(ends[0].end, FrameEnd::Encoded { sequence });
    world.pass(120_000);
    assert_eq!(world.broker.poll_timeout(), None, "idle means no timer");
}

#[test]
fn submit_is_answered_before_anything_that_follows_from_it() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.trace.clear();
    world.submit(app, channel, address);
    assert_eq!(
        world.trace.first().map(String::as_str),
        Some("reply Submitted")
    );
    assert!(world.trace.contains(&"submit".to_owned()));
}

#[test]
fn the_next_job_is_started_before_the_last_one_is_reported() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    world.trace.clear();
    world.finish(1000, 500);
    assert_eq!(world.trace, ["submit", "deliver", "event SourceReleased"]);
}

#[test]
fn a_client_that_submits_more_than_it_said_does_not_delay_one_that_keeps_to_its_rate() {
    let mut world = World::new();
    let (camera, channel, address) = world.ready_channel(1);
    let wish = OpenChannel {
        fps: types::FrameRate { num: 1, den: 3600 },
        weight: 100,
        ..small()
    };
    let (greedy, flooded, source) = world.ready_with(2, wish);
    for _ in 0..5 {
        world.submit(greedy, flooded, source);
    }
    for _ in 0..4 {
        world.pass(38_000);
        world.submit(camera, channel, address);
        world.finish(2000, 100);
        world.submit(greedy, flooded, source);
        assert!(world.ends(camera).is_empty());
        world.finish(0, 100);
        assert_eq!(world.ends(camera).len(), 1);
    }
}

#[test]
fn pictures_of_a_group_are_numbered_and_every_gop_length_th_is_an_idr() {
    let mut world = World::new();
    let wish = OpenChannel {
        gop_length: 3,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    let mut kinds = Vec::new();
    for _ in 0..7 {
        world.submit(app, channel, address);
        let job = world.finish(1000, 100);
        kinds.push((job.kind == PictureKind::Idr, job.gop_index));
    }
    let expected = [0, 1, 2, 0, 1, 2, 0].map(|index| (index == 0, index));
    assert_eq!(kinds, expected);
}

#[test]
fn a_failed_picture_is_followed_by_an_idr_and_told_as_recovering() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.other_events(app);
    let job = world.fail(JobFailure::ErrorFill { status: 0xdead });
    assert_eq!(job.kind, PictureKind::P);
    assert_eq!(
        world.ends(app).pop(),
        Some(FrameEnd::Failed(FailReason::HardwareError))
    );
    assert!(state_told(
        &world.other_events(app),
        ChannelState::Recovering
    ));
    world.packets(app);

    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    let events = world.other_events(app);
    assert!(state_told(&events, ChannelState::Running));
    let lost = events.iter().any(|event| {
        matches!(
            event,
            Event::Gap(Gap {
                reason: GapReason::Lost,
                count: 1,
                ..
            })
        )
    });
    assert!(lost, "the reader is told of the lost picture: {events:?}");
    assert_eq!(world.packets(app).len(), 1);
}

fn state_told(events: &[Event], state: ChannelState) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::ChannelChanged(changed) if changed.state == state))
}

#[test]
fn a_picture_that_did_not_fit_takes_the_one_that_refers_to_it_along() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    for _ in 0..4 {
        world.submit(app, channel, address);
    }
    world.finish(1000, 100);
    world.delivery_fails = true;
    world.finish(1000, 100); // The P after it is already in flight.
    let orphan = world.finish(1000, 100);
    assert_eq!(orphan.kind, PictureKind::P);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    let failed = |reason| FrameEnd::Failed(reason);
    let sequence = |n| FrameEnd::Encoded {
        sequence: Sequence::new(n),
    };
    assert_eq!(
        world.ends(app),
        [
            sequence(0),
            failed(FailReason::Overflow),
            failed(FailReason::ReferenceLost),
            sequence(1)
        ]
    );
}

#[test]
fn a_picture_larger_than_the_ring_is_encoded_once_more_as_an_idr() {
    let mut world = World::new();
    let app = world.connect(1);
    let ring_bytes = 8192;
    let opened = world.open(
        app,
        OpenChannel {
            ring_bytes,
            ..small()
        },
    );
    assert_eq!(opened.ring_bytes, 8192);
    let channel = opened.channel;
    let address = world.lease(app, channel, 1).buffers[0].address;
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.finish(1000, 100);
    let lost = world.finish(1000, 9000);
    assert_eq!(lost.kind, PictureKind::P);
    let again = world.finish(1000, 200);
    assert_eq!((again.kind, again.source), (PictureKind::Idr, lost.source));
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
    let sequences = [0, 1, 2].map(|number| FrameEnd::Encoded {
        sequence: Sequence::new(number),
    });
    assert_eq!(world.ends(app), sequences);
}

#[test]
fn a_picture_that_never_fits_is_coarser_each_time_until_its_channel_fails() {
    let mut world = World::new();
    let app = world.connect(1);
    let rate_control = types::RateControl::Cbr {
        bitrate_bps: 400_000,
        qp_min: 20,
        qp_max: 34,
    };
    let opened = world.open(
        app,
        OpenChannel {
            rate_control,
            ring_bytes: 8192,
            ..small()
        },
    );
    let channel = opened.channel;
    let address = world.lease(app, channel, 1).buffers[0].address;
    for _ in 0..5 {
        world.submit(app, channel, address);
    }
    let mut last: Option<u8> = None;
    let mut attempts = 0;
    let mut ends = Vec::new();
    while ends.len() < 5 {
        let job = world.fail(JobFailure::Overflow {
            bytes: 90_000,
            budget: 8000,
        });
        assert_eq!(job.kind, PictureKind::Idr);
        let qp = job.qp.value();
        assert!(
            last.is_none_or(|last| qp > last || qp == 34),
            "{qp} after {last:?}"
        );
        last = Some(qp);
        attempts += 1;
        assert!(attempts < 10, "two attempts a frame at most");
        ends.extend(world.ends(app));
    }
    assert_eq!(last, Some(34));
    assert_eq!(attempts % 2, 0);
    let lost = FrameEnd::Failed(FailReason::Overflow);
    let dropped = FrameEnd::Dropped(DropReason::ChannelClosed);
    let count = |wanted| ends.iter().filter(|end| **end == wanted).count();
    assert_eq!((count(lost), count(dropped)), (2, 3));
}

#[test]
fn a_forced_idr_makes_one_idr_also_when_the_next_job_starts_before_its_delivery() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    world.ask(app, Request::Submit(forced));
    world.submit(app, channel, address);
    let kinds: Vec<_> = (0..4).map(|_| world.finish(1000, 100).kind).collect();
    use PictureKind::{Idr, P};
    assert_eq!(kinds, [Idr, P, Idr, P]);
}

#[test]
fn a_frame_that_must_be_an_idr_is_one_also_right_behind_another() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    world.submit(app, channel, address);
    world.ask(app, Request::Submit(forced));
    world.ask(app, Request::Submit(forced));
    world.submit(app, channel, address);
    let kinds: Vec<_> = (0..4).map(|_| world.finish(1000, 100).kind).collect();
    use PictureKind::{Idr, P};
    assert_eq!(kinds, [Idr, Idr, Idr, P]);
}

#[test]
fn a_forced_idr_that_failed_is_made_up_for() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    world.ask(app, Request::Submit(forced));
    assert_eq!(world.fail(JobFailure::Device).kind, PictureKind::Idr);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
}

#[test]
fn a_lost_completion_costs_one_frame_and_nobody_else_anything() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let (other, other_channel, other_address) = world.ready_channel(2);
    world.submit(app, channel, address);
    world.submit(other, other_channel, other_address);
    world.submit(app, channel, address);
    let watcher = world.connect(3);
    let watch = avpu_proto::request::Watch { on: true };
    world.ask(watcher, Request::Watch(watch));
    world.hang_and_reset(true);
    assert_eq!(world.ends(app), [FrameEnd::Failed(FailReason::Timeout)]);
    assert!(
        world
            .notes
            .iter()
            .any(|n| matches!(n, Note::Timeout { .. }))
    );
    for session in [app, watcher] {
        let events = world.other_events(session);
        let told =
            |e: &Event| matches!(e, Event::EngineReset(r) if r.channel == channel && r.resets == 1);
        assert!(events.iter().any(told), "{events:?}");
    }
    let next = world.finish(1000, 100);
    assert_eq!(world.ends(other).len(), 1, "{next:?}");
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.ends(app).len(), 1);
}

#[test]
fn a_completion_during_the_reset_is_thrown_away() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    let job = world.jobs.pop_front().expect("in flight");
    world.pass(150_000);
    assert_eq!(world.resets_asked, 1);
    world.trace.clear();
    world.done(job.id, encoded(100));
    assert_eq!(world.trace, ["discard"]);
    world.feed(Input::EngineReset {
        engine: EngineId::VIDEO,
        ok: true,
    });
    assert_eq!(world.ends(app), [FrameEnd::Failed(FailReason::Timeout)]);
    world.done(job.id, encoded(100));
    assert!(world.ends(app).is_empty(), "a frame ends once");
}

#[test]
fn more_than_four_lost_pictures_in_a_row_do_not_end_a_channel() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    for _ in 0..10 {
        world.submit(app, channel, address);
        world.hang_and_reset(true);
    }
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.ends(app).len(), 11);
}

#[test]
fn an_engine_that_cannot_be_reset_ends_the_daemon_with_a_wish_for_a_restart() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let (other, other_channel, other_address) = world.ready_channel(2);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    world.submit(other, other_channel, other_address);
    for _ in 0..3 {
        world.hang_and_reset(false);
    }
    use DropReason::EngineOffline;
    assert_eq!(
        world.ends(app),
        [
            FrameEnd::Dropped(EngineOffline),
            FrameEnd::Failed(FailReason::Timeout)
        ]
    );
    assert_eq!(world.ends(other), [FrameEnd::Dropped(EngineOffline)]);
    assert_eq!(world.finished, Some(true));
    world.assert_quiet_but_for(SMALL_BYTES);
}

#[test]
fn a_channel_that_loses_picture_after_picture_fails_and_says_so() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let mut failed = 0;
    while let Reply::Submitted(_) = world.submit(app, channel, address) {
        world.fail(JobFailure::Device);
        failed += 1;
        assert!(failed < 100, "expected the channel to give up");
    }
    assert!(failed > 8, "found it give up after {failed} pictures");
    assert!(state_told(&world.other_events(app), ChannelState::Failed));
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::WRONG_STATE);
}

#[test]
fn the_queue_and_the_credits_are_bounded() {
    let mut world = World::new();
    let app = world.connect(1);
    let mut channels = Vec::new();
    for _ in 0..4 {
        let channel = world.open(app, small()).channel;
        let address = world.lease(app, channel, 1).buffers[0].address;
        channels.push((channel, address));
    }
    let (channel, address) = channels[0];
    for _ in 0..5 {
        world.submit(app, channel, address);
    }
    let full = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(full, ErrorCode::QUEUE_FULL);
    for ((channel, address), count) in channels[1..].iter().zip([4, 4, 3]) {
        for _ in 0..count {
            let reply = world.submit(app, *channel, *address);
            assert!(matches!(reply, Reply::Submitted(_)));
        }
    }
    let (channel, address) = channels[3];
    let dry = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(dry, ErrorCode::NO_CREDIT);
    world.finish(1000, 100);
    let reply = world.submit(app, channel, address);
    assert!(matches!(reply, Reply::Submitted(_)));
}

#[test]
fn constant_bitrate_answers_large_pictures_with_a_coarser_quantiser() {
    let mut world = World::new();
    let app = world.connect(1);
    let rate_control = types::RateControl::Cbr {
        bitrate_bps: 200_000,
        qp_min: 0,
        qp_max: 0,
    };
    let wish = OpenChannel {
        rate_control,
        ..small()
    };
    let opened = world.open(app, wish);
    let effective = types::RateControl::Cbr {
        bitrate_bps: 200_000,
        qp_min: 20,
        qp_max: 48,
    };
    assert_eq!(opened.rate_control, effective);
    let channel = opened.channel;
    let address = world.lease(app, channel, 1).buffers[0].address;
    let mut last = None;
    for _ in 0..40 {
        world.submit(app, channel, address);
        last = Some(world.finish(1000, 6000).qp.value());
    }
    assert_eq!(last, Some(48), "6000 bytes a picture is six times the rate");
}
