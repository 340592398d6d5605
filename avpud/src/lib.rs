//! avpud shares one Allegro AVPU video encoder between many processes.
#![deny(unsafe_code)]

pub mod core;
pub mod job;
pub mod mem;
pub mod picture;
