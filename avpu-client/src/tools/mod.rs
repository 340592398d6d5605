//! The programs avpucat and avpuctl, so that a firmware can have them inside another program.
//!
//! `src/bin/` makes a program of each. They live in the library for the sake of flash: statically linked for a
//! camera, three programs that share one C library and one runtime take half the space of three that do not.

pub mod avpucat;
pub mod avpuctl;
