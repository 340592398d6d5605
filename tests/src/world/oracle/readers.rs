//! Readers: what they are sent, what they miss, where they go on.

use crate::world::oracle::Oracle;
use crate::world::oracle::view::{InRing, ReaderView};
use avpu_proto::event::{Gap, Packet};
use avpu_proto::reply::Subscribed;
use avpu_proto::request::ReleasePackets;
use avpu_proto::types::{self, SubscriptionId};
use avpud::core::event::SessionKey;
use std::collections::BTreeSet;

impl Oracle {
    pub(super) fn subscribed(&mut self, session: SessionKey, subscribed: &Subscribed) {
        let view = ReaderView {
            session,
            channel: subscribed.channel,
            credits: subscribed.credits,
            outstanding: BTreeSet::new(),
            next: None,
            needs_idr: true,
        };
        let before = self.readers.insert(subscribed.subscription, view);
        assert!(before.is_none(), "a subscription's number is used twice");
    }

    pub(super) fn released(&mut self, session: SessionKey, release: &ReleasePackets) {
        let last = release.sequence.value();
        if let Some(reader) = self.reader_of(session, release.subscription) {
            reader.outstanding.retain(|sequence| *sequence > last);
        }
    }

    pub(super) fn check_gap(&mut self, gap: &Gap) {
        let reader = self.readers.get_mut(&gap.subscription);
        let reader = reader.expect("a gap of a reader");
        assert!(gap.count > 0, "a gap of nothing");
        reader.next = None;
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
        assert!(
            !reader.needs_idr || packet.last || packet.kind == types::PictureKind::Idr,
            "a reader starts with a picture that refers to another"
        );
        // Who waits for an IDR goes on waiting behind a mark, and has missed nothing.
        reader.needs_idr &= packet.last;
        reader.next = (!reader.needs_idr).then_some(sequence + 1);
        assert!(
            reader.outstanding.insert(sequence),
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
