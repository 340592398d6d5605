//! Frames come in: submit, key-frame requests; and how a frame ends.

use crate::core::broker::{Answer, Broker};
use crate::core::channel::{Channel, Frame, Life};
use crate::core::event::{Attach, SessionKey};
use crate::core::overload::Room;
use crate::core::refusal::Refusal;
use crate::core::sources::Asker;
use crate::job::ChannelKey;
use crate::mem::addr::{ByteLen, PhysAddr};
use avpu_proto::event::{EndOfStream, Event, SourceReleased};
use avpu_proto::reply::{Reply, Submitted};
use avpu_proto::request::{RequestIdr, Submit};
use avpu_proto::types::{Address, ChannelState, DropReason, FrameEnd, FrameNumber};

impl Broker {
    pub(super) fn submit(&mut self, asker: Asker, request: u16, frame: Submit) -> Answer {
        self.check_serving()?;
        let key = self.owned(asker.session, frame.channel)?;
        let accepted = self.accept(asker, request, key, frame);
        if accepted.is_err() {
            self.count_refused_submit(key);
        }
        accepted.map(|()| None)
    }

    pub(super) fn count_refused_submit(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channel_mut(key) {
            channel.stats.submits_refused = channel.stats.submits_refused.wrapping_add(1);
        }
    }

    /// Takes a frame in, makes room for it, or lets it wait for room, as its channel's policy says. Answered before
    /// anything that follows from it.
    fn accept(
        &mut self,
        asker: Asker,
        request: u16,
        key: ChannelKey,
        frame: Submit,
    ) -> Result<(), Refusal> {
        let channel = self
            .channel(key)
            .ok_or(Refusal::NoSuchChannel(frame.channel))?;
        if channel.life != Life::Serving {
            return Err(wrong_state(channel, TAKES_FRAMES));
        }
        // What is too late to be encoded must not keep out what is not.
        if channel.is_head_late(self.now) {
            self.shed_late(key);
            self.resume_held(key);
        }
        let channel = self
            .channel(key)
            .ok_or(Refusal::NoSuchChannel(frame.channel))?;
        let is_due = frame.force_idr || channel.decimation.is_due();
        let room = if is_due {
            channel.room()?
        } else {
            Room::After(0)
        };
        let dropped = match room {
            Room::After(count) => count,
            Room::None | Room::Later => 0,
        };
        let under_way = self.sessions.get(&asker.session).map_or(0, |session| {
            usize::from(session.frames_outstanding) + usize::from(session.submits_held)
        });
        let max = self.config.client_limits.frames;
        if under_way.saturating_sub(dropped) >= usize::from(max) {
            return Err(Refusal::NoCredit { max });
        }
        if !is_due {
            return self.leave_out(asker, request, key, frame);
        }
        if room == Room::Later {
            let address = PhysAddr::new(frame.address.value());
            self.sources.resolve(asker, address, self.source_len(key))?;
            self.hold(key, asker, request, frame);
            self.count_turn(key, true);
            return Ok(());
        }
        let number = self.take_in(asker, key, frame)?;
        if let Some(channel) = self.channel_mut(key) {
            channel.give_user_data();
        }
        self.count_turn(key, true);
        self.answer_submit(asker.session, request, key, number, room);
        Ok(())
    }

    /// Answers a Submit whose frame came in, and makes room for it.
    pub(super) fn answer_submit(
        &mut self,
        session: SessionKey,
        request: u16,
        key: ChannelKey,
        frame: FrameNumber,
        room: Room,
    ) {
        let reply = Reply::Submitted(Submitted { frame });
        self.reply(session, request, reply, Attach::Nothing);
        match room {
            Room::After(count) => self.shed(key, count, DropReason::Superseded),
            Room::None | Room::Later => self.shed_newest(key),
        }
    }

    /// Accepts a frame whose turn it is not where fewer are encoded than submitted: it ends at once.
    fn leave_out(
        &mut self,
        asker: Asker,
        request: u16,
        key: ChannelKey,
        frame: Submit,
    ) -> Result<(), Refusal> {
        let frame = self.enrol(asker, key, frame)?;
        self.count_turn(key, false);
        let reply = Reply::Submitted(Submitted {
            frame: frame.number,
        });
        self.reply(asker.session, request, reply, Attach::Nothing);
        self.drop_frame(key, &frame, DropReason::Decimated);
        Ok(())
    }

    fn count_turn(&mut self, key: ChannelKey, encoded: bool) {
        if let Some(channel) = self.channel_mut(key) {
            channel.decimation.advance(encoded);
        }
    }

