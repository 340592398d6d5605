//! Channels that are changed while they run.

use super::world::{World, frame, small};
use crate::core::event::SessionKey;
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::request::{OpenChannel, Reconfigure, Request, Submit};
use avpu_proto::types::{
    Address, ChannelId, DropReason, FrameEnd, FrameRate, RateControl, Sequence,
};

const CBR: RateControl = RateControl::Cbr {
    bitrate_bps: 400_000,
    qp_min: 0,
    qp_max: 0,
};

/// Bytes of a picture that is larger than the rate allows: the quantiser rises.
const TOO_LARGE: u32 = 3000;

fn cbr_channel(world: &mut World, number: u32) -> (SessionKey, ChannelId, Address) {
    let wish = OpenChannel {
        rate_control: CBR,
        ..small()
    };
    world.ready_with(number, wish)
}

fn of(channel: ChannelId) -> Reconfigure {
    Reconfigure {
        channel,
        ..Reconfigure::default()
    }
}

#[test]
fn a_new_bitrate_acts_from_the_picture_that_is_named_and_brings_no_idr() {
    let mut world = World::new();
    let (app, channel, address) = cbr_channel(&mut world, 1);
    for _ in 0..10 {
        world.submit(app, channel, address);
        world.finish(1000, TOO_LARGE);
    }
    // One in the encoder, one behind it.
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let wish = Reconfigure {
        bitrate_bps: 1_600_000,
        ..of(channel)
    };
    let changed = world.change(app, wish);
    assert_eq!(changed.first, Sequence::new(11));
    assert_eq!(changed.clamped, Vec::<String>::new());
    let expected = RateControl::Cbr {
        bitrate_bps: 1_600_000,
        qp_min: 20,
        qp_max: 48,
    };
    assert_eq!(changed.effective.rate_control, expected);
    assert_eq!((changed.width, changed.height), (320, 192));
    assert!(
        world.tuned.is_empty(),
        "tables stay while the encoder reads them"
    );

    let before = world.finish(1000, TOO_LARGE);
    assert_eq!(
        before.rate_control.target().map(|rate| rate.bps()),
        Some(400_000)
    );
    assert_eq!(world.tuned.len(), 1);
    let mut previous = before.qp.value();
    for _ in 0..20 {
        let job = world.finish(1000, TOO_LARGE);
        assert_eq!(job.kind, PictureKind::P);
        let target = job.rate_control.target().map(|rate| rate.bps());
        assert_eq!(target, Some(1_600_000));
        assert!(job.qp.value().abs_diff(previous) <= 6);
        previous = job.qp.value();
        world.submit(app, channel, address);
    }
    let qp = before.qp.value();
    assert!(previous < qp, "from {qp} to {previous}");
}

#[test]
fn every_mode_can_be_left_for_every_other() {
    let modes = [
        RateControl::FixQp { qp: 33 },
        CBR,
        RateControl::Vbr {
            bitrate_bps: 400_000,
            bitrate_max_bps: 500_000,
            qp_min: 22,
            qp_max: 40,
        },
        RateControl::CappedVbr {
            bitrate_bps: 400_000,
            bitrate_max_bps: 0,
            qp_min: 0,
            qp_max: 0,
            psnr_max_cdb: 0,
        },
        RateControl::CappedQuality {
            bitrate_max_bps: 400_000,
            qp_min: 0,
            qp_max: 0,
            psnr_cdb: 3600,
        },
    ];
    let mut world = World::new();
    let (app, channel, address) = cbr_channel(&mut world, 1);
    let mut pictures = 0;
    for from in modes {
        for to in modes {
            for mode in [from, to] {
                let wish = Reconfigure {
                    rate_control: Some(mode),
                    ..of(channel)
                };
                let changed = world.change(app, wish);
                assert_eq!(changed.first, Sequence::new(pictures));
                world.submit(app, channel, address);
                let job = world.finish(1000, 2000);
                let opened = world.tuned.last().expect("a change").rate_control;
                assert_eq!(job.rate_control, opened);
                pictures += 1;
            }
        }
    }
}

