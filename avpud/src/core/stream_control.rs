//! What an owner does to a running stream: drain it, let it go on, flush it, begin it anew.
//!
//! The meanings are those of the stateful encoder interface of Video4Linux. Draining finishes every frame that was
//! accepted and no other; with `keep` an empty packet marks the end, the readers stay, and the channel goes on when
//! told to, as if nothing had been. Flushing drops what waits and leaves the stream as it is; a drain under way is
//! complete with it. After a reset comes a stream that needs nothing of what was before: an IDR with parameter sets,
//! from a rate control that has seen no picture; a drain under way is cancelled by it and leaves no mark. Draining
//! again, or going on before a drain has ended, is refused.
//!
//! One thing differs: a frame that comes while a channel drains or is drained is refused, where Video4Linux would keep
//! it until the channel goes on. A submitter is told at once, and its memory is not held by what may never come.

use crate::core::broker::{Answer, Broker};
use crate::core::channel::Life;
use crate::core::delivery::PacketPicture;
use crate::core::event::{Attach, SessionKey};
use crate::core::format::Format;
use crate::core::intake::{ENCODES, PAUSED, TAKES_FRAMES, wrong_state};
use crate::core::refusal::Refusal;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use crate::picture::PictureKind;
use avpu_proto::limits::NAL_UNITS_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::{Drain, Flush, Reset, Resume};
use avpu_proto::types::{DropReason, FrameNumber, NalUnit};

impl Broker {
    pub(super) fn drain(&mut self, session: SessionKey, request: u16, which: Drain) -> Answer {
        let id = which.channel;
        let key = self.owned(session, id)?;
        let channel = self.channel_mut(key).ok_or(Refusal::NoSuchChannel(id))?;
        if channel.life != Life::Serving {
            return Err(wrong_state(channel, TAKES_FRAMES));
        }
        channel.life = Life::Draining { keep: which.keep };
        self.state_changed = true;
        self.reply(session, request, Reply::Done, Attach::Nothing);
        self.resume_held(key);
        self.finish_channel(key);
        Ok(None)
    }

    /// A channel has finished what it accepted: its readers are told that nothing follows, for now or for ever.
    pub(super) fn finish_drain(&mut self, key: ChannelKey, keep: bool) {
        let now = self.now;
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        channel.life = Life::Drained { keep };
        if keep {
            let last = PacketPicture::last(now, channel.frame_next, channel.format());
            channel.ring.mark(channel.lost_before, last);
            channel.lost_before = 0;
            self.revoke_overwritten(key);
        } else {
            self.end_owner_stream(key);
        }
        self.state_changed = true;
        self.serve_readers(key);
    }

    /// Lets a channel that was drained with `keep` go on.
    pub(super) fn resume(&mut self, session: SessionKey, which: Resume) -> Answer {
        self.check_serving()?;
        let id = which.channel;
        let key = self.owned(session, id)?;
        let channel = self.channel_mut(key).ok_or(Refusal::NoSuchChannel(id))?;
        if channel.life != (Life::Drained { keep: true }) || channel.rebuilding.is_some() {
            return Err(wrong_state(channel, PAUSED));
        }
        channel.life = Life::Serving;
        self.state_changed = true;
        self.expect_input(key);
        Ok(Some(Reply::Done))
    }

    /// Drops what waits; every frame has ended when this is answered, but for one in the encoder.
    pub(super) fn flush(&mut self, session: SessionKey, which: Flush) -> Answer {
        let id = which.channel;
        let key = self.open_by_id(id)?.key;
        self.may_change(session, key)?;
        let channel = self.channel(key).ok_or(Refusal::NoSuchChannel(id))?;
        if !matches!(channel.life, Life::Serving | Life::Draining { .. }) {
            return Err(wrong_state(channel, "encodes"));
        }
        self.drop_all(key);
        self.finish_channel(key);
        Ok(Some(Reply::Done))
    }

    /// Drops every frame of a channel that waits, also those that wait for room: they come in and go at once.
    fn drop_all(&mut self, key: ChannelKey) {
        while self.channel(key).is_some_and(|c| !c.queue.is_empty()) {
            self.drop_queue(key, DropReason::Flushed);
        }
    }

    /// Drops what waits and begins a new stream. A picture in the encoder is the last one of the old stream.
    pub(super) fn reset(&mut self, session: SessionKey, which: Reset) -> Answer {
        self.check_serving()?;
        let id = which.channel;
        let key = self.open_by_id(id)?.key;
        self.may_change(session, key)?;
        let channel = self.channel_mut(key).ok_or(Refusal::NoSuchChannel(id))?;
        let goes_on = matches!(
            channel.life,
            Life::Serving | Life::Draining { keep: true } | Life::Drained { keep: true }
        );
        if !goes_on || channel.rebuilding.is_some() {
            return Err(wrong_state(channel, ENCODES));
        }
        channel.life = Life::Serving;
        channel.restarts = true;
        self.state_changed = true;
        self.expect_input(key);
        self.drop_all(key);
        Ok(Some(Reply::Done))
    }
}

impl PacketPicture {
    /// The empty packet behind the last one of a channel whose next frame would be `frame`.
    const fn last(now: Micros, frame: FrameNumber, format: Format) -> Self {
        Self {
            kind: PictureKind::P,
            is_last: true,
            qp: 0,
            timestamp: 0,
            frame,
            accepted: now,
            started: now,
            done: now,
            sse_luma: 0,
            psnr_cdb: 0,
            qp_mean: 0,
            buffer_permille: 0,
            nal_units: [NO_NAL_UNIT; NAL_UNITS_MAX],
            format,
            asked_for: false,
        }
    }
}

const NO_NAL_UNIT: NalUnit = NalUnit {
    nal_type: 0,
    offset_bytes: 0,
};
