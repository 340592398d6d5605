//! Which ready channel goes next: round robin with cost in macroblocks.
//!
//! Every channel has a deficit, a number of macroblocks that it may still have encoded in this round. When its turn
//! comes it gains a quantum times its weight; while its deficit covers its next picture it keeps its turn. A
//! channel that has nothing queued loses its deficit, so time not used cannot be saved up. The service class is
//! recorded by the channel and not looked at here yet: all classes share alike.

use crate::job::ChannelKey;

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
    weight: u16,
    macroblocks: u32,
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

    /// Adds a channel whose pictures have `macroblocks` each; its first turn comes last.
    pub(super) fn add(&mut self, channel: ChannelKey, weight: u16, macroblocks: u32) {
        let turn = Turn {
            channel,
            weight: weight.max(1),
            macroblocks,
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
        mut is_ready: impl FnMut(ChannelKey) -> bool,
    ) -> Option<ChannelKey> {
        // The quantum covers the largest picture, so one full circle after the current turn finds any ready channel.
        let quantum = u64::from(self.turns.iter().map(|turn| turn.macroblocks).max()?);
        for _ in 0..=self.turns.len() {
            let turn = self.turns.get_mut(self.at)?;
            if is_ready(turn.channel) {
                if !self.gained {
                    turn.deficit += quantum * u64::from(turn.weight);
                    self.gained = true;
                }
                if let Some(rest) = turn.deficit.checked_sub(u64::from(turn.macroblocks)) {
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

    fn served(arbiter: &mut Arbiter, rounds: u32, channel: ChannelKey) -> u32 {
        let mut count = 0;
        for _ in 0..rounds {
            if arbiter.choose(|_| true) == Some(channel) {
                count += 1;
            }
        }
        count
    }

    #[test]
    fn time_is_shared_by_macroblocks_and_not_by_pictures() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, 1, 900);
        arbiter.add(SMALL, 1, 100);
        assert_eq!(served(&mut arbiter, 1000, BIG), 100);
    }

    #[test]
    fn a_weight_multiplies_the_share() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, 3, 100);
        arbiter.add(SMALL, 1, 100);
        assert_eq!(served(&mut arbiter, 400, BIG), 300);
    }

    #[test]
    fn the_only_ready_channel_is_always_chosen() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, 1, 900);
        arbiter.add(SMALL, 1, 100);
        for _ in 0..50 {
            assert_eq!(arbiter.choose(|channel| channel == SMALL), Some(SMALL));
        }
        assert_eq!(arbiter.choose(|_| false), None);
        assert_eq!(arbiter.choose(|channel| channel == BIG), Some(BIG));
    }

    #[test]
    fn a_channel_that_was_idle_has_saved_nothing() {
        let mut arbiter = Arbiter::new();
        arbiter.add(BIG, 1, 100);
        arbiter.add(SMALL, 1, 100);
        for _ in 0..1000 {
            assert_eq!(arbiter.choose(|channel| channel == BIG), Some(BIG));
        }
        assert_eq!(served(&mut arbiter, 100, SMALL), 50);
    }

    #[test]
    fn channels_may_come_and_go_at_any_turn() {
        for turns in 0..8 {
            let mut arbiter = Arbiter::new();
            for index in 0..4 {
                arbiter.add(ChannelKey::new(index), 1, 10);
            }
            for _ in 0..turns {
                arbiter.choose(|_| true);
            }
            for index in 0..4 {
                arbiter.remove(ChannelKey::new(index));
                arbiter.add(ChannelKey::new(index + 10), 1, 10);
                arbiter.remove(ChannelKey::new(99));
            }
            let mut seen: Vec<u16> = (0..4)
                .filter_map(|_| arbiter.choose(|_| true))
                .map(ChannelKey::index)
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, [10, 11, 12, 13], "after {turns} turns");
        }
    }
}
