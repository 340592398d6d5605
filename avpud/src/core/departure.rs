//! The end: of a connection, and of the daemon.

use crate::core::broker::{Answer, Broker, Stage};
use crate::core::channel::Life;
use crate::core::event::{CloseReason, Output, SessionKey};
use crate::job::ChannelKey;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::types::DropReason;

impl Broker {
    /// A connection is gone: everything that it owned goes back, except what the encoder may still read.
    pub(super) fn handle_departure(&mut self, session: SessionKey) {
        let Some(gone) = self.sessions.remove(&session) else {
            return;
        };
        for (id, key) in &gone.subscriptions {
            if let Some(channel) = self.channel_mut(*key) {
                channel.readers.retain(|reader| reader.id != *id);
            }
            self.review_readers(*key);
        }
        for channel in self.channels.iter_mut().flatten() {
            channel.key_frames.forget(session);
        }
        for index in 0..self.config.channels_max {
            self.orphan_channel(ChannelKey::new(index), session);
        }
        self.leave_regions(session);
        while let Some(lease) = self.sources.disown(session) {
            self.take_back_unreturned(lease);
        }
        for orphan in self.sources.orphans() {
            self.pool.quarantine(&orphan.memory);
        }
        self.start_next();
    }

    /// Closes a channel of `session`, which is gone.
    fn orphan_channel(&mut self, key: ChannelKey, session: SessionKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        if channel.owner != Some(session) {
            return;
        }
        channel.owner = None;
        match channel.life {
            // Buried when the shell answers.
            Life::Opening { .. } => {}
            _ => self.close(key, None),
        }
        let slot = self.channels.get(usize::from(key.index()));
        if let Some(channel) = slot.and_then(Option::as_ref) {
            self.pool.quarantine(&channel.memory);
        }
    }

    pub(super) fn watch(&mut self, session: SessionKey, on: bool) -> Answer {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.watches = on;
        }
        Ok(Some(Reply::Done))
    }

    /// Refuses new work, drops what is queued, and waits for the picture in flight.
    pub(super) fn handle_shutdown(&mut self) {
        match self.stage {
            Stage::Serving => {}
            Stage::Stopping { .. } => {
                self.stage = Stage::Stopping { restart: false };
                return;
            }
            Stage::Finished => return,
        }
        self.stage = Stage::Stopping { restart: false };
        for index in 0..self.config.channels_max {
            let key = ChannelKey::new(index);
            self.drop_queue(key, DropReason::Shutdown);
            self.finish_channel(key);
        }
    }

    /// Ends a stop that has nothing to wait for any more: says so to every client and closes it.
    pub(super) fn finish_stop(&mut self) {
        let Stage::Stopping { restart } = self.stage else {
            return;
        };
        if self.all_channels().any(|channel| channel.is_under_way()) {
            return;
        }
        while let Some(session) = self.sessions.keys().next().copied() {
            self.event(session, Event::Shutdown);
            self.push(Output::Close {
                session,
                reason: CloseReason::Shutdown,
            });
            self.handle_departure(session);
        }
        self.stage = Stage::Finished;
        self.push(Output::Finished { restart });
    }
}
