//! A bit rate, kept over a group of pictures and inside a decoder's buffer.
//!
//! An IDR costs several times a P picture, so the rate swings inside every group even when all is well. Before
//! an IDR, the quantiser is chosen at which a whole group is expected to cost its share of the rate. After it,
//! what is left is planned evenly over the group's P pictures, and each of them makes up for a part of what those
//! before it took too much or too little. Besides, no picture may be larger than what the decoder's buffer
//! can bear, nor better than a quality that is good enough.
//!
//! Where cuts come again and again, the group's plan leaves bits to them: see [`Surprises`]. A scene that stands still has rules of its own: see [`Still`].

use super::bucket::Bucket;
use super::settings::{BITS_MAX, Settings};
use super::size::{MeanQp, SizeModel, steps_of};
use super::still::Still;
use super::surprise::Surprises;
use super::window::Window;
use super::{Fullness, PictureCost, RateController};
use crate::picture::{ChannelSetup, PictureBudget, PictureKind, Qp};

/// A controller that keeps a bit rate.
#[derive(Clone, Copy, Debug)]
pub struct Rated {
    settings: Settings,
    model: SizeModel,
    bucket: Bucket,
    /// Bits taken beyond the target so far.
    debt_bits: i64,
    /// What the debt should be here, by plan.
    plan_bits: i64,
    /// Bits planned for each P picture of this group.
    share_bits: i64,
    /// Index of the next picture after the last IDR.
    index: i64,
    /// Quantiser of the last P picture, or what it would have been; an IDR gets a finer one.
    base: i32,
    /// Quantiser of the last IDR.
    idr_qp: i32,
    /// Kind of the last picture.
    last: Option<PictureKind>,
    /// The finest quantiser that is not better than good enough.
    enough: i32,
    /// The next picture gets no finer one than this, because one before it did not fit.
    retry: Option<i32>,
    /// Bits that the picture in flight should take.
    aim_bits: i64,
    still: Still,
    surprises: Surprises,
    /// Bits that this group's plan leaves to a surprise, and how many of them are still expected.
    reserve_bits: i64,
    reserves: i64,
    window: Window,
}

/// Steps from one picture to the next.
const FINER_MAX: i32 = 2;
const COARSER_MAX: i32 = 4;
/// What an IDR costs in P pictures before any was seen.
const IDR_IN_P: i64 = 6;
/// Quantiser of a picture with one bit per macroblock.
const QP_AT_ONE_BIT: i32 = 57;
/// Steps by which a picture that did not fit is tried again.
const RETRY_COARSER_BY: i32 = 6;
/// Seconds over which an average is kept.
const AVERAGE_S: i64 = 4;
/// Seconds of a constant rate that an IDR, which is at most half a step larger than meant, should not bring above so many
/// percent, the same where surprises are expected, and the steps by which it is coarser for it.
const WINDOW_S: i64 = 2;
const WINDOW_PERCENT: i64 = 102;
const SURPRISED_WINDOW_PERCENT: i64 = 118;
const WINDOW_COARSER_MAX: i32 = 4;
/// A surprise has at least this part of an IDR's bits.
const SURPRISE_IN_IDR: i64 = 3;

impl Rated {
    /// The controller that a setup with a rate asks for.
    pub(super) fn new(setup: &ChannelSetup) -> Self {
        let settings = Settings::of(setup);
        let target = settings.target_bits;
        let per_macroblock_q8 =
            target.unsigned_abs().saturating_mul(256) / u64::from(settings.macroblocks);
        let first = settings
            .range
            .clamp_i32(QP_AT_ONE_BIT - steps_of(per_macroblock_q8));
        let p_bits = (target * settings.group / (IDR_IN_P + settings.group - 1)).unsigned_abs();
        Self {
            model: SizeModel::guess(first, p_bits * IDR_IN_P.unsigned_abs(), p_bits),
            bucket: Bucket::new(settings.max_bits, settings.second),
            debt_bits: 0,
            plan_bits: 0,
            share_bits: target,
            index: 0,
            base: i32::from(first.value()),
            idr_qp: 0,
            enough: 0,
            retry: None,
            aim_bits: target,
            still: Still::new(),
            surprises: Surprises::new(),
            reserve_bits: 0,
            reserves: 0,
            window: Window::new(WINDOW_S * settings.second),
            last: None,
            settings,
        }
    }

