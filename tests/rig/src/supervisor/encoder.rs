//! `/dev/avpu`: the driver's rules around the model's registers and interrupts.
//!
//! An open file is one end of a socket pair: the other end hangs up when the last descriptor of it is closed, in
//! whatever process, and however that ended. That is looked at when the next one opens it, as nobody can tell earlier.

use super::remote::{self, FileIdentity};
use super::sys::{Call, Listener};
use super::{Faults, oops};
use crate::abi;
use avpu_model::{ModelCanceller, ModelDevice, ModelHandle, ModelIrq, WaitError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The device, shared by all listeners.
pub(super) struct Encoder {
    open: Mutex<Option<OpenFile>>,
    /// A register was written.
    pushed: Condvar,
    faults: Arc<Faults>,
    /// Every register access that was answered, in order.
    accesses: Mutex<Vec<Access>>,
    // Dropped last: what is open belongs to it.
    model: ModelDevice,
}

/// A register access that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether it was a write.
    pub is_write: bool,
    /// The register, by its offset.
    pub register: u32,
    /// What was written, or what it read.
    pub value: u32,
}

/// The one open file.
struct OpenFile {
    identity: FileIdentity,
    /// Hangs up when the last descriptor is closed.
    ours: UnixStream,
    /// `None` only on the way to the end.
    handle: Option<ModelHandle>,
    canceller: ModelCanceller,
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

/// The calls that wait for an interrupt: one, where the program obeys the driver's rules.
struct Waiting {
    state: Mutex<WaitingState>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitingState {
    parked: Option<Parked>,
    closed: bool,
}

struct Parked {
    listener: Arc<Listener>,
    call: Call,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// To another device.
    Foreign,
    /// Answered, or to be answered when there is an interrupt.
    Taken,
    /// A cache operation, not answered yet.
    Flush,
}

impl Encoder {
    pub(super) fn new(model: ModelDevice, faults: Arc<Faults>) -> Self {
        Self {
            open: Mutex::new(None),
            pushed: Condvar::new(),
            faults,
            accesses: Mutex::new(Vec::new()),
            model,
        }
    }

    pub(super) fn model(&self) -> &ModelDevice {
        &self.model
    }

