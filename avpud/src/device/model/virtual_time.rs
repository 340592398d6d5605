//! The model in virtual time: one thread does everything, and nothing happens unless it is said so.
//!
//! For simulations and tests: time is what [`VirtualModel::advance_to`] says, interrupts are taken instead of waited
//! for, and the same calls give the same bytes.

use super::{ModelMemory, capabilities, flush_direction, memory, unusable};
use crate::device::error::DeviceError;
use crate::device::{Caching, Capabilities, Device, Export, FlushDirection};
use crate::hw::irq::IrqLine;
use crate::hw::regs::Reg;
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use avpu_model::config::ModelConfig;
use avpu_model::dump::ReconstructionSink;
use avpu_model::engine::{Engine as ModelEngine, EngineConfig};
use avpu_model::memory::SegmentedMemory;
use avpu_model::{Machine, Waited};

/// The model, opened, with a clock that is told.
pub struct VirtualModel {
    capabilities: Capabilities,
    memory: ModelMemory,
    machine: Machine<SegmentedMemory>,
    now_us: u64,
}

impl VirtualModel {
    /// A model at time 0, opened.
    ///
    /// # Errors
    /// When an option is wrong or the system has no memory for it.
    pub fn new(
        options: &str,
        source_windows: &[PhysRange],
        sink: Option<Box<dyn ReconstructionSink>>,
    ) -> Result<Self, DeviceError> {
        let config = ModelConfig::parse(options).map_err(unusable)?;
        let memory = ModelMemory::new(
            PhysAddr::new(config.memory_base),
            ByteLen::new(config.memory_len_bytes),
        )?;
        let segments = memory::lay_all(&memory, source_windows, config.source_file.as_deref())?;
        let capabilities = capabilities(&config, memory.arena());
        let engine = EngineConfig {
            pace: config.pace,
            faults: config.faults,
            seed: config.seed,
        };
        let mut machine = Machine::new(engine, config.body, segments);
        if let Some(sink) = sink {
            machine.set_sink(sink);
        }
        // Nobody else can have it open.
        machine.engine().open();
        Ok(Self {
            capabilities,
            memory,
            machine,
            now_us: 0,
        })
    }

    /// The time.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// When the device does something next, if nothing is done to it.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        self.machine.next_event_us()
    }

    /// Lets time pass. It never goes back.
    pub fn advance_to(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
        self.machine.advance(self.now_us);
    }

    /// The next interrupt, if one waits.
    pub fn take_irq(&mut self) -> Option<IrqLine> {
        loop {
            match self.machine.take_irq(self.now_us) {
                Waited::Line(index) => return IrqLine::new(u32::from(index)).ok(),
                // A signal: the next wait is the answer to it.
                Waited::Interrupted => {}
                Waited::Nothing | Waited::Unblocked | Waited::Closed => return None,
            }
        }
    }

    /// The machine itself: what it counted, and which rules of the hardware were broken.
    pub fn machine(&mut self) -> &mut ModelEngine {
        self.machine.engine()
    }
}

impl Device for VirtualModel {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        self.machine
            .read(self.now_us, register.offset())
            .map_err(unusable)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.machine
            .write(self.now_us, register.offset(), value)
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
        self.machine
            .memory()
            .flush(
                part.start().value(),
                part.len().get(),
                flush_direction(direction),
            )
            .map_err(unusable)
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        let overlay = self.memory.export(range)?;
        self.machine.memory().lay(overlay);
        Ok(self.memory.exported(range))
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.memory.withdraw(range)?;
        self.machine
            .memory()
            .remove(range.start().value(), range.len().get())
            .map_err(unusable)
    }
}
