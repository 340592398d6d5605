//! One line of a process's list of mappings, `/proc/PID/maps`. Pure.

/// A mapping of a file or device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MapsLine<'a> {
    /// Bytes mapped.
    pub(super) len_bytes: u64,
    /// Offset in the file; of a device of physical memory the physical address.
    pub(super) offset_bytes: u64,
    /// The file.
    pub(super) path: &'a str,
}

impl<'a> MapsLine<'a> {
    /// Reads `start-end permissions offset device inode path`; `None` when there is no path.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let (start, rest) = line.split_once('-')?;
        let (end, rest) = rest.split_once(' ')?;
        let (_permissions, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let (_device, rest) = rest.split_once(' ')?;
        let (_inode, path) = rest.split_once(' ')?;
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        let path = path.trim_start();
        if path.is_empty() {
            return None;
        }
        Some(Self {
            len_bytes: hex(end)?.checked_sub(hex(start)?)?,
            offset_bytes: hex(offset)?,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_reserved_memory_says_its_physical_address() {
        let line = "76000000-77900000 rw-s 02700000 00:05 92         /dev/rmem";
        assert_eq!(
            MapsLine::parse(line),
            Some(MapsLine {
                len_bytes: 0x0190_0000,
                offset_bytes: 0x0270_0000,
                path: "/dev/rmem"
            })
        );
    }

    #[test]
    fn memory_without_a_file_and_nonsense_are_passed_over() {
        for line in [
            "7ffc0000-7ffe1000 rw-p 00000000 00:00 0 ",
            "7ffc0000-7ffe1000 rw-p 00000000 00:00 0",
            "2000-1000 rw-p 0 00:00 0 /a",
            "x",
            "",
        ] {
            assert_eq!(MapsLine::parse(line), None, "{line}");
        }
    }

    #[test]
    fn paths_with_spaces_are_whole() {
        let line = "1000-2000 r-xp 00000000 08:01 7 /a b (deleted)";
        assert_eq!(
            MapsLine::parse(line).map(|l| l.path),
            Some("/a b (deleted)")
        );
    }
}
