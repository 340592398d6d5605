//! Mapped memory: what the process can touch of the encoder's memory, and of the rings it shares with readers.
//!
//! The bytes behind a mapping change under the processor: hardware writes them, or another process reads them while
//! they are written. So nothing here hands out a slice. Everything is copied, with volatile accesses, between an
//! offset inside the mapping and memory of the caller. Offsets and lengths are checked at every call; a mapping is
//! undone when its owner is dropped.
//!
//! [`MappedRegion`] is a part of physical memory and knows its address and its cache attribute. Making the caches
//! agree is the device's affair ([`Device::flush`](crate::device::Device::flush)); ordering the processor's own
//! accesses before a doorbell is [`fence`]. [`RingMapping`] is ordinary shared memory.
#![allow(unsafe_code)]

use super::addr::{AddressError, ByteLen, PhysRange, RegionOffset};
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use std::io;
use std::os::fd::BorrowedFd;

/// How a mapping is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Through the processor's cache: flush before the device reads, invalidate before reading what it wrote.
    Cached,
    /// Around the cache.
    Uncached,
}

/// A part of physical memory, mapped.
#[derive(Debug)]
pub struct MappedRegion {
    mapping: Mapping,
    range: PhysRange,
    caching: Caching,
}

/// Ordinary shared memory that this process writes and others read.
#[derive(Debug)]
pub struct RingMapping {
    mapping: Mapping,
}

/// Makes every access before it visible to other observers of the memory before any access after it: between filling
/// memory and ringing a doorbell, and between an interrupt and reading what it announced.
pub fn fence() {
    core::sync::atomic::fence(Ordering::SeqCst);
}

impl MappedRegion {
    /// Maps `range`, which lies at `offset_bytes` in `fd`, for reading and writing. Neither needs page alignment.
    ///
    /// # Errors
    /// What the kernel says; `EOVERFLOW` when the offset does not fit the target's file offsets.
    pub fn new(
        fd: BorrowedFd<'_>,
        offset_bytes: u64,
        range: PhysRange,
        caching: Caching,
    ) -> io::Result<Self> {
        let place = match caching {
            Caching::Cached => nameable(),
            Caching::Uncached => MapFlags::empty(),
        };
        let mapping = Mapping::new(fd, offset_bytes, range.len_bytes(), place)?;
        Ok(Self {
            mapping,
            range,
            caching,
        })
    }

    /// The physical memory behind it.
    #[must_use]
    pub fn range(&self) -> PhysRange {
        self.range
    }

    /// How it is cached.
    #[must_use]
    pub fn caching(&self) -> Caching {
        self.caching
    }

    /// Where a part lies in this process, for a cache operation of the kernel.
    ///
    /// # Errors
    /// When the part does not lie inside.
    pub fn virtual_address(
        &self,
        offset: RegionOffset,
        len: ByteLen,
    ) -> Result<usize, AddressError> {
        let len = usize::try_from(len.value()).unwrap_or(usize::MAX);
        Ok(self.mapping.part(offset, len)?.addr())
    }

    /// Copies out.
    ///
    /// # Errors
    /// When the part does not lie inside; nothing was copied then.
    pub fn read(&self, offset: RegionOffset, into: &mut [u8]) -> Result<(), AddressError> {
        self.mapping.read(offset, into)
    }

    /// Copies in.
    ///
    /// # Errors
    /// When the part does not lie inside; nothing was copied then.
    pub fn write(&self, offset: RegionOffset, from: &[u8]) -> Result<(), AddressError> {
        self.mapping.write(offset, from)
    }

    /// Sets `len` bytes to `value`.
    ///
    /// # Errors
    /// When the part does not lie inside; nothing was written then.
    pub fn fill(&self, offset: RegionOffset, len: ByteLen, value: u8) -> Result<(), AddressError> {
        self.mapping.fill(offset, len, value)
    }

