//! Interrupts of the encoder: one thread waits for the life of the device, and one call ends that for good.

use super::ioctl;
use crate::device::error::{DeviceError, WaitError};
use crate::device::{IrqCanceller, IrqSource};
use crate::hw::irq::IrqLine;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the interrupts come from. It cannot be cloned: the kernel's driver does not survive two waiters.
#[derive(Debug)]
pub struct AvpuInterrupts {
    file: Arc<File>,
    cancelled: Arc<AtomicBool>,
}

/// Ends the wait.
#[derive(Debug)]
pub struct AvpuCancel {
    file: Arc<File>,
    cancelled: Arc<AtomicBool>,
}

/// Waits that may be interrupted in a row before that is an error. Signals are masked in the waiting thread, so that
/// only a stopped and continued process sees any.
const INTERRUPTED_MAX: u32 = 16;

/// Both ends, for the one file that was opened.
pub(super) fn pair(file: &Arc<File>) -> (AvpuInterrupts, AvpuCancel) {
    let cancelled = Arc::new(AtomicBool::new(false));
    let source = AvpuInterrupts {
        file: Arc::clone(file),
        cancelled: Arc::clone(&cancelled),
    };
    let canceller = AvpuCancel {
        file: Arc::clone(file),
        cancelled,
    };
    (source, canceller)
}

impl IrqSource for AvpuInterrupts {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        wait(
            || ioctl::wait_irq(self.file.as_fd()),
            || self.cancelled.load(Ordering::SeqCst),
        )
    }
}

impl IrqCanceller for AvpuCancel {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        // It fails only where the file is no encoder any more; then the wait has ended with an error of its own.
        let _ = ioctl::unblock(self.file.as_fd());
    }
}

/// One line, however often the wait is interrupted meanwhile, within reason: after `unblock` the kernel interrupts
/// every wait at once, and going on would spin.
fn wait(
    mut once: impl FnMut() -> Result<u32, Errno>,
    cancelled: impl Fn() -> bool,
) -> Result<IrqLine, WaitError> {
    const OPERATION: &str = "the wait ioctl";
    let os = |errno: Errno| {
        WaitError::Device(DeviceError::Os {
            operation: OPERATION,
            source: io::Error::from(errno),
        })
    };
    for _ in 0..INTERRUPTED_MAX {
        match once() {
            Ok(index) => {
                return IrqLine::new(index).map_err(|error| {
                    WaitError::Device(DeviceError::Unusable {
                        reason: error.to_string(),
                    })
                });
            }
            Err(Errno::EINTR) if cancelled() => return Err(WaitError::Cancelled),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(os(errno)),
        }
    }
    Err(os(Errno::EINTR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn an_interrupted_wait_is_taken_up_again() {
        let calls = Cell::new(0);
        let once = || {
            calls.set(calls.get() + 1);
            if calls.get() < 3 {
                Err(Errno::EINTR)
            } else {
                Ok(4)
            }
        };
        let line = wait(once, || false).expect("a line");
        assert_eq!(line, IrqLine::STILL_PICTURE);
        assert_eq!(calls.get(), 3);
    }

    #[test]
    fn a_wait_that_is_always_interrupted_is_an_error_and_not_a_busy_loop() {
        let calls = Cell::new(0);
        let once = || {
            calls.set(calls.get() + 1);
            Err(Errno::EINTR)
        };
        let error = wait(once, || false).expect_err("for ever");
        assert!(matches!(error, WaitError::Device(_)), "{error}");
        assert_eq!(calls.get(), INTERRUPTED_MAX);
    }

    #[test]
    fn a_cancelled_wait_ends_for_good() {
        let error = wait(|| Err(Errno::EINTR), || true).expect_err("cancelled");
        assert!(matches!(error, WaitError::Cancelled), "{error}");
    }

    #[test]
    fn a_line_that_the_driver_does_not_have_and_a_lost_device_are_errors() {
        let error = wait(|| Ok(20), || false).expect_err("no such line");
        assert_eq!(
            error.to_string(),
            "waiting for an interrupt: expected an interrupt line below 20, found 20"
        );
        assert!(wait(|| Err(Errno::EFAULT), || true).is_err());
    }
}
