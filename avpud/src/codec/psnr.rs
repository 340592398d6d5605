//! Peak signal to noise ratio from a sum of squared errors, without floating point.

/// Peak luma signal to noise ratio in hundredths of a decibel of `samples` samples whose squared errors sum up to `sse`.
/// 0 where there is no error to speak of: a device that does not measure says 0, and no encoder is that good.
pub fn psnr_cdb(sse: u64, samples: u64) -> u16 {
    let peak = samples.saturating_mul(255 * 255);
    let (Some(peak), Some(noise)) = (log2_q16(peak), log2_q16(sse)) else {
        return 0;
    };
    let octaves_q16 = u64::from(peak.saturating_sub(noise));
    let cdb = (octaves_q16 * CDB_PER_OCTAVE_E2 / 100 + (1 << 15)) >> 16;
    u16::try_from(cdb).unwrap_or(u16::MAX)
}

/// Logarithm to base 2 in units of 2^-16, rounded down; `None` for 0.
fn log2_q16(value: u64) -> Option<u32> {
    let whole = value.checked_ilog2()?;
    // One and a fraction, in units of 2^-31.
    let mut mantissa = (value << (63 - whole)) >> 32;
    let mut log = whole;
    for _ in 0..16 {
        // Squaring doubles the logarithm: what comes out at two or more is its next binary digit.
        mantissa = (mantissa * mantissa) >> 31;
        let digit = u32::from(mantissa >= 1 << 32);
        mantissa >>= digit;
        log = (log << 1) | digit;
    }
    Some(log)
}

/// 1000 log10(2), times a hundred.
const CDB_PER_OCTAVE_E2: u64 = 30_103;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ratios_are_met_to_a_hundredth_of_a_decibel() {
        // One squared error a sample is 48.13 dB; ten times the error is 10 dB less.
        for (sse, samples, cdb) in [
            (1_000, 1_000, 4813),
            (10_000, 1_000, 3813),
            (921_600, 921_600, 4813),
            (65_025 * 7, 7, 0),
            (1, 8_294_400, 11732),
        ] {
            let found = psnr_cdb(sse, samples);
            assert!(found.abs_diff(cdb) <= 1, "{sse}: {found} and not {cdb}");
        }
    }

    #[test]
    fn more_error_is_never_a_better_picture() {
        let mut before = u16::MAX;
        for step in 0..60 {
            for low in 0..8 {
                let psnr = psnr_cdb((8 + low) << step, 1 << 20);
                assert!(psnr <= before);
                before = psnr;
            }
        }
    }

    #[test]
    fn what_was_not_measured_is_zero_and_absurd_sums_do_not_overflow() {
        assert_eq!(psnr_cdb(0, 921_600), 0);
        assert_eq!(psnr_cdb(5, 0), 0);
        assert_eq!(psnr_cdb(u64::MAX, 1), 0);
        assert!(psnr_cdb(1, u64::MAX) > 18_000);
    }
}
