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
    /// The same of the dearest of the last pictures, whether or not it is believed; it is forgotten by halves in two
    /// seconds, about.
    peak: u64,
    is_measured: bool,
    /// The last picture was much larger, or much smaller, than expected.
    surprise: Option<Surprise>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surprise {
    Larger,
    Smaller,
}

/// The quantiser that a picture had on average, in sixteenths of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MeanQp(u32);

/// 256 * 2^(qp / 6), rounded.
const SCALE: [u64; 52] = [
    256, 287, 323, 362, 406, 456, 512, 575, 645, 724, 813, 912, 1024, 1149, 1290, 1448, 1625, 1825,
    2048, 2299, 2580, 2896, 3251, 3649, 4096, 4598, 5161, 5793, 6502, 7298, 8192, 9195, 10321,
    11585, 13004, 14596, 16384, 18390, 20643, 23170, 26008, 29193, 32768, 36781, 41285, 46341,
    52016, 58386, 65536, 73562, 82570, 92682,
];
/// How far a mean may lie from the slice's quantiser before it is not believed.
const MEAN_OFF_MAX: u32 = 8;
/// No picture has more bits than this: four thousand million bytes.
const BITS_MAX: u64 = 1 << 35;

impl MeanQp {
    /// From the sum over a picture's macroblocks; the slice's quantiser where the sum says nothing sensible.
    pub(super) fn new(slice: Qp, qp_sum: u32, macroblocks: u32) -> Self {
        let own = u32::from(slice.value()) * 16;
        let mean = u64::from(qp_sum) * 16 / u64::from(macroblocks.max(1));
        let mean = u32::try_from(mean).unwrap_or(u32::MAX);
        let is_sensible =
            mean <= u32::from(Qp::MAX.value()) * 16 && mean.abs_diff(own) <= MEAN_OFF_MAX * 16;
        Self(if is_sensible { mean } else { own })
    }

    pub(super) fn scale(self) -> u64 {
        let at = |index: u32| {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            SCALE.get(index).copied().unwrap_or(SCALE[51])
        };
        let part = u64::from(self.0 % 16);
        (at(self.0 / 16) * (16 - part) + at(self.0 / 16 + 1) * part) / 16
    }
}

impl SizeModel {
    /// A guess from what the two kinds are expected to cost at `qp`.
    pub(super) fn guess(qp: Qp, idr_bits: u64, p_bits: u64) -> Self {
        let guess = |bits: u64| Complexity {
            scaled_bits: bits.min(BITS_MAX) * scale(qp),
            peak: 0,
            is_measured: false,
            surprise: None,
        };
        Self {
            idr: guess(idr_bits),
            p: guess(p_bits),
        }
    }

    /// Bits that a picture of this kind will take.
    pub(super) fn bits(&self, kind: PictureKind, qp: Qp) -> i64 {
        let scaled = self.complexity(kind).scaled_bits;
        i64::try_from(scaled / scale(qp)).unwrap_or(i64::MAX)
    }

    /// Bits that it will take at most, if it is as dear as any of late.
    pub(super) fn most_bits(&self, kind: PictureKind, qp: Qp) -> i64 {
        let complexity = self.complexity(kind);
        let scaled = complexity.scaled_bits.max(complexity.peak);
        i64::try_from(scaled / scale(qp)).unwrap_or(i64::MAX)
    }

    fn complexity(&self, kind: PictureKind) -> Complexity {
        match kind {
            PictureKind::Idr => self.idr,
            PictureKind::P => self.p,
        }
    }

