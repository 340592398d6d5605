//! Numbers as people write them: rates in bit/s with `k` and `M` for 1000 and 1000000, frames a second, seconds.

use crate::source::FrameRate;
use std::fmt;
use std::time::Duration;

/// A plain number below this is not a bitrate but a forgotten unit.
const BITRATE_PLAIN_MIN_BPS: u64 = 10_000;

/// Why a value was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueError {
    /// Not of the form that is expected.
    Form {
        /// What was expected, with an example.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A bitrate without its unit.
    UnitForgotten(String),
    /// A number outside its range.
    Range {
        /// Least.
        low: u64,
        /// Most.
        high: u64,
        /// What was found.
        found: String,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { expected, found } => write!(f, "expected {expected}, found \"{found}\""),
            Self::UnitForgotten(found) => {
                write!(
                    f,
                    "{found} bit/s is too little for any picture: did you mean {found}k?"
                )
            }
            Self::Range { low, high, found } => {
                write!(f, "expected a number from {low} to {high}, found {found}")
            }
        }
    }
}

/// A bitrate in bit/s: `2M`, `2.5M`, `2000k`, `2000000`.
pub(crate) fn bitrate_bps(text: &str) -> Result<u32, ValueError> {
    let wrong = || form("a bitrate like 2M, 800k or 2000000", text);
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1000),
        None => match text.strip_suffix(['m', 'M']) {
            Some(number) => (number, 1_000_000),
            None => (text, 1),
        },
    };
    let bps = decimal(number, unit).ok_or_else(wrong)?;
    if unit == 1 && bps > 0 && bps < BITRATE_PLAIN_MIN_BPS {
        return Err(ValueError::UnitForgotten(text.to_owned()));
    }
    let high = u64::from(u32::MAX);
    match u32::try_from(bps) {
        Ok(bps) if bps > 0 => Ok(bps),
        _ => Err(range(1000, high, text)),
    }
}

/// Frames a second: `25`, `30000/1001`, `12.5`.
pub(crate) fn frame_rate(text: &str) -> Result<FrameRate, ValueError> {
    let wrong = || form("frames a second like 25, 12.5 or 30000/1001", text);
    let (num, den) = match text.split_once('/') {
        Some((num, den)) => (
            num.parse().map_err(|_| wrong())?,
            den.parse().map_err(|_| wrong())?,
        ),
        None => match text.parse() {
            Ok(whole) => (whole, 1),
            Err(_) => {
                let milli = decimal(text, 1000).ok_or_else(wrong)?;
                (u32::try_from(milli).map_err(|_| wrong())?, 1000)
            }
        },
    };
    if num == 0 || den == 0 {
        return Err(wrong());
    }
    Ok(FrameRate { num, den })
}

/// Pictures of a GOP: `50`, or a time like `2s` at `fps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GopLength {
    /// So many pictures.
    Pictures(u32),
    /// So long, in milliseconds.
    Time(u32),
}

