//! Memory of other allocators that clients registered, and what is left of it when they are gone.
//!
//! A region is its owner's until it is given back or the owner's connection ends. What ends that way may still be written
//! to: the capture hardware that filled it knows nothing of the client's end. So it stays in quarantine in the name of its
//! user, after the last picture that reads it. That user's next process has the same hardware fill the same addresses and
//! takes them over by registering them again, whole or in part; everybody else is refused until the quarantine is over.
//!
//! An imported buffer is no such memory: the kernel keeps it, and gives it to nobody else, while any driver uses it.

use crate::core::event::{ImportKey, Peer, SessionKey};
use crate::core::number::unused;
use crate::core::pool::NotHeld;
use crate::core::time::Micros;
use crate::mem::addr::{PhysAddr, PhysRange};
use avpu_proto::types::RegionId;

/// Regions of all connections, and those in quarantine.
#[derive(Debug)]
pub(super) struct Regions {
    regions: Vec<Region>,
    next: u32,
    /// Imports of which the region is gone.
    released: Vec<ImportKey>,
}

#[derive(Debug)]
struct Region {
    id: RegionId,
    hold: Hold,
    /// Who registered it.
    holder: Peer,
    range: PhysRange,
    /// The buffer of another driver that it is.
    import: Option<ImportKey>,
    /// Frames under way in it.
    pins: u32,
}

/// Whose a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A connection's.
    Owned(SessionKey),
    /// That of a connection which is gone, while the encoder may still read it.
    Read,
    /// Nobody's, while something may still write to it.
    Quarantined {
        since: Micros,
        /// `None`: until somebody vouches for it.
        until: Option<Micros>,
    },
}

/// Who registers a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimant {
    pub(super) session: SessionKey,
    pub(super) peer: Peer,
}

/// Why a range cannot be somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Another connection's region lies there.
    Foreign,
    /// Something that another user left lies there.
    Quarantined { uid: u32 },
}

/// Something in quarantine, for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remains {
    pub(super) range: PhysRange,
    /// Who registered it.
    pub(super) holder: Peer,
    pub(super) since: Micros,
}

/// Why a region is not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReturned {
    /// There is none of that number.
    Unknown,
    /// It is another connection's.
    Foreign,
    /// So many frames are under way in it.
    InUse(u32),
}

impl Regions {
    pub(super) const fn new() -> Self {
        Self {
            regions: Vec::new(),
            next: 1,
            released: Vec::new(),
        }
    }

    /// Who stands against `who` using `range`.
    pub(super) fn check_free(&self, who: Claimant, range: PhysRange) -> Result<(), Taken> {
        let mut others = self
            .regions
            .iter()
            .filter(|region| region.range.overlaps(range));
        let taken = others.find_map(|region| match region.hold {
            Hold::Owned(session) => (session != who.session).then_some(Taken::Foreign),
            Hold::Read | Hold::Quarantined { .. } => {
                let uid = region.holder.uid;
                (uid != who.peer.uid).then_some(Taken::Quarantined { uid })
            }
        });
        taken.map_or(Ok(()), Err)
    }

    /// Pieces that are in quarantine for a user and that registering `range` would not take over.
    pub(super) fn left_beside(&self, uid: u32, range: PhysRange) -> usize {
        let left = self.regions.iter().filter(|region| {
            region.holder.uid == uid
                && region.is_quarantined()
                && !range.contains_range(region.range)
        });
        left.count()
    }

    /// Makes a range that is free for `who` its region. What it covers of the user's quarantine is taken over.
    pub(super) fn add(
        &mut self,
        who: Claimant,
        range: PhysRange,
        import: Option<ImportKey>,
    ) -> RegionId {
        self.forget_within(range, who.peer.uid);
        let id = RegionId::new(unused(self.next, |id| {
            self.regions.iter().any(|region| region.id.value() == id)
        }));
        self.next = id.value().wrapping_add(1);
        self.regions.push(Region {
            id,
            hold: Hold::Owned(who.session),
            holder: who.peer,
            range,
            import,
            pins: 0,
        });
        id
    }

    /// Forgets a region that `session` gives back.
    pub(super) fn give_back(
        &mut self,
        session: SessionKey,
        id: RegionId,
    ) -> Result<(), NotReturned> {
        let region = self.regions.iter().find(|region| region.id == id);
        match region {
            Some(region) if region.hold == Hold::Owned(session) => match region.pins {
                0 => {
                    self.released.extend(region.import);
                    self.regions.retain(|region| region.id != id);
                    Ok(())
                }
                pins => Err(NotReturned::InUse(pins)),
            },
            Some(Region {
                hold: Hold::Owned(_),
                ..
            }) => Err(NotReturned::Foreign),
            _ => Err(NotReturned::Unknown),
        }
    }

    /// `session` is gone: takes one of its regions away. Answers what is in quarantine from now on because of that, until
    /// it has no more.
    pub(super) fn disown(
        &mut self,
        session: SessionKey,
        now: Micros,
        until: Option<Micros>,
    ) -> Option<Option<Remains>> {
        let mut regions = self.regions.iter_mut();
        let region = regions.find(|region| region.hold == Hold::Owned(session))?;
        region.hold = Hold::Read;
        let id = region.id;
        Some(self.rest(id, now, until))
    }

