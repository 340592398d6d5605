//! A picture that was too large, and what happens to its channel before the second attempt.

use super::requests::reset;
use super::world::{World, config, small};
use crate::core::event::SessionKey;
use crate::job::{EncodeJob, JobFailure};
use crate::picture::PictureKind;
use avpu_proto::event::Event;
use avpu_proto::reply::{IdrPromised, Reply};
use avpu_proto::request::{OpenChannel, Request, RequestIdr, Revoke};
use avpu_proto::types::{
    Address, ChannelId, ChannelState, DropReason, FailReason, FrameEnd, RateControl, Sequence,
};

const LOST: FrameEnd = FrameEnd::Failed(FailReason::Overflow);

fn too_large(world: &mut World) -> EncodeJob {
    world.fail(JobFailure::Overflow {
        bytes: 90_000,
        budget: 8000,
    })
}

fn encoded(sequence: u32) -> FrameEnd {
    let sequence = Sequence::new(sequence);
    FrameEnd::Encoded { sequence }
}

/// A channel whose first picture, an IDR, is delivered, and whose second, a P picture, is in the encoder.
fn predicted(wish: OpenChannel) -> (World, SessionKey, ChannelId, Address) {
    let mut world = World::with(config());
    let (app, channel, address) = world.ready_with(1, wish);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.submit(app, channel, address);
    let job = world.jobs.front().expect("in the encoder");
    assert_eq!(job.kind, PictureKind::P);
    assert_eq!(world.ends(app), [encoded(0)]);
    (world, app, channel, address)
}

fn cbr(qp_max: u8) -> OpenChannel {
    OpenChannel {
        rate_control: RateControl::Cbr {
            bitrate_bps: 400_000,
            qp_min: 20,
            qp_max,
        },
        ..small()
    }
}

fn failed_because(world: &mut World, app: SessionKey) -> Vec<String> {
    let events = world.other_events(app).into_iter();
    let reasons = events.filter_map(|event| match event {
        Event::ChannelChanged(changed) if changed.state == ChannelState::Failed => {
            Some(changed.reason)
        }
        _ => None,
    });
    reasons.collect()
}

#[test]
fn memory_that_was_taken_back_is_not_read_for_a_second_attempt() {
    let (mut world, app, channel, address) = predicted(small());
    let operator = world.connect(0);
    let lease = world.lease(app, channel, 1);
    world.submit(app, channel, lease.buffers[0].address);
    let in_encoder = address;
    let first = avpu_proto::types::LeaseId::new(lease.lease.value() - 1);
    let revoke = Request::Revoke(Revoke {
        lease: first,
        grace_us: 10,
    });
    assert_eq!(world.ask(operator, revoke), Reply::Done);
    world.pass(10);
    let job = too_large(&mut world);
    assert_eq!(job.source.start().value(), in_encoder.value());
    let next = world.jobs.front().expect("the other frame");
    assert_ne!(next.source.start().value(), in_encoder.value());
    assert_eq!(next.kind, PictureKind::Idr);
    assert_eq!(world.ends(app), [LOST]);
    let gone = |event: &Event| matches!(event, Event::LeaseRevoked(r) if r.lease == first);
    assert!(world.other_events(app).iter().any(gone));
}

#[test]
fn a_picture_of_the_stream_before_a_reset_does_not_begin_the_one_after_it() {
    let (mut world, app, channel, address) = predicted(cbr(40));
    assert_eq!(world.ask(app, reset(channel)), Reply::Done);
    too_large(&mut world);
    assert!(world.jobs.is_empty(), "nothing of the old stream goes on");
    assert_eq!(world.ends(app), [LOST]);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.ends(app), [encoded(1)]);
}

#[test]
fn a_channel_that_fails_over_its_size_says_so() {
    let (mut world, app, channel, address) = predicted(cbr(20));
    world.submit(app, channel, address);
    too_large(&mut world);
    too_large(&mut world);
    let dropped = FrameEnd::Dropped(DropReason::ChannelClosed);
    let mut ends = world.ends(app);
    ends.sort_by_key(|end| *end == LOST);
    assert_eq!(ends, [dropped, LOST]);
    let reasons = failed_because(&mut world, app);
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("too large"), "{reasons:?}");
}

#[test]
fn a_fixed_quantiser_fails_with_its_second_attempt_also_where_idrs_are_finer() {
    let wish = OpenChannel {
        rate_control: RateControl::FixQp { qp: 30 },
        ip_qp_delta: Some(5),
        ..small()
    };
    let (mut world, app, ..) = predicted(wish);
    too_large(&mut world);
    let again = too_large(&mut world);
    assert_eq!((again.kind, again.qp.value()), (PictureKind::Idr, 25));
    assert_eq!(world.ends(app), [LOST]);
    assert_eq!(failed_because(&mut world, app).len(), 1);
}

#[test]
fn what_was_promised_for_the_next_packet_is_not_given_by_the_one_before_it() {
    let (mut world, app, channel, address) = predicted(cbr(40));
    world.submit(app, channel, address);
    let idr = Request::RequestIdr(RequestIdr {
        channel,
        name: String::new(),
    });
    let Reply::IdrPromised(IdrPromised { sequence, .. }) = world.ask(app, idr) else {
        panic!("expected a promise");
    };
    assert_eq!(sequence, Sequence::new(2));
    // The P picture in the encoder becomes an IDR itself, under the number that it would have had.
    too_large(&mut world);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    assert_eq!(world.ends(app), [encoded(1), encoded(2)]);
}
