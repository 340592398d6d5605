//! Channels that are changed and begun anew through the real daemon, and what two readers of streams that share
//! no code with it make of the result.

use avpu_client::proto::event::Packet as Meta;
use avpu_client::proto::request::{OpenChannel, Reconfigure};
use avpu_client::proto::types::{Class, FrameRate, PictureKind, Profile, RateControl};
use avpu_tests::camera::{Camera, decoded, joined, probed};
use avpu_tests::daemon::{Daemon, Scratch, program};
use avpu_tests::parser::{self, Sequence};
use avpu_tests::process::Finish;
use avpu_tests::skip::ffmpeg_or_skip;
use std::fs;
use std::process::{Command, Stdio};

const UUID: [u8; 16] = *b"avpud live tests";

fn small() -> OpenChannel {
    OpenChannel {
        width: 176,
        height: 144,
        ..OpenChannel::default()
    }
}

#[test]
fn two_readers_of_streams_see_level_timing_delimiters_and_user_data() {
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("two-readers");
    let probes = ffmpeg_or_skip("probing streams with user data");
    let cbr = RateControl::Cbr {
        bitrate_bps: 600_000,
        qp_min: 0,
        qp_max: 0,
    };
    let channels = [
        (Profile::High, (320, 180), (25, 1), cbr, 100),
        (
            Profile::Main,
            (176, 144),
            (30_000, 1001),
            RateControl::FixQp { qp: 30 },
            77,
        ),
        (Profile::Baseline, (640, 360), (25, 2), cbr, 66),
    ];
    for (profile, (width, height), (num, den), rate_control, profile_idc) in channels {
        let wish = OpenChannel {
            width,
            height,
            profile,
            fps: FrameRate { num, den },
            rate_control,
            gop_length: 3,
            access_unit_delimiters: true,
            full_range: profile == Profile::Main,
            ..OpenChannel::default()
        };
        let mut camera = Camera::open(&daemon, wish);
        let opened = camera.channel.opened();
        camera
            .channel
            .user_data(UUID, b"always \0\0\x01", true)
            .expect("it fits");
        let mut packets = camera.encode(1);
        camera
            .channel
            .user_data(UUID, b"once", false)
            .expect("it fits");
        packets.extend(camera.encode(5));

        let mut idr_pic_id = None;
        for (index, (meta, bytes)) in packets.iter().enumerate() {
            let units = parser::units(bytes);
            let told = meta.nal_units.iter().filter(|unit| unit.nal_type != 0);
            let told: Vec<_> = told
                .map(|unit| (unit.nal_type, usize::from(unit.offset_bytes)))
                .collect();
            let found: Vec<_> = units.iter().map(|unit| (unit.kind, unit.offset)).collect();
            assert_eq!(told, found, "packet {index}");
            let is_idr = index % 3 == 0;
            assert_eq!(meta.kind == PictureKind::Idr, is_idr);
            let kinds: Vec<u8> = units.iter().map(|unit| unit.kind).collect();
            let expected: &[u8] = match (is_idr, index) {
                (true, _) => &[9, 7, 8, 6, 5],
                (false, 1) => &[9, 6, 1],
                (false, _) => &[9, 1],
            };
            assert_eq!(kinds, expected, "packet {index}");
            assert_eq!(units[0].rbsp, [if is_idr { 0x10 } else { 0x30 }]);
            if let Some(sei) = units.iter().find(|unit| unit.kind == 6) {
                let text: &[u8] = if is_idr { b"always \0\0\x01" } else { b"once" };
                assert_eq!(parser::user_data(&sei.rbsp), [(UUID, text.to_vec())]);
            }
            let (slice_type, id) = parser::slice(units.last().expect("a slice"));
            assert_eq!(slice_type, if is_idr { 2 } else { 0 });
            if is_idr {
                assert_ne!(idr_pic_id.replace(id), Some(id), "two in a row differ");
                assert_eq!(parser::init_qp(&units[2].rbsp), 26);
                let expected = Sequence {
                    profile: profile_idc,
                    level: opened.level_idc.into(),
                    size: (width.into(), height.into()),
                    timing: Some((den, num * 2)),
                    full_range: (profile == Profile::Main).then_some(true),
                    reordering: Some((0, 1)),
                };
                assert_eq!(parser::sequence(&units[1].rbsp), expected);
            }
        }
        if !probes {
            continue;
        }
        let file = scratch.path().join("stream.h264");
        fs::write(&file, joined(&packets)).expect("it can be written");
        let entries = "stream=profile,level,width,height,r_frame_rate,color_range:frame_side_data=side_data_type";
        let text = probed(&file, entries);
        for line in [
            format!("level={}", opened.level_idc),
            format!("width={width}"),
            format!("height={height}"),
            format!("r_frame_rate={num}/{den}"),
            format!(
                "color_range={}",
                if profile == Profile::Main {
                    "pc"
                } else {
                    "unknown"
                }
            ),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in {text}"
            );
        }
        let said = text.matches("User Data Unregistered").count();
        assert_eq!(said, 3, "two IDR pictures and one other: {text}");
        assert_eq!(decoded(&file).len(), packets.len());
    }
}

