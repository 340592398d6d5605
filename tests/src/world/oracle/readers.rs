//! Readers: what they are sent, what they miss, where they go on.

use crate::world::oracle::Oracle;
use crate::world::oracle::view::{InRing, ReaderView};
use avpu_proto::event::{Gap, GapReason, Packet};
use avpu_proto::reply::Subscribed;
use avpu_proto::request::ReleasePackets;
use avpu_proto::types::{self, ChannelId, Join, SubscriptionId};
use avpud::core::event::SessionKey;
use std::collections::BTreeMap;

impl Oracle {
    pub(super) fn subscribed(&mut self, session: SessionKey, subscribed: &Subscribed, join: Join) {
        if join == Join::DemandIdr {
            self.demanded(session, subscribed);
        }
        let view = self.channel_of(subscribed.channel);
        let first = Some(subscribed.first.value());
        let past = view
            .packets
            .iter()
            .skip_while(|packet| packet.sequence != first);
        let past_bytes: u32 = past.map(|packet| packet.len_bytes).sum();
        assert!(
            past_bytes <= view.preroll_bytes,
            "a reader is sent {past_bytes} bytes of the past, expected at most {}",
            view.preroll_bytes
        );
        let view = ReaderView {
            session,
            channel: subscribed.channel,
            credits: subscribed.credits,
            outstanding: BTreeMap::new(),
            next: None,
            needs_idr: true,
            place: None,
            follows: false,
            overwritten: None,
            gap_end: None,
        };
        let before = self.readers.insert(subscribed.subscription, view);
        assert!(before.is_none(), "a subscription's number is used twice");
    }

    pub(super) fn released(&mut self, session: SessionKey, release: &ReleasePackets) {
        let last = release.sequence.value();
        if let Some(reader) = self.reader_of(session, release.subscription) {
            reader.outstanding.retain(|sequence, _| *sequence > last);
        }
    }

    pub(super) fn check_gap(&mut self, gap: &Gap) {
        let reader = self.readers.get_mut(&gap.subscription);
        let reader = reader.expect("a gap of a reader");
        assert!(gap.count > 0, "a gap of nothing");
        assert_eq!(reader.gap_end, None, "one gap is told in two: {gap:?}");
        let (first, place) = (gap.first.value(), reader.place);
        if gap.reason == GapReason::Lost {
            // Pictures without a number were lost before the packet that comes next.
            assert_eq!(place, Some(first), "{gap:?}");
            reader.gap_end = Some(first);
        } else {
            let missed = reader.overwritten.take().or(place);
            assert_eq!(
                missed,
                Some(first),
                "another packet was missed first: {gap:?}"
            );
            reader.gap_end = Some(first.wrapping_add(gap.count));
            reader.follows = false;
        }
        reader.next = None;
        reader.place = reader.gap_end;
    }

    /// What lies before the tail of a ring is lost to those who have not given it back.
    pub(super) fn overwrite(&mut self, id: ChannelId, tail: u32) {
        for reader in self.readers.values_mut().filter(|r| r.channel == id) {
            let claims = reader.outstanding.iter_mut();
            let is_lost = |(position, len_bytes): (u32, u32)| {
                len_bytes > 0 && position.wrapping_sub(tail) >= 1 << 31
            };
            for (sequence, (_, len_bytes)) in claims.filter(|(_, place)| is_lost(**place)) {
                *len_bytes = 0;
                // Who waits for an IDR already missed something before.
                if reader.follows {
                    reader.overwritten.get_or_insert(*sequence);
                }
            }
        }
    }

    /// No packet follows: what the reader was not sent it was told of.
    pub(super) fn check_end(&mut self, session: SessionKey, id: SubscriptionId, packets: u32) {
        let reader = self.readers.remove(&id).expect("the end of a reader");
        assert_eq!(reader.session, session);
        let end = reader.gap_end.or(reader.next);
        assert!(
            end.is_none_or(|end| end == packets),
            "{id:?} was told of packets up to {end:?} of {packets}"
        );
    }

    pub(super) fn reader_of(
        &mut self,
        session: SessionKey,
        subscription: SubscriptionId,
    ) -> Option<&mut ReaderView> {
        let reader = self.readers.get_mut(&subscription);
        reader.filter(|reader| reader.session == session)
    }

    pub(super) fn check_packet(&mut self, session: SessionKey, packet: &Packet) {
        let reader = self.readers.get_mut(&packet.subscription);
        let reader = reader.expect("a packet of a reader");
        assert_eq!(reader.session, session);
        let sequence = packet.sequence.value();
        match reader.next {
            Some(next) => assert_eq!(sequence, next, "a packet is missing without a gap"),
            None => reader.needs_idr = true,
        }
        if let Some(end) = reader.gap_end.take() {
            assert_eq!(sequence, end, "a gap does not say what was missed");
        }
        assert!(
            !reader.needs_idr || packet.last || packet.kind == types::PictureKind::Idr,
            "a reader starts with a picture that refers to another"
        );
        // Who waits for an IDR goes on waiting behind a mark, and has missed nothing.
        reader.needs_idr &= packet.last;
        reader.next = (!reader.needs_idr).then_some(sequence + 1);
        reader.place = Some(sequence + 1);
        reader.follows |= !packet.last;
        let place = (packet.position, packet.len_bytes);
        assert_eq!(
            reader.outstanding.insert(sequence, place),
            None,
            "a packet is sent twice"
        );
        assert!(
            reader.outstanding.len() <= usize::from(reader.credits),
            "a reader gets more than its credits"
        );
        let mut views = self.channels.values();
        let view = views.find(|view| view.id == reader.channel);
        let view = view.expect("a packet of a live channel");
        assert_eq!(packet.offset_bytes, packet.position % view.ring_bytes);
        assert!(packet.offset_bytes + packet.len_bytes <= view.ring_bytes);
        let age = packet.position.wrapping_sub(view.tail);
        assert!(
            age < view.ring_bytes || (packet.last && packet.len_bytes == 0),
            "a packet is sent that was overwritten"
        );
        // What it claims is less than half of the ring, or one packet.
        let in_ring = reader.outstanding.values();
        let claims = in_ring.filter(|(position, _)| position.wrapping_sub(view.tail) < 1 << 31);
        let (mut claimed, mut count) = (0, 0);
        for (_, len_bytes) in claims.filter(|(_, len_bytes)| *len_bytes > 0) {
            claimed += len_bytes;
            count += 1;
        }
        assert!(
            count <= 1 || claimed <= view.ring_bytes / 2,
            "a reader claims {claimed} bytes of a ring of {}",
            view.ring_bytes
        );
    }

    /// After every reader has released everything: none is left behind while there is an IDR to go on at.
    pub(in crate::world) fn check_caught_up(&self) {
        for (id, reader) in &self.readers {
            let mut views = self.channels.values();
            let view = views.find(|view| view.id == reader.channel);
            let view = view.expect("a live channel");
            // One that was sent nothing waits for an IDR that is still to come, or had not to.
            let Some(next) = reader.next else { continue };
            let was_sent = |packet: &&InRing| packet.sequence.is_none_or(|number| number < next);
            let is_there = |packet: &&InRing| packet.is_idr && packet.position >= view.tail;
            let missed = view.packets.iter().filter(|packet| !was_sent(packet));
            if let Some(idr) = missed.clone().find(is_there) {
                panic!(
                    "{id:?} was left behind at {next}, before the IDR {:?}",
                    idr.sequence
                );
            }
        }
    }
}
