//! Memory taken from a client that has not given it back: by an operator, or because the client is gone.
//!
//! Revoking has two phases. *Told*: the holder learns how long it has, and goes on as before; what it returns in time is
//! gone as if it had never been asked for. *Fenced*: nothing new is taken from that memory, what waits in it is
//! dropped, and a picture in the encoder still ends, be it by a reset. Only then, when no job that reads it is left,
//! the shell takes the memory back, looks at its guards, and it may be leased again.
//!
//! A lease that is reached through a descriptor ends with that: the shell puts other memory behind it. One that is
//! reached by its physical address does not. Its holder may have it mapped, and capture hardware may still fill it. Such
//! memory that was not returned stays in quarantine for the time that the settings say, or until an operator says that
//! nothing writes to it any more. What a client had registered of other allocators waits [likewise](super::regions).

use crate::core::broker::{Answer, Broker};
use crate::core::event::{LeaseKey, Output, Peer, SessionKey};
use crate::core::note::{Ending, Note};
use crate::core::pool::{Lease, NotHeld};
use crate::core::refusal::Refusal;
use crate::core::sources::{Asker, Holder, Possession, SourceLease};
use crate::core::time::Micros;
use crate::core::timer::Timer;
use crate::job::ChannelKey;
use crate::mem::addr::{PhysAddr, PhysRange};
use avpu_proto::event::{Event, LeaseRevoked, LeaseRevoking};
use avpu_proto::reply::Reply;
use avpu_proto::request::{ReleaseQuarantine, Revoke};
use avpu_proto::types::{DropReason, LeaseId};

impl Broker {
    /// Tells the holder of a lease that it will be taken back. A second request shortens the time but never extends it.
    pub(super) fn revoke_lease(&mut self, asker: Asker, wish: Revoke) -> Answer {
        let grace_us = match wish.grace_us {
            0 => GRACE_US,
            asked => asked,
        };
        let now = self.now;
        let until = now.plus_us(u64::from(grace_us));
        let key = LeaseKey::new(wish.lease.value());
        let lease = self.sources.lease_mut(key);
        let holder = lease.and_then(|lease| Some((lease.owner?, lease)));
        let Some((owner, lease)) = holder.filter(|(_, lease)| lease.granting.is_none()) else {
            return Err(Refusal::NoSuchObject {
                what: "lease that somebody holds",
                id: wish.lease.value(),
            });
        };
        match lease.possession {
            Possession::Held => {}
            Possession::Revoking { until: before } if until < before => {}
            Possession::Revoking { .. } | Possession::Fenced => return Ok(Some(Reply::Done)),
        }
        lease.possession = Possession::Revoking { until };
        lease.told.get_or_insert(now);
        let holder = lease.holder;
        let lease = wish.lease;
        self.note(Note::LeaseRevoking {
            lease: key,
            holder,
            by: asker.peer,
            grace_us: grace_us.into(),
        });
        self.event(
            owner,
            Event::LeaseRevoking(LeaseRevoking { lease, grace_us }),
        );
        self.arm_revocation();
        Ok(Some(Reply::Done))
    }

    pub(super) fn handle_revocation(&mut self) {
        while let Some((until, key)) = self.sources.first_revocation() {
            if until > self.now {
                break;
            }
            self.fence(key);
        }
        self.arm_revocation();
    }

    /// Nothing is taken from this lease any more.
    fn fence(&mut self, key: LeaseKey) {
        let now = self.now;
        let Some(lease) = self.sources.lease_mut(key) else {
            return;
        };
        lease.possession = Possession::Fenced;
        lease.fenced = Some(now);
        let (pins, holder, told) = (lease.pins, lease.holder, lease.told);
        let source = Holder::Lease(key);
        let queued = self.all_channels().flat_map(|channel| &channel.queue);
        let dropped = queued.filter(|frame| frame.holder == source).count();
        let dropped = u32::try_from(dropped).unwrap_or(u32::MAX);
        self.note(Note::LeaseFenced {
            lease: key,
            holder,
            after_us: told.map_or(0, |told| now.since_us(told)),
            dropped,
            frames: pins.saturating_sub(dropped),
        });
        for index in 0..self.config.channels_max {
            self.drop_sources(ChannelKey::new(index), source);
        }
        if let Some(lease) = self.sources.take_fenced(key) {
            self.take_back_unreturned(lease);
        }
        self.start_next();
    }

    /// Drops what a channel has queued from this source.
    fn drop_sources(&mut self, key: ChannelKey, holder: Holder) {
        while let Some(channel) = self.channel_mut(key) {
            let mut queue = channel.queue.iter();
            let Some(index) = queue.position(|frame| frame.holder == holder) else {
                return;
            };
            if let Some(frame) = channel.queue.remove(index) {
                channel.key_frames.force(frame.force_idr);
                self.drop_frame(key, &frame, DropReason::Revoked);
                self.offer(key);
                self.resume_held(key);
                self.finish_channel(key);
            }
        }
    }

