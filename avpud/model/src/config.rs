//! What a model is made with, and the text form of it.
//!
//! The text is what follows `--device model,`: keys with values joined by commas, for example
//! `body=picture,pace=free,fault=lost@17,stuck@40,seed=3`. A part without `=` that holds `@` or `/` is one more fault.

use crate::fault::{FaultPlan, FaultPlanError, FaultRule};
use crate::timing::{Cost, Costs, Pace};
use std::fmt;
use std::path::PathBuf;

/// What stands where the encoder's insides would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyKind {
    /// Really encodes.
    #[default]
    Picture,
    /// Writes bytes that are a cheap function of the job. They are no video: whoever counts them calls them synthetic.
    Pattern,
}

/// What a model is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// `body=picture|pattern`.
    pub body: BodyKind,
    /// `pace=t31|free`.
    pub pace: Pace,
    /// `dump=DIR`: where reconstructions are written; see [`crate::dump`].
    pub dump: Option<PathBuf>,
    /// `base=ADDRESS`: first physical address of the memory.
    pub memory_base: u32,
    /// `size=BYTES`, with `K` or `M` for 1024 or 1024 x 1024: length of the memory.
    pub memory_len_bytes: u32,
    /// `source-file=PATH`: a file that backs memory which another allocator owns; used by who builds the memory.
    pub source_file: Option<PathBuf>,
    /// `fault=RULE`, any number of times.
    pub faults: FaultPlan,
    /// `seed=N`: what fault rates and garbage are drawn from.
    pub seed: u64,
}

/// A text that is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No such key.
    Key {
        /// Key found.
        found: String,
        /// The key that looks most like it.
        nearest: &'static str,
    },
    /// A key without a value.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value that the key does not take.
    Value {
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
        /// Value found.
        found: String,
    },
    /// A fault rule that is none.
    Fault(FaultPlanError),
    /// A dump of a body that reconstructs nothing.
    NothingToDump,
}

const KEYS: [&str; 8] = [
    "body",
    "pace",
    "dump",
    "base",
    "size",
    "source-file",
    "fault",
    "seed",
];

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            body: BodyKind::default(),
            pace: Pace::default(),
            dump: None,
            memory_base: 0x0630_0000,
            memory_len_bytes: 64 << 20,
            source_file: None,
            faults: FaultPlan::default(),
            seed: 1,
        }
    }
}

impl ModelConfig {
    /// Reads the text form; an empty text is the default.
    ///
    /// # Errors
    /// [`ConfigError`] for the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => config.set(key, value)?,
                None if part.contains(['@', '/']) => config.set("fault", part)?,
                None => {
                    return Err(KEYS
                        .into_iter()
                        .find(|&key| key == part)
                        .map_or_else(|| unknown(part), |key| ConfigError::Missing { key }));
                }
            }
        }
        if config.dump.is_some() && config.synthetic() {
            return Err(ConfigError::NothingToDump);
        }
        Ok(config)
    }

    /// What planners are told a picture takes on this model.
    #[must_use]
    pub fn costs(&self) -> Costs {
        let body = match self.body {
            BodyKind::Picture => Cost::PICTURE_BODY,
            BodyKind::Pattern => Cost::PATTERN_BODY,
        };
        let body = Costs::uniform(body);
        match self.pace {
            Pace::Free => body,
            Pace::T31 => body.max(Costs::T31),
        }
    }

    /// Whether the streams are synthetic bytes and no video.
    #[must_use]
    pub fn synthetic(&self) -> bool {
        self.body == BodyKind::Pattern
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        match key {
            "body" => {
                self.body = match value {
                    "picture" => BodyKind::Picture,
                    "pattern" => BodyKind::Pattern,
                    _ => return Err(wrong("body", "picture or pattern", value)),
                }
            }
            "pace" => {
                self.pace = match value {
                    "t31" => Pace::T31,
                    "free" => Pace::Free,
                    _ => return Err(wrong("pace", "t31 or free", value)),
                }
            }
            "dump" => self.dump = Some(path("dump", value)?),
            "source-file" => self.source_file = Some(path("source-file", value)?),
            "base" => {
                self.memory_base = number(value)
                    .filter(|base| base % 0x1000 == 0 && *base != 0)
                    .ok_or_else(|| {
                        wrong("base", "an address in whole 4 KiB pages above 0", value)
                    })?;
            }
            "size" => {
                self.memory_len_bytes = number(value)
                    .filter(|len| len % 0x1000 == 0 && *len != 0)
                    .ok_or_else(|| wrong("size", "a length in whole 4 KiB pages above 0", value))?;
            }
            "fault" => self
                .faults
                .push(FaultRule::parse(value).map_err(ConfigError::Fault)?),
            "seed" => {
                self.seed = value
                    .parse()
                    .map_err(|_| wrong("seed", "a number", value))?;
            }
            _ => return Err(unknown(key)),
        }
        if self
            .memory_base
            .checked_add(self.memory_len_bytes - 1)
            .is_none()
        {
            return Err(wrong("size", "memory that ends below 4 GiB", value));
        }
        Ok(())
    }
}

