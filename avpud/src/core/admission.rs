//! May this channel exist? Encoder time is promised at most once, and no promise breaks another.
//!
//! Two tests. *Time*: a channel needs its pictures a second times the cost of one on average over its group of pictures;
//! what all channels need must fit into a second of encoder time less the headroom that the operator keeps. *Tickets*:
//! with the new channel everybody's longest wait must still be what was promised ([`schedule`](super::schedule)), each
//! picture being of its channel's costlier kind. So overload is an error at open and not late pictures. Both go by what
//! the device states of its costs, and not by what was measured, as long as pictures do not persistently take longer
//! ([`overrun`](super::overrun)): the same channels fit on every day, and one stalled picture does not sell the encoder
//! out. A change by which a channel takes no more than before is not tested.
//!
//! A best-effort channel is counted with the rate that it states: it gets that rate, but has no ticket. One that wants
//! whatever is left over states a low rate and submits more.

use crate::core::schedule::{self, Promise, Work};

/// Why a channel may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The encoder has not enough time left in a second.
    Time { needed_us: u64, free_us: u64 },
    /// The ticket of the channel at this place might be broken; the new channel comes last.
    Ticket { index: usize },
}

/// Encoder time that a channel needs in a second, in nanoseconds.
pub(super) fn load_ns(promise: &Promise) -> u64 {
    let total = u128::from(promise.mean_ns) * u128::from(NS_PER_SECOND);
    let each = total.div_ceil(u128::from(promise.period_ns.max(1)));
    u64::try_from(each).unwrap_or(u64::MAX)
}

/// Encoder time of a second that is left beside `promises`, in nanoseconds.
pub(super) fn free_ns(promises: &[Promise], load_max_permille: u32) -> u64 {
    let all_ns = u64::from(load_max_permille) * NS_PER_PERMILLE;
    let promised_ns = promises.iter().map(load_ns).fold(0, u64::saturating_add);
    all_ns.saturating_sub(promised_ns)
}

/// Whether the last of `promises` may be made beside all others, where `load_max_permille` of the time may be promised.
pub(super) fn check(
    promises: &[Promise],
    load_max_permille: u32,
    work: &mut Work,
) -> Result<(), Obstacle> {
    let Some((wanted, others)) = promises.split_last() else {
        return Ok(());
    };
    let free_ns = free_ns(others, load_max_permille);
    let needed_ns = load_ns(wanted);
    if needed_ns > free_ns {
        return Err(Obstacle::Time {
            needed_us: needed_ns.div_ceil(1000),
            free_us: free_ns / 1000,
        });
    }
    schedule::first_broken(promises, work).map_or(Ok(()), |index| Err(Obstacle::Ticket { index }))
}

const NS_PER_SECOND: u64 = 1_000_000_000;
/// A thousandth of a second.
const NS_PER_PERMILLE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::types::Class;

    fn check(promises: &[Promise], load_max_permille: u32) -> Result<(), Obstacle> {
        super::check(promises, load_max_permille, &mut Work::SET.clone())
    }

    fn promise(class: Class, cost_ns: u64) -> Promise {
        let period_ns = 40_000_000;
        Promise {
            class,
            cost_ns,
            mean_ns: cost_ns,
            period_ns,
            ticket_ns: (class != Class::BestEffort).then(|| period_ns.saturating_sub(cost_ns)),
            told_ns: None,
        }
    }

    fn best_effort(cost_ns: u64) -> Promise {
        promise(Class::BestEffort, cost_ns)
    }

    #[test]
    fn channels_are_admitted_until_the_second_is_full() {
        let hd = best_effort(16_000_000);
        assert_eq!(load_ns(&hd), 400_000_000);
        assert_eq!(check(&[hd], 1000), Ok(()));
        assert_eq!(check(&[hd, hd, best_effort(8_000_000)], 1000), Ok(()));
        assert_eq!(
            check(&[hd, hd, hd], 1000),
            Err(Obstacle::Time {
                needed_us: 400_000,
                free_us: 200_000
            })
        );
    }

    #[test]
    fn headroom_is_kept_and_absurd_loads_are_refused() {
        assert!(check(&[best_effort(38_000_000)], 900).is_err());
        assert!(check(&[best_effort(u64::MAX), best_effort(1)], 1000).is_err());
        assert!(check(&[best_effort(u64::MAX)], 1000).is_err());
    }

    #[test]
    fn time_that_is_free_is_not_enough_where_a_ticket_would_be_broken() {
        let live = promise(Class::Live, 18_000_000);
        // Half of the time is free, but the live channel would wait for a picture of 30 ms.
        let rare = Promise {
            period_ns: 1_000_000_000,
            ..best_effort(30_000_000)
        };
        let broken = Err(Obstacle::Ticket { index: 0 });
        assert_eq!(check(&[live, rare], 1000), broken);
        let own = Err(Obstacle::Ticket { index: 1 });
        assert_eq!(check(&[rare, live], 1000), own);
    }
}
