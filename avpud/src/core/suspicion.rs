//! Whether it is the encoder that fails, or what one client has it do.
//!
//! A client chooses size, profile and address of its pictures, so one that fails again and again may be its own doing,
//! and must not end the daemon for all. Failures in a row without an encoded picture between them speak against the
//! encoder only when they were pictures of more than one client.

/// Failures since a picture was encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suspicion {
    failures: u32,
    /// Process whose picture failed first.
    first: Option<u32>,
    several: bool,
}

impl Suspicion {
    /// A picture of the process `pid` failed in a way that its content does not explain.
    pub(super) fn record(&mut self, pid: u32) {
        self.failures = self.failures.saturating_add(1);
        let first = *self.first.get_or_insert(pid);
        self.several |= first != pid;
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

/// Failures of several clients in a row.
const FAILURES_MAX: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_alone_damns_nothing_however_often_its_pictures_fail() {
        let mut suspicion = Suspicion::default();
        for _ in 0..1000 {
            suspicion.record(7);
            assert!(!suspicion.is_damning());
        }
        suspicion.record(8);
        assert!(suspicion.is_damning());
    }

    #[test]
    fn failures_of_two_clients_in_a_row_are_the_encoders() {
        let mut suspicion = Suspicion::default();
        for count in 1..=FAILURES_MAX {
            assert!(!suspicion.is_damning());
            suspicion.record(count % 2);
        }
        assert!(suspicion.is_damning());
    }

    #[test]
    fn one_encoded_picture_clears_it() {
        let mut suspicion = Suspicion::default();
        for _ in 0..10 {
            for count in 1..FAILURES_MAX {
                suspicion.record(count % 2);
            }
            suspicion.clear();
        }
        assert!(!suspicion.is_damning());
    }
}
