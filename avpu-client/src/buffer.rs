//! Source buffers: memory of the daemon's pool that a client fills with a picture and submits.

use crate::error::{ClientError, ProtocolError};
use crate::mem::map::{Access, Mapping};
use avpu_proto::reply::{BuffersLeased, LeasedBuffer};
use avpu_proto::types::{Address, BufferAccess, LeaseId, SourceLayout};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One leased source buffer. Submitting moves it into the library, `Channel::next_released` gives it back: so a
/// picture cannot be overwritten while the encoder may read it.
#[derive(Debug)]
pub struct Buffer {
    lease: Arc<Lease>,
    index: usize,
}

/// The buffers of one lease; what they are changes at a reconnect.
#[derive(Debug)]
pub(crate) struct Lease {
    cells: Box<[Mutex<Cell>]>,
}

#[derive(Debug)]
struct Cell {
    lease: LeaseId,
    address: Address,
    layout: SourceLayout,
    width: usize,
    height: usize,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mapping),
    /// Why not.
    Unmapped(&'static str),
}

impl Lease {
    /// Takes what the daemon leased; answers one buffer each.
    pub(crate) fn new(
        leased: &BuffersLeased,
        descriptor: Option<&OwnedFd>,
        size: (u16, u16),
    ) -> Result<(Arc<Self>, Vec<Buffer>), ClientError> {
        let cells: Result<Box<[_]>, _> = leased
            .buffers
            .iter()
            .map(|buffer| Cell::new(leased, buffer, descriptor, size).map(Mutex::new))
            .collect();
        let lease = Arc::new(Self { cells: cells? });
        let buffers = (0..lease.cells.len())
            .map(|index| Buffer {
                lease: Arc::clone(&lease),
                index,
            })
            .collect();
        Ok((lease, buffers))
    }

    /// How many buffers.
    pub(crate) fn count(&self) -> u8 {
        u8::try_from(self.cells.len()).unwrap_or(u8::MAX)
    }

    /// Its id on the wire.
    pub(crate) fn id(&self) -> Option<LeaseId> {
        Some(lock(self.cells.first()?).lease)
    }

    /// Replaces every buffer after a reconnect.
    pub(crate) fn renew(
        &self,
        leased: &BuffersLeased,
        descriptor: Option<&OwnedFd>,
        size: (u16, u16),
    ) -> Result<(), ClientError> {
        if leased.buffers.len() != self.cells.len() {
            return Err(ProtocolError::LeaseInconsistent.into());
        }
        for (cell, buffer) in self.cells.iter().zip(&leased.buffers) {
            let renewed = Cell::new(leased, buffer, descriptor, size)?;
            *lock(cell) = renewed;
        }
        Ok(())
    }
}

impl Cell {
    fn new(
        leased: &BuffersLeased,
        buffer: &LeasedBuffer,
        descriptor: Option<&OwnedFd>,
        (width, height): (u16, u16),
    ) -> Result<Self, ClientError> {
        let layout = leased.layout;
        let cell = Self {
            lease: leased.lease,
            address: buffer.address,
            layout,
            width: usize::from(width),
            height: usize::from(height),
            bytes: Bytes::Unmapped("expected a mapped buffer, found one for capture hardware"),
        };
        cell.check_layout()?;
        let bytes = map_bytes(leased, &buffer.access, descriptor)?;
        Ok(Self { bytes, ..cell })
    }

    /// Every line that `write_nv12` writes lies inside: checked once here.
    fn check_layout(&self) -> Result<(), ProtocolError> {
        let layout = self.layout;
        let stride = u64::from(layout.stride_bytes);
        let lines = u64::from(layout.stored_lines);
        let chroma = u64::from(layout.chroma_offset_bytes);
        let fits = u64::try_from(self.width).is_ok_and(|width| width <= stride)
            && u64::try_from(self.height).is_ok_and(|height| height <= lines)
            && chroma >= stride * lines
            && chroma + stride * (lines / 2) <= u64::from(layout.len_bytes)
            && lines % 2 == 0;
        if fits {
            Ok(())
        } else {
            Err(ProtocolError::LeaseInconsistent)
        }
    }
}

fn map_bytes(
    leased: &BuffersLeased,
    access: &BufferAccess,
    descriptor: Option<&OwnedFd>,
) -> Result<Bytes, ClientError> {
    let len = usize::try_from(leased.layout.len_bytes).unwrap_or(usize::MAX);
    let unwritable =
        "expected an uncached buffer, found one whose cache this library cannot write back";
    let mapping = match access {
        BufferAccess::None => {
            return Ok(Bytes::Unmapped(
                "expected a mapped buffer, found one for capture hardware",
            ));
        }
        BufferAccess::Descriptor { cached, .. } | BufferAccess::PhysicalDevice { cached, .. }
            if *cached && leased.write_back =>
        {
            return Ok(Bytes::Unmapped(unwritable));
        }
        BufferAccess::Descriptor { offset_bytes, .. } => {
            let descriptor = descriptor.ok_or(ProtocolError::DescriptorMissing)?;
            check_file(descriptor, *offset_bytes, leased.layout.len_bytes)?;
            Mapping::new(descriptor, *offset_bytes, len, Access::ReadWrite)?
        }
        BufferAccess::PhysicalDevice {
            path,
            offset_bytes,
            cached,
        } => {
            // O_SYNC asks the memory device for an uncached mapping.
            let flags = if *cached { 0 } else { O_SYNC };
            let device = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags)
                .open(path)?;
            Mapping::new(device, *offset_bytes, len, Access::ReadWrite)?
        }
    };
    Ok(Bytes::Mapped(mapping))
}

