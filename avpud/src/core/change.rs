//! What a change makes of what a client asked for when it opened its channel.
//!
//! The change is laid over the wish, and the wish is parsed again as at open: so what the client left to the daemon
//! stays the daemon's choice and follows along, and nothing can be changed into what could not have been opened.
//! A number beyond its range, or beyond one that it depends on, is taken as near as it may be, with a sentence that
//! says so. What has no meaning in the mode of the channel is refused.

use crate::core::parameters::{BITRATE_BPS_MAX, BITRATE_BPS_MIN, GOP_LENGTH_MAX, WEIGHT_MAX};
use crate::core::refusal::Refusal;
use avpu_proto::request::{OpenChannel, Reconfigure};
use avpu_proto::types::{FrameRate, RateControl};

/// Lays `change` over `wish`. Answers the new wish, and one sentence for each number that is not as asked.
pub(super) fn laid_over(
    wish: &OpenChannel,
    change: &Reconfigure,
) -> Result<(OpenChannel, Vec<String>), Refusal> {
    let mut clamped = Clamped(Vec::new());
    let mut new = wish.clone();
    new.rate_control = change.rate_control.unwrap_or(wish.rate_control);
    lay_rates(&mut new.rate_control, change, &mut clamped)?;
    lay_bounds(&mut new.rate_control, change, &mut clamped)?;
    new.fps = change.fps.unwrap_or(wish.fps);
    new.fps_out = change.fps_out.unwrap_or(wish.fps_out);
    if exceeds(new.fps_out, new.fps) {
        if change.fps_out.is_some() {
            clamped.0.push(format!(
                "expected at most the {} pictures a second that are submitted, found {}: all are encoded",
                fraction(new.fps),
                fraction(new.fps_out)
            ));
        }
        new.fps_out = FrameRate::default();
    }
    if change.gop_length != 0 {
        new.gop_length = clamped.at_most("gop_length", change.gop_length, GOP_LENGTH_MAX);
    }
    if change.weight != 0 {
        let weight = clamped.at_most("weight", change.weight.into(), WEIGHT_MAX.into());
        new.weight = u16::try_from(weight).unwrap_or(WEIGHT_MAX);
    }
    new.ip_qp_delta = change.ip_qp_delta.or(wish.ip_qp_delta);
    new.picture_bytes_max = change.picture_bytes_max.unwrap_or(wish.picture_bytes_max);
    if (change.width == 0) != (change.height == 0) {
        return Err(Refusal::Invalid(format!(
            "expected width and height together, found {}x{}",
            change.width, change.height
        )));
    }
    if change.width != 0 {
        (new.width, new.height) = (change.width, change.height);
    }
    new.profile = change.profile.unwrap_or(wish.profile);
    new.class = change.class.unwrap_or(wish.class);
    new.overload = change.overload.unwrap_or(wish.overload);
    new.deadline_us = change.deadline_us.unwrap_or(wish.deadline_us);
    Ok((new, clamped.0))
}

