//! Physical addresses, ranges and offsets with checked arithmetic only.
//!
//! The encoder has no IOMMU: a wrong address in a command list is a write anywhere in memory. So an
//! address has no operators and no public field; every step that could leave the 32-bit space answers
//! an [`AddressError`]. An absolute address ([`PhysAddr`]), a place inside a region ([`RegionOffset`])
//! and a length ([`ByteLen`]) are three types. A [`PhysRange`] is never empty and never wraps.

use core::fmt;
use core::num::NonZeroU32;

/// A physical address as the encoder sees it: 32 bits, no IOMMU, no offset mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(u32);

/// A byte offset from the start of a region, never an absolute address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionOffset(u32);

/// A length in bytes, possibly zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteLen(u32);

/// A power of two to which addresses, offsets and lengths are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alignment(u32);

/// A non-empty range of physical memory whose last byte is still a 32-bit address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PhysRange {
    start: PhysAddr,
    len: NonZeroU32,
}

/// Why an address, a range or an alignment could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The result does not fit in 32 bits.
    Overflow {
        /// What was started from, in bytes.
        base: u32,
        /// What was added, in bytes.
        add: u32,
    },
    /// A range of no bytes.
    Empty {
        /// Where the range would start.
        start: u32,
    },
    /// An address or offset that is not a multiple of what it must be.
    Unaligned {
        /// The address or offset, in bytes.
        address: u32,
        /// What it must be a multiple of, in bytes.
        alignment: u32,
    },
    /// The part asked for does not lie inside the range or region.
    OutOfRange {
        /// First byte asked for, relative to the range.
        offset: u32,
        /// Bytes asked for.
        len: u32,
        /// Bytes in the range.
        range_len: u32,
    },
    /// An address below the one it is measured from.
    Below {
        /// The address.
        address: u32,
        /// What it is measured from.
        base: u32,
    },
}

impl PhysAddr {
    /// The address `value`. Any 32-bit value is an address; whether it may be used is decided by ranges.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The address as the 32 bits that go into a register or a command list.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The address `offset` bytes further on.
    pub fn checked_add(self, offset: ByteLen) -> Result<Self, AddressError> {
        match self.0.checked_add(offset.0) {
            Some(sum) => Ok(Self(sum)),
            None => Err(AddressError::Overflow {
                base: self.0,
                add: offset.0,
            }),
        }
    }

    /// The nearest address at or above this one that is a multiple of `alignment`.
    pub fn align_up(self, alignment: Alignment) -> Result<Self, AddressError> {
        alignment.round_up(self.0).map(Self)
    }

    /// Whether the address is a multiple of `alignment`.
    pub const fn is_aligned(self, alignment: Alignment) -> bool {
        self.0 & (alignment.0 - 1) == 0
    }

    /// How far this address lies above `base`.
    pub fn offset_from(self, base: Self) -> Result<RegionOffset, AddressError> {
        match self.0.checked_sub(base.0) {
            Some(distance) => Ok(RegionOffset(distance)),
            None => Err(AddressError::Below {
                address: self.0,
                base: base.0,
            }),
        }
    }
}

impl RegionOffset {
    /// The first byte of a region.
    pub const ZERO: Self = Self(0);

    /// The offset `value` bytes into a region.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The offset in bytes.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The offset `len` bytes further on.
    pub fn checked_add(self, len: ByteLen) -> Result<Self, AddressError> {
        match self.0.checked_add(len.0) {
            Some(sum) => Ok(Self(sum)),
            None => Err(AddressError::Overflow {
                base: self.0,
                add: len.0,
            }),
        }
    }

    /// The nearest offset at or above this one that is a multiple of `alignment`.
    pub fn align_up(self, alignment: Alignment) -> Result<Self, AddressError> {
        alignment.round_up(self.0).map(Self)
    }
}

impl ByteLen {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// A length of `value` bytes.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The length in bytes.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Both lengths together.
    pub fn checked_add(self, other: Self) -> Result<Self, AddressError> {
        match self.0.checked_add(other.0) {
            Some(sum) => Ok(Self(sum)),
            None => Err(AddressError::Overflow {
                base: self.0,
                add: other.0,
            }),
        }
    }

    /// The length rounded up to a multiple of `alignment`.
    pub fn align_up(self, alignment: Alignment) -> Result<Self, AddressError> {
        alignment.round_up(self.0).map(Self)
    }
}

impl TryFrom<usize> for ByteLen {
    type Error = core::num::TryFromIntError;

    fn try_from(len: usize) -> Result<Self, Self::Error> {
        u32::try_from(len).map(Self)
    }
}