    /// Reads one little-endian word in a single access.
    ///
    /// # Errors
    /// When the word does not lie inside or is not aligned.
    pub fn read_word(&self, offset: RegionOffset) -> Result<u32, AddressError> {
        let word = self.mapping.word(offset)?;
        // SAFETY: `word` checked that four bytes at the pointer lie in the mapping and are aligned; the mapping lives
        // as long as `self`.
        Ok(u32::from_le(unsafe { word.read_volatile() }))
    }
}

impl RingMapping {
    /// Maps the first `len` bytes of `fd` for writing.
    ///
    /// # Errors
    /// What the kernel says; `EINVAL` when `len` is zero.
    pub fn new(fd: BorrowedFd<'_>, len: ByteLen) -> io::Result<Self> {
        Mapping::new(fd, 0, len, MapFlags::empty()).map(|mapping| Self { mapping })
    }

    /// Copies in.
    ///
    /// # Errors
    /// When the part does not lie inside; nothing was copied then.
    pub fn write(&self, offset: RegionOffset, from: &[u8]) -> Result<(), AddressError> {
        self.mapping.write(offset, from)
    }

    /// Publishes one word in the machine's own byte order: whoever sees it sees everything written before it. What is
    /// written after it is held back only by a [`fence`] in between.
    ///
    /// # Errors
    /// When the word does not lie inside or is not aligned.
    pub fn publish_word(&self, offset: RegionOffset, value: u32) -> Result<(), AddressError> {
        let word = self.mapping.word(offset)?;
        // SAFETY: `word` checked bounds and alignment, the mapping lives as long as `self`, and this process only ever
        // accesses such words atomically.
        unsafe { AtomicU32::from_ptr(word) }.store(value, Ordering::Release);
        Ok(())
    }
}

/// A mapping of a descriptor: the only owner of the addresses.
#[derive(Debug)]
struct Mapping {
    /// First byte asked for.
    start: NonNull<u8>,
    /// Bytes asked for.
    len: ByteLen,
    /// What the kernel mapped: `start` less the distance to the page it lies in.
    mapped: NonNull<u8>,
    /// Bytes the kernel mapped.
    mapped_len: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread; nothing of it is thread-local.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(
        fd: BorrowedFd<'_>,
        offset_bytes: u64,
        len: ByteLen,
        place: MapFlags,
    ) -> io::Result<Self> {
        let overflow = || io::Error::from(nix::errno::Errno::EOVERFLOW);
        // File offsets of a mapping are whole pages. No more than that is mapped: on a camera what lies before may be
        // the kernel's.
        let lead = offset_bytes % page_bytes()?;
        let lead_len = usize::try_from(lead).map_err(|_| overflow())?;
        let wanted = usize::try_from(len.value()).map_err(|_| overflow())?;
        if wanted == 0 {
            return Err(io::Error::from(nix::errno::Errno::EINVAL));
        }
        let mapped_len = lead_len
            .checked_add(wanted)
            .and_then(NonZeroUsize::new)
            .ok_or_else(overflow)?;
        let file_offset = (offset_bytes - lead).try_into().map_err(|_| overflow())?;
        // SAFETY: the kernel chooses the place (no address hint, no MAP_FIXED), so no existing mapping is replaced.
        // The memory is only accessed through raw pointers with volatile or atomic accesses, so that others may
        // change it.
        let mapped = unsafe {
            mmap(
                None,
                mapped_len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | place,
                fd,
                file_offset,
            )
        }?
        .cast::<u8>();
        // SAFETY: `lead_len` is less than `mapped_len`, so the result lies in the mapping just made.
        let start = unsafe { mapped.add(lead_len) };
        Ok(Self {
            start,
            len,
            mapped,
            mapped_len,
        })
    }

    /// The first byte of a part; `Err` unless all of the part lies inside.
    fn part(&self, offset: RegionOffset, len: usize) -> Result<*mut u8, AddressError> {
        let outside = || AddressError::OutOfRange {
            offset: offset.value(),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            range_len: self.len.value(),
        };
        let len_bytes = u32::try_from(len).map_err(|_| outside())?;
        let end = offset.value().checked_add(len_bytes);
        if end.is_none_or(|end| end > self.len.value()) {
            return Err(outside());
        }
        let distance = usize::try_from(offset.value()).map_err(|_| outside())?;
        // SAFETY: the distance is at most the length of the mapping, checked above.
        Ok(unsafe { self.start.as_ptr().add(distance) })
    }

