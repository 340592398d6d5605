//! Who may do what, and how much of it: three roles, the right to control, and the limits of one client.
//!
//! A peer is what the kernel says of it when it connects: its user and its primary group. Its role is found once, then
//! each request is held against `needed`. What a request names (a channel, a lease) has an owner besides, which is
//! checked where that is looked up. Who controls may take memory from others; that is no role, as it says nothing about
//! channels.

use crate::core::event::Peer;
use crate::core::refusal::Refusal;
use crate::mem::addr::ByteLen;
use avpu_proto::limits::{CHANNELS_PER_CLIENT_MAX, PACKET_CREDITS_MAX, SUBMIT_CREDITS};
use avpu_proto::request::Request;
use avpu_proto::types::Role;

/// Users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups; a peer counts with its primary one.
    pub gids: Vec<u32>,
}

impl Members {
    fn contain(&self, peer: &Peer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

/// Who has which role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The daemon's own user: it may publish and control.
    pub own_uid: u32,
    /// Who may open channels; `None`: whoever may connect.
    pub publish: Option<Members>,
    /// Who may submit raw physical addresses besides the super-user.
    pub raw: Members,
}

impl Rights {
    /// What a peer may do.
    pub(super) fn role_of(&self, peer: &Peer) -> Role {
        let publishes = |members: &Members| peer.uid == self.own_uid || members.contain(peer);
        if peer.uid == 0 || self.raw.contain(peer) {
            Role::Raw
        } else if self.publish.as_ref().is_none_or(publishes) {
            Role::Publish
        } else {
            Role::Observe
        }
    }

    /// Whether a peer may take memory from others: it could as well end the daemon.
    pub(super) const fn may_control(&self, peer: &Peer) -> bool {
        peer.uid == 0 || peer.uid == self.own_uid
    }

    /// Refuses whoever may not take memory from others.
    pub(super) fn check_control(&self, peer: &Peer) -> Result<(), Refusal> {
        if self.may_control(peer) {
            return Ok(());
        }
        Err(Refusal::NoControl {
            own_uid: self.own_uid,
            peer: *peer,
        })
    }
}

/// What one connection may have; never more than `avpu_proto::limits` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Channels.
    pub channels: u16,
    /// Bytes of reserved memory in leases.
    pub lease_bytes: ByteLen,
    /// Frames accepted and not ended.
    pub frames: u16,
    /// Packets of one subscription that were sent and not released.
    pub packets: u16,
    /// Time from an IDR that it asked for to the next one; 0: no limit.
    pub idr_period_us: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            channels: CHANNELS_PER_CLIENT_MAX,
            lease_bytes: ByteLen::new(u32::MAX),
            frames: SUBMIT_CREDITS,
            packets: PACKET_CREDITS_MAX,
            idr_period_us: 1_000_000,
        }
    }
}

/// The role without which a request is refused whatever it names. An address is looked at with `Submit` itself, as not
/// every one is raw.
pub(super) const fn needed(request: &Request) -> Role {
    match request {
        Request::RegisterRegion(_) | Request::ImportBuffer(_) => Role::Raw,
        Request::OpenChannel(_)
        | Request::CloseChannel(_)
        | Request::LeaseBuffers(_)
        | Request::ReturnLease(_)
        | Request::UnregisterRegion(_)
        | Request::Submit(_)
        | Request::Drain(_)
        | Request::Reconfigure(_)
        | Request::Flush(_)
        | Request::Reset(_)
        | Request::Resume(_)
        | Request::UserData(_) => Role::Publish,
        Request::Capabilities
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::ReleasePackets(_)
        | Request::RequestIdr(_)
        | Request::Status
        | Request::Channels(_)
        | Request::Clients(_)
        | Request::Memory(_)
        | Request::Watch(_)
        | Request::Fits(_)
        | Request::ParameterSets(_)
        | Request::Explain(_)
        | Request::Trace(_)
        // Held against `Rights::check_control` as well.
        | Request::Revoke(_)
        | Request::ReleaseQuarantine(_) => Role::Observe,
    }
}

/// Refuses a peer without the role that is needed.
pub(super) fn check(needed: Role, role: Role, peer: &Peer) -> Result<(), Refusal> {
    if role >= needed {
        return Ok(());
    }
    Err(Refusal::NoRole {
        needed,
        role,
        peer: *peer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer { pid: 1, uid, gid }
    }

    #[test]
    fn whoever_may_connect_may_publish_until_the_settings_name_who() {
        let mut rights = Rights {
            own_uid: 500,
            ..Rights::default()
        };
        assert_eq!(rights.role_of(&peer(1000, 1000)), Role::Publish);
        rights.publish = Some(Members {
            uids: vec![1001],
            gids: vec![44],
        });
        assert_eq!(rights.role_of(&peer(1000, 1000)), Role::Observe);
        assert_eq!(rights.role_of(&peer(1001, 1000)), Role::Publish);
        assert_eq!(rights.role_of(&peer(1000, 44)), Role::Publish);
        assert_eq!(rights.role_of(&peer(500, 1000)), Role::Publish);
    }

    #[test]
    fn raw_addresses_are_for_the_super_user_and_whom_the_settings_name() {
        let rights = Rights {
            own_uid: 500,
            publish: Some(Members::default()),
            raw: Members {
                uids: vec![7],
                gids: vec![44],
            },
        };
        for raw in [peer(0, 9), peer(7, 9), peer(9, 44)] {
            assert_eq!(rights.role_of(&raw), Role::Raw);
        }
        assert_eq!(rights.role_of(&peer(500, 9)), Role::Publish);
        assert_eq!(rights.role_of(&peer(9, 9)), Role::Observe);
    }

    #[test]
    fn control_is_for_the_super_user_and_the_daemons_own() {
        let rights = Rights {
            own_uid: 500,
            ..Rights::default()
        };
        assert_eq!(rights.check_control(&peer(0, 9)), Ok(()));
        assert_eq!(rights.check_control(&peer(500, 9)), Ok(()));
        let refused = rights.check_control(&peer(7, 9)).expect_err("no right");
        let told = "expected user 0 or the daemon's own user 500, found user 7, group 9";
        assert_eq!(refused.to_string(), told);
    }
}
