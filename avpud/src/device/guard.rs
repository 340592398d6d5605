//! Guard pages: a page of a pattern before and behind every piece of memory that is given out.
//!
//! The encoder has no IOMMU and capture hardware neither, and a client with the right to raw addresses may write
//! anywhere. What writes beyond its memory would otherwise reach a neighbour, which may be another client's picture,
//! in silence. The pages are mapped around the cache, and only while they are written or looked at.

use super::error::DeviceError;
use super::{Caching, Device};
use crate::limits::GUARD_PAGE_BYTES;
use crate::mem::addr::{AddressError, ByteLen, PhysRange, RegionOffset};
use crate::mem::map;
use core::fmt;

/// Which of the two pages of a piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardPage {
    /// The one before its first byte.
    Before,
    /// The one behind its last byte.
    Behind,
}

/// A guard page that was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenPage {
    /// Which one.
    pub page: GuardPage,
    /// The changed byte that is nearest to the guarded memory, counted away from it, from 0.
    pub nearest_byte: u32,
    /// How many bytes of the page changed.
    pub changed_bytes: u32,
}

/// What a guard holds: no pattern that the hardware is known to write, and no zero.
pub const PATTERN: u8 = 0xa7;

const LEN: ByteLen = ByteLen::new(GUARD_PAGE_BYTES);
/// Bytes that are looked at at once.
const CHUNK_BYTES: u32 = 256;
const CHUNK: usize = 256;
const _: () = assert!(GUARD_PAGE_BYTES.is_multiple_of(CHUNK_BYTES));

/// Fills the pages on both sides of `memory`.
///
/// # Errors
/// When a page is not inside the arena or cannot be mapped.
pub fn lay(device: &mut impl Device, memory: PhysRange) -> Result<(), DeviceError> {
    for page in [GuardPage::Before, GuardPage::Behind] {
        let region = device.map(page.range(memory)?, Caching::Uncached)?;
        region
            .fill(RegionOffset::ZERO, LEN, PATTERN)
            .map_err(address)?;
    }
    map::fence();
    Ok(())
}

/// The pages before and behind `memory`, where they are not as [`lay`] left them. They stay as they are.
///
/// # Errors
/// When a page cannot be mapped.
pub fn inspect(
    device: &mut impl Device,
    memory: PhysRange,
) -> Result<[Option<BrokenPage>; 2], DeviceError> {
    let before = GuardPage::Before.inspect(device, memory)?;
    let behind = GuardPage::Behind.inspect(device, memory)?;
    Ok([before, behind])
}

impl GuardPage {
    fn range(self, memory: PhysRange) -> Result<PhysRange, DeviceError> {
        match self {
            Self::Before => memory.before(LEN),
            Self::Behind => memory.behind(LEN),
        }
        .map_err(address)
    }

    fn inspect(
        self,
        device: &mut impl Device,
        memory: PhysRange,
    ) -> Result<Option<BrokenPage>, DeviceError> {
        let region = device.map(self.range(memory)?, Caching::Uncached)?;
        map::fence();
        let mut broken: Option<BrokenPage> = None;
        let mut found = [0; CHUNK];
        for first in (0..GUARD_PAGE_BYTES).step_by(CHUNK) {
            region
                .read(RegionOffset::new(first), &mut found)
                .map_err(address)?;
            for (offset, _) in (first..).zip(found).filter(|(_, byte)| *byte != PATTERN) {
                let distance = match self {
                    Self::Before => GUARD_PAGE_BYTES - 1 - offset,
                    Self::Behind => offset,
                };
                let page = broken.get_or_insert(BrokenPage {
                    page: self,
                    nearest_byte: distance,
                    changed_bytes: 0,
                });
                page.nearest_byte = page.nearest_byte.min(distance);
                page.changed_bytes += 1;
            }
        }
        Ok(broken)
    }
}

impl fmt::Display for BrokenPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.page {
            GuardPage::Before => "before",
            GuardPage::Behind => "behind",
        };
        write!(
            f,
            "{} bytes written {side} the memory, the nearest {} bytes away",
            self.changed_bytes, self.nearest_byte
        )
    }
}

fn address(source: AddressError) -> DeviceError {
    DeviceError::Address {
        operation: "placing a guard page",
        source,
    }
}

#[cfg(all(test, feature = "model"))]
mod tests {
    use super::*;
    use crate::device::model::VirtualModel;
    use crate::mem::addr::PhysAddr;

    /// A model, and memory in the middle of its arena with the pages laid.
    fn guarded() -> (VirtualModel, PhysRange) {
        let mut device = VirtualModel::new("body=pattern,size=64K", &[], None).expect("a model");
        let start = device.capabilities().arena.start();
        let start = start.checked_add(ByteLen::new(0x4000)).expect("inside");
        let memory = PhysRange::new(start, ByteLen::new(0x2000)).expect("a range");
        lay(&mut device, memory).expect("the pages are in the arena");
        (device, memory)
    }

    fn write(device: &mut VirtualModel, at: u32, bytes: &[u8]) {
        let len = ByteLen::new(u32::try_from(bytes.len()).expect("few"));
        let range = PhysRange::new(PhysAddr::new(at), len).expect("a range");
        let region = device.map(range, Caching::Uncached).expect("inside");
        region.write(RegionOffset::ZERO, bytes).expect("inside");
    }

    #[test]
    fn pages_that_nobody_wrote_to_are_intact_whatever_the_memory_holds() {
        let (mut device, memory) = guarded();
        let (first, last) = (memory.start().value(), memory.last().value());
        write(&mut device, first, &[0; 64]);
        write(&mut device, last, &[PATTERN ^ 1]);
        write(&mut device, first - GUARD_PAGE_BYTES - 1, &[0]);
        write(&mut device, last + GUARD_PAGE_BYTES + 1, &[0]);
        assert_eq!(inspect(&mut device, memory).expect("seen"), [None, None]);
    }

    #[test]
    fn each_byte_of_each_page_is_looked_at() {
        let (mut device, memory) = guarded();
        let (first, last) = (memory.start().value(), memory.last().value());
        for distance in [0, 1, 255, 256, 4000, GUARD_PAGE_BYTES - 1] {
            for (page, at) in [
                (GuardPage::Before, first - 1 - distance),
                (GuardPage::Behind, last + 1 + distance),
            ] {
                lay(&mut device, memory).expect("the pages are in the arena");
                write(&mut device, at, &[0]);
                let broken = BrokenPage {
                    page,
                    nearest_byte: distance,
                    changed_bytes: 1,
                };
                let found = inspect(&mut device, memory).expect("seen");
                let found: Vec<BrokenPage> = found.into_iter().flatten().collect();
                assert_eq!(found, [broken]);
            }
        }
    }

    #[test]
    fn what_was_written_is_told_with_its_side_and_distance() {
        let (mut device, memory) = guarded();
        write(&mut device, memory.last().value() + 17, &[0; 300]);
        let [None, Some(broken)] = inspect(&mut device, memory).expect("seen") else {
            panic!("expected the page behind to be broken");
        };
        assert_eq!(
            broken.to_string(),
            "300 bytes written behind the memory, the nearest 16 bytes away"
        );
    }

    #[test]
    fn a_page_outside_the_arena_is_an_error() {
        let (mut device, _) = guarded();
        let arena = device.capabilities().arena;
        assert!(lay(&mut device, arena).is_err());
        assert!(inspect(&mut device, arena).is_err());
    }
}
