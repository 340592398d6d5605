//! The model's physical memory, as files that both the model and this process reach.
//!
//! The arena is two memory files: what the device reads and writes, and the image that cached mappings show. A range
//! that is exported gets a fresh file of its own, laid over the arena: who holds it reaches that range and nothing
//! else, and nothing at all once it was taken back. Source windows stand for memory of another allocator: a named file
//! that another process writes, or zeros.

use crate::device::Export;
use crate::device::error::DeviceError;
use crate::mem::addr::{AddressError, ByteLen, PhysAddr, PhysRange, RegionOffset};
use crate::mem::map::{Caching, MappedRegion};
use crate::mem::shm;
use avpu_model::memory::{Image, Segment, SegmentedMemory};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// The files behind the model's memory.
#[derive(Debug)]
pub(super) struct ModelMemory {
    arena: PhysRange,
    /// What the device reads and writes.
    ram: File,
    /// What cached mappings show.
    image: File,
    exports: Vec<Exported>,
}

/// A range that other processes reach.
#[derive(Debug)]
struct Exported {
    range: PhysRange,
    file: File,
}

impl ModelMemory {
    /// Zeroed memory of `len` at `start`.
    ///
    /// # Errors
    /// When the range is none, or the system has no memory for it.
    pub(super) fn new(start: PhysAddr, len: ByteLen) -> Result<Self, DeviceError> {
        let arena = PhysRange::new(start, len).map_err(|source| DeviceError::Address {
            operation: "placing the model's memory",
            source,
        })?;
        Ok(Self {
            arena,
            ram: memory_file(len)?,
            image: memory_file(len)?,
            exports: Vec::new(),
        })
    }

    /// All of it, source windows not counted.
    #[must_use]
    pub(super) fn arena(&self) -> PhysRange {
        self.arena
    }

    /// The arena for the model.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn segment(&self) -> Result<Segment, DeviceError> {
        segment(self.arena, &self.ram, Some(&self.image))
    }

    /// Maps a part of the arena into this process.
    ///
    /// # Errors
    /// When it is not inside, is exported, or the kernel refuses.
    pub(super) fn map(
        &self,
        range: PhysRange,
        caching: Caching,
    ) -> Result<MappedRegion, DeviceError> {
        const OPERATION: &str = "mapping the model's memory";
        self.check_free(range, OPERATION)?;
        let file = match caching {
            Caching::Cached => &self.image,
            Caching::Uncached => &self.ram,
        };
        let offset = self.place(range, OPERATION)?;
        MappedRegion::new(file.as_fd(), offset, range, caching).map_err(os(OPERATION))
    }

    /// Makes a fresh, zeroed file for a range and says what the model must lay over the arena.
    ///
    /// # Errors
    /// When the range is not inside, shares a byte with an exported one, or the system has no memory.
    pub(super) fn export(&mut self, range: PhysRange) -> Result<Segment, DeviceError> {
        const OPERATION: &str = "exporting the model's memory";
        self.place(range, OPERATION)?;
        self.check_free(range, OPERATION)?;
        let file = memory_file(ByteLen::new(range.len().get()))?;
        // Uncached: what another process writes is what the device reads.
        let overlay = segment(range, &file, None)?;
        self.exports.push(Exported { range, file });
        Ok(overlay)
    }

    /// How another process reaches an exported range.
    pub(super) fn exported(&self, range: PhysRange) -> Export<'_> {
        let found = self.exports.iter().find(|export| export.range == range);
        found.map_or(Export::None, |export| Export::Descriptor {
            fd: export.file.as_fd(),
            offset_bytes: 0,
            caching: Caching::Uncached,
        })
    }

    /// Forgets an exported range. Processes that have it mapped keep a file that no device reads any more.
    ///
    /// # Errors
    /// When exactly this range was not exported.
    pub(super) fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        let index = self
            .exports
            .iter()
            .position(|export| export.range == range)
            .ok_or_else(|| DeviceError::Unusable {
                reason: format!("expected an exported range, found {range}"),
            })?;
        self.exports.swap_remove(index);
        Ok(())
    }

    /// How far into the arena's files a range lies.
    fn place(&self, range: PhysRange, operation: &'static str) -> Result<u64, DeviceError> {
        let address = |source| DeviceError::Address { operation, source };
        let offset = self.arena.offset_of(range.start()).map_err(address)?;
        if !self.arena.contains_range(range) {
            return Err(address(AddressError::OutOfRange {
                offset: offset.value(),
                len: range.len().get(),
                range_len: self.arena.len().get(),
            }));
        }
        Ok(u64::from(offset.value()))
    }

    fn check_free(&self, range: PhysRange, operation: &'static str) -> Result<(), DeviceError> {
        match self
            .exports
            .iter()
            .find(|export| export.range.overlaps(range))
        {
            Some(export) => Err(DeviceError::Unusable {
                reason: format!(
                    "{operation}: expected memory that is not exported, found {range} in {}",
                    export.range
                ),
            }),
            None => Ok(()),
        }
    }
}

