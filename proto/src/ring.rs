//! The channel ring in shared memory: the contract between the daemon and its readers.
//!
//! A file of [`RING_HEADER_BYTES`] for the header and then a data area whose size is a power of two. Readers map
//! it read-only. All words are `u32` in the machine's own order (the file never leaves the machine), at the
//! offsets in [`offset`]. Positions count every byte that was ever laid into the ring, modulo 2^32; the byte at
//! position `p` lies at `p mod data size` of the data area, also across the wrap of the count because the size
//! is a power of two. A packet never wraps: where it would, the daemon leaves the rest of the area unused and
//! starts at offset 0 ([`RingLayout::place`]).
//!
//! # Ordering
//!
//! The daemon, for each packet that it lays at `[position, position + len)`:
//! 1. stores `tail`: the position of the oldest packet that stays valid, so that
//!    `position + len - tail <= data size`;
//! 2. release fence, so that no byte of the packet is written before the new `tail` can be seen;
//! 3. writes the bytes;
//! 4. stores `head = position + len` with release, and only then sends the packet's event.
//!
//! A reader, for each packet event that it received:
//! 1. checks `offset + len <= data size` and `offset == position mod data size`;
//! 2. copies the bytes out;
//! 3. acquire fence, so that every byte was read before `tail` is;
//! 4. loads `tail`, then `head`: unless [`is_live`] says yes the copy lost the race and is a gap, never data.

use crate::limits::RING_HEADER_BYTES;
use crate::types::{ChannelId, Epoch};
use core::fmt;

/// Bytes `AVPR` at the start of the header.
pub const MAGIC: u32 = u32::from_le_bytes(*b"AVPR");
/// Layout of the header that this crate knows.
pub const LAYOUT: u32 = 1;
/// Smallest data area.
pub const DATA_BYTES_MIN: u32 = 4096;
/// Largest data area.
pub const DATA_BYTES_MAX: u32 = 1 << 28;

/// Offsets of the header's words, in bytes. What is not listed is zero and reserved.
pub mod offset {
    /// [`super::MAGIC`], constant.
    pub const MAGIC: u32 = 0;
    /// [`super::LAYOUT`], constant.
    pub const LAYOUT: u32 = 4;
    /// Size of the data area, constant, a power of two.
    pub const DATA_BYTES: u32 = 8;
    /// The run of the daemon, constant.
    pub const EPOCH: u32 = 12;
    /// The channel, constant.
    pub const CHANNEL: u32 = 16;
    /// Position before which nothing is valid. Only the daemon stores here.
    pub const TAIL: u32 = 64;
    /// Position behind the last packet. Only the daemon stores here.
    pub const HEAD: u32 = 128;
}

/// Bytes of the header's constant words.
pub const CONSTANT_BYTES: usize = 20;

const _: () = assert!(offset::HEAD + 4 <= RING_HEADER_BYTES);

/// The constant words of a ring's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLayout {
    data_bytes: u32,
    epoch: Epoch,
    channel: ChannelId,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Position of its first byte.
    pub position: u32,
    /// Offset of its first byte in the data area.
    pub offset_bytes: u32,
    /// The ring's head behind it.
    pub head: u32,
    /// Every packet before this position is overwritten: the new tail is this or later.
    pub tail_min: u32,
}

impl RingLayout {
    /// A layout for a new ring.
    ///
    /// # Errors
    /// When the size is not a power of two in `DATA_BYTES_MIN..=DATA_BYTES_MAX`.
    pub const fn new(data_bytes: u32, epoch: Epoch, channel: ChannelId) -> Result<Self, RingError> {
        if !data_bytes.is_power_of_two()
            || data_bytes < DATA_BYTES_MIN
            || data_bytes > DATA_BYTES_MAX
        {
            return Err(RingError::Size { data_bytes });
        }
        Ok(Self {
            data_bytes,
            epoch,
            channel,
        })
    }

    /// The constant words as the header's first bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; CONSTANT_BYTES] {
        let mut bytes = [0; CONSTANT_BYTES];
        let words = [
            MAGIC,
            LAYOUT,
            self.data_bytes,
            self.epoch.value(),
            self.channel.value(),
        ];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads and checks a header's first bytes.
    ///
    /// # Errors
    /// When they are no header that this crate knows.
    pub fn decode(bytes: &[u8; CONSTANT_BYTES]) -> Result<Self, RingError> {
        let mut words = [0; CONSTANT_BYTES / 4];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes([from[0], from[1], from[2], from[3]]);
        }
        let [magic, layout, data_bytes, epoch, channel] = words;
        if magic != MAGIC {
            return Err(RingError::Magic { found: magic });
        }
        if layout != LAYOUT {
            return Err(RingError::Layout { found: layout });
        }
        Self::new(data_bytes, Epoch::new(epoch), ChannelId::new(channel))
    }

    /// Size of the data area.
    #[must_use]
    pub const fn data_bytes(&self) -> u32 {
        self.data_bytes
    }

    /// The run of the daemon that made the ring.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The ring's channel.
    #[must_use]
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Size of the whole file: header and data area.
    #[must_use]
    pub const fn file_bytes(&self) -> u32 {
        RING_HEADER_BYTES + self.data_bytes
    }

    /// Offset in the data area of the byte at a position.
    #[must_use]
    pub const fn offset_of(&self, position: u32) -> u32 {
        position & (self.data_bytes - 1)
    }

    /// Where a packet of `len_bytes` goes when the ring's head is at `head`: there, or at the start of the data
    /// area where it would wrap. `None` when it is longer than the data area.
    #[must_use]
    pub const fn place(&self, head: u32, len_bytes: u32) -> Option<Placement> {
        if len_bytes > self.data_bytes {
            return None;
        }
        let room = self.data_bytes - self.offset_of(head);
        let position = if len_bytes > room {
            head.wrapping_add(room)
        } else {
            head
        };
        let end = position.wrapping_add(len_bytes);
        Some(Placement {
            position,
            offset_bytes: self.offset_of(position),
            head: end,
            tail_min: end.wrapping_sub(self.data_bytes),
        })
    }
}

