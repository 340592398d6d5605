//! What the daemon knows of one connection: who it is and what it owns.
//!
//! Channels, leases, regions and subscriptions name their owner; this is the other half of the ledger, the counters
//! against which limits are checked and which must be zero when the connection leaves.

use crate::core::event::Peer;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::types::{Role, SubscriptionId};

/// A connection that agreed on a version.
#[derive(Debug)]
pub(super) struct Session {
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// What it may do.
    pub(super) role: Role,
    /// Since when.
    pub(super) connected: Micros,
    /// It asked for the liveness events of all channels.
    pub(super) watches: bool,
    /// Requests so far.
    pub(super) requests: u32,
    /// Requests refused so far.
    pub(super) refusals: u32,
    /// IDRs that it asked for.
    pub(super) idr_requests: u32,
    /// Channels that it owns, those being closed included.
    pub(super) channels: u16,
    /// Frames that were accepted and have not ended.
    pub(super) frames_outstanding: u16,
    /// Submits that wait for room and are not answered yet.
    pub(super) submits_held: u16,
    /// Channels that it reads.
    pub(super) subscriptions: Vec<(SubscriptionId, ChannelKey)>,
}

impl Session {
    pub(super) const fn new(peer: Peer, role: Role, now: Micros) -> Self {
        Self {
            peer,
            role,
            connected: now,
            watches: false,
            requests: 0,
            refusals: 0,
            idr_requests: 0,
            channels: 0,
            frames_outstanding: 0,
            submits_held: 0,
            subscriptions: Vec::new(),
        }
    }

    /// Whether it reads this channel.
    pub(super) fn reads(&self, channel: ChannelKey) -> bool {
        self.subscriptions.iter().any(|(_, key)| *key == channel)
    }
}
