//! A mapping of memory that another process or the encoder changes at any time.
//!
//! No reference to such memory is ever handed out: bytes go in and out by volatile copies whose bounds are
//! checked, words by atomic loads. The only unsafe code of this crate beside `sys.rs`.
#![allow(unsafe_code)]

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading: a write through it would fault, so there is no way to ask for one.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// Mapped shared memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    access: Access,
    /// Bytes of the first page before `start`.
    lead: usize,
}

// SAFETY: a mapping belongs to the process and not to a thread; all access goes through raw pointers.
unsafe impl Send for Mapping {}
// SAFETY: methods that take `&self` only make volatile or atomic reads; writing takes `&mut self`.
unsafe impl Sync for Mapping {}

/// Where mappings of a file may start.
fn page_bytes() -> io::Result<u64> {
    let bytes = sysconf(SysconfVar::PAGE_SIZE)?;
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| io::Error::other("expected a page size of the system, found none"))
}

impl Mapping {
    /// Maps `[offset, offset + len)` of a file, which need not start at a page.
    pub(crate) fn new(
        file: impl AsFd,
        offset_bytes: u64,
        len: usize,
        access: Access,
    ) -> io::Result<Self> {
        let lead_bytes = offset_bytes % page_bytes()?;
        let lead = usize::try_from(lead_bytes).map_err(io::Error::other)?;
        let whole = len
            .checked_add(lead)
            .filter(|_| len > 0 && isize::try_from(len).is_ok())
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| io::Error::other("expected a mapping of at least 1 byte"))?;
        let offset = (offset_bytes - lead_bytes)
            .try_into()
            .map_err(io::Error::other)?;
        let protection = match access {
            Access::Read => ProtFlags::PROT_READ,
            Access::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory of the process.
        let address = unsafe { mmap(None, whole, protection, MapFlags::MAP_SHARED, file, offset) }?;
        // SAFETY: `lead` is less than the `lead + len` bytes that were just mapped.
        let start = unsafe { address.cast::<u8>().add(lead) };
        Ok(Self {
            start,
            len,
            access,
            lead,
        })
    }

