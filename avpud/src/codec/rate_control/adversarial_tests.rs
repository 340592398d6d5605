//! A decoder's buffer, counted by sizes alone, behind pictures whose cost jumps when it hurts: with filler data a
//! constant rate neither runs it dry nor over, as long as the coarsest quantiser fits at all.

use core::num::NonZeroU32;

use super::tests::{cbr, setup};
use super::{Controller, PictureCost, RateController};
use crate::codec::gop::Gop;
use crate::picture::{PictureKind, Qp};

const FPS: u32 = 25;
const PICTURES: u32 = 1000;

/// Pictures whose cost no controller can foresee; at the coarsest quantiser each takes less than its share.
struct Adversary {
    dice: u32,
    /// Sixty-fourths of what a picture takes at quantiser 30 in calm.
    level: u64,
    share_bits: u64,
    /// Steps that halve a picture.
    halving: u32,
}

/// A decoder's buffer: three seconds, 2.4 of them filled before the first picture leaves.
#[derive(Debug)]
struct Decoder {
    level_bits: u64,
    share_bits: u64,
    fullest: u64,
    emptiest: u64,
}

impl Adversary {
    fn new(seed: u32, share_bits: u64) -> Self {
        let mut this = Self {
            dice: seed.wrapping_mul(0x9e37_79b9) | 1,
            level: 64,
            share_bits,
            halving: 6,
        };
        this.halving = 4 + this.roll() % 3;
        this
    }

    fn roll(&mut self) -> u32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 17;
        self.dice ^= self.dice << 5;
        self.dice
    }

    /// Jumps up to eightfold now and then, stands still at times, and is noisy always.
    fn len_bytes(&mut self, kind: PictureKind, qp: Qp) -> u32 {
        if self.roll().is_multiple_of(40) {
            self.level = match self.roll() % 4 {
                0 => 0,
                1 => self.level / 4,
                _ => (self.level.max(16) * u64::from(2 + self.roll() % 7)).min(128),
            };
        }
        let at_30 = match kind {
            PictureKind::Idr => self.share_bits * 2,
            PictureKind::P => self.share_bits * self.level / 64,
        };
        let noisy = at_30 * u64::from(800 + self.roll() % 400) / 1000;
        let steps = i64::from(qp.value()) - 30;
        let whole = steps.div_euclid(i64::from(self.halving));
        // A straight line between powers of two.
        let part = steps.rem_euclid(i64::from(self.halving)).unsigned_abs();
        let twice = u64::from(self.halving) * 2;
        let scaled = noisy * (twice - part) / twice;
        let bits = if whole < 0 {
            scaled << (-whole).min(20)
        } else {
            scaled >> whole.min(40)
        };
        u32::try_from(bits / 8).expect("a picture") + 12
    }
}

impl Decoder {
    fn new(share_bits: u64) -> Self {
        let level_bits = share_bits * u64::from(FPS) * 24 / 10;
        Self {
            level_bits,
            share_bits,
            fullest: level_bits,
            emptiest: level_bits,
        }
    }

    fn size_bits(&self) -> u64 {
        self.share_bits * u64::from(FPS) * 3
    }

    fn take(&mut self, bits: u64, place: &str) {
        assert!(self.level_bits <= self.size_bits(), "{place}: runs over");
        self.fullest = self.fullest.max(self.level_bits);
        let left = self.level_bits.checked_sub(bits);
        self.level_bits = left.unwrap_or_else(|| panic!("{place}: runs dry, {bits} bits"));
        self.emptiest = self.emptiest.min(self.level_bits);
        self.level_bits += self.share_bits;
    }
}

#[test]
fn a_decoders_buffer_runs_neither_dry_nor_over_whatever_pictures_do() {
    let (mut filled, mut coarsest, mut jumps) = (0u64, 0u32, 0u32);
    let (mut fullest, mut emptiest) = (0, u64::MAX);
    for seed in 1..=100 {
        let share_bits = 40_000;
        let mut setup = setup(cbr(1_000_000), FPS, 1 + seed % 60);
        setup.rate_tuning.fills = true;
        let mut controller = Controller::new(&setup);
        let mut gop = Gop::new(NonZeroU32::new(1 + seed % 60).expect("a length"));
        let mut adversary = Adversary::new(seed, share_bits);
        let mut decoder = Decoder::new(share_bits);
        let mut last = 0u32;
        for number in 0..PICTURES {
            let kind = gop.next_kind();
            let qp = controller.choose(kind);
            assert!((16..=48).contains(&qp.value()), "seed {seed}: {qp:?}");
            gop.start(qp);
            gop.handle_encoded();
            let len_bytes = adversary.len_bytes(kind, qp);
            let filler_bytes = controller.filler_bytes(len_bytes);
            let cost = PictureCost {
                len_bytes,
                filler_bytes,
                ..PictureCost::default()
            };
            controller.handle_encoded(kind, qp, &cost);
            let place = format!("seed {seed}, picture {number}");
            decoder.take(u64::from(len_bytes + filler_bytes) * 8, &place);
            filled += u64::from(filler_bytes);
            coarsest += u32::from(qp.value() == 48);
            jumps += u32::from(last > 0 && len_bytes / 4 > last);
            last = len_bytes;
        }
        fullest = fullest.max(decoder.fullest * 100 / decoder.size_bits());
        emptiest = emptiest.min(decoder.emptiest * 100 / decoder.size_bits());
    }
    // That it was hard for the controller, and that all of it was used.
    assert!(jumps > 100, "{jumps} jumps");
    assert!(
        filled > 0 && coarsest > 0,
        "{filled} bytes, {coarsest} times"
    );
    assert!(fullest >= 85, "{fullest} % at most");
    assert!(emptiest <= 70, "{emptiest} % at least");
}

#[test]
fn nothing_is_filled_where_nobody_asked_or_the_picture_is_full() {
    let quiet = |fills, picture_max: Option<u32>| {
        let mut setup = setup(cbr(1_000_000), FPS, 50);
        setup.rate_tuning.fills = fills;
        setup.rate_tuning.picture_max_bytes = picture_max.and_then(NonZeroU32::new);
        let mut controller = Controller::new(&setup);
        (0..200).fold(0, |most: u32, number| {
            let kind = if number % 50 == 0 {
                PictureKind::Idr
            } else {
                PictureKind::P
            };
            let qp = controller.choose(kind);
            let filler_bytes = controller.filler_bytes(100);
            let cost = PictureCost {
                len_bytes: 100,
                filler_bytes,
                ..PictureCost::default()
            };
            controller.handle_encoded(kind, qp, &cost);
            most.max(filler_bytes)
        })
    };
    assert_eq!(quiet(false, None), 0);
    assert_eq!(quiet(true, None), 4_900);
    assert_eq!(quiet(true, Some(2_000)), 1_900);
}
