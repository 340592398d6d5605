//! What the processor touches of a channel's memory.
//!
//! Tables and command lists are mapped around the cache, stream buffers through it. The picture buffers are not
//! mapped, only the guards behind them; the source is never seen here. Guards are a pattern behind every object that
//! the hardware writes: an object sized too small would otherwise overwrite a neighbour, which may be another
//! client's, in silence.

use super::error::DriverError;
use crate::device::guard::PATTERN;
use crate::device::{Caching, Device, FlushDirection};
use crate::hw::layout::{
    ChannelMemory, Ep3Bank, GUARD_LEN_BYTES, LayoutError, PAYLOAD_OFFSET_BYTES, Parity, Span,
};
use crate::hw::tables;
use crate::mem::addr::{AddressError, ByteLen, RegionOffset};
use crate::mem::map::{self, MappedRegion};
use crate::picture::{ChannelSetup, RateControl};

/// The mapped parts of a channel's memory.
#[derive(Debug)]
pub(super) struct Mapped {
    memory: ChannelMemory,
    /// Rate control tables and command lists, uncached.
    lists: Part,
    /// The guard behind the first picture, uncached.
    guard_a: Part,
    /// The guard behind the second picture, uncached.
    guard_b: Part,
    /// Lambdas to quantiser control, uncached.
    parameters: Part,
    /// All stream buffers, cached.
    streams: Part,
}

/// An object with a guard behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardedObject {
    /// Tables of the rate control inside a picture (EP3).
    RateControlTables,
    /// The ring of command lists.
    Ring,
    /// The first picture buffer.
    PictureA,
    /// The second picture buffer.
    PictureB,
    /// Lambdas, scaling lists, row table and quantiser control.
    Parameters,
    /// A stream buffer.
    Stream(u32),
}

/// Bytes behind an object that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardViolation {
    /// The object before them.
    pub object: GuardedObject,
    /// The first changed byte, counted from the end of the object.
    pub first_byte: u32,
    /// How many bytes of the guard changed.
    pub changed_bytes: u32,
}

/// A mapped part of a channel's memory.
#[derive(Debug)]
struct Part {
    /// Where it starts in the channel's memory.
    start: RegionOffset,
    region: MappedRegion,
}

const GUARD_LEN: ByteLen = ByteLen::new(GUARD_LEN_BYTES);
const GUARD_BYTES: usize = 256;
const _: () = assert!(GUARD_LEN_BYTES == 256);

impl Mapped {
    /// Maps the parts.
    pub(super) fn new(
        device: &mut impl Device,
        memory: ChannelMemory,
    ) -> Result<Self, DriverError> {
        let layout = memory.layout();
        let ring_guard = guard_of(layout.ring())?;
        let parameters_guard = guard_of(layout.ep2())?;
        let first_stream = layout.stream(0)?;
        let last_stream = layout.stream(layout.stream_count() - 1)?;
        let mut part = |from: Span, to: Span, caching| {
            let end = to.offset.checked_add(to.len)?;
            let len = ByteLen::new(end.value() - from.offset.value());
            let range = memory.range().sub(from.offset, len)?;
            Ok::<_, DriverError>(Part {
                start: from.offset,
                region: device.map(range, caching)?,
            })
        };
        let guard_a = guard_of(layout.picture(Parity::A))?;
        let guard_b = guard_of(layout.picture(Parity::B))?;
        Ok(Self {
            lists: part(layout.ep3(), ring_guard, Caching::Uncached)?,
            guard_a: part(guard_a, guard_a, Caching::Uncached)?,
            guard_b: part(guard_b, guard_b, Caching::Uncached)?,
            parameters: part(layout.ep1(), parameters_guard, Caching::Uncached)?,
            streams: part(first_stream, guard_of(last_stream)?, Caching::Cached)?,
            memory,
        })
    }

    /// Fills tables and guards and empties the ring, for a channel that starts.
    pub(super) fn initialise(
        &self,
        device: &mut impl Device,
        setup: &ChannelSetup,
    ) -> Result<(), DriverError> {
        for part in [&self.lists, &self.parameters] {
            let len = ByteLen::new(part.region.range().len().get());
            part.region.fill(RegionOffset::ZERO, len, 0)?;
        }
        self.write_tables(setup.rate_control)?;
        for object in self.guarded() {
            let (part, offset) = self.guard(object)?;
            part.region.fill(offset, GUARD_LEN, PATTERN)?;
            device.flush(&part.region, offset, GUARD_LEN, FlushDirection::ToDevice)?;
        }
        map::fence();
        Ok(())
    }

