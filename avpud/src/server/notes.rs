//! What the core noted, as log lines. What clients can cause as often as they like has limits of its own, so that it does
//! not hide what goes wrong.

use super::Server;
use crate::core::event::Peer;
use crate::core::note::{Ending, Note};
use crate::device::Device;
use avpu_proto::version::Reason;
use slog::{error, info, warn};

impl<D: Device> Server<D> {
    /// Writes a line, unless there were enough of its kind in this second.
    pub(super) fn record(&mut self, note: &Note) {
        let limit = match note {
            Note::Timeout { .. }
            | Note::PictureFailed { .. }
            | Note::PictureTooLarge { .. }
            | Note::TicketBreached { .. }
            | Note::CostCounted { .. }
            | Note::TicketDoubtful { .. } => Some(&mut self.rate),
            // Clients open and close as often as they like; that must not hide what goes wrong.
            Note::ChannelOpened { .. } | Note::ChannelClosed { .. } => Some(&mut self.chatter),
            Note::Refused { .. } => Some(&mut self.refusals),
            Note::Quarantined { .. } => Some(&mut self.chatter),
            Note::ChannelTooLarge { .. }
            | Note::LeaseRevoking { .. }
            | Note::LeaseFenced { .. }
            | Note::LeaseRevoked { .. }
            | Note::QuarantineReleased { .. }
            | Note::MemoryCondemned { .. }
            | Note::EngineOffline { .. } => None,
        };
        let Some(suppressed) = limit.map_or(Some(0), |limit| limit.allow(self.now)) else {
            return;
        };
        match note {
            Note::Timeout {
                channel,
                job,
                started,
                expected_us,
            } => warn!(self.log, "a picture missed its deadline: resetting the encoder";
                "channel" => channel.index(), "job" => job.value(),
                "waited_us" => self.now.since_us(*started), "expected_us" => *expected_us,
                "suppressed" => suppressed),
            Note::PictureFailed {
                channel,
                job,
                outcome,
            } => warn!(self.log, "a picture failed"; "channel" => channel.index(),
                "job" => job.value(), "outcome" => ?outcome, "suppressed" => suppressed),
            Note::PictureTooLarge {
                channel,
                job,
                qp,
                bytes,
            } => warn!(self.log, "a picture did not fit and is encoded once more";
                "channel" => channel.index(), "job" => job.value(), "qp" => *qp, "bytes" => *bytes,
                "suppressed" => suppressed),
            Note::ChannelTooLarge { channel, qp, bytes } => {
                error!(self.log, "a channel's pictures do not fit even at its highest QP";
                    "channel" => channel.index(), "qp" => *qp, "bytes" => *bytes);
            }
            Note::MemoryCondemned { memory, guards } => {
                error!(self.log, "memory is out of use from here on"; "memory" => %memory,
                    "guards" => ?guards);
            }
            Note::TicketBreached {
                channel,
                frame,
                wait_us,
                ticket_us,
            } => warn!(self.log, "a picture waited longer than promised";
                "channel" => channel.index(), "frame" => frame.value(), "waited_us" => *wait_us,
                "ticket_us" => *ticket_us, "suppressed" => suppressed),
            Note::CostCounted { .. } | Note::TicketDoubtful { .. } => {
                self.record_overrun(note, suppressed);
            }
            Note::EngineOffline { engine } => {
                error!(self.log, "the encoder cannot be brought back"; "engine" => engine.index());
            }
            Note::ChannelOpened { channel, name, pid } => {
                info!(self.log, "channel opened"; "channel" => channel.index(), "name" => name,
                    "pid" => *pid, "suppressed" => suppressed);
            }
            Note::ChannelClosed { channel, name } => {
                info!(self.log, "channel closed"; "channel" => channel.index(), "name" => name,
                    "suppressed" => suppressed);
            }
            Note::Refused {
                peer,
                code,
                sentence,
            } => warn!(self.log, "a request was refused"; "pid" => peer.pid, "uid" => peer.uid,
                "gid" => peer.gid, "code" => code.word(), "cause" => sentence,
                "suppressed" => suppressed),
            Note::Quarantined {
                memory,
                holder,
                time_us,
            } => warn!(self.log, "memory that was not given back is in quarantine";
                "memory" => %memory, "pid" => holder.pid, "uid" => holder.uid,
                "time_ms" => time_us.map(|us| us / 1000), "suppressed" => suppressed),
            Note::QuarantineReleased { address, by } => {
                warn!(self.log, "memory was released from quarantine"; "memory" => %address,
                    "by_pid" => by.pid, "by_uid" => by.uid);
            }
            Note::LeaseRevoking { .. } | Note::LeaseFenced { .. } | Note::LeaseRevoked { .. } => {
                self.record_revocation(note);
            }
        }
    }

