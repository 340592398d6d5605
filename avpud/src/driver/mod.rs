//! How a job becomes words and register writes, and how what comes back becomes an outcome.
//!
//! [`Engine`] owns the device and every open channel's memory. It is told what to encode ([`Engine::start`]), which
//! interrupt came ([`Engine::on_irq`]) and when to give up ([`Engine::reset`]); one picture is in flight at a time, and
//! for each one that was started there is exactly one outcome. It knows no clients, no policy and no time.
//!
//! [`build`] makes command lists and is the only place that puts an address into one; [`sequence`] is the order of
//! register accesses. Hardware output is untrusted: an interrupt counts as a completion only if the job's own command
//! list was written back, and otherwise changes nothing, not even a register.

pub mod build;
#[cfg(test)]
mod build_tests;
mod channel;
mod complete;
pub mod error;
pub mod grid;
mod mapped;
mod ring;
pub mod sequence;
mod stream;
#[cfg(test)]
mod tests;

pub use mapped::{GuardViolation, GuardedObject};
pub use stream::Payload;

use crate::device::Device;
use crate::device::error::DeviceError;
use crate::hw::irq::{IrqLine, IrqSource};
use crate::hw::regs::Reg;
use crate::job::{ChannelKey, EncodeJob, JobFailure, JobId, JobOutcome};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::ChannelSetup;
use channel::{Channel, NextList, StartedPicture};
use error::DriverError;
use ring::InFlightSlot;
use sequence::Registers;

/// The video core of one device, with everything that channels have in its memory.
#[derive(Debug)]
pub struct Engine<D> {
    device: D,
    /// In no order; there are few.
    channels: Vec<Channel>,
    in_flight: Option<InFlight>,
    /// An access failed and the core could not be stopped since: a picture that ended here may still be in it.
    is_unstopped: bool,
    counters: Counters,
}

/// What an interrupt turned out to be.
#[derive(Debug)]
pub enum IrqVerdict {
    /// The picture in flight ended.
    Completed(Completion),
    /// Nothing that was waited for: no register was written, and what was in flight still is.
    Spurious(SpuriousCause),
    /// A line that this driver does not use.
    Foreign(IrqLine),
}

/// Why an interrupt was no completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpuriousCause {
    /// Nothing is in flight.
    NoJob,
    /// The command list of the job in flight was not written back. The write-back may trail the interrupt:
    /// [`Engine::poll_completion`] finds it later.
    NotWritten,
}

/// The end of a job.
#[derive(Debug)]
pub struct Completion {
    /// The job.
    pub job: JobId,
    /// Its channel.
    pub channel: ChannelKey,
    /// What became of it.
    pub outcome: JobOutcome,
    /// What failed, if the outcome is [`JobFailure::Device`].
    pub error: Option<DriverError>,
}

/// What a reset did.
#[derive(Debug)]
pub struct ResetReport {
    /// The job that was in the core. It has ended, whether the reset worked or not.
    pub lost: Option<Completion>,
    /// Whether the core is idle again.
    pub result: Result<(), DriverError>,
}

/// What happened since the engine was brought up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pictures with slice data.
    pub encoded: u64,
    /// Pictures that the hardware gave up or that overflowed.
    pub failed: u64,
    /// Interrupts with nothing in flight.
    pub spurious_idle: u64,
    /// Interrupts before anything was written back.
    pub spurious_unwritten: u64,
    /// Interrupts of other lines.
    pub foreign_lines: u64,
    /// Resets.
    pub resets: u64,
    /// Resets that did not bring the core back.
    pub resets_failed: u64,
    /// Guards found overwritten.
    pub guard_violations: u64,
    /// Register and memory accesses that failed.
    pub device_errors: u64,
    /// Command lists that were started as they were written ahead.
    pub lists_ahead: u64,
}

/// The picture that owns the core.
#[derive(Debug)]
struct InFlight {
    job: JobId,
    channel: ChannelKey,
    slot: InFlightSlot,
    picture: StartedPicture,
    budget: ByteLen,
}

impl<D: Device> Engine<D> {
    /// Takes a device over in whatever state its last owner left it: the video core is masked, reset and gated first,
    /// then the device is powered up, once for its life.
    ///
    /// # Errors
    /// When it is another block, or an access fails.
    pub fn bring_up(mut device: D) -> Result<Self, DriverError> {
        sequence::identify(&mut device)?;
        sequence::recover(&mut device)?;
        sequence::power_up(&mut device)?;
        Ok(Self {
            device,
            channels: Vec::new(),
            in_flight: None,
            is_unstopped: false,
            counters: Counters::default(),
        })
    }