    /// Fills the tables that depend on rate control; while no picture of the channel is in flight.
    pub(super) fn write_tables(&self, control: RateControl) -> Result<(), DriverError> {
        let layout = self.memory.layout();
        self.parameters.write(layout.ep1(), &tables::ep1(control))?;
        self.parameters.write(layout.ep2(), &tables::ep2(control))?;
        if let Some(target) = control.target() {
            for bank in Ep3Bank::ALL {
                self.lists
                    .write(layout.ep3_bank(bank)?, &tables::ep3(bank, target))?;
            }
        }
        Ok(())
    }

    /// Where the first command list lies in the mapping that holds them.
    pub(super) fn first_slot(&self) -> Result<RegionOffset, AddressError> {
        self.lists.offset_of(self.memory.layout().ring())
    }

    /// The mapping that holds the command lists.
    pub(super) fn lists(&self) -> &MappedRegion {
        &self.lists.region
    }

    /// Slice data in a stream buffer, with the cache made to agree: the mapping and where the first byte lies.
    pub(super) fn payload(
        &self,
        device: &mut impl Device,
        index: u32,
        payload_len: ByteLen,
    ) -> Result<(&MappedRegion, RegionOffset), DriverError> {
        let start = self
            .streams
            .offset_of(self.memory.layout().stream(index)?)?;
        // The host area before the slice data is invalidated with it, so the length is never zero.
        let lead = ByteLen::new(PAYLOAD_OFFSET_BYTES);
        let len = lead.checked_add(payload_len)?;
        device.flush(&self.streams.region, start, len, FlushDirection::FromDevice)?;
        map::fence();
        Ok((&self.streams.region, start.checked_add(lead)?))
    }

    /// Looks at all guards; only when nothing of the channel is in flight.
    pub(super) fn check_guards(
        &self,
        device: &mut impl Device,
    ) -> Result<Vec<GuardViolation>, DriverError> {
        let mut violations = Vec::new();
        for object in self.guarded() {
            let (part, offset) = self.guard(object)?;
            device.flush(&part.region, offset, GUARD_LEN, FlushDirection::FromDevice)?;
            map::fence();
            let mut found = [0; GUARD_BYTES];
            part.region.read(offset, &mut found)?;
            violations.extend(compare(object, &found));
        }
        Ok(violations)
    }

    /// Everything with a guard.
    fn guarded(&self) -> impl Iterator<Item = GuardedObject> + use<> {
        let fixed = [
            GuardedObject::RateControlTables,
            GuardedObject::Ring,
            GuardedObject::PictureA,
            GuardedObject::PictureB,
            GuardedObject::Parameters,
        ];
        let streams = 0..self.memory.layout().stream_count();
        fixed.into_iter().chain(streams.map(GuardedObject::Stream))
    }

    /// The part in which an object's guard lies, and where in it.
    fn guard(&self, object: GuardedObject) -> Result<(&Part, RegionOffset), LayoutError> {
        let layout = self.memory.layout();
        let (part, span) = match object {
            GuardedObject::RateControlTables => (&self.lists, layout.ep3()),
            GuardedObject::Ring => (&self.lists, layout.ring()),
            GuardedObject::PictureA => (&self.guard_a, layout.picture(Parity::A)),
            GuardedObject::PictureB => (&self.guard_b, layout.picture(Parity::B)),
            // The last of the three that stand without guards between them.
            GuardedObject::Parameters => (&self.parameters, layout.ep2()),
            GuardedObject::Stream(index) => (&self.streams, layout.stream(index)?),
        };
        Ok((part, part.offset_of(guard_of(span)?)?))
    }
}

impl Part {
    /// Where an object of the channel's memory lies in this part.
    fn offset_of(&self, span: Span) -> Result<RegionOffset, AddressError> {
        let distance = span.offset.value().checked_sub(self.start.value());
        distance.map(RegionOffset::new).ok_or(AddressError::Below {
            address: span.offset.value(),
            base: self.start.value(),
        })
    }

    /// Writes the first bytes of an object.
    fn write(&self, span: Span, bytes: &[u8]) -> Result<(), AddressError> {
        self.region.write(self.offset_of(span)?, bytes)
    }
}

/// The guard behind an object.
fn guard_of(span: Span) -> Result<Span, AddressError> {
    Ok(Span {
        offset: span.offset.checked_add(span.len)?,
        len: GUARD_LEN,
    })
}

fn compare(object: GuardedObject, found: &[u8; GUARD_BYTES]) -> Option<GuardViolation> {
    let changed = || (0u32..).zip(found).filter(|(_, byte)| **byte != PATTERN);
    let (first_byte, _) = changed().next()?;
    Some(GuardViolation {
        object,
        first_byte,
        changed_bytes: changed().fold(0, |count, _| count + 1),
    })
}
