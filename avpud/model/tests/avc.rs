//! The encoder against an independent decoder, in each profile: what it says it reconstructed is what a player shows.
//! Made pictures.

// Picture coordinates and random bytes are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

mod stream;

use avpu_model::avc::{PictureParams, PictureStats, Scaling, SliceKind};
use stream::check::{Picture, Random, check, encode, scene};

type Profile = fn(u16, u16, SliceKind, u8) -> PictureParams;

const PROFILES: [(&str, Profile); 3] = [
    ("high", PictureParams::product),
    ("main", PictureParams::main),
    ("baseline", PictureParams::baseline),
];

#[test]
fn noise_at_any_qp_decodes_to_the_reconstruction() {
    let seed = 0x1234_5678;
    let mut random = Random(seed);
    for (name, profile) in PROFILES {
        for qp in [0, 1, 4, 8, 10, 14, 19, 25, 36, 51] {
            let params = |_, kind| profile(3, 2, kind, qp);
            let pictures: Vec<_> = (0..4)
                .map(|_| Picture::from_fn(&params(0, SliceKind::I), |_, _, _| random.next() as u8))
                .collect();
            let what = format!("{name}: noise at qp {qp}, seed {seed:#x}");
            check(&what, 3, &pictures, params);
        }
    }
}

#[test]
fn every_qp_decodes_to_the_reconstruction() {
    let mut random = Random(77);
    for (name, profile) in PROFILES {
        for qp in 0..52 {
            let params = |_, kind| profile(5, 4, kind, qp);
            let pictures: Vec<_> = (0..4)
                .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
                .collect();
            check(&format!("{name}: qp {qp}"), 3, &pictures, params);
        }
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
fn chroma_offsets_and_loop_filters_decode_to_the_reconstruction() {
    let mut random = Random(6);
    for (name, profile) in PROFILES {
        for step in -6..=6 {
            let params = |_, kind| {
                let mut params = profile(6, 5, kind, 31);
                params.chroma_qp_offset = [2 * step; 2];
                params.deblock.alpha_offset = 2 * step;
                params.deblock.beta_offset = -2 * step;
                params.deblock.disabled = step == 3;
                params
            };
            let pictures: Vec<_> = (0..4)
                .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
                .collect();
            check(&format!("{name}: step {step}"), 4, &pictures, params);
        }
    }
}

#[test]
fn one_macroblock_and_odd_shapes_decode_to_the_reconstruction() {
    let mut random = Random(8);
    for (name, profile) in PROFILES {
        for (width, height) in [(1, 1), (1, 7), (9, 1), (2, 2), (11, 9)] {
            let params = |index: usize, kind| PictureParams {
                display_width: width * 16 - 2,
                display_height: height * 16 - 6,
                ..profile(width, height, kind, 20 + index as u8)
            };
            let pictures: Vec<_> = (0..6)
                .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
                .collect();
            let what = format!("{name}: {width}x{height} macroblocks");
            check(&what, 6, &pictures, params);
        }
    }
}

#[test]
fn fast_motion_out_of_the_picture_decodes_to_the_reconstruction() {
    let mut random = Random(9);
    let texture: Vec<u8> = (0..1 << 16).map(|_| random.next() as u8).collect();
    for (name, profile) in PROFILES {
        let params = |_, kind| profile(8, 6, kind, 24);
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
        check(&format!("{name}: fast motion"), 12, &pictures, params);
    }
}

#[test]
fn a_still_picture_is_one_run_of_skips_after_the_first() {
    for (name, profile) in PROFILES {
        let params = |_, kind| profile(20, 12, kind, 30);
        let picture =
            || Picture::from_fn(&params(0, SliceKind::I), |_, x, y| (x / 2 + y) as u8 / 2);
        let pictures: Vec<_> = (0..5).map(|_| picture()).collect();
        check(&format!("{name}: still"), 5, &pictures, params);
        for stats in &encode(5, &pictures, params).stats[2..] {
            assert_eq!(stats.skipped_8x8, 4 * 20 * 12, "{name}: {stats:?}");
            assert!(stats.payload_bytes < 20, "{name}: {stats:?}");
        }
    }
}

#[test]
fn a_long_group_wraps_its_counters_and_decodes_to_the_reconstruction() {
    // At QP 34 the bits handed over begin with a zero byte, after a kept byte that is zero once in 256 pictures.
    let groups: [(&str, Profile, u8); 3] = [
        ("high", PictureParams::product, 34),
        ("baseline", PictureParams::baseline, 34),
        ("baseline", PictureParams::baseline, 23),
    ];
    for (name, profile, qp) in groups {
        let mut random = Random(10);
        let params = |_, kind| profile(5, 4, kind, qp);
        let pictures: Vec<_> = (0..620)
            .map(|time| scene(&params(0, SliceKind::I), time, &mut random))
            .collect();
        let what = format!("{name}: 620 pictures at qp {qp}");
        check(&what, 620, &pictures, params);
    }
}

#[test]
fn a_level_too_large_for_a_code_makes_a_macroblock_of_samples() {
    // At QP 0 the DC levels of a macroblock that differs everywhere from its prediction by one large value are beyond
    // what 28 bits can say, though the macroblock would take few bits.
    let params = |_, kind| PictureParams::baseline(4, 4, kind, 0);
    let picture = |value: u8| {
        Picture::from_fn(&params(0, SliceKind::I), |plane, x, y| {
            let (x, y) = if plane == 0 { (x, y) } else { (2 * x, 2 * y) };
            if (x / 16 + y / 16) % 2 == 0 {
                value
            } else {
                255 - value
            }
        })
    };
    let pictures = [picture(0), picture(255), picture(0)];
    check("chessboard", 3, &pictures, params);
    let replaced = |stats: &PictureStats| stats.pcm > 0 && !stats.lcu_overflow;
    let coded = encode(3, &pictures, params);
    assert!(coded.stats.iter().any(replaced), "{:?}", coded.stats);
    // One step of QP away from the limit nothing is replaced.
    let params = |_, kind| PictureParams::baseline(4, 4, kind, 12);
    for stats in encode(3, &pictures, params).stats {
        assert_eq!(stats.pcm, 0, "{stats:?}");
    }
}
