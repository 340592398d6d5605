//! Bounds how many lines a second one kind of event may cause.

use crate::core::time::Micros;
use crate::limits::LOG_LINES_PER_SECOND_MAX;

/// Counts the lines of the current second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateLimit {
    second_start: Micros,
    lines: u32,
    suppressed: u32,
}

impl RateLimit {
    /// Whether a line may be written now: `Some` with the number of lines that were suppressed before it.
    pub(crate) fn allow(&mut self, now: Micros) -> Option<u32> {
        if now.since_us(self.second_start) >= 1_000_000 {
            self.second_start = now;
            self.lines = 0;
        }
        if self.lines >= LOG_LINES_PER_SECOND_MAX {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_in_the_next_second() {
        let mut rate = RateLimit::default();
        let start = Micros::new(5_000_000);
        for _ in 0..LOG_LINES_PER_SECOND_MAX {
            assert_eq!(rate.allow(start), Some(0));
        }
        assert_eq!(rate.allow(start.plus_us(999_999)), None);
        assert_eq!(rate.allow(start.plus_us(999_999)), None);
        assert_eq!(rate.allow(start.plus_us(1_000_000)), Some(2));
        assert_eq!(rate.allow(start.plus_us(1_000_000)), Some(0));
    }
}
