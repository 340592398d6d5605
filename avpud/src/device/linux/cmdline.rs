//! The kernel's command line, as far as it says whose the memory is. Pure.
//!
//! The kernel itself reads only `mem=`, which says how much of the memory it manages; what lies beyond is reserved by
//! that alone. `rmem=` is a convention of the vendor's software, `avpumem=` one of this daemon. All three are read
//! strictly: memory that is somebody else's must not be taken because of a typing error.

use crate::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use core::fmt;

/// A reservation as the command line has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reservation {
    /// There is no such parameter.
    #[default]
    Absent,
    /// It has a size of zero, as firmware updates leave it.
    Empty,
    /// This memory.
    Range(PhysRange),
}

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The daemon's own memory, `avpumem=`.
    pub avpumem: Reservation,
    /// The memory of the vendor's software, `rmem=`.
    pub rmem: Reservation,
    /// The kernel's memory, `mem=`; may be given more than once.
    pub mem: Vec<PhysRange>,
    /// The vendor's software takes another parameter for `rmem=`: this one, which contains its name earlier, or
    /// `rmem=` itself when it lies too far back to be found.
    pub rmem_misread: Option<String>,
}

/// Why the command line cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLineError {
    /// A parameter is there twice.
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// A parameter that is no SIZE@BASE of whole pages below 4 GiB.
    Malformed {
        /// Name and value.
        token: String,
        /// What is wrong.
        found: &'static str,
    },
}

/// How much of the command line the vendor's software reads, in bytes.
const VENDOR_READ_BYTES: usize = 512;
const PAGE: Alignment = Alignment::constant(4096);

impl CommandLine {
    /// Reads the text of `/proc/cmdline`.
    ///
    /// # Errors
    /// When one of the three parameters is malformed, or one of the two reservations repeated.
    pub fn parse(text: &str) -> Result<Self, CommandLineError> {
        let mut line = Self::default();
        // What follows two dashes is for the first process, not for the kernel.
        for token in text.split_ascii_whitespace().take_while(|t| *t != "--") {
            if let Some(value) = token.strip_prefix("avpumem=") {
                take(&mut line.avpumem, "avpumem", token, value)?;
            } else if let Some(value) = token.strip_prefix("rmem=") {
                take(&mut line.rmem, "rmem", token, value)?;
            } else if let Some(value) = token.strip_prefix("mem=")
                && let Reservation::Range(range) = kernel_memory(token, value)?
            {
                line.mem.push(range);
            }
        }
        line.rmem_misread = misread(text);
        Ok(line)
    }
}

impl Reservation {
    /// The memory, if there is any.
    #[must_use]
    pub fn range(self) -> Option<PhysRange> {
        match self {
            Self::Range(range) => Some(range),
            Self::Absent | Self::Empty => None,
        }
    }
}

fn take(
    into: &mut Reservation,
    name: &'static str,
    token: &str,
    value: &str,
) -> Result<(), CommandLineError> {
    if *into != Reservation::Absent {
        return Err(CommandLineError::Repeated { name });
    }
    *into = reservation(value).map_err(|found| malformed(token, found))?;
    Ok(())
}

/// `mem=SIZE@BASE`, or `mem=SIZE` from address 0 on.
fn kernel_memory(token: &str, value: &str) -> Result<Reservation, CommandLineError> {
    let parsed = if value.contains('@') {
        reservation(value)
    } else {
        size(value).and_then(|len| range(0, len))
    };
    parsed.map_err(|found| malformed(token, found))
}

fn reservation(value: &str) -> Result<Reservation, &'static str> {
    let (len, base) = value.split_once('@').ok_or("found no \"@\"")?;
    range(number(base)?, size(len)?)
}

fn range(base: u64, len: u64) -> Result<Reservation, &'static str> {
    const BEYOND: &str = "found memory beyond 4 GiB";
    const NO_PAGES: &str = "found an address or a size that is not whole pages";
    if len == 0 {
        return Ok(Reservation::Empty);
    }
    let base = PhysAddr::new(u32::try_from(base).map_err(|_| BEYOND)?);
    let len = ByteLen::new(u32::try_from(len).map_err(|_| BEYOND)?);
    if !base.is_aligned(PAGE) || len.align_up(PAGE) != Ok(len) {
        return Err(NO_PAGES);
    }
    PhysRange::new(base, len)
        .map(Reservation::Range)
        .map_err(|_| BEYOND)
}

