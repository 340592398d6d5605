//! When the periodic IDRs of a channel come, and how those of different channels are kept apart.
//!
//! An IDR is several times as large as the pictures around it. Channels that are opened together with the same group of
//! pictures would have theirs together for ever: so the group that an IDR out of turn begins (a channel's first one,
//! one that was asked for, one after a loss or a change) is shortened by as few pictures as it takes to keep the
//! periodic IDRs that follow a *service window* from those of every other channel. The window of two channels is the
//! time between two pictures of the faster one: in it each has one picture served. Groups after that have their length
//! again; no group is ever longer than asked for, and none shorter than half of that.
//!
//! Periods repeat: the IDRs of two channels come as near as their distance now, modulo the greatest common measure of
//! both periods. Where that has no room for two windows (29.97 beside 25 pictures a second) they meet now and then
//! whatever is done, and only the next one is kept apart; where there are more channels than windows in a group they
//! are as far apart as can be. Times are those of the frames' acceptance at the rate that was stated: it is the
//! client's to keep that.

use crate::core::broker::Broker;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use crate::picture::ChannelSetup;
use core::num::NonZeroU32;

/// The periodic IDRs of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    /// When the next one comes.
    next: Micros,
    rhythm: Rhythm,
}

/// A frame rate and a length of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rhythm {
    /// Pictures in `den` seconds.
    num: u64,
    den: u64,
    /// Pictures in a group.
    group: u64,
}

/// What another channel leaves free.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbour {
    next_us: u64,
    /// Its IDRs come as if each of these.
    measure_us: u64,
    window_us: u64,
}

impl Rhythm {
    fn of(setup: &ChannelSetup) -> Self {
        Self {
            num: u64::from(setup.frame_rate.num()),
            den: u64::from(setup.frame_rate.den()),
            group: u64::from(setup.gop_length.get()),
        }
    }

    /// Time that so many pictures take.
    fn span_us(&self, pictures: u64) -> u64 {
        let us = u128::from(pictures) * u128::from(self.den) * 1_000_000 / u128::from(self.num);
        u64::try_from(us).unwrap_or(u64::MAX)
    }

    /// Greatest common measure of both periods.
    fn common_measure_us(&self, other: &Self) -> u64 {
        // None of the terms is above a million.
        let a = self.group * self.den * other.num;
        let b = other.group * other.den * self.num;
        let measure = u128::from(greatest_common_divisor(a, b)) * 1_000_000;
        let measure = measure / u128::from(self.num * other.num);
        u64::try_from(measure).unwrap_or(u64::MAX)
    }
}

impl Neighbour {
    fn new(other: &Phase, own: &Rhythm) -> Self {
        let window_us = own.span_us(1).min(other.rhythm.span_us(1));
        let common_us = own.common_measure_us(&other.rhythm);
        let measure_us = if common_us >= 2 * window_us {
            common_us
        } else {
            other.rhythm.span_us(other.rhythm.group)
        };
        Self {
            next_us: other.next.value(),
            measure_us: measure_us.max(1),
            window_us,
        }
    }

    /// How near an IDR at `us`, and those that follow it, come to this one's.
    fn distance_us(&self, us: u64) -> u64 {
        let ahead = us.abs_diff(self.next_us) % self.measure_us;
        ahead.min(self.measure_us - ahead)
    }
}

/// How many pictures the group has that an IDR out of turn begins.
fn group_after(at: Micros, own: &Rhythm, neighbours: &[Neighbour]) -> u64 {
    let shorter_max = SHORTER_MAX.min(own.group / 2);
    let fewest = own.group - shorter_max;
    let (mut best, mut best_us) = (own.group, 0);
    for group in (fewest..=own.group).rev() {
        let next_us = at.plus_us(own.span_us(group)).value();
        // Distances count in windows, so that no pair of channels matters more because it is slow.
        let mut nearest_us = WHOLE_WINDOW;
        for neighbour in neighbours {
            let distance_us = neighbour.distance_us(next_us);
            let part = distance_us.saturating_mul(WHOLE_WINDOW) / neighbour.window_us.max(1);
            nearest_us = nearest_us.min(part);
        }
        if nearest_us >= WHOLE_WINDOW {
            return group;
        }
        if nearest_us > best_us {
            (best, best_us) = (group, nearest_us);
        }
    }
    best
}

impl Broker {
    /// An IDR of a channel goes to the encoder: decides when its next one comes.
    pub(super) fn space_idrs(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel(key) else {
            return;
        };
        let Some(at) = channel.in_flight.map(|flight| flight.frame.accepted) else {
            return;
        };
        let own = Rhythm::of(&channel.parameters.setup);
        let group = if channel.phase.is_some() && channel.coder.gop().is_periodic() {
            own.group
        } else {
            let mut neighbours = [Neighbour::default(); NEIGHBOURS_MAX];
            let others = self.all_channels().filter(|other| other.key != key);
            let phases = others.filter_map(|other| other.phase);
            // One that has missed a period has stopped, and its next IDR is anybody's guess.
            let goes_on = |phase: &Phase| {
                let period_us = phase.rhythm.span_us(phase.rhythm.group);
                phase.rhythm.group > 1 && at <= phase.next.plus_us(period_us)
            };
            let mut count = 0;
            for (slot, phase) in neighbours.iter_mut().zip(phases.filter(goes_on)) {
                *slot = Neighbour::new(&phase, &own);
                count += 1;
            }
            let known = neighbours.get(..count).unwrap_or_default();
            group_after(at, &own, known)
        };
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let pictures = u32::try_from(group).ok().and_then(NonZeroU32::new);
        channel
            .coder
            .end_group_after(pictures.unwrap_or(NonZeroU32::MAX));
        channel.phase = Some(Phase {
            next: at.plus_us(own.span_us(group)),
            rhythm: own,
        });
    }
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Most pictures by which a group is shortened, and at most by half: a crowd must not make a stream of IDRs of another.
const SHORTER_MAX: u64 = 128;
/// Most channels that are kept apart from.
const NEIGHBOURS_MAX: usize = 32;
/// Parts of a window in which distances are compared.
const WHOLE_WINDOW: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(num: u64, den: u64, group: u64) -> Rhythm {
        Rhythm { num, den, group }
    }