/// Everything that the model reaches: the arena, and over other addresses the source windows.
///
/// # Errors
/// As [`source_windows`].
pub(super) fn lay_all(
    memory: &ModelMemory,
    windows: &[PhysRange],
    source_file: Option<&Path>,
) -> Result<SegmentedMemory, DeviceError> {
    let mut segments = SegmentedMemory::new();
    segments.lay(memory.segment()?);
    for window in source_windows(memory.arena(), windows, source_file)? {
        segments.lay(window);
    }
    Ok(segments)
}

/// The part of a region to be flushed; `None` when it is uncached and needs none.
///
/// # Errors
/// When it is empty or not inside.
pub(super) fn cached_part(
    region: &MappedRegion,
    offset: RegionOffset,
    len: ByteLen,
) -> Result<Option<PhysRange>, DeviceError> {
    let part = region.range().sub(offset, len);
    let part = part.map_err(|source| DeviceError::Address {
        operation: "flushing a cache",
        source,
    })?;
    Ok((region.caching() == Caching::Cached).then_some(part))
}

/// Segments for the memory of another allocator: the windows lie in `path` one behind the other, or are zeros without
/// one. The device reads them and never writes.
///
/// # Errors
/// When a window shares a byte with the arena, or the file is missing or too short.
fn source_windows(
    arena: PhysRange,
    windows: &[PhysRange],
    path: Option<&Path>,
) -> Result<Vec<Segment>, DeviceError> {
    if let Some(window) = windows.iter().find(|window| window.overlaps(arena)) {
        return Err(DeviceError::Unusable {
            reason: format!(
                "expected source windows outside the model's memory {arena}, found {window}"
            ),
        });
    }
    let Some(path) = path else {
        let zeros = |window: &PhysRange| {
            let file = memory_file(ByteLen::new(window.len().get()))?;
            segment(*window, &file, None)
        };
        return windows.iter().map(zeros).collect();
    };
    let unusable = |reason: String| DeviceError::Unusable {
        reason: format!("source-file={}: {reason}", path.display()),
    };
    let file = File::open(path).map_err(|error| unusable(error.to_string()))?;
    let found = file
        .metadata()
        .map_err(|error| unusable(error.to_string()))?
        .len();
    let needed: u64 = windows
        .iter()
        .map(|window| u64::from(window.len().get()))
        .sum();
    if windows.is_empty() || found < needed {
        return Err(unusable(format!(
            "expected a source window and as many bytes as it has, found {} windows of {needed} bytes and a file of {found}",
            windows.len()
        )));
    }
    let mut offset = 0;
    let lay = |window: &PhysRange| {
        let copy = file.try_clone().map_err(os("opening the source file"))?;
        let start = offset;
        offset += u64::from(window.len().get());
        of_range(*window, Image::new(copy, start), None)
    };
    windows.iter().map(lay).collect()
}

fn segment(range: PhysRange, ram: &File, image: Option<&File>) -> Result<Segment, DeviceError> {
    const OPERATION: &str = "sharing the model's memory";
    let ram = ram.try_clone().map_err(os(OPERATION))?;
    let image = image
        .map(File::try_clone)
        .transpose()
        .map_err(os(OPERATION))?;
    of_range(
        range,
        Image::new(ram, 0),
        image.map(|file| Image::new(file, 0)),
    )
}

fn of_range(range: PhysRange, ram: Image, image: Option<Image>) -> Result<Segment, DeviceError> {
    Segment::new(range.start().value(), range.len().get(), ram, image).map_err(|error| {
        DeviceError::Unusable {
            reason: error.to_string(),
        }
    })
}

/// An anonymous zeroed file that nobody can resize: a peer that holds it cannot take memory away under the device.
fn memory_file(len: ByteLen) -> Result<File, DeviceError> {
    const OPERATION: &str = "making a memory file";
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = match memfd_create("avpud-model", flags) {
        Ok(fd) => File::from(fd),
        // Kernels before 3.17: no seals either.
        Err(Errno::ENOSYS) => return unlinked_file(len).map_err(os(OPERATION)),
        Err(error) => return Err(os(OPERATION)(error.into())),
    };
    file.set_len(u64::from(len.value()))
        .map_err(os(OPERATION))?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(|error| os(OPERATION)(error.into()))?;
    Ok(file)
}