#[test]
fn a_stream_after_a_reset_needs_nothing_of_what_was_before() {
    if !ffmpeg_or_skip("decoding from a reset on") {
        return;
    }
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("reset");
    let mut camera = Camera::open(&daemon, small());
    let before = camera.encode(4);
    camera.channel.reset().expect("it runs");
    let after = camera.encode(4);
    assert_eq!(after[0].0.kind, PictureKind::Idr);
    let whole: Vec<_> = before.iter().chain(&after).cloned().collect();
    let (all, rest) = (
        scratch.path().join("all.h264"),
        scratch.path().join("rest.h264"),
    );
    fs::write(&all, joined(&whole)).expect("it can be written");
    fs::write(&rest, joined(&after)).expect("it can be written");
    let (all, rest) = (decoded(&all), decoded(&rest));
    assert_eq!((all.len(), rest.len()), (8, 4));
    assert_eq!(all[4..], rest);
}

/// Zeros need the most room: every third byte of them is an escape.
#[test]
fn the_longest_user_data_of_the_worst_bytes_arrives_whole_and_one_byte_more_is_refused() {
    const LONGEST: usize = avpu_client::proto::limits::USER_DATA_BYTES_MAX;
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("longest");
    let wish = OpenChannel {
        access_unit_delimiters: true,
        ..small()
    };
    let mut camera = Camera::open(&daemon, wish);
    for every_idr in [true, false] {
        let said = camera.channel.user_data([0; 16], &[0; LONGEST], every_idr);
        said.expect("it fits");
        let longer = camera
            .channel
            .user_data([0; 16], &[0; LONGEST + 1], every_idr);
        assert!(longer.is_err());
    }
    let packets = camera.encode(2);
    let units = parser::units(&packets[0].1);
    let kinds: Vec<u8> = units.iter().map(|unit| unit.kind).collect();
    assert_eq!(kinds, [9, 7, 8, 6, 5]);
    let message = ([0; 16], vec![0; LONGEST]);
    assert_eq!(
        parser::user_data(&units[3].rbsp),
        [message.clone(), message]
    );
    if ffmpeg_or_skip("decoding behind the longest user data") {
        let file = scratch.path().join("longest.h264");
        fs::write(&file, joined(&packets)).expect("it can be written");
        assert_eq!(decoded(&file).len(), 2);
    }
}