    /// Goes on with another setup. Debts last as long as before.
    pub(super) fn change(&mut self, setup: &ChannelSetup) {
        let settings = Settings::of(setup);
        let old = i128::from(
            self.settings
                .target_bits
                .saturating_mul(self.settings.second),
        );
        let new = i128::from(settings.target_bits.saturating_mul(settings.second));
        let rescaled = |bits: i64| i64::try_from(i128::from(bits) * new / old).unwrap_or(0);
        self.debt_bits = rescaled(self.debt_bits);
        self.plan_bits = rescaled(self.plan_bits);
        // The share of a picture follows the rate of a picture.
        self.share_bits = i64::try_from(
            i128::from(self.share_bits) * i128::from(settings.target_bits)
                / i128::from(self.settings.target_bits),
        )
        .unwrap_or(settings.target_bits)
        .max(1);
        self.still
            .change(settings.target_bits, self.settings.target_bits);
        self.bucket.change(settings.max_bits, settings.second);
        self.reserve_bits = rescaled(self.reserve_bits);
        self.window.change(
            WINDOW_S * settings.second,
            settings.target_bits,
            self.settings.target_bits,
        );
        if settings.quality.is_none() {
            self.enough = 0;
        }
        self.settings = settings;
    }

    /// How full the decoder's buffer is not.
    pub(super) fn fullness(&self) -> Fullness {
        self.bucket.fullness()
    }

    /// Bytes of filler data behind the picture in flight, of so many bytes itself.
    pub(super) fn filler_bytes(&self, len_bytes: u32) -> u32 {
        if !self.settings.fills {
            return 0;
        }
        let bits = i64::from(len_bytes) * 8;
        let most = (self.settings.picture_max_bits - bits).max(0);
        let bytes = self.bucket.filler_bits(bits).min(most) / 8;
        u32::try_from(bytes).unwrap_or(0)
    }

    /// What the encoder is told of the picture in flight.
    pub(super) fn budget(&self) -> PictureBudget {
        let count = |bits: i64| u32::try_from(bits.max(1)).unwrap_or(u32::MAX);
        PictureBudget {
            aim_bits: count(self.aim_bits),
            mean_bits: count(self.settings.max_bits),
        }
    }

    fn bits(&self, kind: PictureKind, qp: i32) -> i64 {
        self.model.bits(kind, self.settings.range.clamp_i32(qp))
    }

    fn most_bits(&self, kind: PictureKind, qp: i32) -> i64 {
        let qp = self.settings.range.clamp_i32(qp);
        self.model.most_bits(kind, qp)
    }

    fn finest(&self) -> i32 {
        i32::from(self.settings.range.min().value())
    }

    fn coarsest(&self) -> i32 {
        i32::from(self.settings.range.max().value())
    }

    /// A group's share of the rate.
    fn group_share_bits(&self) -> i64 {
        self.settings.target_bits * self.settings.group
    }

    /// Bits for a whole group that begins now.
    fn group_bits(&self) -> i64 {
        let settings = &self.settings;
        let all = self.group_share_bits();
        let made_up = if settings.is_constant {
            self.debt_bits
        } else {
            self.debt_bits * settings.group / (AVERAGE_S * settings.second).max(settings.group)
        };
        (all - made_up)
            .clamp(all / 3, settings.max_bits * settings.group)
            .min(all * 2)
    }

    /// The same where the scene stands still, which bounds it by itself.
    fn still_group_bits(&self) -> i64 {
        if self.settings.is_constant {
            self.group_share_bits() - self.debt_bits
        } else {
            self.group_bits()
        }
    }

    /// The finest base at which a whole group costs no more than its share, to the nearest step.
    fn idr_base(&self) -> i32 {
        let bits = self.group_bits();
        let group = self.settings.group;
        let finer_by = self.settings.idr_finer_by;
        let surprises = self.surprises.count(group - 1);
        let cost = |base| {
            self.bits(PictureKind::Idr, base - finer_by)
                .saturating_add(self.bits(PictureKind::P, base).saturating_mul(group - 1))
                .saturating_add(self.surprise_bits(base).saturating_mul(surprises))
        };
        self.nearest(bits, cost)
    }

    /// The base, `base` or some steps coarser, with which an IDR keeps two seconds of a constant rate near it. A group
    /// whose P pictures were large and one whose IDR is large each keep the rate, and the seconds between them do not.
    fn within_window(&self, base: i32) -> i32 {
        if !self.settings.is_constant {
            return base;
        }
        let percent = if self.surprises.count(self.settings.group) > 0 {
            SURPRISED_WINDOW_PERCENT
        } else {
            WINDOW_PERCENT
        };
        let share = self.settings.target_bits * self.settings.second * WINDOW_S;
        let room = share / 100 * percent - self.window.bits_before_next();
        let finer_by = self.settings.idr_finer_by;
        self.nearest(room, |base| self.bits(PictureKind::Idr, base - finer_by))
            .clamp(base, base + WINDOW_COARSER_MAX)
    }

