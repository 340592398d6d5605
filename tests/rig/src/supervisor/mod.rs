//! Programs in front of a modelled camera, without a virtual machine and without their knowledge.
//!
//! A started program, and whatever it starts, runs behind a filter that asks about every open and about requests to the
//! two devices. The supervisor answers: with an end of a socket pair for the encoder, with files whose offset is the
//! physical address for the memory, with texts for what the kernel says of its memory, and with what the model says for
//! the requests. Mapping needs no answer. Everything else passes.
//!
//! What no program on a camera may do, because the kernel there would not survive it, ends the program here and is
//! listed as a fault, as are the rules of the hardware that the model saw broken.

mod encoder;
mod filter;
mod memory;
mod remote;
mod sys;

pub use encoder::Access;
pub use memory::Layout;

use crate::abi;
use avpu_model::ModelConfig;
use avpu_model::ModelDevice;
use avpu_model::engine::Counters;
use avpu_model::memory::FlushDirection;
use encoder::{Encoder, Request};
use memory::PhysicalMemory;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use remote::FileIdentity;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use sys::{Call, Listener};

/// A modelled camera and the programs on it.
pub struct Supervisor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    old_kernel: bool,
}

/// What a camera is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The encoder.
    pub model: ModelConfig,
    /// Where what lies in memory.
    pub layout: Layout,
    /// System calls newer than Linux 3.10 do not exist.
    pub old_kernel: bool,
}

struct Shared {
    memory: PhysicalMemory,
    cached: FileIdentity,
    uncached: FileIdentity,
    encoder: Encoder,
    faults: Arc<Faults>,
}

/// What programs did that a camera's kernel would not survive.
#[derive(Debug, Default)]
struct Faults(Mutex<Vec<String>>);

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: ModelConfig::default(),
            layout: Layout::default(),
            old_kernel: true,
        }
    }
}