    fn record_overrun(&self, note: &Note, suppressed: u32) {
        match note {
            Note::CostCounted {
                channel,
                kind,
                stated_us,
                counted_us,
            } if counted_us > stated_us => {
                warn!(self.log, "pictures take longer than the device states";
                    "channel" => channel.index(), "kind" => ?kind, "stated_us" => *stated_us,
                    "counted_us" => *counted_us, "suppressed" => suppressed);
            }
            Note::CostCounted { channel, kind, .. } => {
                info!(self.log, "pictures take no longer than the device states again";
                    "channel" => channel.index(), "kind" => ?kind, "suppressed" => suppressed);
            }
            Note::TicketDoubtful {
                channel,
                ticket_us,
                is_doubtful: true,
            } => {
                warn!(self.log, "a ticket is in doubt: pictures take longer than the device states";
                "channel" => channel.index(), "ticket_us" => *ticket_us, "suppressed" => suppressed)
            }
            Note::TicketDoubtful { channel, .. } => {
                info!(self.log, "a ticket holds again"; "channel" => channel.index(),
                    "suppressed" => suppressed);
            }
            _ => {}
        }
    }

    /// Writes a line about a connection that was turned away.
    pub(super) fn record_turned_away(&mut self, peer: Peer, reason: Reason) {
        if let Some(suppressed) = self.refusals.allow(self.now) {
            warn!(self.log, "a connection was turned away"; "pid" => peer.pid, "uid" => peer.uid,
                "gid" => peer.gid, "cause" => %reason, "suppressed" => suppressed);
        }
    }

    /// One line for each phase of a revocation.
    fn record_revocation(&self, note: &Note) {
        match note {
            Note::LeaseRevoking {
                lease,
                holder,
                by,
                grace_us,
            } => warn!(self.log, "a lease is revoked: its holder was told";
                "lease" => lease.value(), "pid" => holder.pid, "uid" => holder.uid,
                "by_pid" => by.pid, "by_uid" => by.uid, "fenced_in_us" => *grace_us),
            Note::LeaseFenced {
                lease,
                holder,
                after_us,
                dropped,
                frames,
            } => warn!(self.log, "a revoked lease is fenced: nothing new is taken from it";
                "lease" => lease.value(), "pid" => holder.pid, "uid" => holder.uid,
                "after_us" => *after_us, "dropped" => *dropped, "in_encoder" => *frames),
            Note::LeaseRevoked {
                lease,
                holder,
                how,
                after_us,
                fenced_us,
            } => warn!(self.log, "a revoked lease is gone"; "lease" => lease.value(),
                "pid" => holder.pid, "uid" => holder.uid, "cause" => cause(*how),
                "after_us" => *after_us, "since_fence_us" => *fenced_us),
            _ => {}
        }
    }
}

const fn cause(how: Ending) -> &'static str {
    match how {
        Ending::Returned => "its holder returned it in time",
        Ending::Left => "its holder is gone",
        Ending::Fenced => "its holder's time was over and the encoder is done with it",
    }
}
