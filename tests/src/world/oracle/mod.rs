//! What must hold whatever clients and engine do, judged from the core's inputs and outputs alone.
//!
//! Each file beside this one has one subject and looks at the same [`Oracle`]; here is what tells them what happens.

mod frames;
mod keyframes;
mod liveness;
mod memory;
mod pictures;
mod promises;
mod readers;
mod view;

use crate::world::kinds;
use crate::world::oracle::view::{ChannelView, Frame, ReaderView};
use crate::world::seen::{Seen, Subject};
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{Request, Reset, Resume, Subscribe};
use avpu_proto::types::{ChannelId, ChannelState, FrameNumber, LeaseId, SubscriptionId};
use avpud::core::event::{Attach, ImportKey, LeaseKey, Output, SessionKey};
use avpud::core::note::Note;
use avpud::core::time::Micros;
use avpud::job::{ChannelKey, CostTable, EncodeJob};
use avpud::mem::addr::PhysRange;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Oracle {
    arena: Option<PhysRange>,
    sessions: BTreeSet<SessionKey>,
    /// Requests without a reply; `None`: of a later version.
    asked: BTreeMap<(SessionKey, u16), Option<Request>>,
    /// Frames that were accepted and have not ended.
    frames: BTreeMap<(SessionKey, ChannelId, FrameNumber), Frame>,
    now: Micros,
    channels: BTreeMap<ChannelKey, ChannelView>,
    leases: BTreeMap<LeaseKey, PhysRange>,
    readers: BTreeMap<SubscriptionId, ReaderView>,
    /// Leases of which it was said that they will be taken back.
    revoking: BTreeSet<(SessionKey, LeaseId)>,
    /// Imported buffers that nobody was told to let go.
    imports: BTreeSet<ImportKey>,
    /// Where memory lies that was taken back lately.
    pub(super) taken_back: Vec<u32>,
    /// What the hardware works on; also while it is being reset.
    pub(super) in_flight: Option<EncodeJob>,
    /// When it was begun.
    begun: Micros,
    cost: Option<CostTable>,
    /// A picture took longer than it should, and something waits ever since: no promise about time can be kept.
    disturbed: bool,
    /// Connections that are told the states of all channels.
    watching: BTreeSet<SessionKey>,
    /// What owners and those who watch were told last.
    heard: BTreeMap<(SessionKey, ChannelId), ChannelState>,
    /// The encoder was given up: nothing is safe and nothing matters.
    pub(super) offline: bool,
    pub(super) seen: Seen,
}

impl Oracle {
    pub(super) fn new(arena: PhysRange, cost: CostTable) -> Self {
        Self {
            arena: Some(arena),
            cost: Some(cost),
            ..Self::default()
        }
    }

    pub(super) fn opened(&mut self, session: SessionKey) {
        self.sessions.insert(session);
    }

    pub(super) fn closed(&mut self, session: SessionKey) {
        self.sessions.remove(&session);
        self.asked.retain(|(asker, _), _| *asker != session);
        self.frames.retain(|(owner, _, _), _| *owner != session);
        self.readers.retain(|_, reader| reader.session != session);
        self.revoking.retain(|(holder, _)| *holder != session);
        self.watching.remove(&session);
        self.heard.retain(|(by, _), _| *by != session);
        for view in self.channels.values_mut() {
            view.key_frames.forget(session);
            if view.owner.take_if(|owner| *owner == session).is_some() {
                view.vitals.is_leaving = true;
            }
        }
        self.calm_down();
    }

