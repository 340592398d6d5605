//! The encoder against an independent decoder: what it says it reconstructed is what a player shows. Made pictures.

// Picture coordinates and random bytes are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

mod stream;

use avpu_model::avc::{PictureParams, Scaling, SliceKind};
use stream::check::{Picture, Random, check, scene};

#[test]
fn noise_decodes_to_the_reconstruction() {
    let seed = 0x1234_5678;
    let mut random = Random(seed);
    let params = |_, kind| PictureParams::product(3, 2, kind, 10);
    let pictures: Vec<_> = (0..4)
        .map(|_| Picture::from_fn(&params(0, SliceKind::I), |_, _, _| random.next() as u8))
        .collect();
    check(&format!("noise, seed {seed:#x}"), 3, &pictures, params);
}

#[test]
fn every_qp_decodes_to_the_reconstruction() {
    let mut random = Random(77);
    for qp in 0..52 {
        let params = |_, kind| PictureParams::product(5, 4, kind, qp);
        let pictures: Vec<_> = (0..4)
            .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
            .collect();
        check(&format!("qp {qp}"), 3, &pictures, params);
    }
}

#[test]
fn every_combination_of_tools_decodes_to_the_reconstruction() {
    let mut random = Random(5);
    for (case, scaling) in [Scaling::Flat, Scaling::Default].into_iter().enumerate() {
        for transform_8x8 in [false, true] {
            for cabac_init_idc in 0..3 {
                let offset = 4 * i8::try_from(cabac_init_idc).expect("small") - 4;
                let params = |_, kind| PictureParams {
                    scaling,
                    transform_8x8,
                    cabac_init_idc,
                    chroma_qp_offset: [offset, -3 * offset / 2],
                    ..PictureParams::product(6, 5, kind, 23 + 2 * cabac_init_idc)
                };
                let pictures: Vec<_> = (0..8)
                    .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
                    .collect();
                check(
                    &format!("tools {case} {transform_8x8} {cabac_init_idc}"),
                    8,
                    &pictures,
                    params,
                );
            }
        }
    }
}

#[test]
fn every_loop_filter_offset_decodes_to_the_reconstruction() {
    let mut random = Random(6);
    for step in -6..=6 {
        let params = |_, kind| {
            let mut params = PictureParams::product(6, 5, kind, 33);
            params.deblock.alpha_offset = 2 * step;
            params.deblock.beta_offset = -2 * step;
            params.deblock.disabled = step == 3;
            params
        };
        let pictures: Vec<_> = (0..4)
            .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
            .collect();
        check(&format!("loop filter {step}"), 4, &pictures, params);
    }
}

#[test]
fn one_macroblock_and_odd_shapes_decode_to_the_reconstruction() {
    let mut random = Random(8);
    for (width, height) in [(1, 1), (1, 7), (9, 1), (2, 2), (11, 9)] {
        let params = |index: usize, kind| PictureParams {
            display_width: width * 16 - 2,
            display_height: height * 16 - 6,
            ..PictureParams::product(width, height, kind, 20 + index as u8)
        };
        let pictures: Vec<_> = (0..6)
            .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
            .collect();
        check(
            &format!("{width}x{height} macroblocks"),
            6,
            &pictures,
            params,
        );
    }
}

#[test]
fn fast_motion_out_of_the_picture_decodes_to_the_reconstruction() {
    let mut random = Random(9);
    let texture: Vec<u8> = (0..1 << 16).map(|_| random.next() as u8).collect();
    let params = |_, kind| PictureParams::product(8, 6, kind, 24);
    let pictures: Vec<_> = (0..12)
        .map(|time| {
            let (dx, dy) = (time * 13 % 60, time * 9 % 50);
            Picture::from_fn(&params(0, SliceKind::I), |plane, x, y| {
                let (x, y) = if plane == 0 { (x, y) } else { (2 * x, 2 * y) };
                let (x, y) = ((x + dx) / 3, (y + 200 - dy) / 3);
                texture[(y % 256) * 256 + (x + plane * 50) % 256] / 2 + 60
            })
        })
        .collect();
    check("fast motion", 12, &pictures, params);
}

#[test]
fn a_still_picture_is_skipped_after_the_first() {
    let params = |_, kind| PictureParams::product(20, 12, kind, 30);
    let picture = || Picture::from_fn(&params(0, SliceKind::I), |_, x, y| (x / 2 + y) as u8 / 2);
    let pictures: Vec<_> = (0..5).map(|_| picture()).collect();
    check("still", 5, &pictures, params);
    let stats = stream::check::encode(5, &pictures, params).stats;
    for stats in &stats[2..] {
        assert_eq!(stats.skipped_8x8, 4 * 20 * 12, "{stats:?}");
        assert!(stats.payload_bytes < 20, "{stats:?}");
    }
}

#[test]
fn a_long_group_wraps_its_counters_and_decodes_to_the_reconstruction() {
    let mut random = Random(10);
    let params = |_, kind| PictureParams::product(11, 9, kind, 34);
    let pictures: Vec<_> = (0..620)
        .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
        .collect();
    check("620 pictures in a group", 620, &pictures, params);
}
