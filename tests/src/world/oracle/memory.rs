//! Memory: nobody has what another has, and nothing is taken from under the encoder.

use crate::world::oracle::Oracle;
use crate::world::oracle::view::ChannelView;
use crate::world::seen::Subject;
use avpu_proto::types::ChannelId;
use avpud::core::event::{ImportKey, LeaseKey};
use avpud::job::ChannelKey;
use avpud::mem::addr::{ByteLen, PhysRange};

impl Oracle {
    pub(super) fn check_create(
        &mut self,
        channel: ChannelKey,
        id: ChannelId,
        memory: PhysRange,
        ring_bytes: ByteLen,
        macroblocks: u32,
    ) {
        self.check_free(memory);
        assert!(ring_bytes.value().is_power_of_two());
        let view = ChannelView::new(id, memory, ring_bytes.value(), macroblocks);
        let before = self.channels.insert(channel, view);
        assert!(before.is_none(), "a channel's slot is used twice");
    }

    pub(super) fn check_rebuild(
        &mut self,
        channel: ChannelKey,
        memory: PhysRange,
        old: PhysRange,
        macroblocks: u32,
    ) {
        self.check_free(memory);
        let view = self.channels.get_mut(&channel).expect("a live channel");
        assert_eq!(view.memory, old);
        // Where that fails its pictures are smaller than is counted here, and take no longer.
        view.macroblocks = view.macroblocks.max(macroblocks);
        self.check_not_in_flight(channel);
    }

    pub(super) fn check_tune(&mut self, channel: ChannelKey) {
        assert!(self.channels.contains_key(&channel), "changed when gone");
        self.check_not_in_flight(channel);
        self.seen.count(Subject::Happened, "channel tuned");
    }

    pub(super) fn check_destroy(&mut self, channel: ChannelKey, memory: PhysRange) {
        let view = self.channels.remove(&channel).expect("a live channel");
        assert_eq!(view.memory, memory);
        assert_eq!(view.delivering, None, "destroyed while being delivered");
        self.check_not_in_flight(channel);
    }

    pub(super) fn check_take_back(&mut self, lease: LeaseKey, memory: PhysRange) {
        assert_eq!(self.leases.remove(&lease), Some(memory));
        self.taken_back.push(memory.start().value());
        if let Some(job) = self.in_flight.filter(|_| !self.offline) {
            assert!(
                !job.source.overlaps(memory),
                "a lease is taken back while the encoder reads it"
            );
        }
    }

    /// Numbers of all leases.
    pub(in crate::world) fn lent(&self) -> Vec<u32> {
        self.leases.keys().map(|lease| lease.value()).collect()
    }

    /// It was said where an imported buffer lies, or that it does not.
    pub(in crate::world) fn located(&mut self, import: ImportKey, found: bool) {
        if found {
            assert!(self.imports.insert(import), "a buffer is imported twice");
            self.seen.count(Subject::Happened, "buffer imported");
        }
    }

    /// Nobody refers to an imported buffer any more.
    pub(in crate::world) fn released_import(&mut self, import: ImportKey) {
        assert!(self.imports.remove(&import), "a buffer is let go twice");
    }

    fn check_not_in_flight(&self, channel: ChannelKey) {
        if let Some(job) = self.in_flight.filter(|_| !self.offline) {
            assert_ne!(job.channel, channel, "changed or gone while in flight");
        }
    }

    /// A channel was made anew, in this memory where that worked.
    pub(in crate::world) fn rebuilt(&mut self, channel: ChannelKey, memory: Option<PhysRange>) {
        if let (Some(view), Some(memory)) = (self.channels.get_mut(&channel), memory) {
            view.memory = memory;
            view.reference = None;
            self.seen.count(Subject::Happened, "channel rebuilt");
        }
    }

    /// The shell could not make what it was asked for.
    pub(in crate::world) fn not_created(&mut self, channel: ChannelKey) {
        self.channels.remove(&channel);
    }

    pub(in crate::world) fn not_granted(&mut self, lease: LeaseKey) {
        self.leases.remove(&lease);
    }

    pub(super) fn check_free(&self, memory: PhysRange) {
        let arena = self.arena.expect("set at the start");
        assert!(arena.contains_range(memory), "memory outside the arena");
        let leases = self.leases.values().copied();
        let channels = self.channels.values().map(|view| view.memory);
        for other in leases.chain(channels) {
            assert!(!other.overlaps(memory), "memory is leased twice");
        }
    }
}
