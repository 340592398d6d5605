//! Percentiles of a time over the last pictures, in fixed memory.
//!
//! Buckets grow with the value: eight to each doubling, so a percentile is exact to about an eighth. When the counters
//! hold [`SAMPLES_MAX`] samples all are halved, so that old pictures fade.

use avpu_proto::report::LatencyReport;

/// Counters of times in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: [u16; BUCKETS],
    samples: u32,
    max_us: u32,
}

impl Histogram {
    pub(super) const fn new() -> Self {
        Self {
            buckets: [0; BUCKETS],
            samples: 0,
            max_us: 0,
        }
    }

    /// Counts one time.
    pub(super) fn record(&mut self, us: u64) {
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        if self.samples >= SAMPLES_MAX {
            self.halve();
        }
        if let Some(bucket) = self.buckets.get_mut(bucket_of(us)) {
            *bucket = bucket.saturating_add(1);
            self.samples += 1;
        }
        self.max_us = self.max_us.max(us);
    }

    /// Median, 99th percentile and maximum.
    pub(super) fn report(&self) -> LatencyReport {
        LatencyReport {
            p50_us: self.percentile(50),
            p99_us: self.percentile(99),
            max_us: self.max_us,
        }
    }

    fn percentile(&self, percent: u32) -> u32 {
        let wanted = (self.samples * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u32::from(*count);
            if seen >= wanted && seen > 0 {
                return upper_bound(index).min(self.max_us);
            }
        }
        0
    }

    fn halve(&mut self) {
        self.samples = 0;
        for bucket in &mut self.buckets {
            *bucket /= 2;
            self.samples += u32::from(*bucket);
        }
    }
}

/// Values below 8 have a bucket each, then eight buckets to each doubling.
fn bucket_of(us: u32) -> usize {
    let index = if us < 8 {
        us
    } else {
        let exponent = us.ilog2();
        let step = (us >> (exponent - 3)) & 7;
        (exponent - 2) * 8 + step
    };
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The largest value that a bucket counts.
fn upper_bound(index: usize) -> u32 {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    if index < 8 {
        return index;
    }
    let exponent = index / 8 + 2;
    let step = u64::from(index % 8);
    let above = (8 + step + 1) << (exponent - 3);
    u32::try_from(above - 1).unwrap_or(u32::MAX)
}

/// 8 single values and 8 for each of the 29 doublings up to 2^32.
const BUCKETS: usize = 8 + 29 * 8;
/// Samples after which the counters are halved.
const SAMPLES_MAX: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_reaches_up_to_it() {
        let mut value = 0_u32;
        loop {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            assert!(upper_bound(bucket) >= value, "{value}");
            assert!(
                bucket == 0 || upper_bound(bucket - 1) < value,
                "{value} fits the bucket below"
            );
            let Some(next) = value.checked_add(value / 13 + 1) else {
                break;
            };
            value = next;
        }
        assert_eq!(upper_bound(bucket_of(u32::MAX)), u32::MAX);
    }

    #[test]
    fn percentiles_are_exact_to_an_eighth() {
        let mut histogram = Histogram::new();
        for us in 1..=1000 {
            histogram.record(us);
        }
        let report = histogram.report();
        assert!((500..=563).contains(&report.p50_us), "{report:?}");
        assert!((990..=1000).contains(&report.p99_us), "{report:?}");
        assert_eq!(report.max_us, 1000);
    }

    #[test]
    fn old_samples_fade() {
        let mut histogram = Histogram::new();
        for _ in 0..SAMPLES_MAX {
            histogram.record(10);
        }
        for _ in 0..3 * SAMPLES_MAX {
            histogram.record(1000);
        }
        assert!(histogram.report().p50_us >= 1000);
        assert_eq!(Histogram::new().report(), LatencyReport::default());
    }
}
