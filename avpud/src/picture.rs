//! What a channel's pictures are: size, rate, profile, quantiser.
//!
//! The words that `codec`, `hw`, `driver` and `core` share. Every type is checked where it is made, so
//! nothing behind it checks again. Pure values: no addresses, no time, no state.

mod rate_control;

pub use rate_control::{PictureBudget, Psnr, QpDelta, RateControl, RateTuning};

use core::fmt;
use core::num::NonZeroU32;

/// A picture size in pixels, even in both directions and inside what the encoder's fields can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureSize {
    width: u16,
    height: u16,
}

/// The size that is shown and the size that is stored, encoded and cropped to it.
///
/// The stored width is a multiple of 16 and the stored height of 8; the difference is less than
/// one such unit and disappears by cropping in the sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    visible: PictureSize,
    coded: PictureSize,
}

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

/// An H.264 quantiser parameter, 0 to 51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qp(u8);

/// The quantisers a rate control may use, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QpRange {
    min: Qp,
    max: Qp,
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

/// Why a value of this module could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureError {
    /// A side is odd, too small or too large.
    Size {
        /// Width found, in pixels.
        width: u32,
        /// Height found, in pixels.
        height: u32,
    },
    /// A frame rate with a zero in it.
    FrameRate {
        /// Numerator found.
        num: u32,
        /// Denominator found.
        den: u32,
    },
    /// CABAC in Baseline.
    EntropyOfBaseline,
    /// A quantiser above 51.
    Qp {
        /// Quantiser found.
        qp: u32,
    },
    /// A range whose minimum lies above its maximum.
    QpRange {
        /// Minimum found.
        min: Qp,
        /// Maximum found.
        max: Qp,
    },
    /// A bit rate of zero.
    BitRate,
    /// A ratio of signal to noise that no camera picture is aimed at.
    Psnr {
        /// Ratio found, in hundredths of a decibel.
        cdb: u32,
    },
    /// Too large a step from an IDR to the pictures around it.
    QpDelta {
        /// Steps found.
        steps: u32,
    },
    /// A number of stream buffers out of range.
    StreamCount {
        /// Number found.
        count: u32,
    },
}

impl PictureSize {
    /// The smallest side, in pixels: one macroblock.
    pub const SIDE_MIN: u32 = 16;
    /// The largest side, in pixels.
    pub const SIDE_MAX: u32 = 4096;

    /// A size of `width` by `height` pixels, both even.
    pub fn new(width: u32, height: u32) -> Result<Self, PictureError> {
        let fits =
            |side: u32| (Self::SIDE_MIN..=Self::SIDE_MAX).contains(&side) && side.is_multiple_of(2);
        match (u16::try_from(width), u16::try_from(height)) {
            (Ok(w), Ok(h)) if fits(width) && fits(height) => Ok(Self {
                width: w,
                height: h,
            }),
            _ => Err(PictureError::Size { width, height }),
        }
    }

    /// Width in pixels.
    pub fn width(self) -> u32 {
        u32::from(self.width)
    }

    /// Height in pixels.
    pub fn height(self) -> u32 {
        u32::from(self.height)
    }

    /// Columns of macroblocks, the last one possibly partial.
    pub fn mb_columns(self) -> u32 {
        self.width().div_ceil(16)
    }

    /// Rows of macroblocks, the last one possibly partial.
    pub fn mb_rows(self) -> u32 {
        self.height().div_ceil(16)
    }

    /// Macroblocks in a picture.
    pub fn macroblocks(self) -> u32 {
        self.mb_columns() * self.mb_rows()
    }

    /// Bytes from one source line to the next: the width rounded up to a macroblock.
    pub fn source_pitch_bytes(self) -> u32 {
        self.mb_columns() * 16
    }

    /// Bytes from the first luma sample of a source picture to its first chroma sample. The luma
    /// plane is stored in whole macroblock rows.
    pub fn source_chroma_offset_bytes(self) -> u32 {
        self.source_pitch_bytes() * self.mb_rows() * 16
    }

    /// Bytes of one NV12 source picture.
    pub fn source_len_bytes(self) -> u32 {
        self.source_chroma_offset_bytes() / 2 * 3
    }
}

impl Geometry {
    /// The geometry that shows `visible`: the coded width is the next multiple of 16, the coded
    /// height the next multiple of 8.
    pub fn new(visible: PictureSize) -> Self {
        // Both limits are multiples of 16, so rounding up stays inside them.
        let coded = PictureSize {
            width: visible.width.next_multiple_of(16),
            height: visible.height.next_multiple_of(8),
        };
        Self { visible, coded }
    }

    /// What a player shows.
    pub fn visible(self) -> PictureSize {
        self.visible
    }

    /// What the encoder is told.
    pub fn coded(self) -> PictureSize {
        self.coded
    }
}

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

impl Qp {
    /// The finest quantiser.
    pub const MIN: Self = Self(0);
    /// The coarsest quantiser.
    pub const MAX: Self = Self(51);

    /// The quantiser `qp`.
    pub fn new(qp: u32) -> Result<Self, PictureError> {
        match u8::try_from(qp) {
            Ok(value) if value <= Self::MAX.0 => Ok(Self(value)),
            _ => Err(PictureError::Qp { qp }),
        }
    }

