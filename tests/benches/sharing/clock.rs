//! The clock that the daemon's times are on, and waiting for a time on it.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{
    ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, in microseconds.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a monotonic clock");
    let now = Duration::from(now);
    u64::try_from(now.as_micros()).expect("less than ages")
}

/// Ticks at a period, whatever is done between two of them.
pub(crate) struct Ticks(TimerFd);

impl Ticks {
    pub(crate) fn every(period: Duration) -> Self {
        let timer = TimerFd::new(TimerClock::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC);
        let timer = timer.expect("a timer");
        let apart = Expiration::Interval(TimeSpec::from_duration(period));
        timer
            .set(apart, TimerSetTimeFlags::empty())
            .expect("a timer that ticks");
        Self(timer)
    }

    /// Waits for the next tick.
    pub(crate) fn wait(&self) {
        self.0.wait().expect("it ticks");
    }
}
