//! A channel is changed while it runs.
//!
//! What can be changed between two pictures acts from the next picture that is started on: rate control, its bounds, the
//! frame rates, the group of pictures. Neither an IDR nor what rate control has learned is lost by it. The stream
//! buffers stay those that the channel was opened with, so rate control is told how large a picture they hold. Only a
//! stream that outgrows its level begins with an IDR.
//!
//! A change is checked as a whole, admission included, before anything of it is done.

use crate::codec::avc::Headers;
use crate::core::broker::{Answer, Broker};
use crate::core::change;
use crate::core::channel::{Channel, Life};
use crate::core::event::{Output, SessionKey};
use crate::core::format::Format;
use crate::core::intake::{ENCODES, wrong_state};
use crate::core::parameters::Parameters;
use crate::core::refusal::Refusal;
use crate::job::ChannelKey;
use avpu_proto::reply::{Reconfigured, Reply};
use avpu_proto::request::Reconfigure;
use avpu_proto::types::Sequence;
use core::num::NonZeroU32;

/// What the coder still has to take over, from the next picture on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retuning {
    headers: Headers,
    /// The level rises: decoders must be told first.
    needs_idr: bool,
}

impl Broker {
    pub(super) fn reconfigure(
        &mut self,
        session: SessionKey,
        request: u16,
        wish: Reconfigure,
    ) -> Answer {
        self.check_serving()?;
        let key = self.named(wish.channel, wish.name.clone())?;
        let channel = self.may_change(session, key)?;
        let (wish, mut clamped) = change::laid_over(&channel.parameters.wish, &wish)?;
        let mut parameters = Parameters::new(wish, &self.config)?;
        let old = &channel.parameters.setup;
        let new = &parameters.setup;
        if (new.geometry, new.coding) != (old.geometry, old.coding) {
            return self.rebuild(session, request, key, parameters, clamped);
        }
        self.admit(&parameters, Some(key))?;
        self.bound_pictures(channel, &mut parameters, &mut clamped)?;
        let headers = channel.coder.headers();
        let retuned = headers
            .retuned(&parameters.setup, channel.picture_max.value())
            .map_err(|e| Refusal::Unsupported(e.to_string()))?;
        let retuning = Retuning {
            headers: retuned,
            needs_idr: retuned.level() > headers.level(),
        };
        self.take_over(key, parameters, retuning);
        let channel = self.channel(key).ok_or(Refusal::UnknownRequest)?;
        Ok(Some(self.reconfigured(channel, clamped)))
    }

    /// The channel, if `session` may change it and it still encodes.
    pub(super) fn may_change(
        &self,
        session: SessionKey,
        key: ChannelKey,
    ) -> Result<&Channel, Refusal> {
        let gone = Refusal::Internal("the channel is gone".to_owned());
        let channel = self.channel(key).ok_or(gone)?;
        let uid = |session| self.sessions.get(&session).map(|s| s.peer.uid);
        let asker = uid(session);
        let owner = channel.owner.and_then(uid);
        if asker != Some(0) && asker != owner {
            return Err(Refusal::NotOwner(channel.id));
        }
        let encodes = matches!(
            channel.life,
            Life::Serving | Life::Draining { .. } | Life::Drained { keep: true }
        );
        // What it becomes was decided with what it was when that was asked for.
        if !encodes || channel.rebuilding.is_some() {
            return Err(wrong_state(channel, ENCODES));
        }
        Ok(channel)
    }

    /// Keeps pictures within the stream buffers that the channel has, where the change would have had larger ones.
    fn bound_pictures(
        &self,
        channel: &Channel,
        parameters: &mut Parameters,
        clamped: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let plan = self.config.planner.plan(&parameters.setup);
        let plan = plan.map_err(Refusal::Unsupported)?;
        let room = channel.picture_max.value();
        if plan.picture_max.value() <= room {
            return Ok(());
        }
        let tuning = &mut parameters.setup.rate_tuning;
        let asked = tuning.picture_max_bytes.map(NonZeroU32::get);
        if asked.is_some_and(|asked| asked <= room) {
            return Ok(());
        }
        tuning.picture_max_bytes = NonZeroU32::new(room);
        let (old, new) = (
            channel.parameters.setup.rate_control,
            parameters.setup.rate_control,
        );
        let is_finer = new.range().min() < old.range().min();
        if let Some(asked) = asked {
            parameters.picture_bytes_max = room;
            clamped.push(format!(
                "picture_bytes_max: asked for {asked}, {room} in effect: the stream buffers of the channel hold no more"
            ));
        } else if !new.uses_hardware() {
            clamped.push(format!(
                "the stream buffers of the channel hold pictures of {room} bytes: where a fixed quantiser needs more, the channel fails"
            ));
        } else if is_finer {
            clamped.push(format!(
                "the stream buffers of the channel hold pictures of {room} bytes: one that needs more with a finer quantiser is encoded again, coarser"
            ));
        }
        Ok(())
    }

    /// The change is decided.
    fn take_over(&mut self, key: ChannelKey, parameters: Parameters, retuning: Retuning) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let needs_idr = retuning.needs_idr || channel.retuning.is_some_and(|r| r.needs_idr);
        channel.retuning = Some(Retuning {
            needs_idr,
            ..retuning
        });
        self.exchange_parameters(key, parameters);
    }

    /// Lets the next picture of a channel be coded as it was changed to. Nothing of it is in the encoder.
    pub(super) fn retune(&mut self, key: ChannelKey) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        let Some(retuning) = channel.retuning.take() else {
            return;
        };
        let setup = channel.parameters.setup;
        channel.coder.change(&setup, retuning.headers);
        channel.phase = None;
        if retuning.needs_idr {
            channel.coder.force_idr();
        }
        self.push(Output::TuneChannel {
            channel: key,
            setup,
        });
    }

    pub(super) fn reconfigured(&self, channel: &Channel, clamped: Vec<String>) -> Reply {
        let Format { width, height, .. } = channel.format();
        Reply::Reconfigured(Reconfigured {
            channel: channel.id,
            first: channel.sequence_next_started(),
            clamped,
            effective: self.opened(channel),
            width,
            height,
        })
    }
}

impl Channel {
    /// The headers of the next picture to be started.
    pub(super) fn headers(&self) -> &Headers {
        match &self.retuning {
            Some(retuning) => &retuning.headers,
            None => self.coder.headers(),
        }
    }

    /// Number of the packet that the next picture to be started becomes, if none before it is lost.
    pub(super) fn sequence_next_started(&self) -> Sequence {
        let started = self.delivering.len() + usize::from(self.in_flight.is_some());
        let started = u32::try_from(started).unwrap_or(0);
        Sequence::new(self.ring.next_sequence().value().wrapping_add(started))
    }
}
