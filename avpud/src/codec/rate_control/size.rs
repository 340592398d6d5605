//! What a picture will cost at a quantiser.
//!
//! Six quantiser steps halve a picture's bits, near enough. So each kind of picture is described by one
//! number that stays while the quantiser moves: its bits times two to the power of a sixth of the quantiser.

use crate::picture::{PictureKind, Qp};

/// The size model of a channel, per kind of picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct SizeModel {
    idr: Complexity,
    p: Complexity,
}

#[derive(Clone, Copy, Debug)]
struct Complexity {
    scaled_bits: u64,
    is_measured: bool,
}

/// 256 * 2^(qp / 6), rounded.
const SCALE: [u64; 52] = [
    256, 287, 323, 362, 406, 456, 512, 575, 645, 724, 813, 912, 1024, 1149, 1290, 1448, 1625, 1825,
    2048, 2299, 2580, 2896, 3251, 3649, 4096, 4598, 5161, 5793, 6502, 7298, 8192, 9195, 10321,
    11585, 13004, 14596, 16384, 18390, 20643, 23170, 26008, 29193, 32768, 36781, 41285, 46341,
    52016, 58386, 65536, 73562, 82570, 92682,
];

impl SizeModel {
    /// A guess from what the two kinds are expected to cost at `qp`.
    pub(super) fn guess(qp: Qp, idr_bits: u64, p_bits: u64) -> Self {
        let guess = |bits| Complexity {
            scaled_bits: scaled(bits, qp),
            is_measured: false,
        };
        Self {
            idr: guess(idr_bits),
            p: guess(p_bits),
        }
    }

    /// Bits that a picture of this kind will take.
    pub(super) fn bits(&self, kind: PictureKind, qp: Qp) -> u64 {
        let complexity = match kind {
            PictureKind::Idr => self.idr,
            PictureKind::P => self.p,
        };
        complexity.scaled_bits / scale(qp)
    }

    /// A picture took this many bits. The first of a kind replaces the guess, later ones move it; an
    /// IDR moves it more, because there are few.
    pub(super) fn learn(&mut self, kind: PictureKind, qp: Qp, bits: u64) {
        let new = scaled(bits.max(1), qp);
        let (complexity, old_share, shares) = match kind {
            PictureKind::Idr => (&mut self.idr, 1, 2),
            PictureKind::P => (&mut self.p, 3, 4),
        };
        complexity.scaled_bits = match complexity.is_measured {
            false => new,
            true => (complexity.scaled_bits * old_share + new * (shares - old_share)) / shares,
        };
        complexity.is_measured = true;
    }
}

/// Six times the binary logarithm of `value / 256`, rounded up, at most 51: the quantiser whose scale
/// is the first one not below `value`.
pub(super) fn steps_of(value: u64) -> u32 {
    let below = SCALE.iter().take_while(|&&scale| scale < value).count();
    u32::try_from(below).unwrap_or(u32::MAX).min(51)
}

/// Four thousand million bytes at the coarsest quantiser are less than 2^53.
fn scaled(bits: u64, qp: Qp) -> u64 {
    bits.saturating_mul(scale(qp))
}

fn scale(qp: Qp) -> u64 {
    SCALE[usize::from(qp.value())]
}
