//! `avpuctl set`: a change of a channel as people write it.
//!
//! What has no meaning in the mode that the channel will have is refused, never left out: here where the words alone or
//! the channel's report say so, otherwise by the daemon.

use super::options::UsageError;
use crate::source::FrameRate as Rate;
use crate::tools::avpucat::units::{self, GopLength};
use avpu_proto::reply::Reconfigured;
use avpu_proto::report::ChannelReport;
use avpu_proto::request::Reconfigure;
use avpu_proto::types::{Class, FrameRate, Overload, Profile, RateControl};
use std::fmt::Write;

/// What is to be changed. Another mode needs a rate, which may be the one that the channel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The channel, by name or id.
    channel: String,
    /// The words that say it.
    asked: String,
    plain: Reconfigure,
    mode: Option<Mode>,
    /// A constant QP.
    qp: Option<u8>,
    /// 0: none is said.
    psnr_cdb: u16,
    /// A group of pictures that is said as a time.
    gop: Option<GopLength>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    FixQp,
    Cbr,
    Vbr,
    CappedVbr,
    CappedQuality,
}

/// Parses a channel's name or id and `key=value` words.
pub(crate) fn change(channel: &str, words: &[String]) -> Result<Change, UsageError> {
    let mut change = Change {
        channel: channel.to_owned(),
        asked: words.join(" "),
        ..Change::default()
    };
    let mut keys = Vec::new();
    for word in words {
        let wrong = |sentence: String| UsageError::Change {
            found: word.clone(),
            sentence,
        };
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| wrong("expected KEY=VALUE".to_owned()))?;
        let key = own_word(key);
        if keys.contains(&key) {
            return Err(wrong(format!("expected {key} once, found it again")));
        }
        keys.push(key);
        change.lay(key, value).map_err(wrong)?;
    }
    if let Some(mode) = change.mode_said() {
        change.check(mode)?;
    }
    Ok(change)
}

impl Change {
    fn lay(&mut self, key: &str, value: &str) -> Result<(), String> {
        let plain = &mut self.plain;
        match key {
            "bitrate" => plain.bitrate_bps = said(units::bitrate_bps(value))?,
            "max" => plain.bitrate_max_bps = said(units::bitrate_bps(value))?,
            "gop" => match said(GopLength::parse(value))? {
                GopLength::Pictures(pictures) => plain.gop_length = pictures,
                time => self.gop = Some(time),
            },
            "fps" => plain.fps = Some(rate(value)?),
            "fps-out" => {
                plain.fps_out = Some(match value {
                    "all" => FrameRate::default(),
                    value => rate(value)?,
                });
            }
            "qp" => match value.split_once('-') {
                Some((min, max)) if !(min.is_empty() && max.is_empty()) => {
                    // One of them alone leaves the other as it is.
                    let bound = |text: &str| match text {
                        "" => Ok(0),
                        text => number(text, 1, 51),
                    };
                    (plain.qp_min, plain.qp_max) = (bound(min)?, bound(max)?);
                }
                Some(_) => return Err("expected a bound on either side of -".to_owned()),
                None => self.qp = Some(number(value, 1, 51)?),
            },
            "ip-delta" => plain.ip_qp_delta = Some(number(value, 0, 10)?),
            "picture-max" => plain.picture_bytes_max = Some(number(value, 0, u32::MAX.into())?),
            "psnr" => self.psnr_cdb = said(units::psnr_cdb(value))?,
            "mode" => self.mode = Some(one_of(value, &MODES)?),
            "class" => plain.class = Some(one_of(value, &CLASSES)?),
            "weight" => plain.weight = number(value, 1, u16::MAX.into())?,
            "overload" => plain.overload = Some(one_of(value, &OVERLOADS)?),
            "deadline-ms" => {
                let ms: u32 = number(value, 0, 4_000_000)?;
                plain.deadline_us = Some(ms * 1000);
            }
            "profile" => plain.profile = Some(one_of(value, &PROFILES)?),
            "size" => {
                let (width, height) = value.split_once('x').ok_or("expected WIDTHxHEIGHT")?;
                plain.width = number(width, 2, u16::MAX.into())?;
                plain.height = number(height, 2, u16::MAX.into())?;
            }
            _ => return Err(format!("expected one of {KEYS}")),
        }
        Ok(())
    }

    /// Whether the channel as it is must be known.
    pub(crate) fn needs_report(&self) -> bool {
        self.mode.is_some() || self.psnr_cdb != 0 || self.gop.is_some()
    }

    /// The mode that the words alone say.
    fn mode_said(&self) -> Option<Mode> {
        self.mode.or(self.qp.map(|_| Mode::FixQp))
    }

