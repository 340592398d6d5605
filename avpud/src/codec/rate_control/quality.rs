//! A quality that is good enough: which quantisers are too fine, from the squared errors of pictures.

use crate::picture::Psnr;

/// The squared error of a whole picture at a given PSNR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quality {
    sse: u64,
}

/// 10^(-1/1000), a hundredth of a decibel, in units of 2^-32.
const HUNDREDTH: u128 = 4_285_089_145;

impl Quality {
    /// The quality of pictures with so many luma samples.
    pub(super) fn new(psnr: Psnr, samples: u64) -> Self {
        let most = u128::from(samples) * 255 * 255;
        let scaled = (0..psnr.cdb()).fold(most << 32, |error, _| (error * HUNDREDTH) >> 32);
        Self {
            sse: u64::try_from(scaled >> 32).unwrap_or(u64::MAX).max(1),
        }
    }

    /// By how many steps the quantiser of a picture with this squared error was too fine, or, below zero,
    /// too coarse. A step changes the error by an eighth to a quarter; half a step is left alone.
    pub(super) fn too_fine_by(self, sse: u64) -> i32 {
        let percent = u128::from(sse) * 100 / u128::from(self.sse);
        match percent {
            0..=40 => 3,
            41..=70 => 2,
            71..=90 => 1,
            91..=110 => 0,
            111..=150 => -1,
            _ => -2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squared_errors_are_those_of_the_definition() {
        let sse = |cdb, samples| Quality::new(Psnr::new(cdb).expect("a psnr"), samples).sse;
        // 255^2 / 10^4, 10^4.2 and 10^3.55, a million samples each.
        assert!(sse(4000, 1_000_000).abs_diff(6_502_500) <= 50);
        assert!(sse(4200, 1_000_000).abs_diff(4_102_800) <= 50);
        assert!(sse(3550, 1_000_000).abs_diff(18_326_535) <= 100);
        assert_eq!(sse(6000, 1), 1);
    }

    #[test]
    fn what_is_better_than_good_enough_may_be_coarser() {
        let quality = Quality::new(Psnr::new(4000).expect("40 dB"), 1_000_000);
        assert_eq!(quality.too_fine_by(6_502_500), 0);
        assert_eq!(quality.too_fine_by(5_000_000), 1);
        assert_eq!(quality.too_fine_by(0), 3);
        assert_eq!(quality.too_fine_by(9_000_000), -1);
        assert_eq!(quality.too_fine_by(u64::MAX), -2);
    }
}
