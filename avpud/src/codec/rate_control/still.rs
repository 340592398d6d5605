//! Scenes that stand still, where P pictures cost next to nothing.
//!
//! They do until their quantiser is so much finer than that of what they refer to that they code it anew. So all bits of
//! a group lie in its IDR, and in P pictures that are meant to refine it. The first IDR is coded before anybody knows,
//! and takes a small part of its group's bits. What it leaves refines it, in small steps with a pause after each, for the
//! pause tells whether the scene still stands. When nothing is left, P pictures go back to the IDR's quantiser: they are
//! skipped at any. The next IDR gets more, and leaves less: but only so much more that any stretch as long as a group
//! keeps the rate, which holds the late P pictures of one group, the IDR of the next and the early P pictures behind
//! that, which come no earlier than those of the group before did.

use super::size::rescaled;
use crate::picture::Qp;

/// What is known of a scene that may stand still, and of the group of pictures being coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Still {
    is_still: bool,
    /// The finest quantiser in this group so far.
    reference: i32,
    idr_qp: Qp,
    idr_bits: i64,
    /// Bits of the group's P pictures, of the last of them that did not refine, and of the last one that did.
    p_bits: i64,
    held_bits: i64,
    refined_bits: i64,
    /// Most bits of a P picture, not right behind one that refined, in a scene that stands still.
    held_max_bits: i64,
    /// What the P pictures up to each had taken in the group before, and in this one.
    before: [i64; EARLY],
    now: [i64; EARLY],
    /// What the whole group should take.
    group_bits: i64,
    /// By how much its P pictures may be ahead of those of the group before.
    ahead_bits: i64,
    pictures_left: i64,
    /// P pictures of this group so far.
    index: usize,
    is_first_group: bool,
    /// The picture in flight refines what it refers to; and the one before it did.
    refines: bool,
    has_refined: bool,
}

/// An IDR has more bits than so many P pictures of a scene that stands still, at the same quantiser: of one that begins
/// to, and of one that did.
const IDR_IN_P: (i64, i64) = (128, 40);
/// Percent of a group's share that its P pictures may take where nothing moves.
const HELD_PERCENT: i64 = 15;
/// How much finer a picture is that refines.
const FINER_BY: i32 = 2;
/// What the first picture that refines is expected to cost, as a part of the IDR.
const FIRST_PART: i64 = 6;
/// Percent of its share that a group of a still scene takes at least and at most, whatever is owed.
const GROUP_PERCENT: (i64, i64) = (95, 103);
/// The same of the first group: what it leaves lets the second IDR be that much larger.
const FIRST_GROUP_PERCENT: i64 = 96;
/// Percent of a group's share in the P pictures of a group and the IDR after it, which is at most half a step larger than
/// meant: more where these P pictures took less than so many percent, for then the IDR is nearly all.
const WINDOW_PERCENT: i64 = 105;
const LATE_WINDOW_PERCENT: i64 = 107;
const LATE_P_PERCENT: i64 = 30;
/// Percent of it by which a group may be ahead of the one before.
const AHEAD_PERCENT: i64 = 2;
const FIRST_WINDOW_PERCENT: i64 = 118;
/// P pictures of a group in which it is refined, as a rule.
const EARLY: usize = 48;
/// Steps from one IDR to the next: what one costs that is much finer is not known.
const IDR_FINER_MAX: i32 = 5;
const IDR_COARSER_MAX: i32 = 4;

impl Still {
    /// Before the first picture.
    pub(super) fn new() -> Self {
        Self {
            is_still: false,
            reference: 0,
            idr_qp: Qp::MAX,
            idr_bits: 0,
            p_bits: 0,
            held_bits: 0,
            refined_bits: 0,
            held_max_bits: 0,
            before: [i64::MAX; EARLY],
            now: [0; EARLY],
            group_bits: 0,
            ahead_bits: 0,
            pictures_left: 0,
            index: 0,
            is_first_group: true,
            refines: false,
            has_refined: false,
        }
    }

    /// The rate changes by these proportions.
    pub(super) fn change(&mut self, new: i64, old: i64) {
        let bits = i128::from(self.group_bits) * i128::from(new) / i128::from(old.max(1));
        self.group_bits = i64::try_from(bits).unwrap_or(0);
    }

    pub(super) fn is_still(&self) -> bool {
        self.is_still
    }

    /// What the P picture in flight is expected to take, where it refines.
    pub(super) fn refining_bits(&self) -> Option<i64> {
        self.refines.then(|| self.expected_bits())
    }

    /// What the next IDR should take, of a group whose share is `share_bits` and that should take `group_bits`.
    pub(super) fn idr_bits(&self, share_bits: i64, group_bits: i64, pictures: i64) -> i64 {
        let whole = self.bounded(share_bits, group_bits) - self.bits_of_held(pictures - 1);
        let window = if self.is_first_group {
            FIRST_WINDOW_PERCENT
        } else if self.p_bits < share_bits / 100 * LATE_P_PERCENT {
            LATE_WINDOW_PERCENT
        } else {
            WINDOW_PERCENT
        };
        let room = share_bits / 100 * window - self.p_bits;
        whole.min(room.max(self.idr_bits)).max(1)
    }

