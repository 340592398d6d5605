//! Sizes of the encoder's buffers and their places inside a channel's memory.
//!
//! A channel holds one contiguous range. [`ChannelLayout`] says how long it must be and where each
//! object lies in it; [`ChannelLayout::place`] turns that into absolute ranges inside a leased
//! [`PhysRange`]. The sizes are those that reproduce the recorded buffer addresses of two cameras;
//! the order of the objects follows them too, with guard bytes added behind everything the encoder
//! writes, because it may finish a burst past the last byte.

mod stream;

pub use stream::{MACROBLOCK_LEN_MAX_BYTES, PAYLOAD_OFFSET_BYTES, StreamLayout};

use core::fmt;

use crate::mem::{AddressError, Alignment, ByteLen, PhysAddr, PhysRange, RegionOffset};
use crate::picture::{ChannelSetup, PictureSize};

/// Command lists in a channel's ring.
pub const RING_SLOTS: u32 = 19;
/// Bytes of a command list and of its slot.
pub const RING_SLOT_LEN_BYTES: u32 = 0x200;
/// Bytes from one bank of rate control tables to the next.
pub const EP3_BANK_STRIDE_BYTES: u32 = 0x1500;
/// Banks of rate control tables a channel has.
pub const EP3_BANKS: u32 = 3;
/// Bytes of the buffer with lambdas and scaling lists.
pub const EP1_LEN_BYTES: u32 = 0x6400;

/// Bytes left free behind every object that the encoder writes.
pub const GUARD_LEN_BYTES: u32 = 256;

const GUARD: ByteLen = ByteLen::new(GUARD_LEN_BYTES);
/// Command list slots are the strictest: their addresses are multiples of their size.
const ALIGNMENT: Alignment = Alignment::constant(RING_SLOT_LEN_BYTES);
const OBJECT_ALIGNMENT: Alignment = Alignment::constant(256);
/// Rows of small tables begin at multiples of this.
const PARTS_ALIGNMENT: Alignment = Alignment::constant(128);
/// Motion vectors start behind a header of this size, and the command list names their start.
const MV_HEADER_LEN_BYTES: u32 = 0x100;
/// The parts of a reconstructed picture's buffer, as offsets from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconstructionLayout {
    /// Where chroma starts.
    pub chroma: ByteLen,
    /// Where the map of the compressed luma starts.
    pub luma_map: ByteLen,
    /// From the luma map to the chroma map.
    pub map_step: ByteLen,
    /// Where motion vectors start; their buffer starts 256 bytes earlier.
    pub vectors: ByteLen,
    /// Length of the whole buffer.
    pub len: ByteLen,
    /// Bytes from one row of 64x4 tiles to the next.
    pub pitch_bytes: u32,
    /// Bytes from one row of the maps to the next.
    pub map_pitch_bytes: u32,
}

/// An object's place in a channel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte, from the start of the channel's memory.
    pub offset: RegionOffset,
    /// Length in bytes, guard not counted.
    pub len: ByteLen,
}

/// The two pictures a channel alternates between: one is written while the other is the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// The first buffer; an IDR that starts a channel is written here.
    A,
    /// The second buffer.
    B,
}

/// Which bank of rate control tables a picture uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ep3Bank {
    /// Filled like the others, used by no picture kind this project has.
    Spare,
    /// P pictures.
    P,
    /// IDR pictures.
    Idr,
}

/// Where everything lies inside a channel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelLayout {
    stream: StreamLayout,
    ep3: Span,
    ring: Span,
    pictures: [Span; 2],
    ep1: Span,
    ep2: Span,
    first_stream: Span,
    stream_stride: ByteLen,
    stream_count: u32,
    len: ByteLen,
}

/// A channel's memory with absolute addresses; every range lies inside the leased one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelMemory {
    range: PhysRange,
    layout: ChannelLayout,
}

/// Why a layout could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// A size or place does not fit in 32 bits.
    Address(AddressError),
    /// A stream buffer with no room for slice data.
    StreamTooSmall {
        /// Length found, in bytes.
        len_bytes: u32,
        /// Length needed at least, in bytes.
        needed_bytes: u32,
    },
    /// The range leased for the channel is not aligned as its objects need.
    Misaligned {
        /// Start of the range.
        start: PhysAddr,
    },
    /// A ring slot or stream buffer that does not exist.
    NoSuchObject {
        /// Number asked for.
        index: u32,
        /// How many there are.
        count: u32,
    },
}

