//! Leases over the reserved memory. Never touches memory, only decides who has which part of it.
//!
//! First fit in address order, each lease between two guard pages that are part of it. A [`Lease`] is move-only and comes
//! back through [`Pool::release`]; dropping one would lose its memory until the daemon ends, so it is `must_use`. A lease
//! whose owner is gone while something may still touch its memory is in quarantine: it counts as used until it is
//! released. The pool holds those that nothing else holds: for a time, or, where memory came back overwritten at its
//! ends and nobody knows what still writes there, until somebody vouches for it ([`Pool::pardon`]).

use crate::core::time::Micros;
use crate::limits::GUARD_PAGE_BYTES;
use crate::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use avpu_proto::report::Purpose;
use avpu_proto::types::ChannelId;

/// Part of the pool, held by one owner.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lease goes back through Pool::release"]
pub(super) struct Lease {
    range: PhysRange,
    extent: PhysRange,
}

impl Lease {
    /// Its memory, guard pages not counted.
    pub(super) const fn range(&self) -> PhysRange {
        self.range
    }
}

/// Who a lease is for, as a dump of the pool shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    /// What for.
    pub(super) purpose: Purpose,
    /// Process of the owner; 0 once it is gone.
    pub(super) pid: u32,
    /// Channel that it belongs to.
    pub(super) channel: Option<ChannelId>,
}

/// One leased part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenancy {
    /// Its memory with the guard pages.
    pub(super) range: PhysRange,
    /// Who has it.
    pub(super) tenant: Tenant,
    /// Since when.
    pub(super) since: Micros,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfMemory {
    /// Bytes asked for.
    pub(super) wanted: ByteLen,
    /// Largest piece that is free.
    pub(super) largest_free: ByteLen,
}

/// Memory in quarantine that is not anybody's.
#[derive(Debug)]
struct Held {
    lease: Lease,
    /// `None`: until somebody vouches for it.
    until: Option<Micros>,
}

/// Why nothing is released from quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHeld {
    /// Nothing in quarantine begins there.
    Nothing,
    /// The encoder is not done with it.
    InUse,
}

/// The allocator.
#[derive(Debug)]
pub(super) struct Pool {
    arena: PhysRange,
    /// In order of address, never overlapping.
    leased: Vec<Tenancy>,
    used_bytes: u64,
    high_water_bytes: u64,
    held: Vec<Held>,
}

impl Pool {
    pub(super) fn new(arena: PhysRange) -> Self {
        Self {
            arena,
            leased: Vec::new(),
            used_bytes: 0,
            high_water_bytes: 0,
            held: Vec::new(),
        }
    }

    /// Leases `len` bytes at the lowest free address with this alignment that leaves room for the guard pages.
    pub(super) fn lease(
        &mut self,
        len: ByteLen,
        alignment: Alignment,
        tenant: Tenant,
        now: Micros,
    ) -> Result<Lease, OutOfMemory> {
        let refused = OutOfMemory {
            wanted: len,
            largest_free: self.largest_free(),
        };
        let (index, lease) = self
            .gaps()
            .enumerate()
            .find_map(|(index, gap)| fit(gap?, len, alignment).map(|lease| (index, lease)))
            .ok_or(refused)?;
        self.leased.insert(
            index,
            Tenancy {
                range: lease.extent,
                tenant,
                since: now,
            },
        );
        self.used_bytes += u64::from(lease.extent.len().get());
        self.high_water_bytes = self.high_water_bytes.max(self.used_bytes);
        Ok(lease)
    }

    /// A copy to try leases in, with those parts leased that `stays` says; it is thrown away with all that was leased of it.
    pub(super) fn rehearsal(&self, stays: impl Fn(&Tenant) -> bool) -> Self {
        let parts = self.leased.iter().copied();
        let leased: Vec<Tenancy> = parts.filter(|part| stays(&part.tenant)).collect();
        let bytes = |part: &Tenancy| u64::from(part.range.len().get());
        Self {
            arena: self.arena,
            used_bytes: leased.iter().map(bytes).sum(),
            high_water_bytes: 0,
            held: Vec::new(),
            leased,
        }
    }

    /// Whether `len` bytes with this alignment could be leased.
    pub(super) fn has_room(&self, len: ByteLen, alignment: Alignment) -> bool {
        let mut gaps = self.gaps().flatten();
        gaps.any(|gap| fit(gap, len, alignment).is_some())
    }

    /// Takes a lease back; its memory may be leased again at once.
    pub(super) fn release(&mut self, lease: Lease) {
        let index = self.index_of(&lease);
        let tenancy = self.leased.remove(index);
        self.used_bytes -= u64::from(tenancy.range.len().get());
    }

