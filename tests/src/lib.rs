//! What the tests of avpud as a whole share.
#![deny(unsafe_code)]

pub mod alloc;
pub mod bench;
pub mod skip;
pub mod vectors;
