//! How a job becomes words and register writes.
//!
//! [`build`] makes command lists and is the only place that puts an address into one; [`sequence`] is
//! the order of register accesses. Neither knows clients, channels' policy or time.

pub mod build;
pub mod grid;
pub mod sequence;