    /// Copies bytes out.
    ///
    /// Panics when they are not all inside: callers check what they take from a peer.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        assert!(self.holds(offset, to.len()));
        // SAFETY: the source was checked just now to lie inside the mapping, which lives as long as `self`; the
        // destination is an exclusive slice of the same length; a slice never overlaps a mapping, because no
        // slice of one is ever made.
        unsafe { volatile_out(self.start.as_ptr().add(offset), to.as_mut_ptr(), to.len()) }
    }

    /// Copies bytes in.
    ///
    /// Panics when they are not all inside, or the mapping is for reading.
    pub(crate) fn copy_in(&mut self, offset: usize, from: &[u8]) {
        assert!(self.access == Access::ReadWrite && self.holds(offset, from.len()));
        // SAFETY: as in `copy_out` with the directions swapped; the mapping is writable, and `&mut self` keeps
        // the other threads of this process out.
        unsafe { volatile_in(from.as_ptr(), self.start.as_ptr().add(offset), from.len()) }
    }

    /// Loads a word that another process stores atomically.
    ///
    /// Panics when it is not inside or not aligned.
    pub(crate) fn load_u32(&self, offset: usize) -> u32 {
        assert!(self.holds(offset, 4) && (self.start.addr().get() + offset).is_multiple_of(4));
        // SAFETY: the word is inside the mapping and aligned, both checked just now. Only atomic loads of four
        // bytes are made, which are plain loads on every target of this crate and so allowed on read-only pages.
        let word = unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) };
        word.load(Ordering::Relaxed)
    }

    fn holds(&self, offset: usize, len: usize) -> bool {
        offset <= self.len && len <= self.len - offset
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and no pointer into it outlives `self`.
        let unmapped = unsafe { munmap(self.start.sub(self.lead).cast(), self.lead + self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Bytes of a machine word, the unit of the copies.
const WORD: usize = size_of::<usize>();

/// Copies out of shared memory: each of its words is read exactly once, so that the compiler neither repeats nor
/// invents a read of memory that others change.
///
/// # Safety
/// `shared` must be readable and `own` writable for `len` bytes; `own` is memory of this process alone.
unsafe fn volatile_out(shared: *const u8, own: *mut u8, len: usize) {
    let mut done = 0;
    let head = (shared.addr().next_multiple_of(WORD) - shared.addr()).min(len);
    while done < len {
        if done >= head && len - done >= WORD {
            // SAFETY: a whole word is left, and the shared side is aligned to it behind the head.
            unsafe {
                let word = shared.add(done).cast::<usize>().read_volatile();
                own.add(done).cast::<usize>().write_unaligned(word);
            }
            done += WORD;
        } else {
            // SAFETY: `done < len`.
            unsafe { *own.add(done) = shared.add(done).read_volatile() };
            done += 1;
        }
    }
}

/// Copies into shared memory: each of its words is written exactly once.
///
/// # Safety
/// `own` must be readable and `shared` writable for `len` bytes; `own` is memory of this process alone.
unsafe fn volatile_in(own: *const u8, shared: *mut u8, len: usize) {
    let mut done = 0;
    let head = (shared.addr().next_multiple_of(WORD) - shared.addr()).min(len);
    while done < len {
        if done >= head && len - done >= WORD {
            // SAFETY: a whole word is left, and the shared side is aligned to it behind the head.
            unsafe {
                let word = own.add(done).cast::<usize>().read_unaligned();
                shared.add(done).cast::<usize>().write_volatile(word);
            }
            done += WORD;
        } else {
            // SAFETY: `done < len`.
            unsafe { shared.add(done).write_volatile(*own.add(done)) };
            done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _, Write as _};

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = crate::testing::shared_file();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn copies_of_every_alignment_and_length_move_exactly_their_bytes() {
        let bytes: Vec<u8> = (0..100).collect();
        let mapping = Mapping::new(file(&bytes), 0, 100, Access::Read).unwrap();
        for offset in 0..20 {
            for shift in 0..9 {
                for len in 0..40 {
                    let mut out = [0xEE; 64];
                    mapping.copy_out(offset, &mut out[shift..shift + len]);
                    assert_eq!(out[shift..shift + len], bytes[offset..offset + len]);
                    assert!(
                        out[..shift]
                            .iter()
                            .chain(&out[shift + len..])
                            .all(|b| *b == 0xEE)
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_copied_in_is_in_the_file_and_nothing_else_changes() {
        let mut file = file(&[0; 9000]);
        let mut mapping = Mapping::new(&file, 5000, 3000, Access::ReadWrite).unwrap();
        let bytes: Vec<u8> = (1..=250).collect();
        mapping.copy_in(13, &bytes[1..]);
        mapping.copy_in(2999, &[7]);
        drop(mapping);
        let mut expected = vec![0; 9000];
        expected[5013..5013 + 249].copy_from_slice(&bytes[1..]);
        expected[7999] = 7;
        let mut found = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut found).unwrap();
        assert!(found == expected);
    }

    #[test]
    fn a_word_is_loaded_as_the_machine_stores_it() {
        let mapping = Mapping::new(file(&[0, 0, 0, 0, 1, 2, 3, 4]), 0, 8, Access::Read).unwrap();
        assert_eq!(mapping.load_u32(4), u32::from_ne_bytes([1, 2, 3, 4]));
    }

    #[test]
    #[should_panic(expected = "self.holds(offset, to.len())")]
    fn a_copy_that_ends_outside_is_never_made() {
        let mapping = Mapping::new(file(&[0; 16]), 0, 16, Access::Read).unwrap();
        mapping.copy_out(10, &mut [0; 7]);
    }
}
