//! A bit rate, kept by a bucket that every picture fills and time drains.
//!
//! An IDR costs several times a P picture, so the bucket swings inside every group even when all is well.
//! The swing that the size model expects is subtracted first; only what is left is an error. The
//! quantiser is the finest one at which a whole group of pictures costs the target less the share of that
//! error which one picture has to make up for.

use super::size::{SizeModel, steps_of};
use super::{Fullness, PictureCost, RateController};
use crate::picture::{BitRate, ChannelSetup, FrameRate, PictureKind, Qp, QpRange, RateControl};

/// What a bucket is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) target: BitRate,
    pub(super) max: BitRate,
    pub(super) range: QpRange,
    /// Seconds within which a deviation is made up for.
    pub(super) window_s: u32,
    pub(super) frame_rate: FrameRate,
    pub(super) gop_length: u32,
    pub(super) macroblocks: u32,
}

/// A leaky bucket with a model of what pictures cost.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    range: QpRange,
    /// Bits a picture may take on average.
    target_bits: i64,
    /// Bits a picture may take on average while a deviation is made up for.
    max_bits: i64,
    /// Pictures within which a deviation is made up for.
    window: i64,
    /// Pictures over which the cost of an IDR is spread.
    group: i64,
    /// Index of the next picture after the last IDR.
    index: i64,
    /// Bits taken beyond the target so far.
    level_bits: i64,
    model: SizeModel,
    /// Quantiser of P pictures as last chosen; an IDR gets a finer one.
    base: i32,
    has_started: bool,
}

/// A group's IDR is referred to by all the others, directly or not: bits are well spent on it.
const IDR_FINER_BY: i32 = 2;
/// Steps from one picture to the next; coarser may go faster, because too many bits hurt more.
const FINER_MAX: i32 = 2;
const COARSER_MAX: i32 = 4;
/// What an IDR costs in P pictures before any was seen.
const IDR_IN_P: i64 = 6;
/// Beyond these, rates and times make no sense and could overflow: 2^40 bits a picture.
const BITS_MAX: i64 = 1 << 40;
const WINDOW_MAX: i64 = 1 << 16;
/// Quantiser of a picture with one bit per macroblock.
const QP_AT_ONE_BIT: i32 = 57;

/// Seconds within which a deviation from the target is made up for.
const CBR_WINDOW_S: u32 = 1;
const VBR_WINDOW_S: u32 = 8;

impl Settings {
    fn of(setup: &ChannelSetup) -> Self {
        let control = setup.rate_control;
        let any = BitRate::LEAST;
        Self {
            target: control.target().unwrap_or(any),
            max: control.max().unwrap_or(any),
            range: control.range(),
            window_s: match control {
                RateControl::FixQp { .. } | RateControl::Cbr { .. } => CBR_WINDOW_S,
                _ => VBR_WINDOW_S,
            },
            frame_rate: setup.frame_rate,
            gop_length: setup.gop_length.get(),
            macroblocks: setup.geometry.coded().macroblocks(),
        }
    }
}

impl Bucket {
    pub(super) fn new(setup: &ChannelSetup) -> Self {
        let settings = Settings::of(setup);
        let per_picture = |rate: BitRate| {
            let bits = u64::from(rate.bps()) * u64::from(settings.frame_rate.den())
                / u64::from(settings.frame_rate.num());
            i64::try_from(bits).map_or(BITS_MAX, |bits| bits.clamp(1, BITS_MAX))
        };
        let target_bits = per_picture(settings.target);
        let pictures = u64::from(settings.window_s) * u64::from(settings.frame_rate.num())
            / u64::from(settings.frame_rate.den());
        let window = i64::try_from(pictures).map_or(WINDOW_MAX, |count| count.clamp(1, WINDOW_MAX));
        // The cost of an IDR is made up for within the window's order of time, however long the group.
        let group = i64::from(settings.gop_length).min(2 * window);
        let bits_per_macroblock_q8 =
            target_bits.unsigned_abs() * 256 / u64::from(settings.macroblocks.max(1));
        let steps = i32::try_from(steps_of(bits_per_macroblock_q8)).unwrap_or(0);
        let first = settings.range.clamp_i32(QP_AT_ONE_BIT - steps);
        let p_bits = target_bits * group / (IDR_IN_P + group - 1);
        let model = SizeModel::guess(
            first,
            p_bits
                .unsigned_abs()
                .saturating_mul(IDR_IN_P.unsigned_abs()),
            p_bits.unsigned_abs(),
        );
        Self {
            range: settings.range,
            target_bits,
            max_bits: per_picture(settings.max).max(target_bits),
            window,
            group,
            index: 0,
            level_bits: 0,
            model,
            base: i32::from(first.value()),
            has_started: false,
        }
    }

