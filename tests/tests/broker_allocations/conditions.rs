//! Nor does it when it drops frames, looks after readers that lag, encodes a picture twice, or does more than its least.

use crate::camera;
use crate::world::{World, world};
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Request, UserData};
use avpu_proto::types::{Bytes, FrameRate, Overload, RateControl};
use avpu_tests::alloc::count;
use avpud::core::event::SessionKey;

/// Turns after which everything that grows once has grown.
const WARM_UP: u32 = 250;
/// Turns that are counted.
const COUNTED: u32 = 300;
/// Frames that the queue holds beside the one in the encoder, and two more.
const TOO_MANY: u32 = 1 + 4 + 2;
const QP: RateControl = RateControl::FixQp { qp: 30 };

/// A channel with two readers, one of which is its owner.
fn stage(wish: OpenChannel) -> World {
    let mut world = world();
    world.join(1, wish);
    world.join(2, camera(QP));
    let (owner, channel, _) = world.sources[0];
    let other = world.sources[1].0;
    world.subscribe(owner, channel);
    world.subscribe(other, channel);
    world
}

/// Takes so many turns, and answers the allocations of all but the first of them.
fn allocations(world: &mut World, mut turn: impl FnMut(&mut World, u32)) -> u64 {
    (0..WARM_UP).for_each(|number| turn(world, number));
    let before = count();
    (0..COUNTED).for_each(|number| turn(world, number));
    count() - before
}

fn submit_and_encode(world: &mut World, frames: u32) {
    (0..frames).for_each(|_| world.submit());
    world.encode();
    world.release_but(None);
}

#[test]
fn frames_that_are_dropped_or_held_back_for_want_of_room_allocate_nothing() {
    for overload in [
        Overload::DropOldest,
        Overload::DropNewest,
        Overload::LatestOnly,
        Overload::Wait,
    ] {
        let mut world = stage(OpenChannel {
            overload,
            ..camera(QP)
        });
        let found = allocations(&mut world, |world, _| submit_and_encode(world, TOO_MANY));
        assert_eq!(found, 0, "{overload:?}");
        let all = TOO_MANY * (WARM_UP + COUNTED);
        assert_eq!(world.encoded + world.dropped, all, "{overload:?}");
        assert_eq!(
            world.dropped > 0,
            overload != Overload::Wait,
            "{overload:?}"
        );
    }
}

#[test]
fn a_frame_that_is_refused_costs_the_sentence_that_says_so_and_nothing_else() {
    let mut world = stage(OpenChannel {
        overload: Overload::Reject,
        ..camera(QP)
    });
    let found = allocations(&mut world, |world, _| submit_and_encode(world, TOO_MANY));
    assert_eq!(world.refused, 2 * (WARM_UP + COUNTED));
    assert_eq!(found, u64::from(2 * COUNTED), "one for each refusal");
}

#[test]
fn frames_that_miss_their_deadline_allocate_nothing() {
    let mut world = stage(OpenChannel {
        deadline_us: 4_000,
        ..camera(QP)
    });
    let found = allocations(&mut world, |world, _| submit_and_encode(world, 4));
    assert_eq!(found, 0);
    assert!(world.dropped > 0 && world.encoded > 0);
}

#[test]
fn decimation_delimiters_and_user_data_allocate_nothing() {
    let mut world = stage(OpenChannel {
        fps: FrameRate { num: 25, den: 1 },
        fps_out: FrameRate { num: 10, den: 1 },
        access_unit_delimiters: true,
        ..camera(QP)
    });
    let (owner, channel, _) = world.sources[0];
    let label = Request::UserData(UserData {
        channel,
        uuid: Bytes(vec![7; 16]),
        payload: Bytes(vec![0; 60]),
        every_idr: true,
    });
    assert_eq!(world.ask(owner, label), Reply::Done);
    let found = allocations(&mut world, |world, _| submit_and_encode(world, 3));
    assert_eq!(found, 0);
    assert!(world.dropped > world.encoded, "three of five are left out");
}

#[test]
fn a_reader_that_lags_beside_others_allocates_nothing() {
    let mut world = stage(camera(QP));
    let lagging: SessionKey = world.sources[1].0;
    let found = allocations(&mut world, |world, number| {
        world.submit();
        world.encode();
        // It reads now and then, when what it was sent is overwritten.
        world.release_but((number % 100 > 0).then_some(lagging));
    });
    assert_eq!(found, 0);
    let all = WARM_UP + COUNTED;
    assert!(world.gaps > 0 && world.packets > all && world.packets < 2 * all);
}

#[test]
fn every_rate_control_allocates_nothing() {
    let (bitrate_bps, bitrate_max_bps, qp_min, qp_max) = (400_000, 800_000, 0, 0);
    for rate_control in [
        RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
        },
        RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_max_cdb: 4000,
        },
        RateControl::CappedQuality {
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_cdb: 3800,
        },
    ] {
        let mut world = stage(camera(rate_control));
        let found = allocations(&mut world, |world, _| submit_and_encode(world, 2));
        assert_eq!(found, 0, "{rate_control:?}");
        assert_eq!(world.encoded, 2 * (WARM_UP + COUNTED));
    }
}

#[test]
fn a_picture_that_is_encoded_once_more_allocates_nothing() {
    let mut world = stage(camera(QP));
    let found = allocations(&mut world, |world, number| {
        world.submit();
        if number % 5 == 0 {
            world.overflow();
        }
        world.encode();
        world.release_but(None);
    });
    assert_eq!(found, 0);
    assert_eq!((world.encoded, world.failed), (WARM_UP + COUNTED, 0));
}
