//! A drained channel becomes one of another size or profile, and stays the channel that it is: its id and name, its
//! ring, its readers, its place in every count.
//!
//! The memory of the new pictures is leased before that of the old ones is given up, so a change that does not fit is
//! refused and changes nothing. What follows is a stream of its own; readers are told just before its first packet.

use crate::core::broker::{Answer, Broker};
use crate::core::channel::Life;
use crate::core::coder::Coder;
use crate::core::event::{Attach, Guards, Output, SessionKey};
use crate::core::intake::{PAUSED, wrong_state};
use crate::core::parameters::Parameters;
use crate::core::pool::Lease;
use crate::core::refusal::Refusal;
use crate::core::ticket;
use crate::job::ChannelKey;
use crate::mem::addr::ByteLen;
use avpu_proto::report::Purpose;

/// What a channel becomes once the shell has made room for it.
#[derive(Debug)]
pub(super) struct Rebuilding {
    session: SessionKey,
    request: u16,
    parameters: Parameters,
    memory: Lease,
    coder: Coder,
    picture_max: ByteLen,
    clamped: Vec<String>,
}

impl Broker {
    /// Another size or profile; answered when the shell has made room.
    pub(super) fn rebuild(
        &mut self,
        session: SessionKey,
        request: u16,
        key: ChannelKey,
        parameters: Parameters,
        mut clamped: Vec<String>,
    ) -> Answer {
        let gone = Refusal::Internal("the channel is gone".to_owned());
        let channel = self.channel(key).ok_or(gone)?;
        if channel.life != (Life::Drained { keep: true }) || channel.rebuilding.is_some() {
            return Err(wrong_state(channel, PAUSED));
        }
        self.admit_rebuilt(&parameters, channel)?;
        let setup = parameters.setup;
        let plan = self.config.planner.plan(&setup);
        let plan = plan.map_err(Refusal::Unsupported)?;
        let coder = Coder::new(&setup, parameters.description(), plan.picture_max)
            .map_err(|error| Refusal::Unsupported(error.to_string()))?;
        let (ring, chosen) = (
            channel.ring.data_bytes(),
            self.ring_bytes(&parameters, plan)?,
        );
        if chosen.value() > ring {
            clamped.push(format!(
                "the ring of the channel holds {ring} bytes, one opened like this would have {}: a picture that does not fit is encoded again, coarser, and readers are overtaken sooner",
                chosen.value()
            ));
        }
        let (pid, id, old) = (channel.opener.pid, channel.id, channel.memory.range());
        let memory = self.lease_memory(plan.memory, Purpose::Channel, pid, id)?;
        let range = memory.range();
        if let Some(channel) = self.channel_mut(key) {
            channel.rebuilding = Some(Box::new(Rebuilding {
                session,
                request,
                parameters,
                memory,
                coder,
                picture_max: plan.picture_max,
                clamped,
            }));
        }
        self.push(Output::RebuildChannel {
            channel: key,
            setup,
            memory: range,
            old,
        });
        Ok(None)
    }

    pub(super) fn handle_channel_rebuilt(&mut self, key: ChannelKey, result: Result<(), String>) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let Some(new) = channel.rebuilding.take() else {
            return;
        };
        if let Err(sentence) = result {
            self.pool.release(new.memory);
            self.refuse(new.session, new.request, &Refusal::Internal(sentence));
            return;
        }
        let cost = self.config.picture_cost(&new.parameters.setup);
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        channel.cost = cost;
        channel.recounted = None;
        let before = core::mem::replace(&mut channel.coder, new.coder);
        channel.coder.follow(&before);
        channel.picture_max = new.picture_max;
        channel.retuning = None;
        channel.restarts = false;
        let old = core::mem::replace(&mut channel.memory, new.memory);
        self.exchange_parameters(key, new.parameters);
        if self.engine.may_write_to(key) {
            self.condemn(old, Guards::Unseen);
        } else {
            self.retire(old, None);
        }
        let Some(channel) = self.channel(key) else {
            return;
        };
        let reply = self.reconfigured(channel, new.clamped);
        self.reply(new.session, new.request, reply, Attach::Nothing);
    }

    /// A channel has other parameters from now on, in everything but the coder and the memory.
    pub(super) fn exchange_parameters(&mut self, key: ChannelKey, parameters: Parameters) {
        let now = self.now;
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let promise = ticket::promise(&parameters, &channel.cost);
        let share = ticket::share(&parameters, &channel.cost);
        channel.ticket_us = ticket::ticket_us(&promise);
        channel.contract.change(share.period_us, now);
        let (fps, fps_out) = (parameters.fps, parameters.fps_out);
        channel.decimation.change(fps, fps_out);
        let has_other_rate = channel.parameters.fps != fps;
        channel.parameters = parameters;
        self.arbiter.change(key, share, now);
        if has_other_rate {
            self.expect_other_rate(key);
        }
        self.offer(key);
        self.resume_held(key);
        self.judge_tickets();
    }
}
