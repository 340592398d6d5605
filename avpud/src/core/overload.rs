//! Too many frames: what happens to one that finds the queue full, or that waited past its deadline.
//!
//! Only frames that the encoder was not started on are dropped, so nothing ever refers to a picture that is missing. Each
//! is counted by its reason and reported to its submitter as any other end of a frame. What is too late already makes
//! room for a new frame, whatever the policy. A key frame that was demanded
//! with a dropped frame is still owed: the next picture is one.
//!
//! A Submit that waits for room ([`Overload::Wait`]) is not answered yet and takes one of its connection's credits, so
//! their number is bounded; it is looked at again when a frame leaves the queue or the policy is changed, and refused when
//! none will.

use crate::codec::sei::UserData;
use crate::core::broker::{Broker, Stage};
use crate::core::channel::{Channel, Frame, Life};
use crate::core::intake::{TAKES_FRAMES, wrong_state};
use crate::core::refusal::Refusal;
use crate::core::sources::Asker;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::limits::QUEUE_MAX;
use avpu_proto::request::Submit;
use avpu_proto::types::{DropReason, FrameEnd, FrameNumber, Overload};

/// What becomes of a new frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is queued once so many of those that wait longest are dropped.
    After(usize),
    /// It is dropped itself.
    None,
    /// Its request waits.
    Later,
}

/// A Submit that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldSubmit {
    asker: Asker,
    request: u16,
    frame: Submit,
    user_data: Option<UserData>,
}

impl HeldSubmit {
    /// The user data that was meant for its frame.
    pub(super) const fn user_data_mut(&mut self) -> &mut Option<UserData> {
        &mut self.user_data
    }
}

impl Channel {
    /// What its policy makes of one more frame.
    pub(super) fn room(&self) -> Result<Room, Refusal> {
        self.room_behind(!self.held.is_empty())
    }

    /// The same, where others wait for room or do not.
    fn room_behind(&self, others: bool) -> Result<Room, Refusal> {
        let is_full = self.queue.len() >= usize::from(QUEUE_MAX);
        match self.parameters.overload {
            Overload::LatestOnly => Ok(Room::After(self.queue.len())),
            _ if !is_full && !others => Ok(Room::After(0)),
            Overload::Reject => Err(Refusal::QueueFull { max: QUEUE_MAX }),
            Overload::DropOldest => Ok(Room::After(1)),
            Overload::DropNewest => Ok(Room::None),
            Overload::Wait => Ok(Room::Later),
        }
    }

    /// Whether the frame at the head of its queue waited past its deadline.
    pub(super) fn is_head_late(&self, now: Micros) -> bool {
        let deadline_us = u64::from(self.parameters.deadline_us);
        let head = self.queue.front();
        deadline_us > 0 && head.is_some_and(|frame| now.since_us(frame.accepted) > deadline_us)
    }
}

impl Broker {
    /// Keeps a Submit until there is room for its frame.
    pub(super) fn hold(&mut self, key: ChannelKey, asker: Asker, request: u16, frame: Submit) {
        if let Some(session) = self.sessions.get_mut(&asker.session) {
            session.submits_held += 1;
        }
        if let Some(channel) = self.channel_mut(key) {
            let user_data = channel.take_user_data();
            channel.held.push_back(HeldSubmit {
                asker,
                request,
                frame,
                user_data,
            });
        }
    }

    /// Answers the Submits of a channel that waited for room, as far as there is some, or all of them where there will
    /// be none.
    pub(super) fn resume_held(&mut self, key: ChannelKey) {
        while let Some(held) = self.next_held(key) {
            let session = held.asker.session;
            let Some(state) = self.sessions.get_mut(&session) else {
                continue; // Nobody is left to be answered.
            };
            let left = state.submits_held.checked_sub(1);
            state.submits_held = left.expect("a held request is answered once");
            let accepted = self
                .check_serving()
                .and_then(|()| self.accept_held(key, &held));
            match accepted {
                Ok((frame, room)) => self.answer_submit(session, held.request, key, frame, room),
                Err(refusal) => {
                    // As with a Submit that is refused at once, what was meant for it is for the next one.
                    if let (Some(data), Some(channel)) = (held.user_data, self.channel_mut(key)) {
                        channel.keep_user_data(data);
                    }
                    self.count_refused_submit(key);
                    self.refuse(session, held.request, &refusal);
                }
            }
        }
    }

    fn next_held(&mut self, key: ChannelKey) -> Option<HeldSubmit> {
        let serves = self.stage == Stage::Serving && !self.engine.is_offline();
        let channel = self.channel_mut(key)?;
        let has_room = channel.queue.len() < usize::from(QUEUE_MAX);
        let takes_more = serves && channel.life == Life::Serving;
        if takes_more && !has_room && channel.parameters.overload == Overload::Wait {
            return None;
        }
        channel.held.pop_front()
    }

    /// Takes in the frame of a Submit that waited, as the channel's policy says now.
    fn accept_held(
        &mut self,
        key: ChannelKey,
        held: &HeldSubmit,
    ) -> Result<(FrameNumber, Room), Refusal> {
        let channel = self
            .channel(key)
            .filter(|channel| channel.is_open())
            .ok_or(Refusal::NoSuchChannel(held.frame.channel))?;
        if channel.life != Life::Serving {
            return Err(wrong_state(channel, TAKES_FRAMES));
        }
        let room = channel.room_behind(false)?;
        let number = self.take_in(held.asker, key, held.frame)?;
        let came_in = self.channel_mut(key).and_then(|c| c.queue.back_mut());
        if let Some(frame) = came_in {
            frame.user_data = held.user_data;
        }
        Ok((number, room))
    }

    /// Drops the frames at the head of a channel's queue that can no longer be started in time. Answers whether there
    /// were any.
    pub(super) fn shed_late(&mut self, key: ChannelKey) -> bool {
        let now = self.now;
        let mut shed = false;
        while self.channel(key).is_some_and(|c| c.is_head_late(now)) {
            self.shed(key, 1, DropReason::Deadline);
            shed = true;
        }
        shed
    }

    /// Drops the `count` frames of a channel that wait longest.
    pub(super) fn shed(&mut self, key: ChannelKey, count: usize, reason: DropReason) {
        for _ in 0..count {
            let Some(channel) = self.channel_mut(key) else {
                return;
            };
            let Some(frame) = channel.queue.pop_front() else {
                return;
            };
            channel.key_frames.force(frame.force_idr);
            self.drop_frame(key, &frame, reason);
        }
        self.offer(key);
    }

    /// Drops the frame of a channel that came last: for it there was no room.
    pub(super) fn shed_newest(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        if let Some(frame) = channel.queue.pop_back() {
            channel.key_frames.force(frame.force_idr);
            self.drop_frame(key, &frame, DropReason::QueueFull);
        }
    }

    /// Ends a frame that the encoder was not started on.
    pub(super) fn drop_frame(&mut self, key: ChannelKey, frame: &Frame, reason: DropReason) {
        if let Some(channel) = self.channel_mut(key) {
            channel.stats.count_drop(reason);
        }
        // Whoever flushes wants nothing of what waited.
        if reason != DropReason::Flushed {
            self.hand_on_user_data(key, frame);
        }
        self.end_frame(key, frame, FrameEnd::Dropped(reason));
    }
}
