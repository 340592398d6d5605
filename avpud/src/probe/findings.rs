//! What can be seen of the platform without touching the encoder.

use crate::config::{Config, DeviceChoice};
use crate::device::linux::holders::{Holder, holders};
use crate::device::linux::iomem::Iomem;
use crate::device::linux::{CACHED_PATH, CMDLINE_PATH, UNCACHED_PATH, iomem};
use crate::mem::shm;
use crate::sys;
use nix::sys::stat::{major, minor};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Release of the kernel.
    pub kernel: String,
    /// What the kernel was started with.
    pub cmdline: String,
    /// The kernel's list of what lies where.
    pub iomem: Iomem,
    /// The encoder's device file.
    pub encoder: Node,
    /// The device that maps reserved memory through the cache.
    pub cached: Node,
    /// The device that maps memory around the cache.
    pub uncached: Node,
    /// The line of the encoder's driver in the kernel's list of interrupts.
    pub interrupts: Option<String>,
    /// This process may ask to run before ordinary ones.
    pub realtime: bool,
    /// Where memory for streams comes from; or why there is none.
    pub streams: Result<shm::Source, String>,
    /// This process sees into all others.
    pub root: bool,
}

/// A device file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it should be.
    pub path: PathBuf,
    /// Its numbers; or what is there instead.
    pub number: Result<(u64, u64), String>,
    /// Who has it open or mapped.
    pub holders: Vec<Holder>,
}

impl Findings {
    /// Looks around.
    #[must_use]
    pub fn gather(config: &Config) -> Self {
        let encoder = match &config.device {
            DeviceChoice::Hardware { path } => path.clone(),
            DeviceChoice::Model { .. } => PathBuf::from("/dev/avpu"),
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cmdline: read(CMDLINE_PATH).trim().to_owned(),
            iomem: iomem(),
            encoder: Node::look(&encoder),
            cached: Node::look(Path::new(CACHED_PATH)),
            uncached: Node::look(Path::new(UNCACHED_PATH)),
            interrupts: interrupt_line(&read("/proc/interrupts")),
            // For this process, which is about to end.
            realtime: sys::request_realtime(sys::Urgency::Loop),
            streams: shm::source().map_err(|error| error.to_string()),
            root: nix::unistd::geteuid().is_root(),
        }
    }
}

impl Node {
    /// Looks at a device file without opening it.
    fn look(path: &Path) -> Self {
        let number = match fs::metadata(path) {
            Ok(found) if found.file_type().is_char_device() => {
                Ok((major(found.rdev()), minor(found.rdev())))
            }
            Ok(_) => Err("something that is no device".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Self {
            path: path.to_path_buf(),
            number,
            holders: holders(path),
        }
    }
}

/// `70:  1234  jz-intc  avpu.0`
fn interrupt_line(interrupts: &str) -> Option<String> {
    let line = interrupts.lines().find(|line| line.contains("avpu"))?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_interrupts_are_found_by_its_name() {
        let text =
            "           CPU0\n 14:     99   jz-intc  jz-timerost\n 70:   1234   jz-intc  avpu.0\n";
        assert_eq!(
            interrupt_line(text).as_deref(),
            Some("70: 1234 jz-intc avpu.0")
        );
        assert_eq!(interrupt_line("x"), None);
    }

    #[test]
    fn a_file_that_is_no_device_and_one_that_is_missing_are_told_apart() {
        assert!(Node::look(Path::new("/dev/null")).number.is_ok());
        let file = Node::look(Path::new("/proc/cmdline")).number;
        assert_eq!(file, Err("something that is no device".to_owned()));
        let missing = Node::look(Path::new("/dev/no-such-device")).number;
        assert!(missing.is_err_and(|found| found.contains("No such file")));
    }
}
