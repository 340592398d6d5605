//! The encoder against an independent decoder on real camera pictures, in the product's sizes.

// Picture coordinates are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

#[allow(dead_code, reason = "shared with the tests on made pictures")]
mod stream;

use avpu_model::avc::{Encoder, Frame, MbProgress, PictureParams, SliceKind};
use stream::check::{Picture, check, compare};
use stream::skip::skip;

const CLIPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/clips");

/// The first `count` pictures of the street clip at a size, or `None` with a printed reason.
fn street(width: usize, height: usize, count: usize) -> Option<Vec<Picture>> {
    let clip = format!("{CLIPS}/street-1920x1080p25.h264");
    if !std::path::Path::new(&clip).exists() {
        skip(
            &format!("{width}x{height}"),
            &format!("there is no clip at {clip}"),
        );
        return None;
    }
    let (scale, count) = (format!("scale={width}:{height}"), count.to_string());
    let arguments = [
        "-v",
        "error",
        "-i",
        &clip,
        "-frames:v",
        &count,
        "-vf",
        &scale,
        "-pix_fmt",
        "nv12",
        "-f",
        "rawvideo",
        "-",
    ];
    let Some((bytes, _)) = stream::run("ffmpeg", &arguments, &[]) else {
        skip(&format!("{width}x{height}"), "ffmpeg is not installed");
        return None;
    };
    let pictures = bytes.chunks_exact(width * height * 3 / 2);
    Some(pictures.map(|bytes| padded(bytes, width, height)).collect())
}

/// An NV12 picture extended to whole macroblocks by repeating its edges.
fn padded(bytes: &[u8], width: usize, height: usize) -> Picture {
    let stride = width.next_multiple_of(16);
    let (luma, chroma) = bytes.split_at(width * height);
    let plane = |from: &[u8], rows: usize, unit: usize| {
        let mut to = Vec::new();
        for row in from.chunks(width) {
            to.extend_from_slice(row);
            for at in width..stride {
                to.push(row[width - unit + at % unit]);
            }
        }
        let last = to[to.len() - stride..].to_vec();
        while to.len() < rows * stride {
            to.extend_from_slice(&last);
        }
        to
    };
    let rows = height.next_multiple_of(16);
    Picture {
        luma: plane(luma, rows, 1),
        chroma: plane(chroma, rows / 2, 2),
        stride,
    }
}

/// Parameters of a profile by size in macroblocks, slice type and QP.
type Profile = fn(u16, u16, SliceKind, u8) -> PictureParams;

const HIGH: Profile = PictureParams::product;
const MAIN: Profile = PictureParams::main;
const BASELINE: Profile = PictureParams::baseline;

fn sized(
    profile: Profile,
    (width, height): (usize, usize),
    kind: SliceKind,
    qp: u8,
) -> PictureParams {
    PictureParams {
        display_width: width as u16,
        display_height: height as u16,
        ..profile(
            width.div_ceil(16) as u16,
            height.div_ceil(16) as u16,
            kind,
            qp,
        )
    }
}

/// Encodes the clip at a size with the QP walking over 10..=51 and compares.
fn walk(profile: Profile, (width, height): (usize, usize), count: usize, gop: usize) {
    let Some(pictures) = street(width, height, count) else {
        return;
    };
    let params = |index: usize, kind| {
        let qp = 10 + (index * 11 % 42) as u8;
        sized(profile, (width, height), kind, qp)
    };
    let coder = params(0, SliceKind::I).entropy;
    check(
        &format!("street {width}x{height} group {gop} {coder:?}"),
        gop,
        &pictures,
        params,
    );
}

#[test]
fn small_sizes_of_a_real_clip_decode_to_the_reconstruction() {
    walk(HIGH, (176, 144), 54, 1);
    walk(HIGH, (176, 144), 54, 50);
    walk(HIGH, (320, 192), 54, 25);
    walk(HIGH, (640, 360), 16, 25);
    walk(HIGH, (854, 480), 10, 5);
}

