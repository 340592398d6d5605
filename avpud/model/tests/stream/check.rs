//! Pictures to encode, and the comparison of a decoder's output with the reconstruction.

// Picture coordinates and random bytes are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

use super::skip::skip;
use avpu_model::avc::{Encoder, Frame, Nv12View, PictureParams, PictureStats, SliceKind};

/// An NV12 picture stored in whole macroblocks.
pub(crate) struct Picture {
    pub(crate) luma: Vec<u8>,
    pub(crate) chroma: Vec<u8>,
    pub(crate) stride: usize,
}

impl Picture {
    pub(crate) fn from_fn(
        params: &PictureParams,
        mut sample: impl FnMut(usize, usize, usize) -> u8,
    ) -> Self {
        let stride = usize::from(params.mb_width) * 16;
        let rows = usize::from(params.mb_height) * 16;
        let luma = (0..stride * rows)
            .map(|i| sample(0, i % stride, i / stride))
            .collect();
        let chroma = (0..stride * rows / 2)
            .map(|i| sample(1 + i % 2, i % stride / 2, i / stride))
            .collect();
        Self {
            luma,
            chroma,
            stride,
        }
    }

    pub(crate) fn view(&self) -> Nv12View<'_> {
        Nv12View {
            luma: &self.luma,
            luma_stride: self.stride,
            chroma: &self.chroma,
            chroma_stride: self.stride,
        }
    }
}

/// A small generator with a printed seed.
pub(crate) struct Random(pub(crate) u32);

impl Random {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// A coded sequence and what it should decode to.
pub(crate) struct Coded {
    pub(crate) stream: Vec<u8>,
    pub(crate) expected: Vec<Vec<u8>>,
    pub(crate) stats: Vec<PictureStats>,
}

/// Encodes `pictures` in groups of `gop` with the parameters that `params` gives for each index.
pub(crate) fn encode(
    gop: usize,
    pictures: &[Picture],
    params: impl Fn(usize, SliceKind) -> PictureParams,
) -> Coded {
    let first = params(0, SliceKind::I);
    let mut encoder = Encoder::new(first.mb_width, first.mb_height);
    let mut recon = Frame::new(first.mb_width, first.mb_height);
    let mut reference = recon.clone();
    let mut coded = Coded {
        stream: Vec::new(),
        expected: Vec::new(),
        stats: Vec::new(),
    };
    for (index, picture) in pictures.iter().enumerate() {
        let n = index % gop;
        let kind = if n == 0 { SliceKind::I } else { SliceKind::P };
        let mut params = params(index, kind);
        if n == 0 {
            super::parameter_sets(&params, &mut coded.stream);
        }
        params.header_tail = super::slice_header(
            &params,
            n as u32,
            (index / gop % 2) as u32,
            &mut coded.stream,
        );
        let stats = encoder
            .encode(
                &params,
                &picture.view(),
                Some(&reference),
                &mut recon,
                &mut coded.stream,
            )
            .expect("legal parameters");
        coded.stats.push(stats);
        coded.expected.push(super::visible(&recon, &params));
        std::mem::swap(&mut recon, &mut reference);
    }
    coded
}

/// Encodes and compares ffmpeg's decode with the reconstruction, byte for byte. Prints a line where ffmpeg is missing.
pub(crate) fn check(
    name: &str,
    gop: usize,
    pictures: &[Picture],
    params: impl Fn(usize, SliceKind) -> PictureParams,
) {
    let width = usize::from(params(0, SliceKind::I).display_width);
    let Coded {
        stream, expected, ..
    } = encode(gop, pictures, params);
    compare(name, width, &stream, &expected);
}

/// Compares ffmpeg's decode of `stream` with `expected`.
pub(crate) fn compare(name: &str, width: usize, stream: &[u8], expected: &[Vec<u8>]) {
    let Some(decoded) = super::decode(stream) else {
        skip(name, "ffmpeg is not installed");
        return;
    };
    let len = expected[0].len();
    assert_eq!(
        decoded.len(),
        len * expected.len(),
        "{name}: pictures decoded"
    );
    for (index, (want, have)) in expected.iter().zip(decoded.chunks(len)).enumerate() {
        if let Some(at) = want.iter().zip(have).position(|(a, b)| a != b) {
            panic!(
                "{name}: picture {index} differs first at x {} y {}",
                at % width,
                at / width
            );
        }
    }
}

/// A moving scene: gradients, a grid of edges, a textured square that crosses the picture, and a little noise.
pub(crate) fn scene(params: &PictureParams, time: usize, random: &mut Random) -> Picture {
    Picture::from_fn(params, |plane, x, y| {
        let (x, y) = if plane == 0 { (x, y) } else { (2 * x, 2 * y) };
        let pan = x + 3 * time;
        let mut value = 60 + pan / 3 % 80 + y / 4 % 50;
        if (pan / 24).is_multiple_of(3) && (y / 20).is_multiple_of(2) {
            value += 70;
        }
        let inside = (x + 97 * 60 - 7 * time) % 97 < 32 && (y + 5 * time) % 71 < 28;
        if inside {
            value = (pan * 7 + y * 13) % 128 + 20 * plane;
        }
        (value + 5 * plane + random.next() as usize % 4).min(255) as u8
    })
}