/// Whether position `a` lies before position `b`, modulo 2^32: true for the half of all positions before `b`.
#[must_use]
pub const fn is_before(a: u32, b: u32) -> bool {
    a != b && b.wrapping_sub(a) < 1 << 31
}

/// Whether the bytes `[position, position + len)` were still valid when `tail` was loaded: they lie between
/// `tail` and `head`. Stricter than "not before tail", so that a reader that slept while 2^31 bytes went
/// through the ring does not take a stale position for a future one. False also while `tail` is ahead of `head`:
/// the daemon empties the ring for a packet that needs nearly all of it, and nothing is valid until it is written.
#[must_use]
pub const fn is_live(position: u32, len_bytes: u32, tail: u32, head: u32) -> bool {
    let (start, live) = (position.wrapping_sub(tail), head.wrapping_sub(tail));
    live <= DATA_BYTES_MAX && start <= live && len_bytes <= live - start
}

/// Why bytes are not a ring's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// It does not start with the magic word.
    Magic {
        /// The word.
        found: u32,
    },
    /// Another layout.
    Layout {
        /// Its number.
        found: u32,
    },
    /// Not a size that a ring can have.
    Size {
        /// The size.
        data_bytes: u32,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => {
                write!(f, "expected ring magic {MAGIC:#010x}, found {found:#010x}")
            }
            Self::Layout { found } => write!(f, "expected ring layout {LAYOUT}, found {found}"),
            Self::Size { data_bytes } => write!(
                f,
                "expected a power of two from {DATA_BYTES_MIN} to {DATA_BYTES_MAX} for the ring, found {data_bytes}"
            ),
        }
    }
}

impl core::error::Error for RingError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(data_bytes: u32) -> RingLayout {
        RingLayout::new(data_bytes, Epoch::new(0x1234), ChannelId::new(7)).unwrap()
    }

    #[test]
    fn the_header_comes_back_as_it_went() {
        let layout = layout(1 << 20);
        assert_eq!(RingLayout::decode(&layout.encode()), Ok(layout));
        assert_eq!(layout.encode()[..4], MAGIC.to_ne_bytes());
        assert_eq!(layout.file_bytes(), (1 << 20) + 4096);
    }

    #[test]
    fn a_header_that_is_none_is_refused() {
        let good = layout(4096).encode();
        for index in 0..12 {
            let mut bytes = good;
            bytes[index] ^= 0x11;
            assert!(RingLayout::decode(&bytes).is_err(), "byte {index}");
        }
        let size = |bytes| RingLayout::new(bytes, Epoch::new(0), ChannelId::new(0)).is_ok();
        assert!(!size(0) && !size(2048) && !size(5000) && !size(1 << 29));
        assert!(size(DATA_BYTES_MIN) && size(DATA_BYTES_MAX));
    }

    #[test]
    fn a_packet_that_would_wrap_goes_to_the_start() {
        let ring = layout(4096);
        let whole = ring.place(100, 3996).unwrap();
        assert_eq!((whole.position, whole.head, whole.tail_min), (100, 4096, 0));
        let skipped = ring.place(100, 3997).unwrap();
        assert_eq!((skipped.position, skipped.offset_bytes), (4096, 0));
        assert_eq!((skipped.head, skipped.tail_min), (8093, 3997));
        assert_eq!(ring.place(100, 4097), None);
    }

    #[test]
    fn placement_goes_on_across_the_wrap_of_the_count() {
        let ring = layout(4096);
        let placed = ring.place(u32::MAX - 99, 200).unwrap();
        assert_eq!((placed.position, placed.offset_bytes), (0, 0));
        assert_eq!(placed.tail_min, 200u32.wrapping_sub(4096));
        assert!(is_before(placed.tail_min, placed.position));
        assert!(is_live(placed.position, 200, placed.tail_min, placed.head));
    }

    #[test]
    fn only_bytes_between_tail_and_head_are_live() {
        assert!(is_live(10, 5, 10, 15));
        assert!(!is_live(10, 6, 10, 15));
        assert!(!is_live(9, 1, 10, 15));
        assert!(is_live(u32::MAX, 2, u32::MAX - 3, 1));
        assert!(!is_live(u32::MAX - 4, 2, u32::MAX - 3, 1));
        // 2^31 + 1 bytes later the old position looks like one of the future; it still is not live.
        let tail = 10u32.wrapping_add((1 << 31) + 1);
        assert!(!is_before(10, tail));
        assert!(!is_live(10, 5, tail, tail.wrapping_add(4096)));
    }

    #[test]
    fn nothing_is_live_while_the_ring_is_emptied_for_a_large_packet() {
        let ring = layout(4096);
        let large = ring.place(200, 4000).unwrap();
        assert!(is_live(100, 100, 0, 200));
        assert!(!is_live(100, 100, large.tail_min, 200));
        assert!(!is_live(100, 100, large.position, 200));
        assert!(is_live(large.position, 4000, large.position, large.head));
    }

    #[test]
    fn before_is_the_half_of_all_positions_that_precedes() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(2, 2));
        assert!(is_before(u32::MAX, 0) && !is_before(0, u32::MAX));
    }
}
