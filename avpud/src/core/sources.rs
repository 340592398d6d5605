//! Where source pictures may come from: leased buffers, registered regions, source windows.
//!
//! The encoder has no IOMMU, so this is what stands between a client's number and any byte of the machine. An address is
//! resolved to a checked range and to the object that holds it; a frame pins that object until it ended, so that
//! nothing is taken back while it is queued or may be read. Checks run in one order and each has its own refusal:
//! alignment, end, owner or right, bounds, overlap.

use crate::core::event::{ImportKey, LeaseKey, Peer, SessionKey};
use crate::core::number::unused;
use crate::core::pool::Lease;
use crate::core::refusal::Refusal;
use crate::core::regions::{Claimant, LEFT_BY_USER_MAX, NotReturned, Regions, Taken};
use crate::core::role;
use crate::core::time::Micros;
use crate::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use avpu_proto::types::{LeaseId, RegionId, Role, SourceLayout};

/// All source memory that is not the daemon's own affair.
#[derive(Debug)]
pub(super) struct Sources {
    rules: SourceRules,
    leases: Vec<SourceLease>,
    lease_next: u32,
    pub(super) regions: Regions,
}

/// What never changes while the daemon runs.
#[derive(Clone, Debug)]
pub(super) struct SourceRules {
    pub(super) arena: PhysRange,
    pub(super) windows: Vec<PhysRange>,
    pub(super) system_memory: Vec<PhysRange>,
    pub(super) alignment: Alignment,
}

/// Buffers leased to a client.
#[derive(Debug)]
pub(super) struct SourceLease {
    pub(super) key: LeaseKey,
    /// `None` once the owner is gone while the encoder may still read a buffer.
    pub(super) owner: Option<SessionKey>,
    pub(super) memory: Lease,
    pub(super) buffers: Buffers,
    /// The shell was asked to export it and has not answered.
    pub(super) granting: Option<Grant>,
    pub(super) possession: Possession,
    /// Whose it is, or was.
    pub(super) holder: Peer,
    /// When its holder was told to return it.
    pub(super) told: Option<Micros>,
    /// When it was fenced.
    pub(super) fenced: Option<Micros>,
    /// No descriptor bounds who reaches it: it is known by its physical address.
    pub(super) is_open: bool,
    /// Frames under way in it.
    pub(super) pins: u32,
}

/// How far a lease is its holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Possession {
    /// It is.
    Held,
    /// It was told to give it back.
    Revoking {
        /// When it is fenced.
        until: Micros,
    },
    /// Nothing new is taken from it.
    Fenced,
}

/// The request that is answered when the shell has exported the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) request: u16,
}

/// What is known of an imported buffer besides its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Imported {
    pub(super) key: ImportKey,
    /// It may lie in the kernel's memory.
    pub(super) may_be_system: bool,
}

/// The object that a frame's source lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A lease.
    Lease(LeaseKey),
    /// A registered region.
    Region(RegionId),
    /// A source window: nothing to pin.
    Window,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) session: SessionKey,
    pub(super) peer: Peer,
    pub(super) role: Role,
}

impl Asker {
    const fn claimant(&self) -> Claimant {
        Claimant {
            session: self.session,
            peer: self.peer,
        }
    }
}

impl Sources {
    pub(super) const fn new(rules: SourceRules) -> Self {
        Self {
            rules,
            leases: Vec::new(),
            lease_next: 1,
            regions: Regions::new(),
        }
    }

    /// The range of a picture of `len` bytes at `address`, and what holds it.
    pub(super) fn resolve(
        &self,
        asker: Asker,
        address: PhysAddr,
        len: ByteLen,
    ) -> Result<(PhysRange, Holder), Refusal> {
        let range = self.aligned_range(address, len)?;
        for lease in &self.leases {
            if !lease.memory.range().contains(address) {
                continue;
            }
            if lease.owner != Some(asker.session) || lease.possession == Possession::Fenced {
                return Err(Refusal::Foreign { address });
            }
            let holds = lease.pictures().any(|buffer| buffer.contains_range(range));
            return if holds {
                Ok((range, Holder::Lease(lease.key)))
            } else {
                Err(Refusal::OutOfBounds { address, len })
            };
        }
        if let Some((id, region)) = self.regions.own(asker.session, range) {
            return if region.contains_range(range) {
                Ok((range, Holder::Region(id)))
            } else {
                Err(Refusal::OutOfBounds { address, len })
            };
        }
        self.check_raw(asker, range)?;
        Ok((range, Holder::Window))
    }

    /// Registers memory of another allocator.
    pub(super) fn register(
        &mut self,
        asker: Asker,
        address: PhysAddr,
        len: ByteLen,
    ) -> Result<RegionId, Refusal> {
        let range = self.aligned_range(address, len)?;
        self.check_raw(asker, range)?;
        let uid = asker.peer.uid;
        if self.regions.left_beside(uid, range) >= LEFT_BY_USER_MAX.into() {
            let max = LEFT_BY_USER_MAX;
            return Err(Refusal::LeftTooMuch { uid, max });
        }
        Ok(self.regions.add(asker.claimant(), range, None))
    }

