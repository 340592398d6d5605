//! Buffers of other drivers (dma-buf): the kernel's driver says where they lie for the encoder.
//!
//! It says only where the first byte lies, neither how long the buffer is nor whether it is in one piece, and holds on
//! to nothing: the descriptor is kept as long as the buffer is used, and the length is asked of the kernel. The driver
//! of the vendor's kernel takes no buffers but its own, which nobody else can make while the daemon has the device.

use super::ioctl;
use crate::device::error::{DeviceError, ImportError};
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, lseek};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Buffers that are in use.
#[derive(Debug, Default)]
pub(super) struct Imports {
    held: Vec<(PhysRange, OwnedFd)>,
}

impl Imports {
    /// Where `len` bytes of a buffer lie for the encoder behind `device`.
    ///
    /// # Errors
    /// When the kernel does not take the buffer, or says that it is shorter.
    pub(super) fn import(
        &mut self,
        device: BorrowedFd<'_>,
        buffer: OwnedFd,
        len: ByteLen,
    ) -> Result<PhysRange, ImportError> {
        check_kind(buffer.as_fd())?;
        let start = ioctl::dma_address(device, buffer.as_fd(), len).map_err(|errno| {
            let error = io::Error::from(errno);
            match errno {
                Errno::EINVAL | Errno::ENOTTY | Errno::ENOSYS => ImportError::Unsupported {
                    reason: format!("expected a buffer that the kernel's driver takes, found one that it does not: {error}"),
                },
                _ => ImportError::Device(os("importing a buffer")(error)),
            }
        })?;
        check_len(buffer.as_fd(), len)?;
        let range = PhysRange::new(PhysAddr::new(start), len);
        let range = range.map_err(|source| {
            ImportError::Device(DeviceError::Address {
                operation: "importing a buffer",
                source,
            })
        })?;
        self.held.push((range, buffer));
        Ok(range)
    }

    /// Lets go of a buffer.
    ///
    /// # Errors
    /// When exactly this range was not imported.
    pub(super) fn release(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        let index = self.held.iter().position(|(held, _)| *held == range);
        let index = index.ok_or_else(|| DeviceError::Unusable {
            reason: format!("expected an imported range, found {range}"),
        })?;
        self.held.swap_remove(index);
        Ok(())
    }
}

/// Keeps from the driver what is no buffer for certain: files, pipes, sockets, devices. Buffers have no kind.
fn check_kind(buffer: BorrowedFd<'_>) -> Result<(), ImportError> {
    let stat = fstat(buffer).map_err(|errno| ImportError::Device(os("importing")(errno.into())))?;
    let kind = stat.st_mode & SFlag::S_IFMT.bits();
    if kind == 0 {
        return Ok(());
    }
    Err(ImportError::Unsupported {
        reason: format!("expected a dma-buf, found a file of kind {kind:#o}"),
    })
}

/// A buffer that is shorter than what is read from it would show foreign memory.
fn check_len(buffer: BorrowedFd<'_>, len: ByteLen) -> Result<(), ImportError> {
    let unsupported = |reason| ImportError::Unsupported { reason };
    let found = lseek(buffer, 0, Whence::SeekEnd).map_err(|errno| {
        let error = io::Error::from(errno);
        unsupported(format!(
            "expected a buffer whose length the kernel tells, found one where it does not: {error}"
        ))
    })?;
    #[allow(
        clippy::useless_conversion,
        reason = "the type is narrower on some targets"
    )]
    let found = i64::from(found);
    if i64::from(len.value()) <= found {
        return Ok(());
    }
    Err(unsupported(format!(
        "expected a buffer of at least {len}, found one of {found} bytes"
    )))
}

fn os(operation: &'static str) -> impl Fn(io::Error) -> DeviceError {
    move |source| DeviceError::Os { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::fs::File;

    const LEN: ByteLen = ByteLen::new(4096);

    fn refused(buffer: OwnedFd) -> String {
        let device = File::open("/dev/null").expect("every system has it");
        let mut imports = Imports::default();
        match imports.import(device.as_fd(), buffer, LEN) {
            Err(ImportError::Unsupported { reason }) => reason,
            other => panic!("expected unsupported, found {other:?}"),
        }
    }

    #[test]
    fn what_is_no_buffer_is_kept_from_the_driver() {
        let file = memfd_create("file", MFdFlags::empty()).expect("memory");
        let (end, _other) = nix::unistd::pipe().expect("a pipe");
        for foreign in [file, end] {
            let reason = refused(foreign);
            assert!(reason.starts_with("expected a dma-buf"), "{reason}");
        }
    }

    #[test]
    fn what_might_be_one_is_the_drivers_to_judge() {
        // It has no kind either, and the device here knows no such request.
        let might = EventFd::from_flags(EfdFlags::empty()).expect("an event");
        let reason = refused(might.into());
        assert!(reason.contains("the kernel's driver"), "{reason}");
    }

    #[test]
    fn a_buffer_is_at_least_as_long_as_what_is_read_from_it() {
        let file = File::from(memfd_create("file", MFdFlags::empty()).expect("memory"));
        file.set_len(4095).expect("room");
        assert!(matches!(
            check_len(file.as_fd(), LEN),
            Err(ImportError::Unsupported { .. })
        ));
        file.set_len(4096).expect("room");
        check_len(file.as_fd(), LEN).expect("long enough");
        let (end, _other) = nix::unistd::pipe().expect("a pipe");
        assert!(
            check_len(end.as_fd(), LEN).is_err(),
            "nobody tells its length"
        );
    }

    #[test]
    fn only_what_was_imported_is_released() {
        let range = PhysRange::new(PhysAddr::new(0x1000), LEN).expect("a range");
        assert!(Imports::default().release(range).is_err());
    }
}