    /// Takes exported memory back from whoever had it and gave it up.
    pub(super) fn take_back_returned(&mut self, lease: SourceLease) {
        self.withdraw(lease, false);
    }

    /// Takes exported memory back that its holder has not given up.
    pub(super) fn take_back_unreturned(&mut self, lease: SourceLease) {
        let is_open = lease.is_open;
        self.withdraw(lease, is_open);
    }

    fn withdraw(&mut self, lease: SourceLease, quarantined: bool) {
        let (key, memory) = (lease.key, lease.memory.range());
        let left_by = quarantined.then_some(lease.holder);
        if let Some(told) = lease.told {
            self.note(Note::LeaseRevoked {
                lease: key,
                holder: lease.holder,
                how: match (lease.owner, lease.fenced) {
                    (_, Some(_)) => Ending::Fenced,
                    (Some(_), None) => Ending::Returned,
                    (None, None) => Ending::Left,
                },
                after_us: self.now.since_us(told),
                fenced_us: lease.fenced.map(|fenced| self.now.since_us(fenced)),
            });
        }
        if let (Some(owner), false) = (lease.owner, lease.possession == Possession::Held) {
            let lease = LeaseId::new(key.value());
            self.event(owner, Event::LeaseRevoked(LeaseRevoked { lease }));
        }
        self.arm_revocation();
        self.push(Output::RevokeLease { lease: key, memory });
        self.retire(lease.memory, left_by);
    }

    /// Keeps memory out of use for as long as something may still write to it.
    pub(super) fn hold_back(&mut self, memory: Lease, holder: Peer) {
        let until = self.quarantine_end();
        self.note_quarantine(memory.range(), holder);
        self.pool.hold(memory, until);
        self.arm_quarantine();
    }

    /// A frame in this source was accepted.
    pub(super) fn pin(&mut self, holder: Holder) {
        match holder {
            Holder::Lease(key) => self.sources.pin_lease(key),
            Holder::Region(id) => self.sources.regions.pin(id),
            Holder::Window => {}
        }
    }

    /// A frame in this source ended: the encoder may have been the last that used it.
    pub(super) fn unpin(&mut self, holder: Holder) {
        match holder {
            Holder::Lease(key) => {
                if let Some(lease) = self.sources.unpin_lease(key) {
                    self.take_back_unreturned(lease);
                }
            }
            Holder::Region(id) => {
                let (now, until) = (self.now, self.quarantine_end());
                if let Some(left) = self.sources.regions.unpin(id, now, until) {
                    self.note_quarantine(left.range, left.holder);
                    self.arm_quarantine();
                }
            }
            Holder::Window => {}
        }
    }

    /// What a client registered stays in quarantine when it is gone.
    pub(super) fn leave_regions(&mut self, session: SessionKey) {
        let (now, until) = (self.now, self.quarantine_end());
        while let Some(left) = self.sources.regions.disown(session, now, until) {
            if let Some(left) = left {
                self.note_quarantine(left.range, left.holder);
            }
        }
        self.arm_quarantine();
    }

    fn note_quarantine(&mut self, memory: PhysRange, holder: Peer) {
        let time_us = self.config.quarantine_us;
        self.note(Note::Quarantined {
            memory,
            holder,
            time_us,
        });
    }

    fn quarantine_end(&self) -> Option<Micros> {
        let time_us = self.config.quarantine_us;
        time_us.map(|us| self.now.plus_us(us))
    }

    pub(super) fn handle_quarantine(&mut self) {
        while self.pool.release_due(self.now) {}
        self.sources.regions.release_due(self.now);
        self.arm_quarantine();
    }

    /// An operator says that nothing writes to this memory any more.
    pub(super) fn release_quarantine(&mut self, asker: Asker, which: ReleaseQuarantine) -> Answer {
        let address = PhysAddr::new(which.address.value());
        let pardoned = match self.pool.pardon(address) {
            Err(NotHeld::Nothing) => self.sources.regions.pardon(address),
            pardoned => pardoned,
        };
        match pardoned {
            Ok(()) => {
                let by = asker.peer;
                self.note(Note::QuarantineReleased { address, by });
                self.arm_quarantine();
                Ok(Some(Reply::Done))
            }
            Err(NotHeld::Nothing) => Err(Refusal::NoQuarantine { address }),
            Err(NotHeld::InUse) => Err(Refusal::InEncoder { address }),
        }
    }

    fn arm_revocation(&mut self) {
        let first = self.sources.first_revocation();
        match first {
            Some((until, _)) => self.timers.arm(Timer::Revocation, until),
            None => self.timers.disarm(Timer::Revocation),
        }
    }

    fn arm_quarantine(&mut self) {
        let next = [
            self.pool.next_release(),
            self.sources.regions.next_release(),
        ];
        match next.into_iter().flatten().min() {
            Some(until) => self.timers.arm(Timer::Quarantine, until),
            None => self.timers.disarm(Timer::Quarantine),
        }
    }
}

/// Time that a holder has where the operator does not say.
const GRACE_US: u32 = 1_000_000;
