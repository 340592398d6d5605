//! A picture is overdue: the engine is reset, that frame fails, everybody else goes on.

use crate::core::broker::{Broker, Stage};
use crate::core::channel::Frame;
use crate::core::engine::{AfterReset, RESET_PAUSE_US, Run};
use crate::core::event::{Note, Output, SessionKey};
use crate::core::timer::Timer;
use crate::job::{ChannelKey, EngineId};
use avpu_proto::event::{EngineReset, Event};
use avpu_proto::types::{DropReason, FailReason};

impl Broker {
    pub(super) fn handle_overdue(&mut self, engine: EngineId) {
        let Some(run) = self.engine.expire(self.now) else {
            return;
        };
        self.note(Note::Timeout {
            channel: run.channel,
            job: run.job,
            started: run.started,
            expected_us: run.expected_us,
        });
        self.push(Output::Reset { engine });
    }

    pub(super) fn handle_engine_reset(&mut self, engine: EngineId, ok: bool) {
        match self.engine.handle_reset(ok) {
            AfterReset::Recovered(lost) => {
                let frame = self.lose(&lost);
                self.start_next();
                self.report_loss(&lost, frame);
            }
            AfterReset::Again => {
                let at = self.now.plus_us(RESET_PAUSE_US);
                self.timers.arm(Timer::ResetAgain(engine), at);
            }
            AfterReset::Offline(lost) => {
                self.note(Note::EngineOffline { engine });
                let frame = self.lose(&lost);
                for index in 0..self.config.channels_max {
                    self.drop_queue(ChannelKey::new(index), DropReason::EngineOffline);
                }
                self.report_loss(&lost, frame);
                self.stop_for_restart();
            }
            AfterReset::Nothing => {}
        }
    }

    /// Nothing may refer to the lost picture any more.
    fn lose(&mut self, lost: &Run) -> Option<Frame> {
        let channel = self.channel_mut(lost.channel)?;
        let flight = channel.in_flight.take()?;
        self.account_loss(lost.channel, None);
        self.offer(lost.channel);
        Some(flight.frame)
    }

    /// Ends the lost frame and tells what happened to its owner and to those that watch.
    fn report_loss(&mut self, lost: &Run, frame: Option<Frame>) {
        let key = lost.channel;
        let Some(channel) = self.channel(key) else {
            return;
        };
        let (owner, id) = (channel.owner, channel.id);
        if let Some(frame) = frame {
            self.fail_frame(key, &frame, FailReason::Timeout);
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
