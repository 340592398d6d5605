//! Whether a channel lives: does its input come, do its readers read, does its picture leave the encoder.
//!
//! Three answers beside the channel's place in life, each found without looking at a channel that nothing happens to:
//! - *starved*: no frame was accepted for [`PERIODS_MAX`] of its periods, and none waits. Each accepted frame moves one
//!   deadline; it passes once and is not set again before the next frame, so a channel that nobody feeds wakes nobody.
//! - *blocked*: each of its readers is [`LAG_MAX`] packets behind and may be sent no more. It ends when one of them has
//!   caught up, so that a reader at the edge does not make the state change with every packet.
//! - *stalled*: its picture is in the encoder for half of the time after which it counts as lost.

use crate::core::broker::Broker;
use crate::core::channel::{Channel, Life};
use crate::core::engine::Run;
use crate::core::time::Micros;
use crate::core::timer::Timer;
use crate::job::{ChannelKey, EngineId};
use avpu_proto::types::ChannelState;

/// What is wrong with a channel that could encode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Liveness {
    starved: bool,
    blocked: bool,
    stalled: bool,
}

impl Channel {
    /// The state of a channel that serves and has been given a frame.
    pub(super) const fn liveness_state(&self) -> ChannelState {
        match self.liveness {
            Liveness { stalled: true, .. } => ChannelState::Stalled,
            Liveness { starved: true, .. } => ChannelState::Starved,
            _ if self.recovering => ChannelState::Recovering,
            Liveness { blocked: true, .. } => ChannelState::Blocked,
            _ => ChannelState::Running,
        }
    }

    /// Why it is in this state, for people; empty where the state says all.
    pub(super) const fn reason(&self, state: ChannelState) -> &'static str {
        match state {
            ChannelState::Recovering => "a picture was lost, an IDR follows",
            ChannelState::Failed => self.failed_because,
            ChannelState::Starved => "no frame came for three periods",
            ChannelState::Blocked => "none of its readers takes what it encodes",
            ChannelState::Stalled => "its picture is in the encoder for longer than expected",
            _ => "",
        }
    }

    /// When it starves if no frame comes after `now`.
    fn starves_at(&self, now: Micros) -> Micros {
        let rate = self.parameters.fps;
        let period_us = u64::from(rate.den) * 1_000_000 / u64::from(rate.num.max(1));
        now.plus_us(period_us * PERIODS_MAX)
    }
}

/// Whether a channel may be in this state today and in another tomorrow.
pub(super) const fn passes(state: ChannelState) -> bool {
    matches!(
        state,
        ChannelState::Running
            | ChannelState::Recovering
            | ChannelState::Starved
            | ChannelState::Blocked
            | ChannelState::Stalled
    )
}

impl Broker {
    /// A channel was fed, or is to be fed from now on.
    pub(super) fn expect_input(&mut self, key: ChannelKey) {
        let now = self.now;
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let at = channel.starves_at(now);
        self.state_changed |= core::mem::take(&mut channel.liveness.starved);
        self.hunger.remove(key);
        self.hunger.insert(at, key);
        self.arm_hunger();
    }

    /// Frames come at another rate from now on, where any were expected.
    pub(super) fn expect_other_rate(&mut self, key: ChannelKey) {
        let now = self.now;
        let at = self.channel(key).map(|channel| channel.starves_at(now));
        if let Some(at) = at.filter(|_| self.hunger.remove(key)) {
            self.hunger.insert(at, key);
        }
        self.arm_hunger();
    }

    /// A channel is gone: nothing is expected of it.
    pub(super) fn expect_no_input(&mut self, key: ChannelKey) {
        self.hunger.remove(key);
        self.arm_hunger();
    }

    pub(super) fn handle_hunger(&mut self) {
        let now = self.now;
        while let Some((at, key)) = self.hunger.first().filter(|(at, _)| *at <= now) {
            self.hunger.remove(key);
            let Some(channel) = self.channel_mut(key) else {
                continue;
            };
            if channel.life != Life::Serving {
                continue;
            }
            if channel.is_under_way() || !channel.queue.is_empty() {
                // It has input enough: what it lacks is the encoder.
                let again = channel.starves_at(at.max(now));
                self.hunger.insert(again, key);
                continue;
            }
            channel.liveness.starved = true;
            self.state_changed = true;
        }
        self.arm_hunger();
    }

    /// Its readers took something, or came, or left.
    pub(super) fn review_readers(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let lag_max = if channel.liveness.blocked { 1 } else { LAG_MAX };
        let ring = &channel.ring;
        let blocked =
            !channel.readers.is_empty() && channel.readers.iter().all(|r| r.lag(ring) >= lag_max);
        if core::mem::replace(&mut channel.liveness.blocked, blocked) != blocked {
            self.state_changed = true;
        }
    }

    /// A picture went into the encoder.
    pub(super) fn expect_progress(&mut self, engine: EngineId, run: &Run, deadline: Micros) {
        let patience_us = deadline.since_us(run.started);
        let at = run.started.plus_us(patience_us / 2);
        self.timers.arm(Timer::Stall(engine), at);
    }

    pub(super) fn handle_stall(&mut self) {
        let run = self.engine.run();
        if let Some(channel) = run.and_then(|run| self.channel_mut(run.channel)) {
            channel.liveness.stalled = true;
            self.state_changed = true;
        }
    }

    /// The picture of a channel left the encoder, one way or another.
    pub(super) fn note_progress(&mut self, engine: EngineId, key: ChannelKey) {
        self.timers.disarm(Timer::Stall(engine));
        if let Some(channel) = self.channel_mut(key) {
            self.state_changed |= core::mem::take(&mut channel.liveness.stalled);
        }
    }

    fn arm_hunger(&mut self) {
        match self.hunger.first() {
            Some((at, _)) => self.timers.arm(Timer::Hunger, at),
            None => self.timers.disarm(Timer::Hunger),
        }
    }
}

/// Periods without a frame after which a channel is starved.
const PERIODS_MAX: u64 = 3;
/// Packets that every reader is behind from which on a channel is blocked.
const LAG_MAX: u32 = 3;
