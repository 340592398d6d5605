//! One encode channel: its queue, its place in life, its coding state, its ring and its readers.
//!
//! ```text
//! Opening -> Serving -> Draining -> Drained        each of these -> Closing -> (gone)
//!             ^ '--> Failing -> Failed           on close, or when the owner leaves
//!             '--- where it keeps ----'
//! ```
//! Frames are encoded in the order of their acceptance, at most one of a channel at a time. A frame is in exactly one
//! place: the queue, the engine (`in_flight`), or the shell's hands (`delivering`).

use crate::codec::sei::UserData;
use crate::core::arbiter::Head;
use crate::core::coder::Coder;
use crate::core::cost::PictureCost;
use crate::core::decimation::Decimation;
use crate::core::delivery::{PacketPicture, Reservation, Ring, after};
use crate::core::event::{Peer, SessionKey};
use crate::core::format::Format;
use crate::core::keyframe::{KeyFrames, Standing};
use crate::core::liveness::Liveness;
use crate::core::overload::HeldSubmit;
use crate::core::parameters::Parameters;
use crate::core::phase::Phase;
use crate::core::pool::Lease;
use crate::core::reader::Reader;
use crate::core::rebuild::Rebuilding;
use crate::core::reconfigure::Retuning;
use crate::core::sources::Holder;
use crate::core::stats::ChannelStats;
use crate::core::story::StoryNumber;
use crate::core::stream_data::UserDataDue;
use crate::core::ticket::Contract;
use crate::core::time::Micros;
use crate::job::{ChannelKey, JobId};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::PictureKind;
use avpu_proto::limits::{NAL_UNITS_MAX, QUEUE_MAX};
use avpu_proto::reply::IdrPromised;
use avpu_proto::types::{ChannelId, ChannelState, FrameNumber, Join, NalUnit, Sequence};
use std::collections::VecDeque;

/// An encode channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) key: ChannelKey,
    pub(super) id: ChannelId,
    pub(super) name: String,
    /// `None` once its owner is gone.
    pub(super) owner: Option<SessionKey>,
    /// Who opened it, also once it is gone.
    pub(super) opener: Peer,
    pub(super) parameters: Parameters,
    pub(super) memory: Lease,
    pub(super) life: Life,
    /// The state that clients were last told.
    pub(super) announced: Option<ChannelState>,
    pub(super) queue: VecDeque<Frame>,
    /// Submits that wait for room in the queue.
    pub(super) held: VecDeque<HeldSubmit>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) delivering: VecDeque<Delivering>,
    pub(super) frame_next: FrameNumber,
    pub(super) coder: Coder,
    /// What it becomes once the shell has made room.
    pub(super) rebuilding: Option<Box<Rebuilding>>,
    /// What was changed and the coder has not taken over yet.
    pub(super) retuning: Option<Retuning>,
    pub(super) user_data: UserDataDue,
    /// Which of the submitted frames are encoded.
    pub(super) decimation: Decimation,
    /// Largest slice data that a stream buffer takes.
    pub(super) picture_max: ByteLen,
    pub(super) cost: PictureCost,
    /// Pictures of this kind are counted with another time than before, and nobody was told.
    pub(super) recounted: Option<PictureKind>,
    /// Its ticket might be broken, for pictures take longer than stated; its client knows.
    pub(super) is_doubtful: bool,
    pub(super) contract: Contract,
    /// Longest wait that is promised; 0: none.
    pub(super) ticket_us: u32,
    pub(super) ring: Ring,
    pub(super) readers: Vec<Reader>,
    pub(super) stats: ChannelStats,
    /// When its periodic IDRs come; `None` before the first one, and after a change.
    pub(super) phase: Option<Phase>,
    /// Who asked for an IDR.
    pub(super) key_frames: KeyFrames,
    /// The next picture begins a stream that knows nothing of the one before.
    pub(super) restarts: bool,
    pub(super) liveness: Liveness,
    /// A picture was lost and no IDR was delivered since.
    pub(super) recovering: bool,
    /// Pictures lost since the last packet.
    pub(super) lost_before: u32,
    /// Pictures lost in a row.
    pub(super) failures: u32,
    /// Why it failed, once it has.
    pub(super) failed_because: &'static str,
}

/// Where a channel is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// The shell prepares it; `request` is answered then.
    Opening { request: u16 },
    /// Accepts frames.
    Serving,
    /// Finishes what it accepted; with `keep` it may go on afterwards.
    Draining { keep: bool },
    /// Has finished; its packets stay readable.
    Drained { keep: bool },
    /// Cannot go on; something of it is under way.
    Failing,
    /// Cannot go on, and its readers were told.
    Failed,
    /// Goes as soon as nothing of it is in flight; `request` is answered then.
    Closing { request: Option<u16> },
}

