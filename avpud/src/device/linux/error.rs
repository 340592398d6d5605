//! Why the encoder cannot be had.

use super::arena::NoArena;
use super::holders::{self, Holder};
use crate::device::error::DeviceError;
use core::fmt;
use std::io;
use std::path::PathBuf;

/// Opening failed.
#[derive(Debug)]
pub enum OpenError {
    /// There is no memory for it: a normal state of a camera that is not set up yet.
    NoArena(NoArena),
    /// Another process has it.
    Held {
        /// The device file.
        path: PathBuf,
        /// Who; empty when it cannot be seen.
        holders: Vec<Holder>,
    },
    /// The device file cannot be opened.
    Unopened {
        /// The device file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The memory cannot be reached.
    Memory(DeviceError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArena(reason) => reason.fmt(f),
            Self::Held { path, holders } if holders.is_empty() => write!(
                f,
                "expected a free {}, found it in use by a process that cannot be seen from here",
                path.display()
            ),
            Self::Held { path, holders } => write!(
                f,
                "expected a free {}, found it in use by {}; stop that first",
                path.display(),
                holders::list(holders)
            ),
            Self::Unopened { path, source } => write!(
                f,
                "expected a video encoder at {}, found {source}; try --device model",
                path.display()
            ),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoArena(reason) => Some(reason),
            Self::Held { .. } => None,
            Self::Unopened { source, .. } => Some(source),
            Self::Memory(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_device_names_its_holders_and_what_to_do() {
        let held = |holders| {
            let path = PathBuf::from("/dev/avpu");
            OpenError::Held { path, holders }.to_string()
        };
        let holder = Holder {
            pid: 612,
            name: "rvd".to_owned(),
            mapping: None,
        };
        assert_eq!(
            held(vec![holder]),
            "expected a free /dev/avpu, found it in use by process 612 (rvd); stop that first"
        );
        assert_eq!(
            held(Vec::new()),
            "expected a free /dev/avpu, found it in use by a process that cannot be seen from here"
        );
    }
}
