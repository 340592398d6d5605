//! Channels come and go.

use crate::codec::rate_control::idr_finer_by;
use crate::core::broker::{Answer, Broker};
use crate::core::channel::{Channel, Foundation, Life};
use crate::core::coder::Coder;
use crate::core::config::{CHANNEL_ALIGNMENT, ChannelPlan};
use crate::core::delivery::Ring;
use crate::core::event::{Attach, Guards, Output, SessionKey};
use crate::core::note::Note;
use crate::core::number::unused;
use crate::core::parameters::Parameters;
use crate::core::pool::{Lease, OutOfMemory, Tenant};
use crate::core::refusal::Refusal;
use crate::core::sources::Asker;
use crate::core::story::Owner;
use crate::core::ticket::{self, Contract};
use crate::job::ChannelKey;
use crate::mem::addr::ByteLen;
use crate::picture::PictureSize;
use avpu_proto::event::ChannelChanged;
use avpu_proto::reply::{ChannelOpened, Reply};
use avpu_proto::report::Purpose;
use avpu_proto::request::OpenChannel;
use avpu_proto::ring::DATA_BYTES_MIN;
use avpu_proto::types::{ChannelId, ChannelState, DropReason, SourceLayout};

impl Broker {
    pub(super) fn open_channel(&mut self, asker: Asker, request: u16, wish: OpenChannel) -> Answer {
        let session = asker.session;
        self.check_serving()?;
        let parameters = Parameters::new(wish, &self.config)?;
        let key = self.free_slot(session)?;
        let name = self.free_name(&parameters.name)?;
        let setup = parameters.setup;
        let cost = self.config.picture_cost(&setup);
        let share = ticket::share(&parameters, &cost);
        let ticket_us = ticket::ticket_us(&ticket::promise(&parameters, &cost));
        self.admit(&parameters, None)?;
        let plan = self
            .config
            .planner
            .plan(&setup)
            .map_err(Refusal::Unsupported)?;
        let coder = Coder::new(&setup, parameters.description(), plan.picture_max)
            .map_err(|e| Refusal::Unsupported(e.to_string()))?;
        let id = ChannelId::new(unused(self.channel_next.value(), |id| {
            self.all_channels().any(|channel| channel.id.value() == id)
        }));
        let ring_bytes = self.ring_bytes(&parameters, plan)?;
        let ring = Ring::new(ring_bytes, self.config.epoch, id)
            .map_err(|e| Refusal::Invalid(e.to_string()))?;
        let memory = self.lease_memory(plan.memory, Purpose::Channel, asker.peer.pid, id)?;

        self.channel_next = ChannelId::new(id.value().wrapping_add(1));
        if let Some(owner) = self.sessions.get_mut(&session) {
            owner.channels += 1;
        }
        self.push(Output::CreateChannel {
            channel: key,
            id,
            setup,
            memory: memory.range(),
            ring_bytes,
        });
        let channel = Channel::new(Foundation {
            key,
            id,
            name,
            owner: session,
            opener: asker.peer,
            parameters,
            memory,
            coder,
            picture_max: plan.picture_max,
            cost,
            contract: Contract::new(share.period_us, self.now),
            ticket_us,
            ring,
            idr_period_us: self.config.client_limits.idr_period_us,
            request,
        });
        if let Some(slot) = self.channels.get_mut(usize::from(key.index())) {
            *slot = Some(channel);
        }
        Ok(None)
    }

