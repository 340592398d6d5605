//! Which ready channel goes next: first whoever stays within the rate that it was admitted with, then round robin with
//! cost in macroblocks.
//!
//! Admission promised every channel its pictures a second, so a picture that is due at that rate goes before all that are
//! not, whatever their weight: a client that submits more than it said cannot delay one that keeps to it by more than the
//! picture in the encoder. Nothing is saved up: a channel that was silent has at most one picture due, and a new one
//! none before its first period is half over.
//!
//! What is left is shared by weight. Every channel has a deficit, a number of macroblocks that it may still have encoded in this round. When its turn
//! comes it gains a quantum times its weight; while its deficit covers its next picture it keeps its turn. A
//! channel that has nothing queued loses its deficit, so time not used cannot be saved up. The service class is
//! recorded by the channel and not looked at here yet: all classes share alike.

use crate::core::time::Micros;
use crate::job::ChannelKey;

/// What a channel may have of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Its part of the time that nobody was promised.
    pub(super) weight: u16,
    /// Macroblocks of a picture.
    pub(super) macroblocks: u32,
    /// Time from one promised picture to the next.
    pub(super) period_us: u64,
}

/// The order of turns.
#[derive(Debug)]
pub(super) struct Arbiter {
    turns: Vec<Turn>,
    /// Whose turn it is.
    at: usize,
    /// The channel at `at` has gained its quantum for this turn.
    gained: bool,
}

#[derive(Debug)]
struct Turn {
    channel: ChannelKey,
    share: Share,
    /// When its next promised picture is expected.
    due: Micros,
    deficit: u64,
}

impl Arbiter {
    pub(super) const fn new() -> Self {
        Self {
            turns: Vec::new(),
            at: 0,
            gained: false,
        }
    }

    /// Adds a channel; its first turn comes last.
    pub(super) fn add(&mut self, channel: ChannelKey, share: Share, now: Micros) {
        let turn = Turn {
            channel,
            share,
            due: now.plus_us(share.period_us),
            deficit: 0,
        };
        // Before the one whose turn it is: last in the circle.
        self.turns.insert(self.at, turn);
        if self.turns.len() > 1 {
            self.at += 1;
        }
    }

    /// Forgets a channel.
    pub(super) fn remove(&mut self, channel: ChannelKey) {
        let Some(index) = self.turns.iter().position(|turn| turn.channel == channel) else {
            return;
        };
        self.turns.remove(index);
        if index < self.at {
            self.at -= 1;
        } else if index == self.at {
            self.gained = false;
        }
        if self.at >= self.turns.len() {
            self.at = 0;
        }
    }

    /// The channel to encode for next among those that `is_ready`, its picture already charged to it.
    pub(super) fn choose(
        &mut self,
        now: Micros,
        is_ready: impl Fn(ChannelKey) -> bool,
    ) -> Option<ChannelKey> {
        self.choose_due(now, &is_ready)
            .or_else(|| self.choose_in_turn(&is_ready))
    }

    /// The channel that waits longest for a picture that it was promised.
    fn choose_due(
        &mut self,
        now: Micros,
        is_ready: impl Fn(ChannelKey) -> bool,
    ) -> Option<ChannelKey> {
        // Pictures come a little before and after their time: half a period early is still in time.
        let is_due = |turn: &&mut Turn| turn.due <= now.plus_us(turn.share.period_us / 2);
        let due = self.turns.iter_mut().filter(is_due);
        let turn = due
            .filter(|turn| is_ready(turn.channel))
            .min_by_key(|turn| turn.due)?;
        turn.due = turn.due.max(now).plus_us(turn.share.period_us);
        Some(turn.channel)
    }

    fn choose_in_turn(&mut self, is_ready: impl Fn(ChannelKey) -> bool) -> Option<ChannelKey> {
        // The quantum covers the largest picture, so one full circle after the current turn finds any ready channel.
        let quantum = u64::from(self.turns.iter().map(|turn| turn.share.macroblocks).max()?);
        for _ in 0..=self.turns.len() {
            let turn = self.turns.get_mut(self.at)?;
            if is_ready(turn.channel) {
                if !self.gained {
                    turn.deficit += quantum * u64::from(turn.share.weight.max(1));
                    self.gained = true;
                }
                if let Some(rest) = turn.deficit.checked_sub(u64::from(turn.share.macroblocks)) {
                    turn.deficit = rest;
                    return Some(turn.channel);
                }
            } else {
                turn.deficit = 0;
            }
            self.at = (self.at + 1) % self.turns.len();
            self.gained = false;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: ChannelKey = ChannelKey::new(0);
    const SMALL: ChannelKey = ChannelKey::new(1);

    const NOW: Micros = Micros::new(1_000_000);
    const PERIOD_US: u64 = 40_000;

    fn share(weight: u16, macroblocks: u32) -> Share {
        Share {
            weight,
            macroblocks,
            period_us: PERIOD_US,
        }
    }

    fn served(arbiter: &mut Arbiter, rounds: u32, channel: ChannelKey) -> u32 {
        let mut count = 0;
        for _ in 0..rounds {
            if arbiter.choose(NOW, |_| true) == Some(channel) {
                count += 1;
            }
        }
        count
    }

    #[test]
    fn time_is_shared_by_macroblocks_and_not_by_pictures() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, share(1, 900), NOW);
        arbiter.add(SMALL, share(1, 100), NOW);
        assert_eq!(served(&mut arbiter, 1000, BIG), 100);
    }