    /// The device, for what does not concern the core: its capabilities, and exported memory.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// The job in the core.
    #[must_use]
    pub fn in_flight(&self) -> Option<JobId> {
        self.in_flight.as_ref().map(|in_flight| in_flight.job)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Prepares a channel in `memory`, which nothing else uses. Touches no register.
    ///
    /// # Errors
    /// When the key is in use, the memory is too small or misaligned, or it cannot be mapped.
    pub fn open_channel(
        &mut self,
        key: ChannelKey,
        setup: &ChannelSetup,
        memory: PhysRange,
    ) -> Result<(), DriverError> {
        if self.position(key).is_ok() {
            return Err(DriverError::ChannelExists { channel: key });
        }
        let channel = Channel::open(&mut self.device, key, setup, memory)?;
        self.channels.push(channel);
        Ok(())
    }

    /// Encodes the next pictures of a channel with another rate control, frame rate or group of pictures, in the memory
    /// that it has. Touches no register.
    ///
    /// # Errors
    /// When there is no such channel, its picture is in flight, or its size or coding would be another one.
    pub fn tune_channel(
        &mut self,
        key: ChannelKey,
        setup: &ChannelSetup,
    ) -> Result<(), DriverError> {
        let index = self.position(key)?;
        if let Some(in_flight) = self.in_flight.as_ref().filter(|job| job.channel == key) {
            return Err(DriverError::EngineBusy { job: in_flight.job });
        }
        self.channels[index].tune(setup)
    }

    /// Prepares a channel anew in other memory, for pictures of another size or coding. Nothing of it is in flight.
    /// Answers where the hardware wrote too far in the old memory, which is let go of even where that cannot be seen.
    /// Touches no register.
    ///
    /// # Errors
    /// When the new memory cannot be used or a picture is in flight: the channel is as it was.
    pub fn replace_channel(
        &mut self,
        key: ChannelKey,
        setup: &ChannelSetup,
        memory: PhysRange,
    ) -> Result<Result<Vec<GuardViolation>, DriverError>, DriverError> {
        let index = self.position(key)?;
        if let Some(in_flight) = self.in_flight.as_ref().filter(|job| job.channel == key) {
            return Err(DriverError::EngineBusy { job: in_flight.job });
        }
        let new = Channel::open(&mut self.device, key, setup, memory)?;
        let old = core::mem::replace(&mut self.channels[index], new);
        Ok(self.look_back(&old))
    }

    /// Forgets a channel of which nothing is in flight, and says where the hardware wrote too far. Slice data that was
    /// not released is gone. Touches no register.
    ///
    /// # Errors
    /// When there is no such channel, its picture is in flight, or its guards cannot be read; in the last case it is
    /// closed all the same.
    pub fn close_channel(&mut self, key: ChannelKey) -> Result<Vec<GuardViolation>, DriverError> {
        let index = self.position(key)?;
        if let Some(in_flight) = self.in_flight.as_ref().filter(|job| job.channel == key) {
            return Err(DriverError::EngineBusy { job: in_flight.job });
        }
        let channel = self.channels.swap_remove(index);
        self.look_back(&channel)
    }

    /// Where the hardware wrote too far in the memory of a channel that is over.
    fn look_back(&mut self, channel: &Channel) -> Result<Vec<GuardViolation>, DriverError> {
        let violations = channel.check_guards(&mut self.device)?;
        let count = u64::try_from(violations.len()).unwrap_or(u64::MAX);
        self.counters.guard_violations = self.counters.guard_violations.saturating_add(count);
        Ok(violations)
    }

    /// Writes the command list of a picture that is likely started next, while another channel's is in the core. Touches
    /// no register, and changes nothing but memory that no started picture uses: [`Self::start`] takes this list if it is
    /// still, word for word, the one that it would write, and writes it anew otherwise.
    ///
    /// # Errors
    /// When there is no such channel, its picture is in flight, the job does not fit it now, or the list cannot be written
    /// back. Nothing was written ahead then, which [`Self::start`] makes up for.
    pub fn prepare(&mut self, job: &EncodeJob) -> Result<(), DriverError> {
        if let Some(in_flight) = self.in_flight.as_ref().filter(|f| f.channel == job.channel) {
            return Err(DriverError::EngineBusy { job: in_flight.job });
        }
        let index = self.position(job.channel)?;
        let written = self.channels[index].write_ahead(job, &mut self.device);
        // The core has not been asked for anything, so it is in no doubt.
        written.inspect_err(|error| {
            if error.is_of_device() {
                count(&mut self.counters.device_errors);
            }
        })
    }

    /// Starts a picture. After `Ok` exactly one [`Completion`] follows, from [`Self::on_irq`],
    /// [`Self::poll_completion`] or [`Self::reset`].
    ///
    /// # Errors
    /// When the core has a job, the job does not fit its channel, the core does not stop, or an access fails. The job has
    /// ended then; in the last two cases its channel has no reference. [`Self::failure_of`] says what the job's end is.
    pub fn start(&mut self, job: &EncodeJob) -> Result<(), DriverError> {
        if let Some(in_flight) = &self.in_flight {
            return Err(DriverError::EngineBusy { job: in_flight.job });
        }
        let index = self.position(job.channel)?;
        let channel = &mut self.channels[index];
        let (next, picture) = channel.prepare(job)?;
        let is_ahead = matches!(next, NextList::Ahead(_));
        let budget = channel.budget();
        let armed = match sequence::arm(&mut self.device) {
            Ok(armed) => {
                self.is_unstopped = false;
                armed
            }
            Err(error) => {
                channel.fail(&picture);
                return Err(self.give_up(error.into()));
            }
        };
        let slot = match next.publish(channel.lists(), &mut self.device) {
            Ok(slot) => slot,
            Err(error) => {
                channel.fail(&picture);
                return Err(self.give_up(error.into()));
            }
        };
        let list = slot.address();
        let in_flight = InFlight {
            job: job.id,
            channel: job.channel,
            slot,
            picture,
            budget,
        };
        // Before the push: the interrupt may come before the push returns.
        let in_flight = self.in_flight.insert(in_flight);
        if let Err(error) = armed.push(&mut self.device, list) {
            channel.fail(&in_flight.picture);
            self.in_flight = None;
            return Err(self.give_up(error.into()));
        }
        if is_ahead {
            count(&mut self.counters.lists_ahead);
        }
        Ok(())
    }

    /// What an error of [`Self::start`] that was just answered makes of the job.
    #[must_use]
    pub fn failure_of(&self, error: &DriverError) -> JobFailure {
        if self.is_unstopped {
            JobFailure::Unstopped
        } else if error.is_of_device() {
            JobFailure::Device
        } else {
            JobFailure::Unfit
        }
    }

    /// Judges an interrupt.
    pub fn on_irq(&mut self, line: IrqLine) -> IrqVerdict {
        if line.source() != IrqSource::VideoPicture {
            count(&mut self.counters.foreign_lines);
            return IrqVerdict::Foreign(line);
        }
        let Some(in_flight) = self.in_flight.take() else {
            count(&mut self.counters.spurious_idle);
            return IrqVerdict::Spurious(SpuriousCause::NoJob);
        };
        match self.judge(&in_flight) {
            Ok(Some(outcome)) => IrqVerdict::Completed(self.complete(in_flight, outcome)),
            Ok(None) => {
                self.in_flight = Some(in_flight);
                count(&mut self.counters.spurious_unwritten);
                IrqVerdict::Spurious(SpuriousCause::NotWritten)
            }
            Err(error) => IrqVerdict::Completed(self.abandon(in_flight, error)),
        }
    }

    /// Looks for a completion without an interrupt: when one came before the write-back, or may be lost. Not right
    /// after a start, as the core does not bear being read then.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        let in_flight = self.in_flight.take()?;
        let judged = self.judge(&in_flight).and_then(|outcome| match outcome {
            // Without an interrupt the size alone does not say that the core has let go of the buffers.
            Some(outcome) if !sequence::is_running(&mut self.device)? => Ok(Some(outcome)),
            _ => Ok(None),
        });
        match judged {
            Ok(Some(outcome)) => Some(self.complete(in_flight, outcome)),
            Ok(None) => {
                self.in_flight = Some(in_flight);
                None
            }
            Err(error) => Some(self.abandon(in_flight, error)),
        }
    }

