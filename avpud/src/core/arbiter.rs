//! Which picture goes next. Three questions in this order, asked whenever the encoder is free:
//!
//! 1. Is a *reserved* picture due? Admission promised every channel its pictures a second. A channel's reservation is
//!    released one period after its last one, or when its next picture is there, whichever is later; from then on that
//!    picture goes before all that are not due: the higher class first (live, record, snapshot, best effort), within a
//!    class the earliest deadline first. Whoever submits more than it said gets nothing more this way: releases of a
//!    channel are at least a period apart, whatever it does, and a channel that was silent has saved up nothing.
//! 2. Otherwise somebody's picture is early or beyond the rate. What time is left is shared by weight, in macroblocks:
//!    start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996). Every channel has a tag
//!    that grows by macroblocks / weight; the least goes next; a channel that comes back starts at the tag that was
//!    served last, so idleness saves up nothing either. Reserved pictures of best-effort channels are charged as well:
//!    what such a channel gets in all follows its weight, and is at least its rate.
//! 3. Otherwise there is nothing to do. The encoder never waits for a picture that is not there.
//!
//! A picture is charged when the encoder is started on it: one that is dropped before costs nothing.
//!
//! A choice takes steps with the logarithm of the number of channels that have a picture, and allocates nothing.
//! [`schedule`](super::schedule) proves what the first rule promises.

use crate::core::heap::ChannelHeap;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::types::Class;
use core::cmp::Reverse;

/// What a channel may have of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Its class: whose reserved pictures go before whose.
    pub(super) class: Class,
    /// Its part of the time that nobody was promised.
    pub(super) weight: u16,
    /// Macroblocks of a picture.
    pub(super) macroblocks: u32,
    /// Time from one reserved picture to the next.
    pub(super) period_us: u64,
    /// Time from the release of a reserved picture until it should be finished.
    pub(super) deadline_us: u64,
}

/// The next picture of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// When it was accepted.
    pub(super) accepted: Micros,
    /// It came no sooner than the channel's rate allows. One that is encoded before its release uses the reservation up
    /// all the same, so that the next one is not due right behind it.
    pub(super) in_rate: bool,
}

/// The picture to encode next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Whose.
    pub(super) channel: ChannelKey,
    /// Since when it was due; `None` for a picture that is early or beyond the rate.
    pub(super) due: Option<Micros>,
}

/// The order of pictures.
#[derive(Debug)]
pub(super) struct Arbiter {
    /// By slot.
    flows: Vec<Option<Flow>>,
    /// Pictures whose reservation is not released yet, by release.
    coming: ChannelHeap<Micros>,
    /// Pictures that are due, by class, deadline, and tag of their channel.
    due: ChannelHeap<(Reverse<Class>, Micros, u64)>,
    /// All pictures, by the tag of their channel.
    slack: ChannelHeap<u64>,
    /// Tag of the picture that was last served from the slack.
    virtual_time: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    share: Share,
    /// Release of its last reserved picture; at first the time of its opening.
    released: Micros,
    /// When it was promised something else than before.
    changed: Micros,
    /// Where its next tag starts at the least.
    finish_tag: u64,
    head: Option<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    release: Micros,
    start_tag: u64,
    in_rate: bool,
}

