//! What decides quantisers: the modes of rate control and what they keep besides the rate.

use core::num::NonZeroU32;

use super::{BitRate, PictureError, Qp, QpRange};

/// What decides the quantiser of each picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateControl {
    /// The same quantiser for every picture; the bit rate is whatever comes out.
    FixQp {
        /// That quantiser.
        qp: Qp,
    },
    /// A constant bit rate.
    Cbr {
        /// The rate aimed at.
        target: BitRate,
        /// The quantisers allowed.
        range: QpRange,
    },
    /// An average bit rate that may be exceeded for a while.
    Vbr {
        /// The rate aimed at.
        target: BitRate,
        /// The rate never exceeded for long; not below the target in any sensible setup.
        max: BitRate,
        /// The quantisers allowed.
        range: QpRange,
    },
    /// As `Vbr`, and no picture is coded better than a quality that is good enough.
    CappedVbr {
        /// The rate aimed at.
        target: BitRate,
        /// The rate never exceeded for long.
        max: BitRate,
        /// The quantisers allowed.
        range: QpRange,
        /// The quality that is good enough.
        psnr_max: Psnr,
    },
    /// A quality, as long as the bit rate stays below a ceiling.
    CappedQuality {
        /// The rate never exceeded for long.
        max: BitRate,
        /// The quantisers allowed.
        range: QpRange,
        /// The quality aimed at.
        psnr: Psnr,
    },
}

/// What rate control keeps besides a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RateTuning {
    /// How much finer an IDR is than the pictures around it; the controller's choice when absent, which
    /// is nothing with a fixed quantiser.
    pub idr_finer_by: Option<QpDelta>,
    /// Bytes that no picture should exceed, headers included. Kept as well as sizes can be foreseen.
    pub picture_max_bytes: Option<NonZeroU32>,
    /// A constant rate is kept by filler data where pictures do not need it.
    pub fills: bool,
}

/// What the encoder's own control inside a picture aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureBudget {
    /// Bits that the picture should take.
    pub aim_bits: u32,
    /// Bits that a picture takes in the long run, at the highest rate.
    pub mean_bits: u32,
}

/// Quantiser steps from an IDR to the pictures around it, 0 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QpDelta(u8);

/// Peak luma signal to noise ratio of a picture, in hundredths of a decibel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Psnr(u16);

impl RateControl {
    /// The quantisers this may lead to.
    pub fn range(self) -> QpRange {
        match self {
            Self::FixQp { qp } => QpRange::only(qp),
            Self::Cbr { range, .. }
            | Self::Vbr { range, .. }
            | Self::CappedVbr { range, .. }
            | Self::CappedQuality { range, .. } => range,
        }
    }

    /// The rate aimed at, if there is one; with a quality as the aim, the rate that it may come to.
    pub fn target(self) -> Option<BitRate> {
        match self {
            Self::FixQp { .. } => None,
            Self::Cbr { target, .. }
            | Self::Vbr { target, .. }
            | Self::CappedVbr { target, .. } => Some(target),
            Self::CappedQuality { max, .. } => Some(max),
        }
    }

    /// The highest rate kept for long, if there is one.
    pub fn max(self) -> Option<BitRate> {
        match self {
            Self::FixQp { .. } => None,
            Self::Cbr { target, .. } => Some(target),
            Self::Vbr { max, .. }
            | Self::CappedVbr { max, .. }
            | Self::CappedQuality { max, .. } => Some(max),
        }
    }

    /// Whether the encoder's own rate control inside a picture is on.
    pub fn uses_hardware(self) -> bool {
        !matches!(self, Self::FixQp { .. })
    }
}

impl QpDelta {
    /// The largest step.
    pub const MAX: Self = Self(10);

    /// `steps` quantiser steps.
    pub fn new(steps: u32) -> Result<Self, PictureError> {
        match u8::try_from(steps) {
            Ok(value) if value <= Self::MAX.0 => Ok(Self(value)),
            _ => Err(PictureError::QpDelta { steps }),
        }
    }

    /// Quantiser steps.
    pub fn steps(self) -> u8 {
        self.0
    }
}

impl Psnr {
    /// The lowest ratio that may be aimed at: everything looks broken.
    pub const MIN: Self = Self(2_000);
    /// The highest ratio that may be aimed at: nobody sees a difference.
    pub const MAX: Self = Self(6_000);

    /// `cdb` hundredths of a decibel.
    pub fn new(cdb: u32) -> Result<Self, PictureError> {
        match u16::try_from(cdb) {
            Ok(value) if (Self::MIN.0..=Self::MAX.0).contains(&value) => Ok(Self(value)),
            _ => Err(PictureError::Psnr { cdb }),
        }
    }

    /// Hundredths of a decibel.
    pub fn cdb(self) -> u16 {
        self.0
    }
}
