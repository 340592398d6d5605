//! The kernel's own list of what lies where, `/proc/iomem`, as far as it is memory that the kernel uses. Pure.

use crate::mem::addr::{ByteLen, PhysAddr, PhysRange};

/// What the list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iomem {
    /// Memory that the kernel uses; `None` when the list does not say it to this process.
    pub system_memory: Option<Vec<PhysRange>>,
}

impl Iomem {
    /// Reads the text of `/proc/iomem`. Whoever may not see addresses gets a list of zeros, which says nothing. Memory
    /// beyond 4 GiB cannot be mistaken for the encoder's and is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines: Vec<(u64, u64, &str)> = text.lines().filter_map(line).collect();
        if lines.iter().all(|(_, last, _)| *last == 0) {
            return Self::default();
        }
        let memory = lines
            .into_iter()
            .filter(|(.., name)| *name == "System RAM")
            .filter_map(|(start, last, _)| below_4_gib(start, last));
        Self {
            system_memory: Some(memory.collect()),
        }
    }
}

/// `start-last : name`, both in hexadecimal; parts of an entry are indented.
fn line(text: &str) -> Option<(u64, u64, &str)> {
    let (span, name) = text.trim().split_once(" : ")?;
    let (start, last) = span.split_once('-')?;
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    Some((hex(start)?, hex(last)?, name))
}

fn below_4_gib(start: u64, last: u64) -> Option<PhysRange> {
    let start = u32::try_from(start).ok()?;
    let last = u32::try_from(last).unwrap_or(u32::MAX);
    // All 4 GiB from address 0 are one byte short of what a length can say: nothing lies in that byte.
    let len = last.checked_sub(start)?.saturating_add(1);
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(base: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(base), ByteLen::new(len)).expect("a range")
    }

    #[test]
    fn the_kernels_memory_is_found_and_its_parts_are_not_counted_twice() {
        let text = "00000000-062fffff : System RAM\n  00010000-0055cfff : Kernel code\n  \
                    0055d000-006b6c3f : Kernel data\n10000000-10000fff : cpm\n13200000-132fffff : avpu.0\n";
        assert_eq!(
            Iomem::parse(text).system_memory,
            Some(vec![range(0, 0x0630_0000)])
        );
    }

    #[test]
    fn a_list_of_zeros_says_nothing() {
        let text = "00000000-00000000 : System RAM\n00000000-00000000 : avpu.0\n";
        assert_eq!(Iomem::parse(text).system_memory, None);
        assert_eq!(Iomem::parse("").system_memory, None);
    }

    #[test]
    fn memory_over_the_4_gib_line_is_cut_there() {
        let text = "00001000-0009ffff : System RAM\nf0000000-23fffffff : System RAM\n\
                    240000000-27fffffff : System RAM\nnonsense\n";
        assert_eq!(
            Iomem::parse(text).system_memory,
            Some(vec![
                range(0x1000, 0x9f000),
                range(0xf000_0000, 0x1000_0000)
            ])
        );
    }
}
