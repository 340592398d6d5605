//! A buffer check in a decoder's place, from the sizes of pictures alone.
//!
//! A decoder's buffer holds three seconds of the highest rate. It is filled at that rate; from 2.4 seconds after the
//! first bit on, a picture leaves it every frame time, all at once. A picture that is not there yet is an underflow. A
//! constant rate has no pauses, so a full buffer is an overflow; at a variable rate the sender pauses then.

/// Seconds that the buffer holds, in tenths.
pub const SIZE_DS: u64 = 30;
/// Seconds before the first picture leaves it, in tenths.
pub const DELAY_DS: u64 = 24;

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Pictures that were not there in time.
    pub underflows: u32,
    /// Pictures before which the buffer ran over.
    pub overflows: u32,
    /// Least and most that was in it right before a picture left, in thousandths.
    pub range_permille: (u64, u64),
}

/// Checks pictures of these sizes, in bits, at a rate in bits a second and frames a second.
///
/// Counts in units of a bit divided by the frame rate, so that nothing is rounded.
#[must_use]
pub fn check(sizes_bits: &[u64], rate_bps: u64, fps: u64, is_constant: bool) -> Verdict {
    let size = rate_bps * fps * SIZE_DS / 10;
    let mut level = rate_bps * fps * DELAY_DS / 10;
    let mut verdict = Verdict {
        range_permille: (1000, 0),
        ..Verdict::default()
    };
    for bits in sizes_bits {
        if level > size {
            verdict.overflows += u32::from(is_constant);
            level = size;
        }
        let share = level * 1000 / size;
        let (least, most) = verdict.range_permille;
        verdict.range_permille = (least.min(share), most.max(share));
        match level.checked_sub(bits * fps) {
            Some(rest) => level = rest,
            None => {
                verdict.underflows += 1;
                level = 0;
            }
        }
        level += rate_bps;
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_the_mean_size_keep_the_buffer_where_it_is() {
        let verdict = check(&[40_000; 1000], 1_000_000, 25, true);
        assert_eq!((verdict.underflows, verdict.overflows), (0, 0));
        assert_eq!(verdict.range_permille, (800, 800));
    }

    #[test]
    fn what_is_too_large_for_the_delay_is_late() {
        assert_eq!(check(&[2_400_000], 1_000_000, 25, true).underflows, 0);
        assert_eq!(check(&[2_400_001], 1_000_000, 25, true).underflows, 1);
        let grows = check(&[42_000; 2000], 1_000_000, 25, false);
        assert!(grows.underflows > 0);
    }

    #[test]
    fn small_pictures_run_a_constant_rate_over_and_pause_a_variable_one() {
        assert!(check(&[38_000; 1000], 1_000_000, 25, true).overflows > 0);
        let pauses = check(&[38_000; 1000], 1_000_000, 25, false);
        assert_eq!((pauses.underflows, pauses.overflows), (0, 0));
        assert_eq!(pauses.range_permille.1, 1000);
    }
}