    /// A frame in a region was accepted.
    pub(super) fn pin(&mut self, id: RegionId) {
        let mut regions = self.regions.iter_mut();
        if let Some(region) = regions.find(|region| region.id == id) {
            region.pins += 1;
        }
    }

    /// A frame in a region ended. Answers what is in quarantine from now on because of that.
    pub(super) fn unpin(
        &mut self,
        id: RegionId,
        now: Micros,
        until: Option<Micros>,
    ) -> Option<Remains> {
        let mut regions = self.regions.iter_mut();
        let region = regions.find(|region| region.id == id)?;
        region.pins = region.pins.checked_sub(1).expect("a frame ends once");
        self.rest(id, now, until)
    }

    /// Puts a region that nobody has or reads any more into quarantine, where it is not part of one of its user's
    /// already. Quarantines that begin later end later.
    fn rest(&mut self, id: RegionId, now: Micros, until: Option<Micros>) -> Option<Remains> {
        let over = |region: &Region| region.id == id && region.hold == Hold::Read;
        let index = self
            .regions
            .iter()
            .position(|region| over(region) && region.pins == 0)?;
        let mut region = self.regions.remove(index);
        let (range, holder) = (region.range, region.holder);
        if let Some(import) = region.import {
            self.released.push(import);
            return None;
        }
        for around in &mut self.regions {
            if around.holder.uid != holder.uid || !around.range.contains_range(range) {
                continue;
            }
            match &mut around.hold {
                Hold::Owned(_) => return None,
                Hold::Quarantined { until: end, .. } => {
                    *end = until;
                    return None;
                }
                Hold::Read => {}
            }
        }
        self.forget_within(range, holder.uid);
        region.hold = Hold::Quarantined { since: now, until };
        self.regions.push(region);
        Some(Remains {
            range,
            holder,
            since: now,
        })
    }

    /// When the next quarantine ends.
    pub(super) fn next_release(&self) -> Option<Micros> {
        self.regions.iter().filter_map(Region::ends).min()
    }

    /// Ends the quarantines whose time is over.
    pub(super) fn release_due(&mut self, now: Micros) {
        let is_due = |region: &Region| region.ends().is_some_and(|until| until <= now);
        self.regions.retain(|region| !is_due(region));
    }

    /// Ends the quarantine that begins at `address`: somebody vouches for it.
    pub(super) fn pardon(&mut self, address: PhysAddr) -> Result<(), NotHeld> {
        let before = self.regions.len();
        self.regions
            .retain(|region| !(region.is_quarantined() && region.range.start() == address));
        if self.regions.len() < before {
            return Ok(());
        }
        let read = |region: &Region| region.hold == Hold::Read && region.range.contains(address);
        if self.regions.iter().any(read) {
            Err(NotHeld::InUse)
        } else {
            Err(NotHeld::Nothing)
        }
    }

    /// What is in quarantine.
    pub(super) fn remains(&self) -> impl Iterator<Item = Remains> + '_ {
        self.regions.iter().filter_map(|region| match region.hold {
            Hold::Quarantined { since, .. } => Some(Remains {
                range: region.range,
                holder: region.holder,
                since,
            }),
            Hold::Owned(_) | Hold::Read => None,
        })
    }

    /// Bytes in quarantine; what lies in two pieces counts twice.
    pub(super) fn left_bytes(&self) -> u64 {
        let bytes = |remains: Remains| u64::from(remains.range.len().get());
        self.remains().map(bytes).sum()
    }

    /// The region of `session` that holds a range, or else one in which the range begins: its regions may overlap.
    pub(super) fn own(
        &self,
        session: SessionKey,
        range: PhysRange,
    ) -> Option<(RegionId, PhysRange)> {
        let begins = |region: &&Region| {
            region.hold == Hold::Owned(session) && region.range.contains(range.start())
        };
        let mut own = self.regions.iter().filter(begins);
        let whole = own.clone().find(|r| r.range.contains_range(range));
        let region = whole.or_else(|| own.next())?;
        Some((region.id, region.range))
    }

    /// Regions of a session.
    pub(super) fn count_of(&self, session: SessionKey) -> usize {
        let own = |region: &&Region| region.hold == Hold::Owned(session);
        self.regions.iter().filter(own).count()
    }

    /// An import that nothing refers to any more.
    pub(super) fn take_released_import(&mut self) -> Option<ImportKey> {
        self.released.pop()
    }

    /// Whether somebody has a region, or a frame is under way in one.
    #[cfg(test)]
    pub(super) fn are_held(&self) -> bool {
        !self.regions.iter().all(Region::is_quarantined)
    }

    /// Forgets what lies in quarantine for this user within a range.
    fn forget_within(&mut self, range: PhysRange, uid: u32) {
        self.regions.retain(|region| {
            let within = region.holder.uid == uid && range.contains_range(region.range);
            !(within && region.is_quarantined())
        });
    }
}

impl Region {
    const fn is_quarantined(&self) -> bool {
        matches!(self.hold, Hold::Quarantined { .. })
    }

    const fn ends(&self) -> Option<Micros> {
        match self.hold {
            Hold::Quarantined { until, .. } => until,
            Hold::Owned(_) | Hold::Read => None,
        }
    }
}

/// Pieces that one user may have in quarantine before it has to take some over, or wait: a client that dies again and
/// again, each time with other addresses, is not remembered without end.
pub(super) const LEFT_BY_USER_MAX: u16 = 64;
