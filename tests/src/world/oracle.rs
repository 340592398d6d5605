//! What must hold whatever clients and engine do, judged from the core's inputs and outputs alone.

use crate::world::seen::Seen;
use avpu_proto::event::{Event, GapReason, Packet};
use avpu_proto::reply::Reply;
use avpu_proto::request::{Request, Submit};
use avpu_proto::types::{self, ChannelId, FrameEnd, FrameNumber, LeaseId, SubscriptionId};
use avpud::core::event::{Attach, LeaseKey, Note, Output, SessionKey};
use avpud::core::time::Micros;
use avpud::job::{ChannelKey, EncodeJob, JobId};
use avpud::mem::addr::{ByteLen, PhysRange};
use avpud::picture::PictureKind;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Default)]
pub(super) struct Oracle {
    arena: Option<PhysRange>,
    sessions: BTreeSet<SessionKey>,
    /// Requests without a reply.
    asked: BTreeSet<(SessionKey, u16)>,
    /// Submits without a reply.
    submits: BTreeMap<(SessionKey, u16), Submit>,
    /// Frames that were accepted and have not ended.
    frames: BTreeMap<(SessionKey, ChannelId, FrameNumber), Frame>,
    now: Micros,
    channels: BTreeMap<ChannelKey, ChannelView>,
    leases: BTreeMap<LeaseKey, PhysRange>,
    readers: BTreeMap<SubscriptionId, ReaderView>,
    /// Leases of which it was said that they will be taken back.
    revoking: BTreeSet<(SessionKey, LeaseId)>,
    /// What the hardware works on; also while it is being reset.
    pub(super) in_flight: Option<EncodeJob>,
    /// The encoder does not do what it should, so that no promise about time can be kept.
    pub(super) hardware_fails: bool,
    /// The encoder was given up: nothing is safe and nothing matters.
    pub(super) offline: bool,
    pub(super) seen: Seen,
}

struct ChannelView {
    id: ChannelId,
    memory: PhysRange,
    ring_bytes: u32,
    tail: u32,
    /// A frame that waited longer is not encoded; 0: none waits too long.
    deadline_us: u64,
    /// Index in its group of the picture that the next P refers to.
    reference: Option<u32>,
    delivering: Option<(JobId, u32)>,
    /// What did not fit and is encoded once more, next of all.
    again: Option<JobId>,
    /// Jobs that were started and not delivered, in order.
    started: VecDeque<Started>,
    /// Every packet of a picture, in order.
    packets: Vec<InRing>,
}

#[derive(Debug)]
struct Frame {
    address: u32,
    accepted: Micros,
    /// The encoder has begun with it.
    is_started: bool,
    /// The job that it was begun with.
    job: Option<JobId>,
}

struct InRing {
    position: u32,
    is_idr: bool,
    /// Its number, once it was told.
    sequence: Option<u32>,
}

struct Started {
    job: JobId,
    kind: PictureKind,
    gop_index: u32,
    is_lost: bool,
}

impl ChannelView {
    /// Nothing may refer to what came before a lost picture.
    fn forget_lost(&mut self) {
        while self.started.pop_front_if(|first| first.is_lost).is_some() {
            self.reference = None;
        }
    }
}

struct ReaderView {
    session: SessionKey,
    channel: ChannelId,
    credits: u16,
    outstanding: BTreeSet<u32>,
    /// The packet that must come next; `None`: any IDR.
    next: Option<u32>,
    /// It cannot use a picture that refers to another.
    needs_idr: bool,
}

impl Oracle {
    pub(super) fn new(arena: PhysRange, hardware_fails: bool) -> Self {
        Self {
            arena: Some(arena),
            hardware_fails,
            ..Self::default()
        }
    }

    pub(super) fn opened(&mut self, session: SessionKey) {
        self.sessions.insert(session);
    }

    pub(super) fn closed(&mut self, session: SessionKey) {
        self.sessions.remove(&session);
        self.asked.retain(|(asker, _)| *asker != session);
        self.submits.retain(|(asker, _), _| *asker != session);
        self.frames.retain(|(owner, _, _), _| *owner != session);
        self.readers.retain(|_, reader| reader.session != session);
        self.revoking.retain(|(holder, _)| *holder != session);
    }