/// An accepted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) number: FrameNumber,
    pub(super) source: PhysRange,
    pub(super) holder: Holder,
    pub(super) timestamp: u64,
    pub(super) cookie: u64,
    pub(super) force_idr: bool,
    pub(super) user_data: Option<UserData>,
    pub(super) accepted: Micros,
    /// It came no sooner than the channel's rate allows.
    pub(super) in_rate: bool,
    /// So did every frame of the channel that was still before it.
    pub(super) kept: bool,
    pub(super) story: StoryNumber,
    /// It was encoded once, and was too large.
    pub(super) is_retried: bool,
}

/// The frame in the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) job: JobId,
    pub(super) frame: Frame,
    pub(super) kind: PictureKind,
    pub(super) qp: u8,
    pub(super) header_len: ByteLen,
    /// Where the NAL units begin; the header has all start codes.
    pub(super) nal_units: [NalUnit; NAL_UNITS_MAX],
    /// The channel's when it was started.
    pub(super) format: Format,
    /// What it refers to was not delivered.
    pub(super) reference_lost: bool,
}

/// A picture that the shell puts into the ring.
#[derive(Debug)]
pub(super) struct Delivering {
    pub(super) job: JobId,
    pub(super) frame: Frame,
    pub(super) room: Reservation,
    /// Filler data behind it.
    pub(super) filler: ByteLen,
    pub(super) picture: PacketPicture,
    /// Pictures lost between the packet before it and this one; one that was started after it may fail before this
    /// one is delivered, and is missing behind it.
    pub(super) lost_before: u32,
}

/// What a new channel is made of.
pub(super) struct Foundation {
    pub(super) key: ChannelKey,
    pub(super) id: ChannelId,
    pub(super) name: String,
    pub(super) owner: SessionKey,
    pub(super) opener: Peer,
    pub(super) parameters: Parameters,
    pub(super) memory: Lease,
    pub(super) coder: Coder,
    pub(super) picture_max: ByteLen,
    pub(super) cost: PictureCost,
    pub(super) contract: Contract,
    pub(super) ticket_us: u32,
    pub(super) ring: Ring,
    pub(super) idr_period_us: u64,
    pub(super) request: u16,
}

impl Channel {
    pub(super) fn new(of: Foundation) -> Self {
        Self {
            key: of.key,
            id: of.id,
            name: of.name,
            owner: Some(of.owner),
            opener: of.opener,
            rebuilding: None,
            retuning: None,
            user_data: UserDataDue::default(),
            decimation: Decimation::new(of.parameters.fps, of.parameters.fps_out),
            picture_max: of.picture_max,
            parameters: of.parameters,
            memory: of.memory,
            life: Life::Opening {
                request: of.request,
            },
            announced: None,
            // One more: a frame is put in before another is dropped for it.
            queue: VecDeque::with_capacity(usize::from(QUEUE_MAX) + 2),
            held: VecDeque::new(),
            in_flight: None,
            delivering: VecDeque::with_capacity(DELIVERING_MAX),
            frame_next: FrameNumber::new(0),
            coder: of.coder,
            cost: of.cost,
            recounted: None,
            is_doubtful: false,
            contract: of.contract,
            ticket_us: of.ticket_us,
            ring: of.ring,
            readers: Vec::new(),
            stats: ChannelStats::new(),
            phase: None,
            key_frames: KeyFrames::new(of.idr_period_us),
            restarts: false,
            liveness: Liveness::default(),
            recovering: false,
            lost_before: 0,
            failures: 0,
            failed_because: "",
        }
    }

    /// Its state as clients see it; `None` while it is not open yet.
    pub(super) fn state(&self) -> Option<ChannelState> {
        match self.life {
            Life::Opening { .. } => None,
            Life::Serving if self.stats.frames_in == 0 => Some(ChannelState::Configured),
            Life::Serving => Some(self.liveness_state()),
            Life::Draining { .. } => Some(ChannelState::Draining),
            Life::Drained { .. } => Some(ChannelState::Drained),
            Life::Failing | Life::Failed => Some(ChannelState::Failed),
            // Told as closed once it is gone; until then clients keep what they were told last.
            Life::Closing { .. } => self.announced.or(Some(ChannelState::Closed)),
        }
    }

