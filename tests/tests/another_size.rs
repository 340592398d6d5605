//! Channels that are paused and come back in another size or profile, through the real daemon.

use avpu_client::proto::event::Packet as Meta;
use avpu_client::proto::request::OpenChannel;
use avpu_client::proto::types::{PictureKind, Profile, RateControl};
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

#[test]
fn a_pause_ends_with_an_empty_packet_and_a_channel_can_come_back_larger() {
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("pause");
    let probes = ffmpeg_or_skip("probing the size after a pause");
    let mut camera = Camera::open(&daemon, small());
    camera.encode(3);
    camera.channel.pause().expect("it runs");
    let (last, bytes) = camera.packet();
    assert!(last.last && bytes.is_empty());
    camera.channel.resume().expect("it has finished");
    assert_eq!(camera.encode(2)[0].0.kind, PictureKind::P);

    let changed = camera.resize((320, 240), Profile::Main);
    assert_eq!((changed.width, changed.height), (320, 240));
    let mut packets = camera.encode(1);
    let told = camera.format.expect("readers are told of the new size");
    assert_eq!(told.first, packets[0].0.sequence);
    assert_eq!((told.width, told.height), (320, 240));
    assert_eq!(told.profile, Profile::Main);
    packets.extend(camera.encode(2));
    assert_eq!(packets[0].0.sequence, changed.first);
    let sequence = parser::sequence(&parser::units(&packets[0].1)[0].rbsp);
    assert_eq!((sequence.profile, sequence.size), (77, (320, 240)));
    if probes {
        let file = scratch.path().join("larger.h264");
        fs::write(&file, joined(&packets)).expect("it can be written");
        assert_eq!(decoded(&file).len(), 3);
    }
}

#[test]
fn two_idr_pictures_that_meet_at_another_size_differ_in_their_number() {
    let daemon = Daemon::start("pace=free");
    let mut camera = Camera::open(&daemon, small());
    let number = |packets: &[(Meta, Vec<u8>)]| {
        let units = parser::units(&packets[0].1);
        let idr = units.iter().find(|unit| unit.kind == 5).expect("an IDR");
        parser::slice(idr).1
    };
    let mut numbers = vec![number(&camera.encode(1))];
    for (size, profile) in [((320, 240), Profile::Main), ((176, 144), Profile::High)] {
        camera.resize(size, profile);
        numbers.push(number(&camera.encode(1)));
    }
    let differ = |two: &[u32]| two[0] != two[1];
    assert!(numbers.windows(2).all(differ), "{numbers:?}");
}

#[test]
fn a_channel_that_grows_beyond_its_ring_says_so_and_goes_on() {
    let daemon = Daemon::start("pace=free");
    let wish = OpenChannel {
        rate_control: RateControl::Cbr {
            bitrate_bps: 100_000,
            qp_min: 0,
            qp_max: 0,
        },
        ..small()
    };
    let mut camera = Camera::open(&daemon, wish);
    let ring = camera.channel.opened().ring_bytes;
    camera.encode(2);
    let larger = camera.resize((1280, 720), Profile::High);
    assert_eq!(larger.effective.ring_bytes, ring);
    let told = format!("the ring of the channel holds {ring} bytes, ");
    assert!(larger.clamped[0].starts_with(&told), "{:?}", larger.clamped);
    assert_eq!(camera.encode(3)[0].0.kind, PictureKind::Idr);
    // Back in its old size it has room again.
    let smaller = camera.resize((176, 144), Profile::High);
    assert_eq!(smaller.clamped, Vec::<String>::new());
}