/// A file of the simplest container that holds a configuration record: it, then pictures with lengths before their units.
fn flv(record: &[u8], packets: &[(Meta, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"FLV\x01\x01\0\0\0\x09\0\0\0\0".to_vec();
    let mut tag = |time_ms: u32, is_key: bool, kind: u8, data: &[u8]| {
        let len = u32::try_from(data.len() + 5).expect("small");
        file.push(9);
        file.extend(&len.to_be_bytes()[1..]);
        file.extend(&time_ms.to_be_bytes()[1..]);
        file.extend([0; 4]);
        file.extend([if is_key { 0x17 } else { 0x27 }, kind, 0, 0, 0]);
        file.extend(data);
        file.extend((len + 11).to_be_bytes());
    };
    tag(0, true, 0, record);
    for (time, (meta, bytes)) in (0..).zip(packets) {
        let slices = parser::units(bytes)
            .into_iter()
            .filter(|unit| unit.kind < 6);
        let data: Vec<u8> = slices
            .flat_map(|unit| {
                let len = u32::try_from(unit.raw.len()).expect("small");
                [len.to_be_bytes().to_vec(), unit.raw].concat()
            })
            .collect();
        tag(time * 40, meta.kind == PictureKind::Idr, 1, &data);
    }
    file
}

#[test]
fn parameter_sets_out_of_band_make_a_file_that_plays() {
    if !ffmpeg_or_skip("muxing with avcC") {
        return;
    }
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("avcc");
    for (profile, resized) in [
        (Profile::High, false),
        (Profile::Main, false),
        (Profile::Baseline, false),
        (Profile::High, true),
    ] {
        let wish = OpenChannel {
            profile,
            gop_length: 4,
            ..small()
        };
        let mut camera = Camera::open(&daemon, wish);
        if resized {
            // What is told after a change is what the stream has become.
            camera.encode(2);
            camera.resize((320, 240), Profile::Baseline);
        }
        let sets = camera.channel.parameter_sets().expect("it is open");
        let packets = camera.encode(10);
        assert!(packets[0].1.starts_with(&sets.annex_b.0));
        let (plain, flash) = (scratch.path().join("s.h264"), scratch.path().join("s.flv"));
        let mp4 = scratch.path().join(format!("{profile:?}.mp4"));
        fs::write(&plain, joined(&packets)).expect("it can be written");
        // No parameter set is left in the pictures: they decode by the record or not at all.
        fs::write(&flash, flv(&sets.avcc.0, &packets)).expect("it can be written");
        let muxed = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(&flash)
            .args(["-c", "copy"])
            .arg(&mp4)
            .stdin(Stdio::null())
            .finish();
        assert!(
            muxed.status.success() && muxed.stderr.is_empty(),
            "{muxed:?}"
        );
        let found = decoded(&mp4);
        assert_eq!(found.len(), packets.len());
        assert_eq!(found, decoded(&plain));
    }
}

/// The rate of packets at 25 a second.
fn bps(packets: &[(Meta, Vec<u8>)]) -> usize {
    let bytes: usize = packets.iter().map(|(_, bytes)| bytes.len()).sum();
    bytes * 8 * 25 / packets.len()
}

#[test]
fn a_bitrate_changes_by_a_factor_of_four_within_one_group_and_without_an_idr() {
    const PICTURES: usize = 60;
    const GROUP: usize = 50;
    let daemon = Daemon::start("pace=free");
    for (slow, fast) in [(150_000, 600_000), (600_000, 150_000)] {
        let wish = OpenChannel {
            width: 320,
            height: 240,
            gop_length: 1000,
            class: Class::Live,
            rate_control: RateControl::Cbr {
                bitrate_bps: slow,
                qp_min: 10,
                qp_max: 51,
            },
            ..OpenChannel::default()
        };
        let mut camera = Camera::open(&daemon, wish);
        let before = camera.encode(PICTURES);
        let change = Reconfigure {
            bitrate_bps: fast,
            ..Reconfigure::default()
        };
        let changed = camera.channel.reconfigure(change).expect("it runs");
        assert_eq!(changed.first.value(), 60);
        assert_eq!(changed.clamped, Vec::<String>::new());
        let after = camera.encode(2 * GROUP);
        let mut packets = before.iter().chain(&after).map(|(meta, _)| meta);
        assert_eq!(packets.next().expect("one").kind, PictureKind::Idr);
        assert!(packets.all(|meta| meta.kind == PictureKind::P));
        let judge = |packets: &[(Meta, Vec<u8>)], target: u32, percent: u32| {
            let found = u32::try_from(bps(packets)).expect("a rate");
            assert!(
                found.abs_diff(target) <= target / 100 * percent,
                "{slow} to {fast}: {found} bit/s, expected {target} within {percent} %"
            );
        };
        judge(&before[PICTURES / 2..], slow, 25);
        // The pictures right after the change are on their way; those behind them have arrived.
        judge(&after[..GROUP], fast, 25);
        judge(&after[GROUP..], fast, 15);
        let qp: Vec<u8> = before[PICTURES - 1..]
            .iter()
            .chain(&after)
            .map(|(meta, _)| meta.qp)
            .collect();
        assert!(
            qp.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 6),
            "{qp:?}"
        );
    }
}

/// A channel keeps the stream buffers that it was opened with, and says what that means.
#[test]
fn what_the_stream_buffers_of_a_channel_do_not_hold_is_told() {
    let daemon = Daemon::start("pace=free");
    let wish = OpenChannel {
        width: 640,
        height: 360,
        rate_control: RateControl::Cbr {
            bitrate_bps: 300_000,
            qp_min: 0,
            qp_max: 0,
        },
        ..OpenChannel::default()
    };
    let camera = Camera::open(&daemon, wish);
    let change = |change| camera.channel.reconfigure(change).expect("it runs");
    let faster = change(Reconfigure {
        bitrate_bps: 8_000_000,
        ..Reconfigure::default()
    });
    // A rate is kept with pictures that fit, as a limit of their size is.
    assert_eq!(faster.clamped, Vec::<String>::new());
    assert_eq!(faster.effective.picture_bytes_max, 0);
    let finer = change(Reconfigure {
        qp_min: 10,
        ..Reconfigure::default()
    });
    assert_eq!(finer.clamped.len(), 1, "{:?}", finer.clamped);
    assert!(finer.clamped[0].contains("encoded again, coarser"));
    let limited = change(Reconfigure {
        picture_bytes_max: Some(10_000_000),
        ..Reconfigure::default()
    });
    let room = limited.effective.picture_bytes_max;
    assert!((100_000..200_000).contains(&room), "{room}");
    let told = format!("picture_bytes_max: asked for 10000000, {room} in effect");
    assert!(
        limited.clamped[0].starts_with(&told),
        "{:?}",
        limited.clamped
    );
    let fixed = change(Reconfigure {
        rate_control: Some(RateControl::FixQp { qp: 12 }),
        picture_bytes_max: Some(0),
        ..Reconfigure::default()
    });
    assert!(
        fixed.clamped[0].contains(&room.to_string()),
        "{:?}",
        fixed.clamped
    );
    assert!(fixed.clamped[0].contains("fails"));
}

#[test]
fn the_operators_tool_changes_a_channel_of_another_process() {
    let daemon = Daemon::start("pace=free");
    let wish = OpenChannel {
        name: "main".to_owned(),
        ..small()
    };
    let mut camera = Camera::open(&daemon, wish);
    camera.encode(2);
    let run = |words: &[&str]| {
        let output = Command::new(program("avpuctl"))
            .arg("--socket")
            .arg(daemon.socket())
            .args(words)
            .stdin(Stdio::null())
            .finish();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text + &complaint)
    };
    let (code, text) = run(&[
        "set",
        "main",
        "mode=vbr",
        "bitrate=800k",
        "qp=20-40",
        "gop=50",
        "fps=15",
    ]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("main from packet 2: 176x144"), "{text}");
    assert!(
        text.contains("bitrate_bps: 800000, bitrate_max_bps: 1600000, qp_min: 20, qp_max: 40"),
        "{text}"
    );
    let (code, text) = run(&["set", "main", "bitrate=2M", "max=1M"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("bitrate_bps: asked for 2000000, 1000000 in effect"),
        "{text}"
    );
    assert!(text.contains("asked for bitrate=2M max=1M"), "{text}");
    let (code, text) = run(&["set", "main", "size=320x240"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("expected a channel that was drained with keep"));
    let (code, text) = run(&["set", "main", "gop=2s"]);
    assert!(
        code == Some(0) && text.contains("fps 15 of 15, gop 30"),
        "{text}"
    );
    // What has no meaning is refused: by the words alone, or by what the channel is.
    let (code, text) = run(&["set", "main", "mode=cbr", "psnr=38"]);
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = run(&["set", "main", "psnr=38"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        text.contains("expected no quality with vbr, found psnr"),
        "{text}"
    );
    assert_eq!(run(&["set", "nobody", "gop=5"]).0, Some(4));
    // A number is a name where a channel has that name, and an id otherwise: in every command.
    let id = camera.channel.id().expect("it is open").to_string();
    let named = OpenChannel {
        name: id.clone(),
        gop_length: 77,
        ..small()
    };
    let other = Camera::open(&daemon, named);
    let other_id = other.channel.id().expect("it is open").to_string();
    for (word, name) in [(&id, &id), (&other_id, &id)] {
        let (code, text) = run(&["set", word, "weight=2"]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.starts_with(&format!("{name} from packet 0")), "{text}");
        let (code, text) = run(&["idr", word]);
        assert_eq!(
            (code, text.starts_with(&format!("{name}: "))),
            (Some(0), true)
        );
        // Nothing was encoded there: of the channel with this id a packet would be known.
        assert_eq!(run(&["explain", word, "1"]).0, Some(4));
        for command in ["flush", "reset"] {
            assert_eq!(run(&[command, word]).0, Some(0));
        }
    }
    drop(other);
    let (code, text) = run(&["set", &id, "weight=3"]);
    assert!(
        code == Some(0) && text.starts_with("main from packet 2"),
        "{text}"
    );
    assert_eq!(run(&["set", "main", "gop"]).0, Some(2));
    assert_eq!(run(&["flush", "main"]).0, Some(0));
    assert_eq!(run(&["reset", "main"]).0, Some(0));
    let (code, text) = run(&["parameter-sets", "main"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("annex-b 0000000127"), "{text}");
    assert_eq!(camera.encode(1)[0].0.kind, PictureKind::Idr);
}
