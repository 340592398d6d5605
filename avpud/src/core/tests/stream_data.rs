//! User data, delimiters, parameter sets out of band, and what packets say of themselves.

use super::requests::{drain, flush, resume};
use super::world::{World, frame, small};
use crate::core::event::SessionKey;
use crate::job::{EncodedPicture, JobFailure, JobOutcome, PictureStats};
use crate::mem::addr::ByteLen;
use avpu_proto::error::ErrorCode;
use avpu_proto::limits::QUEUE_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, ParameterSets, Request, UserData};
use avpu_proto::types::{Address, Bytes, ChannelId, FrameRate, Join, Overload, RateControl};

fn user_data(channel: ChannelId, text: &[u8], every_idr: bool) -> Request {
    Request::UserData(UserData {
        channel,
        uuid: Bytes(vec![1; 16]),
        payload: Bytes(text.to_vec()),
        every_idr,
    })
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn user_data_rides_with_the_next_frame_or_with_every_idr_until_it_is_taken_back() {
    let mut world = World::new();
    let wish = OpenChannel {
        gop_length: 2,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    world.ask(app, user_data(channel, b"every", true));
    world.submit(app, channel, address);
    world.ask(app, user_data(channel, b"once", false));
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let mut said = Vec::new();
    for picture in 0..6 {
        let job = world.finish(1000, 100);
        let header = job.header.bytes();
        said.push((holds(header, b"every"), holds(header, b"once")));
        if picture == 3 {
            let none = user_data(channel, b"", false);
            assert_eq!(world.ask(app, none), Reply::Done);
        }
        world.submit(app, channel, address);
    }
    let (every, once, none) = ((true, false), (false, true), (false, false));
    assert_eq!(said, [every, once, every, none, every, none]);
}

#[test]
fn user_data_that_does_not_fit_its_message_is_refused() {
    let mut world = World::new();
    let (app, channel, _) = world.ready_channel(1);
    let long = user_data(channel, &[b'x'; 65], true);
    assert_eq!(world.refused(app, long), ErrorCode::INVALID_PARAMETER);
    let short = Request::UserData(UserData {
        channel,
        uuid: Bytes(vec![1; 15]),
        payload: Bytes(vec![1]),
        every_idr: false,
    });
    assert_eq!(world.refused(app, short), ErrorCode::INVALID_PARAMETER);
    let other = world.connect(2);
    let foreign = user_data(channel, b"x", true);
    assert_eq!(world.refused(other, foreign), ErrorCode::NOT_OWNER);
}

#[test]
fn a_frame_that_is_left_out_keeps_its_user_data_for_the_next_one() {
    let mut world = World::new();
    let wish = OpenChannel {
        fps_out: FrameRate { num: 5, den: 1 },
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    world.ask(app, user_data(channel, b"once", false));
    for _ in 0..5 {
        world.submit(app, channel, address);
    }
    let job = world.finish(1000, 100);
    assert!(holds(job.header.bytes(), b"once"));
}

/// A channel whose first picture is in the encoder. What happens to the second frame, for which there is a message, is up
/// to `what`; answers the numbers of the pictures after it, from 1 on, that have the message.
fn found_after(
    wish: OpenChannel,
    what: impl Fn(&mut World, SessionKey, ChannelId, Address),
) -> Vec<usize> {
    let mut world = World::new();
    let (app, channel, address) = world.ready_with(1, wish);
    world.submit(app, channel, address);
    what(&mut world, app, channel, address);
    (1..=4)
        .filter(|_| {
            if world.jobs.is_empty() {
                world.submit(app, channel, address);
            }
            holds(world.finish(1000, 100).header.bytes(), b"once")
        })
        .collect()
}

#[test]
fn user_data_of_a_frame_that_is_dropped_or_lost_goes_with_the_next_one() {
    let once = |world: &mut World, app, channel| {
        world.ask(app, user_data(channel, b"once", false));
    };
    let overload = |overload| OpenChannel {
        overload,
        ..small()
    };
    let lost = found_after(small(), |world, app, channel, address| {
        once(world, app, channel);
        world.submit(app, channel, address);
        world.finish(1000, 100);
        world.submit(app, channel, address);
        world.fail(JobFailure::ErrorFill { status: 1 });
    });
    assert_eq!(lost, [1], "lost in the encoder");
    let reset = found_after(small(), |world, app, channel, address| {
        once(world, app, channel);
        world.submit(app, channel, address);
        world.finish(1000, 100);
        world.hang_and_reset(true);
    });
    assert_eq!(reset, [1], "lost with a reset");
    let superseded = overload(Overload::LatestOnly);
    let superseded = found_after(superseded, |world, app, channel, address| {
        once(world, app, channel);
        world.submit(app, channel, address);
        world.submit(app, channel, address);
        world.finish(1000, 100);
    });
    assert_eq!(superseded, [1], "superseded");
    let newest = found_after(
        overload(Overload::DropNewest),
        |world, app, channel, address| {
            for _ in 0..QUEUE_MAX {
                world.submit(app, channel, address);
            }
            once(world, app, channel);
            world.submit(app, channel, address);
            for _ in 0..=QUEUE_MAX {
                world.finish(1000, 100);
            }
        },
    );
    assert_eq!(newest, [1], "for want of room");
    let late = OpenChannel {
        deadline_us: 10_000,
        ..small()
    };
    let late = found_after(late, |world, app, channel, address| {
        once(world, app, channel);
        world.submit(app, channel, address);
        world.finish(10_001, 100);
    });
    assert_eq!(late, [1], "too late");
}

#[test]
fn user_data_that_is_handed_on_gives_way_to_newer_and_is_flushed_with_its_frame() {
    let latest = OpenChannel {
        overload: Overload::LatestOnly,
        ..small()
    };
    let newer = found_after(latest, |world, app, channel, address| {
        world.ask(app, user_data(channel, b"once", false));
        world.submit(app, channel, address);
        world.ask(app, user_data(channel, b"newer", false));
        world.submit(app, channel, address);
        world.finish(1000, 100);
        assert!(holds(world.finish(1000, 100).header.bytes(), b"newer"));
    });
    assert_eq!(newer, [0; 0]);
    let flushed = found_after(small(), |world, app, channel, address| {
        world.ask(app, user_data(channel, b"once", false));
        world.submit(app, channel, address);
        world.ask(app, flush(channel));
        world.finish(1000, 100);
    });
    assert_eq!(flushed, [0; 0]);
}

#[test]
fn user_data_reaches_a_frame_that_waits_for_room_before_one_that_is_still_to_come() {
    let mut world = World::new();
    let wish = OpenChannel {
        overload: Overload::Wait,
        deadline_us: 10_000,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    for _ in 0..QUEUE_MAX {
        world.submit(app, channel, address);
    }
    world.ask(app, user_data(channel, b"once", false));
    world.submit(app, channel, address);
    // This one waits for room, which there is when all before it are too late.
    world.ask_later(app, Request::Submit(frame(channel, address)));
    world.finish(10_001, 100);
    assert!(holds(world.finish(1000, 100).header.bytes(), b"once"));
    world.submit(app, channel, address);
    assert!(!holds(world.finish(1000, 100).header.bytes(), b"once"));
}

#[test]
fn user_data_of_a_submit_that_is_refused_stays_for_the_next_one() {
    let mut world = World::new();
    let wish = OpenChannel {
        overload: Overload::Wait,
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    for _ in 0..=QUEUE_MAX {
        world.submit(app, channel, address);
    }
    world.ask(app, user_data(channel, b"once", false));
    let waits = world.ask_later(app, Request::Submit(frame(channel, address)));
    world.ask(app, drain(channel, true));
    let refused = world.answer_to(app, waits);
    assert!(matches!(refused, Some(Reply::Refused(_))), "{refused:?}");
    for _ in 0..=QUEUE_MAX {
        let job = world.finish(1000, 100);
        assert!(!holds(job.header.bytes(), b"once"));
    }
    // At once, too.
    let again = world.submit(app, channel, address);
    assert!(matches!(again, Reply::Refused(_)), "{again:?}");
    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    world.submit(app, channel, address);
    assert!(holds(world.finish(1000, 100).header.bytes(), b"once"));
}

#[test]
fn parameter_sets_are_those_of_the_stream_for_anybody_by_name_and_by_id() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let other = world.connect(2);
    world.submit(app, channel, address);
    let job = world.finish(1000, 100);
    for wish in [
        ParameterSets {
            channel,
            name: String::new(),
        },
        ParameterSets {
            channel: ChannelId::new(99),
            name: "ch0".into(),
        },
    ] {
        let Reply::ParameterSets(sets) = world.ask(other, Request::ParameterSets(wish)) else {
            panic!("expected parameter sets");
        };
        assert!(job.header.bytes().starts_with(&sets.annex_b.0));
        assert_eq!(sets.avcc.0.first(), Some(&1));
    }
}

#[test]
fn packets_tell_their_units_their_quality_and_how_full_the_buffer_is() {
    let mut world = World::new();
    let wish = OpenChannel {
        access_unit_delimiters: true,
        rate_control: RateControl::Cbr {
            bitrate_bps: 200_000,
            qp_min: 0,
            qp_max: 0,
        },
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    world.subscribe(app, channel, Join::LastIdr, 8);
    world.ask(app, Request::Submit(frame(channel, address)));
    let job = world.jobs.pop_front().expect("a job");
    let stats = PictureStats {
        // One squared error a sample.
        sse_luma: 320 * 192,
        qp_sum: 20 * 12 * 33 + 10,
        ..PictureStats::default()
    };
    let picture = EncodedPicture {
        payload_len: ByteLen::new(10_000),
        stats,
    };
    world.done(job.id, JobOutcome::Encoded(picture));
    let packet = world.packets(app)[0];
    let kinds: Vec<u8> = packet.nal_units.iter().map(|unit| unit.nal_type).collect();
    assert_eq!(kinds, [9, 7, 8, 5, 0, 0]);
    for unit in packet.nal_units.iter().filter(|unit| unit.nal_type != 0) {
        let at = usize::from(unit.offset_bytes);
        assert_eq!(job.header.bytes()[at..at + 4], [0, 0, 0, 1]);
        assert_eq!(job.header.bytes()[at + 4] & 0x1f, unit.nal_type);
    }
    assert_eq!(packet.psnr_cdb, 4813);
    assert_eq!(packet.qp_mean, 33);
    assert!(packet.buffer_permille > 0);
}
