//! A channel as the driver keeps it: its memory, its ring of command lists, the roles of its buffers.
//!
//! The two picture buffers change roles only after a good picture. A picture that failed leaves the buffer it was
//! written to undefined, and the channel without a reference until an IDR succeeds.

use super::build::{ListBuilder, ListSettings, PictureWords};
use super::error::DriverError;
use super::mapped::{GuardViolation, Mapped};
use super::ring::{FilledSlot, InFlightSlot, Ring, WaitingSlot};
use super::stream::{Payload, Streams};
use crate::device::Device;
use crate::device::error::DeviceError;
use crate::hw::layout::{ChannelLayout, ChannelMemory, Parity};
use crate::job::{ChannelKey, EncodeJob, JobId};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::mem::map::{self, MappedRegion};
use crate::picture::{ChannelSetup, PictureKind, PictureSize};

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    key: ChannelKey,
    size: PictureSize,
    memory: ChannelMemory,
    builder: ListBuilder,
    mapped: Mapped,
    ring: Ring,
    pictures: Pictures,
    streams: Streams,
    /// The list that is likely next, in the slot that is.
    ahead: Option<Ahead>,
}

/// A command list that was written before its turn.
#[derive(Debug)]
struct Ahead {
    /// All that it was made of besides what pictures of the channel share.
    words: PictureWords,
    slot: WaitingSlot,
}

/// The command list of a picture that is about to be started.
#[derive(Debug)]
pub(super) enum NextList {
    /// Written just now.
    Filled(FilledSlot),
    /// Written ahead of its turn.
    Ahead(WaitingSlot),
}

/// A picture that was started and has not ended.
#[derive(Debug)]
pub(super) struct StartedPicture {
    stream: u32,
    gop_index: u32,
}

/// Roles of the two picture buffers.
#[derive(Debug)]
struct Pictures {
    /// Written by the next picture.
    target: Parity,
    /// Index in its group of the picture in the other buffer, if that may be referred to.
    reference_index: Option<u32>,
}

impl Channel {
    /// Places a channel in `range`, fills tables and guards, empties the ring. Touches no register.
    pub(super) fn open(
        device: &mut impl Device,
        key: ChannelKey,
        setup: &ChannelSetup,
        range: PhysRange,
    ) -> Result<Self, DriverError> {
        let layout = ChannelLayout::new(setup)?;
        let memory = layout.place(range)?;
        let mapped = Mapped::new(device, memory)?;
        mapped.initialise(device, setup)?;
        Ok(Self {
            key,
            size: setup.geometry.coded(),
            memory,
            builder: ListBuilder::new(ListSettings::new(setup, layout.stream_layout()))?,
            ring: Ring::new(mapped.first_slot()?),
            mapped,
            pictures: Pictures {
                target: Parity::A,
                reference_index: None,
            },
            streams: Streams::new(setup.stream_count),
            ahead: None,
        })
    }

    /// Takes over what may change between two pictures.
    pub(super) fn tune(&mut self, setup: &ChannelSetup) -> Result<(), DriverError> {
        let stream = self.memory.layout().stream_layout();
        let settings = ListSettings::new(setup, stream);
        if !self.builder.settings().is_tuned_to(&settings) {
            return Err(DriverError::OtherPictures { channel: self.key });
        }
        self.builder = ListBuilder::new(settings)?;
        self.ahead = None;
        self.mapped.write_tables(setup.rate_control)?;
        map::fence();
        Ok(())
    }

    /// The channel's key.
    pub(super) fn key(&self) -> ChannelKey {
        self.key
    }

    /// Bytes of slice data a picture may have.
    pub(super) fn budget(&self) -> ByteLen {
        self.memory.layout().stream_layout().budget
    }

    /// The mapping that holds the command lists.
    pub(super) fn lists(&self) -> &MappedRegion {
        self.mapped.lists()
    }

    /// What a job's command list would be made of now, and its stream buffer.
    fn words(&self, job: &EncodeJob) -> Result<(PictureWords, u32), DriverError> {
        self.pictures.check(job)?;
        let stream = self
            .streams
            .free()
            .ok_or(DriverError::NoStreamBuffer { channel: self.key })?;
        let target = self.pictures.target;
        let words = PictureWords::for_job(job, &self.memory, self.size, target, stream)?;
        Ok((words, stream))
    }