    #[test]
    fn a_weight_multiplies_the_share() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, share(3, 100), NOW);
        arbiter.add(SMALL, share(1, 100), NOW);
        assert_eq!(served(&mut arbiter, 400, BIG), 300);
    }

    #[test]
    fn the_only_ready_channel_is_always_chosen() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, share(1, 900), NOW);
        arbiter.add(SMALL, share(1, 100), NOW);
        for _ in 0..50 {
            assert_eq!(arbiter.choose(NOW, |channel| channel == SMALL), Some(SMALL));
        }
        assert_eq!(arbiter.choose(NOW, |_| false), None);
        assert_eq!(arbiter.choose(NOW, |channel| channel == BIG), Some(BIG));
    }

    #[test]
    fn a_channel_that_was_idle_has_saved_nothing() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, share(1, 100), NOW);
        arbiter.add(SMALL, share(1, 100), NOW);
        for _ in 0..1000 {
            assert_eq!(arbiter.choose(NOW, |channel| channel == BIG), Some(BIG));
        }
        assert_eq!(served(&mut arbiter, 100, SMALL), 50);
    }

    #[test]
    fn channels_may_come_and_go_at_any_turn() {
        for turns in 0..8 {
            let mut arbiter = Arbiter::new();
            for index in 0..4 {
                arbiter.add(ChannelKey::new(index), share(1, 10), NOW);
            }
            for _ in 0..turns {
                arbiter.choose(NOW, |_| true);
            }
            for index in 0..4 {
                arbiter.remove(ChannelKey::new(index));
                arbiter.add(ChannelKey::new(index + 10), share(1, 10), NOW);
                arbiter.remove(ChannelKey::new(99));
            }
            let mut seen: Vec<u16> = (0..4)
                .filter_map(|_| arbiter.choose(NOW, |_| true))
                .map(ChannelKey::index)
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, [10, 11, 12, 13], "after {turns} turns");
        }
    }

    #[test]
    fn who_keeps_to_its_rate_goes_before_whoever_asks_for_more_at_any_weight() {
        let mut arbiter = Arbiter::new();
        arbiter.add(SMALL, share(1, 100), NOW);
        let greedy = Share {
            period_us: 3_600_000_000,
            ..share(100, 900)
        };
        arbiter.add(BIG, greedy, NOW);
        for picture in 1..100 {
            let now = NOW.plus_us(picture * PERIOD_US);
            assert_eq!(arbiter.choose(now, |_| true), Some(SMALL), "{picture}");
            // It has had its picture: nothing more is due, and the rest is shared by weight.
            assert_eq!(arbiter.choose_due(now, |_| true), None, "{picture}");
            let greedy = arbiter.choose(now, |channel| channel == BIG);
            assert_eq!(greedy, Some(BIG), "{picture}");
        }
    }

    #[test]
    fn silence_earns_one_picture_and_no_more() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, share(1, 100), NOW);
        let late = NOW.plus_us(1000 * PERIOD_US);
        arbiter.add(SMALL, share(100, 100), late);
        assert_eq!(arbiter.choose_due(late, |_| true), Some(BIG));
        assert_eq!(arbiter.choose_due(late, |_| true), None);
    }

    #[test]
    fn pictures_that_come_a_little_early_or_late_are_all_in_time() {
        let mut arbiter = Arbiter::new();
        arbiter.add(SMALL, share(1, 100), NOW);
        for picture in 1..1000_u64 {
            let jitter_us = picture * 7919 % (PERIOD_US / 3);
            let now = NOW.plus_us(picture * PERIOD_US + jitter_us);
            assert_eq!(arbiter.choose_due(now, |_| true), Some(SMALL), "{picture}");
        }
    }
}
