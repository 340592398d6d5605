//! Which memory is the daemon's, which is the capture hardware's, and which is the kernel's. Pure.
//!
//! The daemon owns a region of its own by default. It can own all of the vendor's reservation instead, which is only
//! right where no process uses the vendor's library: that fills the whole reservation with zeros at its start. A top
//! slice of the reservation is therefore not offered. No memory at all is a normal state of a camera, told as such.

use super::cmdline::{CommandLine, CommandLineError, Reservation};
use super::iomem::Iomem;
use crate::mem::addr::PhysRange;
use core::fmt;

/// Where the daemon's memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArenaSource {
    /// `avpumem=`: a region of its own.
    #[default]
    Own,
    /// `rmem=`: everything that is reserved.
    AllReserved,
}

/// Whose the memory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    /// The daemon's.
    pub arena: PhysRange,
    /// The capture hardware's: where frames may lie that the daemon did not lease.
    pub source_window: Option<PhysRange>,
    /// The kernel's, as far as anything says it.
    pub system_memory: Vec<PhysRange>,
    /// The kernel's own list confirmed that the arena is not its memory.
    pub confirmed: bool,
}

/// Why there is no memory for the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoArena {
    /// The command line cannot be trusted.
    CommandLine(CommandLineError),
    /// The parameter is not there.
    Absent {
        /// Which was looked for.
        source: ArenaSource,
        /// A command line that would do.
        proposal: Option<String>,
    },
    /// The parameter says zero bytes.
    Empty {
        /// Which was looked for.
        source: ArenaSource,
    },
    /// The memory starts at address 0, which the encoder must never be given.
    AtZero,
    /// The memory is somebody else's too.
    Overlap {
        /// What was to be the daemon's.
        arena: PhysRange,
        /// Whose it is.
        with: &'static str,
        /// Which of it.
        range: PhysRange,
    },
}

impl ArenaSource {
    /// The parameter on the kernel's command line.
    #[must_use]
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Own => "avpumem=",
            Self::AllReserved => "rmem=",
        }
    }
}

impl MemoryMap {
    /// Decides from what the kernel says.
    ///
    /// # Errors
    /// When there is no memory for the daemon, or it is not sure to be nobody else's.
    pub fn new(cmdline: &str, iomem: &Iomem, source: ArenaSource) -> Result<Self, NoArena> {
        let line = CommandLine::parse(cmdline).map_err(NoArena::CommandLine)?;
        let wanted = match source {
            ArenaSource::Own => line.avpumem,
            ArenaSource::AllReserved => line.rmem,
        };
        let arena = match wanted {
            Reservation::Range(range) => range,
            Reservation::Empty => return Err(NoArena::Empty { source }),
            Reservation::Absent => {
                let proposal = (source == ArenaSource::Own)
                    .then(|| propose(&line))
                    .flatten();
                return Err(NoArena::Absent { source, proposal });
            }
        };
        if arena.start().value() == 0 {
            return Err(NoArena::AtZero);
        }
        let source_window = match source {
            ArenaSource::Own => line.rmem.range(),
            ArenaSource::AllReserved => None,
        };
        let listed = iomem.system_memory.as_deref().unwrap_or_default();
        let others = [
            ("the kernel's mem=", line.mem.as_slice()),
            ("System RAM of /proc/iomem", listed),
            ("the vendor's rmem=", source_window.as_slice()),
        ];
        for (with, ranges) in others {
            if let Some(range) = ranges.iter().find(|range| range.overlaps(arena)) {
                let range = *range;
                return Err(NoArena::Overlap { arena, with, range });
            }
        }
        let mut system_memory = line.mem;
        system_memory.extend_from_slice(listed);
        Ok(Self {
            arena,
            source_window,
            system_memory,
            confirmed: iomem.system_memory.is_some(),
        })
    }
}

/// Takes a region from the top of the kernel's memory: a quarter of it, in whole MiB, 16 at most.
fn propose(line: &CommandLine) -> Option<String> {
    const MIB: u32 = 1 << 20;
    const REGION_MAX_MIB: u32 = 16;
    let [kernel] = line.mem.as_slice() else {
        return None;
    };
    let kernel_mib = kernel.len().get() / MIB;
    let region_mib = (kernel_mib / 4).min(REGION_MAX_MIB);
    let left_mib = kernel_mib.checked_sub(region_mib)?;
    if region_mib == 0 || kernel.start().value() != 0 || kernel.len().get() % MIB != 0 {
        return None;
    }
    let base = left_mib.checked_mul(MIB)?;
    Some(format!(
        "mem={left_mib}M@0x0 avpumem={region_mib}M@0x{base:x} and the rest as it is"
    ))
}

