//! Physical memory as the core sees it.
//!
//! Addresses are absolute 32-bit physical ones; there is no translation. [`SegmentedMemory`] lays files at such
//! addresses. A segment has a RAM file, which is all the device ever reads or writes, and may have a second file, the
//! image that cached processor mappings show. Only [`SegmentedMemory::flush`] copies between the two, so a flush that
//! was forgotten shows as stale bytes. An overlay covers part of other segments with files of its own, so that who
//! holds those files reaches that range and nothing else.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// An access to an address where no memory is, or one that the backing file refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError {
    /// First address of the access.
    pub address: u32,
    /// Bytes accessed.
    pub len_bytes: u32,
    /// What the backing file said; `None` where no memory is.
    pub cause: Option<io::ErrorKind>,
}

/// Memory that a core reads and writes by physical address.
pub trait Memory {
    /// Fills `bytes` from `address` on.
    ///
    /// # Errors
    /// When some of the range is not memory; `bytes` is then undefined.
    fn read(&self, address: u32, bytes: &mut [u8]) -> Result<(), BusError>;

    /// Stores `bytes` from `address` on.
    ///
    /// # Errors
    /// When some of the range is not memory; nothing or a part was stored then.
    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError>;

    /// Whether all of the range is memory. An empty range is where its first byte would be.
    fn contains(&self, address: u32, len_bytes: u32) -> bool;
}

/// Which way [`SegmentedMemory::flush`] copies; the numbering is the kernel's `dma_data_direction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDirection {
    /// Write back and invalidate (0). With separate images that is a write-back: both then agree.
    Both,
    /// Write back, before the device reads (1).
    ToDevice,
    /// Invalidate, before the processor reads what the device wrote (2).
    FromDevice,
}

/// A file at an offset, as one image of a segment.
#[derive(Debug)]
pub struct Image {
    file: File,
    offset_bytes: u64,
}

/// A range of physical memory with its images.
#[derive(Debug)]
pub struct Segment {
    start: u32,
    len_bytes: u32,
    ram: Image,
    cpu: Option<Image>,
}

/// Files laid at physical addresses.
#[derive(Debug)]
pub struct SegmentedMemory {
    /// Overlays and segments; of two that cover an address the later one counts.
    segments: Vec<Segment>,
    /// For flushes, which must not allocate.
    scratch: Vec<u8>,
}

/// One stretch of memory in a vector.
#[derive(Clone, Debug)]
pub struct PlainMemory {
    start: u32,
    bytes: Vec<u8>,
}

/// A segment that cannot be laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayError {
    /// No bytes, or an end past the 32-bit address space.
    Range {
        /// First address.
        start: u32,
        /// Length.
        len_bytes: u32,
    },
    /// No segment starts there with that length.
    Unknown {
        /// First address.
        start: u32,
        /// Length.
        len_bytes: u32,
    },
}

const SCRATCH_LEN_BYTES: usize = 64 * 1024;

impl Image {
    /// The bytes of `file` from `offset_bytes` on.
    #[must_use]
    pub fn new(file: File, offset_bytes: u64) -> Self {
        Self { file, offset_bytes }
    }

    fn read(&self, at: u32, bytes: &mut [u8]) -> Result<(), io::Error> {
        self.file
            .read_exact_at(bytes, self.offset_bytes + u64::from(at))
    }

    fn write(&self, at: u32, bytes: &[u8]) -> Result<(), io::Error> {
        self.file
            .write_all_at(bytes, self.offset_bytes + u64::from(at))
    }
}

impl Segment {
    /// Memory of `len_bytes` at `start`. Without a processor image all mappings are uncached ones of `ram`.
    ///
    /// # Errors
    /// [`LayError::Range`] when the range is empty or leaves the address space.
    pub fn new(
        start: u32,
        len_bytes: u32,
        ram: Image,
        cpu: Option<Image>,
    ) -> Result<Self, LayError> {
        if len_bytes == 0 || start.checked_add(len_bytes - 1).is_none() {
            return Err(LayError::Range { start, len_bytes });
        }
        Ok(Self {
            start,
            len_bytes,
            ram,
            cpu,
        })
    }

    /// Position of an address inside, if it is inside.
    fn position(&self, address: u32) -> Option<u32> {
        address
            .checked_sub(self.start)
            .filter(|&at| at < self.len_bytes)
    }
}

impl SegmentedMemory {
    /// No memory at all.
    #[must_use]
    pub fn new() -> Self {
        Self {
            segments: Vec::new(),
            scratch: vec![0; SCRATCH_LEN_BYTES],
        }
    }

