//! The reference picture prepared for motion compensation (8.4.2.2): padded, with its half-sample planes.
//!
//! Every quarter-sample position is one of four planes or the mean of two samples of them, so a motion search costs
//! no filtering. The planes are rebuilt for each picture from the frame the caller gives.

use super::frame::Frame;
use super::mb::Mv;
use super::metric::mean;

/// Samples added on each side of the luma planes.
const PAD: usize = 32;
/// How far outside the picture a 16x16 block may begin or end.
const REACH: i32 = 24;

/// Full samples, half samples to the right, below, and to the lower right.
const FULL: usize = 0;
const RIGHT: usize = 1;
const BELOW: usize = 2;
const CENTRE: usize = 3;

/// Plane, column and row offset of the two samples whose mean is a quarter position, by `y & 3` and `x & 3`. Equal
/// entries mean one sample.
const POSITIONS: [[[(usize, usize, usize); 2]; 4]; 4] = [
    [
        [(FULL, 0, 0), (FULL, 0, 0)],
        [(FULL, 0, 0), (RIGHT, 0, 0)],
        [(RIGHT, 0, 0), (RIGHT, 0, 0)],
        [(RIGHT, 0, 0), (FULL, 1, 0)],
    ],
    [
        [(FULL, 0, 0), (BELOW, 0, 0)],
        [(RIGHT, 0, 0), (BELOW, 0, 0)],
        [(RIGHT, 0, 0), (CENTRE, 0, 0)],
        [(RIGHT, 0, 0), (BELOW, 1, 0)],
    ],
    [
        [(BELOW, 0, 0), (BELOW, 0, 0)],
        [(BELOW, 0, 0), (CENTRE, 0, 0)],
        [(CENTRE, 0, 0), (CENTRE, 0, 0)],
        [(CENTRE, 0, 0), (BELOW, 1, 0)],
    ],
    [
        [(BELOW, 0, 0), (FULL, 0, 1)],
        [(BELOW, 0, 0), (RIGHT, 0, 1)],
        [(CENTRE, 0, 0), (RIGHT, 0, 1)],
        [(BELOW, 1, 0), (RIGHT, 0, 1)],
    ],
];

/// A prepared reference picture.
pub(super) struct Reference {
    width: usize,
    height: usize,
    stride: usize,
    planes: [Vec<u8>; 4],
    /// Interleaved chroma with half the padding; the same stride as luma.
    chroma: Vec<u8>,
    /// One row of vertically filtered samples before rounding, less [`BIAS`].
    row: Vec<i16>,
}

/// Taken from filtered samples so that their sums fit in 16 bits; the filter's gain of 32 makes it exactly 128 less
/// one half in the result.
const BIAS: i16 = 4080;

impl Reference {
    pub(super) fn new(mb_width: u16, mb_height: u16) -> Self {
        let (width, height) = (usize::from(mb_width) * 16, usize::from(mb_height) * 16);
        let stride = width + 2 * PAD;
        let plane = || vec![0; stride * (height + 2 * PAD)];
        Self {
            width,
            height,
            stride,
            planes: [plane(), plane(), plane(), plane()],
            chroma: vec![0; stride * (height / 2 + PAD)],
            row: vec![0; stride],
        }
    }

    /// Copies and pads `frame`, which must have the reference's geometry, and filters it.
    pub(super) fn prepare(&mut self, frame: &Frame) {
        let stride = self.stride;
        let [full, ..] = &mut self.planes;
        for (row, from) in full[PAD * stride..]
            .chunks_exact_mut(stride)
            .zip(frame.luma().chunks(self.width))
        {
            row[..PAD].fill(from[0]);
            row[PAD..PAD + from.len()].copy_from_slice(from);
            row[PAD + from.len()..].fill(from[from.len() - 1]);
        }
        pad_rows(full, stride, PAD, self.height);
        for (row, from) in self.chroma[PAD / 2 * stride..]
            .chunks_exact_mut(stride)
            .zip(frame.chroma().chunks(self.width))
        {
            let (left, rest) = row.split_at_mut(PAD);
            let (middle, right) = rest.split_at_mut(from.len());
            middle.copy_from_slice(from);
            for (edge, pair) in [
                (left, [from[0], from[1]]),
                (right, [from[from.len() - 2], from[from.len() - 1]]),
            ] {
                for to in edge.chunks_exact_mut(2) {
                    to.copy_from_slice(&pair);
                }
            }
        }
        pad_rows(&mut self.chroma, stride, PAD / 2, self.height / 2);
        self.filter();
    }

