//! What a caller of the encoder may rely on: it uses what it is given, refuses what it cannot do, and keeps nothing.

// Picture coordinates and random bytes are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

#[allow(dead_code, reason = "shared with the tests against a decoder")]
mod stream;

use avpu_model::avc::{
    EncodeError, Encoder, Entropy, Frame, HeaderTail, PictureParams, PictureStats, SearchRange,
    SliceKind,
};
use stream::check::{Picture, Random, check, encode, scene};

const WIDTH: u16 = 8;
const HEIGHT: u16 = 6;

fn product(kind: SliceKind, qp: u8) -> PictureParams {
    PictureParams::product(WIDTH, HEIGHT, kind, qp)
}

/// An intra picture and its reconstruction, and the source of the picture after it.
fn first() -> (Frame, Picture) {
    let mut random = Random(31);
    let pictures = [0, 1].map(|time| scene(&product(SliceKind::I, 28), time, &mut random));
    let mut recon = Frame::new(WIDTH, HEIGHT);
    Encoder::new(WIDTH, HEIGHT)
        .encode(
            &product(SliceKind::I, 28),
            &pictures[0].view(),
            None,
            &mut recon,
            &mut Vec::new(),
        )
        .expect("legal parameters");
    let [_, next] = pictures;
    (recon, next)
}

fn second(params: &PictureParams, reference: &Frame, source: &Picture) -> (Vec<u8>, PictureStats) {
    let mut out = Vec::new();
    let stats = Encoder::new(WIDTH, HEIGHT)
        .encode(
            params,
            &source.view(),
            Some(reference),
            &mut Frame::new(WIDTH, HEIGHT),
            &mut out,
        )
        .expect("legal parameters");
    (out, stats)
}

#[test]
fn every_parameter_and_every_part_of_the_reference_changes_the_output() {
    let (reference, source) = first();
    let params = product(SliceKind::P, 28);
    let (plain, _) = second(&params, &reference, &source);
    let mut offsets = params;
    offsets.chroma_qp_offset = [3, 3];
    let variants = [
        PictureParams { qp: 29, ..params },
        PictureParams {
            transform_8x8: false,
            ..params
        },
        PictureParams {
            scaling: avpu_model::avc::Scaling::Flat,
            ..params
        },
        PictureParams {
            cabac_init_idc: 2,
            ..params
        },
        PictureParams {
            search: SearchRange {
                horizontal: 0,
                vertical: 0,
            },
            ..params
        },
        offsets,
    ];
    for variant in variants {
        assert_ne!(
            second(&variant, &reference, &source).0,
            plain,
            "{variant:?}"
        );
    }
    let mut blurred = reference.clone();
    let (luma, _) = blurred.planes_mut();
    luma[40 * 128 + 40] ^= 0x80;
    assert_ne!(second(&params, &blurred, &source).0, plain, "a luma sample");
    let mut blurred = reference.clone();
    let (_, chroma) = blurred.planes_mut();
    chroma[20 * 128 + 40] ^= 0x80;
    assert_ne!(
        second(&params, &blurred, &source).0,
        plain,
        "a chroma sample"
    );
}

#[test]
fn an_encoder_keeps_nothing_between_pictures() {
    let (reference, source) = first();
    let params = product(SliceKind::P, 28);
    let (fresh, _) = second(&params, &reference, &source);
    let mut encoder = Encoder::new(WIDTH, HEIGHT);
    let mut recon = Frame::new(WIDTH, HEIGHT);
    for kind in [SliceKind::I, SliceKind::P, SliceKind::P] {
        let mut out = Vec::new();
        let other = PictureParams {
            scaling: avpu_model::avc::Scaling::Flat,
            ..product(kind, 40)
        };
        encoder
            .encode(
                &other,
                &source.view(),
                Some(&reference),
                &mut recon,
                &mut out,
            )
            .expect("legal parameters");
        out.clear();
        encoder
            .encode(
                &params,
                &source.view(),
                Some(&reference),
                &mut recon,
                &mut out,
            )
            .expect("legal parameters");
        assert_eq!(out, fresh);
    }
}

#[test]
fn a_higher_qp_costs_fewer_bits_and_more_error() {
    let (reference, source) = first();
    let mut last: Option<PictureStats> = None;
    for qp in (12..=48).step_by(6) {
        let (_, stats) = second(&product(SliceKind::P, qp), &reference, &source);
        if let Some(last) = last {
            assert!(
                stats.payload_bytes < last.payload_bytes,
                "qp {qp}: {stats:?} after {last:?}"
            );
            assert!(
                stats.sse_luma > last.sse_luma,
                "qp {qp}: {stats:?} after {last:?}"
            );
        }
        last = Some(stats);
    }
}

#[test]
fn figures_of_a_picture_add_up() {
    let (reference, source) = first();
    let (out, stats) = second(&product(SliceKind::P, 30), &reference, &source);
    let blocks = 4 * u32::from(WIDTH) * u32::from(HEIGHT);
    assert_eq!(stats.payload_bytes as usize, out.len());
    assert_eq!(stats.intra_8x8 + stats.inter_8x8, blocks);
    assert_eq!(stats.cu_8x8 + 4 * stats.cu_16x16, blocks);
    assert!(stats.skipped_8x8 <= stats.inter_8x8);
    assert_eq!(stats.qp_sum, 30 * blocks / 4);
    assert_eq!((stats.qp_min, stats.qp_max), (30, 30));
    assert!(stats.residual_bits < 8 * stats.payload_bytes && stats.bins > stats.residual_bits / 2);
    assert!(!stats.lcu_overflow && stats.pcm == 0);
}