    /// The daemon heard a request; `None`: one of a later version.
    pub(super) fn asked(&mut self, session: SessionKey, id: u16, request: Option<&Request>) {
        let before = self.asked.insert((session, id), request.cloned());
        assert_eq!(before, None, "the script reuses an id");
        match request {
            Some(Request::ReleasePackets(release)) => self.released(session, release),
            Some(Request::CloseChannel(which)) => {
                let mut views = self.channels.values_mut();
                let view = views.find(|view| view.id == which.channel);
                if let Some(view) = view.filter(|view| view.owner == Some(session)) {
                    view.vitals.is_leaving = true;
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

    /// The daemon has ended, and with it everybody's session.
    pub(super) fn finished(&mut self) {
        self.sessions.clear();
        self.asked.clear();
        self.readers.clear();
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
                setup,
            } => {
                let macroblocks = setup.geometry.coded().macroblocks();
                self.check_create(*channel, *id, *memory, *ring_bytes, macroblocks);
            }
            Output::RebuildChannel {
                channel,
                memory,
                old,
                setup,
            } => {
                let macroblocks = setup.geometry.coded().macroblocks();
                self.check_rebuild(*channel, *memory, *old, macroblocks);
            }
            Output::TuneChannel { channel, .. } => self.check_tune(*channel),
            Output::DestroyChannel { channel, memory } => self.check_destroy(*channel, *memory),
            Output::GrantLease { lease, memory } => {
                self.check_free(*memory);
                assert!(self.leases.insert(*lease, *memory).is_none());
            }
            Output::RevokeLease { lease, memory } => self.check_take_back(*lease, *memory),
            Output::Note(note) => self.check_note(note),
            Output::Submit(job) => self.check_submit(job),
            Output::Deliver { job, channel, room } => self.check_deliver(*job, *channel, room),
            Output::Close { session, .. } => {
                assert!(self.sessions.contains(session) || !self.sessions.is_empty());
            }
            Output::Prepare(_) => self.seen.count(Subject::Happened, "picture made ready"),
            Output::Import { .. }
            | Output::ReleaseImport { .. }
            | Output::Discard { .. }
            | Output::Finished { .. } => {}
            Output::Reset { .. } => self.disturbed = true,
        }
    }

    fn check_note(&mut self, note: &Note) {
        match note {
            Note::EngineOffline { .. } => {
                self.offline = true;
                self.seen.count(Subject::Happened, "encoder given up");
            }
            Note::PictureTooLarge { channel, job, .. } => {
                let view = self.channels.get_mut(channel).expect("a live channel");
                assert_eq!(view.again.replace(*job), None, "one attempt at a time");
                view.vitals.retry(*job);
                view.promise.suspend();
                self.seen.count(Subject::Happened, "picture too large");
            }
            _ => {}
        }
    }

    /// After the last client has left and the engine is idle.
    pub(super) fn check_empty(&self) {
        assert!(
            self.frames.is_empty(),
            "frames never ended: {:?}",
            self.frames
        );
        assert!(self.asked.is_empty(), "no reply to {:?}", self.asked);
        assert!(self.imports.is_empty(), "imports left: {:?}", self.imports);
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

    fn check_reply(&mut self, session: SessionKey, id: u16, body: &Reply, attach: Attach) {
        let request = self.asked.remove(&(session, id));
        let request = request.unwrap_or_else(|| {
            panic!("a reply to nobody or a second one: {session:?} {id} {body:?}")
        });
        let request = match (body, request) {
            (Reply::Refused(refusal), _) => {
                self.seen.count(Subject::Refused, refusal.code.word());
                return;
            }
            (_, Some(request)) => request,
            (_, None) => panic!("a request of a later version is granted: {body:?}"),
        };
        self.seen.count(Subject::Granted, kinds::request(&request));
        match body {
            Reply::Submitted(accepted) => {
                let Request::Submit(submit) = request else {
                    panic!("expected the reply to a submit, found that to {request:?}");
                };
                self.accepted(session, &submit, accepted.frame);
            }
            Reply::ChannelOpened(opened) => {
                let view = self.channel_of(opened.channel);
                view.owner = Some(session);
                view.name.clone_from(&opened.name);
                self.agree(opened.channel, opened);
            }
            Reply::Reconfigured(changed) => self.agree(changed.channel, &changed.effective),
            Reply::Subscribed(subscribed) => {
                assert!(matches!(attach, Attach::Ring(_)));
                let Request::Subscribe(Subscribe { join, .. }) = request else {
                    panic!("expected the reply to a subscribe, found that to {request:?}");
                };
                self.subscribed(session, subscribed, join);
            }
            Reply::IdrPromised(promised) => {
                let Request::RequestIdr(which) = request else {
                    panic!("expected the reply to a request for an IDR, found that to {request:?}");
                };
                self.promised(session, &which, promised);
            }
            Reply::Done => self.check_done(session, &request),
            _ => {}
        }
    }

    /// What was asked is done, or will be.
    fn check_done(&mut self, session: SessionKey, request: &Request) {
        let now = self.now;
        match request {
            Request::Watch(watch) => self.watch(session, watch.on),
            Request::Drain(which) => self.channel_of(which.channel).vitals.drain(which.keep),
            Request::Resume(Resume { channel }) | Request::Reset(Reset { channel }) => {
                let view = self.channel_of(*channel);
                view.vitals.resume(now);
                view.key_frames.expect_anyhow();
            }
            _ => {}
        }
    }

    /// The live channel with this number.
    fn channel_of(&mut self, id: ChannelId) -> &mut ChannelView {
        let mut views = self.channels.values_mut();
        views.find(|view| view.id == id).expect("a live channel")
    }

    fn check_event(&mut self, session: SessionKey, body: &Event) {
        assert!(self.sessions.contains(&session), "an event to nobody");
        self.seen.count(Subject::Told, kinds::event(body));
        match body {
            Event::SourceReleased(released) => self.ended(session, released),
            Event::Packet(packet) => self.check_packet(session, packet),
            Event::Gap(gap) => self.check_gap(gap),
            Event::EndOfStream(end) => {
                if let Some(subscription) = end.subscription {
                    self.check_end(session, subscription, end.packets);
                }
            }
            Event::ChannelChanged(changed) => self.check_state(session, changed),
            Event::TicketBreached(breach) => {
                assert!(self.disturbed, "a promise is broken: {breach:?}");
            }
            Event::LeaseRevoking(notice) => {
                self.revoking.insert((session, notice.lease));
            }
            Event::LeaseRevoked(notice) => assert!(
                self.revoking.remove(&(session, notice.lease)),
                "a lease is gone of which nobody was told"
            ),
            // What is only said and has no consequences here.
            _ => {}
        }
    }
}
