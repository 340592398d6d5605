//! What became of a frame, told to whoever asks.

use crate::core::broker::{Answer, Broker};
use crate::core::channel::{Channel, Frame};
use crate::core::refusal::Refusal;
use crate::core::report::listing;
use crate::core::story::{Beginning, Delivery, Start, Story, StoryNumber};
use crate::core::time::Micros;
use crate::job::{ChannelKey, EncodeJob};
use crate::picture::PictureKind;
use avpu_proto::reply::Reply;
use avpu_proto::report::FrameRecord;
use avpu_proto::request::{Explain, Page};
use avpu_proto::types::{self, FrameEnd, FrameNumber, Sequence, TimeUs};

impl Broker {
    /// Begins the story of the frame that a channel is about to queue.
    pub(super) fn begin_story(&mut self, key: ChannelKey) -> Option<StoryNumber> {
        let in_encoder = self.engine.run().and_then(|run| self.channel(run.channel));
        let behind = in_encoder.map(|channel| channel.id);
        let channel = self.channel(key)?;
        let of = Beginning {
            channel: channel.id,
            frame: channel.frame_next,
            behind,
            queued_before: u16::try_from(channel.queue.len()).unwrap_or(u16::MAX),
            ticket_us: channel.ticket_us,
            channel_starts: channel.stats.started,
        };
        Some(self.stories.begin(of, self.now))
    }

    /// Notes that a frame goes to the encoder.
    pub(super) fn note_start(&mut self, job: &EncodeJob) {
        let now = self.now;
        let Some(channel) = self.channel_mut(job.channel) else {
            return;
        };
        let Some(flight) = channel.in_flight else {
            return;
        };
        let before = channel.stats.started;
        channel.stats.started = before.wrapping_add(1);
        let of = Start {
            channel: channel.id,
            kind: flight.kind,
            qp: flight.qp,
            channel_starts: before,
        };
        self.stories.start(flight.frame.story, of, now);
    }

    /// Notes that a frame's packet is in the ring, and who was sent it at once.
    pub(super) fn note_delivery(
        &mut self,
        key: ChannelKey,
        frame: &Frame,
        sequence: Sequence,
        len_bytes: u32,
    ) {
        let after = sequence.value().wrapping_add(1);
        let sent = |channel: &Channel| {
            let readers = channel.readers.iter();
            readers.filter(|r| r.next().value() == after).count()
        };
        let readers = self.channel(key).map_or(0, sent);
        let of = Delivery {
            len_bytes,
            readers: u16::try_from(readers).unwrap_or(u16::MAX),
        };
        self.stories.deliver(frame.story, of, self.now);
    }

    pub(super) fn explain(&self, which: &Explain) -> Answer {
        let channel = if which.name.is_empty() {
            which.channel
        } else {
            let owner = self.stories.owner_named(&which.name);
            let owner = owner.ok_or_else(|| Refusal::NoSuchName(which.name.clone()))?;
            owner.channel
        };
        if self.stories.owner(channel).is_none() {
            return Err(Refusal::NoSuchChannel(channel));
        }
        let (what, story) = if which.by_frame {
            let frame = FrameNumber::new(which.number);
            ("remembered frame", self.stories.of_frame(channel, frame))
        } else {
            let sequence = Sequence::new(which.number);
            (
                "remembered packet",
                self.stories.of_packet(channel, sequence),
            )
        };
        let story = story.ok_or(Refusal::NoSuchObject {
            what,
            id: which.number,
        })?;
        Ok(Some(Reply::Explanation(self.frame_record(story))))
    }

    /// A page of stories; the cursor is the number of one.
    pub(super) fn trace_page(&self, page: Page) -> Reply {
        let stories = self.stories.from(page.cursor);
        let stories = stories.map(|story| (story.number.value(), story));
        Reply::Trace(listing(stories, |story| self.frame_record(story)))
    }

    fn frame_record(&self, story: &Story) -> FrameRecord {
        let owner = self.stories.owner(story.channel);
        let at = |after_us: Option<u32>| {
            let time = after_us.map(|us| story.accepted.plus_us(u64::from(us)));
            TimeUs::new(time.map_or(0, |time| time.value()))
        };
        FrameRecord {
            channel: story.channel,
            name: owner.map_or_else(String::new, |owner| owner.name.clone()),
            pid: owner.map_or(0, |owner| owner.pid),
            frame: story.frame,
            sequence: match story.end {
                Some(FrameEnd::Encoded { sequence }) => Some(sequence),
                _ => None,
            },
            kind: story.kind.map(|kind| match kind {
                PictureKind::Idr => types::PictureKind::Idr,
                PictureKind::P => types::PictureKind::P,
            }),
            qp: story.qp,
            len_bytes: story.len_bytes,
            accepted_us: TimeUs::new(story.accepted.value()),
            behind: story.behind,
            queued_before: story.queued_before,
            overtaken_by: story.overtaken_by,
            overtaker: story.overtaker,
            started_us: at(story.started_after_us),
            done_us: at(story.done_after_us),
            delivered_us: at(story.delivered_after_us),
            ended_us: at(story.ended_after_us),
            end: story.end,
            ticket_us: story.ticket_us,
            readers: story.readers,
            number: story.number.value(),
            retried: story.retried,
            due_us: TimeUs::new(story.due.map_or(0, Micros::value)),
        }
    }
}