impl Arbiter {
    /// An arbiter for channels in the slots below `slots`.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            flows: vec![None; slots],
            coming: ChannelHeap::new(slots),
            due: ChannelHeap::new(slots),
            slack: ChannelHeap::new(slots),
            virtual_time: 0,
        }
    }

    /// Adds a channel. Its first reserved picture is due a period from now: closing and opening channels in turn must
    /// not earn anybody more than a rate.
    pub(super) fn add(&mut self, channel: ChannelKey, share: Share, now: Micros) {
        self.remove(channel);
        if let Some(slot) = self.flows.get_mut(usize::from(channel.index())) {
            *slot = Some(Flow {
                share,
                released: now,
                changed: now,
                finish_tag: self.virtual_time,
                head: None,
            });
        }
    }

    /// A channel has another share from now on. What it was offered for must be offered anew: where that is owed sooner
    /// now, it is due from now on and not since a time at which it was owed nothing.
    pub(super) fn change(&mut self, channel: ChannelKey, share: Share, now: Micros) {
        if let Some(flow) = self.flow_mut(channel) {
            let urgency = |share: &Share| (share.class, share.period_us, share.deadline_us);
            if urgency(&flow.share) != urgency(&share) {
                flow.changed = now;
            }
            flow.share = share;
        }
    }

    /// Forgets a channel.
    pub(super) fn remove(&mut self, channel: ChannelKey) {
        self.withdraw(channel);
        if let Some(slot) = self.flows.get_mut(usize::from(channel.index())) {
            *slot = None;
        }
    }

    /// The next picture of a channel waits and may be encoded, in place of what was offered before.
    pub(super) fn offer(&mut self, channel: ChannelKey, head: Head) {
        let virtual_time = self.virtual_time;
        let Some(flow) = self.flow_mut(channel) else {
            return;
        };
        // Whoever waited already keeps its place in the slack: virtual time has not passed it.
        let start_tag = flow.finish_tag.max(virtual_time);
        self.withdraw(channel);
        let Some(flow) = self.flow_mut(channel) else {
            return;
        };
        let earliest = flow.released.plus_us(flow.share.period_us);
        let waiting = Waiting {
            release: earliest.max(head.accepted).max(flow.changed),
            start_tag,
            in_rate: head.in_rate,
        };
        flow.head = Some(waiting);
        self.coming.insert(waiting.release, channel);
        self.slack.insert(waiting.start_tag, channel);
    }

    /// The channel has no picture that may be encoded.
    pub(super) fn withdraw(&mut self, channel: ChannelKey) {
        self.coming.remove(channel);
        self.due.remove(channel);
        self.slack.remove(channel);
        if let Some(flow) = self.flow_mut(channel) {
            flow.head = None;
        }
    }

    /// The picture to encode next among those that were offered. It stays offered.
    pub(super) fn next(&mut self, now: Micros) -> Option<Choice> {
        self.release(now);
        if let Some((_, channel)) = self.due.first() {
            let due = self.flow_mut(channel)?.head?.release;
            let due = Some(due);
            return Some(Choice { channel, due });
        }
        let (_, channel) = self.slack.first()?;
        Some(Choice { channel, due: None })
    }

    /// The encoder is started on that picture: it is charged to its channel.
    pub(super) fn serve(&mut self, choice: Choice, now: Micros) {
        let virtual_time = &mut self.virtual_time;
        let flow = self.flows.get_mut(usize::from(choice.channel.index()));
        let Some(flow) = flow.and_then(Option::as_mut) else {
            return;
        };
        let Some(waiting) = flow.head else {
            return;
        };
        let tag = waiting.start_tag.saturating_add(charge(&flow.share));
        match choice.due {
            Some(release) => {
                flow.released = release;
                if flow.share.class == Class::BestEffort {
                    flow.finish_tag = tag;
                }
            }
            None => {
                if waiting.in_rate {
                    flow.released = flow.released.max(now);
                }
                flow.finish_tag = tag;
                *virtual_time = waiting.start_tag.max(*virtual_time);
            }
        }
        self.withdraw(choice.channel);
    }

    /// Pictures whose release has come are due.
    fn release(&mut self, now: Micros) {
        while let Some((release, channel)) = self.coming.first().filter(|(at, _)| *at <= now) {
            self.coming.remove(channel);
            if let Some(flow) = self.flow_mut(channel) {
                let share = flow.share;
                let deadline = release.plus_us(share.deadline_us);
                let tag = flow.head.map_or(0, |waiting| waiting.start_tag);
                self.due
                    .insert((Reverse(share.class), deadline, tag), channel);
            }
        }
    }

    fn flow_mut(&mut self, channel: ChannelKey) -> Option<&mut Flow> {
        self.flows.get_mut(usize::from(channel.index()))?.as_mut()
    }
}

/// What a picture adds to its channel's tag.
fn charge(share: &Share) -> u64 {
    u64::from(share.macroblocks) * TAG_SCALE / u64::from(share.weight.max(1))
}

/// Tags are macroblocks in units of this part, so that dividing by a weight loses nothing that matters. The largest
/// picture, all day long, makes them overflow after more than a hundred years.
const TAG_SCALE: u64 = 4096;

#[cfg(test)]
#[path = "arbiter_tests.rs"]
mod tests;