    /// The daemon heard a request; `None`: one of a later version.
    pub(super) fn asked(&mut self, session: SessionKey, id: u16, request: Option<&Request>) {
        self.seen.requests += 1;
        assert!(self.asked.insert((session, id)), "the script reuses an id");
        match request {
            Some(Request::Submit(submit)) => {
                self.submits.insert((session, id), *submit);
            }
            Some(Request::ReleasePackets(release)) => {
                let last = release.sequence.value();
                if let Some(reader) = self.reader_of(session, release.subscription) {
                    reader.outstanding.retain(|sequence| *sequence > last);
                }
            }
            Some(Request::Unsubscribe(which)) => {
                let of = which.subscription;
                self.readers
                    .retain(|id, reader| *id != of || reader.session != session);
            }
            _ => {}
        }
    }

    fn reader_of(
        &mut self,
        session: SessionKey,
        subscription: SubscriptionId,
    ) -> Option<&mut ReaderView> {
        let reader = self.readers.get_mut(&subscription);
        reader.filter(|reader| reader.session == session)
    }

    /// The job in flight ended; `None` when its picture is of no use.
    pub(super) fn engine_done(&mut self) {
        self.in_flight = None;
    }

    /// A picture of this channel will not be delivered; those before it may still be.
    pub(super) fn lost(&mut self, channel: ChannelKey, job: JobId) {
        if let Some(view) = self.channels.get_mut(&channel) {
            let started = view.started.iter_mut().find(|started| started.job == job);
            if let Some(started) = started {
                started.is_lost = true;
            }
            view.forget_lost();
        }
    }

    /// A picture was put into the ring, or could not be.
    pub(super) fn delivered(&mut self, job: JobId, channel: ChannelKey, done: bool) {
        let view = self.channels.get_mut(&channel).expect("a live channel");
        let (delivering, position) = view.delivering.take().expect("being delivered");
        assert_eq!(delivering, job);
        let started = view.started.pop_front().expect("it was started");
        assert_eq!(started.job, job, "pictures are delivered in their order");
        if done {
            view.packets.push(InRing {
                position,
                is_idr: started.kind == PictureKind::Idr,
                sequence: None,
            });
            if started.kind == PictureKind::P {
                assert_eq!(
                    view.reference.map(|index| index + 1),
                    Some(started.gop_index),
                    "a P picture was delivered whose reference was not"
                );
            }
        }
        view.reference = done.then_some(started.gop_index);
        view.forget_lost();
    }