impl GopLength {
    /// Parses either form.
    pub(crate) fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = || form("a GOP length like 50 (pictures) or 2s", text);
        if let Some(seconds) = text.strip_suffix('s') {
            let ms = decimal(seconds, 1000).ok_or_else(wrong)?;
            return match u32::try_from(ms) {
                Ok(ms) if ms > 0 => Ok(Self::Time(ms)),
                _ => Err(wrong()),
            };
        }
        match text.parse() {
            Ok(0) => Err(wrong()),
            Ok(pictures) => Ok(Self::Pictures(pictures)),
            Err(_) => Err(wrong()),
        }
    }

    /// In pictures at a rate; at least one.
    pub(crate) fn pictures(self, fps: FrameRate) -> u32 {
        match self {
            Self::Pictures(pictures) => pictures,
            Self::Time(ms) => {
                let scaled = u64::from(ms) * u64::from(fps.num);
                let pictures = scaled / (u64::from(fps.den.max(1)) * 1000);
                u32::try_from(pictures).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

/// A time in seconds: `10`, `0.5`, with or without an `s`.
pub(crate) fn seconds(text: &str) -> Result<Duration, ValueError> {
    let wrong = || form("a time in seconds like 10 or 0.5", text);
    let ms = decimal(text.strip_suffix('s').unwrap_or(text), 1000).ok_or_else(wrong)?;
    if ms == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_millis(ms))
}

/// A peak signal to noise ratio in hundredths of a decibel: `38`, `38.5`.
pub(crate) fn psnr_cdb(text: &str) -> Result<u16, ValueError> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 2 {
        return Err(ValueError::Form {
            expected: "decibels like 38.5",
            found: text.to_owned(),
        });
    }
    let cdb = number(whole, 20, 60)? * 100 + number(&format!("{rest:0<2}"), 0, 99)?;
    Ok(u16::try_from(cdb).unwrap_or(u16::MAX))
}

/// A whole number inside a range.
pub(crate) fn number(text: &str, low: u64, high: u64) -> Result<u64, ValueError> {
    let number: u64 = text.parse().map_err(|_| form("a whole number", text))?;
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(range(low, high, text))
    }
}

fn form(expected: &'static str, found: &str) -> ValueError {
    ValueError::Form {
        expected,
        found: found.to_owned(),
    }
}

fn range(low: u64, high: u64, found: &str) -> ValueError {
    ValueError::Range {
        low,
        high,
        found: found.to_owned(),
    }
}

/// A decimal number times a power of ten, exactly; `None` when it is none or does not come out whole.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return None;
    }
    let mut sum = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes().map(|byte| u64::from(byte - b'0')) {
        if !place.is_multiple_of(10) && digit != 0 {
            return None;
        }
        place /= 10;
        sum = sum.checked_add(digit * place)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_and_m_are_thousands() {
        for (text, bps) in [
            ("2M", 2_000_000),
            ("2m", 2_000_000),
            ("2.5M", 2_500_000),
            ("800k", 800_000),
            ("1.5k", 1_500),
            ("2000000", 2_000_000),
            ("10000", 10_000),
        ] {
            assert_eq!(bitrate_bps(text), Ok(bps), "{text}");
        }
    }

    #[test]
    fn a_bitrate_without_its_unit_is_refused_with_a_question() {
        for text in ["2000", "1", "9999"] {
            let error = bitrate_bps(text).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("did you mean {text}k?")),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_bitrate_is_refused() {
        for text in [
            "", "M", "2G", "2.M", ".5M", "-2M", "2 M", "0", "0k", "5000M", "1e6", "0.00001k",
        ] {
            assert!(bitrate_bps(text).is_err(), "{text}");
        }
    }

    #[test]
    fn frame_rates_are_whole_fractions_or_decimals() {
        let rate = |num, den| Ok(FrameRate { num, den });
        assert_eq!(frame_rate("25"), rate(25, 1));
        assert_eq!(frame_rate("30000/1001"), rate(30_000, 1001));
        assert_eq!(frame_rate("12.5"), rate(12_500, 1000));
        for text in [
            "", "0", "25/0", "0/1", "fast", "25/", "-1", "25fps", "1/2/3",
        ] {
            assert!(frame_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gop_is_pictures_or_a_time() {
        let fps = FrameRate {
            num: 30_000,
            den: 1001,
        };
        assert_eq!(GopLength::parse("50").unwrap().pictures(fps), 50);
        assert_eq!(GopLength::parse("2s").unwrap().pictures(fps), 59);
        assert_eq!(GopLength::parse("0.001s").unwrap().pictures(fps), 1);
        for text in ["0", "0s", "s", "two", "-1", "2.5"] {
            assert!(GopLength::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.25s"), Ok(Duration::from_millis(250)));
        for text in ["", "0", "ten", "-1", "1.2345"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(number("51", 1, 51), Ok(51));
        assert!(number("52", 1, 51).is_err());
        assert!(number("0", 1, 51).is_err());
        assert!(number("x", 1, 51).is_err());
    }
}
