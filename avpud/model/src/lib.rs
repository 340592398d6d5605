//! A register-level software model of the Allegro AVPU encoder that really encodes H.264.
//!
//! The model takes what a host gives the silicon: register writes, a command list of 512 bytes in memory, and memory
//! full of pictures. It decodes the list by its own reading of the hardware and shares no code with any driver, so a
//! mistake in a driver cannot hide in both. What it gives back is what the silicon gives: slice data, a reconstruction,
//! status words, an interrupt. Rules of the hardware that the host breaks are recorded ([`violation`]) and have the
//! effect that was seen on a T31; faults of the silicon itself can be asked for ([`fault`]).
//!
//! - [`engine`] is the pure machine in virtual time, [`machine`] adds a body and memory to it for simulations,
//!   [`device`] puts threads and the real clock around it.
//! - [`body`] makes pictures: [`avc`] really encodes, [`config::BodyKind::Pattern`] only pretends.
//! - [`cmdlist`] and [`dma`] say what a command list must be.
#![forbid(unsafe_code)]

pub mod avc;
pub mod body;
pub mod cmdlist;
pub mod completion;
pub mod config;
pub mod device;
pub mod dma;
pub mod dump;
pub mod engine;
pub mod fault;
mod group_control;
mod history;
mod irq;
pub mod machine;
pub mod memory;
mod pattern;
pub mod registers;
pub mod rng;
pub mod tables;
pub mod timing;
pub mod violation;

pub use config::{BodyKind, ModelConfig};
pub use device::{DeviceBusy, ModelCanceller, ModelDevice, ModelHandle, ModelIrq, WaitError};
pub use irq::Waited;
pub use machine::Machine;
