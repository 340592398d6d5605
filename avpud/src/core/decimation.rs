//! Which of the submitted frames are encoded where fewer are wanted: evenly spaced, whatever the two rates are.
//!
//! Every frame adds the wanted rate to a sum; whenever the sum reaches the submitted rate a frame is due. So among any
//! number of frames there are as many due as their share, give or take one.

use avpu_proto::types::FrameRate;

/// Picks frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimation {
    /// What each frame adds.
    step: i64,
    /// What a frame that is encoded takes.
    whole: i64,
    sum: i64,
}

impl Decimation {
    /// Of `submitted` pictures a second `encoded` are picked, the first one among them. Terms of both are at most
    /// 2^31.
    pub(super) fn new(submitted: FrameRate, encoded: FrameRate) -> Self {
        let product = |a: u32, b: u32| i64::from(a).saturating_mul(i64::from(b));
        let whole = product(submitted.num, encoded.den).max(1);
        let step = product(encoded.num, submitted.den).clamp(1, whole);
        Self {
            step,
            whole,
            sum: whole - step,
        }
    }

    /// Goes on at other rates; the next frame is as near to its turn as it was.
    pub(super) fn change(&mut self, submitted: FrameRate, encoded: FrameRate) {
        let new = Self::new(submitted, encoded);
        if (new.step, new.whole) != (self.step, self.whole) {
            let share = i128::from(self.sum) * i128::from(new.whole) / i128::from(self.whole);
            *self = Self {
                sum: i64::try_from(share).unwrap_or(0),
                ..new
            };
        }
    }

    /// Whether the next frame is to be encoded.
    pub(super) const fn is_due(&self) -> bool {
        self.sum.saturating_add(self.step) >= self.whole
    }

    /// A frame came. One that was encoded before its turn is made up for later.
    pub(super) fn advance(&mut self, encoded: bool) {
        self.sum = self.sum.saturating_add(self.step);
        if encoded {
            self.sum = self.sum.saturating_sub(self.whole).max(-self.whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(decimation: &mut Decimation, must: bool) -> bool {
        let encoded = must || decimation.is_due();
        decimation.advance(encoded);
        encoded
    }

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate { num, den }
    }

    fn picked(submitted: FrameRate, encoded: FrameRate, frames: usize) -> Vec<usize> {
        let mut decimation = Decimation::new(submitted, encoded);
        (0..frames)
            .filter(|_| admit(&mut decimation, false))
            .collect()
    }

    #[test]
    fn ten_of_twenty_five_are_evenly_spaced() {
        let frames = picked(rate(25, 1), rate(10, 1), 250);
        assert_eq!(frames.len(), 100);
        assert_eq!(frames.get(..5), Some([0, 3, 5, 8, 10].as_slice()));
        let gaps = frames.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| gap == 2 || gap == 3));
        assert_eq!(gaps.filter(|gap| *gap == 3).count(), 50);
    }

    #[test]
    fn every_prefix_has_its_share_at_any_two_rates() {
        for (submitted, encoded) in [
            (rate(25, 1), rate(24, 1)),
            (rate(30, 1), rate(1, 10)),
            (rate(30_000, 1001), rate(25, 1)),
            (rate(1_000_000, 999_999), rate(1, 3600)),
        ] {
            let mut decimation = Decimation::new(submitted, encoded);
            let mut count = 0_u64;
            for frame in 1..20_000_u64 {
                count += u64::from(admit(&mut decimation, false));
                let share = i128::from(frame) * i128::from(decimation.step);
                let off = i128::from(count) * i128::from(decimation.whole) - share;
                let at = format!("{submitted:?} {encoded:?} at {frame}");
                assert!(off.abs() <= i128::from(decimation.whole), "{at}");
            }
        }
    }

    #[test]
    fn at_the_same_rate_or_more_every_frame_is_encoded() {
        for encoded in [rate(25, 1), rate(50, 1)] {
            assert_eq!(picked(rate(25, 1), encoded, 100).len(), 100);
        }
    }

    #[test]
    fn frames_that_must_be_encoded_are_made_up_for() {
        let mut decimation = Decimation::new(rate(25, 1), rate(5, 1));
        let picked = (0..250)
            .filter(|n| admit(&mut decimation, n % 50 == 3))
            .count();
        assert!((50..=55).contains(&picked), "{picked}");
    }

    #[test]
    fn a_change_keeps_the_place_in_the_turn() {
        let mut decimation = Decimation::new(rate(25, 1), rate(5, 1));
        for _ in 0..3 {
            admit(&mut decimation, false);
        }
        let before = decimation;
        decimation.change(rate(25, 1), rate(5, 1));
        assert_eq!(decimation.sum, before.sum);
        decimation.change(rate(50, 1), rate(10, 1));
        assert_eq!((0..3).filter(|_| admit(&mut decimation, false)).count(), 1);
    }
}
