//! Engine, body and memory in one, in virtual time: for worlds in which one thread does everything.
//!
//! Encoding takes no time here; pictures complete exactly when the pace says.

use crate::body::Body;
use crate::config::BodyKind;
use crate::dump::ReconstructionSink;
use crate::engine::{Engine, EngineConfig};
use crate::irq::Waited;
use crate::memory::Memory;
use crate::registers::RegisterError;

/// A whole device in virtual time.
pub struct Machine<M> {
    engine: Engine,
    body: Body,
    memory: M,
    sink: Option<Box<dyn ReconstructionSink>>,
}

impl<M: Memory> Machine<M> {
    /// A device on `memory` whose file is closed.
    #[must_use]
    pub fn new(config: EngineConfig, body: BodyKind, memory: M) -> Self {
        Self {
            engine: Engine::new(config),
            body: Body::new(body),
            memory,
            sink: None,
        }
    }

    /// Hands every reconstruction that reaches memory to `sink`.
    pub fn set_sink(&mut self, sink: Box<dyn ReconstructionSink>) {
        self.sink = Some(sink);
    }

    /// The engine: open, close, unblock, counters, faults.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The memory.
    pub fn memory(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Reads a register.
    ///
    /// # Errors
    /// See [`Engine::read`].
    pub fn read(&mut self, now_us: u64, offset: u32) -> Result<u32, RegisterError> {
        self.advance(now_us);
        self.engine.read(now_us, offset)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// See [`Engine::write`].
    pub fn write(&mut self, now_us: u64, offset: u32, value: u32) -> Result<(), RegisterError> {
        self.advance(now_us);
        self.engine.write(now_us, offset, value, &self.memory)
    }

    /// When something happens next, if nothing is done to the device.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        let timed = self.engine.next_event_us();
        timed.into_iter().chain(self.engine.due_us()).min()
    }

    /// Does everything that is due at `now_us`.
    pub fn advance(&mut self, now_us: u64) {
        while let Some(at) = self.next_event_us().filter(|&at| at <= now_us) {
            if self.engine.due_us() == Some(at)
                && let Some(work) = self.engine.work()
            {
                self.body.load(&work, &self.memory);
                self.body.encode();
                self.engine.ready(at, work.number);
            }
            let finished = self.body.finished();
            let written = self.engine.advance(at, finished.as_ref(), &mut self.memory);
            if let (Some(info), Some(sink)) = (written, &mut self.sink)
                && let Some(frame) = finished.and_then(|finished| finished.reconstruction)
            {
                sink.picture(&info, frame);
            }
        }
    }

    /// What a wait finds at `now_us`; takes it.
    pub fn take_irq(&mut self, now_us: u64) -> Waited {
        self.advance(now_us);
        self.engine.take_irq()
    }
}