    /// Whether everything that is said has a meaning in a mode.
    fn check(&self, mode: Mode) -> Result<(), UsageError> {
        let plain = &self.plain;
        let (has_bitrate, has_max) = (plain.bitrate_bps != 0, plain.bitrate_max_bps != 0);
        let has_bounds = plain.qp_min != 0 || plain.qp_max != 0;
        let (key, expected) = match mode {
            Mode::FixQp if has_bitrate => ("bitrate", "no rate"),
            Mode::FixQp if has_max => ("max", "no rate"),
            Mode::FixQp if has_bounds => ("qp", "a constant QP like qp=30"),
            Mode::FixQp => ("", ""),
            _ if self.qp.is_some() => ("qp", "QP bounds like qp=20-40"),
            Mode::Cbr if has_max => ("max", "bitrate alone"),
            Mode::CappedQuality if has_max && has_bitrate => ("bitrate", "one rate, the largest"),
            _ => ("", ""),
        };
        let (key, expected) = match (mode, key) {
            (Mode::FixQp | Mode::Cbr | Mode::Vbr, "") if self.psnr_cdb != 0 => {
                ("psnr", "no quality")
            }
            _ => (key, expected),
        };
        if key.is_empty() {
            return Ok(());
        }
        Err(UsageError::Change {
            found: self.word_of(key).to_owned(),
            sentence: format!("expected {expected} with {}, found {key}", mode.name()),
        })
    }

    /// The word that says a key.
    fn word_of<'a>(&'a self, key: &'a str) -> &'a str {
        let mut words = self.asked.split(' ');
        let says = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(other, _)| own_word(other) == key)
        };
        words.find(says).unwrap_or(key)
    }

    /// The channel, by name or id.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// What was asked for.
    pub(crate) fn asked(&self) -> &str {
        &self.asked
    }

    /// The request, for a channel that is still to be filled in; `now` is the channel as it is, where that is known.
    /// Fails where something has no meaning in the mode that the channel has.
    pub(crate) fn request(&self, now: Option<&ChannelReport>) -> Result<Reconfigure, UsageError> {
        let mut request = self.plain.clone();
        let control = match (self.mode_said(), now) {
            (Some(mode), _) => Some(self.control(mode, now)),
            (None, Some(now)) if self.psnr_cdb != 0 => {
                self.check(Mode::of(now.rate_control))?;
                Some(with_psnr(now.rate_control, self.psnr_cdb))
            }
            // Where there is no such channel its daemon says so.
            (None, _) => None,
        };
        if self.mode_said().is_some() {
            // They are in it.
            (request.bitrate_bps, request.bitrate_max_bps) = (0, 0);
            (request.qp_min, request.qp_max) = (0, 0);
        }
        request.rate_control = control;
        if let Some(gop) = self.gop {
            request.gop_length = gop.pictures(self.fps_out(now));
        }
        Ok(request)
    }

    /// Pictures a second that will be encoded.
    fn fps_out(&self, now: Option<&ChannelReport>) -> Rate {
        let plain = &self.plain;
        let now = now.map(|now| (now.fps, now.fps_out));
        let (fps, fps_out) = now.unwrap_or_default();
        // All that are submitted, unless fewer are or will be asked for.
        let is_all = |rate: &FrameRate| *rate != FrameRate::default() && *rate != fps;
        let wish = plain.fps_out.unwrap_or(fps_out);
        let rate = Some(wish).filter(is_all).or(plain.fps).unwrap_or(fps);
        Rate {
            num: rate.num,
            den: rate.den.max(1),
        }
    }

    fn control(&self, mode: Mode, now: Option<&ChannelReport>) -> RateControl {
        let plain = &self.plain;
        let (target, ceiling) = now.map_or((0, 0), |report| rates(report.rate_control));
        let bitrate_bps = first(plain.bitrate_bps, target);
        let (qp_min, qp_max) = (plain.qp_min, plain.qp_max);
        match mode {
            Mode::FixQp => RateControl::FixQp {
                qp: self.qp.unwrap_or(0),
            },
            Mode::Cbr => RateControl::Cbr {
                bitrate_bps,
                qp_min,
                qp_max,
            },
            Mode::Vbr => RateControl::Vbr {
                bitrate_bps,
                bitrate_max_bps: plain.bitrate_max_bps,
                qp_min,
                qp_max,
            },
            Mode::CappedVbr => RateControl::CappedVbr {
                bitrate_bps,
                bitrate_max_bps: plain.bitrate_max_bps,
                qp_min,
                qp_max,
                psnr_max_cdb: self.psnr_cdb,
            },
            Mode::CappedQuality => RateControl::CappedQuality {
                bitrate_max_bps: first(plain.bitrate_max_bps, first(plain.bitrate_bps, ceiling)),
                qp_min,
                qp_max,
                psnr_cdb: self.psnr_cdb,
            },
        }
    }
}

