//! A picture is overdue, or the driver lost hold of the engine: it is reset, that frame fails, everybody else goes on.
//!
//! Until a reset worked the engine may still write to the channel's memory and read the source: both stay with the
//! lost picture, whoever leaves meanwhile.

use crate::core::ahead::Flaw;
use crate::core::broker::{Broker, Stage};
use crate::core::channel::Frame;
use crate::core::engine::{AfterReset, Lost, RESET_PAUSE_US, Run};
use crate::core::event::{Output, SessionKey};
use crate::core::note::Note;
use crate::core::suspicion::Party;
use crate::core::timer::Timer;
use crate::job::{ChannelKey, EngineId, JobFailure, JobId, JobOutcome};
use avpu_proto::event::{EngineReset, Event};
use avpu_proto::types::{DropReason, FailReason};

impl Broker {
    pub(super) fn handle_overdue(&mut self, engine: EngineId) {
        let Some(run) = self.engine.expire(FailReason::Timeout, self.now) else {
            return;
        };
        self.drop_ahead(Flaw::Recovery);
        self.note(Note::Timeout {
            channel: run.channel,
            job: run.job,
            started: run.started,
            expected_us: run.expected_us,
        });
        self.push(Output::Reset { engine });
    }

    /// The driver could not stop the engine when an access failed.
    pub(super) fn handle_unstopped(&mut self, job: JobId) {
        if self.engine.run().is_none_or(|run| run.job != job) {
            return;
        }
        let Some(run) = self.engine.expire(FailReason::Device, self.now) else {
            return; // It is being reset already.
        };
        self.drop_ahead(Flaw::Recovery);
        let engine = EngineId::VIDEO;
        self.timers.disarm(Timer::Watchdog(engine));
        let outcome = JobOutcome::Failed(JobFailure::Unstopped);
        self.note_failure(run.channel, job, outcome);
        self.push(Output::Reset { engine });
    }

    pub(super) fn handle_engine_reset(&mut self, engine: EngineId, ok: bool) {
        if let Some(run) = self.engine.run().filter(|_| ok) {
            self.suspect(run.channel);
        }
        match self.engine.handle_reset(ok, self.suspicion.is_damning()) {
            AfterReset::Recovered(lost) => {
                let frame = self.lose(&lost.run);
                self.start_next();
                self.report_loss(&lost, frame);
            }
            AfterReset::Again => {
                let at = self.now.plus_us(RESET_PAUSE_US);
                self.timers.arm(Timer::ResetAgain(engine), at);
            }
            AfterReset::Offline(lost) => {
                let frame = self.lose(&lost.run);
                self.handle_offline(engine);
                self.report_loss(&lost, frame);
                self.stop_for_restart();
            }
            AfterReset::Nothing => {}
        }
    }

    /// A picture of this channel failed as pictures fail when the engine is broken.
    pub(super) fn suspect(&mut self, key: ChannelKey) {
        if let Some(opener) = self.channel(key).map(|channel| channel.opener) {
            let party = Party::of(&opener, &self.config.rights);
            self.suspicion.record(party);
        }
    }

    /// Gives up an idle engine that fails for everybody.
    pub(super) fn give_up_if_damned(&mut self) {
        if self.suspicion.is_damning() && self.engine.is_idle() {
            self.engine.give_up();
            self.drop_ahead(Flaw::Recovery);
            self.handle_offline(EngineId::VIDEO);
            self.stop_for_restart();
        }
    }

    fn handle_offline(&mut self, engine: EngineId) {
        self.note(Note::EngineOffline { engine });
        for index in 0..self.config.channels_max {
            self.drop_queue(ChannelKey::new(index), DropReason::EngineOffline);
        }
    }

    /// Nothing may refer to the lost picture any more.
    fn lose(&mut self, lost: &Run) -> Option<Frame> {
        let channel = self.channel_mut(lost.channel)?;
        let flight = channel.in_flight.take()?;
        self.note_progress(EngineId::VIDEO, lost.channel);
        self.account_loss(lost.channel, None);
        self.hand_on_user_data(lost.channel, &flight.frame);
        self.offer(lost.channel);
        Some(flight.frame)
    }

    /// Ends the lost frame and tells what happened to its owner and to those that watch.
    fn report_loss(&mut self, lost: &Lost, frame: Option<Frame>) {
        let key = lost.run.channel;
        let Some(channel) = self.channel(key) else {
            return;
        };
        let (owner, id) = (channel.owner, channel.id);
        if let Some(frame) = frame {
            self.fail_frame(key, &frame, lost.reason);
        }
        let event = Event::EngineReset(EngineReset {
            channel: id,
            resets: self.engine.resets(),
        });
        let concerned: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(key, session)| session.watches || owner == Some(**key))
            .map(|(key, _)| *key)
            .collect();
        for session in concerned {
            self.event(session, event.clone());
        }
        self.finish_channel(key);
    }

    fn stop_for_restart(&mut self) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Stopping { restart: true };
        }
    }
}
