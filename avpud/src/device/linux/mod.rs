//! The encoder behind `/dev/avpu`, on the kernel of the camera.
//!
//! The order of [`open`] is part of its contract: first whose the memory is, then the ways to the memory and the lock
//! on them, then who has the device, and the device last. Opening it is never tried to find something out: a refused
//! open is not free, as the driver counts its clocks up before it refuses. Once it is open it stays so until the end.
//! Nothing is touched, neither register nor memory; that is the driver's affair.

mod allow;
pub mod arena;
pub mod cmdline;
mod error;
pub mod holders;
mod imports;
mod ioctl;
pub mod iomem;
mod irq;
mod maps;
mod reserved;

pub use error::OpenError;
pub use irq::{AvpuCancel, AvpuInterrupts};
pub use reserved::{CACHED_PATH, UNCACHED_PATH};

use super::error::{DeviceError, ImportError};
use super::{Caching, Capabilities, Device, Export, FlushDirection};
use crate::hw::regs::Reg;
use crate::job::{CodecCost, CostTable, JobCost};
use crate::mem::addr::{ByteLen, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use arena::{ArenaSource, MemoryMap};
use core::fmt;
use imports::Imports;
use iomem::Iomem;
use nix::errno::Errno;
use reserved::{Reserved, ReservedError};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The encoder, open.
#[derive(Debug)]
pub struct Avpu {
    capabilities: Capabilities,
    file: Arc<File>,
    reserved: Reserved,
    imports: Imports,
}

/// Everything about an encoder that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The device.
    pub device: Avpu,
    /// Where its interrupts come from.
    pub interrupts: AvpuInterrupts,
    /// Ends the wait for them.
    pub canceller: AvpuCancel,
    /// Whose the memory is.
    pub memory: MemoryMap,
}

/// The kernel's command line.
pub const CMDLINE_PATH: &str = "/proc/cmdline";
/// The kernel's list of what lies where.
pub const IOMEM_PATH: &str = "/proc/iomem";

/// Time of a picture on a T31 at its default clock, from the push to the interrupt: the straight line through the
/// longest that a recording of the vendor's software shows of 1920x1080 and of 640x360, rounded up.
///
/// Of IDRs it shows one of each size, 12.244 and 1.606 ms, so little is known of how they vary; of P pictures three,
/// 12.704 to 13.342 and 1.654 to 1.670 ms. The large ones are CABAC and the small ones CAVLC, and the JPEG encoder
/// worked beside them: what of the difference is size, what entropy coder and what memory cannot be told apart. Other
/// clocks and sensors have other figures, so the settings can replace these.
pub const COST: CostTable = CostTable {
    avc: CodecCost {
        idr: JobCost {
            base_ns: 255_000,
            macroblock_ns: 1_470,
        },
        p: JobCost {
            base_ns: 190_000,
            macroblock_ns: 1_615,
        },
    },
    // Two hundredths of a 1920x1080 picture, which the daemon is built to stay within. Measured on no camera.
    turnaround_ns: 250_000,
};

/// What may hold a picture up: nothing but the encoder itself and its interrupt.
pub const PATIENCE_US: u32 = 100_000;

/// Opens the encoder at `path`, with its memory from `source`. At most once per process, and after the daemon's own
/// lock is held.
///
/// # Errors
/// When there is no memory for it, another process has it, or the system refuses.
pub fn open(path: &Path, source: ArenaSource) -> Result<Opened, OpenError> {
    let memory = memory_map(source).map_err(|error| match path.symlink_metadata() {
        // On a machine without an encoder its memory is not what is missing.
        Err(source) if source.kind() == io::ErrorKind::NotFound => OpenError::Unopened {
            path: path.to_path_buf(),
            source,
        },
        _ => error,
    })?;
    let held = || OpenError::Held {
        path: path.to_path_buf(),
        holders: holders::holders(path),
    };
    let reserved = Reserved::open(memory.arena).map_err(|error| match error {
        ReservedError::Locked => held(),
        ReservedError::Device(error) => OpenError::Memory(error),
    })?;
    if !holders::holders(path).is_empty() {
        return Err(held());
    }
    // Rust's library opens every file so that a program started later does not inherit it.
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = Arc::new(file.map_err(|source| match source.raw_os_error() {
        Some(errno) if Errno::from_raw(errno) == Errno::ENODEV => held(),
        _ => OpenError::Unopened {
            path: path.to_path_buf(),
            source,
        },
    })?);
    let (interrupts, canceller) = irq::pair(&file);
    let device = Avpu {
        capabilities: Capabilities {
            name: path.display().to_string(),
            synthetic: false,
            cost: COST,
            patience_us: PATIENCE_US,
            arena: memory.arena,
            // Nothing here makes a foreign buffer to try with: the first one that a client brings tells.
            dma_buf_import: false,
        },
        file,
        reserved,
        imports: Imports::default(),
    };
    Ok(Opened {
        device,
        interrupts,
        canceller,
        memory,
    })
}

/// Whose the memory is, from the running kernel. Opens no device.
///
/// # Errors
/// When there is none for the daemon.
pub fn memory_map(source: ArenaSource) -> Result<MemoryMap, OpenError> {
    let cmdline = fs::read_to_string(CMDLINE_PATH).map_err(|source| {
        OpenError::Memory(DeviceError::Os {
            operation: "reading /proc/cmdline",
            source,
        })
    })?;
    MemoryMap::new(&cmdline, &iomem(), source).map_err(OpenError::NoArena)
}

/// The kernel's list; one that cannot be read says nothing.
#[must_use]
pub fn iomem() -> Iomem {
    Iomem::parse(&fs::read_to_string(IOMEM_PATH).unwrap_or_default())
}

impl Device for Avpu {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        allow::check_read(register).map_err(unusable)?;
        ioctl::read_register(self.file.as_fd(), register.offset()).map_err(os("reading a register"))
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        allow::check_write(register, value, self.reserved.arena()).map_err(unusable)?;
        ioctl::write_register(self.file.as_fd(), register.offset(), value)
            .map_err(os("writing a register"))
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        self.reserved.map(range, caching)
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        self.reserved.flush(region, offset, len, direction)
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        self.reserved.export(range)
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.reserved.withdraw(range)
    }

    fn import(&mut self, buffer: OwnedFd, len: ByteLen) -> Result<PhysRange, ImportError> {
        self.imports.import(self.file.as_fd(), buffer, len)
    }

    fn release(&mut self, imported: PhysRange) -> Result<(), DeviceError> {
        self.imports.release(imported)
    }
}

fn os(operation: &'static str) -> impl Fn(Errno) -> DeviceError {
    move |errno| DeviceError::Os {
        operation,
        source: io::Error::from(errno),
    }
}

fn unusable(error: impl fmt::Display) -> DeviceError {
    DeviceError::Unusable {
        reason: error.to_string(),
    }
}
