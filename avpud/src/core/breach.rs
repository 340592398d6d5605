//! A picture waited longer than its channel's ticket says: counted, noted, told.
//!
//! Only where the channel kept its part: a client that submits more than it said waits for itself. A breach means that
//! a picture took longer than the device states, or that the engine was reset. Where pictures persistently do, holders
//! were told before ([`overrun`](super::overrun)).

use crate::core::broker::Broker;
use crate::core::event::SessionKey;
use crate::core::note::Note;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::event::{Event, TicketBreached};

impl Broker {
    /// The encoder was just started on a channel's picture that was due since `due`.
    pub(super) fn check_ticket(&mut self, key: ChannelKey, due: Option<Micros>) {
        let now = self.now;
        let Some((channel, due)) = self.channel_mut(key).zip(due) else {
            return;
        };
        let Some(frame) = channel.in_flight.as_ref().map(|flight| flight.frame) else {
            return;
        };
        let (wait_us, ticket_us) = (now.since_us(due), channel.ticket_us);
        if !frame.kept || ticket_us == 0 {
            return;
        }
        self.stories.owe(frame.story, due);
        if wait_us <= u64::from(ticket_us) {
            return;
        }
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let stats = &mut channel.stats;
        stats.tickets_breached = stats.tickets_breached.saturating_add(1);
        let breach = TicketBreached {
            channel: channel.id,
            frame: frame.number,
            wait_us: u32::try_from(wait_us).unwrap_or(u32::MAX),
            ticket_us,
            breaches: stats.tickets_breached,
        };
        let owner = channel.owner;
        self.counters.tickets_breached = self.counters.tickets_breached.saturating_add(1);
        self.note(Note::TicketBreached {
            channel: key,
            frame: frame.number,
            wait_us,
            ticket_us,
        });
        let concerned: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(session, state)| state.watches || owner == Some(**session))
            .map(|(session, _)| *session)
            .collect();
        for session in concerned {
            self.event(session, Event::TicketBreached(breach));
        }
    }
}
