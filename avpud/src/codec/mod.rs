//! The stream as H.264 sees it: headers, group of pictures, quantiser.
//!
//! Pure: no memory, no registers, no clients. `core` owns these values per channel; `driver` never
//! imports them, it gets what it needs with each job.

pub mod avc;
#[cfg(test)]
mod avc_tests;
pub mod bits;
pub mod filler;
pub mod gop;
pub mod join;
pub mod level;
pub mod psnr;
pub mod rate_control;
pub mod sei;
pub mod slice;
