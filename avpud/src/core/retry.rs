//! A picture that is larger than what was there for it: coded once more, coarser and as an IDR.
//!
//! The second attempt is the last. When that is too large as well, its frame is lost like any other; and when it was
//! coded as coarsely as the channel allows, no other attempt would fare better, so the channel fails. There is no second
//! attempt for a frame whose memory was taken back meanwhile, nor for one from before a reset of the stream.

use crate::core::broker::Broker;
use crate::core::channel::{Frame, InFlight, Life};
use crate::core::note::Note;
use crate::job::ChannelKey;
use avpu_proto::types::DropReason;

impl Broker {
    /// A picture of `bytes` did not fit. Whether its frame waits for another attempt.
    pub(super) fn account_overflow(
        &mut self,
        key: ChannelKey,
        flight: &InFlight,
        bytes: u32,
    ) -> bool {
        let is_fenced = self.sources.is_fenced(flight.frame.holder);
        let Some(channel) = self.channel_mut(key) else {
            return false;
        };
        let goes_on = matches!(channel.life, Life::Serving | Life::Draining { .. });
        // What was in the encoder when its channel was reset belongs to the stream before.
        if goes_on && !flight.frame.is_retried && !channel.restarts && !is_fenced {
            channel.coder.handle_lost(Some(bytes));
            channel.queue.push_front(Frame {
                is_retried: true,
                // It has been started in time; what it waits from now on nobody promised.
                kept: false,
                ..flight.frame
            });
            self.stories.retry(flight.frame.story);
            self.note(Note::PictureTooLarge {
                channel: key,
                job: flight.job,
                qp: flight.qp,
                bytes,
            });
            return true;
        }
        self.account_loss(key, Some(bytes));
        let Some(channel) = self.channel_mut(key) else {
            return false;
        };
        let control = channel.parameters.setup.rate_control;
        let goes_coarser = control.uses_hardware() && flight.qp < control.range().max().value();
        if goes_on && flight.frame.is_retried && !goes_coarser {
            self.note(Note::ChannelTooLarge {
                channel: key,
                qp: flight.qp,
                bytes,
            });
            self.fail_channel(
                key,
                "a picture was too large as coarse as the channel allows",
            );
        }
        false
    }

    /// A channel cannot go on, for this reason: its queue is dropped. Its readers are told once nothing of it is under
    /// way ([`Broker::finish_channel`]).
    pub(super) fn fail_channel(&mut self, key: ChannelKey, reason: &'static str) {
        let Some(channel) = self.channel_mut(key) else {
            return;
        };
        channel.life = Life::Failing;
        channel.failed_because = reason;
        self.state_changed = true;
        self.drop_queue(key, DropReason::ChannelClosed);
    }
}
