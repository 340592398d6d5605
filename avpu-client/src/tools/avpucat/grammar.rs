//! How an address is written: `KEYWORD:target,key=value,flag`, and `READ!!WRITE` for two in one.
//!
//! A backslash takes the character after it literally: `FILE:a\,b`. Keywords and keys are read in any case. This
//! file knows the form only; what the words mean is in `address.rs`.

use super::nearest::nearest;
use super::units::ValueError;
use crate::source::FormatError;
use std::fmt;

/// Why an address was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// The text before the first colon is no known keyword.
    Keyword {
        /// What was found.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that this address does not have.
    Key {
        /// The address's keyword.
        keyword: &'static str,
        /// What was found.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
        /// All keys of the address.
        known: &'static [&'static str],
    },
    /// The first comma is missing: a key stands where the target goes.
    KeyAsTarget {
        /// The address's keyword.
        keyword: &'static str,
        /// What was found.
        found: String,
    },
    /// A key twice.
    Twice(&'static str),
    /// A key without a value.
    ValueMissing(&'static str),
    /// A flag with a value.
    ValueUnexpected(&'static str),
    /// A value that is not understood.
    Value(&'static str, ValueError),
    /// A size that is not understood.
    Size(FormatError),
    /// A target or key that the address needs.
    Missing {
        /// The address's keyword.
        keyword: &'static str,
        /// What is missing, with an example.
        what: &'static str,
    },
    /// A target where none belongs.
    TargetUnexpected {
        /// The address's keyword.
        keyword: &'static str,
        /// What was found.
        found: String,
    },
    /// Two keys that contradict each other, or a value that this program does not do.
    Conflict(&'static str),
    /// More than one `!!`.
    DualTwice,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = |f: &mut fmt::Formatter<'_>, nearest: &Option<&str>| match nearest {
            Some(word) => write!(f, ": did you mean {word}?"),
            None => Ok(()),
        };
        match self {
            Self::Keyword { found, nearest } => {
                write!(f, "expected an address like - or AVPU:, found \"{found}\"")?;
                meant(f, nearest)
            }
            Self::Key {
                keyword,
                found,
                nearest,
                known,
            } => {
                write!(f, "{keyword}: has no key \"{found}\"")?;
                match nearest {
                    Some(_) => meant(f, nearest),
                    None if known.is_empty() => f.write_str(": it has none"),
                    None => write!(f, ", only {}", known.join(", ")),
                }
            }
            Self::KeyAsTarget { keyword, found } => {
                write!(
                    f,
                    "expected a socket or nothing before the first comma: did you mean {keyword}:,{found}?"
                )
            }
            Self::Twice(key) => write!(f, "{key} is given twice"),
            Self::ValueMissing(key) => write!(f, "expected a value for {key}, found none"),
            Self::ValueUnexpected(key) => write!(f, "{key} takes no value"),
            Self::Value(key, error) => write!(f, "{key}: {error}"),
            Self::Size(error) => write!(f, "size: {error}"),
            Self::Missing { keyword, what } => write!(f, "{keyword}: needs {what}"),
            Self::TargetUnexpected { keyword, found } => {
                write!(f, "{keyword}: takes only keys, found \"{found}\"")
            }
            Self::Conflict(sentence) => f.write_str(sentence),
            Self::DualTwice => f.write_str("expected one !! in an address, found more"),
        }
    }
}

/// Splits at unescaped `!!`.
pub(crate) fn split_dual(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    let Some(at) = find_unescaped(text, "!!") else {
        return Ok((text, None));
    };
    let (read, write) = (&text[..at], &text[at + 2..]);
    if find_unescaped(write, "!!").is_some() {
        return Err(AddressError::DualTwice);
    }
    Ok((read, Some(write)))
}

/// The keyword and the rest behind its colon; no keyword where the text begins like a path or has no colon.
pub(crate) fn split_keyword(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        _ if text.starts_with(['/', '.', '~']) => (None, text),
        Some((keyword, rest)) => (Some(keyword), rest),
        None => (None, text),
    }
}

/// One address's target and keys. Keys are taken one by one; what is left at the end is an error.
#[derive(Debug)]
pub(crate) struct Parts {
    keyword: &'static str,
    known: &'static [&'static str],
    target: Option<String>,
    keys: Vec<(String, Option<String>)>,
}

