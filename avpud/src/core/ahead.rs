//! The next picture, made ready while another channel's is in the encoder: a guess.
//!
//! Which picture goes next is known only when the encoder is free; which one would go now is known before. Its
//! quantiser, its headers and its command list do not depend on the picture in the encoder, as that is never of the same
//! channel: so they are made while the encoder works, and what is left for the time between two pictures is to look
//! whether the guess still holds, and to start it.
//!
//! Nobody notices a guess that was wrong. It is a [`Composition`], made on a copy, and a list in a slot that the driver
//! has not taken; the channel, its rate control, its numbers, what it was promised and whose turn it is change when a
//! picture is started and not before. It is used only if it was made from exactly what is there then, and dropped
//! otherwise; every reason is counted ([`AheadReport`]). Time is not in a guess, so it never grows old by itself.
//!
//! Looking ahead is the last thing the shell does before it waits ([`Broker::look_ahead`]). It sets no timer, and does
//! nothing while the encoder is idle.

use crate::core::broker::Broker;
use crate::core::composition::Composition;
use crate::core::event::Output;
use crate::core::time::Micros;
use crate::job::ChannelKey;
use avpu_proto::report::AheadReport;

/// The guess, and what became of those before it.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    guess: Option<Guess>,
    counts: AheadReport,
}

#[derive(Debug)]
struct Guess {
    channel: ChannelKey,
    composition: Composition,
}

/// Why a guess is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Another channel's picture is more urgent.
    Overtaken,
    /// Its frame is not the next one of its channel any more, or will not be started.
    FrameGone,
    /// Its channel encodes no more.
    ChannelGone,
    /// Its channel was changed, reset, or lost a reference.
    Changed,
    /// Its picture must be an IDR now.
    Idr,
    /// The encoder was reset.
    Recovery,
}

impl Ahead {
    /// What became of all guesses so far.
    pub(super) const fn counts(&self) -> AheadReport {
        self.counts
    }

    fn count_drop(&mut self, flaw: Flaw) {
        let counts = &mut self.counts;
        let count = match flaw {
            Flaw::Overtaken => &mut counts.overtaken,
            Flaw::FrameGone => &mut counts.frame_gone,
            Flaw::ChannelGone => &mut counts.channel_gone,
            Flaw::Changed => &mut counts.changed,
            Flaw::Idr => &mut counts.idr,
            Flaw::Recovery => &mut counts.recovery,
        };
        *count = count.wrapping_add(1);
    }
}

impl Broker {
    /// Makes the picture ready that is likely next, if there is one and nothing else is to be done. The outputs must be
    /// drained before and after. Never needed, and never changes what is encoded or when.
    ///
    /// # Panics
    /// When time goes back.
    pub fn look_ahead(&mut self, now: Micros) {
        self.advance(now);
        let likely = self.likely_next();
        if let Some(guess) = &self.ahead.guess {
            match self.flaw(guess) {
                None if likely == Some(guess.channel) => return,
                flaw => self.drop_ahead(flaw.unwrap_or(Flaw::Overtaken)),
            }
        }
        let Some(channel) = likely.and_then(|key| self.channel(key)) else {
            return;
        };
        let Some(basis) = channel.basis(now) else {
            return;
        };
        let composition = channel.compose(basis);
        // A header that does not fit is told when the frame's turn has come.
        let Ok(picture) = &composition.picture else {
            return;
        };
        let job = channel.job(self.job_next, &basis, picture);
        self.ahead.guess = Some(Guess {
            channel: job.channel,
            composition,
        });
        let counts = &mut self.ahead.counts;
        counts.prepared = counts.prepared.wrapping_add(1);
        self.push(Output::Prepare(job));
    }

    /// The channel whose picture would be next if the encoder were free now. It is another one than that in the
    /// encoder, which offers no picture.
    fn likely_next(&mut self) -> Option<ChannelKey> {
        if !self.config.prepares_ahead || !self.engine.is_busy() {
            return None;
        }
        let key = self.arbiter.next(self.now)?.channel;
        let channel = self.channel(key)?;
        // After a change the driver's tables come first, and those are in use until then.
        let can_be_made = channel.retuning.is_none() && !channel.is_head_late(self.now);
        can_be_made.then_some(key)
    }

    /// What was made ready for a channel that the encoder is about to be started on, if it is as it would be made now.
    pub(super) fn take_ahead(&mut self, key: ChannelKey) -> Option<Composition> {
        let guess = self.ahead.guess.take()?;
        let overtaken = (guess.channel != key).then_some(Flaw::Overtaken);
        if let Some(flaw) = self.flaw(&guess).or(overtaken) {
            self.ahead.count_drop(flaw);
            return None;
        }
        let counts = &mut self.ahead.counts;
        counts.used = counts.used.wrapping_add(1);
        let composition = guess.composition;
        debug_assert!(
            self.channel(key)
                .is_some_and(|c| c.compose(composition.basis).picture == composition.picture),
            "a picture that was made ahead is the one that would be made now"
        );
        Some(composition)
    }

    /// Forgets what was made ready.
    pub(super) fn drop_ahead(&mut self, flaw: Flaw) {
        if self.ahead.guess.take().is_some() {
            self.ahead.count_drop(flaw);
        }
    }

    /// Why a guess is not what would be made now.
    fn flaw(&self, guess: &Guess) -> Option<Flaw> {
        let before = &guess.composition.basis;
        let Some(channel) = self.channel(guess.channel).filter(|c| c.encodes()) else {
            return Some(Flaw::ChannelGone);
        };
        let basis = channel.basis(self.now);
        let Some(basis) = basis.filter(|basis| basis.frame == before.frame) else {
            return Some(Flaw::FrameGone);
        };
        if channel.is_head_late(self.now) {
            return Some(Flaw::FrameGone);
        }
        if channel.retuning.is_some() {
            return Some(Flaw::Changed);
        }
        if basis.must_be_idr != before.must_be_idr {
            return Some(Flaw::Idr);
        }
        (basis != *before).then_some(Flaw::Changed)
    }
}
