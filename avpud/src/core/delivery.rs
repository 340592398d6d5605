//! Bookkeeping of one channel's packet ring: what lies where, what is still readable, what makes room.
//!
//! The bytes are the shell's affair. A packet's place is reserved before its length is known, with room for the
//! emulation prevention that joining may add; what was too much is taken back when the packet is committed. Making
//! room never waits for anybody: the oldest packets are forgotten and readers find out
//! ([`Reader::revoke_before`](super::reader::Reader::revoke_before)).

use crate::core::format::Format;
use crate::core::time::Micros;
use crate::mem::addr::ByteLen;
use crate::picture::PictureKind;
use avpu_proto::limits::NAL_UNITS_MAX;
use avpu_proto::ring::{RingError, RingLayout, is_before};
use avpu_proto::types::{ChannelId, Epoch, FrameNumber, NalUnit, Sequence};
use std::collections::VecDeque;

/// A packet in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingPacket {
    /// Its number.
    pub(super) sequence: Sequence,
    /// Position of its first byte in the ring's endless count.
    pub(super) position: u32,
    /// Bytes.
    pub(super) len: ByteLen,
    /// Pictures lost between the packet before and this one.
    pub(super) lost_before: u32,
    /// What it holds.
    pub(super) picture: PacketPicture,
}

/// The picture that a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketPicture {
    pub(super) kind: PictureKind,
    /// No picture but the mark behind the last one; the packet is empty.
    pub(super) is_last: bool,
    pub(super) qp: u8,
    pub(super) timestamp: u64,
    pub(super) frame: FrameNumber,
    pub(super) accepted: Micros,
    pub(super) started: Micros,
    pub(super) done: Micros,
    pub(super) sse_luma: u64,
    /// Hundredths of a decibel; 0 where the device does not say.
    pub(super) psnr_cdb: u16,
    /// Mean of the macroblocks.
    pub(super) qp_mean: u8,
    /// Fullness of rate control's buffer behind it, in thousandths.
    pub(super) buffer_permille: u16,
    /// Where its NAL units begin.
    pub(super) nal_units: [NalUnit; NAL_UNITS_MAX],
    /// What an IDR looks like, and the pictures up to the next one.
    pub(super) format: Format,
    /// Somebody had asked for it. Known once it is delivered.
    pub(super) asked_for: bool,
}

/// Room for a packet that is about to be written.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation is committed or cancelled"]
pub(super) struct Reservation {
    /// Position of its first byte.
    pub(super) position: u32,
    /// Room from there, contiguous.
    pub(super) capacity: ByteLen,
    /// Nothing before this position is readable any more.
    pub(super) tail: u32,
}

/// The ring of one channel.
#[derive(Debug)]
pub(super) struct Ring {
    layout: RingLayout,
    packets: VecDeque<RingPacket>,
    head: u32,
    next: Sequence,
}

impl Ring {
    /// An empty ring of `data_bytes`, a power of two.
    pub(super) fn new(
        data_bytes: ByteLen,
        epoch: Epoch,
        channel: ChannelId,
    ) -> Result<Self, RingError> {
        Ok(Self {
            layout: RingLayout::new(data_bytes.value(), epoch, channel)?,
            packets: VecDeque::with_capacity(PACKETS_MAX),
            head: 0,
            next: Sequence::new(0),
        })
    }

    /// Makes room for a packet of `needed` bytes, up to `wanted` where the ring is that large. `None` when it can
    /// never fit.
    pub(super) fn reserve(&mut self, needed: ByteLen, wanted: ByteLen) -> Option<Reservation> {
        let capacity = wanted.value().min(self.layout.data_bytes());
        if needed.value() > capacity {
            return None;
        }
        let place = self.layout.place(self.head, capacity)?;
        while let Some(oldest) = self.packets.front() {
            if !is_before(oldest.position, place.tail_min) && self.packets.len() < PACKETS_MAX {
                break;
            }
            self.packets.pop_front();
        }
        self.head = place.head;
        Some(Reservation {
            position: place.position,
            capacity: ByteLen::new(capacity),
            tail: self.packets.front().map_or(place.position, |p| p.position),
        })
    }

    /// The reserved packet was written with `len` bytes.
    pub(super) fn commit(
        &mut self,
        room: &Reservation,
        len: ByteLen,
        lost_before: u32,
        picture: PacketPicture,
    ) -> Sequence {
        assert!(len <= room.capacity, "a packet stays inside its room");
        self.give_back(room, room.position.wrapping_add(len.value()));
        let sequence = self.next;
        self.packets.push_back(RingPacket {
            sequence,
            position: room.position,
            len,
            lost_before,
            picture,
        });
        self.next = after(sequence, 1);
        sequence
    }

