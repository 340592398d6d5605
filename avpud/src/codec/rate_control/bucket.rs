//! The leaky bucket: what a decoder's buffer lacks of a stream that is sent at the highest rate.
//!
//! A decoder holds three seconds and starts to show 2.4 seconds after the first bit. The level here counts
//! bits encoded less bits sent: at 2.4 seconds' worth the decoder has nothing left when the next picture is
//! due, and 0.6 seconds below zero its buffer is full.

use super::Fullness;
use super::settings::BITS_MAX;

/// The leaky bucket of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Bits that leave it while a picture is shown.
    drain_bits: i64,
    /// The level at which a picture would be late.
    top_bits: i64,
    /// The level at which the decoder's buffer is full; below zero.
    bottom_bits: i64,
    level_bits: i64,
    /// The level that filler data keeps.
    fill_bits: i64,
}

/// Tenths of a second.
const TOP_DS: i64 = 24;
const BOTTOM_DS: i64 = -6;
/// Half of what is left below zero stays for pictures that come.
const FILL_DS: i64 = -3;
/// Most filler data behind a picture, in pictures.
const FILL_PICTURES_MAX: i64 = 2;

impl Bucket {
    /// One that nothing was put into, by the bits a picture takes at the rate and the pictures of a second.
    pub(super) fn new(drain_bits: i64, second: i64) -> Self {
        let of_second = drain_bits.saturating_mul(second);
        Self {
            drain_bits,
            top_bits: of_second.saturating_mul(TOP_DS) / 10,
            bottom_bits: of_second.saturating_mul(BOTTOM_DS) / 10,
            level_bits: 0,
            fill_bits: of_second.saturating_mul(FILL_DS) / 10,
        }
    }

    /// Another rate; what is in it lasts as long as before.
    pub(super) fn change(&mut self, drain_bits: i64, second: i64) {
        let new = Self::new(drain_bits, second);
        let top = i128::from(self.top_bits.max(1));
        let level = i128::from(self.level_bits) * i128::from(new.top_bits) / top;
        *self = Self {
            level_bits: i64::try_from(level).unwrap_or(0),
            ..new
        };
    }

    /// Bits that the next picture may have.
    pub(super) fn room_bits(&self) -> i64 {
        (self.top_bits - self.level_bits).max(0)
    }

    /// A picture of so many bits goes in, and the time of one passes. A full decoder makes the sender pause;
    /// what came too late does so for all that follow, and is not made up for twice.
    pub(super) fn add(&mut self, bits: i64) {
        let after = self.level_bits + bits.min(BITS_MAX) - self.drain_bits;
        self.level_bits = after.clamp(self.bottom_bits, self.top_bits);
    }

    /// Bits of filler data behind a picture of so many.
    pub(super) fn filler_bits(&self, bits: i64) -> i64 {
        let after = self.level_bits + bits.min(BITS_MAX) - self.drain_bits;
        let most = self.drain_bits.saturating_mul(FILL_PICTURES_MAX);
        (self.fill_bits - after).clamp(0, most)
    }

    /// How much the decoder lacks of a full buffer.
    pub(super) fn fullness(&self) -> Fullness {
        let count = |bits: i64| u64::try_from(bits).unwrap_or(0);
        Fullness {
            level_bits: count(self.level_bits - self.bottom_bits),
            size_bits: count(self.top_bits - self.bottom_bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_the_mean_size_leave_the_level_alone() {
        let mut bucket = Bucket::new(40_000, 25);
        let before = bucket.fullness();
        (0..100).for_each(|_| bucket.add(40_000));
        assert_eq!(bucket.fullness(), before);
        assert_eq!(before.size_bits, 3_000_000);
        assert_eq!(before.permille(), 200);
    }

    #[test]
    fn another_rate_keeps_the_time() {
        let mut bucket = Bucket::new(40_000, 25);
        bucket.add(1_000_000);
        let before = bucket.fullness().permille();
        bucket.change(10_000, 25);
        assert_eq!(bucket.fullness().permille(), before);
        bucket.change(40_000, 25);
        assert_eq!(bucket.fullness().permille(), before);
    }

    #[test]
    fn filler_keeps_the_level_half_way_to_the_bottom() {
        let mut bucket = Bucket::new(40_000, 25);
        let mut filler_bits = 0;
        for _ in 0..100 {
            let filler = bucket.filler_bits(1_000);
            assert!(filler <= 80_000);
            filler_bits += filler;
            bucket.add(1_000 + filler);
        }
        // 0.3 seconds of a million bits are missing, and no more.
        assert_eq!(filler_bits, 100 * 39_000 - 300_000);
        assert_eq!(bucket.fullness().permille(), 100);
        bucket.add(1_000_000);
        assert_eq!(bucket.filler_bits(0), 0);
    }

    #[test]
    fn the_level_stays_between_its_bounds_whatever_goes_in() {
        let mut bucket = Bucket::new(BITS_MAX, 1024);
        for bits in [0, i64::MAX, 0, 0, i64::MAX, i64::MAX] {
            bucket.add(bits);
            assert!(bucket.room_bits() >= 0);
            let fullness = bucket.fullness();
            assert!(fullness.level_bits <= fullness.size_bits);
        }
    }
}
