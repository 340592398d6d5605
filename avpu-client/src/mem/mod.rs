//! Memory shared with the daemon: source buffers that this process fills, rings that it reads.

pub(crate) mod map;
pub(crate) mod ring;
