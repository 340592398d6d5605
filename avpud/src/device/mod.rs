//! The device behind the driver: registers, interrupts, and reserved memory.
//!
//! One trait for the real encoder and its software model, and for decorators that record or disturb another device.
//! A device never interprets what is written to it; the order of accesses is the driver's affair.

pub mod error;
pub mod guard;
pub mod linux;
#[cfg(feature = "model")]
pub mod model;
pub mod trace;

pub use crate::mem::map::Caching;

use crate::hw::irq::IrqLine;
use crate::hw::regs::Reg;
use crate::job::CostTable;
use crate::mem::addr::{ByteLen, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use error::{DeviceError, ImportError, WaitError};
use std::os::fd::{BorrowedFd, OwnedFd};

/// What a device can do and what it costs.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// For people: `/dev/avpu`, `model (picture body)`, ...
    pub name: String,
    /// Streams are synthetic bytes, not pictures.
    pub synthetic: bool,
    /// Expected time of a job, by codec and kind of picture: admission promises nobody a wait that pictures within it
    /// would break.
    pub cost: CostTable,
    /// No job is taken for lost before this time, in microseconds: what may hold the device up from outside.
    pub patience_us: u32,
    /// Reserved memory that the daemon owns: channel memory and leased source buffers are carved from it.
    pub arena: PhysRange,
    /// Buffers of other drivers are taken, whatever made them. Where not, some may be: only trying tells.
    pub dma_buf_import: bool,
}

/// Direction of a cache operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDirection {
    /// Write back: before the device reads.
    ToDevice,
    /// Invalidate: before the processor reads what the device wrote.
    FromDevice,
    /// Both.
    Both,
}

/// How another process reaches a range of the arena.
#[derive(Debug)]
pub enum Export<'a> {
    /// It does not: capture hardware fills the range.
    None,
    /// By mapping a descriptor that reaches this range and nothing else.
    Descriptor {
        /// The descriptor, owned by the device.
        fd: BorrowedFd<'a>,
        /// Offset of the range in it.
        offset_bytes: u64,
        /// The mapping is cached.
        caching: Caching,
    },
    /// By mapping a device of physical memory; only for peers with the raw-address right.
    PhysicalDevice {
        /// Path of the device.
        path: &'a str,
        /// Offset of the range in it.
        offset_bytes: u64,
        /// The mapping is cached.
        caching: Caching,
    },
}

/// The encoder as the driver sees it.
pub trait Device {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Reads a register.
    ///
    /// # Errors
    /// When the device refuses or is gone.
    fn read(&mut self, register: Reg) -> Result<u32, DeviceError>;

    /// Writes a register.
    ///
    /// # Errors
    /// When the device refuses or is gone.
    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError>;

    /// Maps a part of the arena into the daemon.
    ///
    /// # Errors
    /// When the range is not inside the arena or the kernel refuses.
    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError>;

    /// Makes the processor's and the device's view of a cached mapping agree. Does nothing for an uncached one.
    ///
    /// `len` is never zero: the kernel of the camera does not survive it.
    ///
    /// # Errors
    /// When the part is empty or not inside the region, or the kernel refuses.
    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError>;

    /// Prepares a range of the arena for another process: zeroes it and says how to reach it.
    ///
    /// # Errors
    /// When the range is not inside the arena, shares a byte with one that is exported, or cannot be prepared.
    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError>;

    /// Takes an exported range back; what other processes still have mapped no longer reaches it where the device can
    /// bound that. What they wrote is gone.
    ///
    /// # Errors
    /// When exactly this range was not exported.
    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError>;

    /// Takes a buffer of another driver (dma-buf) as memory that the encoder reads, and says where its `len` bytes lie for
    /// the encoder. The device keeps the descriptor until [`Self::release`].
    ///
    /// # Errors
    /// When the device or its kernel does not take it.
    fn import(&mut self, buffer: OwnedFd, len: ByteLen) -> Result<PhysRange, ImportError> {
        drop(buffer);
        Err(ImportError::Unsupported {
            reason: format!(
                "expected a device that takes buffers of others, found one that does not, for {len}"
            ),
        })
    }

    /// Lets go of an imported buffer, which the encoder does not read any more.
    ///
    /// # Errors
    /// When exactly this range was not imported.
    fn release(&mut self, imported: PhysRange) -> Result<(), DeviceError> {
        Err(DeviceError::Unusable {
            reason: format!("expected an imported range, found {imported}"),
        })
    }

    /// What the device noticed since it was last asked and whoever runs the daemon should know, a sentence each. The
    /// real encoder notices nothing; its model sees rules broken.
    fn take_remark(&mut self) -> Option<String> {
        None
    }

    /// What the device counted, in a sentence, for the end of a log.
    fn summary(&self) -> Option<String> {
        None
    }
}

/// Where interrupts come from; used by one thread for the life of the device.
pub trait IrqSource: Send {
    /// Waits for the next interrupt.
    ///
    /// # Errors
    /// [`WaitError::Cancelled`] after [`IrqCanceller::cancel`], for good.
    fn wait(&mut self) -> Result<IrqLine, WaitError>;
}

/// Ends the wait of an [`IrqSource`], for good.
pub trait IrqCanceller: Send {
    /// Ends it; only on the way to closing the device.
    fn cancel(&self);
}