#[test]
fn numbers_are_taken_as_near_as_they_may_be_and_said_so() {
    let mut world = World::new();
    let (app, channel, _) = cbr_channel(&mut world, 1);
    let wish = Reconfigure {
        rate_control: Some(RateControl::Vbr {
            bitrate_bps: 400_000,
            bitrate_max_bps: 600_000,
            qp_min: 30,
            qp_max: 0,
        }),
        bitrate_bps: 900_000,
        qp_max: 25,
        gop_length: u32::MAX,
        fps_out: Some(FrameRate { num: 50, den: 1 }),
        weight: u16::MAX,
        ..of(channel)
    };
    let changed = world.change(app, wish);
    let effective = &changed.effective;
    let expected = RateControl::Vbr {
        bitrate_bps: 600_000,
        bitrate_max_bps: 600_000,
        qp_min: 30,
        qp_max: 30,
    };
    assert_eq!(effective.rate_control, expected);
    assert_eq!(effective.gop_length, 1_000_000);
    assert_eq!(effective.fps_out, FrameRate { num: 25, den: 1 });
    assert_eq!(effective.weight, 100);
    let told = changed.clamped.join("\n");
    for word in [
        "bitrate_bps: asked for 900000, 600000 in effect",
        "qp_max: asked for 25, 30 in effect",
        "gop_length",
        "50/1",
        "weight",
    ] {
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(changed.clamped.len(), 5, "{told}");
}

#[test]
fn the_only_rate_of_a_capped_quality_is_its_ceiling_by_either_name() {
    let ceiling = |wish| {
        let wish = Reconfigure {
            rate_control: Some(RateControl::CappedQuality {
                bitrate_max_bps: 600_000,
                qp_min: 0,
                qp_max: 0,
                psnr_cdb: 0,
            }),
            ..wish
        };
        let mut world = World::new();
        let (app, channel, _) = cbr_channel(&mut world, 1);
        let changed = world.change(app, Reconfigure { channel, ..wish });
        let RateControl::CappedQuality {
            bitrate_max_bps, ..
        } = changed.effective.rate_control
        else {
            panic!("expected a capped quality, found {changed:?}");
        };
        (bitrate_max_bps, changed.clamped)
    };
    let by = |bitrate_bps, bitrate_max_bps| Reconfigure {
        bitrate_bps,
        bitrate_max_bps,
        ..Reconfigure::default()
    };
    assert_eq!(ceiling(by(0, 0)), (600_000, vec![]));
    assert_eq!(ceiling(by(500_000, 0)), (500_000, vec![]));
    assert_eq!(ceiling(by(0, 700_000)), (700_000, vec![]));
    assert_eq!(ceiling(by(700_000, 700_000)), (700_000, vec![]));
    let told = "bitrate_bps: asked for 500000, 700000 in effect".to_owned();
    assert_eq!(ceiling(by(500_000, 700_000)), (700_000, vec![told]));
}

#[test]
fn what_was_left_to_the_daemon_follows_along() {
    let mut world = World::new();
    let (app, channel, _) = cbr_channel(&mut world, 1);
    let slower = Reconfigure {
        fps: Some(FrameRate { num: 10, den: 1 }),
        qp_min: 50,
        ..of(channel)
    };
    let effective = world.change(app, slower).effective;
    assert_eq!(effective.fps, FrameRate { num: 10, den: 1 });
    assert_eq!(effective.fps_out, FrameRate { num: 10, den: 1 });
    assert_eq!(effective.gop_length, 20);
    let expected = RateControl::Cbr {
        bitrate_bps: 400_000,
        qp_min: 50,
        qp_max: 50,
    };
    assert_eq!(effective.rate_control, expected);
}

#[test]
fn what_has_no_meaning_or_does_not_fit_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let (app, channel, address) = cbr_channel(&mut world, 1);
    let before = world.change(app, of(channel));
    let refusals = [
        (
            Reconfigure {
                bitrate_max_bps: 800_000,
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                rate_control: Some(RateControl::FixQp { qp: 30 }),
                bitrate_bps: 800_000,
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                rate_control: Some(RateControl::FixQp { qp: 30 }),
                qp_max: 40,
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                rate_control: Some(RateControl::FixQp { qp: 30 }),
                picture_bytes_max: Some(20_000),
                ..of(channel)
            },
            ErrorCode::UNSUPPORTED,
        ),
        (
            Reconfigure {
                width: 640,
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                ip_qp_delta: Some(11),
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                fps: Some(FrameRate { num: 1, den: 0 }),
                ..of(channel)
            },
            ErrorCode::INVALID_PARAMETER,
        ),
        (
            Reconfigure {
                name: "nobody".into(),
                ..of(channel)
            },
            ErrorCode::NO_SUCH_CHANNEL,
        ),
    ];
    for (wish, code) in refusals {
        let said = format!("{wish:?}");
        assert_eq!(
            world.refused(app, Request::Reconfigure(wish)),
            code,
            "{said}"
        );
    }
    // The rest of the encoder's time is taken: the channel's own share may be used again, and no more.
    let hog = world.connect(7);
    let large = OpenChannel {
        width: 1280,
        height: 720,
        fps: FrameRate { num: 60, den: 1 },
        ..small()
    };
    world.open(hog, large);
    let faster = Reconfigure {
        fps: Some(FrameRate { num: 200, den: 1 }),
        ..of(channel)
    };
    let code = world.refused(app, Request::Reconfigure(faster));
    assert_eq!(code, ErrorCode::NO_CAPACITY);
    let after = world.change(app, of(channel));
    assert_eq!(before, after);
    world.submit(app, channel, address);
    world.finish(1000, 2000);
}

