//! How long a picture takes.
//!
//! The T31 figure fits its recordings at 1920x1080 and 640x360 within about 5 %: 0.15 ms and 1.56 us a macroblock.

/// Time of a picture: `base_ns + macroblocks x macroblock_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Fixed part in nanoseconds.
    pub base_ns: u32,
    /// Part per macroblock in nanoseconds.
    pub macroblock_ns: u32,
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

impl Cost {
    /// A T31 at its default clock.
    pub const T31: Self = Self {
        base_ns: 150_000,
        macroblock_ns: 1_560,
    };

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
    pub fn picture_us(self, macroblocks: u32) -> u64 {
        match self {
            Self::T31 => Cost::T31.picture_us(macroblocks),
            Self::Free => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, Pace};

    #[test]
    fn the_t31_time_lies_within_a_tenth_of_the_recorded_pictures() {
        for (macroblocks, recorded_us) in [(8160, 12_927), (920, 1_650)] {
            let us = Cost::T31.picture_us(macroblocks);
            assert!(us.abs_diff(recorded_us) * 10 < recorded_us, "{us}");
        }
        assert_eq!(Pace::Free.picture_us(8160), 0);
    }
}
