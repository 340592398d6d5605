//! Values of settings: numbers, sizes, ranges, groups, words.

use super::LogFormat;
use crate::device::linux::arena::ArenaSource;
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange};
use avpu_proto::ring;
use core::fmt::Display;
use core::str::FromStr;

/// A text that is not empty.
pub(super) fn present(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("expected a value, found none".to_owned());
    }
    Ok(text)
}

/// A whole number in decimal; `max` is the largest of its type.
pub(super) fn number<T: FromStr + Display>(text: &str, max: T) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number from 0 to {max}, found \"{text}\""))
}

/// A choice.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("expected yes or no, found \"{text}\"")),
    }
}

/// A time in milliseconds, as microseconds; `never` is no time.
pub(super) fn time_ms(text: &str) -> Result<Option<u64>, String> {
    if text == "never" {
        return Ok(None);
    }
    let ms: u32 = text
        .parse()
        .map_err(|_| format!("expected milliseconds or \"never\", found \"{text}\""))?;
    Ok(Some(u64::from(ms) * 1000))
}

/// A whole number from 1 to `max`.
pub(super) fn at_most<T>(text: &str, max: T) -> Result<T, String>
where
    T: FromStr + Default + PartialOrd + Display,
{
    let wrong = || format!("expected a whole number from 1 to {max}, found \"{text}\"");
    let number: T = text.parse().map_err(|_| wrong())?;
    if number == T::default() || number > max {
        return Err(wrong());
    }
    Ok(number)
}

/// A size in bytes: decimal or `0x` hexadecimal, with `K` or `M` for 1024 and 1024 x 1024.
pub(super) fn size(text: &str) -> Result<ByteLen, String> {
    let wrong = || format!("expected a size such as 4096, 512K or 8M, found \"{text}\"");
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let bytes = address(digits).ok().and_then(|n| n.checked_mul(unit));
    bytes.map(ByteLen::new).ok_or_else(wrong)
}

fn address(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("expected an address such as 0x06300000, found \"{text}\""))
}

/// A range as on the kernel's command line: `SIZE@BASE`.
pub(super) fn range(text: &str) -> Result<PhysRange, String> {
    let (len, base) = text
        .split_once('@')
        .ok_or_else(|| format!("expected SIZE@BASE, found \"{text}\""))?;
    let base = PhysAddr::new(address(base)?);
    PhysRange::new(base, size(len)?).map_err(|error| format!("\"{text}\": {error}"))
}

/// The size of a ring: a power of two in bounds.
pub(super) fn ring_size(text: &str) -> Result<ByteLen, String> {
    let len = size(text)?;
    let bounds = ring::DATA_BYTES_MIN..=ring::DATA_BYTES_MAX;
    if !len.value().is_power_of_two() || !bounds.contains(&len.value()) {
        return Err(format!(
            "expected a power of two from {} to {} bytes, found \"{text}\"",
            bounds.start(),
            bounds.end()
        ));
    }
    Ok(len)
}

/// Where the system's groups are. The C library's own look-up would know groups of other sources too, but in a
/// statically linked program it loads the machine's libraries at run time, which a camera has from another toolchain.
const GROUPS: &str = "/etc/group";

/// Where its users are.
const USERS: &str = "/etc/passwd";

/// A group by number, or by its name in the system's file.
pub(super) fn group(text: &str) -> Result<u32, String> {
    numbered("group", GROUPS, text)
}

/// A user by number, or by its name in the system's file.
pub(super) fn user(text: &str) -> Result<u32, String> {
    numbered("user", USERS, text)
}

fn numbered(what: &str, file: &str, text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    present(text)?;
    let lines = std::fs::read_to_string(file).map_err(|error| {
        format!("expected a {what}'s number, as {file} cannot be read ({error}), found \"{text}\"")
    })?;
    number_in(&lines, text)
        .ok_or_else(|| format!("expected a number or a {what} of {file}, found \"{text}\""))
}

/// The number behind a name in a file of lines `name:password:number:...`.
fn number_in(lines: &str, name: &str) -> Option<u32> {
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let number = (fields.next()? == name).then(|| fields.nth(1))??;
        number.parse().ok()
    })
}

/// A list with commas; empty text is the empty list.
pub(super) fn list<T>(
    text: &str,
    mut entry: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| entry(part.trim())).collect()
}

/// Shape of log lines.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        "syslog" => Ok(LogFormat::Syslog),
        _ => Err(format!("expected text, json or syslog, found \"{text}\"")),
    }
}

/// Where the encoder's memory comes from.
pub(super) fn arena(text: &str) -> Result<ArenaSource, String> {
    match text {
        "avpumem" => Ok(ArenaSource::Own),
        "rmem" => Ok(ArenaSource::AllReserved),
        _ => Err(format!("expected avpumem or rmem, found \"{text}\"")),
    }
}

const LEVELS: [(&str, slog::Level); 5] = [
    ("error", slog::Level::Error),
    ("warning", slog::Level::Warning),
    ("info", slog::Level::Info),
    ("debug", slog::Level::Debug),
    ("trace", slog::Level::Trace),
];

/// A log level.
pub(super) fn log_level(text: &str) -> Result<slog::Level, String> {
    match LEVELS.iter().find(|(name, _)| *name == text) {
        Some((_, level)) => Ok(*level),
        None => Err(format!(
            "expected error, warning, info, debug or trace, found \"{text}\""
        )),
    }
}

/// Edit distance between two words: how many letters to insert, remove or replace.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("0x1000"), Ok(ByteLen::new(4096)));
        assert_eq!(size("512K"), Ok(ByteLen::new(512 << 10)));
        assert_eq!(size("8M"), Ok(ByteLen::new(8 << 20)));
        for wrong in ["", "M", "-1", "4G", "4096M", "1.5M"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_written_as_the_kernel_writes_them() {
        let window = range("8M@0x6300000").unwrap();
        assert_eq!(window.start().value(), 0x630_0000);
        assert_eq!(window.len().get(), 8 << 20);
        for wrong in ["8M", "0@0x1000", "8M@x", "16M@0xFFFFF000"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rings_are_powers_of_two() {
        assert_eq!(ring_size("1M"), Ok(ByteLen::new(1 << 20)));
        assert!(ring_size("3M").is_err() && ring_size("2K").is_err());
    }

    #[test]
    fn groups_are_found_by_name_or_number() {
        let file = "root:x:0:\nvideo2:x:45:\nvideo:x:44:ann,bob\nbroken:x\n";
        assert_eq!(number_in(file, "video"), Some(44));
        assert_eq!(number_in(file, "vid"), None);
        assert_eq!(number_in(file, "broken"), None);
        assert_eq!(group("1000"), Ok(1000));
        assert!(group("").is_err() && group("no such group").is_err());
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("socket", "socket"), 0);
        assert_eq!(distance("socket", "soket"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
