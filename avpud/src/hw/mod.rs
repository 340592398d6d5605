//! The encoder's registers, command list, buffers and tables as data.
//!
//! Every number about the hardware lives here, with where it comes from: the kernel driver's source,
//! recordings from cameras, or inference. Nothing here reads or writes anything; `driver` does that.

pub mod cmdlist;
pub mod field;
pub mod irq;
pub mod layout;
#[cfg(test)]
mod layout_tests;
pub mod regs;
pub mod soc;
pub mod status;
pub mod tables;
