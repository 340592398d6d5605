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
}

impl PictureCost {
    /// Nothing is measured yet of pictures of so many macroblocks.
    pub(super) fn new(stated: CodecCost, macroblocks: u32) -> Self {
        let kind = |kind| KindCost {
            // No picture is for nothing, whatever is stated.
            stated_ns: stated.of(kind).picture_ns(macroblocks).max(1),
            measured_ns: None,
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

    /// Takes in that a picture of this kind was in the encoder for `us`.
    pub(super) fn measure(&mut self, kind: PictureKind, us: u64) {
        match kind {
            PictureKind::Idr => &mut self.idr,
            PictureKind::P => &mut self.p,
        }
        .measure(us);
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
        } = *self.of(kind);
        measured_ns
            .map_or(stated_ns, |ns| ns.clamp(stated_ns / 2, most_ns(stated_ns)))
            .div_ceil(NS_PER_US)
    }

    /// Encoder time that any picture may take, in nanoseconds: that of the costlier kind, and what goes by before it.
    pub(super) fn worst_ns(&self) -> u64 {
        self.idr.stated_ns.max(self.p.stated_ns) + self.turnaround_ns
    }

    /// Encoder time of a picture on average over groups of so many, in nanoseconds, with what goes by before it.
    pub(super) fn mean_ns(&self, group: NonZeroU32) -> u64 {
        let idr = u128::from(self.idr.stated_ns);
        let p = u128::from(self.p.stated_ns) * u128::from(group.get() - 1);
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
    fn measure(&mut self, us: u64) {
        let before = self.measured_ns.unwrap_or(self.stated_ns);
        let sample = us
            .saturating_mul(NS_PER_US)
            .clamp(before / 2, before.saturating_mul(2));
        let average = (u128::from(before) * u128::from(WINDOW - 1) + u128::from(sample))
            .div_ceil(u128::from(WINDOW));
        let average = u64::try_from(average).unwrap_or(u64::MAX);
        // What lies beyond the bounds must not take long to come back from.
        self.measured_ns = Some(average.clamp(self.stated_ns / 16, most_ns(self.stated_ns)));
    }
}

/// Measurements raise an expectation no further.
const fn most_ns(stated_ns: u64) -> u64 {
    stated_ns.saturating_mul(4)
}

const NS_PER_US: u64 = 1000;
/// Pictures over which the average moves.
const WINDOW: u64 = 8;

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