impl Supervisor {
    /// A camera on which nothing runs.
    ///
    /// # Errors
    /// When the system has no memory or thread for it.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let memory = PhysicalMemory::new(settings.layout)?;
        let model = ModelDevice::new(&settings.model, memory.segments()?, None)?;
        let faults = Arc::new(Faults::default());
        let shared = Shared {
            cached: FileIdentity::of(&memory.cached.metadata()?),
            uncached: FileIdentity::of(&memory.uncached.metadata()?),
            encoder: Encoder::new(model, Arc::clone(&faults)),
            memory,
            faults,
        };
        Ok(Self {
            shared: Arc::new(shared),
            threads: Vec::new(),
            old_kernel: settings.old_kernel,
        })
    }

    /// Starts a program on it.
    ///
    /// # Errors
    /// When it cannot be started, or the system has no filters that ask.
    pub fn start(&mut self, mut command: Command) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        sys::start_behind(
            &mut command,
            filter::program(self.old_kernel),
            OwnedFd::from(theirs),
        );
        let child = command.spawn()?;
        // The child's end was copied at its start; this one would keep the socket from ever hanging up.
        drop(command);
        let listener = Arc::new(Listener::take(ours.as_fd())?);
        let shared = Arc::clone(&self.shared);
        let serve = move || {
            if let Err(error) = shared.serve(&listener) {
                shared.faults.add(format!("the supervisor failed: {error}"));
            }
        };
        let thread = thread::Builder::new().name("rig".to_owned()).spawn(serve)?;
        self.threads.push(thread);
        Ok(child)
    }

    /// Waits until so many pictures were pushed to the encoder since the start.
    pub fn wait_for_pushes(&self, count: u32) {
        self.shared.encoder.wait_for_pushes(count);
    }

    /// What the encoder counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.encoder.model().counters()
    }

    /// The register accesses since the start, or since they were taken last.
    #[must_use]
    pub fn take_accesses(&self) -> Vec<Access> {
        self.shared.encoder.take_accesses()
    }

    /// Everything that was done and must not be: rules of the hardware, of the kernel, and memory that is nobody's.
    ///
    /// # Errors
    /// When memory cannot be looked at.
    pub fn take_faults(&self) -> io::Result<Vec<String>> {
        let model = self.shared.encoder.model();
        let mut faults: Vec<String> = model
            .take_faults()
            .iter()
            .map(ToString::to_string)
            .collect();
        faults.append(&mut self.shared.faults.take());
        if let Some(error) = model.take_dump_failure() {
            faults.push(format!("a reconstruction is missing: {error}"));
        }
        for stray in self.shared.memory.strays()? {
            faults.push(format!(
                "expected the kernel's memory untouched, found bytes at 0x{:08x} to 0x{:08x}",
                stray.start, stray.end
            ));
        }
        Ok(faults)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Each ends with the last program behind its filter; whoever drops this has waited for those.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, listener: &Arc<Listener>) -> io::Result<()> {
        while let Some(call) = listener.receive()? {
            match call.number {
                libc::SYS_open => self.open(listener, &call, call.arguments[0], call.arguments[1]),
                libc::SYS_openat => {
                    self.open(listener, &call, call.arguments[1], call.arguments[2])
                }
                _ => self.request(listener, &call),
            }
        }
        Ok(())
    }

    fn open(&self, listener: &Listener, call: &Call, path: u64, flags: u64) {
        let path = remote::read_path(call.thread, path);
        let close_on_exec = flags & u64::from(libc::O_CLOEXEC.unsigned_abs()) != 0;
        let writes = flags & u64::from(libc::O_ACCMODE.unsigned_abs()) != 0;
        let file = match path.as_deref() {
            Some(abi::AVPU_PATH) => {
                match self.encoder.open() {
                    Ok(opened) => listener.answer_file(call, opened.as_fd(), close_on_exec),
                    Err(errno) => {
                        listener.answer(call, Err(errno));
                    }
                }
                return;
            }
            Some(abi::RMEM_PATH) => memory::reopen(&self.memory.cached, writes),
            Some(abi::MEM_PATH) => memory::reopen(&self.memory.uncached, writes),
            Some("/proc/cmdline") => memory::text_file(&self.memory.layout.command_line()),
            Some("/proc/iomem") => memory::text_file(&self.memory.layout.iomem()),
            _ => return listener.let_pass(call),
        };
        self.give(listener, call, file, close_on_exec);
    }

    fn give(&self, listener: &Listener, call: &Call, file: io::Result<File>, close_on_exec: bool) {
        match file {
            Ok(file) => listener.answer_file(call, file.as_fd(), close_on_exec),
            Err(error) => {
                self.faults.add(format!("the supervisor failed: {error}"));
                listener.answer(call, Err(Errno::EIO));
            }
        }
    }

    fn request(&self, listener: &Arc<Listener>, call: &Call) {
        let result = match self.encoder.request(listener, call) {
            Request::Taken => return,
            Request::Flush => self.flush(listener, call),
            Request::Foreign => {
                let identity = FileIdentity::of_descriptor(call.thread, call.arguments[0]);
                if identity != Some(self.cached) {
                    return listener.let_pass(call);
                }
                if call.request() == abi::FLUSH_RMEM {
                    self.flush(listener, call)
                } else {
                    Err(Errno::EINVAL)
                }
            }
        };
        listener.answer(call, result);
    }

    /// A cache operation, with the kernel's rules: it does not survive an empty one, a direction that is none, or an
    /// address that the caller has not mapped.
    fn flush(&self, listener: &Listener, call: &Call) -> Result<i64, Errno> {
        let thread = call.thread;
        let [address, len_bytes, direction] = remote::read_words(thread, call.arguments[2])?;
        let direction = match direction {
            0 => FlushDirection::Both,
            1 => FlushDirection::ToDevice,
            2 => FlushDirection::FromDevice,
            _ => {
                return oops(
                    &self.faults,
                    thread,
                    "a cache operation without a direction",
                );
            }
        };
        if len_bytes == 0 {
            return oops(&self.faults, thread, "a cache operation on nothing");
        }
        let mapped = remote::mapped_at(thread, address.into());
        if !listener.is_valid(call) {
            // Killed meanwhile, and nothing is mapped any more.
            return Err(Errno::EINTR);
        }
        let Some(mapped) = mapped.filter(|mapped| u64::from(len_bytes) <= mapped.left_bytes) else {
            return oops(
                &self.faults,
                thread,
                "a cache operation on memory that is not mapped",
            );
        };
        if mapped.inode == self.uncached.inode() {
            return oops(
                &self.faults,
                thread,
                "a cache operation on an uncached mapping",
            );
        }
        if mapped.inode != self.cached.inode() {
            return oops(
                &self.faults,
                thread,
                "a cache operation on memory that is not reserved",
            );
        }
        match self.memory.flush(mapped.offset_bytes, len_bytes, direction) {
            Ok(()) => Ok(0),
            Err(error) => {
                self.faults.add(format!("the supervisor failed: {error}"));
                Err(Errno::EFAULT)
            }
        }
    }
}

impl Faults {
    fn add(&self, fault: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fault);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The kernel of a camera would not survive it: lists it and ends the program.
fn oops(faults: &Faults, thread: i32, what: &str) -> Result<i64, Errno> {
    faults.add(format!(
        "expected nothing that stops a kernel, found {what}"
    ));
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(thread), Signal::SIGKILL);
    Err(Errno::EFAULT)
}