    fn filter(&mut self) {
        let stride = self.stride;
        let [full, right, below, centre] = &mut self.planes;
        let rows = full.len() / stride;
        for y in 2..rows - 3 {
            let taps: [&[u8]; 6] =
                std::array::from_fn(|tap| &full[(y + tap - 2) * stride..][..stride]);
            let at = y * stride;
            filter_below(taps, &mut self.row, &mut below[at..at + stride]);
            filter_centre(&self.row, &mut centre[at + 2..at + stride - 3]);
            filter_right(taps[2], &mut right[at + 2..at + stride - 3]);
        }
    }

    /// Least and greatest vector components, in luma samples, for a 16x16 block at (`x`, `y`).
    pub(super) fn limits(&self, x: usize, y: usize) -> Limits {
        let (x, y) = (x as i32, y as i32);
        Limits {
            x_min: -x - REACH,
            x_max: self.width as i32 - x - 16 + REACH,
            y_min: -y - REACH,
            y_max: self.height as i32 - y - 16 + REACH,
        }
    }

    /// The one or two runs of samples whose mean predicts the block at (`x`, `y`) moved by `mv`.
    #[inline]
    pub(super) fn luma(&self, x: usize, y: usize, mv: Mv) -> (&[u8], Option<&[u8]>) {
        let (mx, my) = (i32::from(mv.x), i32::from(mv.y));
        let column = (x as i32 + (mx >> 2) + PAD as i32) as usize;
        let row = (y as i32 + (my >> 2) + PAD as i32) as usize;
        let [a, b] = POSITIONS[(my & 3) as usize][(mx & 3) as usize];
        let samples = |(plane, dx, dy): (usize, usize, usize)| {
            &self.planes[plane & 3][(row + dy) * self.stride + column + dx..]
        };
        (samples(a), (a != b).then(|| samples(b)))
    }

    /// The samples from (`x`, `y`) of the picture on, which may be in the padding.
    #[inline]
    pub(super) fn whole(&self, x: i32, y: i32) -> &[u8] {
        let (column, row) = ((x + PAD as i32) as usize, (y + PAD as i32) as usize);
        &self.planes[FULL][row * self.stride + column..]
    }

    /// Bytes from one row of [`Reference::luma`] to the next.
    #[inline]
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Predicts a luma block of `N` columns.
    #[inline]
    pub(super) fn predict_luma<const N: usize>(
        &self,
        x: usize,
        y: usize,
        mv: Mv,
        out: &mut [[u8; N]],
    ) {
        let (a, b) = self.luma(x, y, mv);
        let mut at = 0;
        for to in out {
            let Some(row) = a[at..].first_chunk() else {
                return;
            };
            *to = match b.map(|b| b[at..].first_chunk()) {
                Some(Some(other)) => mean(row, other),
                _ => *row,
            };
            at += self.stride;
        }
    }