    /// Lays a segment over whatever is there: it counts until it is removed.
    pub fn lay(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Takes away the segment laid last at exactly this range; what it covered counts again.
    ///
    /// # Errors
    /// [`LayError::Unknown`] when there is none.
    pub fn remove(&mut self, start: u32, len_bytes: u32) -> Result<(), LayError> {
        let found = self
            .segments
            .iter()
            .rposition(|s| s.start == start && s.len_bytes == len_bytes);
        match found {
            Some(index) => {
                self.segments.remove(index);
                Ok(())
            }
            None => Err(LayError::Unknown { start, len_bytes }),
        }
    }

    /// Makes the processor's and the device's view of a range agree. Does nothing where there is no processor image.
    ///
    /// # Errors
    /// When some of the range is not memory or a file refuses.
    pub fn flush(
        &mut self,
        address: u32,
        len_bytes: u32,
        direction: FlushDirection,
    ) -> Result<(), BusError> {
        let Self { segments, scratch } = self;
        let mut done = 0;
        while done < len_bytes {
            let left = len_bytes - done;
            let (segment, at, len) =
                piece(segments, address, done, left).ok_or_else(|| outside(address, len_bytes))?;
            let Some(cpu) = &segment.cpu else {
                done += len;
                continue;
            };
            let len = len.min(u32::try_from(scratch.len()).unwrap_or(u32::MAX));
            let bytes = scratch
                .get_mut(..usize_of(len))
                .ok_or_else(|| outside(address, len_bytes))?;
            let (from, to) = match direction {
                FlushDirection::Both | FlushDirection::ToDevice => (cpu, &segment.ram),
                FlushDirection::FromDevice => (&segment.ram, cpu),
            };
            from.read(at, bytes)
                .and_then(|()| to.write(at, bytes))
                .map_err(|error| refused(address, len_bytes, &error))?;
            done += len;
        }
        Ok(())
    }
}

impl Default for SegmentedMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory for SegmentedMemory {
    fn read(&self, address: u32, bytes: &mut [u8]) -> Result<(), BusError> {
        let len_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut done = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let (segment, at, len) = piece(&self.segments, address, done, left)
                .ok_or_else(|| outside(address, len_bytes))?;
            let (now, later) = rest.split_at_mut(usize_of(len).min(rest.len()));
            segment
                .ram
                .read(at, now)
                .map_err(|error| refused(address, len_bytes, &error))?;
            done += len;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError> {
        let len_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut done = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let (segment, at, len) = piece(&self.segments, address, done, left)
                .ok_or_else(|| outside(address, len_bytes))?;
            let (now, later) = rest.split_at(usize_of(len).min(rest.len()));
            segment
                .ram
                .write(at, now)
                .map_err(|error| refused(address, len_bytes, &error))?;
            done += len;
            rest = later;
        }
        Ok(())
    }

    fn contains(&self, address: u32, len_bytes: u32) -> bool {
        let len_bytes = len_bytes.max(1);
        let mut done = 0;
        while done < len_bytes {
            match piece(&self.segments, address, done, len_bytes - done) {
                Some((_, _, len)) => done += len,
                None => return false,
            }
        }
        true
    }
}

impl PlainMemory {
    /// Zeroed memory of `len_bytes` at `start`.
    #[must_use]
    pub fn new(start: u32, len_bytes: u32) -> Self {
        Self {
            start,
            bytes: vec![0; usize_of(len_bytes)],
        }
    }

    fn position(&self, address: u32, len: usize) -> Option<usize> {
        let at = usize_of(address.checked_sub(self.start)?);
        (at.checked_add(len)? <= self.bytes.len()).then_some(at)
    }
}

impl Memory for PlainMemory {
    fn read(&self, address: u32, bytes: &mut [u8]) -> Result<(), BusError> {
        let found = self
            .position(address, bytes.len())
            .and_then(|at| self.bytes.get(at..at + bytes.len()));
        match found {
            Some(found) => {
                bytes.copy_from_slice(found);
                Ok(())
            }
            None => Err(outside(
                address,
                u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            )),
        }
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError> {
        let place = self
            .position(address, bytes.len())
            .and_then(|at| self.bytes.get_mut(at..at + bytes.len()));
        match place {
            Some(place) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(outside(
                address,
                u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            )),
        }
    }

    fn contains(&self, address: u32, len_bytes: u32) -> bool {
        self.position(address, usize_of(len_bytes.max(1))).is_some()
    }
}

/// The segment that counts at `address + done`, the position in it, and how many of `left` bytes it counts for.
fn piece(segments: &[Segment], address: u32, done: u32, left: u32) -> Option<(&Segment, u32, u32)> {
    let here = address.checked_add(done)?;
    let index = segments.iter().rposition(|s| s.position(here).is_some())?;
    let (_, from_here) = segments.split_at_checked(index)?;
    let (segment, above) = from_here.split_first()?;
    let at = segment.position(here)?;
    let mut len = left.min(segment.len_bytes - at);
    for cover in above {
        if cover.start > here {
            len = len.min(cover.start - here);
        }
    }
    Some((segment, at, len))
}

fn outside(address: u32, len_bytes: u32) -> BusError {
    BusError {
        address,
        len_bytes,
        cause: None,
    }
}

fn refused(address: u32, len_bytes: u32, error: &io::Error) -> BusError {
    BusError {
        address,
        len_bytes,
        cause: Some(error.kind()),
    }
}

/// A length in bytes as an index; every target has at least 32-bit indices.
pub(crate) fn usize_of(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected {} bytes of memory at {:#010x}, found ",
            self.len_bytes, self.address
        )?;
        match self.cause {
            None => write!(f, "a hole"),
            Some(kind) => write!(f, "a backing file that fails: {kind}"),
        }
    }
}

impl std::error::Error for BusError {}

impl fmt::Display for LayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { start, len_bytes } => write!(
                f,
                "expected a range inside 32-bit addresses, found {len_bytes} bytes at {start:#010x}"
            ),
            Self::Unknown { start, len_bytes } => write!(
                f,
                "expected a segment of {len_bytes} bytes at {start:#010x}, found none"
            ),
        }
    }
}

impl std::error::Error for LayError {}
