//! Streams of the real daemon on the software model, against two independent decoders: every decoded picture equals
//! the model's own reconstruction, bit for bit, and no decoder has anything to say.

mod decoders;
mod studio;

use avpu_client::ChannelConfig;
use avpu_proto::types::PictureKind;
use avpu_tests::skip::{ffmpeg_or_skip, shared_or_skip, skip};
use avpu_tests::stream::{Unit, nv12_from_i420, pattern};
use std::fs;
use std::thread;
use studio::{SIZES, Studio, check, check_decoders, scaled, slow};

#[test]
fn every_size_decodes_to_the_reconstruction() {
    for (width, height) in SIZES {
        let count = if width > 1280 { 4 } else { 8 };
        let config = slow(width, height).fix_qp(28).gop_length(5);
        let what = format!("{width}x{height}");
        check(
            &what,
            (width, height),
            &config,
            pattern(width, height, count),
        );
    }
}

#[test]
fn every_qp_and_gop_length_decodes_to_the_reconstruction() {
    let (width, height) = (176, 144);
    for qp in [10, 13, 17, 20, 23, 26, 29, 33, 37, 42, 47, 51] {
        for gop in [1, 25, 50] {
            let config = slow(width, height).fix_qp(qp).gop_length(gop);
            let count = if gop == 1 { 4 } else { 30 };
            let what = format!("qp {qp}, gop {gop}");
            let units = check(
                &what,
                (width, height),
                &config,
                pattern(width, height, count),
            );
            for (index, unit) in units.iter().enumerate() {
                let idr = index % usize::try_from(gop).unwrap() == 0;
                assert_eq!(
                    unit.kind == PictureKind::Idr,
                    idr,
                    "{what}: kind of picture {index}"
                );
                assert_eq!(unit.qp, qp, "{what}: qp of picture {index}");
            }
        }
    }
}

#[test]
fn any_even_size_is_cropped_to_what_was_asked_for() {
    for (width, height) in [(16, 16), (18, 34), (98, 50), (322, 182), (638, 358)] {
        let config = slow(width, height).fix_qp(24).gop_length(4);
        let what = format!("{width}x{height}");
        check(&what, (width, height), &config, pattern(width, height, 6));
    }
}

#[test]
fn a_constant_bitrate_decodes_to_the_reconstruction() {
    for (width, height, bitrate) in [
        (176, 144, 60_000),
        (640, 360, 500_000),
        (1280, 720, 2_000_000),
    ] {
        let config = slow(width, height).bitrate_bps(bitrate).gop_length(12);
        let what = format!("{width}x{height} at {bitrate} bit/s");
        check(&what, (width, height), &config, pattern(width, height, 24));
    }
}

#[test]
fn a_decoder_returns_each_picture_before_the_next_one_is_fed() {
    let studio = Studio::open();
    let config = ChannelConfig::new(176, 144).fix_qp(30).gop_length(4);
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
    let config = ChannelConfig::new(176, 144).fix_qp(34).gop_length(700);
    let units = check("620 pictures", (176, 144), &config, pattern(176, 144, 620));
    let idrs = units
        .iter()
        .filter(|unit| unit.kind == PictureKind::Idr)
        .count();
    assert_eq!(idrs, 1);
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
fn real_pictures_decode_to_the_reconstruction() {
    let what = "real pictures";
    if let Some(office) = shared_or_skip(what, "clips/office-320x192p12.i420") {
        let pictures = nv12_from_i420(&fs::read(office).expect("the clip can be read"), 320, 192);
        let config = ChannelConfig::new(320, 192).fix_qp(24).gop_length(25);
        check("office", (320, 192), &config, pictures);
    }
    let Some(street) = shared_or_skip(what, "clips/street-1920x1080p25.h264") else {
        return;
    };
    if !ffmpeg_or_skip(what) {
        return;
    }
    for (width, height) in SIZES {
        let count = if width > 1280 { 4 } else { 10 };
        let pictures = scaled(&street, width, height, count);
        assert_eq!(pictures.len(), count);
        let config = slow(width, height).fix_qp(26).gop_length(50);
        check(
            &format!("street {width}x{height}"),
            (width, height),
            &config,
            pictures.clone(),
        );
        let config = slow(width, height).bitrate_bps(1_500_000).gop_length(50);
        check(
            &format!("street {width}x{height} cbr"),
            (width, height),
            &config,
            pictures,
        );
    }
}
