//! Pictures that persistently take longer than the device states: counted with what they take, and their consequences told.
//!
//! What was accepted stays accepted: nobody is closed or slowed down for it. But from then on whatever is asked is checked
//! against what pictures really take ([`PictureCost`](super::cost::PictureCost)), so that no further ticket is sold that
//! cannot be kept, and a channel that lets go of the encoder is always allowed to. Tickets that were told before are
//! judged anew, class by class as the test at open does it: where those of a class might be broken now, each holder is
//! told that its ticket is in doubt, and again when it holds. A breach is no surprise then.

use crate::core::admission;
use crate::core::broker::Broker;
use crate::core::channel::Channel;
use crate::core::event::SessionKey;
use crate::core::note::Note;
use crate::core::outlook::promise_of;
use crate::core::schedule::{self, Promise, Work};
use crate::job::ChannelKey;
use avpu_proto::event::{Event, TicketDoubtful};
use avpu_proto::types::Class;

impl Broker {
    /// A picture of a channel was measured: takes over what its pictures are counted with from now on.
    pub(super) fn recount(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let Some(kind) = channel.recounted.take() else {
            return;
        };
        let stats = &mut channel.stats;
        let is_raised = channel.cost.counted_us(kind) > channel.cost.stated_us(kind);
        stats.overruns = stats.overruns.saturating_add(u32::from(is_raised));
        let note = Note::CostCounted {
            channel: key,
            kind,
            stated_us: channel.cost.stated_us(kind),
            counted_us: channel.cost.counted_us(kind),
        };
        self.counters.overruns = self.counters.overruns.saturating_add(u32::from(is_raised));
        self.note(note);
        self.judge_tickets();
    }

    /// Looks at every ticket again, if any is in doubt or may be. Whenever promises or what pictures take changed.
    pub(super) fn judge_tickets(&mut self) {
        let may_differ = |c: &Channel| c.is_doubtful || c.cost.is_raised();
        if !self.all_channels().any(may_differ) {
            return;
        }
        let mut promises = core::mem::take(&mut self.promises);
        promises.clear();
        promises.extend(self.all_channels().map(promise_of));
        for class in [Class::Live, Class::Record, Class::Snapshot] {
            let is_doubtful =
                schedule::first_broken_of(class, &promises, &mut Work::SET.clone()).is_some();
            for index in 0..self.config.channels_max {
                self.doubt(ChannelKey::new(index), class, is_doubtful);
            }
        }
        for index in 0..self.config.channels_max {
            self.doubt(ChannelKey::new(index), Class::BestEffort, false);
        }
        self.promises = promises;
    }

    /// The tickets of a class are in doubt, or hold: tells the holder if the channel is one, and did not know.
    fn doubt(&mut self, key: ChannelKey, class: Class, is_doubtful: bool) {
        let channel = self.channel_mut(key);
        let Some(channel) = channel.filter(|c| c.parameters.class == class) else {
            return;
        };
        if core::mem::replace(&mut channel.is_doubtful, is_doubtful) == is_doubtful {
            return;
        }
        let told = TicketDoubtful {
            channel: channel.id,
            ticket_us: channel.ticket_us,
            doubtful: is_doubtful,
        };
        let owner = channel.owner;
        self.note(Note::TicketDoubtful {
            channel: key,
            ticket_us: told.ticket_us,
            is_doubtful,
        });
        let concerned: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(session, state)| state.watches || owner == Some(**session))
            .map(|(session, _)| *session)
            .collect();
        for session in concerned {
            self.event(session, Event::TicketDoubtful(told));
        }
    }
}

/// Whether a channel that was promised `old` may have `new` whatever else is promised: it takes no more of the encoder
/// in any respect and is owed nothing sooner.
pub(super) fn lets_go(old: &Promise, new: &Promise) -> bool {
    let class = new.class == old.class || new.class == Class::BestEffort;
    let ticket = match (old.ticket_ns, new.ticket_ns) {
        (_, None) => true,
        (old, Some(new)) => old.is_some_and(|old| old <= new),
    };
    let load = admission::load_ns(new) <= admission::load_ns(old);
    class && ticket && load && new.cost_ns <= old.cost_ns && new.period_ns >= old.period_ns
}