    /// A picture took this many bits. The first of a kind replaces the guess.
    ///
    /// One picture that is far off may be a cut and says little about the next; a second one in the same
    /// direction is believed. Answers the bits that are not, beyond those expected.
    pub(super) fn learn(&mut self, kind: PictureKind, qp: MeanQp, bits: u64) -> u64 {
        let new = bits.clamp(1, BITS_MAX) * qp.scale();
        let (complexity, far) = match kind {
            // There are few, and whatever is new in one will be in the next.
            PictureKind::Idr => (&mut self.idr, u64::MAX),
            PictureKind::P => (&mut self.p, 2),
        };
        let old = complexity.scaled_bits;
        complexity.peak = new.max(complexity.peak / 64 * 63);
        let surprise = if new > old.saturating_mul(far) {
            Some(Surprise::Larger)
        } else if new < old / far {
            Some(Surprise::Smaller)
        } else {
            None
        };
        let is_believed = surprise.is_none() || surprise == complexity.surprise;
        let new = match surprise {
            Some(Surprise::Larger) if !is_believed => old.saturating_mul(far),
            Some(Surprise::Smaller) if !is_believed => old / far,
            _ => new,
        };
        complexity.scaled_bits = match complexity.is_measured {
            false => new,
            // What varies little is noise, and is averaged over more pictures.
            true if kind == PictureKind::P && old.abs_diff(new) <= old / 4 => old / 4 * 3 + new / 4,
            true => old / 2 + new / 2,
        }
        .max(1);
        complexity.is_measured = true;
        complexity.surprise = surprise;
        match surprise {
            Some(Surprise::Larger) if !is_believed => bits.saturating_sub(old / qp.scale()),
            _ => 0,
        }
    }
}

/// Six times the binary logarithm of `value / 256`, rounded up, at most 51: the quantiser whose scale
/// is the first one not below `value`.
pub(super) fn steps_of(value: u64) -> i32 {
    let below = SCALE.iter().take_while(|&&scale| scale < value).count();
    i32::try_from(below).unwrap_or(i32::MAX).min(51)
}

/// What `bits` at one quantiser would be at another.
pub(super) fn rescaled(bits: i64, from: Qp, to: Qp) -> i64 {
    let scaled = i128::from(bits) * i128::from(scale(from)) / i128::from(scale(to));
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

fn scale(qp: Qp) -> u64 {
    SCALE[usize::from(qp.value())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qp(value: u32) -> Qp {
        Qp::new(value).expect("a quantiser")
    }

    #[test]
    fn a_mean_that_cannot_be_is_not_believed() {
        let mean = |sum| MeanQp::new(qp(30), sum, 100);
        assert_eq!(mean(3150), MeanQp(31 * 16 + 8));
        for sum in [0, 2100, 3900, u32::MAX] {
            assert_eq!(mean(sum), MeanQp(30 * 16), "sum {sum}");
        }
        assert_eq!(MeanQp::new(qp(51), 5100, 100).scale(), SCALE[51]);
    }

    #[test]
    fn one_large_picture_is_doubted_and_a_second_one_believed() {
        let mut model = SizeModel::guess(qp(30), 100_000, 10_000);
        let at = MeanQp::new(qp(30), 0, 1);
        model.learn(PictureKind::P, at, 10_000);
        model.learn(PictureKind::P, at, 100_000);
        assert_eq!(model.bits(PictureKind::P, qp(30)), 15_000);
        model.learn(PictureKind::P, at, 100_000);
        assert_eq!(model.bits(PictureKind::P, qp(30)), 57_500);
    }

    #[test]
    fn six_steps_halve_a_size() {
        let model = SizeModel::guess(qp(30), 80_000, 10_000);
        assert_eq!(model.bits(PictureKind::Idr, qp(36)), 40_000);
        assert_eq!(model.bits(PictureKind::Idr, qp(24)), 160_000);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut model = SizeModel::guess(qp(51), u64::MAX, u64::MAX);
        let at = MeanQp::new(qp(51), 0, 1);
        for bits in [u64::MAX, 0, u64::MAX, u64::MAX] {
            model.learn(PictureKind::P, at, bits);
            model.learn(PictureKind::Idr, at, bits);
            assert!(model.bits(PictureKind::P, Qp::MIN) >= 0);
        }
    }
}
