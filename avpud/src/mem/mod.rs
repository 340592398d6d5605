//! Memory as the encoder and the processes around it see it.
//!
//! [`addr`] is pure: physical addresses, ranges and offsets as types that cannot be mixed up or overflow.
//! It never touches memory. [`map`] does, and only it: mapped parts that are copied in and out, never borrowed.
//! [`shm`] is where memory that is shared with other processes comes from.

pub mod addr;
pub mod map;
pub mod shm;

pub use addr::{AddressError, Alignment, ByteLen, PhysAddr, PhysRange, RegionOffset};
pub use map::{Caching, MappedRegion, RingMapping};
