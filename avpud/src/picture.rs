//! What a channel's pictures are: size, rate, profile, quantiser.
//!
//! The words that `codec`, `hw`, `driver` and `core` share. Every type is checked where it is made, so
//! nothing behind it checks again. Pure values: no addresses, no time, no state.

mod error;
mod quantiser;
mod rate_control;
mod size;

pub use error::PictureError;
pub use quantiser::{Qp, QpRange};
pub use rate_control::{PictureBudget, Psnr, QpDelta, RateControl, RateTuning};
pub use size::{Geometry, PictureSize};

use core::num::NonZeroU32;

/// Pictures per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: NonZeroU32,
    den: NonZeroU32,
}

/// The H.264 profile of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `profile_idc` 66: CAVLC only.
    Baseline,
    /// `profile_idc` 77: adds CABAC.
    Main,
    /// `profile_idc` 100: adds the 8x8 transform and scaling lists.
    High,
}

/// How slice data is entropy coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entropy {
    /// Variable-length codes.
    Cavlc,
    /// Arithmetic coding; not in Baseline.
    Cabac,
}

/// A profile with an entropy coder that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coding {
    profile: Profile,
    entropy: Entropy,
}

/// What kind of picture a job encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureKind {
    /// Starts a group of pictures; refers to nothing before it.
    Idr,
    /// Predicted from the picture just before it.
    P,
}

/// Bits per second, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(NonZeroU32);

/// Everything that stays the same for all pictures of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelSetup {
    /// Visible and coded size.
    pub geometry: Geometry,
    /// Pictures per second.
    pub frame_rate: FrameRate,
    /// Profile and entropy coder.
    pub coding: Coding,
    /// What decides the quantiser.
    pub rate_control: RateControl,
    /// What rate control keeps besides.
    pub rate_tuning: RateTuning,
    /// Pictures from one IDR to the next, at least 1.
    pub gop_length: NonZeroU32,
    /// Stream buffers the channel's memory holds, at least 1.
    pub stream_count: StreamCount,
}

/// How many stream buffers a channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamCount(u8);

impl FrameRate {
    /// `num / den` pictures per second.
    pub fn new(num: u32, den: u32) -> Result<Self, PictureError> {
        match (NonZeroU32::new(num), NonZeroU32::new(den)) {
            (Some(num), Some(den)) => Ok(Self { num, den }),
            _ => Err(PictureError::FrameRate { num, den }),
        }
    }

    /// The numerator.
    pub fn num(self) -> u32 {
        self.num.get()
    }

    /// The denominator.
    pub fn den(self) -> u32 {
        self.den.get()
    }
}

impl Profile {
    /// `profile_idc` as in the sequence parameter set.
    pub fn idc(self) -> u8 {
        match self {
            Self::Baseline => 66,
            Self::Main => 77,
            Self::High => 100,
        }
    }
}

impl Coding {
    /// High profile with CABAC: what the recordings and the device tests use most.
    pub const HIGH_CABAC: Self = Self {
        profile: Profile::High,
        entropy: Entropy::Cabac,
    };
    /// Baseline profile, which has only CAVLC.
    pub const BASELINE: Self = Self {
        profile: Profile::Baseline,
        entropy: Entropy::Cavlc,
    };

    /// A profile with an entropy coder; Baseline has no CABAC.
    pub fn new(profile: Profile, entropy: Entropy) -> Result<Self, PictureError> {
        match (profile, entropy) {
            (Profile::Baseline, Entropy::Cabac) => Err(PictureError::EntropyOfBaseline),
            _ => Ok(Self { profile, entropy }),
        }
    }

    /// The profile.
    pub fn profile(self) -> Profile {
        self.profile
    }

    /// The entropy coder.
    pub fn entropy(self) -> Entropy {
        self.entropy
    }

    /// Whether the 8x8 transform and the default scaling lists are on: they come with High.
    pub fn has_high_tools(self) -> bool {
        self.profile == Profile::High
    }
}

impl BitRate {
    /// `bps` bits per second.
    pub fn new(bps: u32) -> Result<Self, PictureError> {
        NonZeroU32::new(bps).map(Self).ok_or(PictureError::BitRate)
    }

    /// Bits per second.
    pub fn bps(self) -> u32 {
        self.0.get()
    }
}

impl StreamCount {
    /// Two: one being written, one being copied out.
    pub const TWO: Self = Self(2);
    /// The most a channel may have.
    pub const MAX: u32 = 8;

    /// `count` stream buffers, 1 to 8.
    pub fn new(count: u32) -> Result<Self, PictureError> {
        match u8::try_from(count) {
            Ok(value) if (1..=Self::MAX).contains(&count) => Ok(Self(value)),
            _ => Err(PictureError::StreamCount { count }),
        }
    }

    /// How many.
    pub fn value(self) -> u32 {
        u32::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baseline_has_no_cabac() {
        assert_eq!(
            Coding::new(Profile::Baseline, Entropy::Cabac),
            Err(PictureError::EntropyOfBaseline)
        );
    }
}
