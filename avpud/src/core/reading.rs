//! Readers of channels: they come, catch up, give packets back, and leave.

use crate::core::broker::{Answer, Broker};
use crate::core::event::{Attach, Peer, SessionKey};
use crate::core::intake::wrong_state;
use crate::core::number::unused;
use crate::core::reader::Reader;
use crate::core::refusal::{ReadersOf, Refusal};
use crate::core::sources::Asker;
use crate::job::ChannelKey;
use avpu_proto::event::{EndOfStream, Event};
use avpu_proto::limits::{READERS_MAX, READERS_PER_USER_MAX, SUBSCRIPTIONS_MAX};
use avpu_proto::reply::{Reply, Subscribed};
use avpu_proto::request::{ReleasePackets, Subscribe};
use avpu_proto::types::{ChannelState, Join, SubscriptionId};

impl Broker {
    pub(super) fn subscribe(&mut self, asker: Asker, request: u16, wish: Subscribe) -> Answer {
        let session = asker.session;
        self.check_serving()?;
        let key = self.named(wish.channel, wish.name)?;
        let at_most = |what, max: u16| Refusal::Limit {
            what,
            max: u32::from(max),
        };
        let held = self
            .sessions
            .get(&session)
            .map_or(0, |state| state.subscriptions.len());
        if held >= usize::from(SUBSCRIPTIONS_MAX) {
            return Err(at_most(
                "subscriptions of one connection",
                SUBSCRIPTIONS_MAX,
            ));
        }
        let credits = match wish.credits {
            0 => self.config.client_limits.packets,
            wished => wished.min(self.config.client_limits.packets),
        };
        self.check_readers(key, &asker.peer)?;
        let id = SubscriptionId::new(unused(self.subscription_next.value(), |id| {
            let mut readers = self.all_channels().flat_map(|channel| &channel.readers);
            readers.any(|reader| reader.id.value() == id)
        }));
        let (epoch, now) = (self.config.epoch, self.now);
        let channel = self
            .channel_mut(key)
            .ok_or(Refusal::NoSuchChannel(wish.channel))?;
        if channel.state() == Some(ChannelState::Failed) {
            return Err(wrong_state(channel, "has not failed"));
        }
        let start = channel.start_of(wish.join);
        let asks = wish.join == Join::DemandIdr && start.is_none();
        if asks {
            // Any will do from which it can start.
            let first = channel.ring.next_sequence();
            channel.demand_idr(session, first, now);
        }
        // A channel that was changed lately begins with pictures of the past that do not look as it will.
        let past = start.and_then(|start| channel.ring.packet(start));
        let format = past.map_or(channel.format(), |packet| packet.picture.format);
        let reader = Reader::new(session, id, credits, start, &channel.ring, format);
        let reply = Reply::Subscribed(Subscribed {
            subscription: id,
            channel: channel.id,
            name: channel.name.clone(),
            epoch,
            ring_bytes: channel.ring.data_bytes(),
            credits,
            first: reader.next(),
            codec: channel.parameters.codec,
            width: format.width,
            height: format.height,
            fps: format.fps,
        });
        channel.readers.push(reader);
        self.subscription_next = SubscriptionId::new(id.value().wrapping_add(1));
        if let Some(state) = self.sessions.get_mut(&session) {
            state.subscriptions.push((id, key));
            state.idr_requests = state.idr_requests.wrapping_add(u32::from(asks));
        }
        self.reply(session, request, reply, Attach::Ring(key));
        self.serve_readers(key);
        Ok(None)
    }

