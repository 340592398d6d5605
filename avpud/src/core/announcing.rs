//! Who is told what state a channel is in, and when.
//!
//! The owner of a channel, and who asked for all of them, hear of each change, once. So does a reader that has been sent
//! all there is. One that has not is spared what passes: it must not find more states than packets when it reads again.
//! It is told when it has caught up, behind a gap or not, what the state is by then, where that is news to it: after it
//! joined, or because it was told another one before.

use crate::core::broker::Broker;
use crate::core::channel::Channel;
use crate::core::event::SessionKey;
use crate::core::liveness::passes;
use crate::core::reader::Reader;
use crate::job::ChannelKey;
use avpu_proto::event::{ChannelChanged, Event};
use avpu_proto::types::ChannelState;

impl Broker {
    /// Tells everybody concerned about the channels whose state is not the one last told: once for each, however often
    /// it changed since.
    pub(super) fn announce_states(&mut self) {
        for index in 0..self.config.channels_max {
            let Some(channel) = self.channel_mut(ChannelKey::new(index)) else {
                continue;
            };
            let Some(state) = channel.state() else {
                continue;
            };
            if channel.announced.replace(state) == Some(state) {
                continue;
            }
            let changed = channel.change_to(state);
            let owner = channel.owner;
            let ring = &channel.ring;
            let is_told = |reader: &&mut Reader| !passes(state) || reader.lag(ring) == 0;
            let readers = channel.readers.iter_mut().filter(is_told);
            let readers: Vec<SessionKey> = readers
                .map(|reader| {
                    reader.told = Some(state);
                    reader.session
                })
                .collect();
            self.tell_change(owner, &readers, &changed);
        }
    }

    /// Tells the readers that have caught up what state their channel is in, where they were not told.
    pub(super) fn tell_caught_up(&mut self, key: ChannelKey) {
        while let Some((session, changed)) = self.next_to_tell(key) {
            self.event(session, Event::ChannelChanged(changed));
        }
    }

    fn next_to_tell(&mut self, key: ChannelKey) -> Option<(SessionKey, ChannelChanged)> {
        loop {
            let channel = self.channel_mut(key)?;
            // Where it is to be announced, everybody who has caught up is told with that.
            let state = channel.state().filter(|s| channel.announced == Some(*s))?;
            let ring = &channel.ring;
            let mut readers = channel.readers.iter();
            let reader = readers.find(|r| r.told != Some(state) && r.lag(ring) == 0)?;
            let (session, owner) = (reader.session, channel.owner);
            for reader in &mut channel.readers {
                if reader.session == session {
                    reader.told = Some(state);
                }
            }
            let changed = channel.change_to(state);
            let watches = self.sessions.get(&session).is_some_and(|s| s.watches);
            if !watches && owner != Some(session) {
                return Some((session, changed));
            }
        }
    }

    pub(super) fn tell_change(
        &mut self,
        owner: Option<SessionKey>,
        readers: &[SessionKey],
        changed: &ChannelChanged,
    ) {
        let concerned: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(key, session)| {
                session.watches || owner == Some(**key) || readers.contains(key)
            })
            .map(|(key, _)| *key)
            .collect();
        for session in concerned {
            self.event(session, Event::ChannelChanged(changed.clone()));
        }
    }
}

impl Channel {
    fn change_to(&self, state: ChannelState) -> ChannelChanged {
        ChannelChanged {
            channel: self.id,
            name: self.name.clone(),
            state,
            reason: self.reason(state).to_owned(),
        }
    }
}
