//! States of channels: each change is told once to everybody concerned, and what is told is so.

use crate::world::kinds;
use crate::world::oracle::Oracle;
use crate::world::oracle::view::ChannelView;
use crate::world::seen::Subject;
use avpu_proto::event::ChannelChanged;
use avpu_proto::types::{ChannelState, FrameRate};
use avpud::core::event::SessionKey;
use avpud::core::time::Micros;
use avpud::job::{ChannelKey, JobId};

/// Signs of life of a channel.
#[derive(Default)]
pub(super) struct Vitals {
    /// The state that was told last.
    pub(super) told: Option<ChannelState>,
    period_us: u64,
    /// When a frame came, or was to be expected from then on.
    fed: Option<Micros>,
    was_fed: bool,
    /// When the last frame ended.
    ended: Option<Micros>,
    /// A picture was lost, and no IDR delivered since.
    pub(super) recovering: bool,
    /// The last one that was lost, and whether another was before it.
    lost: Option<(JobId, bool)>,
    /// One that was not lost for good but is encoded again.
    retried: Option<JobId>,
    was_lost: bool,
    drains: bool,
    /// Its readers stay when it is drained.
    keeps: bool,
    /// It goes, and what was told of it last stays so until it is gone.
    pub(super) is_leaving: bool,
    /// Packets so far, where all have a number that is known: pictures, and marks behind the last one.
    pub(super) packets: u32,
}

impl Vitals {
    /// So many frames a second are announced.
    pub(super) fn agree(&mut self, rate: FrameRate, now: Micros) {
        let period_us = u64::from(rate.den) * 1_000_000 / u64::from(rate.num.max(1));
        if self.period_us != period_us {
            self.fed = self.fed.map(|_| now);
        }
        self.period_us = period_us;
    }

    /// A frame came.
    pub(super) fn feed(&mut self, now: Micros) {
        self.fed = Some(now);
        self.was_fed = true;
    }

    /// Frames may come, or come again.
    pub(super) fn resume(&mut self, now: Micros) {
        self.fed = Some(now);
        self.drains = false;
    }

    pub(super) fn drain(&mut self, keep: bool) {
        (self.drains, self.keeps) = (true, keep);
    }

    /// A frame ended.
    pub(super) fn end(&mut self, now: Micros) {
        self.ended = Some(now);
    }

    pub(super) fn lose(&mut self, job: Option<JobId>) {
        if job.is_some() && job == self.retried {
            return;
        }
        self.lost = job.map(|job| (job, self.recovering));
        self.recovering = true;
        self.was_lost = true;
    }

    /// The frame of this job is encoded again: nothing is lost.
    pub(super) fn retry(&mut self, job: JobId) {
        self.retried = Some(job);
        if let Some((_, before)) = self.lost.take_if(|(lost, _)| *lost == job) {
            self.recovering = before;
        }
    }
}

impl Oracle {
    /// A connection hears of all channels from now on, or not any more.
    pub(super) fn watch(&mut self, session: SessionKey, on: bool) {
        if !on {
            self.watching.remove(&session);
            self.heard.retain(|(by, id), _| {
                let owned = self.channels.values().find(|view| view.id == *id);
                *by != session || owned.is_some_and(|view| view.owner == Some(session))
            });
        } else if self.watching.insert(session) {
            for view in self.channels.values() {
                if let Some(told) = view.vitals.told {
                    self.heard.insert((session, view.id), told);
                }
            }
        }
    }

