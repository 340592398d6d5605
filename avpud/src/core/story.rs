//! The stories of the last frames: what became of each and when, kept for whoever asks later.
//!
//! A ring of [`STORIES_MAX`] records, allocated once. A frame carries the number of its record, so each step of its
//! life is written down in constant time; when the ring has gone round, the oldest are forgotten, and what still
//! happens to such a frame is not noted any more. Nothing is decided by what stands here.

use crate::core::time::Micros;
use crate::picture::PictureKind;
use avpu_proto::types::{ChannelId, FrameEnd, FrameNumber, Sequence};
use core::num::NonZeroU32;
use std::collections::VecDeque;

/// Number of a record; counts up for each accepted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoryNumber(NonZeroU32);

impl StoryNumber {
    const FIRST: Self = Self(NonZeroU32::MIN);

    pub(super) const fn value(self) -> u32 {
        self.0.get()
    }

    fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU32::MIN))
    }

    /// How many records this one comes after `earlier`.
    fn distance(self, earlier: Self) -> u32 {
        let distance = self.value().wrapping_sub(earlier.value());
        // 0 is no number: whoever has wrapped since has skipped it.
        distance - u32::from(self.value() < earlier.value())
    }
}

/// One frame's life. Times after the first are microseconds since it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    pub(super) number: StoryNumber,
    pub(super) channel: ChannelId,
    pub(super) frame: FrameNumber,
    pub(super) accepted: Micros,
    /// Whose picture was in the encoder then.
    pub(super) behind: Option<ChannelId>,
    /// Frames of its own channel that were queued before it.
    pub(super) queued_before: u16,
    /// Pictures of other channels that were started while it waited.
    pub(super) overtaken_by: u16,
    /// The channel of the last of those.
    pub(super) overtaker: Option<ChannelId>,
    pub(super) kind: Option<PictureKind>,
    pub(super) qp: u8,
    pub(super) started_after_us: Option<u32>,
    pub(super) done_after_us: Option<u32>,
    pub(super) delivered_after_us: Option<u32>,
    pub(super) ended_after_us: Option<u32>,
    pub(super) end: Option<FrameEnd>,
    pub(super) len_bytes: u32,
    pub(super) readers: u16,
    pub(super) ticket_us: u32,
    /// It was too large, and what is noted of the encoder is its second attempt.
    pub(super) retried: bool,
    /// Since when its ticket counted; `None`: it did not.
    pub(super) due: Option<Micros>,
    /// Pictures started before it was accepted: of all channels, and of its own.
    starts: (u32, u32),
}

/// What is known of a frame when it is accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) channel: ChannelId,
    pub(super) frame: FrameNumber,
    pub(super) behind: Option<ChannelId>,
    pub(super) queued_before: u16,
    pub(super) ticket_us: u32,
    /// Pictures of the channel started so far.
    pub(super) channel_starts: u32,
}

/// How a frame was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) channel: ChannelId,
    pub(super) kind: PictureKind,
    pub(super) qp: u8,
    /// Pictures of the channel started before this one.
    pub(super) channel_starts: u32,
}

/// How a packet reached its channel's ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) len_bytes: u32,
    pub(super) readers: u16,
}

/// The last stories, oldest first.
#[derive(Debug)]
pub(super) struct Stories {
    kept: VecDeque<Story>,
    next: StoryNumber,
    /// Pictures started so far.
    starts: u32,
    /// The channels of the last started picture, and of the last one before it of another channel.
    last: [Option<ChannelId>; 2],
    owners: VecDeque<Owner>,
}

/// Whose channel it was: remembered longer than the channel lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) channel: ChannelId,
    pub(super) name: String,
    pub(super) pid: u32,
}

impl Stories {
    pub(super) fn new() -> Self {
        Self {
            kept: VecDeque::with_capacity(STORIES_MAX),
            next: StoryNumber::FIRST,
            starts: 0,
            last: [None; 2],
            owners: VecDeque::with_capacity(OWNERS_MAX),
        }
    }

    /// A channel was opened.
    pub(super) fn introduce(&mut self, owner: Owner) {
        if self.owners.len() == OWNERS_MAX {
            self.owners.pop_front();
        }
        self.owners.push_back(owner);
    }

