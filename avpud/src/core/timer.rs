//! Deadlines by kind and id. Nothing armed means that nothing has to wake the daemon.

use crate::core::time::Micros;
use crate::job::EngineId;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The picture in this engine must be finished.
    Watchdog(EngineId),
    /// Try to reset this engine again.
    ResetAgain(EngineId),
    /// The picture in this engine takes longer than expected.
    Stall(EngineId),
    /// Some channel has not been fed for a while.
    Hunger,
    /// Some lease is to be taken back.
    Revocation,
    /// Some memory has been in quarantine for long enough.
    Quarantine,
}

/// The armed deadlines; few, so a list.
#[derive(Debug)]
pub(super) struct Timers {
    armed: Vec<(Timer, Micros)>,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            armed: Vec::with_capacity(TIMERS_MAX),
        }
    }

    /// Arms `timer` for `at`, replacing an earlier deadline of the same timer.
    pub(super) fn arm(&mut self, timer: Timer, at: Micros) {
        self.disarm(timer);
        assert!(self.armed.len() < TIMERS_MAX, "every timer has an owner");
        self.armed.push((timer, at));
    }

    /// Forgets `timer`.
    pub(super) fn disarm(&mut self, timer: Timer) {
        self.armed.retain(|(armed, _)| *armed != timer);
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Micros> {
        self.armed.iter().map(|(_, at)| *at).min()
    }

    /// Takes the earliest timer that is due at `now`.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<Timer> {
        let (index, _) = self
            .armed
            .iter()
            .enumerate()
            .filter(|(_, (_, at))| *at <= now)
            .min_by_key(|(_, (_, at))| *at)?;
        Some(self.armed.swap_remove(index).0)
    }
}

/// One of each, for the one engine that an `EngineId` can name today.
const TIMERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_due_timer_comes_first_and_once() {
        let mut timers = Timers::new();
        let (dog, again) = (
            Timer::Watchdog(EngineId::VIDEO),
            Timer::ResetAgain(EngineId::VIDEO),
        );
        timers.arm(dog, Micros::new(20));
        timers.arm(again, Micros::new(10));
        assert_eq!(timers.next(), Some(Micros::new(10)));
        assert_eq!(timers.take_due(Micros::new(9)), None);
        assert_eq!(timers.take_due(Micros::new(30)), Some(again));
        assert_eq!(timers.take_due(Micros::new(30)), Some(dog));
        assert_eq!(timers.take_due(Micros::new(30)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn arming_again_moves_the_deadline() {
        let mut timers = Timers::new();
        let dog = Timer::Watchdog(EngineId::VIDEO);
        timers.arm(dog, Micros::new(20));
        timers.arm(dog, Micros::new(50));
        assert_eq!(timers.take_due(Micros::new(20)), None);
        assert_eq!(timers.next(), Some(Micros::new(50)));
        timers.disarm(dog);
        assert_eq!(timers.next(), None);
    }
}
