//! What the oracle remembers of channels, frames and readers.

use crate::world::oracle::keyframes::KeyFrames;
use crate::world::oracle::liveness::Vitals;
use crate::world::oracle::promises::Promise;
use avpu_proto::types::ChannelId;
use avpud::core::event::SessionKey;
use avpud::core::time::Micros;
use avpud::job::JobId;
use avpud::mem::addr::PhysRange;
use avpud::picture::PictureKind;
use std::collections::{BTreeMap, VecDeque};

pub(super) struct ChannelView {
    pub(super) id: ChannelId,
    /// `None`: not known yet.
    pub(super) owner: Option<SessionKey>,
    pub(super) name: String,
    /// Macroblocks of a picture.
    pub(super) macroblocks: u32,
    /// Most bytes that a reader is sent of the past.
    pub(super) preroll_bytes: u32,
    pub(super) promise: Promise,
    pub(super) vitals: Vitals,
    pub(super) key_frames: KeyFrames,
    /// A frame that had to be an IDR was dropped, and none was delivered since.
    pub(super) forced: bool,
    pub(super) memory: PhysRange,
    pub(super) ring_bytes: u32,
    pub(super) tail: u32,
    /// A frame that waited longer is not encoded; 0: none waits too long.
    pub(super) deadline_us: u64,
    /// Index in its group of the picture that the next P refers to.
    pub(super) reference: Option<u32>,
    pub(super) delivering: Option<(JobId, u32)>,
    /// What did not fit and is encoded once more, next of all.
    pub(super) again: Option<JobId>,
    /// Jobs that were started and not delivered, in order.
    pub(super) started: VecDeque<Started>,
    /// Every packet of a picture, in order.
    pub(super) packets: Vec<InRing>,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) address: u32,
    pub(super) accepted: Micros,
    /// It must be an IDR.
    pub(super) force_idr: bool,
    /// The encoder has begun with it.
    pub(super) is_started: bool,
    /// The job that it was begun with.
    pub(super) job: Option<JobId>,
}

pub(super) struct InRing {
    pub(super) position: u32,
    pub(super) len_bytes: u32,
    pub(super) is_idr: bool,
    /// Its number, once it was told.
    pub(super) sequence: Option<u32>,
}

pub(super) struct Started {
    pub(super) job: JobId,
    pub(super) kind: PictureKind,
    pub(super) gop_index: u32,
    pub(super) is_lost: bool,
}

impl ChannelView {
    pub(super) fn new(id: ChannelId, memory: PhysRange, ring_bytes: u32, macroblocks: u32) -> Self {
        Self {
            id,
            owner: None,
            name: String::new(),
            macroblocks,
            preroll_bytes: 0,
            promise: Promise::NONE,
            vitals: Vitals::default(),
            key_frames: KeyFrames::default(),
            forced: false,
            memory,
            ring_bytes,
            tail: 0,
            deadline_us: 0,
            reference: None,
            delivering: None,
            again: None,
            started: VecDeque::new(),
            packets: Vec::new(),
        }
    }

    /// Nothing may refer to what came before a lost picture.
    pub(super) fn forget_lost(&mut self) {
        while self.started.pop_front_if(|first| first.is_lost).is_some() {
            self.reference = None;
        }
    }
}

pub(super) struct ReaderView {
    pub(super) session: SessionKey,
    pub(super) channel: ChannelId,
    pub(super) credits: u16,
    /// Packets that it has: their positions and lengths, by number.
    pub(super) outstanding: BTreeMap<u32, (u32, u32)>,
    /// The packet that must come next; `None`: any IDR.
    pub(super) next: Option<u32>,
    /// The first packet that it was neither sent nor told to have missed, once it has begun.
    pub(super) place: Option<u32>,
    /// It is sent every packet, and does not wait for an IDR after it missed some.
    pub(super) follows: bool,
    /// It cannot use a picture that refers to another.
    pub(super) needs_idr: bool,
    /// The first packet that was overwritten before it gave it back, since the last gap.
    pub(super) overwritten: Option<u32>,
    /// It was told of a gap up to this packet, which must come next.
    pub(super) gap_end: Option<u32>,
}
