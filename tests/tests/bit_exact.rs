//! Streams of the real daemon on the software model, in each profile, against two independent decoders: every decoded
//! picture equals the model's own reconstruction, bit for bit, and no decoder has anything to say.

mod decoders;
mod studio;

use avpu_client::ChannelConfig;
use avpu_proto::types::{PictureKind, Profile};
use avpu_tests::skip::{ffmpeg_or_skip, shared_or_skip, skip};
use avpu_tests::stream::{Unit, nv12_from_i420, pattern};
use std::fs;
use std::thread;
use studio::{SIZES, Studio, check, check_decoders, scaled, slow};

const PROFILES: [Profile; 3] = [Profile::High, Profile::Main, Profile::Baseline];

/// What the sequence parameter set says of the profile: profile_idc and the constraint flags.
fn profile_of(units: &[Unit]) -> (u8, u8) {
    let first = &units.first().expect("a unit").bytes;
    assert_eq!(first[..5], [0, 0, 0, 1, 0x27], "a sequence parameter set");
    (first[5], first[6])
}

#[test]
fn every_size_decodes_to_the_reconstruction() {
    for profile in PROFILES {
        for (width, height) in SIZES {
            let count = if width > 1280 { 4 } else { 8 };
            let config = slow(width, height)
                .fix_qp(28)
                .gop_length(5)
                .profile(profile);
            let what = format!("{profile:?} {width}x{height}");
            let pictures = pattern(width, height, count);
            let units = check(&what, (width, height), &config, pictures);
            let expected = match profile {
                Profile::High => (100, 0),
                Profile::Main => (77, 0x40),
                Profile::Baseline => (66, 0xc0),
            };
            assert_eq!(profile_of(&units), expected, "{what}");
        }
    }
}

#[test]
fn every_qp_and_gop_length_decodes_to_the_reconstruction() {
    let (width, height) = (176, 144);
    for profile in PROFILES {
        for qp in [1, 4, 7, 10, 13, 17, 20, 23, 26, 29, 33, 37, 42, 47, 51] {
            for gop in [1, 25] {
                let config = slow(width, height)
                    .fix_qp(qp)
                    .gop_length(gop)
                    .profile(profile);
                let count = if gop == 1 { 4 } else { 28 };
                let what = format!("{profile:?} qp {qp}, gop {gop}");
                let pictures = pattern(width, height, count);
                let units = check(&what, (width, height), &config, pictures);
                for (index, unit) in units.iter().enumerate() {
                    let idr = index % usize::try_from(gop).unwrap() == 0;
                    assert_eq!(unit.kind == PictureKind::Idr, idr, "{what}: {index}");
                    assert_eq!(unit.qp, qp, "{what}: qp of picture {index}");
                }
            }
        }
    }
}

#[test]
fn any_even_size_is_cropped_to_what_was_asked_for() {
    for profile in PROFILES {
        for (width, height) in [(16, 16), (18, 34), (98, 50), (322, 182), (638, 358)] {
            let config = slow(width, height)
                .fix_qp(24)
                .gop_length(4)
                .profile(profile);
            let what = format!("{profile:?} {width}x{height}");
            check(&what, (width, height), &config, pattern(width, height, 6));
        }
    }
}

#[test]
fn a_constant_bitrate_decodes_to_the_reconstruction() {
    for profile in PROFILES {
        for (width, height, bitrate) in [
            (176, 144, 60_000),
            (640, 360, 500_000),
            (1280, 720, 2_000_000),
        ] {
            let config = slow(width, height)
                .bitrate_bps(bitrate)
                .gop_length(12)
                .profile(profile);
            let what = format!("{profile:?} {width}x{height} at {bitrate} bit/s");
            check(&what, (width, height), &config, pattern(width, height, 24));
        }
    }
}

#[test]
fn a_decoder_returns_each_picture_before_the_next_one_is_fed() {
    for profile in PROFILES {
        let studio = Studio::open();
        let config = slow(176, 144).fix_qp(30).gop_length(4).profile(profile);
        let units = studio.encode(&config, pattern(176, 144, 10), &[]);
        let fed: Vec<&[u8]> = units.iter().map(|unit| unit.bytes.as_slice()).collect();
        let Some(decoded) = decoders::prompt(&fed, studio.daemon.folder()) else {
            skip("promptness", "no C compiler or no headers of libavcodec");
            return;
        };
        let decoded = decoded.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            decoders::first_difference(&decoded, &studio.reconstruction(176, 144)),
            None
        );
    }
}

#[test]
fn a_forced_idr_inside_a_group_starts_a_new_one() {
    let studio = Studio::open();
    let config = ChannelConfig::new(320, 192).fix_qp(27).gop_length(10);
    let units = studio.encode(&config, pattern(320, 192, 20), &[3, 4, 17]);
    let idrs: Vec<usize> = (0..units.len())
        .filter(|index| units[*index].kind == PictureKind::Idr)
        .collect();
    assert_eq!(idrs, [0, 3, 4, 14, 17]);
    check_decoders("forced IDR", &units, &studio.reconstruction(320, 192));
    for (index, unit) in units.iter().enumerate() {
        assert_eq!(unit.timestamp, 1000 + u64::try_from(index).unwrap());
    }
}

#[test]
fn a_group_of_620_pictures_wraps_frame_number_and_order_count() {
    // At QP 34 the bits handed over begin with a zero byte: behind a byte that is zero once in 256 pictures.
    for profile in PROFILES {
        let config = ChannelConfig::new(176, 144)
            .fix_qp(34)
            .gop_length(700)
            .profile(profile);
        let what = format!("{profile:?} 620 pictures");
        let units = check(&what, (176, 144), &config, pattern(176, 144, 620));
        let idrs = units
            .iter()
            .filter(|unit| unit.kind == PictureKind::Idr)
            .count();
        assert_eq!(idrs, 1);
    }
}

