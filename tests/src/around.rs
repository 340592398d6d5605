//! A device around another one, for tests that count, time, break or watch what the daemon asks of it.
//!
//! What a wrapper does not override goes to the device inside.

use avpud::device::error::{DeviceError, ImportError};
use avpud::device::{Caching, Capabilities, Device, Export, FlushDirection};
use avpud::hw::regs::Reg;
use avpud::mem::map::MappedRegion;
use avpud::mem::{ByteLen, PhysRange, RegionOffset};
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;

/// What a wrapper does differently. The methods are those of [`Device`].
pub trait Around {
    /// The device inside.
    type Inner: Device;

    /// The device inside.
    fn inner(&self) -> &Self::Inner;

    /// The device inside.
    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// Every register access and every flush goes through here: what a picture takes.
    fn access<T>(&mut self, action: impl FnOnce(&mut Self::Inner) -> T) -> T {
        action(self.inner_mut())
    }

    /// Called before every register access.
    ///
    /// # Errors
    /// Instead of the access.
    fn before_register(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Called before every flush.
    ///
    /// # Errors
    /// Instead of the flush.
    fn before_flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Writes a register.
    ///
    /// # Errors
    /// Those of the device inside.
    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.access(|device| device.write(register, value))
    }

    /// Prepares a range for another process.
    ///
    /// # Errors
    /// Those of the device inside.
    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        self.inner_mut().export(range)
    }

    /// Takes an exported range back.
    ///
    /// # Errors
    /// Those of the device inside.
    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.inner_mut().withdraw(range)
    }
}

/// A wrapper as a device; what it noticed is reached as if it stood alone.
#[derive(Debug)]
pub struct Wrapped<A>(pub A);

impl<A> Deref for Wrapped<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A> DerefMut for Wrapped<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.0
    }
}

impl<A: Around> Device for Wrapped<A> {
    fn capabilities(&self) -> &Capabilities {
        self.0.inner().capabilities()
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        self.0.before_register()?;
        self.0.access(|device| device.read(register))
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.0.before_register()?;
        self.0.write(register, value)
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        self.0.inner_mut().map(range, caching)
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        self.0.before_flush()?;
        self.0
            .access(|device| device.flush(region, offset, len, direction))
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        self.0.export(range)
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.0.withdraw(range)
    }

    fn import(&mut self, buffer: OwnedFd, len: ByteLen) -> Result<PhysRange, ImportError> {
        self.0.inner_mut().import(buffer, len)
    }

    fn release(&mut self, imported: PhysRange) -> Result<(), DeviceError> {
        self.0.inner_mut().release(imported)
    }
}
