//! Memory as the encoder and the processes around it see it.
//!
//! [`addr`] is pure: physical addresses, ranges and offsets as types that cannot be mixed up or overflow.
//! It never touches memory; whoever maps a range does so elsewhere and only through these types.

pub mod addr;

pub use addr::{AddressError, Alignment, ByteLen, PhysAddr, PhysRange, RegionOffset};
