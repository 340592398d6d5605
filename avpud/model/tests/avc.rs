//! The encoder against an independent decoder: what it says it reconstructed is what a player shows.

// Picture coordinates and random bytes are narrowed on purpose.
#![allow(clippy::cast_possible_truncation)]

mod stream;

use avpu_model::avc::{Encoder, Frame, Nv12View, PictureParams, SliceKind};

/// An NV12 picture stored in whole macroblocks.
struct Picture {
    luma: Vec<u8>,
    chroma: Vec<u8>,
    stride: usize,
}

impl Picture {
    fn from_fn(params: &PictureParams, mut sample: impl FnMut(usize, usize, usize) -> u8) -> Self {
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

    fn view(&self) -> Nv12View<'_> {
        Nv12View {
            luma: &self.luma,
            luma_stride: self.stride,
            chroma: &self.chroma,
            chroma_stride: self.stride,
        }
    }
}

/// A small generator with a printed seed.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// Encodes `pictures` with the parameters that `params` gives for each index and compares ffmpeg's decode with the
/// reconstruction, byte for byte. Prints a line and returns false where ffmpeg is missing.
fn check(
    name: &str,
    gop: usize,
    pictures: &[Picture],
    params: impl Fn(usize, SliceKind) -> PictureParams,
) -> bool {
    let first = params(0, SliceKind::I);
    let mut encoder = Encoder::new(first.mb_width, first.mb_height);
    let mut frames = [
        Frame::new(first.mb_width, first.mb_height),
        Frame::new(first.mb_width, first.mb_height),
    ];
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        let n = index % gop;
        let kind = if n == 0 { SliceKind::I } else { SliceKind::P };
        let params = params(index, kind);
        if n == 0 {
            stream::parameter_sets(&params, &mut stream);
        }
        stream::slice_header(&params, n as u32, (index / gop % 2) as u32, &mut stream);
        let [recon, reference] = &mut frames;
        encoder
            .encode(
                &params,
                &picture.view(),
                Some(reference),
                recon,
                &mut stream,
            )
            .expect("legal parameters");
        expected.push(stream::visible(&frames[0], &params));
        frames.swap(0, 1);
    }
    let Some(decoded) = stream::decode(&stream) else {
        println!("skipped {name}: ffmpeg is not installed");
        return false;
    };
    let len = expected[0].len();
    assert_eq!(
        decoded.len(),
        len * expected.len(),
        "{name}: pictures decoded"
    );
    for (index, (want, have)) in expected.iter().zip(decoded.chunks(len)).enumerate() {
        if let Some(at) = want.iter().zip(have).position(|(a, b)| a != b) {
            let width = usize::from(first.display_width);
            panic!(
                "{name}: picture {index} differs first at x {} y {}",
                at % width,
                at / width
            );
        }
    }
    true
}

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

/// A moving scene: gradients, a grid of edges, a textured square that crosses the picture, and a little noise.
fn scene(params: &PictureParams, time: usize, random: &mut Random) -> Picture {
    Picture::from_fn(params, |plane, x, y| {
        let (x, y) = if plane == 0 { (x, y) } else { (2 * x, 2 * y) };
        let pan = x + 3 * time;
        let mut value = 60 + pan / 3 % 80 + y / 4 % 50;
        if (pan / 24).is_multiple_of(3) && (y / 20).is_multiple_of(2) {
            value += 70;
        }
        let inside = (x + 400 - 7 * time) % 97 < 32 && (y + 5 * time) % 71 < 28;
        if inside {
            value = (pan * 7 + y * 13) % 128 + 20 * plane;
        }
        (value + 5 * plane + random.next() as usize % 4).min(255) as u8
    })
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
