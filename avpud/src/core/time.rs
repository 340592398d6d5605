//! Time as a value: microseconds on the shell's monotonic clock.

use core::fmt;

/// A point in time, in microseconds since an arbitrary start. Never goes back within one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(u64);

impl Micros {
    /// The point `value` microseconds after the start.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// This point and `us` microseconds; stays at the end of time.
    #[must_use]
    pub const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this point, 0 when it is later.
    #[must_use]
    pub const fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.0)
    }
}
