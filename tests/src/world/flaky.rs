//! The model in virtual time, of which an access now and then fails, and that remembers what was started.

use avpud::device::error::DeviceError;
use avpud::device::model::VirtualModel;
use avpud::device::{Caching, Capabilities, Device, Export, FlushDirection};
use avpud::hw::regs::{Core, CoreReg, Reg};
use avpud::mem::map::MappedRegion;
use avpud::mem::{ByteLen, PhysRange, RegionOffset};

/// A device with bad days.
pub(super) struct Flaky {
    model: VirtualModel,
    /// Accesses until one fails.
    fails_after: Option<u32>,
    /// Accesses that failed.
    pub(super) failed: u32,
    /// Address of the command list that was started last.
    pub(super) list: Option<u32>,
}

impl Flaky {
    pub(super) fn new(model: VirtualModel) -> Self {
        Self {
            model,
            fails_after: None,
            failed: 0,
            list: None,
        }
    }

    /// Lets an access fail, so many from now.
    pub(super) fn fail_after(&mut self, accesses: u32) {
        self.fails_after = Some(accesses);
    }

    /// The device itself.
    pub(super) fn model(&mut self) -> &mut VirtualModel {
        &mut self.model
    }

    fn stumble(&mut self) -> Result<(), DeviceError> {
        match self.fails_after {
            Some(0) => {
                self.fails_after = None;
                self.failed += 1;
                Err(DeviceError::Unusable {
                    reason: "a bad day".to_owned(),
                })
            }
            left => {
                self.fails_after = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}

impl Device for Flaky {
    fn capabilities(&self) -> &Capabilities {
        self.model.capabilities()
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        self.stumble()?;
        self.model.read(register)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.stumble()?;
        if register == Reg::Core(Core::Video, CoreReg::ListAddress) {
            self.list = Some(value);
        }
        self.model.write(register, value)
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        self.model.map(range, caching)
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        self.stumble()?;
        self.model.flush(region, offset, len, direction)
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        self.model.export(range)
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.model.withdraw(range)
    }
}
