//! Requests that are whole and ask for the least, the most and the absurd.

use crate::peer::Peer;
use crate::scene::{Scene, VICTIM};
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, OpenChannel, Request, Submit};
use avpu_proto::types::{ChannelId, FrameEnd, FrameRate, RateControl};
use std::fs::File;
use std::os::unix::fs::FileExt;

fn fps(num: u32, den: u32) -> OpenChannel {
    OpenChannel {
        fps: FrameRate { num, den },
        ..small()
    }
}

fn small() -> OpenChannel {
    OpenChannel {
        width: 64,
        height: 64,
        ..OpenChannel::default()
    }
}

fn cbr(bitrate_bps: u32, qp_min: u8, qp_max: u8) -> OpenChannel {
    OpenChannel {
        rate_control: RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        },
        ..small()
    }
}

fn fix_qp(qp: u8) -> OpenChannel {
    OpenChannel {
        rate_control: RateControl::FixQp { qp },
        ..small()
    }
}

fn sized(width: u16, height: u16) -> OpenChannel {
    OpenChannel {
        width,
        height,
        ..OpenChannel::default()
    }
}

fn named(name: &str) -> OpenChannel {
    OpenChannel {
        name: name.to_owned(),
        ..small()
    }
}

fn wishes() -> Vec<OpenChannel> {
    let mut wishes = Vec::new();
    let sides = [0, 1, 2, 16, 18, 64, 2592, 2594, 65534, u16::MAX];
    wishes.extend(
        sides
            .iter()
            .flat_map(|side| [sized(*side, 64), sized(64, *side)]),
    );
    wishes.push(sized(u16::MAX, u16::MAX));
    for terms in [(0, 1), (1, 0), (1, 1), (1, 3600), (1_000_000, 999_983)] {
        wishes.push(fps(terms.0, terms.1));
    }
    for terms in [(u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX), (240, 1)] {
        wishes.push(fps(terms.0, terms.1));
    }
    wishes.extend([1, 51, 52, 255].map(fix_qp));
    for (min, max) in [(0, 0), (51, 1), (1, 1), (51, 51), (52, 0), (255, 255)] {
        wishes.push(cbr(100_000, min, max));
    }
    wishes.extend([0, 1, 4_000, 300_000_000, u32::MAX].map(|bps| cbr(bps, 0, 0)));
    for gop_length in [1, 2, 1_000_000, 1_000_001, u32::MAX] {
        wishes.push(OpenChannel {
            gop_length,
            ..small()
        });
    }
    for weight in [1, 100, 101, u16::MAX] {
        wishes.push(OpenChannel { weight, ..small() });
    }
    for ring_bytes in [1, 4095, 4096, 4097, 1 << 28, (1 << 31) + 1, u32::MAX] {
        wishes.push(OpenChannel {
            ring_bytes,
            ..small()
        });
    }
    let long = "x".repeat(33);
    let names = [VICTIM, " ", "a\nb", "\0", "\u{1b}[2J", "ch0", "%n%s", &long];
    wishes.extend(names.map(named));
    wishes.push(named(&"x".repeat(16_000)));
    wishes
}

/// Encodes a picture on a channel as it was opened; says how that ended.
fn encode(peer: &mut Peer, channel: ChannelId) -> FrameEnd {
    let leased = peer.lease(channel, 1);
    let submit = Request::Submit(Submit {
        channel,
        address: leased.buffers[0].address,
        timestamp: u64::MAX,
        cookie: u64::MAX,
        force_idr: true,
    });
    assert!(matches!(peer.ask(&submit), Reply::Submitted(_)));
    loop {
        if let Event::SourceReleased(released) = peer.event() {
            assert_eq!(released.cookie, u64::MAX);
            return released.end;
        }
    }
}

#[test]
fn every_extreme_channel_is_refused_or_encodes() {
    let mut scene = Scene::new("");
    let (mut opened, mut refused) = (0, 0);
    for wish in wishes() {
        let label = format!("{wish:?}");
        let end = scene.beside(&label, |daemon| {
            let mut peer = Peer::connect(&daemon.socket());
            match peer.ask(&Request::OpenChannel(wish)) {
                Reply::ChannelOpened(opened) => Ok(encode(&mut peer, opened.channel)),
                Reply::Refused(refusal) => Err(refusal),
                other => panic!("{label}: {other:?}"),
            }
        });
        match end {
            Ok(FrameEnd::Encoded { .. }) => opened += 1,
            Ok(end) => panic!("{label}: {end:?}"),
            Err(refusal) => {
                let codes = [
                    ErrorCode::INVALID_PARAMETER,
                    ErrorCode::NAME_TAKEN,
                    ErrorCode::NO_CAPACITY,
                    ErrorCode::NO_MEMORY,
                ];
                assert!(codes.contains(&refusal.code), "{label}: {refusal}");
                assert!(refusal.recoverable, "{label}: {refusal}");
                refused += 1;
            }
        }
    }
    assert!(opened > 15 && refused > 15, "{opened} and {refused}");
    scene.finish();
}

#[test]
fn a_picture_that_changes_under_the_encoder_harms_only_its_own_stream() {
    let mut scene = Scene::new("");
    scene.beside("a picture that changes", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let opened = peer.open();
        let (channel, leased) = (opened.channel, peer.lease(opened.channel, 1));
        let file = File::from(peer.descriptors.pop().expect("it came"));
        let len = usize::try_from(leased.layout.len_bytes).expect("it is small");
        let submit = Request::Submit(Submit {
            channel,
            address: leased.buffers[0].address,
            ..Submit::default()
        });
        for round in 0..50_u8 {
            assert!(matches!(peer.ask(&submit), Reply::Submitted(_)));
            // From the reply on the encoder may be reading.
            for value in 0..20_u8 {
                let bytes = vec![round.wrapping_mul(37) ^ value.wrapping_mul(91); len];
                file.write_all_at(&bytes, 0).expect("it is the client's");
            }
            while !matches!(peer.event(), Event::SourceReleased(_)) {}
        }
        let close = Request::CloseChannel(CloseChannel { channel });
        assert_eq!(peer.ask(&close), Reply::Done);
    });
    scene.finish();
}
