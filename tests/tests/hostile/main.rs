//! Hostile clients against the real daemon over its real socket.
//!
//! A victim encodes beside each of them ([`scene`]): its stream must be the same, byte for byte, as in a daemon that it
//! has to itself, and after each attack the daemon holds what it held before: no client, channel, lease, shared memory
//! or descriptor more. Nothing here looks at a clock; a test waits for replies, packets and ends of streams.

mod addresses;
mod buffers;
mod bytes;
mod descriptors;
mod extremes;
mod leaving;
mod peer;
mod scene;
mod sharing;
mod silence;