    /// Takes the core back from a picture that does not end. Lines and clocks of other cores are left alone.
    pub fn reset(&mut self) -> ResetReport {
        count(&mut self.counters.resets);
        let lost = self.lose();
        let result = self.recover();
        if result.is_err() {
            count(&mut self.counters.resets_failed);
        }
        ResetReport { lost, result }
    }

    /// Leaves the core masked, reset and gated, for closing the device. A job in it has ended. An error says that the core
    /// may go on by itself.
    pub fn shut_down(&mut self) -> ResetReport {
        let lost = self.lose();
        let result = sequence::recover(&mut self.device).map_err(DriverError::from);
        ResetReport { lost, result }
    }

    /// Slice data of a finished picture, to be copied out and then released.
    ///
    /// # Errors
    /// When none is held for the job, or the cache cannot be made to agree.
    pub fn payload(&mut self, channel: ChannelKey, job: JobId) -> Result<Payload<'_>, DriverError> {
        let index = self.position(channel)?;
        self.channels[index].payload(&mut self.device, job)
    }

    /// Gives a finished picture's stream buffer back to its channel.
    ///
    /// # Errors
    /// When no slice data is held for the job.
    pub fn release_payload(&mut self, channel: ChannelKey, job: JobId) -> Result<(), DriverError> {
        let index = self.position(channel)?;
        self.channels[index].release(job)
    }

    fn position(&self, key: ChannelKey) -> Result<usize, DriverError> {
        self.channels
            .iter()
            .position(|channel| channel.key() == key)
            .ok_or(DriverError::UnknownChannel { channel: key })
    }

    /// What the job's command list says became of it, if it says anything.
    fn judge(&mut self, in_flight: &InFlight) -> Result<Option<JobOutcome>, DriverError> {
        let index = self.position(in_flight.channel)?;
        let lists = self.channels[index].lists();
        let status = in_flight.slot.status(lists, &mut self.device)?;
        Ok(complete::judge(&status, in_flight.budget))
    }

    /// The core wrote the job back: masks and gates it, then ends the job.
    fn complete(&mut self, in_flight: InFlight, outcome: JobOutcome) -> Completion {
        match sequence::finish(&mut self.device) {
            Ok(()) => self.end(in_flight, outcome, None),
            Err(error) => self.abandon(in_flight, error.into()),
        }
    }

    /// An access failed with a job in the core: takes the core back and ends the job.
    fn abandon(&mut self, in_flight: InFlight, error: DriverError) -> Completion {
        let error = self.give_up(error);
        let outcome = JobOutcome::Failed(if self.is_unstopped {
            JobFailure::Unstopped
        } else {
            JobFailure::Device
        });
        self.end(in_flight, outcome, Some(error))
    }

    /// Settles buffers and references of a job that ended.
    fn end(
        &mut self,
        in_flight: InFlight,
        outcome: JobOutcome,
        error: Option<DriverError>,
    ) -> Completion {
        // A channel with a job in flight cannot be closed, so it is there.
        if let Ok(index) = self.position(in_flight.channel) {
            let channel = &mut self.channels[index];
            match outcome {
                JobOutcome::Encoded(picture) => {
                    channel.succeed(&in_flight.picture, in_flight.job, picture.payload_len);
                    count(&mut self.counters.encoded);
                }
                JobOutcome::Failed(_) => {
                    channel.fail(&in_flight.picture);
                    count(&mut self.counters.failed);
                }
            }
        }
        Completion {
            job: in_flight.job,
            channel: in_flight.channel,
            outcome,
            error,
        }
    }

    /// The job in the core will not be waited for any more.
    fn lose(&mut self) -> Option<Completion> {
        let in_flight = self.in_flight.take()?;
        Some(self.end(in_flight, JobOutcome::Failed(JobFailure::Reset), None))
    }

    /// After a failed access: stops the core, or remembers that it did not stop. The first error is the one to tell.
    fn give_up(&mut self, error: DriverError) -> DriverError {
        count(&mut self.counters.device_errors);
        // A second failure is told by the end of the job, which asks for a reset, and that tells its own.
        let _ = self.recover();
        error
    }

    /// Resets the core and proves it: a core that does not stop still claims to run when it is armed, and one that
    /// cannot be reached does not keep what is written to it.
    fn recover(&mut self) -> Result<(), DriverError> {
        self.is_unstopped = true;
        // Whatever the core did last, it did not do it to a list that is written after this.
        for channel in &mut self.channels {
            channel.drop_ahead();
        }
        sequence::recover(&mut self.device)?;
        sequence::self_test(&mut self.device)?;
        self.is_unstopped = false;
        Ok(())
    }
}

impl<D: Device> Registers for D {
    type Error = DeviceError;

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        Device::read(self, register)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        Device::write(self, register, value)
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