#[test]
fn a_channel_is_changed_by_its_owners_user_and_the_super_user_only() {
    let mut world = World::new();
    let (app, channel, _) = cbr_channel(&mut world, 5);
    let (root, stranger) = (world.connect(0), world.connect(6));
    let wish = Reconfigure {
        bitrate_bps: 500_000,
        ..of(channel)
    };
    let foreign = world.refused(stranger, Request::Reconfigure(wish.clone()));
    assert_eq!(foreign, ErrorCode::NOT_OWNER);
    world.change(root, wish.clone());
    world.change(app, wish);
}

#[test]
fn a_larger_group_or_a_smaller_one_acts_at_once() {
    let mut world = World::new();
    let (app, channel, address) = cbr_channel(&mut world, 1);
    let kinds = |world: &mut World, pictures: u32| -> String {
        let mut kinds = String::new();
        for _ in 0..pictures {
            world.submit(app, channel, address);
            kinds.push(match world.finish(1000, 2000).kind {
                PictureKind::Idr => 'I',
                PictureKind::P => 'p',
            });
        }
        kinds
    };
    let length = |gop_length| Reconfigure {
        gop_length,
        ..of(channel)
    };
    assert_eq!(kinds(&mut world, 6), "Ippppp");
    world.change(app, length(4));
    assert_eq!(kinds(&mut world, 7), "IpppIpp");
    world.change(app, length(10));
    assert_eq!(kinds(&mut world, 8), "pppppppI");
}

#[test]
fn a_stream_that_outgrows_its_level_begins_with_an_idr_and_one_that_shrinks_does_not() {
    let mut world = World::new();
    let (app, channel, address) = cbr_channel(&mut world, 1);
    world.submit(app, channel, address);
    world.finish(1000, 2000);
    let level = world.change(app, of(channel)).effective.level_idc;
    let rate = |bitrate_bps| Reconfigure {
        bitrate_bps,
        ..of(channel)
    };
    world.change(app, rate(20_000_000));
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 2000).kind, PictureKind::Idr);
    let higher = world.change(app, of(channel)).effective.level_idc;
    assert!(higher > level, "{higher} {level}");
    world.change(app, rate(400_000));
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 2000).kind, PictureKind::P);
    let kept = world.change(app, of(channel)).effective.level_idc;
    assert_eq!(kept, higher);
}

#[test]
fn of_the_frames_that_are_submitted_as_many_are_encoded_as_wanted() {
    let mut world = World::new();
    let app = world.connect(1);
    let wish = OpenChannel {
        fps_out: FrameRate { num: 10, den: 1 },
        ..small()
    };
    let opened = world.open(app, wish);
    assert_eq!(opened.fps_out, FrameRate { num: 10, den: 1 });
    assert_eq!(opened.gop_length, 20);
    let channel = opened.channel;
    let address = world.lease(app, channel, 1).buffers[0].address;
    let encode = |world: &mut World, frames: u32| -> String {
        let mut ends = String::new();
        for _ in 0..frames {
            world.trace.clear();
            world.submit(app, channel, address);
            if !world.jobs.is_empty() {
                world.finish(1000, 2000);
            }
            let reply = world.trace.iter().position(|t| t == "reply Submitted");
            let end = world.trace.iter().position(|t| t == "event SourceReleased");
            assert!(reply < end, "{:?}", world.trace);
            for end in world.ends(app) {
                ends.push(match end {
                    FrameEnd::Encoded { .. } => 'x',
                    FrameEnd::Dropped(DropReason::Decimated) => '.',
                    other => panic!("unexpected {other:?}"),
                });
            }
        }
        ends
    };
    assert_eq!(encode(&mut world, 15), "x..x.x..x.x..x.");
    let all = Reconfigure {
        fps_out: Some(FrameRate::default()),
        ..of(channel)
    };
    let effective = world.change(app, all).effective;
    assert_eq!(effective.fps_out, FrameRate { num: 25, den: 1 });
    assert_eq!(encode(&mut world, 5), "xxxxx");
    let fifth = Reconfigure {
        fps_out: Some(FrameRate { num: 5, den: 1 }),
        ..of(channel)
    };
    world.change(app, fifth);
    assert_eq!(encode(&mut world, 10).matches('x').count(), 2);
}

#[test]
fn a_frame_that_has_to_be_an_idr_is_encoded_out_of_its_turn() {
    let mut world = World::new();
    let wish = OpenChannel {
        fps_out: FrameRate { num: 5, den: 1 },
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, wish);
    world.submit(app, channel, address);
    world.finish(1000, 2000);
    let forced = Submit {
        force_idr: true,
        ..frame(channel, address)
    };
    world.ask(app, Request::Submit(forced));
    assert_eq!(world.finish(1000, 2000).kind, PictureKind::Idr);
    let faster = OpenChannel {
        fps_out: FrameRate { num: 26, den: 1 },
        ..small()
    };
    let code = world.refused(app, Request::OpenChannel(faster));
    assert_eq!(code, ErrorCode::INVALID_PARAMETER);
}