    /// The reserved packet was not written. What was skipped to reach its place stays skipped: the tail may have been
    /// moved there, and it never goes back.
    pub(super) fn cancel(&mut self, room: &Reservation) {
        self.give_back(room, room.position);
    }

    /// Puts an empty packet behind all others.
    pub(super) fn mark(&mut self, lost_before: u32, picture: PacketPicture) {
        if self.packets.len() >= PACKETS_MAX {
            self.packets.pop_front();
        }
        self.packets.push_back(RingPacket {
            sequence: self.next,
            position: self.head,
            len: ByteLen::ZERO,
            lost_before,
            picture,
        });
        self.next = Sequence::new(self.next.value().wrapping_add(1));
    }

    /// Moves the head back unless something was reserved behind `room`.
    fn give_back(&mut self, room: &Reservation, head: u32) {
        if self.head == room.position.wrapping_add(room.capacity.value()) {
            self.head = head;
        }
    }

    /// Size of the data area.
    pub(super) const fn data_bytes(&self) -> u32 {
        self.layout.data_bytes()
    }

    /// Offset of a packet in the data area.
    pub(super) const fn offset_of(&self, packet: &RingPacket) -> u32 {
        self.layout.offset_of(packet.position)
    }

    /// Number of the next packet to be committed; also how many there were, modulo 2^32.
    pub(super) const fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Number of the oldest packet that is still readable, or of the next one when there is none.
    pub(super) fn first_sequence(&self) -> Sequence {
        self.packets.front().map_or(self.next, |p| p.sequence)
    }

    /// The packet with this number, if it is still readable.
    pub(super) fn packet(&self, sequence: Sequence) -> Option<&RingPacket> {
        let index = distance(self.first_sequence(), sequence);
        self.packets.get(usize::try_from(index).ok()?)
    }

    /// The oldest readable packet with this number or a later one where a reader may begin: an IDR, or the mark behind
    /// the last packet.
    pub(super) fn start_from(&self, sequence: Sequence) -> Option<&RingPacket> {
        self.packets.iter().find(|packet| {
            let starts = packet.picture.kind == PictureKind::Idr || packet.picture.is_last;
            starts && !precedes(packet.sequence, sequence)
        })
    }

    /// The newest readable IDR, if it and what follows it take at most `bytes`.
    pub(super) fn last_idr_within(&self, bytes: u32) -> Option<&RingPacket> {
        let mut taken = 0_u64;
        let mut newest_first = self.packets.iter().rev();
        let idr = newest_first.find(|packet| {
            taken += u64::from(packet.len.value());
            packet.picture.kind == PictureKind::Idr
        });
        idr.filter(|_| taken <= u64::from(bytes))
    }

    /// Bit rate of the readable packets of the last two seconds before `now`.
    pub(super) fn bitrate_bps(&self, now: Micros) -> u32 {
        let recent = self
            .packets
            .iter()
            .rev()
            .take_while(|packet| now.since_us(packet.picture.done) < BITRATE_WINDOW_US);
        let (mut bits, mut oldest) = (0_u64, now);
        for packet in recent {
            bits += u64::from(packet.len.value()) * 8;
            oldest = packet.picture.done;
        }
        // A ring that holds less than the window has no more to go by than its own span.
        let ring_is_short = self.first_sequence().value() > 0
            && self
                .packets
                .front()
                .is_some_and(|packet| packet.picture.done == oldest);
        let span_us = if ring_is_short {
            now.since_us(oldest).max(1)
        } else {
            BITRATE_WINDOW_US
        };
        u32::try_from(bits.saturating_mul(1_000_000) / span_us).unwrap_or(u32::MAX)
    }
}

/// Whether packet number `a` comes before `b`, modulo 2^32.
pub(super) const fn precedes(a: Sequence, b: Sequence) -> bool {
    is_before(a.value(), b.value())
}

/// How many packet numbers `to` comes after `from`, modulo 2^32.
pub(super) const fn distance(from: Sequence, to: Sequence) -> u32 {
    to.value().wrapping_sub(from.value())
}

/// The packet number `count` after `from`, modulo 2^32.
pub(super) const fn after(from: Sequence, count: u32) -> Sequence {
    Sequence::new(from.value().wrapping_add(count))
}

