//! What a channel's pictures cost the engine in time, by their kind: stated by the device, refined from what was measured.
//!
//! Which figure decides what:
//! - *Tickets* go by the costlier kind ([`PictureCost::worst_ns`]): an IDR can be demanded at any time, so any picture
//!   may be of either kind, and so may the one that was just started when another becomes due.
//! - *Utilisation* goes by the mix of a group ([`PictureCost::mean_ns`]): that is what a channel takes in the long run.
//!   IDRs that are demanded on top are few, and the tickets do not rest on it.
//! - Both count the time between two pictures, in which the encoder stands idle while others wait.
//! - *The watchdog and the state "stalled"* go by what was measured of the kind that is in the encoder, within bounds
//!   ([`PictureCost::expected_us`]).
//!
//! Both of the first count what the device states, so that the same channels fit on every day and one stalled picture
//! does not sell the encoder out. Only where pictures of a kind take longer *persistently*, what they take is counted
//! from then on ([`overrun`](super::overrun)): of them [`PERSISTENT`] more took an eighth longer than stated than did
//! not. It ends when as many did not. Less than an eighth is the way of an interrupt through the kernel and this process.
//!
//! Nothing else in the core knows a figure of a device.

use crate::job::CodecCost;
use crate::picture::PictureKind;
use core::num::NonZeroU32;

/// The cost of one channel's pictures: the device's statement until there are measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureCost {
    macroblocks: u32,
    /// Of a P picture, the part that is the same for every size.
    base_ns: u64,
    idr: KindCost,
    p: KindCost,
    /// Time that goes by before each picture that waits for another, in nanoseconds.
    turnaround_ns: u64,
}

/// The cost of pictures of one kind.
#[derive(Clone, Copy, Debug)]
struct KindCost {
    stated_ns: u64,
    /// Moving average of measured pictures; `None` before the first.
    measured_ns: Option<u64>,
    /// Pictures that took longer than stated, less those that did not, from 0 to [`PERSISTENT`].
    balance: u32,
    /// What is counted in place of the statement; never below it.
    raised_ns: Option<u64>,
}

impl PictureCost {
    /// Nothing is measured yet of pictures of so many macroblocks.
    pub(super) fn new(stated: CodecCost, macroblocks: u32) -> Self {
        let kind = |kind| KindCost {
            // No picture is for nothing, whatever is stated.
            stated_ns: stated.of(kind).picture_ns(macroblocks).max(1),
            measured_ns: None,
            balance: 0,
            raised_ns: None,
        };
        Self {
            macroblocks,
            base_ns: u64::from(stated.p.base_ns),
            idr: kind(PictureKind::Idr),
            p: kind(PictureKind::P),
            turnaround_ns: 0,
        }
    }

    /// The same where the encoder stands idle for so long between two pictures.
    pub(super) fn apart(self, turnaround_ns: u32) -> Self {
        Self {
            turnaround_ns: u64::from(turnaround_ns),
            ..self
        }
    }

    /// Macroblocks of a picture.
    pub(super) const fn macroblocks(&self) -> u32 {
        self.macroblocks
    }

    /// Takes in that a picture of this kind was in the encoder for `us`. Answers whether such pictures are counted with
    /// another time from now on.
    pub(super) fn measure(&mut self, kind: PictureKind, us: u64) -> bool {
        match kind {
            PictureKind::Idr => &mut self.idr,
            PictureKind::P => &mut self.p,
        }
        .measure(us)
    }

    /// Whether pictures are counted with more than the device states.
    pub(super) const fn is_raised(&self) -> bool {
        self.idr.raised_ns.is_some() || self.p.raised_ns.is_some()
    }

    /// What pictures of this kind are counted with, in microseconds.
    pub(super) fn counted_us(&self, kind: PictureKind) -> u64 {
        self.of(kind).counted_ns().div_ceil(NS_PER_US)
    }

    /// What the device states of pictures of this kind, in microseconds.
    pub(super) fn stated_us(&self, kind: PictureKind) -> u64 {
        self.of(kind).stated_ns.div_ceil(NS_PER_US)
    }

    /// What pictures of this kind take as measured, in microseconds; 0 before the first.
    pub(super) fn measured_us(&self, kind: PictureKind) -> u64 {
        self.of(kind).measured_ns.unwrap_or(0).div_ceil(NS_PER_US)
    }