    /// Registers a buffer of another driver, whose place the kernel told.
    pub(super) fn register_imported(
        &mut self,
        who: Claimant,
        range: PhysRange,
        imported: Imported,
    ) -> Result<RegionId, Refusal> {
        self.aligned_range(range.start(), range.len_bytes())?;
        self.check_overlap(who, range, imported.may_be_system)?;
        Ok(self.regions.add(who, range, Some(imported.key)))
    }

    /// Forgets a region of `session`.
    pub(super) fn unregister(&mut self, session: SessionKey, id: RegionId) -> Result<(), Refusal> {
        let (what, number) = ("region", id.value());
        self.regions
            .give_back(session, id)
            .map_err(|error| match error {
                NotReturned::Unknown => Refusal::NoSuchObject { what, id: number },
                NotReturned::Foreign => Refusal::ForeignObject { what, id: number },
                NotReturned::InUse(frames) => Refusal::InUse { what, frames },
            })
    }

    /// Records a lease that the shell is about to export.
    pub(super) fn add_lease(&mut self, make: impl FnOnce(LeaseKey) -> SourceLease) -> LeaseKey {
        let key = LeaseKey::new(unused(self.lease_next, |id| {
            self.leases.iter().any(|lease| lease.key.value() == id)
        }));
        self.lease_next = key.value().wrapping_add(1);
        self.leases.push(make(key));
        key
    }

    /// A lease by its key.
    pub(super) fn lease_mut(&mut self, key: LeaseKey) -> Option<&mut SourceLease> {
        self.leases.iter_mut().find(|lease| lease.key == key)
    }

    /// Takes a lease out of the books.
    pub(super) fn remove_lease(&mut self, key: LeaseKey) -> Option<SourceLease> {
        let index = self.leases.iter().position(|lease| lease.key == key)?;
        Some(self.leases.remove(index))
    }

    /// Takes a lease of `session` out of the books, unless a frame in it is under way.
    pub(super) fn return_lease(
        &mut self,
        session: SessionKey,
        id: LeaseId,
    ) -> Result<SourceLease, Refusal> {
        let what = "lease";
        let key = LeaseKey::new(id.value());
        let index = self.leases.iter().position(|lease| lease.key == key);
        let index = index.filter(|index| {
            let lease = self.leases.get(*index);
            lease.is_some_and(|lease| {
                lease.granting.is_none() && lease.possession != Possession::Fenced
            })
        });
        let Some((index, lease)) = index.and_then(|i| Some((i, self.leases.get(i)?))) else {
            return Err(Refusal::NoSuchObject {
                what,
                id: id.value(),
            });
        };
        if lease.owner != Some(session) {
            return Err(Refusal::ForeignObject {
                what,
                id: id.value(),
            });
        }
        if lease.pins > 0 {
            return Err(Refusal::InUse {
                what,
                frames: lease.pins,
            });
        }
        Ok(self.leases.remove(index))
    }

    /// A frame in a lease was accepted.
    pub(super) fn pin_lease(&mut self, key: LeaseKey) {
        if let Some(lease) = self.lease_mut(key) {
            lease.pins += 1;
        }
    }

    /// A frame in a lease ended. Answers the lease where nobody owns or reads it any more.
    pub(super) fn unpin_lease(&mut self, key: LeaseKey) -> Option<SourceLease> {
        let lease = self.lease_mut(key)?;
        lease.pins = lease.pins.checked_sub(1).expect("a frame ends once");
        let is_wanted = lease.owner.is_some() && lease.possession != Possession::Fenced;
        if lease.pins > 0 || is_wanted || lease.granting.is_some() {
            return None;
        }
        self.remove_lease(key)
    }

    /// `session` is gone: its leases are disowned. Those that nothing reads are answered one by one, until `None`.
    pub(super) fn disown(&mut self, session: SessionKey) -> Option<SourceLease> {
        for lease in &mut self.leases {
            if lease.owner == Some(session) {
                lease.owner = None;
            }
        }
        let index = self.leases.iter().position(|lease| {
            lease.owner.is_none() && lease.pins == 0 && lease.granting.is_none()
        })?;
        Some(self.leases.remove(index))
    }

    /// The lease that is fenced next, and when.
    pub(super) fn first_revocation(&self) -> Option<(Micros, LeaseKey)> {
        let until = |lease: &SourceLease| match lease.possession {
            Possession::Revoking { until } => Some((until, lease.key)),
            Possession::Held | Possession::Fenced => None,
        };
        self.leases.iter().filter_map(until).min()
    }

    /// Takes a fenced lease out of the books, unless a frame in it is under way.
    pub(super) fn take_fenced(&mut self, key: LeaseKey) -> Option<SourceLease> {
        let is_free = |lease: &SourceLease| lease.key == key && lease.pins == 0;
        let index = self.leases.iter().position(is_free)?;
        Some(self.leases.remove(index))
    }

