//! avpud shares one Allegro AVPU video encoder between many processes.
#![deny(unsafe_code)]

pub mod mem;
pub mod picture;
