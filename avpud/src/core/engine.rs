//! The core's view of one encoder block.
//!
//! `Idle -> Busy -> Idle`, and when the deadline passes `Busy -> Resetting -> Idle`, or `-> Offline` when it cannot be
//! brought back. Offline is final: the supervisor restarts the daemon. Two things lead there: resets that fail one
//! after the other, and resets without a single encoded picture between them, whether they succeed or not.

use crate::core::time::Micros;
use crate::job::{ChannelKey, JobId};

/// The state machine of one engine.
#[derive(Debug)]
pub(super) struct Engine {
    state: EngineState,
    busy_us: u64,
    resets: u32,
    /// Resets since a picture was encoded.
    resets_fruitless: u32,
}

#[derive(Clone, Copy, Debug)]
enum EngineState {
    Idle,
    Busy(Run),
    Resetting {
        lost: Run,
        /// Resets of this recovery that failed.
        failed: u32,
    },
    Offline,
}

/// A job in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) job: JobId,
    pub(super) channel: ChannelKey,
    pub(super) started: Micros,
    pub(super) expected_us: u64,
}

/// What follows from a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterReset {
    /// The engine works; this run is lost.
    Recovered(Run),
    /// Reset it again after a pause.
    Again,
    /// It cannot be brought back; this run is lost.
    Offline(Run),
    /// No reset was under way.
    Nothing,
}

impl Run {
    /// When it counts as lost: after four times what was expected, and never before `patience_us`, so that a burst of
    /// other memory traffic is not taken for a hang.
    pub(super) fn deadline(&self, patience_us: u32) -> Micros {
        let patience_us = u64::from(patience_us).max(self.expected_us.saturating_mul(4));
        self.started.plus_us(patience_us)
    }
}

impl Engine {
    pub(super) const fn new() -> Self {
        Self {
            state: EngineState::Idle,
            busy_us: 0,
            resets: 0,
            resets_fruitless: 0,
        }
    }

    /// Whether a job may be started.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, EngineState::Idle)
    }

    /// Whether it is given up.
    pub(super) const fn is_offline(&self) -> bool {
        matches!(self.state, EngineState::Offline)
    }

    /// The job that it works on or that it is being reset for.
    pub(super) const fn run(&self) -> Option<Run> {
        match self.state {
            EngineState::Busy(run) | EngineState::Resetting { lost: run, .. } => Some(run),
            EngineState::Idle | EngineState::Offline => None,
        }
    }

    /// Starts a job.
    pub(super) fn start(&mut self, run: Run) {
        assert!(self.is_idle(), "one job in flight per engine");
        self.state = EngineState::Busy(run);
    }

    /// A job ended. Answers its run unless the engine was not working on it.
    pub(super) fn finish(&mut self, job: JobId, now: Micros) -> Option<Run> {
        let EngineState::Busy(run) = self.state else {
            return None;
        };
        if run.job != job {
            return None;
        }
        self.state = EngineState::Idle;
        self.busy_us += now.since_us(run.started);
        Some(run)
    }

    /// A picture was encoded: whatever was wrong, the engine works.
    pub(super) const fn prove(&mut self) {
        self.resets_fruitless = 0;
    }

    /// The deadline passed: the engine is to be reset. Answers the lost run.
    pub(super) fn expire(&mut self, now: Micros) -> Option<Run> {
        let EngineState::Busy(run) = self.state else {
            return None;
        };
        self.busy_us += now.since_us(run.started);
        self.state = EngineState::Resetting {
            lost: run,
            failed: 0,
        };
        Some(run)
    }

    /// A reset ended.
    pub(super) fn handle_reset(&mut self, ok: bool) -> AfterReset {
        let EngineState::Resetting { lost, failed } = self.state else {
            return AfterReset::Nothing;
        };
        self.resets = self.resets.saturating_add(1);
        self.resets_fruitless += 1;
        if self.resets_fruitless >= RESETS_FRUITLESS_MAX || (!ok && failed + 1 >= FAILED_RESETS_MAX)
        {
            self.state = EngineState::Offline;
            return AfterReset::Offline(lost);
        }
        if ok {
            self.state = EngineState::Idle;
            return AfterReset::Recovered(lost);
        }
        self.state = EngineState::Resetting {
            lost,
            failed: failed + 1,
        };
        AfterReset::Again
    }

    /// Time that it was busy until `now`.
    pub(super) fn busy_us(&self, now: Micros) -> u64 {
        match self.state {
            EngineState::Busy(run) => self.busy_us + now.since_us(run.started),
            _ => self.busy_us,
        }
    }

    /// Resets so far.
    pub(super) const fn resets(&self) -> u32 {
        self.resets
    }
}

/// Resets in a row that may fail.
const FAILED_RESETS_MAX: u32 = 3;
/// Resets without an encoded picture between them.
const RESETS_FRUITLESS_MAX: u32 = 12;
/// Pause before an engine is reset again.
pub(super) const RESET_PAUSE_US: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(job: JobId) -> Run {
        Run {
            job,
            channel: ChannelKey::new(0),
            started: Micros::new(1000),
            expected_us: 50_000,
        }
    }

    #[test]
    fn the_deadline_is_four_times_the_expectation_but_not_before_the_devices_patience_ends() {
        assert_eq!(run(JobId::FIRST).deadline(100_000), Micros::new(201_000));
        let short = Run {
            expected_us: 3,
            ..run(JobId::FIRST)
        };
        assert_eq!(short.deadline(100_000), Micros::new(101_000));
    }

    #[test]
    fn only_the_job_in_the_engine_can_end() {
        let mut engine = Engine::new();
        engine.start(run(JobId::FIRST));
        assert_eq!(engine.finish(JobId::FIRST.next(), Micros::new(2000)), None);
        assert!(engine.finish(JobId::FIRST, Micros::new(3000)).is_some());
        assert_eq!(engine.finish(JobId::FIRST, Micros::new(3000)), None);
        assert_eq!(engine.busy_us(Micros::new(9000)), 2000);
    }

    #[test]
    fn failing_resets_end_offline() {
        let mut engine = Engine::new();
        engine.start(run(JobId::FIRST));
        let lost = engine.expire(Micros::new(2000)).expect("was busy");
        assert_eq!(engine.handle_reset(false), AfterReset::Again);
        assert_eq!(engine.handle_reset(false), AfterReset::Again);
        assert_eq!(engine.handle_reset(false), AfterReset::Offline(lost));
        assert!(engine.is_offline());
        assert_eq!(engine.handle_reset(true), AfterReset::Nothing);
    }

    #[test]
    fn one_encoded_picture_makes_resets_worth_while() {
        let mut engine = Engine::new();
        for _ in 0..5 * RESETS_FRUITLESS_MAX {
            engine.start(run(JobId::FIRST));
            engine.expire(Micros::new(2000)).expect("was busy");
            assert!(matches!(
                engine.handle_reset(true),
                AfterReset::Recovered(_)
            ));
            engine.prove();
        }
        for _ in 1..RESETS_FRUITLESS_MAX {
            engine.start(run(JobId::FIRST));
            engine.expire(Micros::new(2000)).expect("was busy");
            assert!(matches!(
                engine.handle_reset(true),
                AfterReset::Recovered(_)
            ));
        }
        engine.start(run(JobId::FIRST));
        engine.expire(Micros::new(2000)).expect("was busy");
        assert!(matches!(engine.handle_reset(true), AfterReset::Offline(_)));
    }
}
