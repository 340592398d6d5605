//! avpud shares one Allegro AVPU video encoder between many processes.
#![deny(unsafe_code)]

pub mod codec;
pub mod config;
pub mod core;
#[cfg(feature = "demo")]
pub mod demo;
pub mod device;
pub mod driver;
pub mod hw;
pub mod job;
pub mod limits;
pub mod mem;
pub mod picture;
pub mod plan;
pub mod probe;
pub mod server;
pub mod sys;
#[cfg(test)]
mod testing;

// Some files of tests are in this crate and in others, and name it the same way.
#[cfg(test)]
extern crate self as avpud;
pub mod trial;