    /// Whether nothing new may be read from there.
    pub(super) fn is_fenced(&self, holder: Holder) -> bool {
        let fenced = |lease: &SourceLease| {
            holder == Holder::Lease(lease.key) && lease.possession == Possession::Fenced
        };
        self.leases.iter().any(fenced)
    }

    /// The lease of this memory, guard pages counted, where somebody holds it.
    pub(super) fn held_in(&self, extent: PhysRange) -> Option<LeaseId> {
        let held = |lease: &&SourceLease| {
            lease.owner.is_some() && extent.contains_range(lease.memory.range())
        };
        let lease = self.leases.iter().find(held)?;
        Some(LeaseId::new(lease.key.value()))
    }

    /// Leases whose owner is gone and that cannot be taken back yet.
    pub(super) fn orphans(&self) -> impl Iterator<Item = &SourceLease> {
        self.leases.iter().filter(|lease| lease.owner.is_none())
    }

    /// As after the last number.
    #[cfg(test)]
    pub(super) fn begin_anew(&mut self) {
        self.lease_next = 0;
    }

    /// Leases of everybody.
    pub(super) fn lease_count(&self) -> u32 {
        u32::try_from(self.leases.len()).unwrap_or(u32::MAX)
    }

    /// Leases of a session and the bytes in them.
    pub(super) fn leases_of(&self, session: SessionKey) -> (u16, u64) {
        let own = self
            .leases
            .iter()
            .filter(|lease| lease.owner == Some(session));
        own.fold((0, 0), |(count, bytes), lease| {
            let len = lease.memory.range().len().get();
            (count + 1, bytes + u64::from(len))
        })
    }

    /// Whether nobody has a lease or region.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty() && !self.regions.are_held()
    }

    fn aligned_range(&self, address: PhysAddr, len: ByteLen) -> Result<PhysRange, Refusal> {
        let alignment = self.rules.alignment;
        if address.value() == 0 || !address.is_aligned(alignment) {
            return Err(Refusal::Unaligned { address, alignment });
        }
        PhysRange::new(address, len).map_err(|_| Refusal::OutOfBounds { address, len })
    }

    /// Checks a range that the daemon does not own: window, right, and overlap with what is somebody's.
    fn check_raw(&self, asker: Asker, range: PhysRange) -> Result<(), Refusal> {
        let (address, len) = (range.start(), range.len_bytes());
        let window = self.rules.windows.iter().find(|w| w.contains(address));
        let Some(window) = window else {
            return Err(Refusal::Foreign { address });
        };
        role::check(Role::Raw, asker.role, &asker.peer)?;
        if !window.contains_range(range) {
            return Err(Refusal::OutOfBounds { address, len });
        }
        self.check_overlap(asker.claimant(), range, false)
    }

    /// Checks that a range is nobody else's.
    fn check_overlap(
        &self,
        who: Claimant,
        range: PhysRange,
        may_be_system: bool,
    ) -> Result<(), Refusal> {
        let (address, len) = (range.start(), range.len_bytes());
        let overlap = |with| Err(Refusal::Overlap { address, len, with });
        if self.rules.arena.overlaps(range) {
            return overlap("the daemon's memory");
        }
        let is_system = self.rules.system_memory.iter().any(|m| m.overlaps(range));
        if is_system && !may_be_system {
            return overlap("the system's memory");
        }
        match self.regions.check_free(who, range) {
            Ok(()) => Ok(()),
            Err(Taken::Foreign) => overlap("another client's region"),
            Err(Taken::Quarantined { uid }) => Err(Refusal::Quarantined { address, len, uid }),
        }
    }
}

impl SourceLease {
    /// A lease that waits for the shell's answer.
    pub(super) const fn granting(
        key: LeaseKey,
        (owner, holder): (SessionKey, Peer),
        memory: Lease,
        buffers: Buffers,
        request: u16,
    ) -> Self {
        Self {
            key,
            owner: Some(owner),
            memory,
            buffers,
            granting: Some(Grant { request }),
            possession: Possession::Held,
            holder,
            told: None,
            fenced: None,
            is_open: false,
            pins: 0,
        }
    }

    /// The memory of its buffers.
    pub(super) fn pictures(&self) -> impl Iterator<Item = PhysRange> + '_ {
        let range = self.memory.range();
        (0..self.buffers.count).filter_map(move |index| {
            let offset = u32::from(index).checked_mul(self.buffers.step.value())?;
            range
                .sub(
                    crate::mem::addr::RegionOffset::new(offset),
                    self.buffers.len,
                )
                .ok()
        })
    }
}

/// The buffers of a lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffers {
    /// Of each.
    pub(super) layout: SourceLayout,
    /// Bytes of a picture.
    pub(super) len: ByteLen,
    /// Bytes from one buffer to the next.
    pub(super) step: ByteLen,
    pub(super) count: u8,
}