    /// Refuses one more reader where a channel has all that it may, or where those of one user would leave too few to
    /// the others.
    fn check_readers(&self, key: ChannelKey, peer: &Peer) -> Result<(), Refusal> {
        let readers = self.channel(key).map_or(&[][..], |c| &c.readers);
        let of = |reader: &Reader| self.sessions.get(&reader.session).map(|s| s.peer);
        let count = |is: &dyn Fn(&Peer) -> bool| {
            readers
                .iter()
                .filter_map(of)
                .filter(|peer| is(peer))
                .count()
        };
        let held_by = |uid: u32| count(&|peer| peer.uid == uid);
        let refused = |max, is_sole, uid| {
            let processes = readers.iter().filter_map(of).filter(|peer| peer.uid == uid);
            let most = processes.max_by_key(|peer| count(&|other| other.pid == peer.pid));
            let holders = ReadersOf {
                is_sole,
                uid,
                count: held_by(uid),
                pid: most.map_or(0, |peer| peer.pid),
            };
            Err(Refusal::Readers { max, holders })
        };
        if readers.len() >= usize::from(READERS_MAX) {
            let users = readers.iter().filter_map(of).map(|peer| peer.uid);
            let uid = users.max_by_key(|uid| held_by(*uid)).unwrap_or(peer.uid);
            return refused(READERS_MAX, false, uid);
        }
        let is_bounded = !self.config.rights.may_control(peer);
        if is_bounded && held_by(peer.uid) >= usize::from(READERS_PER_USER_MAX) {
            return refused(READERS_PER_USER_MAX, true, peer.uid);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, session: SessionKey, id: SubscriptionId) -> Answer {
        let key = self.subscribed(session, id)?;
        if let Some(channel) = self.channel_mut(key) {
            channel.readers.retain(|reader| reader.id != id);
        }
        self.review_readers(key);
        self.forget_subscription(session, id);
        Ok(Some(Reply::Done))
    }

    pub(super) fn release_packets(
        &mut self,
        session: SessionKey,
        request: u16,
        which: ReleasePackets,
    ) -> Answer {
        let key = self.subscribed(session, which.subscription)?;
        let mut readers = self
            .channel_mut(key)
            .into_iter()
            .flat_map(|c| &mut c.readers);
        if let Some(reader) = readers.find(|reader| reader.id == which.subscription) {
            reader.release(which.sequence);
        }
        self.reply(session, request, Reply::Done, Attach::Nothing);
        self.serve_readers(key);
        Ok(None)
    }

    /// Sends every reader what it may have; those that are through with an ended channel leave.
    pub(super) fn serve_readers(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let ended = channel.has_ended();
        let mut readers = core::mem::take(&mut channel.readers);
        for reader in &mut readers {
            while let Some(event) = self
                .channel(key)
                .and_then(|channel| reader.poll_event(&channel.ring))
            {
                self.event(reader.session, event);
            }
        }
        if ended {
            readers.retain_mut(|reader| !self.let_go(key, reader, false));
        }
        if let Some(channel) = self.channel_mut(key) {
            channel.readers = readers;
        }
        self.review_readers(key);
        self.tell_caught_up(key);
    }

    /// Sends the last readers of a channel away: nothing follows, read or not.
    pub(super) fn expel_readers(&mut self, key: ChannelKey) {
        self.serve_readers(key);
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let mut readers = core::mem::take(&mut channel.readers);
        for reader in &mut readers {
            self.let_go(key, reader, true);
        }
    }

    /// Packets were overwritten: readers that held or awaited them lose them.
    pub(super) fn revoke_overwritten(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let first = channel.ring.first_sequence();
        for reader in &mut channel.readers {
            let missed = reader.revoke_before(first);
            channel.stats.packets_missed = channel.stats.packets_missed.wrapping_add(missed);
        }
    }

    /// Ends a subscription if its reader is through, or anyhow. Answers whether it ended.
    fn let_go(&mut self, key: ChannelKey, reader: &mut Reader, anyhow: bool) -> bool {
        let Some(channel) = self.channel(key) else {
            return false;
        };
        if !anyhow && !reader.is_through(&channel.ring) {
            return false;
        }
        let end = EndOfStream {
            channel: channel.id,
            subscription: Some(reader.id),
            packets: channel.ring.next_sequence().value(),
        };
        if let Some(gap) = reader.last_gap(&channel.ring) {
            self.event(reader.session, gap);
        }
        self.event(reader.session, Event::EndOfStream(end));
        self.forget_subscription(reader.session, reader.id);
        true
    }

    fn subscribed(&self, session: SessionKey, id: SubscriptionId) -> Result<ChannelKey, Refusal> {
        let what = "subscription";
        let id_value = id.value();
        let own = self.sessions.get(&session).and_then(|state| {
            let mut held = state.subscriptions.iter();
            held.find(|(held, _)| *held == id)
        });
        if let Some((_, key)) = own {
            return Ok(*key);
        }
        let mut readers = self.all_channels().flat_map(|channel| &channel.readers);
        if readers.any(|reader| reader.id == id) {
            return Err(Refusal::ForeignObject { what, id: id_value });
        }
        Err(Refusal::NoSuchObject { what, id: id_value })
    }

    fn forget_subscription(&mut self, session: SessionKey, id: SubscriptionId) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.subscriptions.retain(|(held, _)| *held != id);
        }
    }
}