    /// The quantiser as a number from 0 to 51.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl QpRange {
    /// All quantisers there are.
    pub const ALL: Self = Self {
        min: Qp::MIN,
        max: Qp::MAX,
    };

    /// From `min` to `max`, both included.
    pub fn new(min: Qp, max: Qp) -> Result<Self, PictureError> {
        if min <= max {
            Ok(Self { min, max })
        } else {
            Err(PictureError::QpRange { min, max })
        }
    }

    /// The finest quantiser allowed.
    pub fn min(self) -> Qp {
        self.min
    }

    /// The coarsest quantiser allowed.
    pub fn max(self) -> Qp {
        self.max
    }

    /// The quantiser in the range that is nearest to `qp`.
    pub fn clamp(self, qp: Qp) -> Qp {
        qp.clamp(self.min, self.max)
    }

    /// The quantiser in the range that is nearest to `qp`, which may be any number.
    pub fn clamp_i32(self, qp: i32) -> Qp {
        let low = i32::from(self.min.0);
        let high = i32::from(self.max.0);
        // The clamped value lies between two quantisers, so the fallback is never taken.
        Qp(u8::try_from(qp.clamp(low, high)).unwrap_or(self.max.0))
    }
}

impl BitRate {
    /// One bit a second.
    pub const LEAST: Self = Self(NonZeroU32::MIN);

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

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { width, height } => write!(
                f,
                "expected even sides from {} to {} pixels, found {width}x{height}",
                PictureSize::SIDE_MIN,
                PictureSize::SIDE_MAX
            ),
            Self::FrameRate { num, den } => {
                write!(f, "expected a frame rate above zero, found {num}/{den}")
            }
            Self::EntropyOfBaseline => write!(f, "expected cavlc in baseline profile, found cabac"),
            Self::Qp { qp } => write!(f, "expected a quantiser from 0 to 51, found {qp}"),
            Self::QpRange { min, max } => write!(
                f,
                "expected a smallest quantiser not above the largest, found {} and {}",
                min.0, max.0
            ),
            Self::BitRate => write!(f, "expected a bit rate above zero, found 0"),
            Self::Psnr { cdb } => write!(
                f,
                "expected a psnr from {} to {} hundredths of a decibel, found {cdb}",
                Psnr::MIN.cdb(),
                Psnr::MAX.cdb()
            ),
            Self::QpDelta { steps } => write!(
                f,
                "expected 0 to {} quantiser steps, found {steps}",
                QpDelta::MAX.steps()
            ),
            Self::StreamCount { count } => write!(
                f,
                "expected 1 to {} stream buffers, found {count}",
                StreamCount::MAX
            ),
        }
    }
}

impl core::error::Error for PictureError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_even_visible_size_lies_inside_its_coded_size() {
        for width in (16..=4096).step_by(2) {
            let visible = PictureSize::new(width, 4098 - width.max(16)).ok();
            let Some(visible) = visible else { continue };
            let coded = Geometry::new(visible).coded();
            assert_eq!(coded.width() % 16, 0);
            assert_eq!(coded.height() % 8, 0);
            assert!((0..16).contains(&(coded.width() - visible.width())));
            assert!((0..8).contains(&(coded.height() - visible.height())));
            assert_eq!(PictureSize::new(coded.width(), coded.height()), Ok(coded));
        }
    }

    #[test]
    fn odd_small_and_huge_sizes_are_refused() {
        for (width, height) in [
            (15, 16),
            (16, 0),
            (641, 360),
            (640, 361),
            (4098, 16),
            (65536, 64),
        ] {
            assert_eq!(
                PictureSize::new(width, height),
                Err(PictureError::Size { width, height })
            );
        }
    }

    #[test]
    fn source_planes_are_stored_in_whole_macroblocks() {
        let size = PictureSize::new(1920, 1080).expect("full hd");
        assert_eq!(size.source_pitch_bytes(), 1920);
        assert_eq!(size.source_chroma_offset_bytes(), 0x1f_e000);
        assert_eq!(size.source_len_bytes(), 0x2f_d000);
        let small = PictureSize::new(640, 360).expect("nhd");
        assert_eq!(small.source_chroma_offset_bytes(), 0x3_9800);
        assert_eq!(small.source_len_bytes(), 0x5_6400);
    }

    #[test]
    fn a_quantiser_outside_the_range_is_moved_to_its_end() {
        let range = QpRange::new(Qp(16), Qp(45)).expect("a range");
        assert_eq!(range.clamp_i32(-300), Qp(16));
        assert_eq!(range.clamp_i32(30), Qp(30));
        assert_eq!(range.clamp_i32(300), Qp(45));
        assert_eq!(Qp::new(52), Err(PictureError::Qp { qp: 52 }));
        assert!(QpRange::new(Qp(45), Qp(16)).is_err());
    }

    #[test]
    fn baseline_has_no_cabac() {
        assert_eq!(
            Coding::new(Profile::Baseline, Entropy::Cabac),
            Err(PictureError::EntropyOfBaseline)
        );
    }
}
