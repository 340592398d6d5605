//! Memory of others that the model reads: sealed memory files stand for the buffers of other drivers.
//!
//! The model plays the kernel's part too: it chooses where such a buffer lies, outside of all other memory.

use crate::device::error::{DeviceError, ImportError};
use crate::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use avpu_model::memory::{Image, Segment};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use std::fs::File;
use std::os::fd::OwnedFd;

/// What was imported, and what lies where.
#[derive(Debug)]
pub(super) struct Imports {
    /// The arena and the source windows.
    taken: Vec<PhysRange>,
    held: Vec<PhysRange>,
}

/// The first address that is tried: behind all memory that a camera has.
const FIRST: PhysAddr = PhysAddr::new(0x4000_0000);
const PAGE: Alignment = Alignment::constant(4096);

impl Imports {
    pub(super) fn new(arena: PhysRange, windows: &[PhysRange]) -> Self {
        let mut taken = windows.to_vec();
        taken.push(arena);
        Self {
            taken,
            held: Vec::new(),
        }
    }

    /// Chooses a place for `len` bytes of a memory file, and says what the model must lay there.
    ///
    /// # Errors
    /// When it is no memory file that keeps its length, it is shorter, or there is no place left.
    pub(super) fn import(
        &mut self,
        buffer: OwnedFd,
        len: ByteLen,
    ) -> Result<(PhysRange, Segment), ImportError> {
        let file = File::from(buffer);
        check(&file, len)?;
        let range = self.place(len).ok_or_else(|| ImportError::Unsupported {
            reason: format!("expected room for {len} beside all memory, found none"),
        })?;
        let ram = Image::new(file, 0);
        let overlay = Segment::new(range.start().value(), range.len().get(), ram, None);
        let overlay = overlay.map_err(|error| ImportError::Unsupported {
            reason: error.to_string(),
        })?;
        self.held.push(range);
        Ok((range, overlay))
    }

    /// Forgets a place.
    ///
    /// # Errors
    /// When exactly this range was not imported.
    pub(super) fn release(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        let index = self.held.iter().position(|held| *held == range);
        let index = index.ok_or_else(|| DeviceError::Unusable {
            reason: format!("expected an imported range, found {range}"),
        })?;
        self.held.swap_remove(index);
        Ok(())
    }

    /// The lowest whole pages that are nobody's.
    fn place(&self, len: ByteLen) -> Option<PhysRange> {
        let mut start = FIRST;
        loop {
            let range = PhysRange::new(start, len).ok()?;
            let mut others = self.taken.iter().chain(&self.held);
            let Some(other) = others.find(|other| other.overlaps(range)) else {
                return Some(range);
            };
            let behind = other.last().checked_add(ByteLen::new(1)).ok()?;
            start = behind.align_up(PAGE).ok()?;
        }
    }
}

/// A file that its owner can cut short would let the model read nothing in the middle of a picture.
fn check(file: &File, len: ByteLen) -> Result<(), ImportError> {
    let unsupported = |found: String| {
        Err(ImportError::Unsupported {
            reason: format!(
                "expected a memory file of at least {len} that is sealed against shrinking, found {found}"
            ),
        })
    };
    let seals = match fcntl(file, FcntlArg::F_GET_SEALS) {
        Ok(bits) => SealFlag::from_bits_truncate(bits),
        Err(errno) => return unsupported(format!("another file: {errno}")),
    };
    if !seals.contains(SealFlag::F_SEAL_SHRINK) {
        return unsupported("one that is not sealed".to_owned());
    }
    match file.metadata() {
        Ok(metadata) if metadata.len() >= u64::from(len.value()) => Ok(()),
        Ok(metadata) => unsupported(format!("one of {} bytes", metadata.len())),
        Err(error) => unsupported(format!("one whose length nobody tells: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::memfd::{MFdFlags, memfd_create};

    fn memory_file(len: u64, seals: SealFlag) -> OwnedFd {
        let file = memfd_create("buffer", MFdFlags::MFD_ALLOW_SEALING).expect("memory");
        let file = File::from(file);
        file.set_len(len).expect("room");
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("sealed");
        file.into()
    }

    fn range(start: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
    }

    #[test]
    fn only_a_long_enough_file_that_keeps_its_length_is_taken() {
        let mut imports = Imports::new(range(0x0600_0000, 0x10_0000), &[]);
        let len = ByteLen::new(8192);
        let null = File::open("/dev/null").expect("every system has it");
        let refused = [
            memory_file(8192, SealFlag::empty()),
            memory_file(8191, SealFlag::F_SEAL_SHRINK),
            null.into(),
        ];
        for buffer in refused {
            let error = imports.import(buffer, len).map(|(range, _)| range);
            assert!(matches!(error, Err(ImportError::Unsupported { .. })));
        }
        let good = memory_file(8192, SealFlag::F_SEAL_SHRINK);
        let (at, _) = imports.import(good, len).expect("taken");
        assert_eq!(at, range(0x4000_0000, 8192));
    }

    #[test]
    fn buffers_lie_beside_each_other_and_beside_all_other_memory() {
        let window = range(0x4000_1000, 0x1000);
        let mut imports = Imports::new(range(0x0600_0000, 0x10_0000), &[window]);
        let mut import = |len: u32| {
            let buffer = memory_file(u64::from(len), SealFlag::F_SEAL_SHRINK);
            let (at, _) = imports.import(buffer, ByteLen::new(len)).expect("taken");
            at
        };
        assert_eq!(import(0x1000), range(0x4000_0000, 0x1000));
        let second = import(0x1001);
        assert_eq!(second, range(0x4000_2000, 0x1001));
        assert_eq!(import(0x1000), range(0x4000_4000, 0x1000));
        imports.release(second).expect("imported");
        assert!(imports.release(second).is_err());
        let buffer = memory_file(0x1000, SealFlag::F_SEAL_SHRINK);
        let (again, _) = imports.import(buffer, ByteLen::new(0x1000)).expect("taken");
        assert_eq!(again, range(0x4000_2000, 0x1000));
    }
}
