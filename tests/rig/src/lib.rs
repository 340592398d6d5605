//! The rig: programs that know nothing of it open `/dev/avpu`, `/dev/rmem` and `/dev/mem` and reach the model.
//!
//! - [`supervisor`] answers their system calls on a developer's machine.
//! - [`abi`] is the kernel's interface as both tiers use it, written down once more from its documentation so that a
//!   mistake in the daemon's own table cannot hide.
#![deny(unsafe_code)]

pub mod abi;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod supervisor;