#[test]
fn small_sizes_of_a_real_clip_decode_to_the_reconstruction_in_the_other_profiles() {
    for profile in [BASELINE, MAIN] {
        walk(profile, (176, 144), 42, 1);
        walk(profile, (176, 144), 54, 50);
        walk(profile, (320, 192), 42, 25);
        walk(profile, (640, 360), 12, 25);
        walk(profile, (854, 480), 6, 3);
    }
}

#[test]
fn large_sizes_of_a_real_clip_decode_to_the_reconstruction() {
    walk(HIGH, (1280, 720), 8, 50);
    walk(HIGH, (1920, 1080), 4, 50);
    walk(HIGH, (2304, 1296), 3, 50);
    for profile in [BASELINE, MAIN] {
        walk(profile, (1280, 720), 4, 50);
        walk(profile, (2304, 1296), 2, 50);
    }
}

#[test]
fn the_office_decodes_to_the_reconstruction() {
    let path = format!("{CLIPS}/office-320x192p12.i420");
    let Ok(bytes) = std::fs::read(&path) else {
        skip("the office", &format!("there is no clip at {path}"));
        return;
    };
    let (width, height) = (320, 192);
    let pictures: Vec<_> = bytes
        .chunks_exact(width * height * 3 / 2)
        .map(|picture| {
            let (luma, chroma) = picture.split_at(width * height);
            let (cb, cr) = chroma.split_at(width * height / 4);
            let pairs = cb.iter().zip(cr).flat_map(|(&cb, &cr)| [cb, cr]);
            Picture {
                luma: luma.to_vec(),
                chroma: pairs.collect(),
                stride: width,
            }
        })
        .collect();
    for qp in (10..52).step_by(3) {
        for profile in [HIGH, MAIN, BASELINE] {
            let params = |_, kind| sized(profile, (width, height), kind, qp);
            let coder = params(0, SliceKind::I).entropy;
            check(&format!("office qp {qp} {coder:?}"), 9, &pictures, params);
        }
    }
}

#[test]
fn a_qp_that_changes_at_every_macroblock_decodes_to_the_reconstruction() {
    let (width, height) = (320, 192);
    let Some(pictures) = street(width, height, 12) else {
        return;
    };
    for profile in [HIGH, MAIN, BASELINE] {
        walk_qp_inside_pictures(profile, (width, height), &pictures);
    }
}

/// Encodes a group with another QP for every macroblock and compares.
fn walk_qp_inside_pictures(profile: Profile, size: (usize, usize), pictures: &[Picture]) {
    let mut encoder = Encoder::new(20, 12);
    let (mut recon, mut reference) = (Frame::new(20, 12), Frame::new(20, 12));
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for (index, picture) in pictures.iter().enumerate() {
        let kind = if index == 0 {
            SliceKind::I
        } else {
            SliceKind::P
        };
        let mut params = PictureParams {
            qp_min: 12,
            ..sized(profile, size, kind, 30)
        };
        if index == 0 {
            stream::parameter_sets(&params, &mut stream);
        }
        params.header_tail = stream::slice_header(&params, index as u32, 0, &mut stream);
        let mut last_bits = 0;
        let mut qp = |at: MbProgress| {
            assert!(at.bits >= last_bits, "{at:?} after {last_bits} bits");
            last_bits = at.bits;
            ((at.column * 7 + at.row * 13 + index as u16) % 52) as u8
        };
        let stats = encoder
            .encode_with(
                &params,
                &picture.view(),
                Some(&reference),
                &mut recon,
                &mut stream,
                &mut qp,
            )
            .expect("legal parameters");
        assert!(stats.qp_min == 12 && stats.qp_max > 30, "{stats:?}");
        expected.push(stream::visible(&recon, &params));
        std::mem::swap(&mut recon, &mut reference);
    }
    compare("qp per macroblock", size.0, &stream, &expected);
}