    fn word(&self, offset: RegionOffset) -> Result<*mut u32, AddressError> {
        let word = self.part(offset, size_of::<u32>())?.cast::<u32>();
        if word.is_aligned() {
            Ok(word)
        } else {
            Err(AddressError::Unaligned {
                address: offset.value(),
                alignment: 4,
            })
        }
    }

    fn read(&self, offset: RegionOffset, into: &mut [u8]) -> Result<(), AddressError> {
        let mut from = self.part(offset, into.len())?;
        let (lead, rest) = into.split_at_mut(lead_len(from, into.len()));
        let (words, tail) = rest.as_chunks_mut::<4>();
        for byte in lead {
            // SAFETY: `part` checked that `into.len()` bytes from here lie in the mapping; the three loops together
            // advance by exactly that many.
            *byte = unsafe { from.read_volatile() };
            // SAFETY: see above.
            from = unsafe { from.add(1) };
        }
        for word in words {
            // SAFETY: as above, and `lead_len` made the pointer aligned.
            *word = unsafe { from.cast::<u32>().read_volatile() }.to_ne_bytes();
            // SAFETY: see above.
            from = unsafe { from.add(4) };
        }
        for byte in tail {
            // SAFETY: see the first loop.
            *byte = unsafe { from.read_volatile() };
            // SAFETY: see the first loop.
            from = unsafe { from.add(1) };
        }
        Ok(())
    }

    fn write(&self, offset: RegionOffset, from: &[u8]) -> Result<(), AddressError> {
        let mut into = self.part(offset, from.len())?;
        let (lead, rest) = from.split_at(lead_len(into, from.len()));
        let (words, tail) = rest.as_chunks::<4>();
        for byte in lead {
            // SAFETY: `part` checked that `from.len()` bytes from here lie in the mapping; the three loops together
            // advance by exactly that many.
            unsafe { into.write_volatile(*byte) };
            // SAFETY: see above.
            into = unsafe { into.add(1) };
        }
        for word in words {
            // SAFETY: as above, and `lead_len` made the pointer aligned.
            unsafe { into.cast::<u32>().write_volatile(u32::from_ne_bytes(*word)) };
            // SAFETY: see above.
            into = unsafe { into.add(4) };
        }
        for byte in tail {
            // SAFETY: see the first loop.
            unsafe { into.write_volatile(*byte) };
            // SAFETY: see the first loop.
            into = unsafe { into.add(1) };
        }
        Ok(())
    }

