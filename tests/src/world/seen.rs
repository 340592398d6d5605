//! What happened in worlds, counted.

/// What a run has shown: a run in which nothing happens proves nothing.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each counts what its name says")]
pub struct Seen {
    pub requests: u32,
    pub refused: u32,
    pub jobs: u32,
    pub packets: u32,
    pub gaps: u32,
    pub lost_gaps: u32,
    pub timeouts: u32,
    pub reference_lost: u32,
    pub ends_of_stream: u32,
    pub device_failures: u32,
    pub expelled: u32,
    pub offline: u32,
    pub shut_down: u32,
    pub tickets_breached: u32,
    pub leases_revoked: u32,
}

impl Seen {
    /// Every count by its name.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u32); 15] {
        [
            ("requests", self.requests),
            ("refused", self.refused),
            ("jobs", self.jobs),
            ("packets", self.packets),
            ("gaps", self.gaps),
            ("gaps by losses", self.lost_gaps),
            ("timeouts", self.timeouts),
            ("references lost", self.reference_lost),
            ("ends of stream", self.ends_of_stream),
            ("failed accesses", self.device_failures),
            ("expelled", self.expelled),
            ("encoders given up", self.offline),
            ("shut down", self.shut_down),
            ("tickets breached", self.tickets_breached),
            ("leases revoked", self.leases_revoked),
        ]
    }

    /// Adds what happened in another world.
    pub fn add(&mut self, other: &Self) {
        self.add_counts(&other.counts().map(|(_, count)| count));
    }

    /// Adds counts in the order of [`Self::counts`].
    pub fn add_counts(&mut self, counts: &[u32]) {
        let own = [
            &mut self.requests,
            &mut self.refused,
            &mut self.jobs,
            &mut self.packets,
            &mut self.gaps,
            &mut self.lost_gaps,
            &mut self.timeouts,
            &mut self.reference_lost,
            &mut self.ends_of_stream,
            &mut self.device_failures,
            &mut self.expelled,
            &mut self.offline,
            &mut self.shut_down,
            &mut self.tickets_breached,
            &mut self.leases_revoked,
        ];
        for (own, other) in own.into_iter().zip(counts) {
            *own = own.saturating_add(*other);
        }
    }
}
