//! May this channel exist? Encoder time is promised at most once.
//!
//! A channel needs its pictures a second times the cost of one. What all channels need must fit into a second of
//! encoder time less the headroom that the operator keeps; so overload is an error at open and not late pictures.

use crate::core::refusal::Refusal;

/// Encoder time that a channel needs in a second, in nanoseconds.
pub(super) fn load_ns(picture_ns: u64, fps_num: u32, fps_den: u32) -> u64 {
    let total = u128::from(picture_ns) * u128::from(fps_num);
    let each = total.div_ceil(u128::from(fps_den.max(1)));
    u64::try_from(each).unwrap_or(u64::MAX)
}

/// Refuses a channel that needs `wanted_ns` beside `promised_ns` where `load_max_permille` of the time may be promised.
pub(super) fn admit(
    promised_ns: u64,
    wanted_ns: u64,
    load_max_permille: u32,
) -> Result<(), Refusal> {
    let all_ns = u64::from(load_max_permille) * NS_PER_PERMILLE;
    let free_ns = all_ns.saturating_sub(promised_ns);
    if wanted_ns > free_ns {
        return Err(Refusal::NoCapacity {
            needed_us: wanted_ns.div_ceil(1000),
            free_us: free_ns / 1000,
        });
    }
    Ok(())
}

/// A thousandth of a second.
const NS_PER_PERMILLE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_admitted_until_the_second_is_full() {
        let hd = load_ns(16_000_000, 25, 1);
        assert_eq!(hd, 400_000_000);
        assert_eq!(admit(0, hd, 1000), Ok(()));
        assert_eq!(admit(2 * hd, 200_000_000, 1000), Ok(()));
        assert_eq!(
            admit(2 * hd, hd, 1000),
            Err(Refusal::NoCapacity {
                needed_us: 400_000,
                free_us: 200_000
            })
        );
    }

    #[test]
    fn headroom_is_kept_and_absurd_loads_are_refused() {
        assert!(admit(0, 950_000_000, 900).is_err());
        assert!(admit(u64::MAX, 1, 1000).is_err());
        assert!(admit(0, load_ns(u64::MAX, u32::MAX, 1), 1000).is_err());
    }
}