impl Parts {
    /// Splits the text behind a keyword. `has_target` says whether the first part is a target and not a key.
    pub(crate) fn new(
        keyword: &'static str,
        rest: &str,
        has_target: bool,
        known: &'static [&'static str],
    ) -> Result<Self, AddressError> {
        let mut parts = split_unescaped(rest, ',').into_iter();
        let target = if has_target {
            parts.next().map(unescape)
        } else {
            None
        };
        let mut keys: Vec<(String, Option<String>)> = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(unescape(value))),
                None => (part, None),
            };
            let key = key.to_ascii_lowercase();
            let Some(name) = known.iter().find(|name| **name == key) else {
                if !has_target && value.is_none() && nearest(&key, known).is_none() {
                    return Err(AddressError::TargetUnexpected {
                        keyword,
                        found: key,
                    });
                }
                return Err(AddressError::Key {
                    keyword,
                    nearest: nearest(&key, known),
                    found: key,
                    known,
                });
            };
            if keys.iter().any(|(other, _)| *other == key) {
                return Err(AddressError::Twice(name));
            }
            keys.push((key, value));
        }
        if let Some(target) = &target
            && let Some((key, _)) = target.split_once('=')
            && known.contains(&key.to_ascii_lowercase().as_str())
        {
            return Err(AddressError::KeyAsTarget {
                keyword,
                found: rest.to_owned(),
            });
        }
        Ok(Self {
            keyword,
            known,
            target: target.filter(|target| !target.is_empty()),
            keys,
        })
    }

    /// The target, if there is one.
    pub(crate) fn target(&mut self) -> Option<String> {
        self.target.take()
    }

    /// The target; `what` names it in the error.
    pub(crate) fn needed_target(&mut self, what: &'static str) -> Result<String, AddressError> {
        self.target.take().ok_or(AddressError::Missing {
            keyword: self.keyword,
            what,
        })
    }

    /// A key's value through `parse`.
    pub(crate) fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Result<Option<T>, AddressError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .map_err(|error| AddressError::Value(key, error))
    }

    /// A key's value as it stands.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, AddressError> {
        debug_assert!(self.known.contains(&key));
        let Some(at) = self.keys.iter().position(|(found, _)| found == key) else {
            return Ok(None);
        };
        match self.keys.remove(at).1 {
            Some(text) if !text.is_empty() => Ok(Some(text)),
            _ => Err(AddressError::ValueMissing(key)),
        }
    }

    /// Whether a key without a value is there.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, AddressError> {
        debug_assert!(self.known.contains(&key));
        let Some(at) = self.keys.iter().position(|(found, _)| found == key) else {
            return Ok(false);
        };
        match self.keys.remove(at).1 {
            None => Ok(true),
            Some(_) => Err(AddressError::ValueUnexpected(key)),
        }
    }
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, found) in text.char_indices() {
        if found == separator && !escaped {
            parts.push(&text[start..at]);
            start = at + found.len_utf8();
        }
        escaped = found == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn find_unescaped(text: &str, wanted: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, found) in text.char_indices() {
        if !escaped && text[at..].starts_with(wanted) {
            return Some(at);
        }
        escaped = found == '\\' && !escaped;
    }
    None
}

fn unescape(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(found) = rest.next() {
        match found {
            '\\' => plain.push(rest.next().unwrap_or('\\')),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["size", "fps", "loop"];

    fn parts(rest: &str) -> Result<Parts, AddressError> {
        Parts::new("NV12", rest, true, KEYS)
    }

    #[test]
    fn a_target_and_its_keys_come_apart_at_commas() {
        let mut parts = parts("a b.nv12,size=4x4,LOOP").unwrap();
        assert_eq!(parts.target().as_deref(), Some("a b.nv12"));
        assert_eq!(parts.text("size").unwrap().as_deref(), Some("4x4"));
        assert_eq!(parts.flag("loop"), Ok(true));
        assert_eq!(parts.flag("loop"), Ok(false));
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        let mut parts = parts(r"a\,b\\c\!!,size=1\,2").unwrap();
        assert_eq!(parts.target().as_deref(), Some(r"a,b\c!!"));
        assert_eq!(parts.text("size").unwrap().as_deref(), Some("1,2"));
        assert_eq!(split_dual(r"FILE:a\!!b").unwrap(), (r"FILE:a\!!b", None));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = parts("x,sise=4x4").unwrap_err().to_string();
        assert_eq!(error, "NV12: has no key \"sise\": did you mean size?");
        let error = parts("x,wavelength=4").unwrap_err().to_string();
        assert_eq!(
            error,
            "NV12: has no key \"wavelength\", only size, fps, loop"
        );
    }

    #[test]
    fn a_forgotten_first_comma_is_explained() {
        let error = parts("size=4x4,fps=25").unwrap_err().to_string();
        assert!(
            error.ends_with("did you mean NV12:,size=4x4,fps=25?"),
            "{error}"
        );
    }

    #[test]
    fn keys_come_once_and_with_what_they_take() {
        assert_eq!(
            parts("x,fps=1,FPS=2").unwrap_err(),
            AddressError::Twice("fps")
        );
        let mut odd = parts("x,size,fps=,loop=1").unwrap();
        assert_eq!(odd.text("size"), Err(AddressError::ValueMissing("size")));
        assert_eq!(odd.text("fps"), Err(AddressError::ValueMissing("fps")));
        assert_eq!(odd.flag("loop"), Err(AddressError::ValueUnexpected("loop")));
    }

    #[test]
    fn two_addresses_in_one_come_apart_once() {
        assert_eq!(split_dual("-!!H264:o").unwrap(), ("-", Some("H264:o")));
        assert_eq!(split_dual("a!!b!!c"), Err(AddressError::DualTwice));
    }

    #[test]
    fn a_path_is_no_keyword() {
        assert_eq!(split_keyword("/tmp/a:b"), (None, "/tmp/a:b"));
        assert_eq!(split_keyword("./a:b"), (None, "./a:b"));
        assert_eq!(split_keyword("-"), (None, "-"));
        assert_eq!(split_keyword("file:a:b"), (Some("file"), "a:b"));
    }
}
