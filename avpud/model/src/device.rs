//! The model as a device that threads use: registers that answer at once, waits that block.
//!
//! A [`ModelDevice`] is the silicon with the kernel driver around it. [`ModelDevice::open`] is what opening the device
//! file is, with all its rules, and gives three things: a [`ModelHandle`] for registers and memory, a [`ModelIrq`] for
//! the one thread that waits, and a [`ModelCanceller`] that ends the wait for good. Encoding runs on a thread of the
//! model's own, which is part of the device. Time is the host's monotonic clock.
//!
//! Nothing here is polled: the worker sleeps until there is work or the next event is due, a wait sleeps until there
//! is an interrupt. Register accesses and flushes allocate nothing.

use crate::body::Body;
use crate::config::ModelConfig;
use crate::dump::{DumpSink, ReconstructionSink};
use crate::engine::{Counters, Engine, EngineConfig};
use crate::irq::Waited;
use crate::memory::{BusError, FlushDirection, LayError, Memory, Segment, SegmentedMemory};
use crate::registers::{self, RegisterError};
use crate::violation::ModelFault;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The silicon and the driver around it. Dropping it ends its thread.
pub struct ModelDevice {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

/// An open device file: registers and memory. Dropping it closes the file.
pub struct ModelHandle {
    shared: Arc<Shared>,
}

/// Where interrupts come from.
pub struct ModelIrq {
    shared: Arc<Shared>,
}

/// Ends waits for good.
pub struct ModelCanceller {
    shared: Arc<Shared>,
}

/// The device is open already: ENODEV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceBusy;

/// A wait that ended without an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// EINTR by a signal; waiting again is right.
    Interrupted,
    /// EINTR by UNBLOCK; every later wait ends at once.
    Unblocked,
    /// The file is closed.
    Closed,
}

struct Shared {
    start: Instant,
    /// Locked before `memory` where both are needed.
    state: Mutex<State>,
    memory: Mutex<SegmentedMemory>,
    /// The worker's: a push, a reset, the end.
    wake_worker: Condvar,
    /// The waiter's: an interrupt, UNBLOCK, close.
    wake_waiter: Condvar,
}

/// Memory that is locked for each access only, so that a flush never waits for a whole picture.
struct Locked<'a>(&'a Mutex<SegmentedMemory>);

struct State {
    engine: Engine,
    dump_failure: Option<io::Error>,
    ended: bool,
}

impl ModelDevice {
    /// A device on `memory`. `sink` gets every reconstruction, besides the files that the configuration asks for.
    ///
    /// # Errors
    /// When the dump directory or the thread cannot be made.
    pub fn new(
        config: &ModelConfig,
        memory: SegmentedMemory,
        sink: Option<Box<dyn ReconstructionSink>>,
    ) -> io::Result<Self> {
        let dump = match &config.dump {
            Some(directory) => Some(DumpSink::create(directory)?),
            None => None,
        };
        let shared = Arc::new(Shared {
            start: Instant::now(),
            state: Mutex::new(State {
                engine: Engine::new(EngineConfig {
                    pace: config.pace,
                    faults: config.faults.clone(),
                    seed: config.seed,
                }),
                dump_failure: None,
                ended: false,
            }),
            memory: Mutex::new(memory),
            wake_worker: Condvar::new(),
            wake_waiter: Condvar::new(),
        });
        let body = Body::new(config.body);
        let of_worker = Arc::clone(&shared);
        let worker = thread::Builder::new()
            .name("avpu-model".to_owned())
            .spawn(move || of_worker.work(body, sink, dump))?;
        Ok(Self {
            shared,
            worker: Some(worker),
        })
    }

    /// Opens the device file. Interrupts queued before are thrown away.
    ///
    /// # Errors
    /// [`DeviceBusy`] when it is open.
    pub fn open(&self) -> Result<(ModelHandle, ModelIrq, ModelCanceller), DeviceBusy> {
        if !self.shared.state().engine.open() {
            return Err(DeviceBusy);
        }
        let shared = || Arc::clone(&self.shared);
        Ok((
            ModelHandle { shared: shared() },
            ModelIrq { shared: shared() },
            ModelCanceller { shared: shared() },
        ))
    }

    /// What was counted since the device was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.state().engine.counters()
    }

    /// Takes the listed rules that were broken, oldest first.
    #[must_use]
    pub fn take_faults(&self) -> Vec<ModelFault> {
        self.shared.state().take_faults()
    }

    /// Takes the last error of writing reconstructions to files; what failed is missing from them.
    #[must_use]
    pub fn take_dump_failure(&self) -> Option<io::Error> {
        self.shared.state().dump_failure.take()
    }
}

impl Drop for ModelDevice {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.wake_worker.notify_all();
        self.shared.wake_waiter.notify_all();
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has told why; there is nothing to add here.
            let _ = worker.join();
        }
    }
}

