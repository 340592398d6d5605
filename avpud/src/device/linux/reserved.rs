//! The daemon's reserved memory: mapped, kept coherent, lent to other processes.
//!
//! Two devices reach the same bytes and neither checks anything, so every range is checked here. `/dev/rmem` maps
//! through the cache, for stream buffers; `/dev/mem`, opened for synchronous access, maps around it, for command lists,
//! tables and guards. A byte that is used one way is not used the other way: lines of the cached alias are clean before
//! the first access of a run and stay so except between a write and its flush. Pictures are not mapped at all.
//!
//! The cache operation takes an address of this process, a length and a direction, and the kernel does not survive a
//! wrong one.
#![allow(unsafe_code)]

use super::ioctl::{self, CacheOperation};
use crate::device::error::DeviceError;
use crate::device::{Caching, Export, FlushDirection};
use crate::mem::addr::{AddressError, Alignment, ByteLen, PhysRange, RegionOffset};
use crate::mem::map::{self, MappedRegion};
use core::num::NonZeroU32;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

/// The device that maps through the cache.
pub const CACHED_PATH: &str = "/dev/rmem";
/// The device that maps around the cache.
pub const UNCACHED_PATH: &str = "/dev/mem";

/// The arena and the ways to it.
#[derive(Debug)]
pub(super) struct Reserved {
    arena: PhysRange,
    /// Locked: by one daemon at a time, whatever their sockets.
    cached: Flock<File>,
    uncached: File,
    exports: Vec<PhysRange>,
    /// Nothing of earlier users is in the cache.
    settled: bool,
}

/// Why the memory cannot be had.
#[derive(Debug)]
pub(super) enum ReservedError {
    /// Another daemon has it.
    Locked,
    /// The system says no.
    Device(DeviceError),
}

/// Cache operations cover whole lines of this length: that of the larger cache is not known, and no camera has more.
const LINE: Alignment = Alignment::constant(64);
const FLUSHING: &str = "flushing a cache";