/// Decimal or, with `0x`, hexadecimal; `K` and `M` multiply by powers of 1024.
fn number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    let (digits, shift) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 0), |d| (d, 20)),
    };
    digits.parse::<u32>().ok()?.checked_mul(1 << shift)
}

fn path(key: &'static str, value: &str) -> Result<PathBuf, ConfigError> {
    if value.is_empty() {
        return Err(ConfigError::Missing { key });
    }
    Ok(PathBuf::from(value))
}

fn wrong(key: &'static str, expected: &'static str, found: &str) -> ConfigError {
    ConfigError::Value {
        key,
        expected,
        found: found.to_owned(),
    }
}

fn unknown(found: &str) -> ConfigError {
    let nearest = KEYS
        .into_iter()
        .min_by_key(|key| distance(found, key))
        .unwrap_or("body");
    ConfigError::Key {
        found: found.to_owned(),
        nearest,
    }
}

/// Least number of letters to insert, delete or replace to turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, cell) in to.chars().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let best = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            left = best;
            *cell = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { found, nearest } => write!(
                f,
                "expected a key of the model, found {found}; did you mean {nearest}?"
            ),
            Self::Missing { key } => write!(f, "expected a value after {key}=, found nothing"),
            Self::Value {
                key,
                expected,
                found,
            } => write!(f, "expected {expected} after {key}=, found {found:?}"),
            Self::Fault(error) => error.fmt(f),
            Self::NothingToDump => write!(
                f,
                "expected body=picture with dump=, found body=pattern, which reconstructs nothing"
            ),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fault(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    #[test]
    fn all_keys_are_read() {
        let config = ModelConfig::parse(
            "body=picture,pace=free,dump=/tmp/d,base=0x7000000,size=32M,source-file=/tmp/s,seed=9,\
             fault=lost@17,stuck@40,late/9:7",
        )
        .expect("a configuration");
        assert_eq!(config.body, BodyKind::Picture);
        assert!(!config.synthetic());
        assert_eq!(config.pace, Pace::Free);
        assert_eq!(config.dump, Some(PathBuf::from("/tmp/d")));
        assert_eq!(config.source_file, Some(PathBuf::from("/tmp/s")));
        assert_eq!(config.memory_base, 0x0700_0000);
        assert_eq!(config.memory_len_bytes, 32 << 20);
        assert_eq!(config.seed, 9);
        let kinds: Vec<_> = config.faults.rules().iter().map(|r| r.kind).collect();
        assert_eq!(kinds, [FaultKind::Lost, FaultKind::Stuck, FaultKind::Late]);
        assert_eq!(ModelConfig::parse(""), Ok(ModelConfig::default()));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        for (text, nearest) in [
            ("bdy=picture", "body"),
            ("pase=t31", "pace"),
            ("faults=lost@1", "fault"),
            ("sourcefile=x", "source-file"),
            ("seeds", "seed"),
        ] {
            let message = ModelConfig::parse(text).expect_err(text).to_string();
            assert!(
                message.ends_with(&format!("did you mean {nearest}?")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_wrong_value_says_what_was_expected_and_found() {
        for (text, part) in [
            (
                "body=video",
                "expected picture or pattern after body=, found \"video\"",
            ),
            ("pace", "expected a value after pace="),
            ("base=0", "above 0"),
            ("size=100", "whole 4 KiB pages"),
            ("base=0xfffff000,size=8K", "below 4 GiB"),
            ("fault=loss@1", "expected a fault"),
            ("seed=x", "a number"),
            ("dump=/tmp/d,body=pattern", "which reconstructs nothing"),
        ] {
            let message = ModelConfig::parse(text).expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_stated_cost_is_never_below_the_pace() {
        let config = ModelConfig::parse("body=pattern").expect("a configuration");
        assert_eq!(config.costs(), Costs::T31);
        let config = ModelConfig::parse("body=picture").expect("a configuration");
        assert_eq!(config.costs().max(Costs::T31), config.costs());
    }
}
