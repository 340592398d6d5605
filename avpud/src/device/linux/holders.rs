//! Who has a device: looked up in `/proc`, without opening the device.
//!
//! The encoder's driver lets one process in and tells the second one only that there is no such device, after having
//! counted its clocks up. So the daemon looks before it opens, and says whose turn it is. Only processes that this one
//! may look into are seen.

use super::maps::MapsLine;
use core::fmt;
use std::fs::{self, DirEntry};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A process that has a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
    /// A mapping of the device, if it has any: first byte and length. Keeps the device open without a descriptor.
    pub mapping: Option<(u64, u64)>,
}

/// What to look for.
#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    /// The device's number, whatever its name; `None` when the path is no device.
    number: Option<u64>,
}

const PROC: &str = "/proc";

/// The processes that have the device at `path`, this one left out, in order of their numbers.
#[must_use]
pub fn holders(path: &Path) -> Vec<Holder> {
    let device = fs::metadata(path)
        .ok()
        .filter(|found| found.file_type().is_char_device());
    let wanted = Wanted {
        path: path.to_path_buf(),
        number: device.map(|found| found.rdev()),
    };
    let mut found = scan(Path::new(PROC), &wanted);
    found.retain(|holder| holder.pid != std::process::id());
    found
}

fn scan(proc: &Path, wanted: &Wanted) -> Vec<Holder> {
    let mut found: Vec<Holder> = entries(proc)
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let folder = process.path();
            let mapping = mapping(&folder, wanted);
            if mapping.is_none() && !has_open(&folder, wanted) {
                return None;
            }
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            Some(Holder {
                pid,
                name: name.trim().to_owned(),
                mapping,
            })
        })
        .collect();
    found.sort_unstable_by_key(|holder| holder.pid);
    found
}

fn has_open(process: &Path, wanted: &Wanted) -> bool {
    entries(&process.join("fd")).any(|entry| {
        let link = entry.path();
        let number = || {
            let target = fs::metadata(&link).ok()?;
            target.file_type().is_char_device().then(|| target.rdev())
        };
        fs::read_link(&link).is_ok_and(|target| target == wanted.path)
            || wanted.number.is_some() && number() == wanted.number
    })
}

/// The lowest mapping of the device.
fn mapping(process: &Path, wanted: &Wanted) -> Option<(u64, u64)> {
    let text = fs::read_to_string(process.join("maps")).ok()?;
    text.lines()
        .filter_map(MapsLine::parse)
        .filter(|line| Path::new(line.path) == wanted.path)
        .map(|line| (line.offset_bytes, line.len_bytes))
        .min()
}

/// What is in a folder; nothing when it may not be read or is gone.
fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// A list of holders for people: `process 7 (rvd), process 9 (raptor)`.
#[must_use]
pub fn list(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(Holder::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    /// A folder like `/proc`.
    struct Proc(Scratch);

    impl Proc {
        fn new() -> Self {
            Self(Scratch::new())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn process(&self, pid: u32, name: &str, open: &[&str], maps: &str) {
            let folder = self.path().join(pid.to_string());
            fs::create_dir_all(folder.join("fd")).expect("a folder");
            fs::write(folder.join("comm"), format!("{name}\n")).expect("written");
            fs::write(folder.join("maps"), maps).expect("written");
            for (number, target) in open.iter().enumerate() {
                symlink(target, folder.join("fd").join(number.to_string())).expect("a link");
            }
        }
    }

    fn wanted(number: Option<u64>) -> Wanted {
        Wanted {
            path: PathBuf::from("/dev/avpu"),
            number,
        }
    }

    #[test]
    fn whoever_has_the_device_open_or_mapped_is_found_and_nobody_else() {
        let proc = Proc::new();
        proc.process(30, "streamer", &["/dev/null", "/dev/avpu"], "");
        proc.process(
            7,
            "mapper",
            &[],
            "1000-3000 rw-s 00005000 00:05 9 /dev/avpu\n",
        );
        proc.process(
            8,
            "other",
            &["/dev/avpu2", "socket:[3]"],
            "1000-3000 rw-s 0 00:05 9 /dev/rmem\n",
        );
        File::create(proc.path().join("cmdline")).expect("a file");
        let found = scan(proc.path(), &wanted(None));
        assert_eq!(list(&found), "process 7 (mapper), process 30 (streamer)");
        assert_eq!(found[0].mapping, Some((0x5000, 0x2000)));
        assert_eq!(found[1].mapping, None);
    }

    #[test]
    fn a_device_is_found_under_another_name_by_its_number() {
        let proc = Proc::new();
        proc.process(5, "renamed", &["/dev/null"], "");
        let number = fs::metadata("/dev/null")
            .expect("every system has it")
            .rdev();
        assert_eq!(
            list(&scan(proc.path(), &wanted(Some(number)))),
            "process 5 (renamed)"
        );
        assert!(scan(proc.path(), &wanted(Some(number + 1))).is_empty());
        assert!(scan(proc.path(), &wanted(None)).is_empty());
    }
}