    fn fill(&self, offset: RegionOffset, len: ByteLen, value: u8) -> Result<(), AddressError> {
        const CHUNK: usize = 256;
        let chunk = [value; CHUNK];
        // Checks the whole part first, so that nothing is written when it does not fit.
        self.part(offset, usize::try_from(len.value()).unwrap_or(usize::MAX))?;
        let mut at = offset;
        let mut left = usize::try_from(len.value()).unwrap_or(usize::MAX);
        while left > 0 {
            let (bytes, _) = chunk.split_at(left.min(CHUNK));
            self.write(at, bytes)?;
            left -= bytes.len();
            at = at.checked_add(ByteLen::new(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is exactly what `new` mapped, it is unmapped once, and no pointer into it leaves this module.
        // A failure would leave it mapped, which harms nobody.
        let _ = unsafe { munmap(self.mapped.cast(), self.mapped_len.get()) };
    }
}

/// Cache operations of the kernel take addresses of 32 bits: where a process has more, mappings that need them lie low.
fn nameable() -> MapFlags {
    #[cfg(target_arch = "x86_64")]
    return MapFlags::MAP_32BIT;
    #[cfg(not(target_arch = "x86_64"))]
    return MapFlags::empty();
}

fn page_bytes() -> io::Result<u64> {
    let size = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or_default();
    u64::try_from(size)
        .ok()
        .filter(|size| size.is_power_of_two())
        .ok_or_else(|| io::Error::from(nix::errno::Errno::EINVAL))
}

/// Bytes up to the next whole word, at most `len`.
fn lead_len(pointer: *mut u8, len: usize) -> usize {
    pointer.align_offset(align_of::<u32>()).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::addr::PhysAddr;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    const PAGE: u32 = 64 * 1024;

    fn memory(len: u32) -> File {
        let fd = nix::sys::memfd::memfd_create("test", nix::sys::memfd::MFdFlags::empty());
        let file = File::from(fd.expect("anonymous memory"));
        file.set_len(u64::from(len)).expect("room");
        file
    }

    fn region(file: &File, offset: u64, len: u32) -> MappedRegion {
        let range = PhysRange::new(PhysAddr::new(0x0400_0100), ByteLen::new(len)).expect("range");
        MappedRegion::new(file.as_fd(), offset, range, Caching::Uncached).expect("mapping")
    }

    fn at(offset: u32) -> RegionOffset {
        RegionOffset::new(offset)
    }

    #[test]
    fn what_is_written_is_found_in_the_file_at_any_offset_and_length() {
        let file = memory(2 * PAGE);
        let base = u64::from(PAGE) - 256;
        let region = region(&file, base, 512);
        for offset in 0..9u8 {
            for len in 0..23usize {
                let bytes: Vec<u8> = (1..=23).map(|v| v + offset).take(len).collect();
                region.fill(at(0), ByteLen::new(64), 0xee).expect("fill");
                region.write(at(offset.into()), &bytes).expect("write");
                let mut seen = vec![0; 64];
                file.read_exact_at(&mut seen, base).expect("file");
                let start = usize::from(offset);
                assert_eq!(seen[start..start + len], bytes);
                assert!(seen[..start].iter().all(|b| *b == 0xee));
                assert!(seen[start + len..].iter().all(|b| *b == 0xee));
                let mut back = vec![0; len];
                region.read(at(offset.into()), &mut back).expect("read");
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn a_part_that_reaches_over_the_end_is_refused_and_changes_nothing() {
        let file = memory(PAGE);
        let region = region(&file, 0, 300);
        for (offset, len) in [(300, 1), (299, 2), (0, 301), (u32::MAX, 1), (u32::MAX, 300)] {
            assert!(region.write(at(offset), &vec![7; len]).is_err());
            assert!(region.read(at(offset), &mut vec![7; len]).is_err());
            let len = ByteLen::new(u32::try_from(len).expect("small"));
            assert!(region.fill(at(offset), len, 7).is_err());
        }
        assert!(region.fill(at(10), ByteLen::new(u32::MAX), 7).is_err());
        region.write(at(300), &[]).expect("nothing at the end");
        let mut seen = vec![0; 512];
        file.read_exact_at(&mut seen, 0).expect("file");
        assert!(seen.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn words_are_little_endian_aligned_and_inside() {
        let file = memory(PAGE);
        let region = region(&file, 256, 256);
        file.write_all_at(&[0x44, 0x33, 0x22, 0x11], 260)
            .expect("file");
        assert_eq!(region.read_word(at(4)), Ok(0x1122_3344));
        for wrong in [1, 2, 3, 253, 256, u32::MAX] {
            assert!(region.read_word(at(wrong)).is_err());
        }
    }

    #[test]
    fn an_empty_ring_is_refused_and_published_words_reach_the_file() {
        let file = memory(PAGE);
        assert!(RingMapping::new(file.as_fd(), ByteLen::ZERO).is_err());
        let ring = RingMapping::new(file.as_fd(), ByteLen::new(PAGE)).expect("mapping");
        ring.write(at(PAGE - 3), b"end").expect("write");
        ring.publish_word(at(64), 0x0102_0304).expect("word");
        assert!(ring.publish_word(at(65), 1).is_err());
        assert!(ring.write(at(PAGE - 2), b"end").is_err());
        let mut seen = [0; 4];
        file.read_exact_at(&mut seen, 64).expect("file");
        assert_eq!(u32::from_ne_bytes(seen), 0x0102_0304);
    }
}
