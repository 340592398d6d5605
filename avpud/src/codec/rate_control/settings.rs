//! A channel's setup in the units of rate control: bits and pictures.

use crate::picture::{BitRate, ChannelSetup, FrameRate, QpRange, RateControl};

use super::quality::Quality;

/// What a controller that keeps a rate is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) range: QpRange,
    /// Bits that a picture takes on average.
    pub(super) target_bits: i64,
    /// The same at the highest rate.
    pub(super) max_bits: i64,
    /// Whether the highest rate is the only one.
    pub(super) is_constant: bool,
    /// Pictures a second, at least 1, rounded.
    pub(super) second: i64,
    /// Pictures that share the cost of one IDR.
    pub(super) group: i64,
    /// How many steps finer an IDR is.
    pub(super) idr_finer_by: i32,
    /// Bits that no picture should exceed.
    pub(super) picture_max_bits: i64,
    /// Filler data takes what pictures leave.
    pub(super) fills: bool,
    /// What quality is good enough, if that is an aim.
    pub(super) quality: Option<Quality>,
    pub(super) macroblocks: u32,
}

/// Beyond this, rates make no sense and sums could overflow: 2^36 bits a picture.
pub(super) const BITS_MAX: i64 = 1 << 36;
/// A group's IDR is referred to by all the others, directly or not: bits are well spent on it.
const IDR_FINER_BY: u8 = 2;
/// The cost of an IDR is made up for within this time, however long the group.
const GROUP_MAX_S: i64 = 4;
const SECOND_MAX: i64 = 1 << 10;

/// Quantiser steps from an IDR to the pictures around it: as asked, or as the controller chooses.
pub fn idr_finer_by(setup: &ChannelSetup) -> u8 {
    let chosen = if setup.rate_control.uses_hardware() {
        IDR_FINER_BY
    } else {
        0
    };
    setup
        .rate_tuning
        .idr_finer_by
        .map_or(chosen, |delta| delta.steps())
}

impl Settings {
    pub(super) fn of(setup: &ChannelSetup) -> Self {
        let control = setup.rate_control;
        let bits =
            |rate: Option<BitRate>| rate.map_or(1, |rate| of_picture(rate, setup.frame_rate));
        let target_bits = bits(control.target());
        let (num, den) = (setup.frame_rate.num(), setup.frame_rate.den());
        let second = i64::from(num.saturating_add(den / 2) / den).clamp(1, SECOND_MAX);
        let tuning = setup.rate_tuning;
        let samples = u64::from(setup.geometry.visible().width())
            * u64::from(setup.geometry.visible().height());
        Self {
            range: control.range(),
            target_bits,
            max_bits: bits(control.max()).max(target_bits),
            is_constant: matches!(control, RateControl::Cbr { .. }),
            second,
            group: i64::from(setup.gop_length.get()).min(GROUP_MAX_S * second),
            idr_finer_by: i32::from(idr_finer_by(setup)),
            picture_max_bits: tuning
                .picture_max_bytes
                .map_or(BITS_MAX, |bytes| i64::from(bytes.get()) * 8),
            fills: tuning.fills && matches!(control, RateControl::Cbr { .. }),
            quality: match control {
                RateControl::CappedVbr { psnr_max, .. } => Some(Quality::new(psnr_max, samples)),
                RateControl::CappedQuality { psnr, .. } => Some(Quality::new(psnr, samples)),
                _ => None,
            },
            macroblocks: setup.geometry.coded().macroblocks().max(1),
        }
    }
}

/// Bits that a picture takes at a rate.
fn of_picture(rate: BitRate, frame_rate: FrameRate) -> i64 {
    let bits = u64::from(rate.bps()) * u64::from(frame_rate.den()) / u64::from(frame_rate.num());
    i64::try_from(bits).map_or(BITS_MAX, |bits| bits.clamp(1, BITS_MAX))
}
