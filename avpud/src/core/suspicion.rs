//! Whether it is the encoder that fails, or what somebody has it do.
//!
//! A client chooses size, profile and address of its pictures, so one that fails again and again may be its own doing,
//! and must not end the daemon for all. Failures in a row without an encoded picture between them speak against the
//! encoder only when they were pictures of more than one party. A party is a user, as any number of processes may do
//! its will. The super-user and the daemon's own may end the daemon as it is, and on a camera where all run as one of
//! them a broken encoder must be noticed all the same: of these each process is a party.

use crate::core::event::Peer;
use crate::core::role::Rights;

/// Whose pictures speak with one voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// All processes of a user.
    User(u32),
    /// A process of a user that may control the daemon.
    Process(u32),
}

impl Party {
    /// Whom a peer speaks for.
    pub(super) const fn of(peer: &Peer, rights: &Rights) -> Self {
        if rights.may_control(peer) {
            Self::Process(peer.pid)
        } else {
            Self::User(peer.uid)
        }
    }
}

/// Failures since a picture was encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suspicion {
    failures: u32,
    /// Whose picture failed first.
    first: Option<Party>,
    several: bool,
}

impl Suspicion {
    /// A picture of this party failed in a way that its content does not explain.
    pub(super) fn record(&mut self, party: Party) {
        self.failures = self.failures.saturating_add(1);
        let first = *self.first.get_or_insert(party);
        self.several |= first != party;
    }

    /// A picture was encoded: whatever was wrong, the encoder works.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the encoder must be taken for broken.
    pub(super) const fn is_damning(&self) -> bool {
        self.failures >= FAILURES_MAX && self.several
    }
}

/// Failures of several parties in a row.
const FAILURES_MAX: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of a user, seen by a daemon of user 500.
    fn party(uid: u32, pid: u32) -> Party {
        let rights = Rights {
            own_uid: 500,
            ..Rights::default()
        };
        Party::of(&Peer { pid, uid, gid: 44 }, &rights)
    }

    #[test]
    fn one_user_alone_damns_nothing_however_often_its_pictures_fail() {
        let mut suspicion = Suspicion::default();
        for count in 0..1000 {
            suspicion.record(party(1000, count % 2));
            assert!(!suspicion.is_damning());
        }
        suspicion.record(party(1001, 0));
        assert!(suspicion.is_damning());
    }

    #[test]
    fn failures_of_two_users_in_a_row_are_the_encoders() {
        let mut suspicion = Suspicion::default();
        for count in 1..=FAILURES_MAX {
            assert!(!suspicion.is_damning());
            suspicion.record(party(1000 + count % 2, 7));
        }
        assert!(suspicion.is_damning());
    }

    #[test]
    fn processes_of_whoever_may_end_the_daemon_anyway_count_each_for_itself() {
        for uid in [0, 500] {
            let mut suspicion = Suspicion::default();
            for _ in 1..FAILURES_MAX {
                suspicion.record(party(uid, 7));
            }
            suspicion.record(party(uid, 8));
            assert!(suspicion.is_damning(), "user {uid}");
        }
    }

    #[test]
    fn one_encoded_picture_clears_it() {
        let mut suspicion = Suspicion::default();
        for _ in 0..10 {
            for count in 1..FAILURES_MAX {
                suspicion.record(party(1000 + count % 2, 7));
            }
            suspicion.clear();
        }
        assert!(!suspicion.is_damning());
    }
}
