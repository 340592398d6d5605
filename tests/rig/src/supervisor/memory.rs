//! Physical memory: two sparse files whose offset is the address.
//!
//! One is what the encoder and uncached mappings see, the other what cached mappings see. Only a cache operation copies
//! between them, so that one that was forgotten shows as stale bytes. The encoder reaches what is reserved and nothing
//! else: an address outside is a fault of the model and not a write to the kernel's memory.

use avpu_model::memory::{FlushDirection, Image, Segment, SegmentedMemory};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek64};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

/// Where what lies, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All memory of the camera.
    pub ram_len_bytes: u32,
    /// The daemon's own: `avpumem=`.
    pub arena: Range<u32>,
    /// The capture hardware's: `rmem=`.
    pub rmem: Range<u32>,
}

/// The two files.
#[derive(Debug)]
pub(super) struct PhysicalMemory {
    pub(super) layout: Layout,
    pub(super) cached: File,
    pub(super) uncached: File,
}

impl Default for Layout {
    /// A camera with 128 MiB, of which 16 are the daemon's and 29 the capture hardware's.
    fn default() -> Self {
        Self {
            ram_len_bytes: 128 << 20,
            arena: 0x0530_0000..0x0630_0000,
            rmem: 0x0630_0000..0x0800_0000,
        }
    }
}

impl Layout {
    /// The kernel's command line that says this.
    #[must_use]
    pub fn command_line(&self) -> String {
        let part = |range: &Range<u32>| {
            format!("{}K@0x{:x}", (range.end - range.start) >> 10, range.start)
        };
        format!(
            "console=ttyS1,115200n8 mem={}K@0x0 avpumem={} rmem={} panic=5\n",
            self.arena.start >> 10,
            part(&self.arena),
            part(&self.rmem)
        )
    }

    /// The kernel's list of memory that agrees with it.
    #[must_use]
    pub fn iomem(&self) -> String {
        format!(
            "00000000-{:08x} : System RAM\n  00010000-0055cfff : Kernel code\n13200000-132fffff : avpu.0\n",
            self.arena.start - 1
        )
    }
}

impl PhysicalMemory {
    pub(super) fn new(layout: Layout) -> io::Result<Self> {
        let file = |name: &str| {
            let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
            file.set_len(layout.ram_len_bytes.into())?;
            Ok::<_, io::Error>(file)
        };
        Ok(Self {
            cached: file("rig-cached")?,
            uncached: file("rig-uncached")?,
            layout,
        })
    }

    /// What the encoder reaches.
    pub(super) fn segments(&self) -> io::Result<SegmentedMemory> {
        let mut segments = SegmentedMemory::new();
        for range in [&self.layout.arena, &self.layout.rmem] {
            let image =
                |file: &File| Ok::<_, io::Error>(Image::new(file.try_clone()?, range.start.into()));
            let segment = Segment::new(
                range.start,
                range.end - range.start,
                image(&self.uncached)?,
                Some(image(&self.cached)?),
            );
            segments.lay(segment.map_err(io::Error::other)?);
        }
        Ok(segments)
    }

    /// Makes the two files agree on a range of addresses.
    pub(super) fn flush(
        &self,
        address: u64,
        len_bytes: u32,
        direction: FlushDirection,
    ) -> io::Result<()> {
        let (from, to) = match direction {
            FlushDirection::Both | FlushDirection::ToDevice => (&self.cached, &self.uncached),
            FlushDirection::FromDevice => (&self.uncached, &self.cached),
        };
        let mut bytes = [0; 4096];
        let mut at = address;
        let end = address + u64::from(len_bytes);
        while at < end {
            let len = usize::try_from(end - at).map_or(bytes.len(), |left| left.min(bytes.len()));
            let part = &mut bytes[..len];
            from.read_exact_at(part, at)?;
            to.write_all_at(part, at)?;
            at += 4096;
        }
        Ok(())
    }

    /// The ranges that anything was ever written to, but for the reserved ones: there are none when nobody strayed.
    pub(super) fn strays(&self) -> io::Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        for file in [&self.cached, &self.uncached] {
            let mut at = 0;
            // The arena and the reservation lie one behind the other at the end of memory.
            let end = i64::from(self.layout.arena.start);
            while let Some(start) = seek(file, at, Whence::SeekData)?.filter(|start| *start < end) {
                at = seek(file, start, Whence::SeekHole)?.unwrap_or(end);
                found.push(start.unsigned_abs()..at.unsigned_abs());
            }
        }
        Ok(found)
    }
}

/// Opens a file of this process once more: with a position and locks of its own.
pub(super) fn reopen(file: &File, write: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A file with a text, for reading.
pub(super) fn text_file(text: &str) -> io::Result<File> {
    let file = File::from(memfd_create("rig-text", MFdFlags::MFD_CLOEXEC)?);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::write(&path, text)?;
    reopen(&file, false)
}

fn seek(file: &File, at: i64, whence: Whence) -> io::Result<Option<i64>> {
    match lseek64(file.as_fd(), at, whence) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_nobody_may_touch_tells_when_somebody_did() {
        let memory = PhysicalMemory::new(Layout::default()).expect("memory");
        memory
            .uncached
            .write_all_at(b"x", 0x0530_0000)
            .expect("written");
        memory
            .cached
            .write_all_at(b"x", 0x07ff_f000)
            .expect("written");
        assert_eq!(memory.strays().expect("looked"), []);
        memory
            .cached
            .write_all_at(b"x", 0x0010_0800)
            .expect("written");
        let strays = memory.strays().expect("looked");
        assert_eq!(strays.first(), Some(&(0x10_0000..0x10_1000)));
        assert_eq!(strays.len(), 1);
    }

    #[test]
    fn the_command_line_says_where_everything_lies() {
        assert_eq!(
            Layout::default().command_line(),
            "console=ttyS1,115200n8 mem=84992K@0x0 avpumem=16384K@0x5300000 rmem=29696K@0x6300000 panic=5\n"
        );
        assert!(
            Layout::default()
                .iomem()
                .starts_with("00000000-052fffff : System RAM\n")
        );
    }
}
