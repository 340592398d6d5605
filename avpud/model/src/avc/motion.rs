//! Motion search: the vector whose prediction costs least.

use super::mb::Mv;
use super::metric::{sad, sad_mean};
use super::params::SearchRange;
use super::reference::{Limits, Reference};

/// Steps of the hexagon before the search settles.
const STEPS_MAX: usize = 16;
/// Rounds of a refinement before it settles.
const REFINE_MAX: usize = 4;
/// Cost of a 16x16 block above which the search looks around further away before it goes on from its best candidate.
const FAR_COST: u32 = 1500;

/// A vector and its cost: absolute differences plus the bits of its difference from the prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mv: Mv,
    pub(super) cost: u32,
}

/// A search for one block of `W` columns and `H` rows.
pub(super) struct Search<'a, const W: usize, const H: usize> {
    pub(super) reference: &'a Reference,
    pub(super) source: &'a [[u8; W]; H],
    /// Position of the block in the picture, in luma samples.
    pub(super) at: (usize, usize),
    pub(super) limits: Limits,
    pub(super) prediction: Mv,
    pub(super) lambda: u32,
}

impl Limits {
    /// The limits cut down to a search range and to what a vector can say at any level.
    pub(super) fn within(self, range: SearchRange) -> Self {
        let x = i32::from(range.horizontal).min(2047);
        let y = i32::from(range.vertical).min(511);
        Self {
            x_min: self.x_min.max(-x),
            x_max: self.x_max.min(x),
            y_min: self.y_min.max(-y),
            y_max: self.y_max.min(y),
        }
    }

    /// Whether a vector stays inside.
    pub(super) fn hold(&self, mv: Mv) -> bool {
        let (x, y) = (i32::from(mv.x), i32::from(mv.y));
        (4 * self.x_min..=4 * self.x_max).contains(&x)
            && (4 * self.y_min..=4 * self.y_max).contains(&y)
    }
}

/// About the bits of one component of a vector difference.
#[inline]
pub(super) fn difference_bits(value: i32) -> u32 {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        1
    } else {
        2 * magnitude.ilog2() + 3
    }
}