    /// Writes the command list of a job that is likely the channel's next into the slot that is. Takes nothing: neither
    /// the slot's turn nor a stream buffer.
    pub(super) fn write_ahead(
        &mut self,
        job: &EncodeJob,
        device: &mut impl Device,
    ) -> Result<(), DriverError> {
        self.ahead = None;
        let (words, _) = self.words(job)?;
        let list = self.builder.build(&words)?;
        let filled = self.ring.free()?.fill(self.mapped.lists(), &list)?;
        let slot = filled.write_back(self.mapped.lists(), device)?;
        self.ahead = Some(Ahead { words, slot });
        Ok(())
    }

    /// Forgets the list that was written ahead.
    pub(super) fn drop_ahead(&mut self) {
        self.ahead = None;
    }

    /// Fills the next command list for a job and takes a stream buffer for it; where exactly this list was written ahead,
    /// it is taken as it is. Refuses without having changed anything.
    pub(super) fn prepare(
        &mut self,
        job: &EncodeJob,
    ) -> Result<(NextList, StartedPicture), DriverError> {
        let ahead = self.ahead.take();
        let (words, stream) = self.words(job)?;
        let list = match ahead {
            Some(ahead) if ahead.words == words => NextList::Ahead(ahead.slot),
            _ => {
                let list = self.builder.build(&words)?;
                NextList::Filled(self.ring.free()?.fill(self.mapped.lists(), &list)?)
            }
        };
        self.ring.turn();
        self.streams.take(stream);
        let started = StartedPicture {
            stream,
            gop_index: job.gop_index,
        };
        Ok((list, started))
    }

    /// A picture is complete: it becomes the reference, and its slice data waits to be copied out.
    pub(super) fn succeed(&mut self, started: &StartedPicture, job: JobId, payload_len: ByteLen) {
        self.pictures.target = self.pictures.target.other();
        self.pictures.reference_index = Some(started.gop_index);
        self.streams.finish(started.stream, job, payload_len);
    }

    /// A picture is lost: there is no reference any more, and its stream buffer is free.
    pub(super) fn fail(&mut self, started: &StartedPicture) {
        self.pictures.reference_index = None;
        self.streams.release(started.stream);
    }

    /// Slice data of a finished picture.
    pub(super) fn payload(
        &self,
        device: &mut impl Device,
        job: JobId,
    ) -> Result<Payload<'_>, DriverError> {
        let (index, len) = self
            .streams
            .ready(job)
            .ok_or(DriverError::NoPayload { job })?;
        let (region, at) = self.mapped.payload(device, index, len)?;
        Ok(Payload::new(region, at, len))
    }

    /// Frees the stream buffer of a finished picture.
    pub(super) fn release(&mut self, job: JobId) -> Result<(), DriverError> {
        let (index, _) = self
            .streams
            .ready(job)
            .ok_or(DriverError::NoPayload { job })?;
        self.streams.release(index);
        Ok(())
    }

    /// Looks at all guards; only when nothing of the channel is in flight.
    pub(super) fn check_guards(
        &self,
        device: &mut impl Device,
    ) -> Result<Vec<GuardViolation>, DriverError> {
        self.mapped.check_guards(device)
    }
}

impl NextList {
    /// Makes the list visible to the hardware, together with everything written before.
    pub(super) fn publish(
        self,
        region: &MappedRegion,
        device: &mut impl Device,
    ) -> Result<InFlightSlot, DeviceError> {
        match self {
            Self::Filled(slot) => slot.write_back(region, device)?.publish(region),
            Self::Ahead(slot) => slot.publish(region),
        }
    }
}

impl Pictures {
    /// Whether a job follows what the channel can refer to. An IDR always does.
    fn check(&self, job: &EncodeJob) -> Result<(), DriverError> {
        let expected = self.reference_index.and_then(|index| index.checked_add(1));
        if job.kind == PictureKind::Idr || expected == Some(job.gop_index) {
            return Ok(());
        }
        Err(DriverError::NoReference {
            expected,
            found: job.gop_index,
        })
    }
}