/// Packets that a ring remembers, however small they are.
const PACKETS_MAX: usize = 512;
/// Time over which the bit rate of a report is measured.
const BITRATE_WINDOW_US: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(bytes: u32) -> Ring {
        Ring::new(ByteLen::new(bytes), Epoch::new(1), ChannelId::new(1)).expect("a power of two")
    }

    fn picture(kind: PictureKind) -> PacketPicture {
        PacketPicture {
            kind,
            is_last: false,
            qp: 30,
            timestamp: 0,
            frame: FrameNumber::new(0),
            accepted: Micros::new(0),
            started: Micros::new(0),
            done: Micros::new(0),
            sse_luma: 0,
            psnr_cdb: 0,
            qp_mean: 30,
            buffer_permille: 0,
            nal_units: Default::default(),
            format: Format::default(),
            asked_for: false,
        }
    }

    fn put(ring: &mut Ring, len: u32, kind: PictureKind) -> Option<Sequence> {
        let len = ByteLen::new(len);
        let room = ring.reserve(len, len)?;
        Some(ring.commit(&room, len, 0, picture(kind)))
    }

    /// No two readable packets share a byte of the data area, none wraps.
    fn check(ring: &Ring) {
        let size = ring.data_bytes();
        let mut used = vec![false; usize::try_from(size).expect("small")];
        for packet in &ring.packets {
            let start = usize::try_from(ring.offset_of(packet)).expect("small");
            let end = start + usize::try_from(packet.len.value()).expect("small");
            let bytes = used.get_mut(start..end).expect("no packet wraps");
            assert!(bytes.iter().all(|taken| !taken), "packets overlap");
            bytes.fill(true);
        }
    }

    #[test]
    fn readable_packets_never_overlap_also_across_the_wrap_of_the_count() {
        let mut ring = ring(4096);
        ring.head = u32::MAX - 20_000;
        let mut len = 1;
        for _ in 0..2000 {
            len = (len * 7 + 13) % 3001;
            put(&mut ring, len, PictureKind::P).expect("fits an empty ring");
            check(&ring);
            let oldest = ring.packets.front().expect("just put");
            assert!(ring.head.wrapping_sub(oldest.position) <= 4096);
        }
    }

    #[test]
    fn room_that_was_not_needed_is_taken_back() {
        let mut ring = ring(4096);
        let room = ring
            .reserve(ByteLen::new(100), ByteLen::new(1000))
            .expect("room");
        assert_eq!((room.position, room.capacity), (0, ByteLen::new(1000)));
        ring.commit(&room, ByteLen::new(120), 0, picture(PictureKind::Idr));
        assert_eq!(ring.head, 120);
        let room = ring
            .reserve(ByteLen::new(100), ByteLen::new(1000))
            .expect("room");
        ring.cancel(&room);
        assert_eq!(ring.head, 120);
    }

    #[test]
    fn a_packet_larger_than_the_ring_never_fits_and_one_as_large_empties_it() {
        let mut ring = ring(4096);
        put(&mut ring, 10, PictureKind::Idr).expect("fits");
        assert!(put(&mut ring, 4097, PictureKind::P).is_none());
        assert_eq!(ring.first_sequence(), Sequence::new(0));
        put(&mut ring, 4096, PictureKind::P).expect("fits");
        assert_eq!(ring.first_sequence(), Sequence::new(1));
        let room = ring
            .reserve(ByteLen::new(4000), ByteLen::new(9000))
            .expect("room is bounded by the ring");
        assert_eq!(room.capacity, ByteLen::new(4096));
        assert_eq!(room.tail, room.position);
        ring.cancel(&room);
        let tail = room.tail;
        let next = ring.reserve(ByteLen::new(1), ByteLen::new(1));
        assert_eq!(
            next.map(|room| room.tail),
            Some(tail),
            "a tail never goes back"
        );
    }

    #[test]
    fn packets_are_found_by_number_while_they_are_readable() {
        let mut ring = ring(4096);
        for n in 0..100_u32 {
            let kind = if n.is_multiple_of(10) {
                PictureKind::Idr
            } else {
                PictureKind::P
            };
            put(&mut ring, 200, kind).expect("fits");
        }
        let first = ring.first_sequence();
        assert_eq!(first, Sequence::new(80));
        assert!(ring.packet(Sequence::new(79)).is_none());
        assert!(ring.packet(Sequence::new(100)).is_none());
        let found = |p: Option<&RingPacket>| p.map(|p| p.sequence.value());
        assert_eq!(found(ring.packet(Sequence::new(99))), Some(99));
        assert_eq!(found(ring.last_idr_within(2000)), Some(90));
        assert_eq!(found(ring.last_idr_within(1999)), None);
    }

    #[test]
    fn tiny_packets_are_bounded_in_number() {
        let mut ring = ring(1 << 20);
        let capacity = ring.packets.capacity();
        for _ in 0..2 * PACKETS_MAX {
            put(&mut ring, 1, PictureKind::P).expect("fits");
        }
        assert_eq!(ring.packets.len(), PACKETS_MAX);
        assert_eq!(ring.packets.capacity(), capacity);
        for _ in 0..2 * PACKETS_MAX {
            ring.mark(0, picture(PictureKind::P));
        }
        assert_eq!(ring.packets.len(), PACKETS_MAX);
        assert_eq!(ring.packets.capacity(), capacity);
    }
}
