//! Tickets: worked out once more from what clients are told, and never broken while the encoder takes no longer than it
//! should.
//!
//! A channel's frames are counted as long as each comes a period or more after the one before it, so that no tolerance
//! of the daemon's matters. From a frame that comes sooner, a change, or a picture that is encoded twice, until nothing
//! of the channel waits any more, its own waits are not; what it then submits must not harm the others all the same.

use crate::world::oracle::Oracle;
use crate::world::seen::Subject;
use avpu_proto::reply::ChannelOpened;
use avpu_proto::types::ChannelId;
use avpud::core::time::Micros;

/// What a channel was promised, and whether it keeps its part.
pub(super) struct Promise {
    /// 0: nothing is promised.
    ticket_us: u64,
    period_us: u64,
    /// Its last reserved picture was not due later than this; `None`: it does not keep its part.
    due: Option<Micros>,
    accepted: Option<Micros>,
}

impl Promise {
    pub(super) const NONE: Self = Self {
        ticket_us: 0,
        period_us: 0,
        due: None,
        accepted: None,
    };

    /// Another promise from now on; of the frames that wait nothing is said.
    pub(super) fn renew(&mut self, effective: &ChannelOpened, now: Micros, is_still: bool) {
        let rate = effective.fps;
        // Of fewer pictures than are submitted it depends which are encoded.
        let encodes_all = effective.fps_out.num == 0 || effective.fps_out == rate;
        self.ticket_us = match encodes_all {
            true => u64::from(effective.ticket_us),
            false => 0,
        };
        self.period_us = u64::from(rate.den) * 1_000_000 / u64::from(rate.num.max(1));
        self.due = is_still.then_some(now);
    }

    /// A frame came.
    pub(super) fn accept(&mut self, now: Micros) {
        let last = self.accepted.replace(now);
        if last.is_some_and(|last| now < last.plus_us(self.period_us)) {
            self.due = None;
        }
    }

    /// A frame is begun. Answers how long it waited since it was due, where the channel keeps its part.
    fn start(&mut self, accepted: Micros, now: Micros) -> Option<u64> {
        let due = self.due?.plus_us(self.period_us).max(accepted);
        self.due = Some(match now < due {
            // It went early; the next one is due a period after that at the latest.
            true => now.max(self.due?),
            false => due,
        });
        Some(now.since_us(due))
    }

    /// What is still to come says nothing about who kept what.
    pub(super) fn suspend(&mut self) {
        self.due = None;
    }

    /// Nothing of the channel waits.
    pub(super) fn rest(&mut self, now: Micros) {
        self.due.get_or_insert(now);
    }
}

impl Oracle {
    /// A channel has these terms from now on.
    pub(super) fn agree(&mut self, id: ChannelId, effective: &ChannelOpened) {
        let now = self.now;
        let is_still = self.is_still(id);
        let view = self.channel_of(id);
        view.deadline_us = u64::from(effective.deadline_us);
        view.preroll_bytes = effective.preroll_bytes;
        view.promise.renew(effective, now, is_still);
        view.vitals.agree(effective.fps, now);
        view.key_frames.group = effective.gop_length;
        view.key_frames.expect_anyhow();
    }

    /// No frame of this channel is under way.
    pub(super) fn is_still(&self, id: ChannelId) -> bool {
        self.frames.keys().all(|(_, channel, _)| *channel != id)
    }

    /// A frame is begun for the first time.
    pub(super) fn check_ticket(&mut self, id: ChannelId, accepted: Micros) {
        let (now, disturbed) = (self.now, self.disturbed);
        let promise = &mut self.channel_of(id).promise;
        let Some(wait_us) = promise.start(accepted, now) else {
            return;
        };
        let ticket_us = promise.ticket_us;
        assert!(
            ticket_us == 0 || wait_us <= ticket_us || disturbed,
            "{id:?} waits for {wait_us} us, its ticket says {ticket_us}"
        );
        if ticket_us > 0 && wait_us > 0 && !disturbed {
            self.seen.count(Subject::Happened, "wait within a ticket");
        }
    }

    /// Whether the picture that ends now was in the encoder for longer than the device states: then what waits behind
    /// it may wait for too long.
    pub(super) fn check_time(&mut self) {
        let Some(job) = self.in_flight else { return };
        let Some(view) = self.channels.get(&job.channel) else {
            return;
        };
        let stated_ns = self
            .cost
            .map_or(0, |cost| cost.avc.of(job.kind).picture_ns(view.macroblocks));
        let stated_us = stated_ns.div_ceil(1000);
        self.disturbed |= self.now.since_us(self.begun) > stated_us + 1;
    }

    /// Once nothing is left to wait, what disturbed the encoder is over.
    pub(super) fn calm_down(&mut self) {
        if self.is_idle() {
            self.disturbed = false;
        }
    }
}