    /// Marks a lease whose owner is gone while the encoder may still touch its memory.
    pub(super) fn quarantine(&mut self, lease: &Lease) {
        let index = self.index_of(lease);
        if let Some(tenancy) = self.leased.get_mut(index) {
            tenancy.tenant.purpose = Purpose::Quarantine;
            tenancy.tenant.pid = 0;
        }
    }

    /// Takes back a lease whose memory is not to be leased again: something wrote beyond its ends, and may still.
    pub(super) fn condemn(&mut self, lease: Lease) {
        self.hold(lease, None);
    }

    /// Takes back a lease whose memory is not to be leased again before `until`, or before somebody vouches for it.
    pub(super) fn hold(&mut self, lease: Lease, until: Option<Micros>) {
        self.quarantine(&lease);
        self.held.push(Held { lease, until });
    }

    /// When the next piece that is held for a time may be leased again.
    pub(super) fn next_release(&self) -> Option<Micros> {
        self.held.iter().filter_map(|held| held.until).min()
    }

    /// Releases one piece whose time is over. Answers whether there was one.
    pub(super) fn release_due(&mut self, now: Micros) -> bool {
        let due = |held: &Held| held.until.is_some_and(|until| until <= now);
        let index = self.held.iter().position(due);
        if let Some(index) = index {
            let held = self.held.swap_remove(index);
            self.release(held.lease);
        }
        index.is_some()
    }

    /// Releases the piece that begins at `address`, guard page counted or not: somebody vouches for it.
    pub(super) fn pardon(&mut self, address: PhysAddr) -> Result<(), NotHeld> {
        let begins =
            |lease: &Lease| lease.extent.start() == address || lease.range.start() == address;
        if let Some(index) = self.held.iter().position(|held| begins(&held.lease)) {
            let held = self.held.swap_remove(index);
            self.release(held.lease);
            return Ok(());
        }
        let here = |tenancy: &&Tenancy| tenancy.range.contains(address);
        match self.leased.iter().find(here) {
            Some(part) if part.tenant.purpose == Purpose::Quarantine => Err(NotHeld::InUse),
            _ => Err(NotHeld::Nothing),
        }
    }

    /// Everything the pool manages.
    pub(super) const fn arena(&self) -> PhysRange {
        self.arena
    }

    /// The leased parts in order of address.
    pub(super) fn leased(&self) -> &[Tenancy] {
        &self.leased
    }

    /// Bytes leased now.
    pub(super) const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes that nobody has and that cannot be leased.
    pub(super) fn quarantined_bytes(&self) -> u64 {
        let quarantined = |tenancy: &&Tenancy| tenancy.tenant.purpose == Purpose::Quarantine;
        let bytes = |tenancy: &Tenancy| u64::from(tenancy.range.len().get());
        self.leased.iter().filter(quarantined).map(bytes).sum()
    }

    /// Most bytes ever leased at once.
    pub(super) const fn high_water_bytes(&self) -> u64 {
        self.high_water_bytes
    }

    /// Size of the largest piece that could be leased.
    pub(super) fn largest_free(&self) -> ByteLen {
        let largest = self.gaps().flatten().map(|gap| gap.len().get()).max();
        let usable = largest.and_then(|bytes| bytes.checked_sub(2 * GUARD_PAGE_BYTES));
        usable.map_or(ByteLen::ZERO, ByteLen::new)
    }

    /// The free piece before each leased part and the one after the last; `None` where there is none.
    fn gaps(&self) -> impl Iterator<Item = Option<PhysRange>> + '_ {
        let ends = self.leased.iter().map(|tenancy| tenancy.range.end());
        let starts = self
            .leased
            .iter()
            .map(|tenancy| u64::from(tenancy.range.start().value()));
        core::iter::once(u64::from(self.arena.start().value()))
            .chain(ends)
            .zip(starts.chain(core::iter::once(self.arena.end())))
            .map(|(from, to)| between(from, to))
    }

    fn index_of(&self, lease: &Lease) -> usize {
        self.leased
            .iter()
            .position(|tenancy| tenancy.range == lease.extent)
            .expect("a lease is made and taken back by the same pool")
    }
}

/// The range from `from` up to `to`, if it is not empty.
fn between(from: u64, to: u64) -> Option<PhysRange> {
    let start = u32::try_from(from).ok()?;
    let len = u32::try_from(to.checked_sub(from)?).ok()?;
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).ok()
}

