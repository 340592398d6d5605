//! Prediction of motion vectors from the macroblocks around (8.4.1).

use super::mb::{MbInfo, MbKind, Mv, Neighbours};

/// How the vector of a partition is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Outside the picture or not coded yet.
    Missing,
    /// Coded without a vector.
    Intra,
    /// Predicted from the only reference.
    Moved(Mv),
}

impl Slot {
    fn vector(self) -> Mv {
        if let Self::Moved(mv) = self {
            mv
        } else {
            Mv::default()
        }
    }
}

/// The 8x8 quarters of a macroblock and those next to it: one column to the left, one to the right, one row above.
pub(super) struct VectorField {
    slots: [[Slot; 4]; 3],
}

impl VectorField {
    pub(super) fn new(around: &Neighbours) -> Self {
        let slot = |mb: &MbInfo, quarter: usize| match mb.kind {
            MbKind::Outside => Slot::Missing,
            kind if kind.is_intra() => Slot::Intra,
            _ => Slot::Moved(mb.mv[quarter]),
        };
        let (left, top) = (&around.left, &around.top);
        Self {
            slots: [
                [
                    slot(&around.top_left, 3),
                    slot(top, 2),
                    slot(top, 3),
                    slot(&around.top_right, 2),
                ],
                [slot(left, 1), Slot::Missing, Slot::Missing, Slot::Missing],
                [slot(left, 3), Slot::Missing, Slot::Missing, Slot::Missing],
            ],
        }
    }

    /// Enters the vector of a quarter of the current macroblock.
    pub(super) fn set(&mut self, quarter: usize, mv: Mv) {
        self.slots[1 + quarter / 2][1 + quarter % 2] = Slot::Moved(mv);
    }

    /// Left, upper and upper right neighbour of a partition `width` quarters wide.
    fn beside(&self, quarter: usize, width: usize) -> [Slot; 3] {
        let (x, y) = (1 + quarter % 2, 1 + quarter / 2);
        let upper_right = match self.slots[y - 1][x + width] {
            Slot::Missing => self.slots[y - 1][x - 1],
            slot => slot,
        };
        [self.slots[y][x - 1], self.slots[y - 1][x], upper_right]
    }

    /// Median prediction of the partition that begins at `quarter`.
    pub(super) fn median(&self, quarter: usize, width: usize) -> Mv {
        let [a, b, c] = self.beside(quarter, width);
        if b == Slot::Missing && c == Slot::Missing {
            return a.vector();
        }
        match (a, b, c) {
            (Slot::Moved(mv), Slot::Missing | Slot::Intra, Slot::Missing | Slot::Intra)
            | (Slot::Missing | Slot::Intra, Slot::Moved(mv), Slot::Missing | Slot::Intra)
            | (Slot::Missing | Slot::Intra, Slot::Missing | Slot::Intra, Slot::Moved(mv)) => mv,
            _ => {
                let (a, b, c) = (a.vector(), b.vector(), c.vector());
                Mv {
                    x: middle(a.x, b.x, c.x),
                    y: middle(a.y, b.y, c.y),
                }
            }
        }
    }

    /// Prediction of the upper (`quarter` 0) or lower (2) 16x8 partition.
    pub(super) fn wide(&self, quarter: usize) -> Mv {
        let [left, top, _] = self.beside(quarter, 2);
        match if quarter == 0 { top } else { left } {
            Slot::Moved(mv) => mv,
            _ => self.median(quarter, 2),
        }
    }

    /// Prediction of the left (`quarter` 0) or right (1) 8x16 partition.
    pub(super) fn tall(&self, quarter: usize) -> Mv {
        let [left, _, upper_right] = self.beside(quarter, 1);
        match if quarter == 0 { left } else { upper_right } {
            Slot::Moved(mv) => mv,
            _ => self.median(quarter, 1),
        }
    }

    /// Vector of a skipped macroblock.
    pub(super) fn skip(&self) -> Mv {
        let [a, b, _] = self.beside(0, 2);
        let still = |slot| matches!(slot, Slot::Missing | Slot::Moved(Mv { x: 0, y: 0 }));
        if still(a) || still(b) {
            Mv::default()
        } else {
            self.median(0, 2)
        }
    }

    /// The vectors of the neighbours, for a search to begin at.
    pub(super) fn candidates(&self) -> [Mv; 3] {
        self.beside(0, 2).map(Slot::vector)
    }
}

fn middle(a: i16, b: i16, c: i16) -> i16 {
    a.max(b).min(a.min(b).max(c))
}

#[cfg(test)]
mod tests {
    use super::{Mv, middle};

    #[test]
    fn the_median_is_the_middle_of_three_in_any_order() {
        for (a, b, c) in [
            (1, 2, 3),
            (1, 3, 2),
            (2, 1, 3),
            (2, 3, 1),
            (3, 1, 2),
            (3, 2, 1),
        ] {
            assert_eq!(middle(a, b, c), 2, "{a} {b} {c}");
        }
        assert_eq!(middle(-4, -4, 7), -4);
        assert_eq!(Mv::default(), Mv { x: 0, y: 0 });
    }
}
