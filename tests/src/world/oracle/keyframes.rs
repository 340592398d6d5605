//! Requests for IDRs: any number of them that wait costs one, nobody gets more than the limits say, the number that was
//! promised is the one that carries it, and a request is kept until an IDR was delivered.

use crate::world::oracle::Oracle;
use crate::world::oracle::view::ChannelView;
use crate::world::seen::Subject;
use avpu_proto::reply::{IdrPromised, Subscribed};
use avpu_proto::request::RequestIdr;
use avpu_proto::types::ChannelId;
use avpud::core::event::SessionKey;
use avpud::core::time::Micros;
use avpud::job::EncodeJob;
use avpud::picture::PictureKind;

/// The IDRs of a channel.
#[derive(Default)]
pub(super) struct KeyFrames {
    /// Pictures of a whole group.
    pub(super) group: u32,
    /// Index of the picture that was begun last; `None`: the next one is an IDR anyhow.
    last: Option<u32>,
    requesters: Vec<Requester>,
    /// When readers other than the owner last had one.
    shared_met: Option<Micros>,
    /// An IDR was begun within a group that nobody had asked for.
    pub(super) for_nobody: bool,
    /// Packets that were to be an IDR.
    promised: Vec<u32>,
}

/// Somebody who asks.
#[derive(Debug)]
struct Requester {
    /// `None`: it is gone, and what it asked for still comes.
    session: Option<SessionKey>,
    owns: bool,
    /// While it waits: the first packet that may be its IDR.
    waits_for: Option<u32>,
    met: Option<Micros>,
}

impl KeyFrames {
    /// Whether somebody waits whom the limits allow one, be it this packet.
    fn is_due(&self, packet: u32, now: Micros) -> bool {
        let is_over =
            |met: Option<Micros>, period_us| met.is_none_or(|met| now.since_us(met) >= period_us);
        let shared = is_over(self.shared_met, PERIOD_US / READERS_TOGETHER);
        let waits =
            |requester: &&Requester| requester.waits_for.is_some_and(|first| first <= packet);
        let mut waiting = self.requesters.iter().filter(waits);
        waiting.any(|requester| is_over(requester.met, PERIOD_US) && (requester.owns || shared))
    }

    fn ask(&mut self, session: SessionKey, owns: bool, first: u32) {
        let mut known = self.requesters.iter_mut();
        if let Some(known) = known.find(|requester| requester.session == Some(session)) {
            // What was promised before stays true.
            known.waits_for = known.waits_for.max(Some(first));
            known.owns = owns;
        } else {
            self.requesters.push(Requester {
                session: Some(session),
                owns,
                waits_for: Some(first),
                met: None,
            });
        }
    }

    /// The next picture is an IDR whoever asks.
    pub(super) fn expect_anyhow(&mut self) {
        self.last = None;
    }

    pub(super) fn forget(&mut self, session: SessionKey) {
        let of = |requester: &&mut Requester| requester.session == Some(session);
        for requester in self.requesters.iter_mut().filter(of) {
            requester.session = None;
            requester.owns = false;
            requester.met = None;
            // Nobody is left to whom another packet was promised.
            requester.waits_for = requester.waits_for.map(|_| 0);
        }
        self.requesters
            .retain(|requester| requester.session.is_some() || requester.waits_for.is_some());
    }

    /// An IDR was delivered as this packet: everybody who waits for it or one before it has it.
    fn answer(&mut self, packet: u32, now: Micros) {
        for requester in &mut self.requesters {
            let is_its = |first: &mut u32| *first <= packet;
            if requester.waits_for.take_if(is_its).is_some() {
                requester.met = Some(now);
                if !requester.owns {
                    self.shared_met = Some(now);
                }
            }
        }
        self.requesters
            .retain(|requester| requester.session.is_some() || requester.waits_for.is_some());
    }

    /// A picture was lost: the next packet is an IDR, but perhaps not the one that was meant.
    pub(super) fn lose(&mut self) {
        self.promised.clear();
        self.last = None;
        // The loss is told after what follows from it.
        self.for_nobody = false;
    }
}

impl Oracle {
    pub(super) fn promised(
        &mut self,
        session: SessionKey,
        which: &RequestIdr,
        promised: &IdrPromised,
    ) {
        let mut views = self.channels.values_mut();
        let view = views.find(|view| match which.name.is_empty() {
            true => view.id == which.channel,
            false => view.name == which.name,
        });
        let view = view.expect("a live channel");
        let owns = view.owner == Some(session);
        view.key_frames
            .ask(session, owns, promised.sequence.value());
        if promised.wait_us == 0 {
            view.key_frames.promised.push(promised.sequence.value());
        }
    }

    /// A reader came that demands an IDR: it is shown one that somebody had demanded, or asks for one.
    pub(super) fn demanded(&mut self, session: SessionKey, subscribed: &Subscribed) {
        let view = self.channel_of(subscribed.channel);
        let first = Some(subscribed.first.value());
        if view.packets.iter().all(|packet| packet.sequence != first) {
            let owns = view.owner == Some(session);
            view.key_frames.ask(session, owns, subscribed.first.value());
        }
    }

    /// A picture is begun: an IDR within a group has a reason, and a P picture is not begun where one is owed.
    pub(super) fn check_kind(&mut self, job: &EncodeJob, is_forced: bool) {
        let now = self.now;
        let view = self.channels.get_mut(&job.channel).expect("a live channel");
        let next = view.packets.last().and_then(|packet| packet.sequence);
        let is_owed = view.key_frames.is_due(next.map_or(0, |last| last + 1), now);
        let last = view.key_frames.last.replace(job.gop_index);
        if job.kind == PictureKind::P {
            assert!(
                !is_owed || has_idr_under_way(view),
                "an IDR is owed to {:?}",
                view.key_frames.requesters
            );
            return;
        }
        // A group may be shortened by half to keep periodic IDRs of channels apart.
        let early = last.is_some_and(|last| 2 * (last + 1) < view.key_frames.group);
        if early && !is_forced {
            self.seen.count(Subject::Happened, "IDR on demand");
            let is_due = view.key_frames.is_due(u32::MAX, now);
            view.key_frames.for_nobody = !is_due;
        }
    }

    /// A packet got its number.
    pub(super) fn check_promised(&mut self, id: ChannelId, sequence: u32, is_idr: bool) {
        let now = self.now;
        let key_frames = &mut self.channel_of(id).key_frames;
        if is_idr {
            key_frames.answer(sequence, now);
        }
        let promised = &mut key_frames.promised;
        let kept = promised.iter().filter(|number| **number <= sequence);
        assert!(
            is_idr || kept.count() == 0,
            "packet {sequence} is no IDR, which {promised:?} were to be"
        );
        promised.retain(|number| *number > sequence);
    }
}

fn has_idr_under_way(view: &ChannelView) -> bool {
    let mut started = view.started.iter();
    // One that was delivered, or lost on its way, is told of behind what follows from it.
    let newest = view.packets.last();
    let is_untold = newest.is_some_and(|packet| packet.is_idr && packet.sequence.is_none());
    let is_known = is_untold || view.vitals.recovering;
    is_known || started.any(|started| started.kind == PictureKind::Idr && !started.is_lost)
}

/// Time from one IDR on demand of a requester to its next.
const PERIOD_US: u64 = 1_000_000;
/// IDRs in that time for all readers other than the owner.
const READERS_TOGETHER: u64 = 4;