impl Alignment {
    /// An alignment of `bytes`, known when the program is compiled; a wrong one does not compile.
    ///
    /// # Panics
    /// When `bytes` is not a power of two: use it in `const` items only.
    pub const fn constant(bytes: u32) -> Self {
        assert!(bytes.is_power_of_two(), "an alignment is a power of two");
        Self(bytes)
    }

    /// The alignment in bytes.
    pub const fn value(self) -> u32 {
        self.0
    }

    fn round_up(self, value: u32) -> Result<u32, AddressError> {
        let mask = self.0 - 1;
        match value.checked_add(mask) {
            Some(sum) => Ok(sum & !mask),
            None => Err(AddressError::Overflow {
                base: value,
                add: mask,
            }),
        }
    }
}

impl PhysRange {
    /// `len` bytes from `start`; refused when empty or when the last byte has no 32-bit address.
    pub fn new(start: PhysAddr, len: ByteLen) -> Result<Self, AddressError> {
        let Some(len) = NonZeroU32::new(len.0) else {
            return Err(AddressError::Empty { start: start.0 });
        };
        match start.0.checked_add(len.get() - 1) {
            Some(_) => Ok(Self { start, len }),
            None => Err(AddressError::Overflow {
                base: start.0,
                add: len.get() - 1,
            }),
        }
    }

    /// The first byte.
    pub const fn start(self) -> PhysAddr {
        self.start
    }

    /// How many bytes; never zero.
    pub const fn len(self) -> NonZeroU32 {
        self.len
    }

    /// How many bytes, as a length.
    pub const fn len_bytes(self) -> ByteLen {
        ByteLen(self.len.get())
    }

    /// The last byte that still belongs to the range.
    pub const fn last(self) -> PhysAddr {
        // Cannot wrap: the constructor checked exactly this sum.
        PhysAddr(self.start.0 + (self.len.get() - 1))
    }

    /// One past the last byte; 64 bits, because a range may end at the top of the address space.
    pub fn end(self) -> u64 {
        u64::from(self.start.0) + u64::from(self.len.get())
    }

    /// Whether `address` lies inside.
    pub fn contains(self, address: PhysAddr) -> bool {
        self.start <= address && address <= self.last()
    }

    /// Whether all of `other` lies inside.
    pub fn contains_range(self, other: Self) -> bool {
        self.start <= other.start && other.last() <= self.last()
    }

    /// Whether the two ranges share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.last() && other.start <= self.last()
    }

    /// The part of `len` bytes that starts `offset` bytes into the range.
    pub fn sub(self, offset: RegionOffset, len: ByteLen) -> Result<Self, AddressError> {
        let outside = AddressError::OutOfRange {
            offset: offset.0,
            len: len.0,
            range_len: self.len.get(),
        };
        let end = offset.0.checked_add(len.0).ok_or(outside)?;
        if end > self.len.get() {
            return Err(outside);
        }
        Self::new(self.start.checked_add(ByteLen(offset.0))?, len)
    }

    /// The `len` bytes before the range.
    pub fn before(self, len: ByteLen) -> Result<Self, AddressError> {
        let start = self.start.0.checked_sub(len.0);
        let start = start.ok_or(AddressError::Below {
            address: self.start.0,
            base: len.0,
        })?;
        Self::new(PhysAddr(start), len)
    }

    /// The `len` bytes behind the range.
    pub fn behind(self, len: ByteLen) -> Result<Self, AddressError> {
        Self::new(self.last().checked_add(ByteLen(1))?, len)
    }

    /// The range with `len` bytes more on either side.
    pub fn widened(self, len: ByteLen) -> Result<Self, AddressError> {
        let all = self.len_bytes().checked_add(len)?.checked_add(len)?;
        Self::new(self.before(len)?.start, all)
    }

    /// Where `address` lies relative to the start; refused when it lies outside.
    pub fn offset_of(self, address: PhysAddr) -> Result<RegionOffset, AddressError> {
        let offset = address.offset_from(self.start)?;
        if offset.0 >= self.len.get() {
            return Err(AddressError::OutOfRange {
                offset: offset.0,
                len: 1,
                range_len: self.len.get(),
            });
        }
        Ok(offset)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl fmt::Display for RegionOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+0x{:x}", self.0)
    }
}