impl<const W: usize, const H: usize> Search<'_, W, H> {
    /// Bits of a vector against the prediction, about.
    pub(super) fn bits(&self, mv: Mv) -> u32 {
        difference_bits(i32::from(mv.x) - i32::from(self.prediction.x))
            + difference_bits(i32::from(mv.y) - i32::from(self.prediction.y))
    }

    /// Cost of a vector, which must be within the limits.
    pub(super) fn cost(&self, mv: Mv) -> u32 {
        let stride = self.reference.stride();
        let distance = match self.reference.luma(self.at.0, self.at.1, mv) {
            (a, None) => sad(self.source, a, stride),
            (a, Some(b)) => sad_mean(self.source, a, b, stride),
        };
        distance + self.lambda * self.bits(mv)
    }

    fn try_at(&self, best: &mut Found, mv: Mv) {
        let cost = self.cost(mv);
        if cost < best.cost {
            *best = Found { mv, cost };
        }
    }

    /// Tries a vector of whole samples if it is within the limits.
    fn try_whole(&self, best: &mut Found, x: i32, y: i32) {
        let limits = &self.limits;
        if (limits.x_min..=limits.x_max).contains(&x) && (limits.y_min..=limits.y_max).contains(&y)
        {
            let mv = Mv {
                x: (4 * x) as i16,
                y: (4 * y) as i16,
            };
            let samples = self
                .reference
                .whole(self.at.0 as i32 + x, self.at.1 as i32 + y);
            let distance = sad(self.source, samples, self.reference.stride());
            let cost = distance + self.lambda * self.bits(mv);
            if cost < best.cost {
                *best = Found { mv, cost };
            }
        }
    }

    /// Searches from the best of `candidates`, whole samples first, then halves and quarters.
    pub(super) fn run(&self, candidates: &[Mv]) -> Found {
        let limits = &self.limits;
        let mut best = Found {
            mv: Mv::default(),
            cost: u32::MAX,
        };
        self.try_whole(
            &mut best,
            0i32.clamp(limits.x_min, limits.x_max),
            0i32.clamp(limits.y_min, limits.y_max),
        );
        let mut tried = best.mv;
        for candidate in std::iter::once(&self.prediction).chain(candidates) {
            let x = ((i32::from(candidate.x) + 2) >> 2).clamp(limits.x_min, limits.x_max);
            let y = ((i32::from(candidate.y) + 2) >> 2).clamp(limits.y_min, limits.y_max);
            let mv = Mv {
                x: (4 * x) as i16,
                y: (4 * y) as i16,
            };
            if mv != best.mv && mv != tried {
                self.try_at(&mut best, mv);
                tried = mv;
            }
        }
        if best.cost > FAR_COST * (W * H) as u32 / 256 {
            self.rings(&mut best);
        }
        self.hexagon(&mut best);
        self.refine(&mut best, 2);
        self.refine(&mut best, 1);
        best
    }

    /// Searches near the best of `candidates`, which are within the limits: whole samples next to it, then halves and
    /// quarters.
    pub(super) fn settle(&self, candidates: &[Mv]) -> Found {
        let mut best = Found {
            mv: Mv::default(),
            cost: u32::MAX,
        };
        for (index, &candidate) in candidates.iter().enumerate() {
            if !candidates[..index].contains(&candidate) {
                self.try_at(&mut best, candidate);
            }
        }
        for step in [4, 2, 1] {
            self.refine(&mut best, step);
        }
        best
    }

    /// Looks around far away: sixteen vectors on each of four rings.
    fn rings(&self, best: &mut Found) {
        const RING: [(i32, i32); 16] = [
            (0, -4),
            (0, 4),
            (-4, 0),
            (4, 0),
            (-2, -3),
            (2, -3),
            (-2, 3),
            (2, 3),
            (-4, -2),
            (4, -2),
            (-4, 2),
            (4, 2),
            (-4, -1),
            (4, -1),
            (-4, 1),
            (4, 1),
        ];
        let centre = best.mv;
        for scale in 1..=4 {
            for (x, y) in RING {
                self.try_whole(
                    best,
                    i32::from(centre.x >> 2) + x * scale,
                    i32::from(centre.y >> 2) + y * scale,
                );
            }
        }
    }

    fn hexagon(&self, best: &mut Found) {
        const HEXAGON: [(i32, i32); 6] = [(-2, 0), (-1, 2), (1, 2), (2, 0), (1, -2), (-1, -2)];
        const SQUARE: [(i32, i32); 8] = [
            (-1, 0),
            (1, 0),
            (0, -1),
            (0, 1),
            (-1, -1),
            (1, -1),
            (-1, 1),
            (1, 1),
        ];
        for _ in 0..STEPS_MAX {
            let centre = best.mv;
            for (x, y) in HEXAGON {
                self.try_whole(
                    best,
                    i32::from(centre.x >> 2) + x,
                    i32::from(centre.y >> 2) + y,
                );
            }
            if best.mv == centre {
                break;
            }
        }
        let centre = best.mv;
        for (x, y) in SQUARE {
            self.try_whole(
                best,
                i32::from(centre.x >> 2) + x,
                i32::from(centre.y >> 2) + y,
            );
        }
    }

    /// Tries the four vectors `step` quarter samples away, around the best found, until none is better.
    fn refine(&self, best: &mut Found, step: i16) {
        for _ in 0..REFINE_MAX {
            let centre = best.mv;
            for (x, y) in [(0, -step), (0, step), (-step, 0), (step, 0)] {
                let mv = Mv {
                    x: centre.x + x,
                    y: centre.y + y,
                };
                if self.limits.hold(mv) {
                    self.try_at(best, mv);
                }
            }
            if best.mv == centre {
                break;
            }
        }
    }
}