    /// Measured time of a macroblock of P pictures in nanoseconds; 0 before the first.
    pub(super) fn measured_macroblock_ns(&self) -> u32 {
        let all = self.p.measured_ns.unwrap_or(0);
        let part = all.saturating_sub(self.base_ns) / u64::from(self.macroblocks.max(1));
        u32::try_from(part).unwrap_or(u32::MAX)
    }

    /// How long a picture of this kind is expected to take. Measurements lower it to half of what was stated and no
    /// further: a run of skipped pictures must not make the next full one look lost. They raise it to four times that.
    pub(super) fn expected_us(&self, kind: PictureKind) -> u64 {
        let KindCost {
            stated_ns,
            measured_ns,
            ..
        } = *self.of(kind);
        measured_ns
            .map_or(stated_ns, |ns| ns.clamp(stated_ns / 2, most_ns(stated_ns)))
            .div_ceil(NS_PER_US)
    }

    /// Encoder time that any picture may take, in nanoseconds: that of the costlier kind, and what goes by before it.
    pub(super) fn worst_ns(&self) -> u64 {
        self.idr.counted_ns().max(self.p.counted_ns()) + self.turnaround_ns
    }

    /// The same as the device states it.
    pub(super) fn stated_worst_ns(&self) -> u64 {
        self.idr.stated_ns.max(self.p.stated_ns) + self.turnaround_ns
    }

    /// Encoder time of a picture on average over groups of so many, in nanoseconds, with what goes by before it.
    pub(super) fn mean_ns(&self, group: NonZeroU32) -> u64 {
        let idr = u128::from(self.idr.counted_ns());
        let p = u128::from(self.p.counted_ns()) * u128::from(group.get() - 1);
        let mean = (idr + p).div_ceil(u128::from(group.get()));
        u64::try_from(mean)
            .unwrap_or(u64::MAX)
            .saturating_add(self.turnaround_ns)
    }

    const fn of(&self, kind: PictureKind) -> &KindCost {
        match kind {
            PictureKind::Idr => &self.idr,
            PictureKind::P => &self.p,
        }
    }
}

impl KindCost {
    /// A picture counts as no less than half and no more than twice of what was expected, so one that was held up for
    /// seconds moves the average by an eighth of itself, as any that is slow.
    fn measure(&mut self, us: u64) -> bool {
        let before = self.measured_ns.unwrap_or(self.stated_ns);
        let sample = us
            .saturating_mul(NS_PER_US)
            .clamp(before / 2, before.saturating_mul(2));
        let average = (u128::from(before) * u128::from(WINDOW - 1) + u128::from(sample))
            .div_ceil(u128::from(WINDOW));
        let average = u64::try_from(average).unwrap_or(u64::MAX);
        // What lies beyond the bounds must not take long to come back from.
        let average = average.clamp(self.stated_ns / 16, most_ns(self.stated_ns));
        self.measured_ns = Some(average);
        self.balance = if us.saturating_mul(NS_PER_US) > eighth_more(self.stated_ns) {
            PERSISTENT.min(self.balance + 1)
        } else {
            self.balance.saturating_sub(1)
        };
        self.recount(average)
    }

    /// Raises what is counted, further where it has to be, or goes back to the statement.
    fn recount(&mut self, average_ns: u64) -> bool {
        let raised = match self.raised_ns {
            None if self.balance == PERSISTENT => Some(average_ns.max(self.stated_ns)),
            Some(_) if self.balance == 0 => None,
            Some(raised) if average_ns > eighth_more(raised) => Some(average_ns),
            same => same,
        };
        let before = core::mem::replace(&mut self.raised_ns, raised);
        before != raised
    }

    fn counted_ns(&self) -> u64 {
        self.raised_ns.unwrap_or(self.stated_ns)
    }
}

const fn eighth_more(ns: u64) -> u64 {
    ns.saturating_add(ns / 8)
}

/// Measurements raise an expectation no further.
const fn most_ns(stated_ns: u64) -> u64 {
    stated_ns.saturating_mul(4)
}

const NS_PER_US: u64 = 1000;
/// Pictures over which the average moves.
const WINDOW: u64 = 8;
/// So many pictures more that take longer than stated than that do not are no accident.
const PERSISTENT: u32 = 32;

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
