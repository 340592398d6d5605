//! The software model as a device: `--device model`.
//!
//! The model brings its registers, its interrupt and a thread of its own, which belongs to the device and not to the
//! daemon. What is added here is memory: files that the model reads and writes by physical address and that this
//! process and its clients map. [`VirtualModel`] is the same in virtual time.

mod imports;
mod memory;
mod virtual_time;

pub use virtual_time::VirtualModel;

use super::error::{DeviceError, ImportError, WaitError};
use super::{Caching, Capabilities, Device, Export, FlushDirection, IrqCanceller, IrqSource};
use crate::hw::irq::IrqLine;
use crate::hw::regs::Reg;
use crate::job::{CodecCost, CostTable, JobCost};
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use avpu_model::config::{BodyKind, ModelConfig};
use avpu_model::dump::ReconstructionSink;
use avpu_model::memory::FlushDirection as ModelDirection;
use avpu_model::timing::Cost;
use avpu_model::{ModelCanceller, ModelDevice, ModelHandle, ModelIrq, WaitError as ModelWaitError};
use core::fmt;
use imports::Imports;
use memory::ModelMemory;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// The model, opened.
pub struct Model {
    capabilities: Capabilities,
    memory: ModelMemory,
    imports: Imports,
    // Closed before the device it belongs to is dropped.
    handle: ModelHandle,
    device: ModelDevice,
    /// What is still to be told of rules that were broken.
    remarks: VecDeque<String>,
    faults_seen: u32,
}

/// Where the model's interrupts come from.
pub struct ModelInterrupts {
    irq: ModelIrq,
}

/// Ends the wait for the model's interrupts.
pub struct ModelCancel {
    canceller: ModelCanceller,
}

/// Waits that may be interrupted in a row before that is an error and not a signal.
const INTERRUPTED_MAX: u32 = 16;

/// Makes a model from its options, such as `body=picture,pace=free`, and opens it. `source_windows` is memory of
/// another allocator that frames may lie in. `sink` gets every reconstruction.
///
/// # Errors
/// When an option is wrong, or the system has no memory or thread for it.
pub fn open(
    options: &str,
    source_windows: &[PhysRange],
    sink: Option<Box<dyn ReconstructionSink>>,
) -> Result<(Model, ModelInterrupts, ModelCancel), DeviceError> {
    let config = ModelConfig::parse(options).map_err(unusable)?;
    let memory = ModelMemory::new(
        PhysAddr::new(config.memory_base),
        ByteLen::new(config.memory_len_bytes),
    )?;
    let segments = memory::lay_all(&memory, source_windows, config.source_file.as_deref())?;
    let device = ModelDevice::new(&config, segments, sink).map_err(|source| DeviceError::Os {
        operation: "starting the model",
        source,
    })?;
    let (handle, irq, canceller) = device.open().map_err(unusable)?;
    let model = Model {
        imports: Imports::new(memory.arena(), source_windows),
        capabilities: capabilities(&config, memory.arena()),
        memory,
        handle,
        device,
        remarks: VecDeque::new(),
        faults_seen: 0,
    };
    Ok((model, ModelInterrupts { irq }, ModelCancel { canceller }))
}

impl Model {
    /// The model itself: what it counted, and which rules of the hardware were broken.
    #[must_use]
    pub fn model(&self) -> &ModelDevice {
        &self.device
    }
}

impl Device for Model {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        self.handle.read(register.offset()).map_err(unusable)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.handle
            .write(register.offset(), value)
            .map_err(unusable)
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        self.memory.map(range, caching)
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        let Some(part) = memory::cached_part(region, offset, len)? else {
            return Ok(());
        };
        self.handle
            .flush(
                part.start().value(),
                part.len().get(),
                flush_direction(direction),
            )
            .map_err(unusable)
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        let overlay = self.memory.export(range)?;
        self.handle.lay(overlay);
        Ok(self.memory.exported(range))
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.memory.withdraw(range)?;
        self.handle
            .remove(range.start().value(), range.len().get())
            .map_err(unusable)
    }

    fn import(&mut self, buffer: OwnedFd, len: ByteLen) -> Result<PhysRange, ImportError> {
        let (range, overlay) = self.imports.import(buffer, len)?;
        self.handle.lay(overlay);
        Ok(range)
    }

    fn release(&mut self, imported: PhysRange) -> Result<(), DeviceError> {
        self.imports.release(imported)?;
        self.handle
            .remove(imported.start().value(), imported.len().get())
            .map_err(unusable)
    }

    fn take_remark(&mut self) -> Option<String> {
        let faults = self.device.counters().model_faults;
        if faults != self.faults_seen {
            self.faults_seen = faults;
            let broken = self.device.take_faults();
            self.remarks.extend(broken.iter().map(ToString::to_string));
        }
        let failure = || {
            let error = self.device.take_dump_failure()?;
            Some(format!(
                "reconstructions are missing from their files: {error}"
            ))
        };
        self.remarks.pop_front().or_else(failure)
    }

    fn summary(&self) -> Option<String> {
        Some(self.device.counters().to_string())
    }
}

impl IrqSource for ModelInterrupts {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        for _ in 0..INTERRUPTED_MAX {
            match self.irq.wait() {
                Ok(index) => {
                    return IrqLine::new(u32::from(index))
                        .map_err(|error| WaitError::Device(unusable(error)));
                }
                // A signal: the next wait is the answer to it.
                Err(ModelWaitError::Interrupted) => {}
                Err(ModelWaitError::Unblocked | ModelWaitError::Closed) => {
                    return Err(WaitError::Cancelled);
                }
            }
        }
        Err(WaitError::Device(DeviceError::Os {
            operation: "waiting for an interrupt, again and again",
            source: io::Error::from(io::ErrorKind::Interrupted),
        }))
    }
}

impl IrqCanceller for ModelCancel {
    fn cancel(&self) {
        self.canceller.cancel();
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("capabilities", &self.capabilities)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

fn capabilities(config: &ModelConfig, arena: PhysRange) -> Capabilities {
    let costs = config.costs();
    let stated = |cost: Cost| JobCost {
        base_ns: cost.base_ns,
        macroblock_ns: cost.macroblock_ns,
    };
    Capabilities {
        name: match config.body {
            BodyKind::Picture => "model (picture body)".to_owned(),
            BodyKind::Pattern => "model (pattern body, synthetic streams)".to_owned(),
        },
        synthetic: config.synthetic(),
        cost: CostTable {
            avc: CodecCost {
                idr: stated(costs.idr),
                p: stated(costs.p),
            },
            // In virtual time there is none, and what a host takes is no property of the encoder.
            turnaround_ns: 0,
        },
        dma_buf_import: true,
        patience_us: match config.body {
            BodyKind::Picture => PICTURE_PATIENCE_US,
            BodyKind::Pattern => PATTERN_PATIENCE_US,
        },
        arena,
    }
}

/// The picture body computes on a host that does other things too, and may have to wait long for its turn.
const PICTURE_PATIENCE_US: u32 = 5_000_000;
/// The pattern body computes next to nothing; only its thread may have to wait.
const PATTERN_PATIENCE_US: u32 = 1_000_000;

fn flush_direction(direction: FlushDirection) -> ModelDirection {
    match direction {
        FlushDirection::ToDevice => ModelDirection::ToDevice,
        FlushDirection::FromDevice => ModelDirection::FromDevice,
        FlushDirection::Both => ModelDirection::Both,
    }
}

fn unusable(error: impl fmt::Display) -> DeviceError {
    DeviceError::Unusable {
        reason: error.to_string(),
    }
}
