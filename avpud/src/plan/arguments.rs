//! The arguments of `avpud plan`.

use super::Plan;
use crate::mem::addr::ByteLen;
use crate::trial::Wish;
use core::fmt;

/// Why there is nothing to plan, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(String);

const USAGE: &str = "usage: avpud plan --ram SIZE --arena SIZE WIDTHxHEIGHT@FPS...";

pub(super) fn parse(words: &[String]) -> Result<Plan, PlanError> {
    let (mut ram, mut arena, mut wishes) = (None, None, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let into = match name {
            "--ram" => &mut ram,
            "--arena" => &mut arena,
            _ => {
                wishes.push(wish(word)?);
                continue;
            }
        };
        let value = attached
            .or_else(|| words.next().map(String::as_str))
            .ok_or_else(|| wrong(format!("expected a size after {name}, found none")))?;
        *into = Some(size(value)?);
    }
    let missing = |name| wrong(format!("expected {name} SIZE, found none"));
    if wishes.is_empty() {
        return Err(wrong("expected a channel, found none".to_owned()));
    }
    Ok(Plan {
        ram: ram.ok_or_else(|| missing("--ram"))?,
        arena: arena.ok_or_else(|| missing("--arena"))?,
        wishes,
    })
}

/// `1920x1080@25`.
fn wish(text: &str) -> Result<Wish, PlanError> {
    let parts = || {
        let (size, fps) = text.split_once('@')?;
        let (width, height) = size.split_once('x')?;
        Some(Wish {
            width: width.parse().ok()?,
            height: height.parse().ok()?,
            fps: fps.parse().ok().filter(|fps| (1..=240).contains(fps))?,
        })
    };
    parts().ok_or_else(|| {
        wrong(format!(
            "expected a channel such as 1920x1080@25, found \"{text}\""
        ))
    })
}

/// `64M` or `46080K`.
fn size(text: &str) -> Result<ByteLen, PlanError> {
    let (digits, unit) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1_u32 << 20),
        None => (text.strip_suffix(['K', 'k']).unwrap_or(""), 1 << 10),
    };
    let number = digits.parse::<u32>().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .map(ByteLen::new)
        .ok_or_else(|| wrong(format!("expected a size such as 64M, found \"{text}\"")))
}

fn wrong(message: String) -> PlanError {
    PlanError(message)
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{USAGE}", self.0)
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Plan, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        parse(&words).map_err(|error| error.0)
    }

    #[test]
    fn sizes_and_channels_are_read_in_any_order() {
        let plan = parse_words("640x360@15 --arena=12288K --ram 64M").expect("good");
        assert_eq!(plan.ram, ByteLen::new(64 << 20));
        assert_eq!(plan.arena, ByteLen::new(12 << 20));
        assert_eq!(
            plan.wishes,
            [Wish {
                width: 640,
                height: 360,
                fps: 15
            }]
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (words, message) in [
            ("--ram 64M --arena 1M", "expected a channel, found none"),
            ("--arena 1M 64x64@1", "expected --ram SIZE, found none"),
            ("--ram 64M 64x64@1", "expected --arena SIZE, found none"),
            ("--ram", "expected a size after --ram, found none"),
            ("--ram 64", "expected a size such as 64M, found \"64\""),
            ("--ram 0M", "expected a size such as 64M, found \"0M\""),
            (
                "--ram 8192M",
                "expected a size such as 64M, found \"8192M\"",
            ),
            (
                "64x64@0",
                "expected a channel such as 1920x1080@25, found \"64x64@0\"",
            ),
            (
                "--rom 1M",
                "expected a channel such as 1920x1080@25, found \"--rom\"",
            ),
        ] {
            assert_eq!(parse_words(words).expect_err(words), message);
        }
    }
}
