//! Requests that many scripts make, and answers that they take for granted.

use super::world::World;
use crate::core::event::SessionKey;
use avpu_proto::reply::{Reconfigured, Reply};
use avpu_proto::report::{ChannelReport, StatusReport};
use avpu_proto::request::{Drain, Flush, Page, Reconfigure, Request, Reset, Resume};
use avpu_proto::types::ChannelId;

/// Ends a stream for good, or so that it can be resumed.
pub(super) fn drain(channel: ChannelId, keep: bool) -> Request {
    Request::Drain(Drain { channel, keep })
}

pub(super) fn resume(channel: ChannelId) -> Request {
    Request::Resume(Resume { channel })
}

pub(super) fn flush(channel: ChannelId) -> Request {
    Request::Flush(Flush { channel })
}

pub(super) fn reset(channel: ChannelId) -> Request {
    Request::Reset(Reset { channel })
}

impl World {
    pub(super) fn change(&mut self, session: SessionKey, wish: Reconfigure) -> Reconfigured {
        match self.ask(session, Request::Reconfigure(wish)) {
            Reply::Reconfigured(changed) => changed,
            other => panic!("expected a changed channel, found {other:?}"),
        }
    }

    pub(super) fn status(&mut self, session: SessionKey) -> StatusReport {
        match self.ask(session, Request::Status) {
            Reply::Status(status) => status,
            other => panic!("expected a status, found {other:?}"),
        }
    }

    /// The report of a channel, as long as there are few.
    pub(super) fn report(&mut self, session: SessionKey, channel: ChannelId) -> ChannelReport {
        match self.ask(session, Request::Channels(Page::default())) {
            Reply::Channels(page) => {
                let mut reports = page.entries.into_iter().map(|entry| entry.0);
                let report = reports.find(|report| report.channel == channel);
                report.expect("it is open")
            }
            other => panic!("expected channels, found {other:?}"),
        }
    }
}