/// A file that is shorter than the buffer would end this process with SIGBUS at the first write behind its end.
fn check_file(descriptor: &OwnedFd, offset_bytes: u64, len_bytes: u32) -> Result<(), ClientError> {
    let metadata = File::from(descriptor.try_clone()?).metadata()?;
    let end = offset_bytes.checked_add(u64::from(len_bytes));
    if metadata.is_file() && end.is_none_or(|end| end > metadata.len()) {
        return Err(ProtocolError::LeaseInconsistent.into());
    }
    Ok(())
}

const O_SYNC: i32 = nix::libc::O_SYNC;

impl Buffer {
    /// Its physical address: for capture hardware, or to submit it as a bare address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.cell().address
    }

    /// Where its planes lie.
    #[must_use]
    pub fn layout(&self) -> SourceLayout {
        self.cell().layout
    }

    /// Copies bytes to an offset of the buffer.
    ///
    /// # Errors
    /// When the buffer is not mapped, or the bytes do not end inside it.
    pub fn write_at(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), ClientError> {
        let mut cell = self.cell();
        let len = usize::try_from(cell.layout.len_bytes).unwrap_or(usize::MAX);
        let offset = usize::try_from(offset_bytes).unwrap_or(usize::MAX);
        if offset > len || bytes.len() > len - offset {
            return Err(ClientError::Misuse(
                "expected bytes that end inside the buffer, found more",
            ));
        }
        match &mut cell.bytes {
            Bytes::Mapped(mapping) => mapping.copy_in(offset, bytes),
            Bytes::Unmapped(why) => return Err(ClientError::Misuse(why)),
        }
        Ok(())
    }

    /// Copies a picture in: NV12 of the channel's visible size without padding, luma then interleaved Cb, Cr.
    /// Repeats its right and bottom edges into the room that the encoder codes beyond them.
    ///
    /// # Errors
    /// When the buffer is not mapped, or the picture has another length.
    pub fn write_nv12(&mut self, picture: &[u8]) -> Result<(), ClientError> {
        let mut cell = self.cell();
        let (width, height, layout) = (cell.width, cell.height, cell.layout);
        if picture.len() != width * height / 2 * 3 {
            return Err(ClientError::Misuse(
                "expected an nv12 picture of the channel's size, found another length",
            ));
        }
        let mapping = match &mut cell.bytes {
            Bytes::Mapped(mapping) => mapping,
            Bytes::Unmapped(why) => return Err(ClientError::Misuse(why)),
        };
        let (luma, chroma) = picture.split_at(width * height);
        let index = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut plane = Plane {
            mapping,
            stride: index(layout.stride_bytes),
            width,
        };
        let lines = index(layout.stored_lines);
        plane.write(0, lines, luma, 1);
        plane.write(index(layout.chroma_offset_bytes), lines / 2, chroma, 2);
        Ok(())
    }

    pub(crate) fn is_of(&self, lease: &Arc<Lease>) -> bool {
        Arc::ptr_eq(&self.lease, lease)
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn cell(&self) -> MutexGuard<'_, Cell> {
        lock(&self.lease.cells[self.index])
    }
}

/// A plane of a mapped buffer.
struct Plane<'a> {
    mapping: &'a mut Mapping,
    stride: usize,
    width: usize,
}

/// Widths are coded in multiples of this.
const CODED_WIDTH_MULTIPLE: usize = 16;

impl Plane<'_> {
    /// Writes the lines of `rows` from `offset` on, `lines` in all: the last one is repeated. `sample` is the
    /// number of bytes that repeat at the right edge.
    fn write(&mut self, offset: usize, lines: usize, rows: &[u8], sample: usize) {
        let coded = self
            .width
            .next_multiple_of(CODED_WIDTH_MULTIPLE)
            .min(self.stride);
        let beyond = (coded - self.width) / sample * sample;
        let last = rows.len() / self.width - 1;
        for line in 0..lines {
            let row = line.min(last) * self.width;
            let row = &rows[row..row + self.width];
            let at = offset + line * self.stride;
            self.mapping.copy_in(at, row);
            let mut edge = [0; CODED_WIDTH_MULTIPLE];
            for (byte, from) in edge
                .iter_mut()
                .zip(row[self.width - sample..].iter().cycle())
            {
                *byte = *from;
            }
            self.mapping.copy_in(at + self.width, &edge[..beyond]);
        }
    }
}

/// A buffer whose writer panicked holds a torn picture, which harms nothing.
fn lock(cell: &Mutex<Cell>) -> MutexGuard<'_, Cell> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}
