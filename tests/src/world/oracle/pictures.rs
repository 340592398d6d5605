//! Pictures: begun one at a time, in the order of their frames, and delivered in order without a lost reference.

use crate::world::oracle::Oracle;
use crate::world::oracle::view::{InRing, Started};
use crate::world::seen::Subject;
use avpu_proto::types::ChannelId;
use avpud::core::event::PacketRoom;
use avpud::core::time::Micros;
use avpud::job::{ChannelKey, EncodeJob, JobId};
use avpud::picture::PictureKind;

impl Oracle {
    pub(super) fn check_submit(&mut self, job: &EncodeJob) {
        assert!(self.in_flight.is_none(), "two jobs in one engine");
        let view = self.channels.get(&job.channel).expect("a live channel");
        let arena = self.arena.expect("set at the start");
        assert!(!view.memory.overlaps(job.source));
        if arena.overlaps(job.source) {
            let mut leases = self.leases.values();
            assert!(
                leases.any(|lease| lease.contains_range(job.source)),
                "the encoder reads what nobody leased"
            );
        }
        assert!(!job.header.bytes().is_empty());
        let is_forced = self.check_turn(job);
        self.check_kind(job, is_forced);
        let view = self.channels.get_mut(&job.channel).expect("a live channel");
        view.started.push_back(Started {
            job: job.id,
            kind: job.kind,
            gop_index: job.gop_index,
            is_lost: false,
        });
        self.seen.count(Subject::Happened, "picture started");
        self.in_flight = Some(*job);
        self.begun = self.now;
    }

    /// Frames of a channel are begun in the order in which they came, and not when they are too old.
    /// Whether it must be an IDR whoever asks.
    fn check_turn(&mut self, job: &EncodeJob) -> bool {
        let view = self.channels.get_mut(&job.channel).expect("a live channel");
        let again = view.again.take();
        let forced = view.forced || view.vitals.recovering;
        let of_channel = |(_, channel, _): &(_, ChannelId, _)| *channel == view.id;
        if let Some(before) = again {
            assert_eq!(job.kind, PictureKind::Idr, "what did not fit comes again");
            let mut frames = self.frames.iter_mut().filter(|(key, _)| of_channel(key));
            let frame = frames.find(|(_, frame)| frame.job == Some(before));
            if let Some((key, frame)) = frame {
                assert_eq!(frame.address, job.source.start().value(), "{key:?} again");
                frame.job = Some(job.id);
                self.seen.count(Subject::Happened, "picture started again");
                return true;
            }
        }
        let mut waiting = self
            .frames
            .iter_mut()
            .filter(|(key, frame)| of_channel(key) && !frame.is_started);
        // None: its reply is still behind this in the queue, or its owner has gone.
        let Some((key, frame)) = waiting.next() else {
            return true;
        };
        assert_eq!(
            frame.address,
            job.source.start().value(),
            "{key:?} came before the frame that is begun"
        );
        frame.is_started = true;
        frame.job = Some(job.id);
        let age_us = self.now.since_us(frame.accepted);
        assert!(
            view.deadline_us == 0 || age_us <= view.deadline_us || again.is_some(),
            "{key:?} is begun after {age_us} us, its channel gives it {}",
            view.deadline_us
        );
        let (id, accepted) = (view.id, frame.accepted);
        let is_forced = forced || frame.force_idr || again.is_some();
        self.check_ticket(id, accepted);
        is_forced
    }

    pub(super) fn check_deliver(&mut self, job: JobId, channel: ChannelKey, room: &PacketRoom) {
        let (tail, position, capacity) = (room.tail, room.position, room.capacity.value());
        let view = self.channels.get_mut(&channel).expect("a live channel");
        assert_eq!(view.delivering.replace((job, position)), None);
        let ring = view.ring_bytes;
        assert!(position % ring + capacity <= ring, "a packet wraps");
        assert!(
            position.wrapping_add(capacity).wrapping_sub(tail) <= ring,
            "a packet overwrites what is still readable"
        );
        assert!(tail.wrapping_sub(view.tail) < 1 << 31, "the tail goes back");
        view.tail = tail;
        let id = view.id;
        self.overwrite(id, tail);
    }

    /// The job in flight ended; `None` when its picture is of no use.
    pub(in crate::world) fn engine_done(&mut self, now: Micros) {
        self.now = now;
        self.check_time();
        self.in_flight = None;
        self.calm_down();
    }

    /// A picture of this channel will not be delivered; those before it may still be.
    pub(in crate::world) fn lost(&mut self, channel: ChannelKey, job: JobId) {
        self.seen.count(Subject::Happened, "picture lost");
        if let Some(view) = self.channels.get_mut(&channel) {
            view.vitals.lose(Some(job));
            view.key_frames.lose();
            let started = view.started.iter_mut().find(|started| started.job == job);
            if let Some(started) = started {
                started.is_lost = true;
            }
            view.forget_lost();
        }
    }

    /// A picture was put into the ring, or could not be.
    pub(in crate::world) fn delivered(
        &mut self,
        job: JobId,
        channel: ChannelKey,
        len_bytes: Option<u32>,
    ) {
        let done = len_bytes.is_some();
        let view = self.channels.get_mut(&channel).expect("a live channel");
        let (delivering, position) = view.delivering.take().expect("being delivered");
        assert_eq!(delivering, job);
        let started = view.started.pop_front().expect("it was started");
        assert_eq!(started.job, job, "pictures are delivered in their order");
        if let Some(len_bytes) = len_bytes {
            view.packets.push(InRing {
                position,
                len_bytes,
                is_idr: started.kind == PictureKind::Idr,
                sequence: None,
            });
            if started.kind == PictureKind::P {
                assert_eq!(
                    view.reference.map(|index| index + 1),
                    Some(started.gop_index),
                    "a P picture was delivered whose reference was not"
                );
            }
        }
        if !done {
            view.vitals.lose(Some(job));
            view.key_frames.lose();
        } else if started.kind == PictureKind::Idr {
            view.vitals.recovering = false;
            view.forced = false;
        }
        view.reference = done.then_some(started.gop_index);
        view.forget_lost();
    }

    /// The packet that was delivered last has this number.
    pub(super) fn learn_sequence(&mut self, channel: ChannelId, sequence: u32) {
        let view = self.channel_of(channel);
        view.vitals.packets = sequence + 1;
        let packets = &mut view.packets;
        let before = packets.iter().rev().find_map(|packet| packet.sequence);
        assert!(before.is_none_or(|before| before < sequence));
        let packet = packets.last_mut().expect("it was delivered");
        assert_eq!(packet.sequence.replace(sequence), None);
        let is_idr = packet.is_idr;
        self.check_promised(channel, sequence, is_idr);
    }
}
