//! The rig: programs that know nothing of it open `/dev/avpu`, `/dev/rmem` and `/dev/mem` and reach the model.
//!
//! - [`supervisor`] answers their system calls on a developer's machine.
//! - [`old_kernel`] takes away the system calls that a camera's kernel does not have.
//! - [`abi`] is the kernel's interface as both tiers use it, written down once more from its documentation so that a
//!   mistake in the daemon's own table cannot hide.
#![deny(unsafe_code)]

pub mod abi;
#[cfg(any(target_arch = "x86_64", target_arch = "mips"))]
pub mod old_kernel;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod supervisor;