impl fmt::Display for ByteLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for PhysRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}..=0x{:08x}", self.start.0, self.last().0)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Overflow { base, add } => {
                write!(f, "expected a 32-bit result, found 0x{base:x} + 0x{add:x}")
            }
            Self::Empty { start } => {
                write!(f, "expected at least one byte at 0x{start:08x}, found none")
            }
            Self::Unaligned { address, alignment } => {
                write!(f, "expected a multiple of {alignment}, found 0x{address:x}")
            }
            Self::OutOfRange {
                offset,
                len,
                range_len,
            } => write!(
                f,
                "expected a part of {range_len} bytes, found {len} bytes at offset 0x{offset:x}"
            ),
            Self::Below { address, base } => {
                write!(
                    f,
                    "expected an address from 0x{base:08x} on, found 0x{address:08x}"
                )
            }
        }
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a valid range")
    }

    #[test]
    fn a_range_may_end_at_the_last_address_but_not_beyond() {
        let top = range(0xffff_ff00, 0x100);
        assert_eq!(top.last(), PhysAddr::new(0xffff_ffff));
        assert_eq!(top.end(), 0x1_0000_0000);
        assert_eq!(
            PhysRange::new(PhysAddr::new(0xffff_ff00), ByteLen::new(0x101)),
            Err(AddressError::Overflow {
                base: 0xffff_ff00,
                add: 0x100
            })
        );
    }

    #[test]
    fn an_empty_range_is_refused() {
        assert_eq!(
            PhysRange::new(PhysAddr::new(0x1000), ByteLen::ZERO),
            Err(AddressError::Empty { start: 0x1000 })
        );
    }

    #[test]
    fn neighbours_do_not_overlap_and_one_shared_byte_does() {
        let low = range(0x1000, 0x100);
        assert!(!low.overlaps(range(0x1100, 1)));
        assert!(low.overlaps(range(0x10ff, 1)));
        assert!(low.overlaps(low));
        assert!(range(0x0fff, 0x200).overlaps(low));
    }

    #[test]
    fn a_part_that_reaches_over_the_end_is_refused_even_when_the_sum_wraps() {
        let region = range(0x1000, 0x100);
        assert_eq!(
            region.sub(RegionOffset::new(0x80), ByteLen::new(0x80)),
            Ok(range(0x1080, 0x80))
        );
        for (offset, len) in [(0x80, 0x81), (0x100, 1), (0xffff_ffff, 2), (1, 0xffff_ffff)] {
            let refused = region.sub(RegionOffset::new(offset), ByteLen::new(len));
            assert_eq!(
                refused,
                Err(AddressError::OutOfRange {
                    offset,
                    len,
                    range_len: 0x100
                })
            );
        }
    }

    #[test]
    fn aligning_past_the_top_is_refused() {
        let page = Alignment::constant(4096);
        assert_eq!(PhysAddr::new(1).align_up(page), Ok(PhysAddr::new(4096)));
        assert_eq!(PhysAddr::new(4096).align_up(page), Ok(PhysAddr::new(4096)));
        assert!(PhysAddr::new(0xffff_f001).align_up(page).is_err());
        assert!(PhysAddr::new(0x2000).is_aligned(page));
        assert!(!PhysAddr::new(0x2004).is_aligned(page));
    }

    #[test]
    fn an_address_is_measured_only_from_below_and_only_inside_its_range() {
        let region = range(0x1000, 0x100);
        assert_eq!(
            region.offset_of(PhysAddr::new(0x10ff)),
            Ok(RegionOffset::new(0xff))
        );
        assert!(region.offset_of(PhysAddr::new(0x1100)).is_err());
        assert!(region.offset_of(PhysAddr::new(0x0fff)).is_err());
        assert!(region.contains(PhysAddr::new(0x1000)));
        assert!(region.contains_range(range(0x1000, 0x100)));
        assert!(!region.contains_range(range(0x1001, 0x100)));
    }

    #[test]
    fn margins_lie_beside_the_range_and_inside_the_address_space() {
        let page = ByteLen::new(0x1000);
        let range = PhysRange::new(PhysAddr::new(0x5000), ByteLen::new(0x2100)).expect("a range");
        let (before, behind) = (range.before(page), range.behind(page));
        let (before, behind) = (before.expect("room"), behind.expect("room"));
        assert_eq!((before.start().value(), before.end()), (0x4000, 0x5000));
        assert_eq!((behind.start().value(), behind.end()), (0x7100, 0x8100));
        let all = range.widened(page).expect("room");
        assert_eq!((all.start(), all.last()), (before.start(), behind.last()));
        let low = PhysRange::new(PhysAddr::new(0xfff), page).expect("a range");
        assert!(low.before(page).is_err() && low.widened(page).is_err());
        let high = PhysRange::new(PhysAddr::new(0xffff_f000), page).expect("a range");
        assert!(high.behind(page).is_err() && high.widened(page).is_err());
        let last = PhysRange::new(PhysAddr::new(0xffff_e000), page).expect("a range");
        assert_eq!(last.behind(page), Ok(high));
    }
}