    /// A frame was accepted.
    pub(super) fn begin(&mut self, of: Beginning, now: Micros) -> StoryNumber {
        let number = self.next;
        self.next = number.next();
        if self.kept.len() == STORIES_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Story {
            number,
            channel: of.channel,
            frame: of.frame,
            accepted: now,
            behind: of.behind,
            queued_before: of.queued_before,
            overtaken_by: 0,
            overtaker: None,
            kind: None,
            qp: 0,
            started_after_us: None,
            done_after_us: None,
            delivered_after_us: None,
            ended_after_us: None,
            end: None,
            len_bytes: 0,
            readers: 0,
            ticket_us: of.ticket_us,
            retried: false,
            due: None,
            starts: (self.starts, of.channel_starts),
        });
        number
    }

    /// A frame goes to the encoder.
    pub(super) fn start(&mut self, number: StoryNumber, of: Start, now: Micros) {
        let all = self.starts;
        let [last, before] = self.last;
        if let Some(story) = self.story_mut(number) {
            let (all_then, own_then) = story.starts;
            let others = all
                .wrapping_sub(all_then)
                .saturating_sub(of.channel_starts.wrapping_sub(own_then));
            story.overtaken_by = u16::try_from(others).unwrap_or(u16::MAX);
            let other = if last == Some(of.channel) {
                before
            } else {
                last
            };
            story.overtaker = other.filter(|_| others > 0);
            story.kind = Some(of.kind);
            story.qp = of.qp;
            story.started_after_us = Some(story.age_us(now));
        }
        self.starts = all.wrapping_add(1);
        if last != Some(of.channel) {
            self.last = [Some(of.channel), last];
        }
    }

    /// A frame that was just started was owed to its channel since `due`.
    pub(super) fn owe(&mut self, number: StoryNumber, due: Micros) {
        if let Some(story) = self.story_mut(number) {
            story.due = Some(due);
        }
    }

    /// A frame was too large and waits to be started once more.
    pub(super) fn retry(&mut self, number: StoryNumber) {
        if let Some(story) = self.story_mut(number) {
            story.retried = true;
            story.due = None;
            story.kind = None;
            story.started_after_us = None;
            story.done_after_us = None;
        }
    }

    /// The encoder is done with a frame.
    pub(super) fn finish(&mut self, number: StoryNumber, now: Micros) {
        if let Some(story) = self.story_mut(number) {
            story.done_after_us = Some(story.age_us(now));
        }
    }

    /// A frame's packet is in the ring.
    pub(super) fn deliver(&mut self, number: StoryNumber, of: Delivery, now: Micros) {
        if let Some(story) = self.story_mut(number) {
            story.delivered_after_us = Some(story.age_us(now));
            story.len_bytes = of.len_bytes;
            story.readers = of.readers;
        }
    }

    /// A frame ended.
    pub(super) fn end(&mut self, number: StoryNumber, end: FrameEnd, now: Micros) {
        if let Some(story) = self.story_mut(number) {
            story.ended_after_us = Some(story.age_us(now));
            story.end = Some(end);
        }
    }

    /// The last story of this frame of a channel.
    pub(super) fn of_frame(&self, channel: ChannelId, frame: FrameNumber) -> Option<&Story> {
        let mut newest_first = self.kept.iter().rev();
        newest_first.find(|story| story.channel == channel && story.frame == frame)
    }

    /// The story of the frame that became this packet of a channel.
    pub(super) fn of_packet(&self, channel: ChannelId, sequence: Sequence) -> Option<&Story> {
        let became = Some(FrameEnd::Encoded { sequence });
        let mut newest_first = self.kept.iter().rev();
        newest_first.find(|story| story.channel == channel && story.end == became)
    }

    /// The stories from number `cursor` on, or all where that one is forgotten or 0.
    pub(super) fn from(&self, cursor: u32) -> impl Iterator<Item = &Story> {
        let oldest = self.kept.front().map(|story| story.number);
        let skipped = match (NonZeroU32::new(cursor).map(StoryNumber), oldest) {
            (Some(cursor), Some(oldest)) => cursor.distance(oldest),
            _ => 0,
        };
        // A number from before the oldest is a distance of nearly the whole circle.
        let skipped = match skipped {
            far if far > u32::MAX / 2 => 0,
            near => usize::try_from(near).unwrap_or(usize::MAX),
        };
        self.kept.iter().skip(skipped)
    }

    /// Who had a channel, if that is remembered.
    pub(super) fn owner(&self, channel: ChannelId) -> Option<&Owner> {
        let mut newest_first = self.owners.iter().rev();
        newest_first.find(|owner| owner.channel == channel)
    }

    /// Whose channel had this name last.
    pub(super) fn owner_named(&self, name: &str) -> Option<&Owner> {
        let mut newest_first = self.owners.iter().rev();
        newest_first.find(|owner| owner.name == name)
    }

    fn story_mut(&mut self, number: StoryNumber) -> Option<&mut Story> {
        let oldest = self.kept.front()?.number;
        let index = usize::try_from(number.distance(oldest)).ok()?;
        let story = self.kept.get_mut(index)?;
        (story.number == number).then_some(story)
    }
}

impl Story {
    fn age_us(&self, now: Micros) -> u32 {
        u32::try_from(now.since_us(self.accepted)).unwrap_or(u32::MAX)
    }
}

