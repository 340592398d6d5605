//! Counters of one channel.

use crate::core::histogram::Histogram;

/// What a channel did so far. Counters wrap with their report's width; nothing is decided by them.
#[derive(Clone, Debug)]
pub(super) struct ChannelStats {
    pub(super) frames_in: u32,
    pub(super) packets_out: u32,
    pub(super) bytes_out: u64,
    pub(super) idr_out: u32,
    pub(super) frames_dropped: u32,
    pub(super) frames_failed: u32,
    pub(super) submits_refused: u32,
    pub(super) packets_missed: u32,
    /// Pictures that waited longer than the ticket says.
    pub(super) tickets_breached: u32,
    pub(super) qp: u8,
    pub(super) sse_luma: u64,
    /// Accepted until started.
    pub(super) wait: Histogram,
    /// Started until done.
    pub(super) hardware: Histogram,
    /// Done until put into the ring.
    pub(super) delivery: Histogram,
}

impl ChannelStats {
    pub(super) const fn new() -> Self {
        Self {
            frames_in: 0,
            packets_out: 0,
            bytes_out: 0,
            idr_out: 0,
            frames_dropped: 0,
            frames_failed: 0,
            submits_refused: 0,
            packets_missed: 0,
            tickets_breached: 0,
            qp: 0,
            sse_luma: 0,
            wait: Histogram::new(),
            hardware: Histogram::new(),
            delivery: Histogram::new(),
        }
    }
}