/// A number with a unit of 1024, 1024 x 1024 or 1024 x 1024 x 1024 bytes.
fn size(text: &str) -> Result<u64, &'static str> {
    let units = [
        (['K', 'k'], 1 << 10),
        (['M', 'm'], 1 << 20),
        (['G', 'g'], 1 << 30),
    ];
    let (digits, unit) = units
        .into_iter()
        .find_map(|(letters, unit)| Some((text.strip_suffix(letters)?, unit)))
        .unwrap_or((text, 1));
    number(digits)?
        .checked_mul(unit)
        .ok_or("found a size beyond all memory")
}

/// Decimal, or hexadecimal behind `0x`. The kernel also reads octal behind a zero, which nobody means.
fn number(text: &str) -> Result<u64, &'static str> {
    const NO_NUMBER: &str = "found no number";
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if octal || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NO_NUMBER);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NO_NUMBER)
}

/// The vendor's software takes the first "rmem" anywhere in the first bytes.
fn misread(text: &str) -> Option<String> {
    let wanted = token_start(text, "rmem=")?;
    let first = text.find("rmem")?;
    let token = |at: usize| {
        let start = text
            .get(..at)
            .and_then(|before| before.rfind(|c: char| c.is_ascii_whitespace()))
            .map_or(0, |space| space + 1);
        text.get(start..)
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .map(str::to_owned)
    };
    if first < wanted {
        token(first)
    } else if wanted + "rmem=".len() > VENDOR_READ_BYTES {
        token(wanted)
    } else {
        None
    }
}

/// Where the first token with this prefix starts.
fn token_start(text: &str, prefix: &str) -> Option<usize> {
    text.match_indices(prefix).map(|(at, _)| at).find(|at| {
        let before = text.as_bytes().get(at.wrapping_sub(1));
        *at == 0 || before.is_some_and(u8::is_ascii_whitespace)
    })
}

fn malformed(token: &str, found: &'static str) -> CommandLineError {
    CommandLineError::Malformed {
        token: token.to_owned(),
        found,
    }
}

impl fmt::Display for CommandLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { name } => write!(
                f,
                "expected {name}= once on the kernel's command line, found it again"
            ),
            Self::Malformed { token, found } => write!(
                f,
                "expected SIZE@BASE such as 16M@0x5300000 on the kernel's command line, {found} in \"{token}\""
            ),
        }
    }
}