impl Reserved {
    /// Opens the devices, touching neither memory nor cache: the encoder may still be writing to it.
    pub(super) fn open(arena: PhysRange) -> Result<Self, ReservedError> {
        let open = |path, flags| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(path)
        };
        let os =
            |operation| move |source| ReservedError::Device(DeviceError::Os { operation, source });
        let cached = open(CACHED_PATH, 0).map_err(os("opening /dev/rmem"))?;
        let uncached = open(UNCACHED_PATH, libc::O_SYNC).map_err(os("opening /dev/mem"))?;
        let cached = Flock::lock(cached, FlockArg::LockExclusiveNonblock).map_err(
            |(_, errno)| match errno {
                nix::errno::Errno::EWOULDBLOCK => ReservedError::Locked,
                errno => os("locking /dev/rmem")(errno.into()),
            },
        )?;
        Ok(Self {
            arena,
            cached,
            uncached,
            exports: Vec::new(),
            settled: false,
        })
    }

    /// All of it.
    pub(super) fn arena(&self) -> PhysRange {
        self.arena
    }

    /// Maps a part of the arena. Only once the encoder is known to be quiet.
    ///
    /// # Errors
    /// When it is not inside, is exported, or the kernel refuses.
    pub(super) fn map(
        &mut self,
        range: PhysRange,
        caching: Caching,
    ) -> Result<MappedRegion, DeviceError> {
        self.check(range)?;
        self.settle()?;
        self.map_any(range, caching)
    }

    /// Makes cache and memory agree over whole lines around a part of a cached region.
    ///
    /// # Errors
    /// When the part is empty or not inside, or the kernel refuses.
    pub(super) fn flush(
        &self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        let (offset, len) = whole_lines(region.range(), offset, len).map_err(address)?;
        if region.caching() == Caching::Uncached {
            return Ok(());
        }
        let start = region.virtual_address(offset, len).map_err(address)?;
        let start = u32::try_from(start).map_err(|_| DeviceError::Unusable {
            reason: format!("{FLUSHING}: expected a mapping below 4 GiB, found 0x{start:x}"),
        })?;
        let len = NonZeroU32::new(len.value()).ok_or_else(|| {
            address(AddressError::Empty {
                start: region.range().start().value(),
            })
        })?;
        let operation = match direction {
            FlushDirection::ToDevice => CacheOperation::WriteBack,
            FlushDirection::FromDevice => CacheOperation::Invalidate,
            FlushDirection::Both => CacheOperation::Both,
        };
        // SAFETY: `virtual_address` checked that all of the part lies in the region, which is mapped for the length of
        // its borrow, through the cache; no region holds Rust memory.
        unsafe { ioctl::flush(self.cached.as_fd(), start, len, operation) }
            .map_err(|errno| os(FLUSHING)(errno.into()))
    }

    /// Prepares a range for another process.
    ///
    /// # Errors
    /// When it is not inside, shares a byte with one that is exported, or cannot be mapped.
    pub(super) fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        let region = self.map(range, Caching::Uncached)?;
        region
            .fill(RegionOffset::ZERO, range.len_bytes(), 0)
            .map_err(address)?;
        map::fence();
        self.exports.push(range);
        Ok(Export::PhysicalDevice {
            path: UNCACHED_PATH,
            offset_bytes: u64::from(range.start().value()),
            caching: Caching::Uncached,
        })
    }

    /// Takes an exported range back. Who has it mapped through the device of all memory keeps that: only processes that
    /// may touch any memory get so far.
    ///
    /// # Errors
    /// When exactly this range was not exported.
    pub(super) fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        let index = self.exports.iter().position(|export| *export == range);
        let index = index.ok_or_else(|| DeviceError::Unusable {
            reason: format!("expected an exported range, found {range}"),
        })?;
        self.exports.swap_remove(index);
        Ok(())
    }

    /// Once, before anything is touched: drops what earlier users of the memory left in the cache, so that nothing is
    /// written back over what the encoder or the uncached alias write later.
    fn settle(&mut self) -> Result<(), DeviceError> {
        if !self.settled {
            let all = self.map_any(self.arena, Caching::Cached)?;
            let len = self.arena.len_bytes();
            self.flush(&all, RegionOffset::ZERO, len, FlushDirection::Both)?;
            self.settled = true;
        }
        Ok(())
    }

    fn map_any(&self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        let fd = match caching {
            Caching::Cached => self.cached.as_fd(),
            Caching::Uncached => self.uncached.as_fd(),
        };
        let offset_bytes = u64::from(range.start().value());
        MappedRegion::new(fd, offset_bytes, range, caching)
            .map_err(os("mapping the reserved memory"))
    }

    /// Inside the arena, and nobody else's.
    fn check(&self, range: PhysRange) -> Result<(), DeviceError> {
        if !self.arena.contains_range(range) {
            return Err(DeviceError::Unusable {
                reason: format!("expected memory in {}, found {range}", self.arena),
            });
        }
        match self.exports.iter().find(|export| export.overlaps(range)) {
            Some(export) => Err(DeviceError::Unusable {
                reason: format!("expected memory that is not exported, found {range} in {export}"),
            }),
            None => Ok(()),
        }
    }
}

/// The whole cache lines around a part of a region, cut at the region's ends.
fn whole_lines(
    region: PhysRange,
    offset: RegionOffset,
    len: ByteLen,
) -> Result<(RegionOffset, ByteLen), AddressError> {
    let part = region.sub(offset, len)?;
    let line_start = part.start().value() & !(LINE.value() - 1);
    let start = line_start.max(region.start().value());
    let line_last = part.last().value() | (LINE.value() - 1);
    let last = line_last.min(region.last().value());
    Ok((
        RegionOffset::new(start - region.start().value()),
        ByteLen::new(last - start + 1),
    ))
}

fn address(source: AddressError) -> DeviceError {
    DeviceError::Address {
        operation: FLUSHING,
        source,
    }
}

