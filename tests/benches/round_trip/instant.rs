//! A device that has finished a picture when the write that starts it returns: the model in virtual time, of which
//! all passes at once. What is left between a frame and its packet is the daemon's own, and the time spent in here.

use avpu_tests::around::{Around, Wrapped};
use avpud::device::error::{DeviceError, WaitError};
use avpud::device::model::VirtualModel;
use avpud::device::{Device, IrqCanceller, IrqSource};
use avpud::hw::irq::IrqLine;
use avpud::hw::regs::Reg;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The device.
pub(crate) struct Instantly {
    model: VirtualModel,
    lines: Arc<Raised>,
    spent_us: Arc<AtomicUsize>,
    spent: Duration,
}

/// Where its interrupts come from.
pub(crate) struct Lines(Arc<Raised>);

/// Ends the wait for them.
pub(crate) struct Cancel(Arc<Raised>);

/// Lines that were raised, and a counter that the kernel wakes a thread for, as a driver's interrupt does.
struct Raised {
    queue: Mutex<VecDeque<IrqLine>>,
    counter: EventFd,
}

/// Opens one; `spent_us` is kept at the microseconds spent inside of it.
pub(crate) fn open(spent_us: Arc<AtomicUsize>) -> (Wrapped<Instantly>, Lines, Cancel) {
    let model = VirtualModel::new("body=pattern,pace=free", &[], None).expect("a model");
    let counter = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_SEMAPHORE);
    let lines = Arc::new(Raised {
        queue: Mutex::new(VecDeque::new()),
        counter: counter.expect("an event counter"),
    });
    let device = Wrapped(Instantly {
        model,
        lines: Arc::clone(&lines),
        spent_us,
        spent: Duration::ZERO,
    });
    (device, Lines(Arc::clone(&lines)), Cancel(lines))
}

impl Raised {
    /// Wakes who waits; without a line for good.
    fn raise(&self, line: Option<IrqLine>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(line);
        // Who is woken at once must not find the lock taken.
        drop(queue);
        self.counter.write(1).expect("room in the counter");
    }
}

impl Around for Instantly {
    type Inner = VirtualModel;

    fn inner(&self) -> &VirtualModel {
        &self.model
    }

    fn inner_mut(&mut self) -> &mut VirtualModel {
        &mut self.model
    }

    fn access<T>(&mut self, action: impl FnOnce(&mut VirtualModel) -> T) -> T {
        let start = Instant::now();
        let result = action(&mut self.model);
        self.spent += start.elapsed();
        let us = usize::try_from(self.spent.as_micros()).unwrap_or(usize::MAX);
        self.spent_us.store(us, Ordering::Relaxed);
        result
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.access(|model| {
            model.write(register, value)?;
            while let Some(at) = model.next_event_us() {
                model.advance_to(at);
            }
            Ok(())
        })?;
        while let Some(line) = self.model.take_irq() {
            self.lines.raise(Some(line));
        }
        Ok(())
    }
}

impl IrqSource for Lines {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        self.0.counter.read().expect("the counter");
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front().ok_or(WaitError::Cancelled)
    }
}

impl IrqCanceller for Cancel {
    fn cancel(&self) {
        self.0.raise(None);
    }
}