    /// Bits that a surprise takes beyond a P picture.
    fn surprise_bits(&self, qp: i32) -> i64 {
        let qp = self.settings.range.clamp_i32(qp);
        self.surprises.bits(MeanQp::new(qp, 0, 1))
    }

    /// The base at which the IDR of a scene that stands still costs what it should.
    fn still_idr_base(&self) -> i32 {
        let (share, group) = (self.group_share_bits(), self.still_group_bits());
        let bits = self.still.idr_bits(share, group, self.settings.group);
        let finer_by = self.settings.idr_finer_by;
        let base = self.nearest(bits, |base| self.bits(PictureKind::Idr, base - finer_by));
        let (finest, coarsest) = self.still.idr_range();
        base.clamp(finest + finer_by, coarsest + finer_by)
    }

    /// Bits that the next P picture should take.
    fn p_aim(&self) -> i64 {
        let settings = &self.settings;
        let share = self.share_bits;
        let window = if settings.is_constant {
            (settings.second / 2).max(2)
        } else {
            settings.second * 2
        };
        let error = (self.debt_bits - self.plan_bits) / window;
        (share - error).clamp(share / 2, share + share / 2).max(1)
    }

    /// The base at which the next P picture costs what it should.
    fn p_base(&self) -> i32 {
        self.nearest(self.p_aim(), |base| self.bits(PictureKind::P, base))
    }

    /// The finest quantiser that costs at most half a step more than `bits`.
    fn nearest(&self, bits: i64, cost: impl Fn(i32) -> i64) -> i32 {
        let most = bits.saturating_add(bits / 17);
        (self.finest()..self.coarsest())
            .find(|&base| cost(base) <= most)
            .unwrap_or(self.coarsest())
    }

    /// The finest quantiser, from `qp` on, at which the picture fits into what it must fit into.
    fn fitting(&self, kind: PictureKind, qp: i32) -> i32 {
        let room = self.bucket.room_bits() / 4 * 3;
        let most = room.min(self.settings.picture_max_bits / 8 * 7);
        (qp..self.coarsest())
            .find(|&qp| self.most_bits(kind, qp) <= most)
            .unwrap_or(self.coarsest().max(qp))
    }

    /// After an IDR: how the rest of the group is planned.
    fn plan(&mut self, debt_before: i64) {
        let settings = self.settings;
        let target = settings.target_bits;
        let rest = settings.group - 1;
        if rest == 0 {
            self.share_bits = target;
            self.plan_bits = 0;
            return;
        }
        let taken = self.debt_bits - debt_before + target;
        let made_up = target * settings.group - self.group_bits_before(debt_before);
        self.reserves = self.surprises.count(rest);
        self.reserve_bits = self.surprise_bits(self.base);
        let reserved = self.reserves.saturating_mul(self.reserve_bits);
        let left = target * settings.group - made_up - taken - reserved;
        self.share_bits = (left / rest)
            .clamp(target / 8, settings.max_bits.max(target * 2))
            .max(1);
        self.plan_bits = self.debt_bits;
    }

    /// What the group was planned with.
    fn group_bits_before(&self, debt_before: i64) -> i64 {
        let before = Self {
            debt_bits: debt_before,
            ..*self
        };
        before.group_bits()
    }

    fn account(&mut self, kind: PictureKind, bits: i64) {
        let target = self.settings.target_bits;
        let room = target * self.settings.second;
        let before = self.debt_bits;
        // Bits that were saved long ago are not spent all at once, and a debt that cannot be paid at the
        // coarsest quantiser does not grow for ever.
        let (least, most) = if self.settings.is_constant {
            (-room * 6 / 10, room * 24 / 10)
        } else {
            (-room * 4, room * 8)
        };
        self.debt_bits = (before + bits - target).clamp(least, most);
        self.bucket.add(bits);
        self.window.add(bits);
        match kind {
            PictureKind::Idr => self.plan(before),
            PictureKind::P => self.plan_bits += self.share_bits - target,
        }
        self.index += 1;
        if self.index >= self.settings.group {
            // A group that is longer than what shares the cost of its IDR: from here on at the rate itself.
            self.share_bits = target;
            self.plan_bits = 0;
        }
    }
}