/// The first `len` bytes of `gap` with this alignment and room for a guard page on either side.
fn fit(gap: PhysRange, len: ByteLen, alignment: Alignment) -> Option<Lease> {
    let guard = ByteLen::new(GUARD_PAGE_BYTES);
    let start = gap
        .start()
        .checked_add(guard)
        .ok()?
        .align_up(alignment)
        .ok()?;
    let range = PhysRange::new(start, len).ok()?;
    let extent = range.widened(guard).ok()?;
    gap.contains_range(extent)
        .then_some(Lease { range, extent })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Alignment = Alignment::constant(4096);
    const TENANT: Tenant = Tenant {
        purpose: Purpose::Source,
        pid: 7,
        channel: None,
    };

    fn pool() -> Pool {
        let start = PhysAddr::new(0x0600_0100);
        Pool::new(PhysRange::new(start, ByteLen::new(0x10_0000)).expect("a range"))
    }

    fn take(pool: &mut Pool, len: u32) -> Result<Lease, OutOfMemory> {
        pool.lease(ByteLen::new(len), PAGE, TENANT, Micros::new(1))
    }

    #[test]
    fn leases_are_aligned_disjoint_and_inside() {
        let mut pool = pool();
        let leases: Vec<Lease> = (1..=8)
            .map(|n| take(&mut pool, n * 5000).expect("room"))
            .collect();
        for (i, a) in leases.iter().enumerate() {
            assert!(a.range().start().is_aligned(PAGE));
            assert!(pool.arena().contains_range(a.range()));
            for b in leases.iter().skip(i + 1) {
                assert!(!a.range().overlaps(b.range()));
            }
        }
    }

    #[test]
    fn a_released_gap_is_filled_first() {
        let mut pool = pool();
        let _low = take(&mut pool, 4096).expect("room");
        let middle = take(&mut pool, 8192).expect("room");
        let _high = take(&mut pool, 4096).expect("room");
        let at = middle.range().start();
        pool.release(middle);
        assert_eq!(take(&mut pool, 8192).map(|l| l.range().start()), Ok(at));
    }

    #[test]
    fn a_refusal_says_what_is_left() {
        let mut pool = pool();
        let refused = take(&mut pool, 0x20_0000).expect_err("too large");
        assert_eq!(refused.largest_free, ByteLen::new(0x10_0000 - 2 * 4096));
        assert!(take(&mut pool, 0).is_err(), "no lease is empty");
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn releasing_everything_makes_the_pool_whole_again() {
        let mut pool = pool();
        let leases: Vec<Lease> = (0..10)
            .map(|_| take(&mut pool, 9000).expect("room"))
            .collect();
        let used_bytes = 90_000 + 10 * 2 * 4096;
        assert_eq!(pool.used_bytes(), used_bytes);
        for lease in leases {
            pool.release(lease);
        }
        assert_eq!(pool.used_bytes(), 0);
        assert_eq!(pool.high_water_bytes(), used_bytes);
        assert_eq!(pool.largest_free(), ByteLen::new(0x10_0000 - 2 * 4096));
    }

    #[test]
    fn quarantine_keeps_the_memory_and_forgets_the_owner() {
        let mut pool = pool();
        let lease = take(&mut pool, 4096).expect("room");
        pool.quarantine(&lease);
        let dump = pool.leased().first().expect("one");
        assert_eq!(
            (dump.tenant.purpose, dump.tenant.pid),
            (Purpose::Quarantine, 0)
        );
        assert_eq!(pool.used_bytes(), 3 * 4096);
        pool.release(lease);
        assert!(pool.leased().is_empty());
    }

    #[test]
    fn condemned_memory_is_seen_and_never_leased_again() {
        let mut pool = pool();
        let lease = take(&mut pool, 8192).expect("room");
        let at = lease.range();
        pool.condemn(lease);
        let dump = pool.leased().first().expect("one");
        assert_eq!(dump.tenant.purpose, Purpose::Quarantine);
        assert!(dump.range.contains_range(at));
        assert_eq!(pool.quarantined_bytes(), 8192 + 2 * 4096);
        let next = take(&mut pool, 8192).expect("room");
        assert!(!next.range().overlaps(at));
    }

    #[test]
    fn between_any_two_leases_are_two_pages_that_are_nobodys() {
        let mut pool = pool();
        let leases: Vec<Lease> = (1..6)
            .map(|n| take(&mut pool, n * 4096).expect("room"))
            .collect();
        for pair in leases.windows(2) {
            let [low, high] = pair else { continue };
            let gap = u64::from(high.range().start().value()) - low.range().end();
            assert!(gap >= 2 * 4096, "{gap}");
        }
        let first = leases.first().expect("one").range().start();
        assert!(first.value() >= pool.arena().start().value() + 4096);
    }

    #[test]
    fn an_arena_that_ends_at_the_last_address_can_be_used_up() {
        let start = PhysAddr::new(0xffff_0000);
        let mut pool = Pool::new(PhysRange::new(start, ByteLen::new(0x1_0000)).expect("a range"));
        let lease = take(&mut pool, 0x1_0000 - 2 * 4096).expect("all of it");
        assert_eq!(pool.largest_free(), ByteLen::ZERO);
        assert!(take(&mut pool, 1).is_err());
        pool.release(lease);
    }
}
