//! Looks again for a picture whose interrupt came before its write-back.
//!
//! On cameras the size is sometimes written up to 2 ms after the interrupt. Without another look the picture would be
//! lost to its deadline, with a reset of the core. This is the one exception to "no polling": a picture is looked for
//! at most [`WRITE_BACK_LOOKS_MAX`] times, [`WRITE_BACK_LOOK_US`] apart, at the expirations of a timer that the loop
//! watches like everything else. A look reads the command list and, only when that was written, one register.

use crate::job::JobId;
use crate::limits::{WRITE_BACK_LOOK_US, WRITE_BACK_LOOKS_MAX};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The timer, and the picture that is looked for.
#[derive(Debug)]
pub(super) struct Recheck {
    timer: TimerFd,
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    job: JobId,
    looks_left: u32,
}

impl Recheck {
    /// Looks for nothing.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let fd = timer.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        Ok(Self {
            timer,
            watched: None,
        })
    }

    /// An interrupt came before the write-back of `job`. Another one for the same picture does not make it be looked
    /// for more often.
    ///
    /// # Errors
    /// What the system says; the picture's deadline still holds.
    pub(super) fn watch(&mut self, job: JobId) -> io::Result<()> {
        if self
            .watched
            .as_ref()
            .is_some_and(|watched| watched.job == job)
        {
            return Ok(());
        }
        let apart = TimeSpec::from_duration(Duration::from_micros(WRITE_BACK_LOOK_US));
        self.timer
            .set(Expiration::Interval(apart), TimerSetTimeFlags::empty())?;
        self.watched = Some(Watched {
            job,
            looks_left: WRITE_BACK_LOOKS_MAX,
        });
        Ok(())
    }

    /// Whether it is time to look for the picture in flight.
    pub(super) fn is_due(&mut self, in_flight: Option<JobId>) -> bool {
        let Some(watched) = &mut self.watched else {
            return false;
        };
        if in_flight != Some(watched.job) {
            self.watched = None;
            self.disarm();
            return false;
        }
        // It would block: the time has not come, or the timer is off.
        if self.timer.wait().is_err() {
            return false;
        }
        watched.looks_left = watched.looks_left.saturating_sub(1);
        if watched.looks_left == 0 {
            self.disarm();
        }
        true
    }

    fn disarm(&self) {
        // A timer that goes on expiring wakes the loop for nothing and does no other harm.
        let _ = self.timer.unset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    fn recheck() -> (Poll, Recheck) {
        let poll = Poll::new().expect("a queue");
        let recheck = Recheck::new(poll.registry(), Token(0)).expect("a timer");
        (poll, recheck)
    }

    #[test]
    fn a_picture_is_looked_for_ten_times_and_no_more() {
        let (mut poll, mut recheck) = recheck();
        let mut events = Events::with_capacity(1);
        let job = JobId::FIRST;
        recheck.watch(job).expect("armed");
        for _ in 0..WRITE_BACK_LOOKS_MAX {
            poll.poll(&mut events, None).expect("waited");
            assert!(recheck.is_due(Some(job)));
        }
        assert!(!recheck.is_due(Some(job)));
        // The interrupt that comes once more for the same picture starts nothing.
        recheck.watch(job).expect("nothing to do");
        assert!(matches!(recheck.timer.get(), Ok(None)));
    }

    #[test]
    fn a_picture_that_ended_is_not_looked_for() {
        let (mut poll, mut recheck) = recheck();
        let mut events = Events::with_capacity(1);
        recheck.watch(JobId::FIRST).expect("armed");
        poll.poll(&mut events, None).expect("waited");
        assert!(!recheck.is_due(Some(JobId::FIRST.next())));
        assert!(matches!(recheck.timer.get(), Ok(None)));
        // The next one is looked for from the start.
        recheck.watch(JobId::FIRST.next()).expect("armed");
        poll.poll(&mut events, None).expect("waited");
        assert!(recheck.is_due(Some(JobId::FIRST.next())));
        assert!(!recheck.is_due(None));
    }
}
