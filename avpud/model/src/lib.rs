//! A register-level software model of the Allegro AVPU encoder that really encodes H.264.
#![forbid(unsafe_code)]

pub mod avc;
pub mod fault;
pub mod memory;
pub mod rng;
pub mod timing;