fn os(operation: &'static str) -> impl Fn(io::Error) -> DeviceError {
    move |source| DeviceError::Os { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::addr::PhysAddr;
    use nix::sys::memfd::{MFdFlags, memfd_create};

    const BASE: u32 = 0x0530_0000;

    fn range(start: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
    }

    /// Two files that are as long as memory up to the arena's end, with the physical address as offset.
    fn reserved() -> Reserved {
        let memory = || {
            let file = File::from(memfd_create("memory", MFdFlags::empty()).expect("memory"));
            file.set_len(u64::from(BASE) + 0x10_0000).expect("room");
            file
        };
        Reserved {
            arena: range(BASE, 0x10_0000),
            cached: Flock::lock(memory(), FlockArg::LockExclusive).expect("a lock"),
            uncached: memory(),
            exports: Vec::new(),
            // The files know no cache operation.
            settled: true,
        }
    }

    #[test]
    fn flushes_cover_whole_lines_and_nothing_beyond_the_region() {
        let region = range(BASE + 0x20, 0x1000);
        for ((offset, len), (start, expected)) in [
            ((0x20, 0x40), (0x20, 0x40)),
            ((0x21, 1), (0x20, 0x40)),
            ((0x5f, 2), (0x20, 0x80)),
            ((0, 1), (0, 0x20)),
            ((0xfff, 1), (0xfe0, 0x20)),
            ((0, 0x1000), (0, 0x1000)),
        ] {
            let found = whole_lines(region, RegionOffset::new(offset), ByteLen::new(len));
            assert_eq!(
                found,
                Ok((RegionOffset::new(start), ByteLen::new(expected)))
            );
        }
        let empty = whole_lines(region, RegionOffset::ZERO, ByteLen::ZERO);
        assert!(matches!(empty, Err(AddressError::Empty { .. })));
        assert!(whole_lines(region, RegionOffset::new(0xfff), ByteLen::new(2)).is_err());
    }

    #[test]
    fn an_empty_flush_is_refused_before_the_kernel_hears_of_it() {
        let mut reserved = reserved();
        let region = reserved
            .map(range(BASE, 0x1000), Caching::Cached)
            .expect("mapped");
        let flush = |len| {
            reserved.flush(
                &region,
                RegionOffset::ZERO,
                ByteLen::new(len),
                FlushDirection::Both,
            )
        };
        let refused = flush(0).expect_err("empty").to_string();
        assert!(refused.starts_with("flushing a cache: "), "{refused}");
        // A file is no device: the request reached it, which says that the address was good.
        let asked = flush(0x1000).expect_err("no device");
        assert!(matches!(asked, DeviceError::Os { .. }), "{asked}");
    }

    #[test]
    fn uncached_memory_needs_no_flush() {
        let mut reserved = reserved();
        let region = reserved
            .map(range(BASE, 0x1000), Caching::Uncached)
            .expect("mapped");
        let len = ByteLen::new(0x1000);
        reserved
            .flush(&region, RegionOffset::ZERO, len, FlushDirection::FromDevice)
            .expect("nothing to do");
        assert!(
            reserved
                .flush(&region, RegionOffset::new(1), len, FlushDirection::Both)
                .is_err()
        );
    }

    #[test]
    fn a_lease_is_zeroed_named_by_its_address_and_not_mapped_by_the_daemon_meanwhile() {
        let mut reserved = reserved();
        let lease = range(BASE + 0x2000, 0x1000);
        let region = reserved.map(lease, Caching::Uncached).expect("mapped");
        region
            .fill(RegionOffset::ZERO, ByteLen::new(0x1000), 7)
            .expect("inside");
        let Export::PhysicalDevice {
            path,
            offset_bytes,
            caching,
        } = reserved.export(lease).expect("exported")
        else {
            panic!("expected a device");
        };
        assert_eq!((path, offset_bytes), ("/dev/mem", 0x0530_2000));
        assert_eq!(caching, Caching::Uncached);
        let mut found = [1; 16];
        region.read(RegionOffset::ZERO, &mut found).expect("inside");
        assert_eq!(found, [0; 16]);
        assert!(
            reserved
                .map(range(BASE + 0x2fff, 2), Caching::Cached)
                .is_err()
        );
        assert!(reserved.export(lease).is_err());
        assert!(reserved.withdraw(range(BASE + 0x2000, 0x800)).is_err());
        reserved.withdraw(lease).expect("exported");
        reserved.map(lease, Caching::Cached).expect("free again");
    }

    #[test]
    fn nothing_outside_the_arena_is_mapped() {
        let mut reserved = reserved();
        for outside in [range(BASE - 1, 2), range(BASE + 0xf_ffff, 2), range(0, 1)] {
            assert!(reserved.map(outside, Caching::Cached).is_err());
            assert!(reserved.export(outside).is_err());
        }
    }
}