    /// Puts a frame at the end of its channel's queue.
    pub(super) fn take_in(
        &mut self,
        asker: Asker,
        key: ChannelKey,
        frame: Submit,
    ) -> Result<FrameNumber, Refusal> {
        let id = frame.channel;
        let mut frame = self.enrol(asker, key, frame)?;
        let channel = self.channel_mut(key).ok_or(Refusal::NoSuchChannel(id))?;
        frame.in_rate = channel.contract.admit(frame.accepted);
        frame.kept = frame.in_rate && channel.keeps_rate();
        channel.queue.push_back(frame);
        self.offer(key);
        Ok(frame.number)
    }

    /// Accepts a frame: from here on it has exactly one end.
    fn enrol(&mut self, asker: Asker, key: ChannelKey, frame: Submit) -> Result<Frame, Refusal> {
        let address = PhysAddr::new(frame.address.value());
        let (source, holder) = self.sources.resolve(asker, address, self.source_len(key))?;
        let story = self
            .begin_story(key)
            .ok_or(Refusal::NoSuchChannel(frame.channel))?;
        let accepted = self.now;
        let channel = self
            .channel_mut(key)
            .ok_or(Refusal::NoSuchChannel(frame.channel))?;
        let number = channel.frame_next;
        channel.frame_next = FrameNumber::new(number.value().wrapping_add(1));
        let is_first = channel.stats.frames_in == 0;
        channel.stats.frames_in = channel.stats.frames_in.saturating_add(1);
        self.state_changed |= is_first;
        self.expect_input(key);
        self.pin(holder);
        if let Some(session) = self.sessions.get_mut(&asker.session) {
            session.frames_outstanding += 1;
        }
        Ok(Frame {
            number,
            source,
            holder,
            timestamp: frame.timestamp,
            cookie: frame.cookie,
            force_idr: frame.force_idr,
            user_data: None,
            accepted,
            in_rate: false,
            kept: false,
            story,
            is_retried: false,
        })
    }

    /// The one end of an accepted frame: its source is free, its credit comes back, its owner is told.
    pub(super) fn end_frame(&mut self, key: ChannelKey, frame: &Frame, end: FrameEnd) {
        self.stories.end(frame.story, end, self.now);
        self.unpin(frame.holder);
        let Some((id, owner)) = self.channel(key).and_then(|c| Some((c.id, c.owner?))) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&owner) {
            let left = session.frames_outstanding.checked_sub(1);
            session.frames_outstanding = left.expect("a frame ends once");
        }
        self.event(
            owner,
            Event::SourceReleased(SourceReleased {
                channel: id,
                frame: frame.number,
                address: Address::new(frame.source.start().value()),
                cookie: frame.cookie,
                end,
            }),
        );
    }

    pub(super) fn request_idr(&mut self, session: SessionKey, which: RequestIdr) -> Answer {
        let key = self.named(which.channel, which.name)?;
        let reads = self.sessions.get(&session).is_some_and(|s| s.reads(key));
        let now = self.now;
        let channel = self
            .channel_mut(key)
            .ok_or(Refusal::NoSuchChannel(which.channel))?;
        // Whoever subscribes to a channel that has ended is its reader no more.
        if channel.has_ended() {
            return Err(wrong_state(channel, ENCODES));
        }
        if channel.owner != Some(session) && !reads {
            return Err(Refusal::NotOwner(channel.id));
        }
        let promised = channel.ask_for_idr(session, now);
        if let Some(state) = self.sessions.get_mut(&session) {
            state.idr_requests = state.idr_requests.wrapping_add(1);
        }
        Ok(Some(Reply::IdrPromised(promised)))
    }

    /// Tells an owner that does not read its own channel that no packet follows.
    pub(super) fn end_owner_stream(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel(key) else {
            return;
        };
        let Some(owner) = channel.owner else {
            return;
        };
        if channel.readers.iter().any(|reader| reader.session == owner) {
            return;
        }
        let end = EndOfStream {
            channel: channel.id,
            subscription: None,
            packets: channel.ring.next_sequence().value(),
        };
        self.event(owner, Event::EndOfStream(end));
    }

    /// Bytes of a source picture of a channel.
    pub(super) fn source_len(&self, key: ChannelKey) -> ByteLen {
        self.channel(key).map_or(ByteLen::ZERO, |channel| {
            let size = channel.parameters.setup.geometry.visible();
            ByteLen::new(size.source_len_bytes())
        })
    }
}

/// The channel is in a state in which it is not what it would have to be: one that ...
pub(super) fn wrong_state(channel: &Channel, expected: &'static str) -> Refusal {
    Refusal::WrongState {
        channel: channel.id,
        expected,
        state: channel.state().unwrap_or(ChannelState::Configured),
    }
}

/// What a channel does to whose queue frames may be added.
pub(super) const TAKES_FRAMES: &str = "takes frames";
/// What a channel does or will do after which there will be packets.
pub(super) const ENCODES: &str = "encodes or can go on";
/// What a channel was that can go on, or become another.
pub(super) const PAUSED: &str = "was drained with keep and has finished";