impl fmt::Display for NoArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => error.fmt(f),
            Self::Absent { source, proposal } => {
                write!(
                    f,
                    "expected memory for the encoder as {}SIZE@BASE on the kernel's command line, found none",
                    source.parameter()
                )?;
                match proposal {
                    Some(line) => write!(f, "; boot with {line}"),
                    None => Ok(()),
                }
            }
            Self::Empty { source } => write!(
                f,
                "expected memory for the encoder, found {}0 on the kernel's command line",
                source.parameter()
            ),
            Self::AtZero => write!(
                f,
                "expected memory for the encoder above address 0, found it there"
            ),
            Self::Overlap { arena, with, range } => write!(
                f,
                "expected memory of the encoder's own, found {arena} to share bytes with {with} {range}"
            ),
        }
    }
}

impl core::error::Error for NoArena {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::addr::{ByteLen, PhysAddr};

    fn range(base: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(base), ByteLen::new(len)).expect("a range")
    }

    fn map(cmdline: &str, iomem: &str, source: ArenaSource) -> Result<MemoryMap, String> {
        MemoryMap::new(cmdline, &Iomem::parse(iomem), source).map_err(|error| error.to_string())
    }

    const BESIDE: &str = "mem=83M@0x0 avpumem=16M@0x5300000 rmem=29M@0x6300000";
    const IOMEM: &str = "00000000-052fffff : System RAM\n";

    #[test]
    fn a_region_of_its_own_leaves_the_vendors_memory_to_the_capture_hardware() {
        let map = map(BESIDE, IOMEM, ArenaSource::Own).expect("memory");
        assert_eq!(map.arena, range(0x0530_0000, 16 << 20));
        assert_eq!(map.source_window, Some(range(0x0630_0000, 29 << 20)));
        assert_eq!(map.system_memory, [range(0, 83 << 20), range(0, 83 << 20)]);
        assert!(map.confirmed);
    }

    #[test]
    fn all_of_the_reservation_leaves_nothing_to_others() {
        let map = map(
            "mem=99M@0x0 rmem=29M@0x6300000",
            "",
            ArenaSource::AllReserved,
        );
        let map = map.expect("memory");
        assert_eq!(map.arena, range(0x0630_0000, 29 << 20));
        assert_eq!(map.source_window, None);
        assert!(!map.confirmed);
    }

    #[test]
    fn no_memory_is_told_with_a_command_line_that_would_do() {
        assert_eq!(
            map("mem=99M@0x0 rmem=29M@0x6300000", "", ArenaSource::Own).expect_err("none"),
            "expected memory for the encoder as avpumem=SIZE@BASE on the kernel's command line, found none; \
             boot with mem=83M@0x0 avpumem=16M@0x5300000 and the rest as it is"
        );
        assert_eq!(
            map("quiet", "", ArenaSource::Own).expect_err("none"),
            "expected memory for the encoder as avpumem=SIZE@BASE on the kernel's command line, found none"
        );
        assert_eq!(
            map("rmem=0M@0x8000000", "", ArenaSource::AllReserved).expect_err("none"),
            "expected memory for the encoder, found rmem=0 on the kernel's command line"
        );
        assert!(map("rmem=29", "", ArenaSource::Own).is_err());
    }

    #[test]
    fn what_is_proposed_is_good() {
        let line = CommandLine::parse("mem=41M@0x0 rmem=23M@0x2900000").expect("good");
        let proposal = propose(&line).expect("one part from address 0");
        let booted = format!("{proposal} rmem=23M@0x2900000");
        let map = map(&booted, "", ArenaSource::Own).expect("memory");
        assert_eq!(map.arena, range(31 << 20, 10 << 20));
    }

    #[test]
    fn memory_that_is_somebody_elses_too_is_refused() {
        for (cmdline, iomem, with) in [
            (
                "mem=84M@0x0 avpumem=16M@0x5300000",
                "",
                "the kernel's mem= 0x00000000..0x05400000",
            ),
            (
                "avpumem=16M@0x5300000",
                "00000000-05300000 : System RAM\n",
                "System RAM of /proc/iomem",
            ),
            (
                "mem=83M@0x0 avpumem=17M@0x5300000 rmem=29M@0x6300000",
                "",
                "the vendor's rmem=",
            ),
        ] {
            let error = map(cmdline, iomem, ArenaSource::Own).expect_err(cmdline);
            let with = with.split(" 0x").next().unwrap_or_default();
            assert!(
                error.contains(&format!("to share bytes with {with}")),
                "{error}"
            );
        }
        assert!(map("avpumem=1M@0x0", "", ArenaSource::Own).is_err());
    }
}
