//! The core's view of one encoder block.
//!
//! `Idle -> Busy -> Idle`, and when the deadline passes or the driver cannot stop it `Busy -> Resetting -> Idle`, or
//! `-> Offline` when it cannot be brought back. Offline is final: the supervisor restarts the daemon. Two things lead
//! there: resets that fail one after the other, and pictures of several users that all fail, whether resets succeed
//! or not ([`Suspicion`](super::suspicion::Suspicion)).

use crate::core::time::Micros;
use crate::job::{ChannelKey, JobId};
use avpu_proto::types::FailReason;

/// The state machine of one engine.
#[derive(Debug)]
pub(super) struct Engine {
    state: EngineState,
    busy_us: u64,
    resets: u32,
}

#[derive(Clone, Copy, Debug)]
enum EngineState {
    Idle,
    Busy(Run),
    Resetting {
        lost: Lost,
        /// Resets of this recovery that failed.
        failed: u32,
    },
    Offline {
        /// The run that no reset stopped: what it writes to must stay nobody's.
        unstopped: Option<Run>,
    },
}

/// A run that an engine is reset for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) run: Run,
    /// What its frame is told.
    pub(super) reason: FailReason,
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
    Recovered(Lost),
    /// Reset it again after a pause.
    Again,
    /// It cannot be brought back; this run is lost.
    Offline(Lost),
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
        }
    }

    /// Whether a job may be started.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, EngineState::Idle)
    }

    /// Whether a job is in it, and it is not being reset.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.state, EngineState::Busy(_))
    }

    /// Whether it is given up.
    pub(super) const fn is_offline(&self) -> bool {
        matches!(self.state, EngineState::Offline { .. })
    }

    /// The job that it works on or that it is being reset for.
    pub(super) const fn run(&self) -> Option<Run> {
        match self.state {
            EngineState::Busy(run) => Some(run),
            EngineState::Resetting { lost, .. } => Some(lost.run),
            EngineState::Idle | EngineState::Offline { .. } => None,
        }
    }

    /// Whether it was given up with a picture of this channel in it that no reset stopped.
    pub(super) fn may_write_to(&self, channel: ChannelKey) -> bool {
        matches!(self.state, EngineState::Offline { unstopped: Some(run) } if run.channel == channel)
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

    /// The picture in it is lost, for this reason: the engine is to be reset. Answers the lost run.
    pub(super) fn expire(&mut self, reason: FailReason, now: Micros) -> Option<Run> {
        let EngineState::Busy(run) = self.state else {
            return None;
        };
        self.busy_us += now.since_us(run.started);
        self.state = EngineState::Resetting {
            lost: Lost { run, reason },
            failed: 0,
        };
        Some(run)
    }

    /// It works on nothing and is given up.
    pub(super) fn give_up(&mut self) {
        assert!(self.is_idle(), "what it works on ends first");
        self.state = EngineState::Offline { unstopped: None };
    }

    /// A reset ended. `is_broken`: the engine is given up even if it worked.
    pub(super) fn handle_reset(&mut self, ok: bool, is_broken: bool) -> AfterReset {
        let EngineState::Resetting { lost, failed } = self.state else {
            return AfterReset::Nothing;
        };
        self.resets = self.resets.saturating_add(1);
        if (ok && is_broken) || (!ok && failed + 1 >= FAILED_RESETS_MAX) {
            let unstopped = (!ok).then_some(lost.run);
            self.state = EngineState::Offline { unstopped };
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

    fn busy() -> Engine {
        let mut engine = Engine::new();
        engine.start(run(JobId::FIRST));
        engine
    }

    #[test]
    fn failing_resets_end_offline_with_memory_that_nobody_may_have() {
        let mut engine = busy();
        let lost = engine.expire(FailReason::Timeout, Micros::new(2000));
        let lost = Lost {
            run: lost.expect("was busy"),
            reason: FailReason::Timeout,
        };
        assert_eq!(engine.handle_reset(false, false), AfterReset::Again);
        assert_eq!(engine.handle_reset(false, true), AfterReset::Again);
        assert!(!engine.may_write_to(lost.run.channel));
        assert_eq!(engine.handle_reset(false, false), AfterReset::Offline(lost));
        assert!(engine.is_offline());
        assert!(engine.may_write_to(lost.run.channel));
        assert!(!engine.may_write_to(ChannelKey::new(1)));
        assert_eq!(engine.handle_reset(true, false), AfterReset::Nothing);
    }

    #[test]
    fn an_engine_that_is_taken_for_broken_goes_offline_once_it_is_stopped() {
        let mut engine = busy();
        engine.expire(FailReason::Device, Micros::new(2000));
        assert_eq!(engine.handle_reset(false, true), AfterReset::Again);
        let end = engine.handle_reset(true, true);
        assert!(matches!(end, AfterReset::Offline(lost) if lost.reason == FailReason::Device));
        assert!(!engine.may_write_to(ChannelKey::new(0)));
    }

    #[test]
    fn resets_that_work_never_end_it_by_themselves() {
        let mut engine = Engine::new();
        for _ in 0..100 {
            engine.start(run(JobId::FIRST));
            engine.expire(FailReason::Timeout, Micros::new(2000));
            let end = engine.handle_reset(true, false);
            assert!(matches!(end, AfterReset::Recovered(_)));
        }
        assert_eq!(engine.resets(), 100);
    }
}