    /// Predicts `N` columns, Cb and Cr interleaved, and `N / 2` rows of chroma for the luma block at (`x`, `y`) moved
    /// by `mv`, at (`to_x`, `to_y`) of `out`.
    #[inline]
    pub(super) fn predict_chroma<const N: usize>(
        &self,
        (x, y): (usize, usize),
        mv: Mv,
        (to_x, to_y): (usize, usize),
        out: &mut [[[u8; 8]; 8]; 2],
    ) {
        let (mx, my) = (i32::from(mv.x), i32::from(mv.y));
        let column = (x as i32 / 2 + (mx >> 3) + PAD as i32 / 2) as usize;
        let row = (y as i32 / 2 + (my >> 3) + PAD as i32 / 2) as usize;
        let (fx, fy) = ((mx & 7) as u16, (my & 7) as u16);
        let weights = [(8 - fx) * (8 - fy), fx * (8 - fy), (8 - fx) * fy, fx * fy];
        let mut at = row * self.stride + 2 * column;
        let [cb, cr] = out;
        for dy in 0..N / 2 {
            // Four runs of samples, each one to the right or below.
            let runs = [at, at + 2, at + self.stride, at + self.stride + 2]
                .map(|at| self.chroma[at..].first_chunk::<N>());
            let [Some(a), Some(b), Some(c), Some(d)] = runs else {
                return;
            };
            let mut mixed = [0u8; N];
            for i in 0..N {
                let sum = weights[0] * u16::from(a[i])
                    + weights[1] * u16::from(b[i])
                    + weights[2] * u16::from(c[i])
                    + weights[3] * u16::from(d[i]);
                mixed[i] = ((sum + 32) >> 6) as u8;
            }
            for i in 0..N / 2 {
                cb[to_y + dy][to_x + i] = mixed[2 * i];
                cr[to_y + dy][to_x + i] = mixed[2 * i + 1];
            }
            at += self.stride;
        }
    }
}

/// Bounds of a motion vector in luma samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) x_min: i32,
    pub(super) x_max: i32,
    pub(super) y_min: i32,
    pub(super) y_max: i32,
}

/// Repeats the first and last of `rows` rows into the padding above and below.
fn pad_rows(plane: &mut [u8], stride: usize, pad: usize, rows: usize) {
    let (above, rest) = plane.split_at_mut(pad * stride);
    for row in above.chunks_exact_mut(stride) {
        row.copy_from_slice(&rest[..stride]);
    }
    let (inside, below) = rest.split_at_mut(rows * stride);
    let last = &inside[(rows - 1) * stride..];
    for row in below.chunks_exact_mut(stride) {
        row.copy_from_slice(last);
    }
}

#[inline(always)]
fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> i16 {
    let s = |v: u8| i16::from(v);
    (s(a) + s(f)) - 5 * (s(b) + s(e)) + 20 * (s(c) + s(d))
}

/// Vertical half samples of one row, rounded into `out`, unrounded into `row`.
fn filter_below(taps: [&[u8]; 6], row: &mut [i16], out: &mut [u8]) {
    let [a, b, c, d, e, f] = taps;
    let len = out.len();
    let (a, b, c, d, e, f) = (
        &a[..len],
        &b[..len],
        &c[..len],
        &d[..len],
        &e[..len],
        &f[..len],
    );
    let row = &mut row[..len];
    for i in 0..len {
        let sum = six(a[i], b[i], c[i], d[i], e[i], f[i]);
        row[i] = sum - BIAS;
        out[i] = ((sum + 16) >> 5).clamp(0, 255) as u8;
    }
}

/// Half samples of one row in both directions from the unrounded vertical ones; `row` begins two samples before `out`.
fn filter_centre(row: &[i16], out: &mut [u8]) {
    let len = out.len();
    let tap = |offset: usize| &row[offset..offset + len];
    let (a, b, c, d, e, f) = (tap(0), tap(1), tap(2), tap(3), tap(4), tap(5));
    for i in 0..len {
        let (outer, middle, inner) = (a[i] + f[i], b[i] + e[i], c[i] + d[i]);
        // (outer - 5 middle + 20 inner) / 16 by nested floors. Where the sum saturates the result is clipped anyway.
        let quarter = ((outer - middle) >> 2).saturating_add(inner - middle);
        let sixteenth = (quarter >> 2) + inner;
        out[i] = ((sixteenth >> 6) + 128).clamp(0, 255) as u8;
    }
}

/// Horizontal half samples of one row; `row` begins two samples before `out`.
fn filter_right(row: &[u8], out: &mut [u8]) {
    let len = out.len();
    let tap = |offset: usize| &row[offset..offset + len];
    let (a, b, c, d, e, f) = (tap(0), tap(1), tap(2), tap(3), tap(4), tap(5));
    for i in 0..len {
        out[i] = ((six(a[i], b[i], c[i], d[i], e[i], f[i]) + 16) >> 5).clamp(0, 255) as u8;
    }
}
