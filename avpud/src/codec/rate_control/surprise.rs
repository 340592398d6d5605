//! Pictures much larger than those around them that come again and again, as cuts do.
//!
//! One says nothing of when the next will come. After two, the next is expected as long after the last as that came
//! after the one before; when it does not come, none is expected any more.

use super::size::MeanQp;

/// What is known of a channel's surprises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surprises {
    /// Pictures since the last one.
    since: i64,
    /// Pictures from one to the next; `None` before there were two in time.
    period: Option<i64>,
    /// Bits beyond what was expected, times the scale of the quantiser.
    scaled_bits: u64,
}

impl Surprises {
    /// None so far.
    pub(super) fn new() -> Self {
        Self {
            since: i64::MAX,
            period: None,
            scaled_bits: 0,
        }
    }

    /// Another picture is in the stream. `extra_bits` is what it took beyond all expectation; two that are further apart than
    /// `period_max` pictures have nothing to do with each other.
    pub(super) fn handle(&mut self, extra_bits: u64, qp: MeanQp, period_max: i64) {
        self.since = self.since.saturating_add(1);
        if extra_bits > 0 {
            let scaled_bits = extra_bits.saturating_mul(qp.scale());
            self.period = (self.since <= period_max).then_some(self.since);
            self.scaled_bits = match self.period {
                Some(_) => self.scaled_bits / 2 + scaled_bits / 2,
                None => scaled_bits,
            };
            self.since = 0;
        } else if self
            .period
            .is_some_and(|period| self.since > period + period / 2)
        {
            self.period = None;
        }
    }

    /// How many are expected among the next pictures.
    pub(super) fn count(&self, pictures: i64) -> i64 {
        self.period
            .map_or(0, |period| self.since.saturating_add(pictures) / period)
    }

    /// Bits that one takes beyond those of the pictures around it.
    pub(super) fn bits(&self, qp: MeanQp) -> i64 {
        i64::try_from(self.scaled_bits / qp.scale()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Qp;

    fn at(qp: u32) -> MeanQp {
        MeanQp::new(Qp::new(qp).expect("a quantiser"), 0, 1)
    }

    /// Pictures of which every `period`th, the last one too, takes 1000 bits beyond expectation at quantiser 30.
    fn surprised(period: i64, count: i64) -> Surprises {
        let mut surprises = Surprises::new();
        for _ in 0..count {
            for picture in 1..=period {
                surprises.handle(if picture == period { 1000 } else { 0 }, at(30), 100);
            }
        }
        surprises
    }

    #[test]
    fn after_two_the_next_is_expected_as_long_after_the_last() {
        assert_eq!(surprised(25, 1).count(50), 0);
        let two = surprised(25, 2);
        assert_eq!(
            [24, 25, 49, 50].map(|pictures| two.count(pictures)),
            [0, 1, 1, 2]
        );
        assert_eq!(two.bits(at(30)), 1000);
        assert_eq!(two.bits(at(36)), 500);
    }

    #[test]
    fn one_that_does_not_come_is_not_waited_for() {
        let mut surprises = surprised(25, 3);
        (0..37).for_each(|_| surprises.handle(0, at(30), 100));
        assert_eq!(surprises.count(1), 1);
        surprises.handle(0, at(30), 100);
        assert_eq!(surprises.count(100), 0);
    }

    #[test]
    fn two_far_apart_have_nothing_to_do_with_each_other() {
        assert_eq!(surprised(101, 3).count(1000), 0);
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut surprises = Surprises::new();
        (0..3).for_each(|_| surprises.handle(u64::MAX, at(51), 1));
        assert_eq!(surprises.count(i64::MAX), i64::MAX);
        assert!(surprises.bits(at(0)) > 0);
    }
}
