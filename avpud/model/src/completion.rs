//! What a picture leaves in memory when it completes.
//!
//! Slice data goes to the stream buffer, 0x220 bytes in, and never past the byte budget. The reconstruction goes to
//! the rec buffers in the model's own layout: rows of whole macroblocks without gaps, luma at the luma address,
//! interleaved chroma at the chroma address; it is shorter than the planes that the core reserves (both sides rounded
//! up to 64). Motion vectors are written as zeros over their whole length, so that an area that is too small shows in
//! what lies behind it. The context of the rate control tables gets what each group of macroblocks took; the
//! compression maps are left alone. The status words come last, into the submitted list: the size in word 0x41 is what
//! says that a picture is done.

use crate::avc::{Frame, PictureStats};
use crate::cmdlist::{CommandList, PAYLOAD_OFFSET_BYTES, STATUS_WORD, STATUS_WORDS};
use crate::dma::vectors_len_bytes;
use crate::fault::{FaultKind, Strike};
use crate::group_control;
use crate::memory::{BusError, Memory};

/// A picture that was made.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Counted by pushes from 0.
    pub number: u32,
    /// What was to be made.
    pub list: &'a CommandList,
    /// Slice data with emulation prevention.
    pub payload: &'a [u8],
    /// Figures.
    pub stats: &'a PictureStats,
    /// Decoded picture; `None` from a body that makes no video.
    pub reconstruction: Option<&'a Frame>,
    /// Bits that its groups of macroblocks took; `None` from a body that makes no video.
    pub groups: Option<&'a [u32]>,
    /// Why there is no picture.
    pub refusal: Option<&'static str>,
    /// Source or reference could not be read.
    pub lost: Option<BusError>,
}

/// The status words of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusWords {
    /// Command list that they belong to.
    pub(crate) list_address: u32,
    /// Words 0x41 to 0x5d.
    pub(crate) words: [u32; STATUS_WORDS],
}

/// How writing back ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writeback {
    /// Everything is in memory.
    Done,
    /// There was no picture to write.
    Refused,
}

/// Bytes that a late tail holds back.
const TAIL_LEN_BYTES: usize = 64;
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
static GREY: [u8; 16 * 1024] = [0x80; 16 * 1024];

impl Finished<'_> {
    /// The part of the slice data that fits the budget.
    fn payload_in_budget(&self) -> &[u8] {
        let budget = usize::try_from(self.list.at.budget_bytes).unwrap_or(usize::MAX);
        self.payload.get(..budget).unwrap_or(self.payload)
    }

    fn payload_address(&self) -> u32 {
        self.list.at.stream.wrapping_add(PAYLOAD_OFFSET_BYTES)
    }

    /// Position where a late tail starts.
    fn tail_start(&self) -> usize {
        self.payload_in_budget()
            .len()
            .saturating_sub(TAIL_LEN_BYTES)
    }

    /// Writes the bytes that a late tail held back.
    pub(crate) fn write_tail(&self, memory: &mut dyn Memory) -> Result<(), BusError> {
        let start = self.tail_start();
        let tail = self.payload_in_budget().get(start..).unwrap_or_default();
        let offset = u32::try_from(start).unwrap_or(u32::MAX);
        memory.write(self.payload_address().wrapping_add(offset), tail)
    }

    /// Leaves a grey reconstruction, as a job that failed inside does.
    pub(crate) fn write_grey(&self, memory: &mut dyn Memory) -> Result<(), BusError> {
        if self.reconstruction.is_none() {
            return Ok(());
        }
        let luma = self.list.macroblocks() * 256;
        write_all(self.list.at.rec_luma, luma, &GREY, memory)?;
        write_all(self.list.at.rec_chroma, luma / 2, &GREY, memory)
    }
}

