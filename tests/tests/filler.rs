//! Filler data through the real daemon: the rate that it keeps, where packets say it is, who is refused it.

use avpu_client::Client;
use avpu_client::proto::event::Packet as Meta;
use avpu_client::proto::request::{OpenChannel, Reconfigure};
use avpu_client::proto::types::RateControl;
use avpu_tests::camera::{Camera, decoded, joined};
use avpu_tests::daemon::{Daemon, Scratch};
use avpu_tests::parser;
use avpu_tests::skip::ffmpeg_or_skip;
use std::fs;

fn small() -> OpenChannel {
    OpenChannel {
        width: 176,
        height: 144,
        ..OpenChannel::default()
    }
}

/// The rate of packets at 25 a second.
fn bps(packets: &[(Meta, Vec<u8>)]) -> usize {
    let bytes: usize = packets.iter().map(|(_, bytes)| bytes.len()).sum();
    bytes * 8 * 25 / packets.len()
}

#[test]
fn filler_data_keeps_the_rate_of_a_scene_that_does_not_need_it() {
    const BITRATE_BPS: u32 = 4_000_000;
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("filler");
    let cbr = RateControl::Cbr {
        bitrate_bps: BITRATE_BPS,
        qp_min: 0,
        qp_max: 0,
    };
    let wish = OpenChannel {
        rate_control: cbr,
        gop_length: 25,
        filler: true,
        ..small()
    };
    let mut camera = Camera::open(&daemon, wish);
    let packets = camera.encode(100);
    for (index, (meta, bytes)) in packets.iter().enumerate() {
        let told = meta.nal_units.iter().filter(|unit| unit.nal_type != 0);
        let told: Vec<_> = told
            .map(|unit| (unit.nal_type, usize::from(unit.offset_bytes)))
            .collect();
        let units = parser::units(bytes);
        let found: Vec<_> = units.iter().map(|unit| (unit.kind, unit.offset)).collect();
        assert_eq!(told, found, "packet {index}");
        let fillers = found.iter().filter(|(kind, _)| *kind == 12).count();
        let last = found.last().expect("a unit").0;
        assert_eq!(
            fillers,
            usize::from(last == 12),
            "packet {index}: {found:?}"
        );
    }
    // Of one second on, what a decoder's buffer of three lacks moves by nothing any more.
    let kept = u32::try_from(bps(&packets[25..])).expect("a rate");
    assert!(
        kept.abs_diff(BITRATE_BPS) <= BITRATE_BPS / 50,
        "{kept} bit/s"
    );
    let plain = OpenChannel {
        rate_control: cbr,
        gop_length: 25,
        ..small()
    };
    let mut other = Camera::open(&daemon, plain);
    let unfilled = other.encode(100);
    assert!(bps(&unfilled) < bps(&packets) / 10 * 9);
    if ffmpeg_or_skip("decoding a stream with filler data") {
        let (filled, plain) = (
            scratch.path().join("filled.h264"),
            scratch.path().join("plain.h264"),
        );
        fs::write(&filled, joined(&packets)).expect("it can be written");
        fs::write(&plain, joined(&unfilled)).expect("it can be written");
        assert_eq!(decoded(&filled).len(), 100);
        assert_eq!(decoded(&plain).len(), 100);
    }
    let average = Reconfigure {
        rate_control: Some(RateControl::Vbr {
            bitrate_bps: 100_000,
            bitrate_max_bps: 0,
            qp_min: 0,
            qp_max: 0,
        }),
        ..Reconfigure::default()
    };
    let refused = camera.channel.reconfigure(average).expect_err("refused");
    assert!(refused.to_string().contains("filler data"), "{refused}");
    let fixed = OpenChannel {
        filler: true,
        ..small()
    };
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let refused = client.open_channel(&fixed.into()).expect_err("refused");
    assert!(refused.to_string().contains("filler data"), "{refused}");
}
