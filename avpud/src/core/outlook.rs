//! What is free, as far as channels are concerned: asked what would fit, without giving anything to anybody.
//!
//! Opening, reconfiguring and the question whether something would fit look at the same things in the same order, so
//! what is said to fit is opened, and the reason of a refusal is the same in all three.

use crate::core::admission::{self, Obstacle};
use crate::core::broker::Broker;
use crate::core::channel::Channel;
use crate::core::config::{BrokerConfig, CHANNEL_ALIGNMENT};
use crate::core::cost::PictureCost;
use crate::core::parameters::Parameters;
use crate::core::pool::{Lease, OutOfMemory, Pool, Tenancy, Tenant};
use crate::core::refusal::{Refusal, TicketHolder};
use crate::core::schedule::{Promise, Work};
use crate::core::ticket;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use crate::mem::addr::ByteLen;
use avpu_proto::report::Purpose;

/// What channels have, and what is left.
pub(super) struct Outlook<'a> {
    config: &'a BrokerConfig,
    promises: Vec<Promise>,
    /// Name and process, in the order of the promises; those that were only thought of are missing at the end.
    holders: Vec<(&'a str, u32)>,
    pool: Pool,
    /// What was leased of the pool in thought.
    leases: Vec<Lease>,
    slots_left: u16,
    /// What is asked about has its memory already.
    has_memory: bool,
    /// What pictures of the channel in question were found to take.
    known: Option<PictureCost>,
}

/// What a channel with certain parameters would need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) promise: Promise,
    pub(super) memory: ByteLen,
}

impl Broker {
    /// Things as they are; with `instead_of` the question is about that channel, which keeps its memory.
    pub(super) fn outlook(&self, instead_of: Option<ChannelKey>) -> Outlook<'_> {
        let others = || {
            let all = self.all_channels();
            all.filter(move |channel| Some(channel.key) != instead_of)
        };
        let taken = others().count();
        Outlook {
            config: &self.config,
            promises: others().map(promise_of).collect(),
            holders: others().map(|c| (c.name.as_str(), c.opener.pid)).collect(),
            pool: self.pool.rehearsal(|_| true),
            leases: Vec::new(),
            slots_left: self
                .config
                .channels_max
                .saturating_sub(u16::try_from(taken).unwrap_or(u16::MAX)),
            has_memory: instead_of.is_some(),
            known: instead_of.and_then(|key| Some(self.channel(key)?.cost)),
        }
    }

    /// Things as they would be without any channel.
    pub(super) fn outlook_alone(&self) -> Outlook<'_> {
        Outlook {
            config: &self.config,
            promises: Vec::new(),
            holders: Vec::new(),
            pool: self
                .pool
                .rehearsal(|tenant| tenant.purpose != Purpose::Channel),
            leases: Vec::new(),
            slots_left: self.config.channels_max,
            has_memory: false,
            known: None,
        }
    }
}

impl<'a> Outlook<'a> {
    /// The same where the channel in question needs other memory beside that which it has.
    pub(super) fn with_other_memory(self) -> Self {
        Self {
            has_memory: false,
            ..self
        }
    }

    /// What a channel with these parameters needs. Pictures that are there already are counted with what they were found
    /// to take, as long as their size stays.
    pub(super) fn need(&self, parameters: &Parameters) -> Result<Need, Refusal> {
        let setup = &parameters.setup;
        let macroblocks = setup.geometry.coded().macroblocks();
        let known = self.known.filter(|cost| cost.macroblocks() == macroblocks);
        let cost = known.unwrap_or_else(|| self.config.picture_cost(setup));
        let plan = self.config.planner.plan(setup);
        let plan = plan.map_err(Refusal::Unsupported)?;
        Ok(Need {
            promise: ticket::promise(parameters, &cost),
            memory: plan.memory,
        })
    }

    /// Whether one more channel could be opened.
    pub(super) fn check(&self, need: &Need) -> Result<(), Refusal> {
        self.check_within(need, &mut Work::SET.clone())
    }

    /// The same, without spending more than there is of `work`.
    pub(super) fn check_within(&self, need: &Need, work: &mut Work) -> Result<(), Refusal> {
        if self.slots_left == 0 {
            return Err(Refusal::Limit {
                what: "channels",
                max: u32::from(self.config.channels_max),
            });
        }
        self.check_promise(&need.promise, work)?;
        self.check_memory(need)
    }