    /// Goes on with another setup.
    pub(super) fn change(&mut self, setup: &ChannelSetup) {
        let new = Self::new(setup);
        let level = i128::from(self.level_bits) * i128::from(new.target_bits)
            / i128::from(self.target_bits);
        *self = Self {
            model: self.model,
            index: self.index,
            level_bits: i64::try_from(level).unwrap_or(0),
            base: self.base,
            has_started: self.has_started,
            ..new
        };
    }

    /// How full it is.
    pub(super) fn fullness(&self) -> Fullness {
        let size_bits = self
            .target_bits
            .saturating_mul(self.window * 4)
            .unsigned_abs();
        Fullness {
            level_bits: u64::try_from(self.level_bits).unwrap_or(0).min(size_bits),
            size_bits,
        }
    }

    /// Bits a picture takes on average over the pictures that share the cost of one IDR.
    fn average_bits(&self, base: i32) -> i64 {
        let p = signed(self.model.bits(PictureKind::P, self.range.clamp_i32(base)));
        if self.index >= self.group {
            return p;
        }
        let idr_qp = self.range.clamp_i32(base - IDR_FINER_BY);
        let idr = signed(self.model.bits(PictureKind::Idr, idr_qp));
        (idr + p * (self.group - 1)) / self.group
    }

    /// How full the bucket is expected to be here because of the IDR of this group.
    fn expected_level_bits(&self) -> i64 {
        if self.index == 0 || self.index >= self.group {
            return 0;
        }
        let idr_qp = self.range.clamp_i32(self.base - IDR_FINER_BY);
        let idr = signed(self.model.bits(PictureKind::Idr, idr_qp));
        let average = self.average_bits(self.base);
        let p = signed(
            self.model
                .bits(PictureKind::P, self.range.clamp_i32(self.base)),
        );
        idr - average + (self.index - 1) * (p - average)
    }

    /// Bits the pictures of the window should take on average.
    fn wanted_bits(&self) -> i64 {
        let error = self.level_bits - self.expected_level_bits();
        let most = if self.max_bits > self.target_bits {
            self.max_bits
        } else {
            self.target_bits * 2
        };
        (self.target_bits - error / self.window)
            .clamp(self.target_bits / 4, most)
            .max(1)
    }

    fn account(&mut self, bits: i64) {
        let room = self.target_bits.saturating_mul(self.window);
        // Bits that were saved long ago are not spent all at once, and a debt that cannot be paid at the
        // coarsest quantiser does not grow for ever.
        self.level_bits = (self.level_bits + bits - self.target_bits).clamp(-room / 2, room * 4);
        self.index += 1;
    }
}

impl RateController for Bucket {
    fn choose(&mut self, kind: PictureKind) -> Qp {
        if kind == PictureKind::Idr {
            self.index = 0;
        }
        let wanted = self.wanted_bits();
        let (finest, coarsest) = (
            i32::from(self.range.min().value()),
            i32::from(self.range.max().value()),
        );
        let fitting = (finest..coarsest).find(|&base| self.average_bits(base) <= wanted);
        let aim = fitting.unwrap_or(coarsest);
        if self.has_started {
            self.base = aim.clamp(self.base - FINER_MAX, self.base + COARSER_MAX);
        }
        self.has_started = true;
        self.base = self.base.clamp(finest, coarsest);
        match kind {
            PictureKind::Idr => self.range.clamp_i32(self.base - IDR_FINER_BY),
            PictureKind::P => self.range.clamp_i32(self.base),
        }
    }

    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, cost: &PictureCost) {
        let bits = u64::from(cost.len_bytes) * 8;
        self.model.learn(kind, qp, bits);
        self.account(signed(bits));
    }

    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>) {
        if let Some(len_bytes) = claimed_bytes {
            self.model.learn(kind, qp, u64::from(len_bytes) * 8);
            // What did not fit once must not be tried again at the same quantiser.
            self.base = (self.base + COARSER_MAX).min(i32::from(self.range.max().value()));
        }
        self.account(0);
    }
}

fn signed(bits: u64) -> i64 {
    i64::try_from(bits).map_or(BITS_MAX, |bits| bits.min(BITS_MAX))
}
