//! Splitting a macroblock into partitions with vectors of their own.

use super::coder::Coder;
use super::mb::{MbKind, Mv};
use super::metric::window;
use super::motion::{Found, Search, difference_bits};
use super::reference::{Limits, Reference};
use super::vectors::VectorField;

/// A way to predict a macroblock from the reference.
pub(super) struct Choice {
    pub(super) kind: MbKind,
    /// Absolute differences plus the bits of the vectors and of the kind.
    pub(super) cost: u32,
    /// Vector of each 8x8 quarter.
    pub(super) mv: [Mv; 4],
    /// Predicted vector of each partition, in coding order.
    pub(super) predictions: [Mv; 4],
}

/// Bits of the kind and, for four partitions, of their kinds; beyond those of one partition.
const BITS_HALVES: u32 = 2;
const BITS_QUARTERS: u32 = 6;

impl Choice {
    /// First quarter, columns and rows of each partition.
    fn partitions(&self) -> &'static [(usize, usize, usize)] {
        match self.kind {
            MbKind::Inter16x8 => &[(0, 16, 8), (2, 16, 8)],
            MbKind::Inter8x16 => &[(0, 8, 16), (1, 8, 16)],
            MbKind::Inter8x8 => &[(0, 8, 8), (1, 8, 8), (2, 8, 8), (3, 8, 8)],
            _ => &[(0, 16, 16)],
        }
    }

    /// About the bits of all vectors.
    pub(super) fn vector_bits(&self) -> u32 {
        let partitions = self.partitions().iter().zip(&self.predictions);
        partitions
            .map(|(&(first, ..), prediction)| {
                let mv = self.mv[first];
                difference_bits(i32::from(mv.x) - i32::from(prediction.x))
                    + difference_bits(i32::from(mv.y) - i32::from(prediction.y))
            })
            .sum()
    }

    /// Predicts the luma of the macroblock at (`x`, `y`).
    pub(super) fn predict_luma(
        &self,
        reference: &Reference,
        (x, y): (usize, usize),
        out: &mut [[u8; 16]; 16],
    ) {
        if self.kind == MbKind::Inter16x16 {
            reference.predict_luma(x, y, self.mv[0], out);
            return;
        }
        let mut block = [[0; 8]; 8];
        for (index, &mv) in self.mv.iter().enumerate() {
            let (dx, dy) = (index % 2 * 8, index / 2 * 8);
            reference.predict_luma(x + dx, y + dy, mv, &mut block);
            for (to, from) in out[dy..].iter_mut().zip(&block) {
                to[dx..dx + 8].copy_from_slice(from);
            }
        }
    }

    /// Predicts the chroma of the macroblock at (`x`, `y`).
    pub(super) fn predict_chroma(
        &self,
        reference: &Reference,
        (x, y): (usize, usize),
        out: &mut [[[u8; 8]; 8]; 2],
    ) {
        if self.kind == MbKind::Inter16x16 {
            reference.predict_chroma::<16>((x, y), self.mv[0], (0, 0), out);
            return;
        }
        for (index, &mv) in self.mv.iter().enumerate() {
            let (dx, dy) = (index % 2, index / 2);
            let at = (x + 8 * dx, y + 8 * dy);
            reference.predict_chroma::<8>(at, mv, (4 * dx, 4 * dy), out);
        }
    }
}

impl Coder<'_> {
    /// Replaces `choice`, a single partition, by a split where that costs less.
    pub(super) fn try_split(&self, reference: &Reference, limits: Limits, choice: &mut Choice) {
        let whole = choice.mv[0];
        let mut field = VectorField::new(&self.around);
        let mut split = Choice {
            kind: MbKind::Inter8x8,
            cost: self.lambda * BITS_QUARTERS,
            mv: [whole; 4],
            predictions: [Mv::default(); 4],
        };
        for index in 0..4 {
            let prediction = field.median(index, 1);
            let found = self.settle::<8, 8>(reference, limits, index, prediction, &[whole]);
            split.mv[index] = found.mv;
            split.predictions[index] = prediction;
            split.cost += found.cost;
            if split.cost >= choice.cost {
                return;
            }
            field.set(index, found.mv);
        }
        let quarters = split.mv;
        if split.cost < choice.cost {
            *choice = split;
        }
        if quarters == [whole; 4] {
            return;
        }
        self.try_halves(reference, limits, quarters, choice);
    }

    fn try_halves(
        &self,
        reference: &Reference,
        limits: Limits,
        quarters: [Mv; 4],
        choice: &mut Choice,
    ) {
        // Both halves of a kind: first quarter, and the quarters whose vectors it may take.
        for (kind, halves) in [
            (MbKind::Inter16x8, [(0, [0, 1]), (2, [2, 3])]),
            (MbKind::Inter8x16, [(0, [0, 2]), (1, [1, 3])]),
        ] {
            let mut field = VectorField::new(&self.around);
            let mut split = Choice {
                kind,
                cost: self.lambda * BITS_HALVES,
                mv: quarters,
                predictions: [Mv::default(); 4],
            };
            for (half, (first, covered)) in halves.into_iter().enumerate() {
                let candidates = covered.map(|index| quarters[index]);
                let (prediction, found) = if kind == MbKind::Inter16x8 {
                    let prediction = field.wide(first);
                    let found =
                        self.settle::<16, 8>(reference, limits, first, prediction, &candidates);
                    (prediction, found)
                } else {
                    let prediction = field.tall(first);
                    let found =
                        self.settle::<8, 16>(reference, limits, first, prediction, &candidates);
                    (prediction, found)
                };
                split.predictions[half] = prediction;
                split.cost += found.cost;
                for index in covered {
                    split.mv[index] = found.mv;
                    field.set(index, found.mv);
                }
            }
            if split.cost < choice.cost {
                *choice = split;
            }
        }
    }
    /// The best vector for a partition of `W` columns and `H` rows that begins in the quarter `first`.
    fn settle<const W: usize, const H: usize>(
        &self,
        reference: &Reference,
        limits: Limits,
        first: usize,
        prediction: Mv,
        candidates: &[Mv],
    ) -> Found {
        let (dx, dy) = (first % 2 * 8, first / 2 * 8);
        let source: [[u8; W]; H] = window(&self.source.luma, dx, dy);
        let search = Search {
            reference,
            source: &source,
            at: (self.column * 16 + dx, self.row * 16 + dy),
            limits,
            prediction,
            lambda: self.lambda,
        };
        search.settle(candidates)
    }
}
