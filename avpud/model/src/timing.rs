//! How long a picture takes.
//!
//! The T31 figures are straight lines through what its recordings at 1920x1080 and 640x360 show, IDRs and P pictures
//! apart: 12.244 and 1.606 ms for the one IDR of each size, 12.991 and 1.661 ms on average for three P pictures.

use crate::avc::SliceKind;

/// Time of a picture: `base_ns + macroblocks x macroblock_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Fixed part in nanoseconds.
    pub base_ns: u32,
    /// Part per macroblock in nanoseconds.
    pub macroblock_ns: u32,
}

/// Time of pictures by their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Those that refer to no other.
    pub idr: Cost,
    /// Those that are predicted.
    pub p: Cost,
}

/// When pictures complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Not before the time a T31 takes; pictures that the body cannot make in that time complete later and are
    /// counted.
    #[default]
    T31,
    /// As soon as the body has made them.
    Free,
}

impl Costs {
    /// A T31 at its default clock.
    pub const T31: Self = Self {
        idr: Cost {
            base_ns: 254_000,
            macroblock_ns: 1_470,
        },
        p: Cost {
            base_ns: 222_000,
            macroblock_ns: 1_565,
        },
    };

    /// Pictures of both kinds take the same.
    #[must_use]
    pub const fn uniform(cost: Cost) -> Self {
        Self { idr: cost, p: cost }
    }

    /// What a picture of this kind takes.
    #[must_use]
    pub fn of(self, kind: SliceKind) -> Cost {
        match kind {
            SliceKind::I => self.idr,
            SliceKind::P => self.p,
        }
    }

    /// The larger of both costs of each kind, part by part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            idr: self.idr.max(other.idr),
            p: self.p.max(other.p),
        }
    }
}

impl Cost {
    /// What the picture body is planned with: it makes at least 140,000 macroblocks a second on one core of a
    /// developer's machine.
    pub const PICTURE_BODY: Self = Self {
        base_ns: 500_000,
        macroblock_ns: 7_150,
    };

    /// What the pattern body takes when nothing holds it back.
    pub const PATTERN_BODY: Self = Self {
        base_ns: 50_000,
        macroblock_ns: 50,
    };

    /// Microseconds for a picture of this many macroblocks, rounded up.
    #[must_use]
    pub fn picture_us(self, macroblocks: u32) -> u64 {
        let ns = u64::from(self.base_ns) + u64::from(macroblocks) * u64::from(self.macroblock_ns);
        ns.div_ceil(1_000)
    }

    /// The larger of both costs, part by part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            base_ns: self.base_ns.max(other.base_ns),
            macroblock_ns: self.macroblock_ns.max(other.macroblock_ns),
        }
    }
}

impl Pace {
    /// Microseconds from push to the earliest completion.
    #[must_use]
    pub fn picture_us(self, kind: SliceKind, macroblocks: u32) -> u64 {
        match self {
            Self::T31 => Costs::T31.of(kind).picture_us(macroblocks),
            Self::Free => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Costs, Pace};
    use crate::avc::SliceKind;

    #[test]
    fn the_t31_times_lie_within_a_thirtieth_of_the_recorded_pictures() {
        let recorded = [
            (SliceKind::I, 8160, [12_244].as_slice()),
            (SliceKind::P, 8160, &[13_342, 12_927, 12_704]),
            (SliceKind::I, 920, &[1_606]),
            (SliceKind::P, 920, &[1_654, 1_670, 1_660]),
        ];
        for (kind, macroblocks, pictures_us) in recorded {
            let us = Costs::T31.of(kind).picture_us(macroblocks);
            for recorded_us in pictures_us {
                assert!(us.abs_diff(*recorded_us) * 30 < *recorded_us, "{us}");
            }
        }
        assert_eq!(Pace::Free.picture_us(SliceKind::P, 8160), 0);
    }
}