/// What became of what was asked for, for people.
pub(crate) fn show(asked: &str, changed: &Reconfigured) -> String {
    let effective = &changed.effective;
    let fps = |rate: FrameRate| match rate.den {
        1 => rate.num.to_string(),
        den => format!("{}/{den}", rate.num),
    };
    let mut text = format!(
        "{} from packet {}: {}x{} {:?}, {:?}, fps {} of {}, gop {}\n",
        effective.name,
        changed.first,
        changed.width,
        changed.height,
        effective.profile,
        effective.rate_control,
        fps(effective.fps_out),
        fps(effective.fps),
        effective.gop_length
    );
    let or_none = |value: u32, unit: &str| match value {
        0 => "none".to_owned(),
        value => format!("{value} {unit}"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "  I/P delta {}, picture limit {}, class {:?}, weight {}, overload {:?}, deadline {}, ticket {}",
        effective.ip_qp_delta,
        or_none(effective.picture_bytes_max, "bytes"),
        effective.class,
        effective.weight,
        effective.overload,
        or_none(effective.deadline_us, "us"),
        or_none(effective.ticket_us, "us"),
    );
    let _ = writeln!(text, "  asked for {asked}");
    for sentence in &changed.clamped {
        let _ = writeln!(text, "  not as asked: {sentence}");
    }
    text
}

/// The word for a key here, where avpucat has another one for the same.
fn own_word(key: &str) -> &str {
    match key {
        "rc" => "mode",
        "fpsout" => "fps-out",
        "ipdelta" => "ip-delta",
        "picturemax" => "picture-max",
        "deadline" => "deadline-ms",
        other => other,
    }
}

fn first(asked: u32, otherwise: u32) -> u32 {
    if asked == 0 { otherwise } else { asked }
}

impl Mode {
    fn of(control: RateControl) -> Self {
        match control {
            RateControl::FixQp { .. } => Self::FixQp,
            RateControl::Cbr { .. } => Self::Cbr,
            RateControl::Vbr { .. } => Self::Vbr,
            RateControl::CappedVbr { .. } => Self::CappedVbr,
            RateControl::CappedQuality { .. } => Self::CappedQuality,
        }
    }

    fn name(self) -> &'static str {
        let named = MODES.iter().find(|(_, mode)| *mode == self);
        named.map_or("", |(name, _)| name)
    }
}

/// The same control with another quality, where it has one.
fn with_psnr(mut control: RateControl, cdb: u16) -> RateControl {
    if let RateControl::CappedVbr {
        psnr_max_cdb: psnr, ..
    }
    | RateControl::CappedQuality { psnr_cdb: psnr, .. } = &mut control
    {
        *psnr = cdb;
    }
    control
}

/// Target and ceiling of a mode.
fn rates(control: RateControl) -> (u32, u32) {
    match control {
        RateControl::FixQp { .. } => (0, 0),
        RateControl::Cbr { bitrate_bps, .. } => (bitrate_bps, bitrate_bps),
        RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            ..
        }
        | RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            ..
        } => (bitrate_bps, bitrate_max_bps),
        RateControl::CappedQuality {
            bitrate_max_bps, ..
        } => (bitrate_max_bps, bitrate_max_bps),
    }
}

fn said<T>(parsed: Result<T, units::ValueError>) -> Result<T, String> {
    parsed.map_err(|error| error.to_string())
}

fn number<T: TryFrom<u64>>(text: &str, low: u64, high: u64) -> Result<T, String> {
    let value = said(units::number(text, low, high))?;
    T::try_from(value).map_err(|_| format!("expected a number up to {high}"))
}

fn rate(text: &str) -> Result<FrameRate, String> {
    let Rate { num, den } = said(units::frame_rate(text))?;
    Ok(FrameRate { num, den })
}

fn one_of<T: Copy>(word: &str, all: &[(&str, T)]) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

const KEYS: &str = "mode, bitrate, max, qp, psnr, gop, fps, fps-out, ip-delta, picture-max, class, weight, overload, deadline-ms, size, profile";
const MODES: [(&str, Mode); 5] = [
    ("fixqp", Mode::FixQp),
    ("cbr", Mode::Cbr),
    ("vbr", Mode::Vbr),
    ("capped-vbr", Mode::CappedVbr),
    ("capped-quality", Mode::CappedQuality),
];
const CLASSES: [(&str, Class); 5] = [
    ("live", Class::Live),
    ("record", Class::Record),
    ("snapshot", Class::Snapshot),
    ("best-effort", Class::BestEffort),
    // As avpucat has it, too.
    ("besteffort", Class::BestEffort),
];
const OVERLOADS: [(&str, Overload); 8] = [
    ("reject", Overload::Reject),
    ("drop-oldest", Overload::DropOldest),
    ("drop-newest", Overload::DropNewest),
    ("latest-only", Overload::LatestOnly),
    ("wait", Overload::Wait),
    // As avpucat has them, too.
    ("oldest", Overload::DropOldest),
    ("newest", Overload::DropNewest),
    ("latest", Overload::LatestOnly),
];
const PROFILES: [(&str, Profile); 3] = [
    ("high", Profile::High),
    ("main", Profile::Main),
    ("baseline", Profile::Baseline),
];

#[cfg(test)]
mod tests;
