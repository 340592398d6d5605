//! Who asked a channel for an IDR, and when one is due.
//!
//! Requests that wait share the next IDR, whoever made them, and only one that was delivered answers them, and none
//! before the packet that was promised: a picture that was under way then and becomes an IDR, because one before it was
//! lost or it was too large itself, comes beside the one that was promised. Each
//! requester gets one in a period; readers that are not the owner get [`SHARED`] together, because a reader that connects
//! anew looks like another. What a frame asks for itself (`Submit.force_idr`) is the owner's affair and is not limited.

use crate::core::delivery::precedes;
use crate::core::event::SessionKey;
use crate::core::time::Micros;
use avpu_proto::types::Sequence;

/// The requests for IDRs of one channel.
#[derive(Debug)]
pub(super) struct KeyFrames {
    /// Time from an IDR that answered a requester to the next one that does.
    period_us: u64,
    /// Those that wait, and those that were answered within the period.
    requesters: Vec<Requester>,
    /// Somebody who is gone asked and was not answered.
    orphaned: bool,
    /// A frame had to be one, and none was delivered since.
    forced: bool,
    /// When readers other than the owner last had one.
    shared_met: Option<Micros>,
}

#[derive(Clone, Copy, Debug)]
struct Requester {
    session: SessionKey,
    owns: bool,
    /// While it waits: the first packet that may carry its IDR.
    waits_for: Option<Sequence>,
    met: Option<Micros>,
}

/// Where a channel's stream stands when a picture is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) now: Micros,
    /// The packet that the picture becomes.
    pub(super) packet: Sequence,
    /// The last IDR that is on its way into the ring.
    pub(super) idr_before: Option<Sequence>,
}

impl KeyFrames {
    /// Nobody has asked yet.
    pub(super) const fn new(period_us: u64) -> Self {
        Self {
            period_us,
            requesters: Vec::new(),
            orphaned: false,
            forced: false,
            shared_met: None,
        }
    }

    /// Takes in a request for an IDR in the packet `first`, or a later one. Answers how long it waits before a picture
    /// that is started may be its IDR.
    pub(super) fn ask(
        &mut self,
        session: SessionKey,
        owns: bool,
        first: Sequence,
        now: Micros,
    ) -> u64 {
        let mut known = self.requesters.iter_mut();
        let known = known.find(|requester| requester.session == session);
        let met = known.as_ref().and_then(|requester| requester.met);
        let before = known.as_ref().and_then(|requester| requester.waits_for);
        let requester = Requester {
            session,
            owns,
            // What was promised before stays true.
            waits_for: Some(
                before
                    .filter(|before| precedes(first, *before))
                    .unwrap_or(first),
            ),
            met,
        };
        match known {
            Some(known) => *known = requester,
            None => self.requesters.push(requester),
        }
        self.wait_us(&requester, now)
    }

    /// A frame leaves the queue: where it had to be an IDR, the next picture has to.
    pub(super) fn force(&mut self, frame: bool) {
        self.forced |= frame;
    }

    /// Whether a picture that is started now must be an IDR.
    pub(super) fn is_due(&self, at: &Standing) -> bool {
        let mut waiting = self.requesters.iter().filter(|requester| {
            let is_its = |packet: Sequence| {
                let first = requester.waits_for;
                first.is_some_and(|first| !precedes(packet, first))
            };
            is_its(at.packet) && !at.idr_before.is_some_and(is_its)
        });
        let nobodys = self.forced || (self.orphaned && self.shared_wait_us(at.now) == 0);
        (nobodys && at.idr_before.is_none())
            || waiting.any(|requester| self.wait_us(requester, at.now) == 0)
    }

    /// An IDR was delivered as this packet: whoever asked for it or an earlier one has it. Answers whether somebody had
    /// asked.
    pub(super) fn answer(&mut self, packet: Sequence, now: Micros) -> bool {
        let mut shared = core::mem::take(&mut self.orphaned);
        let mut answered = core::mem::take(&mut self.forced) || shared;
        let period_us = self.period_us;
        self.requesters.retain_mut(|requester| {
            let is_its = |first: &mut Sequence| !precedes(packet, *first);
            if requester.waits_for.take_if(is_its).is_some() {
                requester.met = Some(now);
                answered = true;
                shared |= !requester.owns;
            }
            requester.waits_for.is_some() || remaining_us(requester.met, period_us, now) > 0
        });
        if shared {
            self.shared_met = Some(now);
        }
        answered
    }

    /// A connection is gone. What it asked for still comes: others may count on it.
    pub(super) fn forget(&mut self, session: SessionKey) {
        let orphaned = &mut self.orphaned;
        self.requesters.retain(|requester| {
            let stays = requester.session != session;
            *orphaned |= !stays && requester.waits_for.is_some();
            stays
        });
    }

    fn wait_us(&self, requester: &Requester, now: Micros) -> u64 {
        let own = remaining_us(requester.met, self.period_us, now);
        if requester.owns {
            return own;
        }
        own.max(self.shared_wait_us(now))
    }