impl ModelHandle {
    /// Reads a register.
    ///
    /// # Errors
    /// When the driver refuses the offset with EINVAL.
    pub fn read(&self, offset: u32) -> Result<u32, RegisterError> {
        let now_us = self.shared.now_us();
        self.shared.state().engine.read(now_us, offset)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// When the driver refuses the offset with EINVAL.
    pub fn write(&self, offset: u32, value: u32) -> Result<(), RegisterError> {
        let mut state = self.shared.state();
        let now_us = self.shared.now_us();
        let memory = Locked(&self.shared.memory);
        let result = state.engine.write(now_us, offset, value, &memory);
        if offset == registers::offset::CL_PUSH {
            self.shared.wake_worker.notify_one();
        }
        if state.engine.has_irq() {
            self.shared.wake_waiter.notify_one();
        }
        result
    }

    /// Makes processor and device agree on a range that is mapped cached.
    ///
    /// # Errors
    /// When some of it is not memory.
    pub fn flush(
        &self,
        address: u32,
        len_bytes: u32,
        direction: FlushDirection,
    ) -> Result<(), BusError> {
        self.shared.memory().flush(address, len_bytes, direction)
    }

    /// Lays a segment over what is there, until [`ModelHandle::remove`].
    pub fn lay(&self, segment: Segment) {
        self.shared.memory().lay(segment);
    }

    /// Takes a segment away again.
    ///
    /// # Errors
    /// When there is none with exactly this range.
    pub fn remove(&self, start: u32, len_bytes: u32) -> Result<(), LayError> {
        self.shared.memory().remove(start, len_bytes)
    }

    /// What was counted since the device was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.state().engine.counters()
    }

    /// Takes the listed rules that were broken, oldest first.
    #[must_use]
    pub fn take_faults(&self) -> Vec<ModelFault> {
        self.shared.state().take_faults()
    }
}

impl Drop for ModelHandle {
    fn drop(&mut self) {
        self.shared.state().engine.close();
        self.shared.wake_waiter.notify_all();
    }
}

impl ModelIrq {
    /// Waits for the next interrupt and takes it.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait(&mut self) -> Result<u8, WaitError> {
        let mut state = self.shared.state();
        loop {
            if state.ended {
                return Err(WaitError::Closed);
            }
            match state.engine.take_irq() {
                Waited::Line(line) => return Ok(line),
                Waited::Interrupted => return Err(WaitError::Interrupted),
                Waited::Unblocked => return Err(WaitError::Unblocked),
                Waited::Closed => return Err(WaitError::Closed),
                Waited::Nothing => {}
            }
            state = wait(&self.shared.wake_waiter, state);
        }
    }
}

impl ModelCanceller {
    /// UNBLOCK: ends the wait and every later one.
    pub fn cancel(&self) {
        self.shared.state().engine.unblock();
        self.shared.wake_waiter.notify_all();
    }
}

impl Memory for Locked<'_> {
    fn read(&self, address: u32, bytes: &mut [u8]) -> Result<(), BusError> {
        lock(self.0).read(address, bytes)
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), BusError> {
        lock(self.0).write(address, bytes)
    }

    fn contains(&self, address: u32, len_bytes: u32) -> bool {
        lock(self.0).contains(address, len_bytes)
    }
}

impl State {
    fn take_faults(&mut self) -> Vec<ModelFault> {
        let faults = self.engine.faults().to_vec();
        self.engine.clear_faults();
        faults
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn memory(&self) -> MutexGuard<'_, SegmentedMemory> {
        lock(&self.memory)
    }

    /// The worker: makes pictures without a lock, writes them back under both.
    fn work(
        &self,
        mut body: Body,
        mut sink: Option<Box<dyn ReconstructionSink>>,
        mut dump: Option<DumpSink>,
    ) {
        let mut state = self.state();
        while !state.ended {
            if let Some(work) = state.engine.work() {
                drop(state);
                body.load(&work, &Locked(&self.memory));
                body.encode();
                state = self.state();
                state.engine.ready(self.now_us(), work.number);
                continue;
            }
            let now_us = self.now_us();
            match state.engine.next_event_us() {
                Some(at) if at <= now_us => {
                    let finished = body.finished();
                    let mut memory = Locked(&self.memory);
                    let written = state.engine.advance(now_us, finished.as_ref(), &mut memory);
                    let frame = finished.and_then(|finished| finished.reconstruction);
                    if let (Some(info), Some(frame)) = (written, frame) {
                        // Under the lock: who takes the interrupt finds the reconstruction delivered.
                        if let Some(sink) = &mut sink {
                            sink.picture(&info, frame);
                        }
                        if let Some(dump) = &mut dump {
                            dump.picture(&info, frame);
                            state.dump_failure = dump.take_failure().or(state.dump_failure.take());
                        }
                    }
                    self.wake_waiter.notify_one();
                }
                Some(at) => {
                    let pause = Duration::from_micros(at - now_us);
                    state = self
                        .wake_worker
                        .wait_timeout(state, pause)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                None => state = wait(&self.wake_worker, state),
            }
        }
    }
}

/// Locks. A thread that panicked while it held the lock has reported that itself; what it left is still a device.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for DeviceBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a device that nobody has open, found it open")
    }
}

impl std::error::Error for DeviceBusy {}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "expected an interrupt, found a signal",
            Self::Unblocked => "expected an interrupt, found the wait unblocked",
            Self::Closed => "expected an interrupt, found the device closed",
        })
    }
}

impl std::error::Error for WaitError {}