/// Writes all of a picture but its status.
pub(crate) fn write_back(
    finished: &Finished<'_>,
    strike: &Strike,
    memory: &mut dyn Memory,
) -> Result<Writeback, BusError> {
    if let Some(error) = finished.lost {
        return Err(error);
    }
    if finished.refusal.is_some() {
        return Ok(Writeback::Refused);
    }
    let list = finished.list;
    if let Some(frame) = finished.reconstruction {
        memory.write(list.at.rec_luma, frame.luma())?;
        memory.write(list.at.rec_chroma, frame.chroma())?;
        let vectors = vectors_len_bytes(list.macroblocks());
        write_all(list.at.rec_vectors, vectors, &ZEROS, memory)?;
    }
    if let Some(taken) = finished.groups {
        group_control::store(list, taken, memory)?;
    }
    let payload = finished.payload_in_budget();
    let now = if strike.has(FaultKind::LateTail) {
        payload.get(..finished.tail_start()).unwrap_or_default()
    } else {
        payload
    };
    memory.write(finished.payload_address(), now)?;
    if strike.has(FaultKind::Overflow) {
        let written = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let left = list.at.budget_bytes.saturating_sub(written);
        write_all(
            finished.payload_address().wrapping_add(written),
            left,
            &GREY,
            memory,
        )?;
    }
    Ok(Writeback::Done)
}

/// The status of a picture that was written back.
pub(crate) fn status_of(finished: &Finished<'_>, strike: &Strike) -> StatusWords {
    let stats = finished.stats;
    let mut size = u32::try_from(finished.payload.len()).unwrap_or(u32::MAX) & 0x3fff_ffff;
    if strike.has(FaultKind::Overflow) {
        size = finished.list.at.budget_bytes + 1;
    }
    let mut words = [0; STATUS_WORDS];
    let mut set = |word: usize, value: u32| {
        if let Some(slot) = words.get_mut(word - STATUS_WORD) {
            *slot = value;
        }
    };
    set(0x41, size | u32::from(stats.lcu_overflow) << 31);
    set(0x42, stats.bins);
    set(0x43, stats.residual_bits);
    set(0x44, stats.blocks_with_residual);
    set(0x45, stats.intra_8x8);
    set(0x46, stats.inter_8x8);
    set(0x47, stats.skipped_8x8);
    set(0x48, stats.cu_8x8);
    set(0x49, stats.cu_16x16);
    set(0x4d, stats.qp_sum & 0x0fff_ffff);
    set(
        0x4e,
        u32::from(stats.qp_min) | u32::from(stats.qp_max) << 8 | 1 << 16,
    );
    let half = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX);
    set(0x56, half(stats.sse_luma >> 32));
    set(0x57, half(stats.sse_luma));
    StatusWords {
        list_address: finished.list.address,
        words,
    }
}

/// Status words full of an error pattern.
pub(crate) fn status_error(byte: u32) -> StatusWords {
    StatusWords {
        list_address: 0,
        words: [(byte & 0xff) * 0x0001_0101; STATUS_WORDS],
    }
}

impl StatusWords {
    /// Stores the words into the list at `address`, the size last.
    pub(crate) fn store(&self, address: u32, memory: &mut dyn Memory) -> Result<(), BusError> {
        let mut bytes = [0; STATUS_WORDS * 4];
        for (place, word) in bytes.chunks_exact_mut(4).zip(self.words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (size, rest) = bytes.split_at(4);
        let first = address.wrapping_add(0x104);
        memory.write(first.wrapping_add(4), rest)?;
        memory.write(first, size)
    }
}

/// Writes `len_bytes` bytes, all alike, from a block of them.
fn write_all(
    address: u32,
    len_bytes: u32,
    block: &[u8],
    memory: &mut dyn Memory,
) -> Result<(), BusError> {
    let step = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let mut done = 0;
    while done < len_bytes {
        let len = step.min(len_bytes - done);
        let part = block
            .get(..usize::try_from(len).unwrap_or(0))
            .unwrap_or_default();
        memory.write(address.wrapping_add(done), part)?;
        done += len;
    }
    Ok(())
}
