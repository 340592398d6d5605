//! Would it fit? Admission with the names of those who are in the way.

use crate::core::admission::{self, Obstacle};
use crate::core::broker::Broker;
use crate::core::channel::Channel;
use crate::core::cost::PictureCost;
use crate::core::parameters::Parameters;
use crate::core::refusal::Refusal;
use crate::core::schedule::Promise;
use crate::core::ticket;
use crate::job::ChannelKey;

impl Broker {
    /// Refuses a channel with these parameters if it does not fit beside all others; `instead_of` is not counted.
    pub(super) fn admit(
        &self,
        parameters: &Parameters,
        cost: &PictureCost,
        instead_of: Option<ChannelKey>,
    ) -> Result<(), Refusal> {
        let others: Vec<&Channel> = self
            .all_channels()
            .filter(|channel| Some(channel.key) != instead_of)
            .collect();
        let mut promises: Vec<Promise> = others.iter().map(|c| promise_of(c)).collect();
        let wanted = ticket::promise(parameters, cost);
        promises.push(wanted);
        match admission::check(&promises, self.config.load_max_permille) {
            Ok(()) => Ok(()),
            Err(Obstacle::Time { needed_us, free_us }) => {
                Err(Refusal::NoCapacity { needed_us, free_us })
            }
            Err(Obstacle::Ticket { index }) => {
                let holder = others.get(index);
                let ticket_us = holder.map_or(ticket::ticket_us(&wanted), |c| c.ticket_us);
                Err(Refusal::NoSchedule {
                    holder: holder.map(|c| (c.name.clone(), c.pid)),
                    ticket_us: u64::from(ticket_us),
                })
            }
        }
    }
}

fn promise_of(channel: &Channel) -> Promise {
    ticket::promise(&channel.parameters, &channel.cost)
}