    /// `open`.
    pub(super) fn open(&self) -> Result<OwnedFd, Errno> {
        let mut open = lock(&self.open);
        if open.as_ref().is_some_and(OpenFile::is_closed) {
            *open = None;
        }
        let (handle, irq, canceller) = self.model.open().map_err(|_| Errno::ENODEV)?;
        let (ours, theirs) = UnixStream::pair().map_err(|_| Errno::ENOMEM)?;
        let theirs = OwnedFd::from(theirs);
        let identity = File::from(theirs.try_clone().map_err(|_| Errno::ENOMEM)?).metadata();
        let waiting = Arc::new(Waiting {
            state: Mutex::new(WaitingState::default()),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&waiting);
        let thread = thread::Builder::new()
            .name("rig-irq".to_owned())
            .spawn(move || of_thread.hand_on(irq))
            .map_err(|_| Errno::ENOMEM)?;
        *open = Some(OpenFile {
            identity: FileIdentity::of(&identity.map_err(|_| Errno::ENOMEM)?),
            ours,
            handle: Some(handle),
            canceller,
            waiting,
            thread: Some(thread),
        });
        Ok(theirs)
    }

    pub(super) fn take_accesses(&self) -> Vec<Access> {
        std::mem::take(&mut *lock(&self.accesses))
    }

    fn note(&self, access: Access) -> i64 {
        lock(&self.accesses).push(access);
        0
    }

    /// Waits until so many pictures were pushed since the start.
    pub(super) fn wait_for_pushes(&self, count: u32) {
        let mut open = lock(&self.open);
        while self.model.counters().pushed < count {
            open = self
                .pushed
                .wait(open)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A request to the descriptor of a call.
    pub(super) fn request(&self, listener: &Arc<Listener>, call: &Call) -> Request {
        let open = lock(&self.open);
        let identity = FileIdentity::of_descriptor(call.thread, call.arguments[0]);
        let Some(file) = open.as_ref().filter(|file| Some(file.identity) == identity) else {
            return Request::Foreign;
        };
        let argument = call.arguments[2];
        let result = match call.request() {
            abi::READ_REGISTER => {
                let read = file.read(call.thread, argument);
                read.map(|access| self.note(access))
            }
            abi::WRITE_REGISTER => {
                let written = file.write(call.thread, argument);
                self.pushed.notify_all();
                written.map(|access| self.note(access))
            }
            abi::UNBLOCK => {
                file.canceller.cancel();
                Ok(0)
            }
            abi::WAIT_IRQ => {
                self.park(file, listener, call);
                return Request::Taken;
            }
            abi::FLUSH_AVPU => return Request::Flush,
            _ => Err(Errno::EINVAL),
        };
        listener.answer(call, result);
        Request::Taken
    }

    fn park(&self, file: &OpenFile, listener: &Arc<Listener>, call: &Call) {
        let mut state = lock(&file.waiting.state);
        let second = state
            .parked
            .as_ref()
            .is_some_and(|parked| parked.listener.is_valid(&parked.call));
        if second {
            let result = oops(&self.faults, call.thread, "a second waiter for interrupts");
            listener.answer(call, result);
            return;
        }
        state.parked = Some(Parked {
            listener: Arc::clone(listener),
            call: *call,
        });
        file.waiting.changed.notify_one();
    }
}

impl OpenFile {
    fn is_closed(&self) -> bool {
        let mut polled = [PollFd::new(self.ours.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn read(&self, thread: i32, argument: u64) -> Result<Access, Errno> {
        let [id, _] = remote::read_words(thread, argument)?;
        let handle = self.handle.as_ref().ok_or(Errno::ENODEV)?;
        let value = handle.read(id).map_err(|_| Errno::EINVAL)?;
        remote::write_words(thread, argument, &[id, value])?;
        Ok(Access {
            is_write: false,
            register: id,
            value,
        })
    }

    fn write(&self, thread: i32, argument: u64) -> Result<Access, Errno> {
        let [id, value] = remote::read_words(thread, argument)?;
        let handle = self.handle.as_ref().ok_or(Errno::ENODEV)?;
        handle.write(id, value).map_err(|_| Errno::EINVAL)?;
        remote::write_words(thread, argument, &[id, value])?;
        Ok(Access {
            is_write: true,
            register: id,
            value,
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_write { "W" } else { "R" };
        write!(f, "{kind} {:04x} = {:08x}", self.register, self.value)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        lock(&self.waiting.state).closed = true;
        self.waiting.changed.notify_all();
        // Ends a wait in the model. The next open must not find this one's waiter: it would take its interrupts.
        self.handle = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told why.
            let _ = thread.join();
        }
    }
}

impl Waiting {
    /// Takes an interrupt only when a call waits for one, and keeps it when that call is gone meanwhile.
    fn hand_on(&self, mut irq: ModelIrq) {
        let mut left_over = None;
        loop {
            let mut state = lock(&self.state);
            while state.parked.is_none() && !state.closed {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            let waited = match left_over.take() {
                Some(line) => Ok(line),
                None => irq.wait(),
            };
            let Some(parked) = lock(&self.state).parked.take() else {
                return;
            };
            match waited {
                Ok(line) => {
                    if !parked.deliver(line) {
                        left_over = Some(line);
                    }
                }
                Err(WaitError::Interrupted | WaitError::Unblocked) => {
                    parked.listener.answer(&parked.call, Err(Errno::EINTR));
                }
                Err(WaitError::Closed) => {
                    parked.listener.answer(&parked.call, Err(Errno::EINTR));
                    return;
                }
            }
        }
    }
}

impl Parked {
    /// False when the call is gone.
    fn deliver(&self, line: u8) -> bool {
        if !self.listener.is_valid(&self.call) {
            return false;
        }
        let stored = remote::write_words(self.call.thread, self.call.arguments[2], &[line.into()]);
        // With a bad pointer the interrupt is lost, as the driver loses it.
        self.listener.answer(&self.call, stored.map(|()| 0))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