impl ReconstructionLayout {
    /// The parts of a picture of this size.
    pub fn new(size: PictureSize) -> Result<Self, LayoutError> {
        let width = size.width().next_multiple_of(64);
        let height = size.height().next_multiple_of(64);
        let luma = product(width, height)?;
        let map_pitch = product(32, size.source_pitch_bytes().div_ceil(4096))?;
        let luma_map_len = product(map_pitch, height / 4)?;
        let maps = ByteLen::new(sum(luma_map_len, luma_map_len / 2)?).align_up(OBJECT_ALIGNMENT)?;
        let vectors_len = product(sum(product(2, size.macroblocks())?, 16)?, 16)?;
        let luma_map = ByteLen::new(sum(luma, luma / 2)?);
        let vectors_buffer = luma_map.checked_add(maps)?;
        Ok(Self {
            chroma: ByteLen::new(luma),
            luma_map,
            map_step: ByteLen::new(product(map_pitch, size.mb_rows() * 4)?),
            vectors: vectors_buffer.checked_add(ByteLen::new(MV_HEADER_LEN_BYTES))?,
            len: vectors_buffer.checked_add(ByteLen::new(vectors_len))?,
            pitch_bytes: product(size.width().div_ceil(64), 256)?,
            map_pitch_bytes: product(32, size.width().div_ceil(4096))?,
        })
    }
}

impl ChannelLayout {
    /// The layout of a channel's memory.
    pub fn new(setup: &ChannelSetup) -> Result<Self, LayoutError> {
        let size = setup.geometry.coded();
        let reconstruction = ReconstructionLayout::new(size)?;
        let stream = StreamLayout::new(size, setup.rate_control)?;
        let mut end = RegionOffset::ZERO;
        let ep3 = append(
            &mut end,
            product(EP3_BANKS, EP3_BANK_STRIDE_BYTES)?,
            OBJECT_ALIGNMENT,
        )?;
        let ring = append(
            &mut end,
            product(RING_SLOTS, RING_SLOT_LEN_BYTES)?,
            ALIGNMENT,
        )?;
        let first = append(&mut end, reconstruction.len.value(), OBJECT_ALIGNMENT)?;
        let second = append(&mut end, reconstruction.len.value(), OBJECT_ALIGNMENT)?;
        // The encoder finds the row table behind the first parameter buffer by itself, so these
        // three stay together without guards between them.
        let rows_len = ByteLen::new(product(4, size.mb_rows())?).align_up(PARTS_ALIGNMENT)?;
        let ep2_len = ByteLen::new(size.macroblocks())
            .align_up(PARTS_ALIGNMENT)?
            .checked_add(ByteLen::new(0x40))?;
        let ep2_offset = ByteLen::new(EP1_LEN_BYTES).checked_add(rows_len)?;
        let intermediate_len = ep2_offset.checked_add(ep2_len)?;
        let intermediate = append(&mut end, intermediate_len.value(), OBJECT_ALIGNMENT)?;
        let first_stream = append(&mut end, stream.len.value(), OBJECT_ALIGNMENT)?;
        let stream_stride = stream.len.checked_add(GUARD)?.align_up(OBJECT_ALIGNMENT)?;
        for _ in 1..setup.stream_count.value() {
            append(&mut end, stream.len.value(), OBJECT_ALIGNMENT)?;
        }
        Ok(Self {
            stream,
            ep3,
            ring,
            pictures: [first, second],
            ep1: Span {
                offset: intermediate.offset,
                len: ByteLen::new(EP1_LEN_BYTES),
            },
            ep2: Span {
                offset: intermediate.offset.checked_add(ep2_offset)?,
                len: ep2_len,
            },
            first_stream,
            stream_stride,
            stream_count: setup.stream_count.value(),
            len: ByteLen::new(end.align_up(ALIGNMENT)?.value()),
        })
    }

    /// Bytes a channel's memory must have, a multiple of [`RING_SLOT_LEN_BYTES`].
    pub fn len_bytes(&self) -> ByteLen {
        self.len
    }

    /// The parts of each stream buffer.
    pub fn stream_layout(&self) -> StreamLayout {
        self.stream
    }

    /// How many stream buffers there are.
    pub fn stream_count(&self) -> u32 {
        self.stream_count
    }

    /// The ring of command lists.
    pub fn ring(&self) -> Span {
        self.ring
    }

    /// All banks of rate control tables.
    pub fn ep3(&self) -> Span {
        self.ep3
    }

