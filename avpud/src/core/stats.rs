//! Counters of one channel.

use crate::core::histogram::Histogram;
use avpu_proto::types::DropReason;

/// What a channel did so far. Counters wrap with their report's width; nothing is decided by them.
#[derive(Clone, Debug)]
pub(super) struct ChannelStats {
    pub(super) frames_in: u32,
    /// Pictures started.
    pub(super) started: u32,
    pub(super) packets_out: u32,
    pub(super) bytes_out: u64,
    pub(super) idr_out: u32,
    /// Those that somebody had asked for.
    pub(super) idr_demanded: u32,
    pub(super) frames_dropped: u32,
    pub(super) drops: Drops,
    pub(super) frames_failed: u32,
    pub(super) submits_refused: u32,
    pub(super) packets_missed: u32,
    /// Pictures that waited longer than the ticket says.
    pub(super) tickets_breached: u32,
    /// Times that its pictures were found to take persistently longer than counted until then.
    pub(super) overruns: u32,
    pub(super) qp: u8,
    pub(super) sse_luma: u64,
    /// Accepted until started.
    pub(super) wait: Histogram,
    /// Started until done.
    pub(super) hardware: Histogram,
    /// Done until put into the ring.
    pub(super) delivery: Histogram,
}

/// Frames dropped, by reason, where the channel went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drops {
    pub(super) deadline: u32,
    pub(super) queue_full: u32,
    pub(super) superseded: u32,
    pub(super) flushed: u32,
    pub(super) decimated: u32,
    pub(super) revoked: u32,
}

impl Drops {
    const NONE: Self = Self {
        deadline: 0,
        queue_full: 0,
        superseded: 0,
        flushed: 0,
        decimated: 0,
        revoked: 0,
    };
}

impl ChannelStats {
    /// A frame was dropped.
    pub(super) fn count_drop(&mut self, reason: DropReason) {
        self.frames_dropped = self.frames_dropped.wrapping_add(1);
        let counter = match reason {
            DropReason::Deadline => &mut self.drops.deadline,
            DropReason::QueueFull => &mut self.drops.queue_full,
            DropReason::Superseded => &mut self.drops.superseded,
            DropReason::Flushed => &mut self.drops.flushed,
            DropReason::Decimated => &mut self.drops.decimated,
            DropReason::Revoked => &mut self.drops.revoked,
            DropReason::ChannelClosed | DropReason::Shutdown | DropReason::EngineOffline => return,
        };
        *counter = counter.wrapping_add(1);
    }

    pub(super) const fn new() -> Self {
        Self {
            frames_in: 0,
            started: 0,
            packets_out: 0,
            bytes_out: 0,
            idr_out: 0,
            idr_demanded: 0,
            frames_dropped: 0,
            drops: Drops::NONE,
            frames_failed: 0,
            submits_refused: 0,
            packets_missed: 0,
            tickets_breached: 0,
            overruns: 0,
            qp: 0,
            sse_luma: 0,
            wait: Histogram::new(),
            hardware: Histogram::new(),
            delivery: Histogram::new(),
        }
    }
}
