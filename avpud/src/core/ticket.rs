//! A channel's contract and its ticket: who keeps to the stated rate, what is promised for it, when the promise is broken.
//!
//! A frame keeps the contract if it comes no sooner than the rate allows, half a period of jitter granted, and every
//! frame of the channel that is still before it did too. That is the generic cell rate algorithm (ITU-T I.371) with a
//! tolerance of half a period. What else it does is a client's own affair: frames beyond the rate are encoded from
//! the slack.

use crate::core::arbiter::Share;
use crate::core::cost::PictureCost;
use crate::core::parameters::Parameters;
use crate::core::schedule::Promise;
use crate::core::time::Micros;
use avpu_proto::types::Class;

/// Whether a channel submits at the rate that it stated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contract {
    period_us: u64,
    /// When the next frame is expected at the earliest.
    expected: Micros,
}

impl Contract {
    pub(super) const fn new(period_us: u64, now: Micros) -> Self {
        Self {
            period_us,
            expected: now,
        }
    }

    /// Goes on at another rate. The next frame is not early at it.
    pub(super) fn change(&mut self, period_us: u64, now: Micros) {
        if self.period_us != period_us {
            self.period_us = period_us;
            self.expected = self.expected.min(now.plus_us(period_us));
        }
    }

    /// A frame came. Answers whether the rate allows it.
    pub(super) fn admit(&mut self, now: Micros) -> bool {
        if now.plus_us(self.period_us / 2) < self.expected {
            return false;
        }
        self.expected = self.expected.max(now).plus_us(self.period_us);
        true
    }
}

/// What the encoder owes a channel with these parameters.
pub(super) fn promise(parameters: &Parameters, cost: &PictureCost) -> Promise {
    let rate = parameters.setup.frame_rate;
    // Down to what the arbiter counts in: a camera that is exactly on time must never be early.
    let period_us = u64::from(rate.den()) * US_PER_SECOND / u64::from(rate.num().max(1));
    let period_ns = period_us.max(1) * NS_PER_US;
    let (cost_ns, stated_ns) = (cost.worst_ns(), cost.stated_worst_ns());
    let until_next_ns = period_ns.saturating_sub(stated_ns);
    let wished_ns = u64::from(parameters.deadline_us) * NS_PER_US;
    let told_ns = match wished_ns {
        0 => until_next_ns,
        wished => wished.min(until_next_ns),
    };
    let told_ns = (parameters.class != Class::BestEffort).then_some(told_ns);
    Promise {
        class: parameters.class,
        cost_ns,
        mean_ns: cost.mean_ns(parameters.setup.gop_length),
        period_ns,
        ticket_ns: told_ns.map(|ns| ns.saturating_sub(cost_ns - stated_ns)),
        told_ns,
    }
}

/// The ticket of a promise in microseconds; 0: none.
pub(super) fn ticket_us(promise: &Promise) -> u32 {
    let us = promise.told_ns.unwrap_or(0) / NS_PER_US;
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// What the arbiter must know of a channel to keep the promise.
pub(super) fn share(parameters: &Parameters, cost: &PictureCost) -> Share {
    let promise = promise(parameters, cost);
    let stated_ns = cost.stated_worst_ns();
    let until_next_ns = promise.period_ns.saturating_sub(stated_ns);
    let wait_ns = promise.told_ns.unwrap_or(until_next_ns);
    Share {
        class: parameters.class,
        weight: parameters.weight,
        macroblocks: cost.macroblocks(),
        period_us: promise.period_ns / NS_PER_US,
        deadline_us: (wait_ns + stated_ns) / NS_PER_US,
    }
}

const NS_PER_US: u64 = 1000;
const US_PER_SECOND: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_US: u64 = 40_000;

    #[test]
    fn jitter_of_half_a_period_keeps_the_contract_for_good() {
        let start = Micros::new(1_000_000);
        let mut contract = Contract::new(PERIOD_US, start);
        for frame in 0..10_000_u64 {
            let jitter_us = frame * 7919 % (PERIOD_US / 2);
            let now = start.plus_us(frame * PERIOD_US + jitter_us);
            assert!(contract.admit(now), "frame {frame}");
        }
    }

    #[test]
    fn thirty_pictures_a_second_keep_the_contract_all_day() {
        let period_us = US_PER_SECOND / 30;
        let mut contract = Contract::new(period_us, Micros::new(0));
        for frame in 0..30 * 86_400_u64 {
            assert!(contract.admit(Micros::new(frame * US_PER_SECOND / 30)));
        }
    }

    #[test]
    fn of_twice_the_rate_every_second_frame_keeps_the_contract() {
        let start = Micros::new(1_000_000);
        let mut contract = Contract::new(PERIOD_US, start);
        let kept = (0..1000).filter(|n| contract.admit(start.plus_us(n * PERIOD_US / 2)));
        assert!((500..=502).contains(&kept.count()));
    }

    #[test]
    fn silence_saves_nothing_up() {
        let start = Micros::new(1_000_000);
        let mut contract = Contract::new(PERIOD_US, start);
        let late = start.plus_us(100 * PERIOD_US);
        let kept = (0..10).filter(|_| contract.admit(late)).count();
        assert_eq!(kept, 1);
    }
}