fn unlinked_file(len: ByteLen) -> io::Result<File> {
    let (file, _) = shm::unlinked("avpud-model", 0o600)?;
    file.set_len(u64::from(len.value()))?;
    Ok(file)
}

fn os(operation: &'static str) -> impl Fn(io::Error) -> DeviceError {
    move |source| DeviceError::Os { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use avpu_model::memory::Memory;
    use std::fs;
    use std::os::unix::fs::FileExt;

    const BASE: u32 = 0x0630_0000;

    fn memory() -> ModelMemory {
        ModelMemory::new(PhysAddr::new(BASE), ByteLen::new(0x10_0000)).expect("memory")
    }

    fn range(start: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
    }

    #[test]
    fn an_uncached_mapping_is_what_the_device_reads_and_a_cached_one_is_not() {
        let memory = memory();
        let mut device = SegmentedMemory::new();
        device.lay(memory.segment().expect("a segment"));
        let at = range(BASE + 0x1100, 0x100);
        for (caching, seen) in [(Caching::Uncached, [7; 4]), (Caching::Cached, [7; 4])] {
            let value = if caching == Caching::Cached { 9 } else { 7 };
            let region = memory.map(at, caching).expect("mapped");
            region
                .write(RegionOffset::ZERO, &[value; 4])
                .expect("inside");
            let mut found = [0; 4];
            device.read(BASE + 0x1100, &mut found).expect("memory");
            assert_eq!(found, seen, "{caching:?}");
        }
    }

    #[test]
    fn an_exported_range_is_a_file_of_its_own_that_starts_empty_and_cannot_be_resized() {
        let mut memory = memory();
        let mut device = SegmentedMemory::new();
        device.lay(memory.segment().expect("a segment"));
        let lease = range(BASE + 0x2000, 0x1000);
        device.write(BASE + 0x2000, b"old").expect("memory");
        device.lay(memory.export(lease).expect("exported"));
        let Export::Descriptor { fd, .. } = memory.exported(lease) else {
            panic!("expected a descriptor");
        };
        let file = File::from(fd.try_clone_to_owned().expect("a descriptor"));
        assert_eq!(file.metadata().expect("a file").len(), 0x1000);
        let mut seen = [1; 3];
        device.read(BASE + 0x2000, &mut seen).expect("memory");
        assert_eq!(seen, [0; 3]);
        file.write_all_at(b"new", 0).expect("written");
        device.read(BASE + 0x2000, &mut seen).expect("memory");
        assert_eq!(&seen, b"new");
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(0x2000).is_err());
        // Taken back, the file is still the peer's and no longer the device's.
        memory.withdraw(lease).expect("exported");
        device.remove(BASE + 0x2000, 0x1000).expect("laid");
        file.write_all_at(b"xxx", 0).expect("written");
        device.read(BASE + 0x2000, &mut seen).expect("memory");
        assert_eq!(&seen, b"old");
        assert!(memory.withdraw(lease).is_err());
    }

    #[test]
    fn ranges_outside_or_in_use_are_refused() {
        let mut memory = memory();
        for outside in [
            range(BASE - 1, 2),
            range(BASE + 0xf_ffff, 2),
            range(0x1000, 1),
        ] {
            assert!(memory.map(outside, Caching::Cached).is_err());
            assert!(memory.export(outside).is_err());
        }
        let lease = range(BASE + 0x2000, 0x1000);
        memory.export(lease).expect("exported");
        assert!(memory.export(range(BASE + 0x2fff, 1)).is_err());
        assert!(
            memory
                .map(range(BASE + 0x1fff, 2), Caching::Uncached)
                .is_err()
        );
        assert!(memory.withdraw(range(BASE + 0x2000, 0x800)).is_err());
    }

    #[test]
    fn a_source_window_shows_a_named_file_and_is_never_written() {
        let folder = Scratch::new();
        let path = folder.path().join("window");
        fs::write(&path, [0x5a; 0x3000]).expect("a file");
        let arena = memory().arena();
        let windows = [range(0x0100_0000, 0x1000), range(0x0200_0000, 0x2000)];
        let mut device = SegmentedMemory::new();
        for segment in source_windows(arena, &windows, Some(&path)).expect("laid") {
            device.lay(segment);
        }
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.write_all_at(b"frame", 0x1000))
            .expect("written");
        let mut seen = [0; 5];
        device.read(0x0200_0000, &mut seen).expect("memory");
        assert_eq!(&seen, b"frame");
        assert!(device.write(0x0200_0000, b"x").is_err());
        let too_long = [range(0x0100_0000, 0x3001)];
        assert!(source_windows(arena, &too_long, Some(&path)).is_err());
        assert!(source_windows(arena, &[], Some(&path)).is_err());
        assert!(source_windows(arena, &[arena], None).is_err());
    }
}