#[test]
fn a_macroblock_over_its_bits_is_sent_raw_and_without_error() {
    let seed = 0xBEEF;
    let mut random = Random(seed);
    let noise = Picture::from_fn(&product(SliceKind::I, 4), |_, _, _| random.next() as u8);
    let mut recon = Frame::new(WIDTH, HEIGHT);
    let mut encoder = Encoder::new(WIDTH, HEIGHT);
    let params = product(SliceKind::I, 4);
    let stats = encoder
        .encode(&params, &noise.view(), None, &mut recon, &mut Vec::new())
        .expect("legal parameters");
    assert_eq!(
        stats.pcm,
        u32::from(WIDTH) * u32::from(HEIGHT),
        "seed {seed:#x}"
    );
    assert!(stats.lcu_overflow);
    let unbounded = PictureParams {
        max_mb_bits: u32::MAX,
        ..params
    };
    let stats = encoder
        .encode(&unbounded, &noise.view(), None, &mut recon, &mut Vec::new())
        .expect("legal parameters");
    assert_eq!(stats.pcm, 0);
    assert!(!stats.lcu_overflow);
}

#[test]
fn any_bound_on_macroblocks_decodes_to_the_reconstruction() {
    let mut random = Random(12);
    let pictures: Vec<_> = (0..6)
        .map(|time| {
            let mut picture = scene(&product(SliceKind::I, 6), time, &mut random);
            // Noise on the right half: coded and raw macroblocks next to each other, in I and P pictures.
            for (index, sample) in picture.luma.iter_mut().enumerate() {
                if index % 128 > 70 {
                    *sample = random.next() as u8;
                }
            }
            picture
        })
        .collect();
    for max_mb_bits in [1200, 2000, 3200] {
        let params = |_, kind| PictureParams {
            max_mb_bits,
            ..product(kind, 6)
        };
        check(&format!("at most {max_mb_bits} bits"), 6, &pictures, params);
        let coded = encode(6, &pictures, params);
        let raw: u32 = coded.stats.iter().map(|stats| stats.pcm).sum();
        assert!(
            raw > 0 && raw < 6 * 48,
            "{raw} raw macroblocks at {max_mb_bits} bits"
        );
    }
}

#[test]
fn extremes_of_black_and_white_decode_to_the_reconstruction() {
    let seed = 99;
    let mut random = Random(seed);
    for (qp, transform_8x8) in [(0, true), (0, false), (9, true), (51, true), (51, false)] {
        let params = |_, kind| PictureParams {
            transform_8x8,
            max_mb_bits: u32::MAX,
            scaling: avpu_model::avc::Scaling::Flat,
            ..product(kind, qp)
        };
        let pictures: Vec<_> = (0..6)
            .map(|time| {
                Picture::from_fn(&product(SliceKind::I, qp), |_, x, y| {
                    let white = match (x / 16 + y / 16 + time) % 5 {
                        0 => (x + y + time) % 2 == 0,
                        1 => x / 2 % 2 == 0,
                        2 => y % 4 < 2,
                        3 => random.next() & 1 == 0,
                        _ => (x / 4 + y / 4) % 2 == 0,
                    };
                    if white { 255 } else { 0 }
                })
            })
            .collect();
        check(
            &format!("extremes at qp {qp}, seed {seed}"),
            6,
            &pictures,
            params,
        );
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_written() {
    let (reference, source) = first();
    let good = product(SliceKind::P, 28);
    let refuse = |params: PictureParams, reference: Option<&Frame>, source: &Picture| {
        let mut out = vec![7];
        let mut recon = Frame::new(WIDTH, HEIGHT);
        let before = recon.clone();
        let error = Encoder::new(WIDTH, HEIGHT)
            .encode(&params, &source.view(), reference, &mut recon, &mut out)
            .expect_err("a refusal");
        assert_eq!(out, [7]);
        assert_eq!(recon, before);
        error
    };
    let cavlc = PictureParams {
        entropy: Entropy::Cavlc,
        ..good
    };
    assert!(matches!(
        refuse(cavlc, Some(&reference), &source),
        EncodeError::Unsupported("the 8x8 transform with CAVLC")
    ));
    let tail = HeaderTail { bits: 1, count: 1 };
    let cabac = PictureParams {
        header_tail: tail,
        ..good
    };
    assert!(matches!(
        refuse(cabac, Some(&reference), &source),
        EncodeError::OutOfRange { found: 1, .. }
    ));
    let mut deblock = good;
    deblock.deblock.alpha_offset = 3;
    for params in [
        PictureParams { qp: 52, ..good },
        PictureParams {
            qp_min: 30,
            qp_max: 20,
            ..good
        },
        PictureParams { qp_max: 60, ..good },
        PictureParams {
            cabac_init_idc: 3,
            ..good
        },
        PictureParams {
            display_width: 129,
            ..good
        },
        PictureParams {
            chroma_qp_offset: [13, 0],
            ..good
        },
        deblock,
    ] {
        let error = refuse(params, Some(&reference), &source);
        assert!(
            matches!(error, EncodeError::OutOfRange { .. }),
            "{params:?}: {error}"
        );
    }
    assert_eq!(refuse(good, None, &source), EncodeError::NoReference);
    let other = Frame::new(WIDTH, HEIGHT + 1);
    assert!(matches!(
        refuse(good, Some(&other), &source),
        EncodeError::Geometry { .. }
    ));
    let wider = PictureParams::product(WIDTH + 1, HEIGHT, SliceKind::I, 28);
    assert!(matches!(
        refuse(wider, Some(&reference), &source),
        EncodeError::Geometry { .. }
    ));
    let mut short = source;
    short.chroma.pop();
    assert!(matches!(
        refuse(good, Some(&reference), &short),
        EncodeError::PlaneTooSmall {
            plane: "chroma",
            ..
        }
    ));
}