    /// The quantisers that an IDR may have.
    pub(super) fn idr_range(&self) -> (i32, i32) {
        let qp = i32::from(self.idr_qp.value());
        (qp - IDR_FINER_MAX, qp + IDR_COARSER_MAX)
    }

    /// The quantiser of the next P picture.
    pub(super) fn p_quantiser(&self) -> i32 {
        let spare =
            self.group_bits - self.idr_bits - self.p_bits - self.bits_of_held(self.pictures_left);
        let expected = self.expected_bits();
        if spare < expected / 2 {
            i32::from(self.idr_qp.value())
        } else if self.has_refined || self.p_bits.saturating_add(expected) > self.before() {
            self.reference
        } else if spare < expected {
            self.reference - FINER_BY / 2
        } else {
            self.reference - FINER_BY
        }
    }

    /// What so many P pictures take that do not refine.
    fn bits_of_held(&self, pictures: i64) -> i64 {
        self.held_bits.saturating_mul(pictures)
    }

    /// What the P pictures of the group before had taken when the one in flight was in the stream.
    fn before(&self) -> i64 {
        let last = self.before.last().copied().unwrap_or(i64::MAX);
        let before = self.before.get(self.index).copied().unwrap_or(last);
        before.saturating_add(self.ahead_bits)
    }

    fn bounded(&self, share_bits: i64, group_bits: i64) -> i64 {
        let percent = share_bits / 100;
        group_bits.clamp(percent * GROUP_PERCENT.0, percent * GROUP_PERCENT.1)
    }

    fn expected_bits(&self) -> i64 {
        (self.refined_bits / 2 * 3).max(self.idr_bits / FIRST_PART)
    }

    /// An IDR with this quantiser begins a group of so many pictures.
    pub(super) fn start_idr(&mut self, qp: i32, share_bits: i64, group_bits: i64, pictures: i64) {
        if self.idr_bits > 0 {
            self.is_first_group = false;
        }
        self.reference = qp;
        if self.idr_bits > 0 {
            // Of a group that was short, what it had taken in the end.
            let rest = self.now.get_mut(self.index..).unwrap_or_default();
            rest.fill(self.p_bits);
            self.before = self.now;
        }
        self.index = 0;
        self.p_bits = 0;
        self.refined_bits = 0;
        self.group_bits = if self.is_first_group {
            share_bits / 100 * FIRST_GROUP_PERCENT
        } else {
            self.bounded(share_bits, group_bits)
        };
        self.ahead_bits = share_bits / 100 * AHEAD_PERCENT;
        self.pictures_left = pictures;
        self.held_max_bits = share_bits / 100 * HELD_PERCENT / pictures.max(1);
        self.refines = false;
        self.has_refined = false;
    }

    /// A P picture with this quantiser follows.
    pub(super) fn start_p(&mut self, qp: i32) {
        self.refines = self.is_still && qp < self.reference;
        self.reference = self.reference.min(qp);
    }

    /// The IDR in flight took so many bits.
    pub(super) fn handle_idr(&mut self, qp: Qp, bits: i64) {
        self.idr_bits = bits;
        self.idr_qp = qp;
        self.pictures_left -= 1;
    }

    /// The P picture in flight took so many bits; false when they say nothing about others.
    pub(super) fn handle_p(&mut self, qp: Qp, bits: i64) -> bool {
        self.p_bits = self.p_bits.saturating_add(bits);
        if let Some(place) = self.now.get_mut(self.index) {
            *place = self.p_bits;
        }
        self.index = self.index.saturating_add(1);
        self.pictures_left = (self.pictures_left - 1).max(0);
        let is_held = bits <= self.held_max_bits || self.has_refined;
        self.has_refined = self.refines;
        if self.refines && bits <= self.idr_bits {
            self.refined_bits = bits;
            return false;
        }
        self.held_bits = bits;
        let at_idr_qp = rescaled(bits, qp, self.idr_qp);
        let least = if self.is_still {
            IDR_IN_P.1
        } else {
            IDR_IN_P.0
        };
        self.is_still = is_held && at_idr_qp.saturating_mul(least) < self.idr_bits;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_whose_p_pictures_take_a_good_part_of_the_rate_does_not_stand_still() {
        let qp = Qp::new(30).expect("a quantiser");
        let mut still = Still::new();
        still.start_idr(30, 600_000, 600_000, 50);
        still.handle_idr(qp, 300_000);
        for (bits, is_still) in [(1_500, true), (2_500, false), (300, true)] {
            still.start_p(30);
            still.handle_p(qp, bits);
            assert_eq!(still.is_still(), is_still, "{bits} bits");
        }
    }
}
