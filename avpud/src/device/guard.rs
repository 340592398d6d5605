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