#[test]
fn eight_interleaved_channels_decode_each_to_its_own_reconstruction() {
    let specs: [(u16, u16, u8); 8] = [
        (176, 144, 22),
        (192, 144, 26),
        (208, 144, 30),
        (320, 192, 34),
        (336, 192, 38),
        (640, 360, 42),
        (656, 360, 28),
        (160, 96, 12),
    ];
    for count in [2, 5, 8] {
        let studio = Studio::open();
        let streams: Vec<Vec<Unit>> = thread::scope(|scope| {
            let studio = &studio;
            let running: Vec<_> = specs[..count]
                .iter()
                .map(|&(width, height, qp)| {
                    scope.spawn(move || {
                        let config = slow(width, height).fix_qp(qp).gop_length(6);
                        studio.encode(&config, pattern(width, height, 15), &[])
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("it encodes"))
                .collect()
        });
        for (&(width, height, qp), units) in specs.iter().zip(&streams) {
            let what = format!("{width}x{height} at qp {qp} among {count}");
            check_decoders(&what, units, &studio.reconstruction(width, height));
        }
    }
}

#[test]
fn a_camera_s_two_streams_decode_each_to_its_own_reconstruction() {
    let studio = Studio::open();
    let streams = [
        (640, 360, Profile::High),
        (320, 192, Profile::Baseline),
        (336, 192, Profile::Main),
        (176, 144, Profile::Baseline),
    ];
    let coded: Vec<Vec<Unit>> = thread::scope(|scope| {
        let studio = &studio;
        let running: Vec<_> = streams
            .iter()
            .map(|&(width, height, profile)| {
                scope.spawn(move || {
                    let config = slow(width, height)
                        .fix_qp(27)
                        .gop_length(6)
                        .profile(profile);
                    studio.encode(&config, pattern(width, height, 15), &[4])
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("it encodes"))
            .collect()
    });
    for (&(width, height, profile), units) in streams.iter().zip(&coded) {
        let what = format!("{profile:?} {width}x{height} among others");
        check_decoders(&what, units, &studio.reconstruction(width, height));
    }
}

/// Noise that is sent as samples, with start codes here and there.
fn noise_with_start_codes(width: u16, height: u16, count: u32) -> Vec<Vec<u8>> {
    let len = usize::from(width) * usize::from(height) * 3 / 2;
    (0..count)
        .map(|seed| {
            let mut state = seed;
            let mut picture: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0] | 4
                })
                .collect();
            for (index, place) in picture.chunks_exact_mut(48).enumerate() {
                let third = [0, 1, 2, 3][index % 4];
                place[20..24].copy_from_slice(&[0, 0, third, 9]);
            }
            picture
        })
        .collect()
}

#[test]
fn escapes_that_the_encoder_leaves_out_are_put_in() {
    for profile in [Profile::Baseline, Profile::Main, Profile::High] {
        let coded: Vec<Vec<u8>> = ["", ",fault=unescaped@0-1:0,unescaped@2-20:7"]
            .iter()
            .map(|faults| {
                let studio = Studio::with(faults);
                let config = slow(96, 80).fix_qp(2).gop_length(4).profile(profile);
                let units = studio.encode(&config, noise_with_start_codes(96, 80, 8), &[]);
                // The model leaves out one of those that a host can put in again.
                let escapes = |unit: &Unit| {
                    let fours = unit.bytes.windows(4);
                    fours
                        .filter(|four| four[..3] == [0, 0, 3] && four[3] < 3)
                        .count()
                };
                let fewest = units.iter().map(escapes).min();
                assert!(fewest > Some(8), "{profile:?}: {fewest:?} escapes");
                let what = format!("{profile:?} with{faults}");
                check_decoders(&what, &units, &studio.reconstruction(96, 80));
                units.into_iter().flat_map(|unit| unit.bytes).collect()
            })
            .collect();
        assert!(
            coded[0] == coded[1],
            "{profile:?}: the same stream either way"
        );
    }
}

#[test]
fn real_pictures_decode_to_the_reconstruction() {
    let what = "real pictures";
    let office = shared_or_skip(what, "clips/office-320x192p12.i420");
    let street = shared_or_skip(what, "clips/street-1920x1080p25.h264");
    let street = street.filter(|_| ffmpeg_or_skip(what));
    for profile in PROFILES {
        if let Some(office) = &office {
            let bytes = fs::read(office).expect("the clip can be read");
            let config = slow(320, 192).fix_qp(24).gop_length(25).profile(profile);
            let pictures = nv12_from_i420(&bytes, 320, 192);
            check(
                &format!("{profile:?} office"),
                (320, 192),
                &config,
                pictures,
            );
        }
        let Some(street) = &street else {
            continue;
        };
        // The largest and the odd ones in one profile only: the others take the same paths with them.
        let usual = [(640, 360), (1280, 720), (1920, 1080)];
        let wanted = |size: &(u16, u16)| profile == Profile::High || usual.contains(size);
        for (width, height) in SIZES.into_iter().filter(wanted) {
            let count = if width > 1280 { 4 } else { 10 };
            let pictures = scaled(street, width, height, count);
            let config = slow(width, height).gop_length(50).profile(profile);
            let what = format!("{profile:?} street {width}x{height}");
            let fixed = config.clone().fix_qp(26);
            check(&what, (width, height), &fixed, pictures.clone());
            let what = format!("{what} cbr");
            check(
                &what,
                (width, height),
                &config.bitrate_bps(1_500_000),
                pictures,
            );
        }
    }
}