    pub(super) fn check_state(&mut self, session: SessionKey, changed: &ChannelChanged) {
        let (id, state, now) = (changed.channel, changed.state, self.now);
        self.seen.count(Subject::State, kinds::state(&state));
        let mut views = self.channels.values_mut();
        let view = views.find(|view| view.id == id);
        let owner = view.as_ref().and_then(|view| view.owner);
        if let Some(view) = view {
            let before = view.vitals.told;
            let is_final = matches!(before, Some(ChannelState::Closed));
            assert!(!is_final, "{id:?} was closed and is {state:?}");
            let has_failed = matches!(before, Some(ChannelState::Failed));
            assert!(
                !has_failed || matches!(state, ChannelState::Closed | ChannelState::Failed),
                "{id:?} had failed and is {state:?}"
            );
            view.vitals.told = Some(state);
            let is_marked = state == ChannelState::Drained && before != Some(state);
            view.vitals.packets += u32::from(is_marked && view.vitals.keeps);
            let fed_us = view.vitals.fed.map_or(0, |fed| now.since_us(fed));
            assert!(
                state != ChannelState::Starved
                    || before == Some(state)
                    || fed_us >= STARVES_AFTER * view.vitals.period_us,
                "{id:?} was fed {fed_us} us ago and is starved"
            );
        }
        if owner == Some(session) || self.watching.contains(&session) {
            let before = self.heard.insert((session, id), state);
            assert_ne!(before, Some(state), "{session:?} is told twice of {id:?}");
        }
    }

    /// When everything that followed from something is said: everybody concerned knows the state of every channel, and
    /// it is so.
    pub(in crate::world) fn check_states(&mut self, now: Micros) {
        self.now = now;
        if self.offline {
            return;
        }
        for (key, view) in &self.channels {
            let Some(told) = view.vitals.told else {
                continue;
            };
            let owner = view.owner.filter(|owner| self.sessions.contains(owner));
            for session in self.watching.iter().chain(&owner) {
                let heard = self.heard.get(&(*session, view.id));
                assert_eq!(heard, Some(&told), "{session:?} was not told of {key:?}");
            }
            if !view.vitals.is_leaving {
                self.check_vitals(*key, view, told);
            }
            assert!(!view.key_frames.for_nobody, "an IDR of {key:?} for nobody");
        }
    }

    fn check_vitals(&self, key: ChannelKey, view: &ChannelView, told: ChannelState) {
        let (now, vitals) = (self.now, &view.vitals);
        let is_still = self.is_still(view.id);
        let job = self.in_flight.filter(|job| job.channel == key);
        let fed = vitals.fed.map_or(0, |fed| now.since_us(fed));
        let is = |state: ChannelState, so: bool| {
            assert!(told != state || so, "{key:?} is not {state:?}");
        };
        is(ChannelState::Configured, !vitals.was_fed);
        is(ChannelState::Starved, is_still && job.is_none());
        let in_encoder_us = job.map_or(0, |_| now.since_us(self.begun));
        is(ChannelState::Stalled, in_encoder_us >= STALLS_AFTER_US);
        is(ChannelState::Recovering, vitals.recovering);
        is(ChannelState::Running, !vitals.recovering);
        is(ChannelState::Blocked, !vitals.recovering);
        is(ChannelState::Blocked, self.is_blocked(view));
        is(ChannelState::Draining, vitals.drains);
        is(ChannelState::Drained, vitals.drains && is_still);
        is(ChannelState::Failed, vitals.was_lost);
        let lives = matches!(
            told,
            ChannelState::Running | ChannelState::Recovering | ChannelState::Blocked
        );
        // It is looked at after three periods, and after three more where it had something to encode then.
        let still_us = vitals
            .ended
            .map_or(fed, |ended| now.since_us(ended))
            .min(fed);
        assert!(
            !lives || !is_still || still_us <= 2 * STARVES_AFTER * vitals.period_us,
            "{key:?} was not fed for {still_us} us and is {told:?}"
        );
    }

    /// It has readers, and none of them was sent the newest packet.
    fn is_blocked(&self, view: &ChannelView) -> bool {
        let mut readers = self.readers.values().filter(|r| r.channel == view.id);
        let mut any = false;
        let is_behind = readers.all(|reader| {
            any = true;
            reader.next.is_none_or(|next| next < view.vitals.packets)
        });
        any && is_behind
    }
}

/// Periods without a frame.
const STARVES_AFTER: u64 = 3;
/// Half of the time that a small picture is given.
const STALLS_AFTER_US: u64 = 50_000;