    /// Whether clients can name it: open, and not on its way out.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.life, Life::Opening { .. } | Life::Closing { .. })
    }

    /// Whether a frame waits and may go to the engine.
    pub(super) fn is_ready(&self) -> bool {
        self.in_flight.is_none() && !self.queue.is_empty() && self.encodes()
    }

    /// Whether frames that it accepted are encoded.
    pub(super) const fn encodes(&self) -> bool {
        matches!(self.life, Life::Serving | Life::Draining { .. })
    }

    /// The frame to encode next, if one may be.
    pub(super) fn head(&self) -> Option<Head> {
        let frame = self.queue.front().filter(|_| self.is_ready())?;
        Some(Head {
            accepted: frame.accepted,
            in_rate: frame.in_rate,
        })
    }

    /// Whether every frame that waits or is encoded came no sooner than the rate allows.
    pub(super) fn keeps_rate(&self) -> bool {
        let last = self
            .queue
            .back()
            .or(self.in_flight.as_ref().map(|f| &f.frame));
        last.is_none_or(|frame| frame.kept)
    }

    /// Whether the engine or the shell has something of it.
    pub(super) fn is_under_way(&self) -> bool {
        self.in_flight.is_some() || !self.delivering.is_empty()
    }

    /// Whether no packet will ever follow those in the ring.
    pub(super) fn has_ended(&self) -> bool {
        let ends = matches!(
            self.life,
            Life::Drained { keep: false } | Life::Failed | Life::Closing { .. }
        );
        ends && !self.is_under_way()
    }

    /// Takes in that a session asked for an IDR; answers which packet will carry it.
    pub(super) fn ask_for_idr(&mut self, session: SessionKey, now: Micros) -> IdrPromised {
        let first = self.ring.next_sequence();
        let mut under_way = 0;
        let delivering = self.delivering.iter().map(|d| d.picture.kind);
        let in_flight = self
            .in_flight
            .iter()
            .filter(|flight| !flight.reference_lost);
        let mut kinds = delivering.chain(in_flight.map(|flight| flight.kind));
        let comes = kinds.any(|kind| {
            under_way += u32::from(kind == PictureKind::P);
            kind == PictureKind::Idr
        });
        let sequence = after(first, under_way);
        let wait_us = self.demand_idr(session, sequence, now);
        IdrPromised {
            sequence,
            wait_us: match comes {
                true => 0,
                false => u32::try_from(wait_us).unwrap_or(u32::MAX),
            },
        }
    }

    /// Takes in that a session wants an IDR, be it the packet `first` or a later one; answers how long it waits.
    pub(super) fn demand_idr(&mut self, session: SessionKey, first: Sequence, now: Micros) -> u64 {
        let owns = self.owner == Some(session);
        self.key_frames.ask(session, owns, first, now)
    }

    /// Whether the next picture must be an IDR on somebody's demand. One that is being delivered answers it.
    pub(super) fn wants_idr(&self, now: Micros) -> bool {
        let first = self.ring.next_sequence();
        let (mut packet, mut idr_before) = (first, None);
        for delivering in &self.delivering {
            if delivering.picture.kind == PictureKind::Idr {
                idr_before = Some(packet);
            }
            packet = after(packet, 1);
        }
        self.key_frames.is_due(&Standing {
            now,
            packet,
            idr_before,
        })
    }

    /// The packet that a reader which joins now starts with; `None`: the next IDR.
    ///
    /// Who demands an IDR shares the last one that somebody had demanded, as long as the group of pictures lasts that
    /// it began: so any number of readers that join in one group cost one IDR.
    pub(super) fn start_of(&self, join: Join) -> Option<Sequence> {
        let idr = self.ring.last_idr_within(self.preroll_bytes())?;
        match join {
            Join::LastIdr => Some(idr.sequence),
            Join::DemandIdr if idr.picture.asked_for => Some(idr.sequence),
            Join::DemandIdr | Join::NextIdr => None,
        }
    }

    /// Most bytes of the past that a joining reader is sent.
    pub(super) fn preroll_bytes(&self) -> u32 {
        match self.parameters.preroll_bytes {
            0 => self.ring.data_bytes() / 2,
            wish => wish.min(self.ring.data_bytes()),
        }
    }

    /// A picture was not delivered: nothing may refer to it.
    pub(super) fn lose_reference(&mut self) {
        self.coder.invalidate_reference();
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.reference_lost = in_flight.kind == PictureKind::P;
        }
        self.recovering = true;
        self.lost_before = self.lost_before.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
    }
}

/// Pictures of one channel in the shell's hands: the shell answers at once, so one and one to spare.
const DELIVERING_MAX: usize = 2;
/// Pictures lost in a row after which a channel cannot go on.
pub(super) const FAILURES_MAX: u32 = 32;