/// Frames whose stories are kept: four seconds of eight channels at 30 pictures a second.
const STORIES_MAX: usize = 1024;
/// Channels whose names outlive them.
const OWNERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: ChannelId = ChannelId::new(1);
    const SUB: ChannelId = ChannelId::new(2);

    fn beginning(channel: ChannelId, frame: u32, channel_starts: u32) -> Beginning {
        Beginning {
            channel,
            frame: FrameNumber::new(frame),
            behind: None,
            queued_before: 0,
            ticket_us: 0,
            channel_starts,
        }
    }

    fn start(channel: ChannelId, channel_starts: u32) -> Start {
        Start {
            channel,
            kind: PictureKind::P,
            qp: 30,
            channel_starts,
        }
    }

    #[test]
    fn who_was_started_while_a_frame_waited_is_counted_and_named() {
        let mut stories = Stories::new();
        let at = Micros::new;
        let first = stories.begin(beginning(MAIN, 0, 0), at(100));
        stories.start(first, start(MAIN, 0), at(110));
        let waits = stories.begin(beginning(MAIN, 1, 1), at(120));
        for (frame, time) in [(0, 130), (1, 140)] {
            let other = stories.begin(beginning(SUB, frame, frame), at(time));
            stories.start(other, start(SUB, frame), at(time + 1));
        }
        stories.start(waits, start(MAIN, 1), at(200));
        let story = stories.of_frame(MAIN, FrameNumber::new(1)).expect("kept");
        assert_eq!((story.overtaken_by, story.overtaker), (2, Some(SUB)));
        assert_eq!(story.started_after_us, Some(80));
        let story = stories.of_frame(MAIN, FrameNumber::new(0)).expect("kept");
        assert_eq!((story.overtaken_by, story.overtaker), (0, None));
    }

    #[test]
    fn pictures_of_its_own_channel_overtake_nobody() {
        let mut stories = Stories::new();
        let at = Micros::new;
        let frames = [0, 1, 2].map(|n| stories.begin(beginning(MAIN, n, 0), at(100)));
        for (starts, number) in (0..).zip(frames) {
            stories.start(number, start(MAIN, starts), at(200));
        }
        assert!(stories.kept.iter().all(|story| story.overtaken_by == 0));
        assert!(stories.kept.iter().all(|story| story.overtaker.is_none()));
    }

    #[test]
    fn old_stories_are_forgotten_and_nothing_grows() {
        let mut stories = Stories::new();
        let capacity = stories.kept.capacity();
        let first = stories.begin(beginning(MAIN, 0, 0), Micros::new(0));
        let max = u32::try_from(STORIES_MAX).expect("small");
        for frame in 1..=max {
            stories.begin(beginning(MAIN, frame, 0), Micros::new(1));
        }
        let end = FrameEnd::Encoded {
            sequence: Sequence::new(7),
        };
        stories.end(first, end, Micros::new(2));
        assert!(stories.of_frame(MAIN, FrameNumber::new(0)).is_none());
        assert!(stories.of_packet(MAIN, Sequence::new(7)).is_none());
        assert_eq!(stories.kept.len(), STORIES_MAX);
        assert_eq!(stories.kept.capacity(), capacity);
    }

    #[test]
    fn numbers_go_on_across_the_end_of_the_count() {
        let mut stories = Stories::new();
        stories.next = StoryNumber(NonZeroU32::new(u32::MAX - 1).expect("not 0"));
        let numbers: Vec<u32> = (0..4)
            .map(|frame| {
                let number = stories.begin(beginning(MAIN, frame, 0), Micros::new(0));
                stories.finish(number, Micros::new(5));
                number.value()
            })
            .collect();
        assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 1, 2]);
        assert!(stories.kept.iter().all(|s| s.done_after_us == Some(5)));
        let from = |cursor| stories.from(cursor).map(|s| s.number.value()).next();
        assert_eq!(from(0), Some(u32::MAX - 1));
        assert_eq!(from(u32::MAX), Some(u32::MAX));
        assert_eq!(from(2), Some(2));
        assert_eq!(from(3), None);
        assert_eq!(from(1000), None);
        assert_eq!(from(u32::MAX - 900), Some(u32::MAX - 1));
    }

    #[test]
    fn a_name_outlives_its_channel_and_the_last_holder_counts() {
        let mut stories = Stories::new();
        for (id, pid) in [(1, 10), (2, 20)] {
            stories.introduce(Owner {
                channel: ChannelId::new(id),
                name: "main".to_owned(),
                pid,
            });
        }
        assert_eq!(stories.owner(MAIN).map(|owner| owner.pid), Some(10));
        assert_eq!(stories.owner_named("main").map(|owner| owner.pid), Some(20));
        assert_eq!(stories.owner_named("other"), None);
    }
}
