//! What two readers of streams that share no code with the daemon make of every kind of stream: each profile, size, frame
//! rate and range, with delimiters and user data and without, after a change and after a reset.

use avpu_client::proto::event::Packet as Meta;
use avpu_client::proto::request::{OpenChannel, Reconfigure};
use avpu_client::proto::types::{FrameRate, PictureKind, Profile, RateControl};
use avpu_tests::camera::{Camera, decoded, joined, probed};
use avpu_tests::daemon::{Daemon, Scratch};
use avpu_tests::parser::{self, Sequence};
use avpu_tests::skip::ffmpeg_or_skip;
use std::fs;
use std::path::Path;

const UUID: [u8; 16] = *b"avpud stream set";
const PROFILES: [(Profile, u32, &str); 3] = [
    (Profile::High, 100, "High"),
    (Profile::Main, 77, "Main"),
    (Profile::Baseline, 66, "Constrained Baseline"),
];
/// Whole macroblocks, cropped ones, and the sizes of cameras.
const SIZES: [(u16, u16); 4] = [(176, 144), (202, 106), (640, 360), (1280, 720)];
const RATES: [(u32, u32); 4] = [(25, 1), (30_000, 1001), (25, 2), (5, 1)];

/// What a stream has to say of itself.
struct Said {
    profile: (u32, &'static str),
    level: u8,
    size: (u16, u16),
    fps: (u32, u32),
    full_range: bool,
    delimiters: bool,
}

/// Annex A of the standard, for what occurs here: (macroblocks a second, level), from the lowest level that the search
/// of the encoder allows on.
const LEVELS: [(u32, u8); 5] = [
    (19_800, 21),
    (20_250, 22),
    (40_500, 30),
    (108_000, 31),
    (216_000, 32),
];

impl Said {
    /// The lowest level for size and rate; bit rates here are far below what any of them allows.
    fn lowest_level(&self) -> u8 {
        let macroblocks = u32::from(self.size.0).div_ceil(16) * u32::from(self.size.1).div_ceil(16);
        let (num, den) = self.fps;
        let a_second = (macroblocks * num).div_ceil(den);
        // Level 2.1 ends at 792 macroblocks a picture, 2.2 and 3 at 1620.
        let fits = |(most, level): &&(u32, u8)| {
            let largest = match level {
                21 => 792,
                22 | 30 => 1620,
                31 => 3600,
                _ => 5120,
            };
            a_second <= *most && macroblocks <= largest
        };
        LEVELS.iter().find(fits).expect("a level").1
    }

    fn check_units(&self, packets: &[(Meta, Vec<u8>)], user_data: &[u8]) {
        for (meta, bytes) in packets {
            let units = parser::units(bytes);
            let kinds: Vec<u8> = units.iter().map(|unit| unit.kind).collect();
            let mut expected = Vec::new();
            expected.extend(self.delimiters.then_some(9));
            let is_idr = meta.kind == PictureKind::Idr;
            if is_idr {
                expected.extend([7, 8]);
                expected.extend((!user_data.is_empty()).then_some(6));
            }
            expected.push(if is_idr { 5 } else { 1 });
            assert_eq!(kinds, expected);
            for unit in &units {
                match unit.kind {
                    7 => assert_eq!(parser::sequence(&unit.rbsp), self.sequence()),
                    6 => assert_eq!(parser::user_data(&unit.rbsp), [(UUID, user_data.to_vec())]),
                    _ => {}
                }
            }
        }
    }

    fn sequence(&self) -> Sequence {
        let (num, den) = self.fps;
        Sequence {
            profile: self.profile.0,
            level: self.level.into(),
            size: (self.size.0.into(), self.size.1.into()),
            timing: Some((den, num * 2)),
            full_range: self.full_range.then_some(true),
            reordering: Some((0, 1)),
        }
    }

    fn check_file(&self, file: &Path, user_data: usize) {
        let entries = "stream=profile,level,width,height,r_frame_rate,color_range:frame_side_data=side_data_type";
        let text = probed(file, entries);
        let (width, height) = self.size;
        let (num, den) = self.fps;
        for line in [
            format!("profile={}", self.profile.1),
            format!("level={}", self.level),
            format!("width={width}"),
            format!("height={height}"),
            format!("r_frame_rate={num}/{den}"),
            format!(
                "color_range={}",
                if self.full_range { "pc" } else { "unknown" }
            ),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in {text}"
            );
        }
        let said = text.matches("User Data Unregistered").count();
        assert_eq!(said, user_data, "{text}");
    }
}

