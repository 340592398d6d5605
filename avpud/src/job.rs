//! The contract between core and driver: core says what to encode, the driver says how.
//!
//! Core hands the driver a [`ChannelSetup`](crate::picture::ChannelSetup) with the physical memory leased for the
//! channel, then one [`EncodeJob`] a picture. For every job that was started exactly one [`JobOutcome`] comes back,
//! also through a reset. The driver knows nothing of clients, core nothing of registers.

use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::{PictureBudget, PictureKind, Qp, RateControl};

/// Names one encoder block. The T31 has one for video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineId(u8);

impl EngineId {
    /// The video encoder: core 0.
    pub const VIDEO: Self = Self(0);

    /// Position among the engines.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// Slot of a channel in the daemon's tables. Reused after the channel is destroyed; clients see `ChannelId` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelKey(u16);

impl ChannelKey {
    /// The slot with this index.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Index of the slot.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.0
    }
}

/// Expected encoder time of a picture of one kind, as the device states it: a fixed part and a part for each macroblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCost {
    /// Fixed part in nanoseconds.
    pub base_ns: u32,
    /// Part of one macroblock in nanoseconds.
    pub macroblock_ns: u32,
}

impl JobCost {
    /// Time of a picture of so many macroblocks, in nanoseconds.
    #[must_use]
    pub fn picture_ns(self, macroblocks: u32) -> u64 {
        u64::from(self.base_ns) + u64::from(self.macroblock_ns) * u64::from(macroblocks)
    }
}

/// What pictures of one codec cost, by their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecCost {
    /// One that starts a group.
    pub idr: JobCost,
    /// One that is predicted.
    pub p: JobCost,
}

impl CodecCost {
    /// What a picture of this kind costs.
    #[must_use]
    pub const fn of(self, kind: PictureKind) -> JobCost {
        match kind {
            PictureKind::Idr => self.idr,
            PictureKind::P => self.p,
        }
    }
}

/// What a device states of its costs: a row for every codec that it encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostTable {
    /// H.264.
    pub avc: CodecCost,
    /// Time from the end of a picture to the start of the next one that waits, in nanoseconds: the interrupt's way to
    /// the daemon, its choice, its way to the encoder.
    pub turnaround_ns: u32,
}

impl CostTable {
    /// Every picture costs the same, whatever its codec and kind, and none is waited for.
    #[must_use]
    pub const fn uniform(cost: JobCost) -> Self {
        Self {
            avc: CodecCost { idr: cost, p: cost },
            turnaround_ns: 0,
        }
    }
}

/// Names a job; counts up and wraps, one in flight per engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(u32);

impl JobId {
    /// The first job.
    pub const FIRST: Self = Self(0);

    /// The job after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The plain number, for logs.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// Bytes that one picture's header may take: SPS, PPS, SEI and slice header with start codes.
pub const HEADER_LEN_MAX: usize = 448;

/// The Annex B prefix of a picture, complete and with emulation prevention, built by `codec/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureHeader {
    bytes: [u8; HEADER_LEN_MAX],
    len: u16,
    slice_nal_len: u16,
    handover: CavlcHandover,
}

/// The last bits of a CAVLC slice header, which the hardware writes itself because slice data follows them without a
/// byte boundary. All zero for CABAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CavlcHandover {
    /// How many bits, in command-list word 0x1E.
    pub bit_count: u8,
    /// The bits, in word 0x1F.
    pub bits: u32,
}

impl PictureHeader {
    /// A header from its bytes. `slice_nal_len` counts the bytes of the slice NAL unit among them, start code
    /// included, emulation prevention not. `None` when it does not fit.
    #[must_use]
    pub fn new(bytes: &[u8], slice_nal_len: u16, handover: CavlcHandover) -> Option<Self> {
        let len = u16::try_from(bytes.len()).ok()?;
        let mut stored = [0; HEADER_LEN_MAX];
        stored.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: stored,
            len,
            slice_nal_len,
            handover,
        })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Its NAL units in order: `nal_unit_type` and the offset of the start code.
    pub fn nal_units(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        // Emulation prevention leaves this pattern to start codes.
        let starts = (0_u16..).zip(self.bytes().windows(5));
        starts.filter_map(|(offset, window)| match window {
            [0, 0, 0, 1, nal] => Some((nal & 0x1f, offset)),
            _ => None,
        })
    }

    /// Bytes of the slice NAL unit among them.
    #[must_use]
    pub const fn slice_nal_len(&self) -> u16 {
        self.slice_nal_len
    }

    /// Bits handed over to the hardware.
    #[must_use]
    pub const fn handover(&self) -> CavlcHandover {
        self.handover
    }
}

/// One picture to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeJob {
    /// Its name.
    pub id: JobId,
    /// Engine that runs it.
    pub engine: EngineId,
    /// Channel.
    pub channel: ChannelKey,
    /// IDR or P.
    pub kind: PictureKind,
    /// Index in the group of pictures, 0 for the IDR; the order count is twice it.
    pub gop_index: u32,
    /// Slice QP.
    pub qp: Qp,
    /// Slice QP of this group's IDR.
    pub gop_qp: Qp,
    /// Rate control as it stands for this picture: what the hardware's own rate control is told.
    pub rate_control: RateControl,
    /// What that aims at; the camera's formulas when absent.
    pub budget: Option<PictureBudget>,
    /// The source picture: a checked range of exactly the channel's source length.
    pub source: PhysRange,
    /// Header.
    pub header: PictureHeader,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// Slice data is in a stream buffer, which the driver keeps until it was copied out.
    Encoded(EncodedPicture),
    /// Nothing to deliver; the reconstruction must not be referred to.
    Failed(JobFailure),
}

/// A picture that the hardware finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPicture {
    /// Slice data as the hardware wrote it, before missing emulation prevention is added.
    pub payload_len: ByteLen,
    /// Statistics.
    pub stats: PictureStats,
}

/// What the hardware says of a picture. Only the size and the squared error are proven on silicon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureStats {
    /// Sum of squared luma errors.
    pub sse_luma: u64,
    /// Sum of the macroblocks' QP.
    pub qp_sum: u32,
    /// Lowest QP of a macroblock.
    pub qp_min: u8,
    /// Highest QP of a macroblock.
    pub qp_max: u8,
    /// Intra-coded 8x8 blocks.
    pub intra_8x8: u32,
    /// Skipped 8x8 blocks.
    pub skipped_8x8: u32,
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// The status words hold a recognised error pattern.
    ErrorFill {
        /// Word 0x41.
        status: u32,
    },
    /// More slice data than the stream buffer takes.
    Overflow {
        /// Bytes reported.
        bytes: u32,
        /// Bytes allowed.
        budget: u32,
    },
    /// The engine was reset while the job was in it.
    Reset,
    /// The driver refused it before the device was asked.
    Unfit,
    /// A register or memory access failed. The engine was stopped.
    Device,
    /// A register or memory access failed, and the engine could not be stopped: it may still read the source and write
    /// to the channel's memory, until a reset works.
    Unstopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_does_not_fit_is_none_and_not_a_shorter_one() {
        let longest = [7; HEADER_LEN_MAX];
        let header = PictureHeader::new(&longest, 9, CavlcHandover::default());
        assert_eq!(header.expect("it fits").bytes(), longest);
        let longer = [7; HEADER_LEN_MAX + 1];
        assert_eq!(
            PictureHeader::new(&longer, 9, CavlcHandover::default()),
            None
        );
    }
}