    pub(super) fn handle_channel_created(&mut self, key: ChannelKey, result: Result<(), String>) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let Life::Opening { request } = channel.life else {
            return;
        };
        if let Err(sentence) = result {
            if let Some(owner) = channel.owner {
                self.refuse(owner, request, &Refusal::Internal(sentence));
            }
            if let Some(memory) = self.bury(key) {
                self.pool.release(memory);
            }
            return;
        }
        let Some(owner) = channel.owner else {
            // Its owner left while it was being made.
            channel.life = Life::Closing { request: None };
            self.take_back(key);
            return;
        };
        channel.life = Life::Serving;
        let note = Note::ChannelOpened {
            channel: key,
            name: channel.name.clone(),
            pid: channel.opener.pid,
        };
        let share = ticket::share(&channel.parameters, &channel.cost);
        self.arbiter.add(key, share, self.now);
        let Some(channel) = self.channel(key) else {
            return;
        };
        let holder = Owner {
            channel: channel.id,
            name: channel.name.clone(),
            pid: channel.opener.pid,
        };
        let reply = Reply::ChannelOpened(self.opened(channel));
        self.stories.introduce(holder);
        self.reply(owner, request, reply, Attach::Nothing);
        self.note(note);
        self.state_changed = true;
    }

    /// What a channel has of all that could be asked for.
    pub(super) fn opened(&self, channel: &Channel) -> ChannelOpened {
        let parameters = &channel.parameters;
        let size = parameters.setup.geometry.visible();
        ChannelOpened {
            channel: channel.id,
            name: channel.name.clone(),
            epoch: self.config.epoch,
            source: self.source_layout(size),
            ring_bytes: channel.ring.data_bytes(),
            profile: parameters.profile,
            fps: parameters.fps,
            gop_length: parameters.setup.gop_length.get(),
            rate_control: parameters.rate_control,
            level_idc: channel.headers().level().idc(),
            class: parameters.class,
            weight: parameters.weight,
            preroll_bytes: channel.preroll_bytes(),
            fps_out: parameters.fps_out,
            picture_bytes_max: parameters.picture_bytes_max,
            ip_qp_delta: idr_finer_by(&parameters.setup),
            ticket_us: channel.ticket_us,
            overload: parameters.overload,
            deadline_us: parameters.deadline_us,
        }
    }

    /// Closes a channel of `session`; answered when it is gone.
    pub(super) fn close_channel(
        &mut self,
        session: SessionKey,
        request: u16,
        id: ChannelId,
    ) -> Answer {
        let key = self.owned(session, id)?;
        self.close(key, Some(request));
        Ok(None)
    }

    /// Drops what is queued, and the channel itself as soon as nothing of it is in flight.
    pub(super) fn close(&mut self, key: ChannelKey, request: Option<u16>) {
        if let Some(channel) = self.channel_mut(key) {
            channel.life = Life::Closing { request };
        }
        self.drop_queue(key, DropReason::ChannelClosed);
        self.finish_channel(key);
    }

    /// Takes the next step of a channel that drains, fails or closes, once nothing of it is under way.
    pub(super) fn finish_channel(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        if channel.is_under_way() || !channel.queue.is_empty() {
            return;
        }
        match channel.life {
            Life::Draining { keep } => self.finish_drain(key, keep),
            Life::Closing { request } => self.destroy(key, request),
            Life::Failing => {
                channel.life = Life::Failed;
                self.end_owner_stream(key);
                self.serve_readers(key);
            }
            Life::Opening { .. } | Life::Serving | Life::Drained { .. } | Life::Failed => {}
        }
    }

    /// Drops every queued frame of a channel; each ends.
    pub(super) fn drop_queue(&mut self, key: ChannelKey, reason: DropReason) {
        self.arbiter.withdraw(key);
        while let Some(channel) = self.channel_mut(key) {
            let Some(frame) = channel.queue.pop_front() else {
                break;
            };
            self.drop_frame(key, &frame, reason);
        }
        self.resume_held(key);
    }

    /// Nothing of the channel is in flight: tells its readers and its owner, and has its memory taken back.
    fn destroy(&mut self, key: ChannelKey, request: Option<u16>) {
        self.expel_readers(key);
        let Some(channel) = self.channel(key) else {
            return;
        };
        let owner = channel.owner;
        let changed = ChannelChanged {
            channel: channel.id,
            name: channel.name.clone(),
            state: ChannelState::Closed,
            reason: String::new(),
        };
        let note = Note::ChannelClosed {
            channel: key,
            name: channel.name.clone(),
        };
        self.take_back(key);
        self.note(note);
        if let (Some(owner), Some(request)) = (owner, request) {
            self.reply(owner, request, Reply::Done, Attach::Nothing);
        }
        self.tell_change(owner, &[], &changed);
    }

    /// Forgets a channel and asks the shell for its memory.
    fn take_back(&mut self, key: ChannelKey) {
        if let Some(lease) = self.bury(key) {
            let (channel, memory) = (key, lease.range());
            self.push(Output::DestroyChannel { channel, memory });
            if self.engine.may_write_to(key) {
                self.condemn(lease, Guards::Unseen);
            } else {
                self.retire(lease, None);
            }
        }
    }

    /// Forgets a channel; what is left of it is its memory.
    fn bury(&mut self, key: ChannelKey) -> Option<Lease> {
        self.arbiter.remove(key);
        self.expect_no_input(key);
        let slot = self.channels.get_mut(usize::from(key.index()));
        let channel = slot.and_then(Option::take)?;
        let owner = channel.owner.and_then(|o| self.sessions.get_mut(&o));
        if let Some(owner) = owner {
            owner.channels -= 1;
        }
        self.judge_tickets();
        Some(channel.memory)
    }

    fn free_slot(&self, session: SessionKey) -> Result<ChannelKey, Refusal> {
        let owned = self.sessions.get(&session).map_or(0, |s| s.channels);
        let max = self.config.client_limits.channels;
        if owned >= max {
            return Err(Refusal::Limit {
                what: "channels of one connection",
                max: u32::from(max),
            });
        }
        let free = (0..self.config.channels_max)
            .map(ChannelKey::new)
            .find(|key| self.channel(*key).is_none());
        free.ok_or_else(|| {
            self.name_owners(Refusal::Limit {
                what: "channels",
                max: u32::from(self.config.channels_max),
            })
        })
    }

    /// The wished name if nobody has it, or the first of ch0, ch1, ... that is free.
    fn free_name(&self, wish: &str) -> Result<String, Refusal> {
        let holder = |name: &str| {
            let mut living = self.all_channels();
            living.find(|c| c.name == name && !matches!(c.life, Life::Closing { .. }))
        };
        if !wish.is_empty() {
            return match holder(wish) {
                Some(channel) => Err(Refusal::NameTaken {
                    name: wish.to_owned(),
                    pid: channel.opener.pid,
                }),
                None => Ok(wish.to_owned()),
            };
        }
        let mut numbered = (0_u32..).map(|n| format!("ch{n}"));
        numbered
            .find(|name| holder(name).is_none())
            .ok_or(Refusal::Internal("no channel name is left".to_owned()))
    }

    /// Size of a channel's ring: what was asked for, or four seconds at its bitrate with room for a good IDR. A fixed
    /// quantiser bounds nothing, so there it is two of the largest pictures that a stream buffer takes.
    pub(super) fn ring_bytes(
        &self,
        parameters: &Parameters,
        plan: ChannelPlan,
    ) -> Result<ByteLen, Refusal> {
        let max = self.config.ring_bytes_max.value();
        let wish = parameters.ring_bytes;
        if wish > 0 {
            let bytes = wish.checked_next_power_of_two().filter(|b| *b <= max);
            return bytes
                .map(|bytes| ByteLen::new(bytes.max(DATA_BYTES_MIN)))
                .ok_or_else(|| {
                    Refusal::Invalid(format!(
                        "expected a ring of at most {max} bytes, found {wish}"
                    ))
                });
        }
        if let Some(bytes) = self.config.ring_bytes {
            return Ok(bytes);
        }
        let setup = &parameters.setup;
        let bytes = match setup.rate_control.target() {
            Some(rate) => {
                let four_seconds = u64::from(rate.bps()) / 2;
                let macroblocks = u64::from(setup.geometry.coded().macroblocks());
                four_seconds.max(macroblocks * GOOD_IDR_BYTES_PER_MACROBLOCK)
            }
            None => u64::from(plan.picture_max.value()) * 2,
        };
        let bytes = bytes.max(u64::from(RING_BYTES_MIN));
        let bytes = u32::try_from(bytes.next_power_of_two()).unwrap_or(max);
        Ok(ByteLen::new(bytes.min(max)))
    }

    pub(super) fn lease_memory(
        &mut self,
        len: ByteLen,
        purpose: Purpose,
        pid: u32,
        channel: ChannelId,
    ) -> Result<Lease, Refusal> {
        let tenant = Tenant {
            purpose,
            pid,
            channel: Some(channel),
        };
        let leased = self.pool.lease(len, CHANNEL_ALIGNMENT, tenant, self.now);
        leased.map_err(
            |OutOfMemory {
                 wanted,
                 largest_free,
             }| {
                self.name_tenants(Refusal::NoMemory {
                    wanted,
                    largest_free,
                })
            },
        )
    }

    /// Where the planes of a picture of this size lie.
    pub(super) fn source_layout(&self, size: PictureSize) -> SourceLayout {
        SourceLayout {
            stride_bytes: size.source_pitch_bytes(),
            stored_lines: size.mb_rows() * 16,
            chroma_offset_bytes: size.source_chroma_offset_bytes(),
            len_bytes: size.source_len_bytes(),
            alignment_bytes: self.config.source_alignment.value(),
        }
    }
}

/// A detailed picture at a fine quantiser: three times what a camera's IDR takes at usual rates.
const GOOD_IDR_BYTES_PER_MACROBLOCK: u64 = 128;
/// Smallest ring that the daemon chooses by itself.
const RING_BYTES_MIN: u32 = 64 * 1024;
