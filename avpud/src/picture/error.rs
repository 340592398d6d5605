//! Why a value that describes pictures could not be made.

use super::{PictureSize, Psnr, Qp, QpDelta, StreamCount};
use core::fmt;

/// Why a value that describes pictures could not be made.
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
                min.value(),
                max.value()
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