    fn shared_wait_us(&self, now: Micros) -> u64 {
        remaining_us(self.shared_met, self.period_us / SHARED, now)
    }
}

/// What is left of `period_us` after `met`.
fn remaining_us(met: Option<Micros>, period_us: u64, now: Micros) -> u64 {
    met.map_or(0, |met| period_us.saturating_sub(now.since_us(met)))
}

/// IDRs in a period for all readers other than the owner.
const SHARED: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: SessionKey = SessionKey::new(1);
    const READER: SessionKey = SessionKey::new(2);
    const OTHER: SessionKey = SessionKey::new(3);

    const FIRST: Sequence = Sequence::new(0);

    fn at(us: u64) -> Micros {
        Micros::new(us)
    }

    /// A picture that is started behind packets of no interest.
    fn start(us: u64) -> Standing {
        Standing {
            now: at(us),
            packet: FIRST,
            idr_before: None,
        }
    }

    #[test]
    fn requests_that_wait_share_one_idr() {
        let mut frames = KeyFrames::new(1_000_000);
        assert!(!frames.is_due(&start(0)));
        for session in [OWNER, READER, OTHER, READER] {
            assert_eq!(frames.ask(session, session == OWNER, FIRST, at(0)), 0);
        }
        assert!(frames.is_due(&start(0)));
        assert!(frames.answer(FIRST, at(10)));
        assert!(!frames.is_due(&start(10_000_000)));
        assert!(!frames.answer(FIRST, at(10_000_000)), "nobody asked again");
    }

    #[test]
    fn a_requester_waits_for_its_own_period_and_not_for_anothers() {
        let mut frames = KeyFrames::new(1_000_000);
        frames.ask(READER, false, FIRST, at(0));
        frames.answer(FIRST, at(0));
        assert_eq!(frames.ask(READER, false, FIRST, at(400_000)), 600_000);
        assert!(!frames.is_due(&start(999_999)));
        assert_eq!(frames.ask(OTHER, false, FIRST, at(400_000)), 0);
        assert!(frames.is_due(&start(400_000)));
        // The other's IDR answers the reader too, and counts as one that it had.
        frames.answer(FIRST, at(500_000));
        assert!(!frames.is_due(&start(1_000_000)));
        assert_eq!(frames.ask(READER, false, FIRST, at(1_000_000)), 500_000);
    }

    #[test]
    fn readers_together_are_limited_and_the_owner_is_not_held_up_by_them() {
        let mut frames = KeyFrames::new(1_000_000);
        let mut idrs = 0;
        for ms in 0..1000 {
            // Every one of them is new.
            frames.ask(
                SessionKey::new(100 + ms),
                false,
                FIRST,
                at(u64::from(ms) * 1000),
            );
            if frames.is_due(&start(u64::from(ms) * 1000)) {
                frames.answer(FIRST, at(u64::from(ms) * 1000));
                idrs += 1;
            }
            frames.forget(SessionKey::new(100 + ms));
        }
        assert_eq!(idrs, 4);
        assert!(frames.requesters.is_empty(), "who is gone takes no room");
        frames.ask(READER, false, FIRST, at(999_000));
        frames.answer(FIRST, at(999_000));
        assert_eq!(frames.ask(OWNER, true, FIRST, at(999_001)), 0);
        assert!(frames.is_due(&start(999_001)));
    }

    #[test]
    fn what_somebody_asked_for_who_left_still_comes() {
        let mut frames = KeyFrames::new(1_000_000);
        frames.ask(READER, false, FIRST, at(0));
        frames.forget(READER);
        assert!(frames.is_due(&start(0)));
        assert!(frames.answer(FIRST, at(0)));
        frames.ask(OTHER, false, FIRST, at(100_000));
        frames.forget(OTHER);
        assert!(!frames.is_due(&start(249_999)));
        assert!(frames.is_due(&start(250_000)));
    }

    #[test]
    fn a_forced_picture_is_due_at_once_every_time() {
        let mut frames = KeyFrames::new(1_000_000);
        for us in 0..5 {
            frames.force(true);
            assert!(frames.is_due(&start(us)));
            assert!(frames.answer(FIRST, at(us)));
        }
    }

    #[test]
    fn an_idr_before_the_promised_packet_answers_nobody() {
        let mut frames = KeyFrames::new(1_000_000);
        let packet = Sequence::new;
        let standing = |number, idr_before: Option<u32>| Standing {
            packet: packet(number),
            idr_before: idr_before.map(packet),
            ..start(0)
        };
        // The promised packet lies behind the end of the count.
        frames.ask(READER, false, packet(1), at(0));
        assert!(!frames.is_due(&standing(u32::MAX, None)));
        assert!(!frames.answer(packet(0), at(0)));
        assert!(frames.is_due(&standing(1, Some(0))));
        // It asks again, when less is under way: what was promised first stays true.
        frames.ask(READER, false, packet(0), at(0));
        assert!(!frames.is_due(&standing(0, None)));
        assert!(!frames.is_due(&standing(2, Some(1))), "it is on its way");
        assert!(frames.answer(packet(1), at(0)));
        assert!(!frames.is_due(&standing(2, None)));
    }
}
