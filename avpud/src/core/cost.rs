//! What a picture costs the engine in time: stated by the device, refined from what was measured.
//!
//! Admission goes by the statement, so that the same channels fit on every day; deadlines and reports go by what was
//! measured, within bounds. Nothing else in the core knows a figure of a device.

use crate::job::JobCost;

/// The cost of one channel's pictures: the device's statement until there are measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureCost {
    stated: JobCost,
    macroblocks: u32,
    /// Moving average of measured pictures; `None` before the first.
    measured_macroblock_ns: Option<u32>,
}

impl PictureCost {
    pub(super) const fn new(stated: JobCost, macroblocks: u32) -> Self {
        Self {
            stated,
            macroblocks,
            measured_macroblock_ns: None,
        }
    }

    /// Macroblocks of a picture.
    pub(super) const fn macroblocks(&self) -> u32 {
        self.macroblocks
    }

    /// Takes in that a picture was in the encoder for `us`.
    pub(super) fn measure(&mut self, us: u64) {
        let part_ns = us
            .saturating_mul(1000)
            .saturating_sub(u64::from(self.stated.base_ns));
        let sample = part_ns / u64::from(self.macroblocks.max(1));
        let before = self
            .measured_macroblock_ns
            .unwrap_or(self.stated.macroblock_ns);
        let average = (u64::from(before) * (WINDOW - 1) + sample) / WINDOW;
        self.measured_macroblock_ns = Some(u32::try_from(average).unwrap_or(u32::MAX));
    }

    /// Measured time of a macroblock in nanoseconds; 0 before the first picture.
    pub(super) fn measured_macroblock_ns(&self) -> u32 {
        self.measured_macroblock_ns.unwrap_or(0)
    }

    /// How long a picture is expected to take. Measurements lower it to half of what was stated and no further: a
    /// run of skipped pictures must not make the next full one look lost. They raise it to four times that: one
    /// picture that was held up for seconds must not put off the next deadline for as long.
    pub(super) fn expected_us(&self) -> u64 {
        let stated = self.stated.macroblock_ns;
        let each = self
            .measured_macroblock_ns
            .map_or(stated, |ns| ns.clamp(stated / 2, stated.saturating_mul(4)));
        self.total_ns(each).div_ceil(1000)
    }

    /// Encoder time that a picture is counted with at admission, in nanoseconds.
    pub(super) fn reserved_ns(&self) -> u64 {
        self.total_ns(self.stated.macroblock_ns)
    }

    fn total_ns(&self, macroblock_ns: u32) -> u64 {
        u64::from(self.stated.base_ns) + u64::from(macroblock_ns) * u64::from(self.macroblocks)
    }
}

/// Pictures over which the average moves.
const WINDOW: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: JobCost = JobCost {
        base_ns: 100_000,
        macroblock_ns: 4_000,
    };

    #[test]
    fn fast_pictures_lower_the_expectation_to_half_of_what_was_stated() {
        let mut cost = PictureCost::new(STATED, 1000);
        assert_eq!(cost.expected_us(), 4_100);
        for _ in 0..100 {
            cost.measure(200);
        }
        assert_eq!(cost.expected_us(), 2_100);
        assert_eq!(cost.reserved_ns(), 4_100_000);
    }

    #[test]
    fn slow_pictures_raise_the_expectation_within_a_bound_and_never_the_reservation() {
        let mut cost = PictureCost::new(STATED, 1000);
        for _ in 0..100 {
            cost.measure(8_100);
        }
        assert!(cost.expected_us() > 8_000, "{}", cost.expected_us());
        cost.measure(60_000_000);
        assert_eq!(cost.expected_us(), 16_100);
        assert_eq!(cost.reserved_ns(), 4_100_000);
    }

    #[test]
    fn absurd_measurements_do_not_overflow() {
        let mut cost = PictureCost::new(STATED, 0);
        cost.measure(u64::MAX);
        cost.measure(0);
        assert!(cost.measured_macroblock_ns() > 0);
    }
}
