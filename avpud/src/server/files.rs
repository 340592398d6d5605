//! Open files: how many the daemon may have, how many it needs, and for how many leases the rest is enough.
//!
//! A daemon that runs out of them fails whoever comes next, for a reason that is not theirs. So it asks for all that the
//! system grants, does not start with less than its connections and channels need, and lets the core refuse leases.

use crate::limits::{CONNECTIONS_MAX, OUTPUT_DESCRIPTORS_BUSY};
use avpu_proto::limits::SESSIONS_MAX;
use core::fmt;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// What takes open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Most channels.
    pub(super) channels_max: u16,
    /// Files that a lease keeps open.
    pub(super) per_lease: u32,
}

/// The process may not have as many files open as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    needed: u64,
    granted: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected the right to {} open files (ulimit -n), found {}",
            self.needed, self.granted
        )
    }
}

impl std::error::Error for Shortage {}

/// Files that are always open: standard streams, device, memory, signals, event queue, socket, lock, log.
const BASE: u64 = 48;
/// Files of a ring: the one that is written, and one for the reader that is just being answered.
const PER_CHANNEL: u64 = 2;
/// Files that wait with replies for one client: no more of its requests is taken then.
const PER_SESSION: u64 = 4;

const _: () = assert!(OUTPUT_DESCRIPTORS_BUSY == 4);

/// Asks for as many open files as the system grants; answers how many that are.
#[allow(
    clippy::useless_conversion,
    reason = "the system's limits have 32 bits on some machines"
)]
pub(super) fn raise() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let granted = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) if soft < hard => hard,
        // Nothing more to be had, or not granted after all.
        _ => soft,
    };
    Ok(granted.into())
}

impl Files {
    /// Leases that `granted` open files are enough for.
    pub(super) fn leases(self, granted: u64) -> Result<u32, Shortage> {
        let connections = u64::try_from(CONNECTIONS_MAX).unwrap_or(u64::MAX);
        let channels = u64::from(self.channels_max) * PER_CHANNEL;
        let waiting = u64::from(SESSIONS_MAX) * PER_SESSION;
        let needed = BASE + connections + channels + waiting;
        let Some(left) = granted.checked_sub(needed) else {
            return Err(Shortage { needed, granted });
        };
        let leases = left.checked_div(self.per_lease.into());
        Ok(leases.map_or(u32::MAX, |leases| u32::try_from(leases).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connections_and_channels_leave_is_for_leases() {
        let files = Files {
            channels_max: 8,
            per_lease: 3,
        };
        let needed = 48 + 80 + 16 + 64 * 4;
        assert_eq!(files.leases(needed), Ok(0));
        assert_eq!(files.leases(needed + 31), Ok(10));
        let granted = needed - 1;
        assert_eq!(files.leases(granted), Err(Shortage { needed, granted }));
    }

    #[test]
    fn leases_that_take_no_files_are_not_bounded_by_them() {
        let files = Files {
            channels_max: 8,
            per_lease: 0,
        };
        assert_eq!(files.leases(1024), Ok(u32::MAX));
    }

    #[test]
    fn all_that_is_granted_is_asked_for() {
        let granted = raise().expect("a limit");
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(granted, soft);
    }
}