    /// Whether there is memory for one more channel.
    pub(super) fn check_memory(&self, need: &Need) -> Result<(), Refusal> {
        if !self.has_memory && !self.pool.has_room(need.memory, CHANNEL_ALIGNMENT) {
            return Err(Refusal::NoMemory {
                wanted: need.memory,
                largest_free: self.pool.largest_free(),
            });
        }
        Ok(())
    }

    /// Whether one more promise could be kept beside all others.
    fn check_promise(&self, wanted: &Promise, work: &mut Work) -> Result<(), Refusal> {
        let mut promises = self.promises.clone();
        promises.push(*wanted);
        match admission::check(&promises, self.config.load_max_permille, work) {
            Ok(()) => Ok(()),
            Err(Obstacle::Time { needed_us, free_us }) => {
                Err(Refusal::NoCapacity { needed_us, free_us })
            }
            Err(Obstacle::Ticket { index }) => {
                let broken = promises.get(index).unwrap_or(wanted);
                let holder = match self.holders.get(index) {
                    Some((name, pid)) => TicketHolder::Open {
                        name: (*name).to_owned(),
                        pid: *pid,
                    },
                    None if index < self.promises.len() => TicketHolder::Asked,
                    None => TicketHolder::Itself,
                };
                Err(Refusal::NoSchedule {
                    holder,
                    ticket_us: ticket::ticket_us(broken),
                })
            }
        }
    }

    /// Opens a channel in thought that was found to fit.
    pub(super) fn place(&mut self, need: &Need) -> Result<(), Refusal> {
        let tenant = Tenant {
            purpose: Purpose::Channel,
            pid: 0,
            channel: None,
        };
        let leased = self
            .pool
            .lease(need.memory, CHANNEL_ALIGNMENT, tenant, Micros::default());
        let lease = leased.map_err(
            |OutOfMemory {
                 wanted,
                 largest_free,
             }| Refusal::NoMemory {
                wanted,
                largest_free,
            },
        )?;
        self.leases.push(lease);
        self.promises.push(need.promise);
        self.slots_left -= 1;
        Ok(())
    }

    /// Encoder time of a second that is left, in microseconds.
    pub(super) fn free_us(&self) -> u64 {
        admission::free_ns(&self.promises, self.config.load_max_permille) / 1000
    }

    /// Reserved memory that is left, in however many pieces.
    pub(super) fn free_bytes(&self) -> u64 {
        let all = u64::from(self.pool.arena().len().get());
        all.saturating_sub(self.pool.used_bytes())
    }

    /// The channels that have most of the encoder's time: name, process, microseconds of a second.
    pub(super) fn largest_loads(&self) -> Vec<(&'a str, u32, u64)> {
        let loads = self.promises.iter().map(|p| admission::load_ns(p) / 1000);
        let mut holders: Vec<_> = self
            .holders
            .iter()
            .zip(loads)
            .map(|((name, pid), load_us)| (*name, *pid, load_us))
            .collect();
        holders.sort_by_key(|(_, _, load_us)| core::cmp::Reverse(*load_us));
        holders.truncate(HOLDERS_NAMED);
        holders
    }

    /// The processes that have most of the memory, 0 for those that are gone: process and bytes.
    pub(super) fn largest_tenants(&self) -> Vec<(u32, u64)> {
        largest_tenants(&self.pool)
    }
}

/// The processes that have most of a pool, 0 for those that are gone: process and bytes.
pub(super) fn largest_tenants(pool: &Pool) -> Vec<(u32, u64)> {
    let part = |of: &Tenancy| (of.tenant.pid, u64::from(of.range.len().get()));
    largest_holders(pool.leased().iter().map(part))
}

/// The processes that have most of all parts: process and sum.
pub(super) fn largest_holders(parts: impl Iterator<Item = (u32, u64)>) -> Vec<(u32, u64)> {
    let mut holders: Vec<(u32, u64)> = Vec::new();
    for (pid, part) in parts {
        match holders.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, sum)) => *sum += part,
            None => holders.push((pid, part)),
        }
    }
    holders.sort_by_key(|(_, sum)| core::cmp::Reverse(*sum));
    holders.truncate(HOLDERS_NAMED);
    holders
}

/// What a channel is promised, its pictures counted with what they were found to take.
pub(super) fn promise_of(channel: &Channel) -> Promise {
    ticket::promise(&channel.parameters, &channel.cost)
}

/// Holders that a refusal names: more do not fit a sentence.
const HOLDERS_NAMED: usize = 2;
