//! Bits of a recorded list that are not compared.
//!
//! Camera recordings are compared whole. A simulated one has habits that no camera shows; exactly those
//! bits are left out.

use super::record::{Config, Source};

/// The bits of word `word` that are compared; 0 leaves the word out of the count.
#[must_use]
pub fn compared_bits(config: &Config, word: usize, is_idr: bool) -> u32 {
    if config.source == Source::Camera {
        return u32::MAX;
    }
    match word {
        // Filled for large pictures where cameras have zero.
        0x0a => 0x0000_ffff,
        0x12 => 0x7fff_ffff,
        0x13 => 0,
        // The target of an IDR was fitted to one sample.
        0x15 if is_idr => 0,
        0x18 if is_idr => 0xffff_0000,
        // Cameras show four thirds of the mean in one configuration.
        0x16 => 0xff00_0000,
        // Holds the picture's quantiser instead of the group's.
        0x17 => !0x003f_0000,
        // A constant instead of the bytes written.
        0x1b => !0x03ff_0000,
        // Computed from the unaligned width.
        0x21 if !config.width.is_multiple_of(16) => 0,
        _ => u32::MAX,
    }
}