    /// Opens channels one after the other, `apart_us` between their first pictures; answers when their IDRs come.
    fn open(rhythms: &[Rhythm], apart_us: u64) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        for (index, own) in rhythms.iter().enumerate() {
            let at = Micros::new(1_000_000 + apart_us * u64::try_from(index).expect("few"));
            let others: Vec<Neighbour> = phases.iter().map(|o| Neighbour::new(o, own)).collect();
            let group = group_after(at, own, &others);
            assert!(group >= 1 && 2 * group >= own.group && group <= own.group);
            phases.push(Phase {
                next: at.plus_us(own.span_us(group)),
                rhythm: *own,
            });
        }
        phases
    }

    /// The nearest that IDRs of two channels come in `seconds`, and the window that they have to keep.
    fn nearest(a: &Phase, b: &Phase, seconds: u64) -> (u64, u64) {
        let times = |phase: &Phase| -> Vec<u64> {
            (0..)
                .map(|index| phase.next.value() + phase.rhythm.span_us(phase.rhythm.group * index))
                .take_while(|us| *us < seconds * 1_000_000)
                .collect()
        };
        let theirs = times(b);
        let distances = times(a)
            .into_iter()
            .flat_map(|us| theirs.iter().map(move |them| us.abs_diff(*them)));
        let window_us = a.rhythm.span_us(1).min(b.rhythm.span_us(1));
        (distances.min().expect("some"), window_us)
    }

    #[test]
    fn idrs_of_channels_with_a_common_measure_never_share_a_window() {
        let sets = [
            vec![rhythm(25, 1, 50); 8],
            vec![rhythm(25, 1, 50), rhythm(15, 1, 30), rhythm(5, 1, 10)],
            vec![rhythm(30, 1, 30), rhythm(15, 1, 30), rhythm(30, 1, 60)],
            vec![rhythm(25, 1, 25), rhythm(25, 1, 40), rhythm(25, 1, 100)],
            vec![rhythm(30_000, 1001, 60); 4],
            // 5/3 seconds beside 2: a third of a second is their common measure.
            vec![rhythm(30, 1, 50), rhythm(25, 1, 50)],
            vec![rhythm(1, 1, 4), rhythm(25, 1, 50), rhythm(1, 1, 4)],
        ];
        for set in sets {
            for apart_us in [0, 100, 13_000, 39_999, 1_999_999] {
                let phases = open(&set, apart_us);
                for (index, a) in phases.iter().enumerate() {
                    for b in phases.iter().skip(index + 1) {
                        let (found, window) = nearest(a, b, 120);
                        // Both are rounded down to microseconds.
                        assert!(
                            found + 2 >= window,
                            "{set:?} {apart_us}: {found} of {window}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_channel_alone_and_one_that_is_out_of_the_way_keep_their_group() {
        let phases = open(&[rhythm(25, 1, 50), rhythm(25, 1, 50)], 500_000);
        assert_eq!(phases[0].next, Micros::new(3_000_000));
        assert_eq!(phases[1].next, Micros::new(3_500_000));
        let phases = open(&[rhythm(25, 1, 50); 3], 0);
        assert_eq!(phases[1].next, Micros::new(2_960_000));
        assert_eq!(phases[2].next, Micros::new(2_920_000));
    }

    #[test]
    fn where_there_is_no_room_the_next_idrs_are_as_far_apart_as_can_be() {
        // Four windows for five channels, because a group loses at most half.
        let phases = open(&[rhythm(25, 1, 6); 5], 0);
        let next: Vec<u64> = phases.iter().map(|phase| phase.next.value()).collect();
        assert_eq!(
            next,
            [1_240_000, 1_200_000, 1_160_000, 1_120_000, 1_240_000]
        );
        // Two neighbours that leave no window: the next IDR comes where it is farthest from the nearer one.
        let own = rhythm(25, 1, 2);
        let neighbours = [85_000, 30_000].map(|next_us| Neighbour {
            next_us,
            measure_us: 80_000,
            window_us: 40_000,
        });
        assert_eq!(group_after(Micros::new(0), &own, &neighbours), 1);
        assert_eq!(group_after(Micros::new(55_000), &own, &neighbours), 2);
        // Only IDRs: nothing to shorten.
        let phases = open(&[rhythm(25, 1, 1); 2], 0);
        assert_eq!(phases[1].next, Micros::new(1_040_000));
        // Periods that drift: the next ones are apart.
        let phases = open(&[rhythm(30_000, 1001, 60), rhythm(30, 1, 60)], 0);
        let (found, window) = nearest(&phases[0], &phases[1], 4);
        assert!(found + 2 >= window, "{found} of {window}");
    }
}