/// Each of the product of profile, size, rate, range and delimiters; user data where there are delimiters or full range,
/// but not both.
#[test]
fn every_kind_of_stream_says_what_it_is() {
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("stream-set");
    let probes = ffmpeg_or_skip("probing every kind of stream");
    let file = scratch.path().join("stream.h264");
    let mut kinds = 0;
    for (profile, profile_idc, name) in PROFILES {
        for size in SIZES {
            for (rate, fps) in RATES.into_iter().enumerate() {
                for (full_range, delimiters) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let user_data: &[u8] = match full_range != delimiters {
                        true => b"a kind of stream \0\0\x01\0\0",
                        false => b"",
                    };
                    let wish = OpenChannel {
                        width: size.0,
                        height: size.1,
                        profile,
                        fps: FrameRate {
                            num: fps.0,
                            den: fps.1,
                        },
                        rate_control: RateControl::Cbr {
                            bitrate_bps: 500_000,
                            qp_min: 30,
                            qp_max: 51,
                        },
                        access_unit_delimiters: delimiters,
                        full_range,
                        ..OpenChannel::default()
                    };
                    let mut camera = Camera::open(&daemon, wish);
                    let said = Said {
                        profile: (profile_idc, name),
                        level: camera.channel.opened().level_idc,
                        size,
                        fps,
                        full_range,
                        delimiters,
                    };
                    assert_eq!(said.level, said.lowest_level(), "{size:?} at {fps:?}");
                    if !user_data.is_empty() {
                        camera
                            .channel
                            .user_data(UUID, user_data, true)
                            .expect("it fits");
                    }
                    let packets = camera.encode(2);
                    said.check_units(&packets, user_data);
                    kinds += 1;
                    // Both readers see each kind; the large pictures of the rarer rates only one of them, for time.
                    if probes && (rate < 2 || size.0 < 640) {
                        fs::write(&file, joined(&packets)).expect("it can be written");
                        said.check_file(&file, usize::from(!user_data.is_empty()));
                    }
                }
            }
        }
    }
    assert_eq!(kinds, 3 * 4 * 4 * 4);
}

#[test]
fn a_stream_says_what_it_has_become_after_a_change_and_after_a_reset() {
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("stream-changes");
    let probes = ffmpeg_or_skip("decoding from a change on");
    let file = scratch.path().join("stream.h264");
    let mut whole = Vec::new();
    let wish = OpenChannel {
        width: 176,
        height: 144,
        gop_length: 1000,
        rate_control: RateControl::Cbr {
            bitrate_bps: 500_000,
            qp_min: 30,
            qp_max: 51,
        },
        access_unit_delimiters: true,
        full_range: true,
        ..OpenChannel::default()
    };
    let mut camera = Camera::open(&daemon, wish);
    camera
        .channel
        .user_data(UUID, b"through it all", true)
        .expect("it fits");
    for (index, (profile, profile_idc, name)) in PROFILES.into_iter().enumerate() {
        for (size, fps) in SIZES[..3].iter().copied().zip(RATES) {
            // A new size and profile; then a new rate, which the next IDR tells; then a stream of its own.
            camera.resize(size, profile);
            let now = camera.channel.opened().fps_out;
            let mut said = Said {
                profile: (profile_idc, name),
                level: camera.channel.opened().level_idc,
                size,
                fps: (now.num, now.den),
                full_range: true,
                delimiters: true,
            };
            let mut level = 0;
            for step in 0..3 {
                match step {
                    1 => {
                        let change = Reconfigure {
                            fps: Some(FrameRate {
                                num: fps.0,
                                den: fps.1,
                            }),
                            ..Reconfigure::default()
                        };
                        let changed = camera.channel.reconfigure(change).expect("it runs");
                        said.fps = fps;
                        said.level = changed.effective.level_idc;
                        camera.channel.request_idr().expect("its owner may");
                        camera.force_idr = true;
                    }
                    2 => camera.channel.reset().expect("it runs"),
                    _ => {}
                }
                let packets = camera.encode(3);
                let kinds: Vec<_> = packets.iter().map(|(meta, _)| meta.kind).collect();
                assert_eq!(kinds, [PictureKind::Idr, PictureKind::P, PictureKind::P]);
                said.check_units(&packets, b"through it all");
                // A change in the middle of a stream does not lower what a decoder was told.
                let lowest = said.lowest_level().max(level);
                assert_eq!(said.level, lowest, "{size:?} at {:?}", said.fps);
                level = lowest;
                let sets = camera.channel.parameter_sets().expect("it is open");
                let (_, first) = &packets[0];
                let found = first
                    .windows(sets.annex_b.0.len())
                    .any(|part| part == sets.annex_b.0);
                assert!(found, "what is told out of band is what the stream has");
                if probes {
                    fs::write(&file, joined(&packets)).expect("it can be written");
                    said.check_file(&file, 1);
                    let alone = decoded(&file);
                    assert_eq!(alone.len(), 3);
                    // Joined with what came before in the same size it decodes to the same pictures.
                    whole = if step == 0 {
                        packets
                    } else {
                        [whole, packets].concat()
                    };
                    fs::write(&file, joined(&whole)).expect("it can be written");
                    let all = decoded(&file);
                    assert_eq!(all.len(), 3 * (step + 1), "{index}: step {step}");
                    assert_eq!(all[3 * step..], alone);
                }
            }
        }
    }
}