impl RateController for Rated {
    fn choose(&mut self, kind: PictureKind) -> Qp {
        if kind == PictureKind::Idr {
            self.index = 0;
        }
        let is_still = self.still.is_still();
        let aim = match kind {
            PictureKind::Idr if is_still => self.still_idr_base(),
            PictureKind::Idr => self.idr_base(),
            PictureKind::P if is_still => self.still.p_quantiser(),
            PictureKind::P => self.p_base(),
        };
        let mut base = aim;
        if self.last.is_some() && !(is_still && kind == PictureKind::Idr) {
            let mut finest = self.base - FINER_MAX;
            if self.last == Some(PictureKind::Idr) {
                // What an IDR that was coarser than those around it lacks is not made up for in one picture.
                finest = finest
                    .max(self.idr_qp - FINER_MAX)
                    .min(self.base + COARSER_MAX);
            }
            base = aim.clamp(finest, self.base + COARSER_MAX);
        }
        if kind == PictureKind::Idr && !is_still {
            base = self.within_window(base);
        }
        base = base.max(self.enough.min(self.coarsest()));
        let finer_by = match kind {
            PictureKind::Idr => self.settings.idr_finer_by,
            PictureKind::P => 0,
        };
        let retry = self.retry.take().unwrap_or(self.finest());
        let qp = self.fitting(kind, (base - finer_by).max(retry));
        let qp = self.settings.range.clamp_i32(qp);
        // Steps are counted from P picture to P picture, across the IDR between them.
        if kind == PictureKind::P || self.last != Some(PictureKind::P) {
            self.base = (i32::from(qp.value()) + finer_by).clamp(self.finest(), self.coarsest());
        }
        self.last = Some(kind);
        let value = i32::from(qp.value());
        match kind {
            PictureKind::Idr => {
                self.idr_qp = value;
                let (share, group) = (self.group_share_bits(), self.still_group_bits());
                self.still
                    .start_idr(value, share, group, self.settings.group);
            }
            PictureKind::P => self.still.start_p(value),
        }
        let mut aim_bits = self.bits(kind, value);
        if kind == PictureKind::P && value == self.coarsest() {
            // Nothing coarser is left, but what the encoder would make finer inside the picture.
            aim_bits = aim_bits.min(self.p_aim());
        }
        let refining_bits = self.still.refining_bits().unwrap_or(0);
        self.aim_bits = aim_bits.max(refining_bits).clamp(1, BITS_MAX);
        qp
    }

    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, cost: &PictureCost) {
        let bits = i64::from(cost.len_bytes) * 8;
        let is_usual = match kind {
            PictureKind::Idr => {
                self.still.handle_idr(qp, bits);
                true
            }
            PictureKind::P => self.still.handle_p(qp, bits),
        };
        if is_usual {
            let mean = MeanQp::new(qp, cost.qp_sum, self.settings.macroblocks);
            let extra_bits = self.model.learn(kind, mean, bits.unsigned_abs());
            let is_large =
                bits * SURPRISE_IN_IDR > self.bits(PictureKind::Idr, i32::from(qp.value()));
            let extra_bits = if is_large { extra_bits } else { 0 };
            let period_max = AVERAGE_S * self.settings.second;
            self.surprises.handle(extra_bits, mean, period_max);
            if extra_bits > 0 && self.reserves > 0 {
                self.reserves -= 1;
                self.plan_bits = self.plan_bits.saturating_add(self.reserve_bits);
            }
        }
        if let Some(quality) = self.settings.quality
            && cost.sse_luma > 0
        {
            let finer_by = match kind {
                PictureKind::Idr => self.settings.idr_finer_by,
                PictureKind::P => 0,
            };
            let used = i32::from(qp.value()) + finer_by;
            self.enough = (used + quality.too_fine_by(cost.sse_luma)).clamp(0, self.coarsest());
        }
        let filler_bits = i64::from(cost.filler_bytes) * 8;
        self.account(kind, (bits + filler_bits).min(BITS_MAX));
    }

    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>) {
        if let Some(len_bytes) = claimed_bytes {
            let mean = MeanQp::new(qp, 0, 1);
            self.model.learn(kind, mean, u64::from(len_bytes) * 8);
            let coarser = i32::from(qp.value()) + RETRY_COARSER_BY;
            self.retry = Some(coarser.min(self.coarsest()));
        }
        // Its time passes all the same.
        self.account(PictureKind::P, 0);
    }
}
