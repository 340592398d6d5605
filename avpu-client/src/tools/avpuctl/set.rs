//! `avpuctl set`: a change of a channel as people write it.

use super::options::UsageError;
use crate::source::FrameRate as Rate;
use crate::tools::avpucat::units;
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
    psnr_cdb: u16,
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
    for word in words {
        let wrong = |sentence: String| UsageError::Change {
            found: word.clone(),
            sentence,
        };
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| wrong("expected KEY=VALUE".to_owned()))?;
        change.lay(key, value).map_err(wrong)?;
    }
    Ok(change)
}

impl Change {
    fn lay(&mut self, key: &str, value: &str) -> Result<(), String> {
        let plain = &mut self.plain;
        match key {
            "bitrate" => plain.bitrate_bps = said(units::bitrate_bps(value))?,
            "max" => plain.bitrate_max_bps = said(units::bitrate_bps(value))?,
            "gop" => plain.gop_length = number(value, 1, u32::MAX.into())?,
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
        self.mode.is_some()
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
    pub(crate) fn request(&self, now: Option<&ChannelReport>) -> Reconfigure {
        let mut request = self.plain.clone();
        let control = match (self.mode, self.qp) {
            (Some(mode), _) => Some(self.control(mode, now)),
            (None, Some(qp)) => Some(RateControl::FixQp { qp }),
            (None, None) => None,
        };
        if let Some(control) = control {
            request.rate_control = Some(control);
            // They are in it.
            (request.bitrate_bps, request.bitrate_max_bps) = (0, 0);
            (request.qp_min, request.qp_max) = (0, 0);
        }
        request
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

fn first(asked: u32, otherwise: u32) -> u32 {
    if asked == 0 { otherwise } else { asked }
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
const CLASSES: [(&str, Class); 4] = [
    ("live", Class::Live),
    ("record", Class::Record),
    ("snapshot", Class::Snapshot),
    ("best-effort", Class::BestEffort),
];
const OVERLOADS: [(&str, Overload); 5] = [
    ("reject", Overload::Reject),
    ("drop-oldest", Overload::DropOldest),
    ("drop-newest", Overload::DropNewest),
    ("latest-only", Overload::LatestOnly),
    ("wait", Overload::Wait),
];
const PROFILES: [(&str, Profile); 3] = [
    ("high", Profile::High),
    ("main", Profile::Main),
    ("baseline", Profile::Baseline),
];

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::reply::ChannelOpened;
    use avpu_proto::types::Sequence;

    fn parsed(text: &str) -> Result<Change, UsageError> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        change(&words[0], &words[1..])
    }

    fn request(text: &str) -> Reconfigure {
        parsed(text).expect("a change").request(None)
    }

    #[test]
    fn plain_numbers_become_fields_and_the_rest_stays() {
        let expected = Reconfigure {
            bitrate_bps: 800_000,
            gop_length: 50,
            fps: Some(FrameRate { num: 15, den: 1 }),
            qp_min: 20,
            qp_max: 40,
            ..Reconfigure::default()
        };
        assert_eq!(
            request("main bitrate=800k gop=50 fps=15 qp=20-40"),
            expected
        );
        let expected = Reconfigure {
            fps_out: Some(FrameRate::default()),
            ip_qp_delta: Some(0),
            deadline_us: Some(40_000),
            overload: Some(Overload::LatestOnly),
            ..Reconfigure::default()
        };
        let text = "3 fps-out=all ip-delta=0 deadline-ms=40 overload=latest-only";
        assert_eq!(request(text), expected);
    }

    #[test]
    fn a_mode_takes_the_rates_that_are_said_or_else_those_of_the_channel() {
        let vbr = RateControl::Vbr {
            bitrate_bps: 500_000,
            bitrate_max_bps: 900_000,
            qp_min: 0,
            qp_max: 0,
        };
        let found = request("main mode=vbr bitrate=500k max=900k");
        assert_eq!(found.rate_control, Some(vbr));
        assert_eq!(found.bitrate_bps, 0);
        let now = ChannelReport {
            name: "main".into(),
            rate_control: vbr,
            ..ChannelReport::default()
        };
        let change = parsed("main mode=capped-quality psnr=38.5 qp=18-30").expect("a change");
        assert!(change.needs_report());
        assert_eq!(change.channel(), "main");
        let quality = RateControl::CappedQuality {
            bitrate_max_bps: 900_000,
            qp_min: 18,
            qp_max: 30,
            psnr_cdb: 3850,
        };
        assert_eq!(change.request(Some(&now)).rate_control, Some(quality));
        let fixed = RateControl::FixQp { qp: 33 };
        assert_eq!(request("main qp=33").rate_control, Some(fixed));
    }

    #[test]
    fn one_bound_leaves_the_other_as_it_is() {
        let low = request("main qp=20-");
        assert_eq!((low.qp_min, low.qp_max), (20, 0));
        let high = request("main qp=-40");
        assert_eq!((high.qp_min, high.qp_max), (0, 40));
    }

    #[test]
    fn the_answer_tells_what_was_asked_for_what_is_in_effect_and_what_is_not_as_asked() {
        let changed = Reconfigured {
            first: Sequence::new(7),
            clamped: vec!["weight: asked for 900, 100 in effect".to_owned()],
            effective: ChannelOpened {
                name: "main".into(),
                fps: FrameRate { num: 25, den: 1 },
                fps_out: FrameRate { num: 25, den: 2 },
                gop_length: 50,
                weight: 100,
                ticket_us: 20_000,
                ..ChannelOpened::default()
            },
            width: 640,
            height: 360,
            ..Reconfigured::default()
        };
        let expected = "\
main from packet 7: 640x360 High, FixQp { qp: 0 }, fps 25/2 of 25, gop 50
  I/P delta 0, picture limit none, class BestEffort, weight 100, overload Reject, deadline none, ticket 20000 us
  asked for weight=900
  not as asked: weight: asked for 900, 100 in effect
";
        assert_eq!(show("weight=900", &changed), expected);
    }

    #[test]
    fn words_that_cannot_be_understood_are_refused() {
        for text in [
            "main bitrate",
            "main bitrate=8",
            "main qp=0",
            "main qp=20-60",
            "main qp=-",
            "main mode=abr",
            "main psnr=38.555",
            "main colour=red",
            "main size=640",
            "main fps=0",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