/// Another target and another ceiling, where the mode has one.
fn lay_rates(
    control: &mut RateControl,
    change: &Reconfigure,
    clamped: &mut Clamped,
) -> Result<(), Refusal> {
    let (target, max) = match control {
        RateControl::FixQp { .. } => (None, None),
        RateControl::Cbr { bitrate_bps, .. } => (Some(bitrate_bps), None),
        RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            ..
        }
        | RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            ..
        } => (Some(bitrate_bps), Some(bitrate_max_bps)),
        // Its only rate is a ceiling, by either name.
        RateControl::CappedQuality {
            bitrate_max_bps, ..
        } => (None, Some(bitrate_max_bps)),
    };
    let has_target = target.is_some();
    match (target, max) {
        (None, None) if change.bitrate_bps != 0 || change.bitrate_max_bps != 0 => {
            return Err(Refusal::Invalid(
                "expected a mode with a bitrate, found a fixed quantiser".to_owned(),
            ));
        }
        (Some(_), None) if change.bitrate_max_bps != 0 => {
            return Err(Refusal::Invalid(
                "expected a mode with a largest bitrate, found a constant one".to_owned(),
            ));
        }
        (Some(target), max) => {
            if change.bitrate_bps != 0 {
                *target = clamped.bitrate("bitrate_bps", change.bitrate_bps);
            }
            let Some(max) = max else { return Ok(()) };
            if change.bitrate_max_bps != 0 {
                *max = clamped.bitrate("bitrate_max_bps", change.bitrate_max_bps);
            }
            if *max != 0 && *target > *max {
                clamped.note("bitrate_bps", *target, *max);
                *target = *max;
            }
        }
        (None, Some(max)) if !has_target => {
            let asked = match change.bitrate_max_bps {
                0 => change.bitrate_bps,
                asked => asked,
            };
            if asked != 0 {
                *max = clamped.bitrate("bitrate_max_bps", asked);
            }
            // By both names there is still only one.
            if change.bitrate_max_bps != 0 && ![0, *max].contains(&change.bitrate_bps) {
                clamped.note("bitrate_bps", change.bitrate_bps, *max);
            }
        }
        (None, _) => {}
    }
    Ok(())
}

/// Other bounds of the quantiser, where the mode has them.
fn lay_bounds(
    control: &mut RateControl,
    change: &Reconfigure,
    clamped: &mut Clamped,
) -> Result<(), Refusal> {
    if change.qp_min == 0 && change.qp_max == 0 {
        return Ok(());
    }
    let (RateControl::Cbr { qp_min, qp_max, .. }
    | RateControl::Vbr { qp_min, qp_max, .. }
    | RateControl::CappedVbr { qp_min, qp_max, .. }
    | RateControl::CappedQuality { qp_min, qp_max, .. }) = control
    else {
        return Err(Refusal::Invalid(
            "expected a mode with QP bounds, found a fixed quantiser".to_owned(),
        ));
    };
    let qp = |clamped: &mut Clamped, name, value: u8| {
        let value = clamped.at_most(name, value.into(), QP_MAX.into());
        u8::try_from(value).unwrap_or(QP_MAX)
    };
    if change.qp_max != 0 {
        *qp_max = qp(clamped, "qp_max", change.qp_max);
    }
    if change.qp_min != 0 {
        *qp_min = qp(clamped, "qp_min", change.qp_min);
    }
    // A bound that was asked for now gives way only to the other one asked for now.
    if *qp_max != 0 && *qp_min > *qp_max {
        if change.qp_min != 0 {
            clamped.note("qp_min", (*qp_min).into(), (*qp_max).into());
            *qp_min = *qp_max;
        } else {
            clamped.note("qp_max", (*qp_max).into(), (*qp_min).into());
            *qp_max = *qp_min;
        }
    }
    Ok(())
}

/// Sentences about numbers that are not as asked.
struct Clamped(Vec<String>);

impl Clamped {
    fn note(&mut self, name: &str, asked: u32, effective: u32) {
        self.0
            .push(format!("{name}: asked for {asked}, {effective} in effect"));
    }

    fn at_most(&mut self, name: &str, asked: u32, max: u32) -> u32 {
        if asked > max {
            self.note(name, asked, max);
        }
        asked.min(max)
    }

    fn bitrate(&mut self, name: &str, asked: u32) -> u32 {
        let effective = asked.clamp(BITRATE_BPS_MIN, BITRATE_BPS_MAX);
        if effective != asked {
            self.note(name, asked, effective);
        }
        effective
    }
}

/// Whether more pictures are to be encoded than submitted. Rates that make no sense are for the parser to refuse.
fn exceeds(out: FrameRate, submitted: FrameRate) -> bool {
    let submitted = if submitted == FrameRate::default() {
        FrameRate { num: 25, den: 1 }
    } else {
        submitted
    };
    u64::from(out.num) * u64::from(submitted.den) > u64::from(submitted.num) * u64::from(out.den)
}

fn fraction(rate: FrameRate) -> String {
    format!("{}/{}", rate.num, rate.den)
}

/// Coarsest quantiser.
const QP_MAX: u8 = 51;
