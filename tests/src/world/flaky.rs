//! The model in virtual time, of which an access now and then fails, and that remembers what was started.

use crate::around::Around;
use avpud::device::Device;
use avpud::device::error::DeviceError;
use avpud::device::model::VirtualModel;
use avpud::hw::regs::{Core, CoreReg, Reg};

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

impl Around for Flaky {
    type Inner = VirtualModel;

    fn inner(&self) -> &VirtualModel {
        &self.model
    }

    fn inner_mut(&mut self) -> &mut VirtualModel {
        &mut self.model
    }

    fn before_register(&mut self) -> Result<(), DeviceError> {
        self.stumble()
    }

    fn before_flush(&mut self) -> Result<(), DeviceError> {
        self.stumble()
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        if register == Reg::Core(Core::Video, CoreReg::ListAddress) {
            self.list = Some(value);
        }
        self.model.write(register, value)
    }
}
