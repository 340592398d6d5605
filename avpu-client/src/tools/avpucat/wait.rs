//! Waiting: for descriptors, for signals, and not for ever.

use super::failure::Failure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What every mode of the program waits with: signals and the `-T` of the command line.
#[derive(Debug)]
pub(crate) struct Patience {
    pipe: UnixStream,
    interrupts: u32,
    limit: Option<Duration>,
    last: Instant,
}

impl Patience {
    /// Takes over Ctrl-C and termination.
    pub(crate) fn new(limit: Option<Duration>) -> Result<Self, Failure> {
        let trouble = |error| Failure::io("handle signals", &error);
        let (pipe, end) = UnixStream::pair().map_err(trouble)?;
        pipe.set_nonblocking(true).map_err(trouble)?;
        for signal in [SIGINT, SIGTERM] {
            let end = end.try_clone().map_err(trouble)?;
            signal_hook::low_level::pipe::register(signal, end).map_err(trouble)?;
        }
        Ok(Self {
            pipe,
            interrupts: 0,
            limit,
            last: Instant::now(),
        })
    }

    /// Something moved: inactivity counts from here.
    pub(crate) fn touch(&mut self) {
        self.last = Instant::now();
    }

    /// How often the user asked to stop. The second time is an error: the program aborts.
    pub(crate) fn interrupts(&mut self) -> Result<u32, Failure> {
        let mut bytes = [0; 16];
        while let Ok(count @ 1..) = self.pipe.read(&mut bytes) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.interrupts = self.interrupts.saturating_add(count);
        }
        if self.interrupts > 1 {
            return Err(Failure::Failed("aborted".to_owned()));
        }
        Ok(self.interrupts)
    }

    /// Waits until one of the descriptors is ready for what is wanted of it, a signal comes, or `until` is
    /// reached. Answers what each descriptor is ready for, trouble included.
    pub(crate) fn wait(
        &mut self,
        wanted: &[(BorrowedFd<'_>, PollFlags)],
        until: Option<Instant>,
    ) -> Result<Vec<PollFlags>, Failure> {
        let now = Instant::now();
        let limit = self.limit.map(|limit| self.last + limit);
        if limit.is_some_and(|limit| limit <= now) {
            let seconds = self.limit.unwrap_or_default().as_secs_f32();
            return Err(Failure::Failed(format!("nothing moved for {seconds} s")));
        }
        let until = [until, limit].into_iter().flatten().min();
        let own = (self.pipe.as_fd(), PollFlags::POLLIN);
        let all = wanted.iter().chain([&own]);
        let mut all: Vec<PollFd<'_>> = all.map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut all, timeout(until, now)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::io("wait", &errno.into())),
        }
        let ready = all.iter().take(wanted.len());
        Ok(ready
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect())
    }
}

/// Rounded up: waking early would be polling.
fn timeout(until: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    let left = until.saturating_duration_since(now);
    let ms = left.as_micros().div_ceil(1000);
    i32::try_from(ms)
        .ok()
        .and_then(|ms| PollTimeout::try_from(ms).ok())
        .unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_rounded_up_and_never_negative() {
        let now = Instant::now();
        assert_eq!(timeout(None, now), PollTimeout::NONE);
        let soon = timeout(Some(now + Duration::from_micros(1)), now);
        assert_eq!(soon, PollTimeout::from(1_u8));
        let past = timeout(Some(now), now + Duration::from_secs(1));
        assert_eq!(past, PollTimeout::ZERO);
        let far = timeout(Some(now + Duration::from_secs(1 << 40)), now);
        assert_eq!(far, PollTimeout::MAX);
    }

    #[test]
    fn readiness_answers_for_the_descriptor_that_has_it() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut patience = Patience::new(None).unwrap();
        let wanted = [
            (one.as_fd(), PollFlags::POLLIN),
            (other.as_fd(), PollFlags::POLLOUT),
        ];
        let ready = patience.wait(&wanted, None).unwrap();
        assert_eq!(ready, [PollFlags::empty(), PollFlags::POLLOUT]);
    }

    #[test]
    fn inactivity_is_an_error_that_says_how_long() {
        let mut patience = Patience::new(Some(Duration::ZERO)).unwrap();
        let error = patience.wait(&[], None).unwrap_err().to_string();
        assert_eq!(error, "nothing moved for 0 s");
    }
}