    /// Nothing is in the encoder and nothing waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.in_flight.is_none()
    }

    /// The daemon has ended, and with it everybody's session.
    pub(super) fn finished(&mut self) {
        self.sessions.clear();
        self.asked.clear();
        self.readers.clear();
    }

    /// A channel was made anew, in this memory where that worked.
    pub(super) fn rebuilt(&mut self, channel: ChannelKey, memory: Option<PhysRange>) {
        if let (Some(view), Some(memory)) = (self.channels.get_mut(&channel), memory) {
            view.memory = memory;
            view.reference = None;
        }
    }

    pub(super) fn check(&mut self, now: Micros, output: &Output) {
        self.now = now;
        match output {
            Output::Reply {
                session,
                id,
                body,
                attach,
            } => self.check_reply(*session, *id, body, *attach),
            Output::Event { session, body } => self.check_event(*session, body),
            Output::CreateChannel {
                channel,
                id,
                memory,
                ring_bytes,
                ..
            } => {
                self.check_free(*memory);
                assert!(ring_bytes.value().is_power_of_two());
                let view = ChannelView {
                    id: *id,
                    memory: *memory,
                    ring_bytes: ring_bytes.value(),
                    tail: 0,
                    deadline_us: 0,
                    reference: None,
                    delivering: None,
                    again: None,
                    started: VecDeque::new(),
                    packets: Vec::new(),
                };
                let before = self.channels.insert(*channel, view);
                assert!(before.is_none(), "a channel's slot is used twice");
            }
            Output::RebuildChannel {
                channel,
                memory,
                old,
                ..
            } => {
                self.check_free(*memory);
                let view = self.channels.get(channel).expect("a live channel");
                assert_eq!(view.memory, *old);
                if let Some(job) = self.in_flight.filter(|_| !self.offline) {
                    assert_ne!(job.channel, *channel, "rebuilt while in flight");
                }
            }
            Output::TuneChannel { channel, .. } => {
                assert!(self.channels.contains_key(channel), "changed when gone");
                if let Some(job) = self.in_flight.filter(|_| !self.offline) {
                    assert_ne!(job.channel, *channel, "changed while in flight");
                }
            }
            Output::DestroyChannel { channel, memory } => {
                let view = self.channels.remove(channel).expect("a live channel");
                assert_eq!(view.memory, *memory);
                assert_eq!(view.delivering, None, "destroyed while being delivered");
                if let Some(job) = self.in_flight.filter(|_| !self.offline) {
                    assert_ne!(job.channel, *channel, "destroyed while in flight");
                }
            }
            Output::GrantLease { lease, memory } => {
                self.check_free(*memory);
                assert!(self.leases.insert(*lease, *memory).is_none());
            }
            Output::RevokeLease { lease, memory } => {
                assert_eq!(self.leases.remove(lease), Some(*memory));
                if let Some(job) = self.in_flight.filter(|_| !self.offline) {
                    assert!(
                        !job.source.overlaps(*memory),
                        "a lease is taken back while the encoder reads it"
                    );
                }
            }
            Output::Note(Note::EngineOffline { .. }) => {
                self.offline = true;
                self.seen.offline += 1;
            }
            Output::Note(Note::PictureTooLarge { channel, job, .. }) => {
                let view = self.channels.get_mut(channel).expect("a live channel");
                assert_eq!(view.again.replace(*job), None, "one attempt at a time");
            }
            Output::Submit(job) => self.check_submit(job),
            Output::Deliver {
                job,
                channel,
                tail,
                position,
                capacity,
            } => self.check_deliver(*job, *channel, *tail, *position, *capacity),
            Output::Close { session, .. } => {
                assert!(self.sessions.contains(session) || !self.sessions.is_empty());
            }
            Output::Import { .. }
            | Output::ReleaseImport { .. }
            | Output::Discard { .. }
            | Output::Reset { .. }
            | Output::Finished { .. }
            | Output::Note(_) => {}
        }
    }

    /// Every ready channel is served within a bound, whatever the others do.
    pub(super) fn check_served(&self, now: Micros) {
        for (key, frame) in &self.frames {
            let age_us = now.since_us(frame.accepted);
            assert!(age_us < AGE_US_MAX, "{key:?} waits since {age_us} us");
        }
    }

    /// The shell could not make what it was asked for.
    pub(super) fn not_created(&mut self, channel: ChannelKey) {
        self.channels.remove(&channel);
    }

    pub(super) fn not_granted(&mut self, lease: LeaseKey) {
        self.leases.remove(&lease);
    }

    /// After the last client has left and the engine is idle.
    pub(super) fn check_empty(&self) {
        assert!(
            self.frames.is_empty(),
            "frames never ended: {:?}",
            self.frames
        );
        assert!(self.asked.is_empty(), "no reply to {:?}", self.asked);
        if !self.offline {
            assert!(self.leases.is_empty(), "leases left: {:?}", self.leases);
            let left: Vec<_> = self.channels.keys().collect();
            assert!(left.is_empty(), "channels left: {left:?}");
        }
    }

    /// Before clients leave, with nothing in flight: everything accepted has ended, everything asked was answered.
    pub(super) fn check_settled(&self) {
        assert!(self.asked.is_empty(), "no reply to {:?}", self.asked);
        assert!(
            self.frames.is_empty(),
            "frames never ended: {:?}",
            self.frames
        );
    }

    /// After every reader has released everything: none is left behind while there is an IDR to go on at.
    pub(super) fn check_caught_up(&self) {
        for (id, reader) in &self.readers {
            let mut views = self.channels.values();
            let view = views.find(|view| view.id == reader.channel);
            let view = view.expect("a live channel");
            // One that was sent nothing waits for an IDR that is still to come, or had not to.
            let Some(next) = reader.next else { continue };
            let was_sent = |packet: &&InRing| packet.sequence.is_none_or(|number| number < next);
            let is_there = |packet: &&InRing| packet.is_idr && packet.position >= view.tail;
            let missed = view.packets.iter().filter(|packet| !was_sent(packet));
            if let Some(idr) = missed.clone().find(is_there) {
                panic!(
                    "{id:?} was left behind at {next}, before the IDR {:?}",
                    idr.sequence
                );
            }
        }
    }

    fn check_reply(&mut self, session: SessionKey, id: u16, body: &Reply, attach: Attach) {
        assert!(
            self.asked.remove(&(session, id)),
            "a reply to nobody or a second one: {session:?} {id} {body:?}"
        );
        let submit = self.submits.remove(&(session, id));
        match body {
            Reply::Submitted(accepted) => {
                let submit = submit.expect("the reply to a submit");
                let key = (session, submit.channel, accepted.frame);
                let frame = Frame {
                    address: submit.address.value(),
                    accepted: self.now,
                    is_started: false,
                    job: None,
                };
                let before = self.frames.insert(key, frame);
                assert!(before.is_none(), "a frame is accepted twice");
            }
            Reply::ChannelOpened(opened) => {
                let mut views = self.channels.values_mut();
                let view = views.find(|view| view.id == opened.channel);
                view.expect("a live channel").deadline_us = u64::from(opened.deadline_us);
            }
            Reply::Reconfigured(changed) => {
                let mut views = self.channels.values_mut();
                let view = views.find(|view| view.id == changed.channel);
                let deadline_us = u64::from(changed.effective.deadline_us);
                view.expect("a live channel").deadline_us = deadline_us;
            }
            Reply::Subscribed(subscribed) => {
                assert!(matches!(attach, Attach::Ring(_)));
                let view = ReaderView {
                    session,
                    channel: subscribed.channel,
                    credits: subscribed.credits,
                    outstanding: BTreeSet::new(),
                    next: None,
                    needs_idr: true,
                };
                let before = self.readers.insert(subscribed.subscription, view);
                assert!(before.is_none(), "a subscription's number is used twice");
            }
            Reply::Refused(_) => self.seen.refused += 1,
            _ => {}
        }
    }

    fn check_event(&mut self, session: SessionKey, body: &Event) {
        assert!(self.sessions.contains(&session), "an event to nobody");
        match body {
            Event::SourceReleased(released) => {
                let frame = (session, released.channel, released.frame);
                let accepted = self.frames.remove(&frame);
                assert!(accepted.is_some(), "a frame ends twice: {frame:?}");
                if let FrameEnd::Encoded { sequence } = released.end {
                    self.learn_sequence(released.channel, sequence.value());
                }
                if let FrameEnd::Failed(reason) = released.end {
                    self.seen.timeouts += u32::from(reason == types::FailReason::Timeout);
                    let reference = types::FailReason::ReferenceLost;
                    self.seen.reference_lost += u32::from(reason == reference);
                }
            }
            Event::Packet(packet) => self.check_packet(session, packet),
            Event::Gap(gap) => {
                let reader = self.readers.get_mut(&gap.subscription);
                let reader = reader.expect("a gap of a reader");
                assert!(gap.count > 0, "a gap of nothing");
                if gap.reason == GapReason::Lost {
                    self.seen.lost_gaps += 1;
                } else {
                    self.seen.gaps += 1;
                }
                reader.next = None;
            }
            Event::EndOfStream(end) => {
                self.seen.ends_of_stream += 1;
                if let Some(subscription) = end.subscription {
                    let reader = self.readers.remove(&subscription);
                    assert!(reader.is_some_and(|r| r.session == session));
                }
            }
            Event::TicketBreached(breach) => {
                self.seen.tickets_breached += 1;
                assert!(self.hardware_fails, "a promise is broken: {breach:?}");
            }
            Event::LeaseRevoking(notice) => {
                self.revoking.insert((session, notice.lease));
            }
            Event::LeaseRevoked(notice) => {
                self.seen.leases_revoked += 1;
                assert!(
                    self.revoking.remove(&(session, notice.lease)),
                    "a lease is gone of which nobody was told"
                );
            }
            // What is only said and has no consequences here.
            _ => {}
        }
    }

    /// The packet that was delivered last has this number.
    fn learn_sequence(&mut self, channel: ChannelId, sequence: u32) {
        let mut views = self.channels.values_mut();
        let view = views.find(|view| view.id == channel);
        let packets = &mut view.expect("a live channel").packets;
        let before = packets.iter().rev().find_map(|packet| packet.sequence);
        assert!(before.is_none_or(|before| before < sequence));
        let packet = packets.last_mut().expect("it was delivered");
        assert_eq!(packet.sequence.replace(sequence), None);
    }

    fn check_packet(&mut self, session: SessionKey, packet: &Packet) {
        self.seen.packets += 1;
        let reader = self.readers.get_mut(&packet.subscription);
        let reader = reader.expect("a packet of a reader");
        assert_eq!(reader.session, session);
        let sequence = packet.sequence.value();
        match reader.next {
            Some(next) => assert_eq!(sequence, next, "a packet is missing without a gap"),
            None => reader.needs_idr = true,
        }
        assert!(
            !reader.needs_idr || packet.last || packet.kind == types::PictureKind::Idr,
            "a reader starts with a picture that refers to another"
        );
        reader.needs_idr = packet.last;
        reader.next = Some(sequence + 1);
        assert!(
            reader.outstanding.insert(sequence),
            "a packet is sent twice"
        );
        assert!(
            reader.outstanding.len() <= usize::from(reader.credits),
            "a reader gets more than its credits"
        );
        let mut views = self.channels.values();
        let view = views.find(|view| view.id == reader.channel);
        let view = view.expect("a packet of a live channel");
        assert_eq!(packet.offset_bytes, packet.position % view.ring_bytes);
        assert!(packet.offset_bytes + packet.len_bytes <= view.ring_bytes);
        let age = packet.position.wrapping_sub(view.tail);
        assert!(
            age < view.ring_bytes || (packet.last && packet.len_bytes == 0),
            "a packet is sent that was overwritten"
        );
    }

    fn check_submit(&mut self, job: &EncodeJob) {
        assert!(self.in_flight.is_none(), "two jobs in one engine");
        let view = self.channels.get(&job.channel).expect("a live channel");
        let arena = self.arena.expect("set at the start");
        assert!(!view.memory.overlaps(job.source));
        if arena.overlaps(job.source) {
            let mut leases = self.leases.values();
            assert!(
                leases.any(|lease| lease.contains_range(job.source)),
                "the encoder reads what nobody leased"
            );
        }
        assert!(!job.header.bytes().is_empty());
        self.check_turn(job);
        let view = self.channels.get_mut(&job.channel).expect("a live channel");
        view.started.push_back(Started {
            job: job.id,
            kind: job.kind,
            gop_index: job.gop_index,
            is_lost: false,
        });
        self.seen.jobs += 1;
        self.in_flight = Some(*job);
    }

    /// Frames of a channel are begun in the order in which they came, and not when they are too old.
    fn check_turn(&mut self, job: &EncodeJob) {
        let view = self.channels.get_mut(&job.channel).expect("a live channel");
        let again = view.again.take();
        let of_channel = |(_, channel, _): &(_, ChannelId, _)| *channel == view.id;
        if let Some(before) = again {
            assert_eq!(job.kind, PictureKind::Idr, "what did not fit comes again");
            let mut frames = self.frames.iter_mut().filter(|(key, _)| of_channel(key));
            let frame = frames.find(|(_, frame)| frame.job == Some(before));
            if let Some((key, frame)) = frame {
                assert_eq!(frame.address, job.source.start().value(), "{key:?} again");
                frame.job = Some(job.id);
                return;
            }
        }
        let mut waiting = self
            .frames
            .iter_mut()
            .filter(|(key, frame)| of_channel(key) && !frame.is_started);
        // None: its reply is still behind this in the queue, or its owner has gone.
        let Some((key, frame)) = waiting.next() else {
            return;
        };
        assert_eq!(
            frame.address,
            job.source.start().value(),
            "{key:?} came before the frame that is begun"
        );
        frame.is_started = true;
        frame.job = Some(job.id);
        let age_us = self.now.since_us(frame.accepted);
        assert!(
            view.deadline_us == 0 || age_us <= view.deadline_us || again.is_some(),
            "{key:?} is begun after {age_us} us, its channel gives it {}",
            view.deadline_us
        );
    }

    fn check_deliver(
        &mut self,
        job: JobId,
        channel: ChannelKey,
        tail: u32,
        position: u32,
        capacity: ByteLen,
    ) {
        let view = self.channels.get_mut(&channel).expect("a live channel");
        assert_eq!(view.delivering.replace((job, position)), None);
        let (ring, room) = (view.ring_bytes, capacity.value());
        assert!(position % ring + room <= ring, "a packet wraps");
        assert!(
            position.wrapping_add(room).wrapping_sub(tail) <= ring,
            "a packet overwrites what is still readable"
        );
        assert!(tail.wrapping_sub(view.tail) < 1 << 31, "the tail goes back");
        view.tail = tail;
    }

    fn check_free(&self, memory: PhysRange) {
        let arena = self.arena.expect("set at the start");
        assert!(arena.contains_range(memory), "memory outside the arena");
        let leases = self.leases.values().copied();
        let channels = self.channels.values().map(|view| view.memory);
        for other in leases.chain(channels) {
            assert!(!other.overlaps(memory), "memory is leased twice");
        }
    }
}

/// 30 frames of 6 channels before it, every one lost with a deadline of 100 ms and some resets that fail.
const AGE_US_MAX: u64 = 10_000_000;