    /// One bank of rate control tables.
    pub fn ep3_bank(&self, bank: Ep3Bank) -> Result<Span, LayoutError> {
        let stride = EP3_BANK_STRIDE_BYTES;
        element(self.ep3.offset, bank.index(), EP3_BANKS, stride, stride)
    }

    /// One of the two reconstructed pictures.
    pub fn picture(&self, parity: Parity) -> Span {
        match parity {
            Parity::A => self.pictures[0],
            Parity::B => self.pictures[1],
        }
    }

    /// The buffer with lambdas and scaling lists.
    pub fn ep1(&self) -> Span {
        self.ep1
    }

    /// The buffer with quantiser control.
    pub fn ep2(&self) -> Span {
        self.ep2
    }

    /// One of the stream buffers.
    pub fn stream(&self, index: u32) -> Result<Span, LayoutError> {
        let stride = self.stream_stride.value();
        element(
            self.first_stream.offset,
            index,
            self.stream_count,
            stride,
            self.stream.len.value(),
        )
    }

    /// The layout with its first byte at the start of `range`, which must be aligned and long enough.
    pub fn place(self, range: PhysRange) -> Result<ChannelMemory, LayoutError> {
        if !range.start().is_aligned(ALIGNMENT) {
            return Err(LayoutError::Misaligned {
                start: range.start(),
            });
        }
        let range = range.sub(RegionOffset::ZERO, self.len)?;
        Ok(ChannelMemory {
            range,
            layout: self,
        })
    }
}

impl ChannelMemory {
    /// The whole of the channel's memory.
    pub fn range(&self) -> PhysRange {
        self.range
    }

    /// The layout behind it.
    pub fn layout(&self) -> &ChannelLayout {
        &self.layout
    }

    /// Where an object of the layout lies.
    pub fn range_of(&self, span: Span) -> Result<PhysRange, LayoutError> {
        Ok(self.range.sub(span.offset, span.len)?)
    }
}

impl Parity {
    /// The other picture.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl Ep3Bank {
    /// All banks in the order in which they lie in memory.
    pub const ALL: [Self; 3] = [Self::Spare, Self::P, Self::Idr];

    /// The bank's place among the three.
    pub fn index(self) -> u32 {
        match self {
            Self::Spare => 0,
            Self::P => 1,
            Self::Idr => 2,
        }
    }
}

/// Puts an object of `len_bytes` at the next aligned place and a guard behind it.
fn append(
    end: &mut RegionOffset,
    len_bytes: u32,
    alignment: Alignment,
) -> Result<Span, LayoutError> {
    let span = Span {
        offset: end.align_up(alignment)?,
        len: ByteLen::new(len_bytes),
    };
    *end = span.offset.checked_add(span.len)?.checked_add(GUARD)?;
    Ok(span)
}

fn element(
    start: RegionOffset,
    index: u32,
    count: u32,
    stride_bytes: u32,
    len_bytes: u32,
) -> Result<Span, LayoutError> {
    if index >= count {
        return Err(LayoutError::NoSuchObject { index, count });
    }
    let offset = start.checked_add(ByteLen::new(product(index, stride_bytes)?))?;
    Ok(Span {
        offset,
        len: ByteLen::new(len_bytes),
    })
}

fn product(a: u32, b: u32) -> Result<u32, LayoutError> {
    a.checked_mul(b)
        .ok_or(LayoutError::Address(AddressError::Overflow {
            base: a,
            add: b,
        }))
}

fn sum(a: u32, b: u32) -> Result<u32, LayoutError> {
    a.checked_add(b)
        .ok_or(LayoutError::Address(AddressError::Overflow {
            base: a,
            add: b,
        }))
}

impl From<AddressError> for LayoutError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address(error) => error.fmt(f),
            Self::StreamTooSmall {
                len_bytes,
                needed_bytes,
            } => write!(
                f,
                "expected a stream buffer of at least {needed_bytes} bytes, found {len_bytes}"
            ),
            Self::Misaligned { start } => {
                write!(
                    f,
                    "expected a start that is a multiple of {}, found {start}",
                    ALIGNMENT.value()
                )
            }
            Self::NoSuchObject { index, count } => {
                write!(f, "expected an index below {count}, found {index}")
            }
        }
    }
}

impl core::error::Error for LayoutError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Address(error) => Some(error),
            Self::StreamTooSmall { .. } | Self::Misaligned { .. } | Self::NoSuchObject { .. } => {
                None
            }
        }
    }
}
