//! Frames: each that was accepted ends exactly once, and in time.

use crate::world::kinds;
use crate::world::oracle::Oracle;
use crate::world::oracle::view::Frame;
use crate::world::seen::Subject;
use avpu_proto::event::SourceReleased;
use avpu_proto::request::Submit;
use avpu_proto::types::{FrameEnd, FrameNumber};
use avpud::core::event::SessionKey;
use avpud::core::time::Micros;

impl Oracle {
    pub(super) fn accepted(&mut self, session: SessionKey, submit: &Submit, number: FrameNumber) {
        let frame = Frame {
            address: submit.address.value(),
            accepted: self.now,
            force_idr: submit.force_idr,
            is_started: false,
            job: None,
        };
        let key = (session, submit.channel, number);
        let before = self.frames.insert(key, frame);
        assert!(before.is_none(), "a frame is accepted twice");
        let now = self.now;
        let view = self.channel_of(submit.channel);
        view.promise.accept(now);
        view.vitals.feed(now);
    }

    pub(super) fn ended(&mut self, session: SessionKey, released: &SourceReleased) {
        let key = (session, released.channel, released.frame);
        let frame = self.frames.remove(&key);
        let frame = frame.unwrap_or_else(|| panic!("a frame ends twice: {key:?}"));
        self.seen.count(Subject::End, kinds::end(&released.end));
        let (now, is_still) = (self.now, self.is_still(released.channel));
        let view = self.channel_of(released.channel);
        view.forced |= frame.force_idr && matches!(released.end, FrameEnd::Dropped(_));
        if matches!(released.end, FrameEnd::Failed(_)) && !frame.is_started {
            view.vitals.lose(None);
        }
        if is_still {
            view.promise.rest(now);
        }
        view.vitals.end(now);
        self.calm_down();
        if let FrameEnd::Encoded { sequence } = released.end {
            self.learn_sequence(released.channel, sequence.value());
        }
    }

    /// Nothing is in the encoder and nothing waits for it.
    pub(in crate::world) fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.in_flight.is_none()
    }

    /// Every ready channel is served within a bound, whatever the others do.
    pub(in crate::world) fn check_served(&self, now: Micros) {
        for (key, frame) in &self.frames {
            let age_us = now.since_us(frame.accepted);
            assert!(age_us < AGE_US_MAX, "{key:?} waits since {age_us} us");
        }
    }
}

/// 30 frames of 6 channels before it, every one lost with a deadline of 100 ms and some resets that fail.
const AGE_US_MAX: u64 = 10_000_000;