impl core::error::Error for CommandLineError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(base: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(base), ByteLen::new(len)).expect("a range")
    }

    fn parse(text: &str) -> Result<CommandLine, String> {
        CommandLine::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_real_cameras_are_understood() {
        for (text, mem, rmem) in [
            (
                "console=ttyS1,115200n8 mem=99M@0x0 rmem=29M@0x6300000 init=/init\n",
                range(0, 99 << 20),
                range(0x0630_0000, 29 << 20),
            ),
            (
                "mem=46080K@0x0 rmem=19456K@0x2d00000",
                range(0, 45 << 20),
                range(0x02d0_0000, 19 << 20),
            ),
            (
                "mem=42M@0x0 rmem=22M@0x2A00000",
                range(0, 42 << 20),
                range(0x02a0_0000, 22 << 20),
            ),
            (
                "mem=64m@0 rmem=64m@0x4000000",
                range(0, 64 << 20),
                range(0x0400_0000, 64 << 20),
            ),
        ] {
            let line = parse(text).expect(text);
            assert_eq!(line.mem, [mem], "{text}");
            assert_eq!(line.rmem, Reservation::Range(rmem), "{text}");
            assert_eq!(line.avpumem, Reservation::Absent, "{text}");
            assert_eq!(line.rmem_misread, None, "{text}");
        }
    }

    #[test]
    fn a_region_of_its_own_stands_beside_the_vendors() {
        let line = parse("mem=83M@0x0 avpumem=16M@0x5300000 rmem=29M@0x6300000").expect("good");
        assert_eq!(
            line.avpumem,
            Reservation::Range(range(0x0530_0000, 16 << 20))
        );
        assert_eq!(line.rmem.range(), Some(range(0x0630_0000, 29 << 20)));
    }

    #[test]
    fn no_reservation_and_an_empty_one_are_normal() {
        assert_eq!(
            parse("quiet mem=64M").expect("good").rmem,
            Reservation::Absent
        );
        let line = parse("mem=128M@0x0 rmem=0M@0x8000000 avpumem=0@0").expect("good");
        assert_eq!(line.rmem, Reservation::Empty);
        assert_eq!(line.avpumem, Reservation::Empty);
        assert_eq!(parse(""), Ok(CommandLine::default()));
    }

    #[test]
    fn the_kernels_memory_may_have_several_parts_and_no_base() {
        let line = parse("mem=192M@0x0 mem=16M@0xf000000 rmem=48M@0xc000000").expect("good");
        assert_eq!(
            line.mem,
            [range(0, 192 << 20), range(0x0f00_0000, 16 << 20)]
        );
        assert_eq!(parse("mem=64M").expect("good").mem, [range(0, 64 << 20)]);
    }

    #[test]
    fn names_that_only_contain_the_parameter_are_others() {
        let line = parse("xavpumem=1M@0 vmem=2M@0x1 isprmem=3 foo=rmem=4M@0x100000").expect("good");
        assert_eq!(line.avpumem, Reservation::Absent);
        assert_eq!(line.rmem, Reservation::Absent);
        assert!(line.mem.is_empty());
    }

    #[test]
    fn what_follows_two_dashes_is_not_the_kernels() {
        let line = parse("mem=64M@0 -- rmem=16M@0x3000000").expect("good");
        assert_eq!(line.rmem, Reservation::Absent);
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let wanted =
            "expected SIZE@BASE such as 16M@0x5300000 on the kernel's command line, found ";
        for (text, found) in [
            ("rmem=29M", "no \"@\""),
            ("rmem=", "no \"@\""),
            ("rmem=M@0x1000", "no number"),
            ("rmem=1M@", "no number"),
            ("rmem=1M@0x", "no number"),
            ("rmem=+1M@0x1000", "no number"),
            ("rmem=1M@010000", "no number"),
            ("rmem=1MB@0x1000", "no number"),
            ("rmem=1M@0x1000,2M", "no number"),
            (
                "rmem=1000@0x1000",
                "an address or a size that is not whole pages",
            ),
            (
                "rmem=1M@0x1080",
                "an address or a size that is not whole pages",
            ),
            ("rmem=1M@0xfff01000", "memory beyond 4 GiB"),
            ("rmem=5G@0x0", "memory beyond 4 GiB"),
            ("rmem=1M@0x100000000", "memory beyond 4 GiB"),
            ("rmem=17179869184G@0", "a size beyond all memory"),
            ("avpumem=abc", "no \"@\""),
            ("mem=nopentium", "no number"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error, format!("{wanted}{found} in \"{text}\""));
        }
        assert_eq!(
            parse("rmem=1M@0x100000 rmem=2M@0x200000").expect_err("twice"),
            "expected rmem= once on the kernel's command line, found it again"
        );
        assert!(parse("avpumem=0@0 avpumem=1M@0x100000").is_err());
        // The last page below 4 GiB may be had.
        assert!(parse("rmem=1M@0xfff00000").is_ok());
    }

    #[test]
    fn a_parameter_that_the_vendors_software_mistakes_is_named() {
        let line = parse("myrmem=1 rmem=16M@0x3000000").expect("good");
        assert_eq!(line.rmem_misread.as_deref(), Some("myrmem=1"));
        let far = format!("{} rmem=16M@0x3000000", "x".repeat(600));
        let line = parse(&far).expect("good");
        assert_eq!(line.rmem_misread.as_deref(), Some("rmem=16M@0x3000000"));
    }
}
