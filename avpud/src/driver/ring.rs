//! A channel's ring of command lists, and the life of a slot in it.
//!
//! A slot is handed from type to type: a [`FreeSlot`] is filled with words and becomes a [`FilledSlot`]; that is
//! written back and becomes a [`WaitingSlot`]; that is published and becomes an [`InFlightSlot`], which alone has an
//! address to give to the hardware and a status to read. So a list cannot be pushed before it was written back, nor its
//! status be read before it was pushed. The order is fill, write back, then address and push registers.
//!
//! A slot may be filled and written back ahead of its turn: it stays the next one until [`Ring::turn`], and is filled
//! again where another list is started.
//!
//! Slots are used in turn, also after a picture that failed: what the hardware still writes to a list it was told to
//! forget then lands in a slot that no job waits for.

use crate::device::error::DeviceError;
use crate::device::{Device, FlushDirection};
use crate::hw::cmdlist::CommandList;
use crate::hw::layout::{RING_SLOT_LEN_BYTES, RING_SLOTS};
use crate::hw::status;
use crate::mem::addr::{AddressError, ByteLen, PhysAddr, RegionOffset};
use crate::mem::map::{self, MappedRegion};

/// The ring: which slot is next.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where slot 0 lies in the mapping.
    start: RegionOffset,
    next: u32,
}

/// A slot that nothing waits for.
#[derive(Debug)]
#[must_use]
pub(super) struct FreeSlot {
    offset: RegionOffset,
}

/// A slot with a list in it that the hardware may not see yet.
#[derive(Debug)]
#[must_use]
pub(super) struct FilledSlot {
    offset: RegionOffset,
}

/// A slot with a list that was written back, and that the hardware has not been told of.
#[derive(Debug)]
#[must_use]
pub(super) struct WaitingSlot {
    offset: RegionOffset,
}

/// A slot that the hardware may read and write.
#[derive(Debug)]
#[must_use]
pub(super) struct InFlightSlot {
    offset: RegionOffset,
    address: PhysAddr,
}

const SLOT_LEN: ByteLen = ByteLen::new(RING_SLOT_LEN_BYTES);

impl Ring {
    /// A ring whose slot 0 lies at `start` in the mapping.
    pub(super) fn new(start: RegionOffset) -> Self {
        Self { start, next: 0 }
    }

    /// The next slot in turn.
    pub(super) fn free(&self) -> Result<FreeSlot, AddressError> {
        let distance = ByteLen::new(self.next * RING_SLOT_LEN_BYTES);
        let offset = self.start.checked_add(distance)?;
        Ok(FreeSlot { offset })
    }

    /// The next slot is used: its turn is over.
    pub(super) fn turn(&mut self) {
        self.next = (self.next + 1) % RING_SLOTS;
    }
}

impl FreeSlot {
    /// Writes all words of a list; those that the hardware will write are zero, which marks the list as not finished.
    pub(super) fn fill(
        self,
        region: &MappedRegion,
        list: &CommandList,
    ) -> Result<FilledSlot, AddressError> {
        region.write(self.offset, &list.to_bytes())?;
        Ok(FilledSlot {
            offset: self.offset,
        })
    }
}

impl FilledSlot {
    /// Makes sure that the hardware would see the list.
    pub(super) fn write_back(
        self,
        region: &MappedRegion,
        device: &mut impl Device,
    ) -> Result<WaitingSlot, DeviceError> {
        map::fence();
        device.flush(region, self.offset, SLOT_LEN, FlushDirection::ToDevice)?;
        Ok(WaitingSlot {
            offset: self.offset,
        })
    }
}

impl WaitingSlot {
    /// Makes the list visible to the hardware, together with everything written before.
    pub(super) fn publish(self, region: &MappedRegion) -> Result<InFlightSlot, DeviceError> {
        map::fence();
        let address = region
            .range()
            .start()
            .checked_add(ByteLen::new(self.offset.value()))
            .map_err(|source| DeviceError::Address {
                operation: "placing a command list",
                source,
            })?;
        Ok(InFlightSlot {
            offset: self.offset,
            address,
        })
    }
}

impl InFlightSlot {
    /// What the hardware is given.
    pub(super) fn address(&self) -> PhysAddr {
        self.address
    }

    /// The words that the hardware writes back, as they are now.
    pub(super) fn status(
        &self,
        region: &MappedRegion,
        device: &mut impl Device,
    ) -> Result<status::Status, DeviceError> {
        device.flush(region, self.offset, SLOT_LEN, FlushDirection::FromDevice)?;
        map::fence();
        let mut words = [0; status::WORDS];
        let first = RegionOffset::new(u32::from(status::FIRST_WORD) * 4);
        let mut at = self.offset.checked_add(ByteLen::new(first.value()));
        for word in &mut words {
            let offset = at.map_err(wrong_place)?;
            *word = region.read_word(offset).map_err(wrong_place)?;
            at = offset.checked_add(ByteLen::new(4));
        }
        Ok(status::Status::new(words))
    }
}

fn wrong_place(source: AddressError) -> DeviceError {
    DeviceError::Address {
        operation: "reading a command list's status",
        source,
    }
}
