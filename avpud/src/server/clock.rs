//! The daemon's clock: monotonic, in microseconds. Read once a turn of the loop.

use crate::core::time::Micros;
use nix::time::{ClockId, clock_gettime};

/// Now.
///
/// # Panics
/// When the kernel has no monotonic clock: no supported one lacks it.
pub(super) fn now() -> Micros {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a kernel with a monotonic clock");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or_default();
    Micros::new(
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(nanoseconds / 1_000),
    )
}
