//! One reader of a channel: what it was sent, what it still holds, what it missed.
//!
//! A reader has a place in the sequence of packets and catches up while it has credits and its claim, the bytes that it
//! was sent and has not released, stays within half the ring. Nothing waits for it: when its packets are overwritten
//! its claim is void, and when its place is overwritten it jumps. Either way it misses packets, goes on at an IDR and is
//! told so with one [`Gap`], just before that IDR. A picture of another format than the last is told of just before it.
//! So a reader that does not read gets no more packets than it has credits, and at most one gap and one format for each.
//! What became of its channel meanwhile it is [told](super::announcing) when it has caught up.

use crate::core::delivery::{Ring, RingPacket, after, distance, precedes};
use crate::core::event::SessionKey;
use crate::core::format::Format;
use crate::picture::PictureKind;
use avpu_proto::event::{Event, Gap, GapReason, Packet};
use avpu_proto::types::{self, ChannelState, Sequence, SubscriptionId, TimeUs};
use std::collections::VecDeque;

/// A subscription.
#[derive(Debug)]
pub(super) struct Reader {
    /// Its connection.
    pub(super) session: SessionKey,
    /// Its name.
    pub(super) id: SubscriptionId,
    credits: usize,
    /// Packets sent and not released, oldest first; never more than `credits`.
    claims: VecDeque<Claim>,
    claimed_bytes: u32,
    /// The first packet not sent.
    next: Sequence,
    place: Place,
    /// The state of its channel that it was told last; `None` where it was told none yet.
    pub(super) told: Option<ChannelState>,
    /// The format that it was told last.
    format: Format,
}

#[derive(Debug)]
struct Claim {
    sequence: Sequence,
    /// 0 once the packet was overwritten: the credit stays taken until the reader releases it.
    len_bytes: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Gets every packet. `told_lost` is set once the loss before `next` was told.
    Following { told_lost: bool },
    /// Gets the next IDR first.
    AwaitsIdr { missed: Option<Missed> },
}

#[derive(Clone, Copy, Debug)]
struct Missed {
    first: Sequence,
    reason: GapReason,
}

impl Reader {
    /// A reader that starts at the IDR `start`, or at the next one, and was told that this has `format`.
    pub(super) fn new(
        session: SessionKey,
        id: SubscriptionId,
        credits: u16,
        start: Option<Sequence>,
        ring: &Ring,
        format: Format,
    ) -> Self {
        let credits = usize::from(credits);
        Self {
            session,
            id,
            credits,
            claims: VecDeque::with_capacity(credits),
            claimed_bytes: 0,
            next: start.unwrap_or(ring.next_sequence()),
            place: Place::AwaitsIdr { missed: None },
            told: None,
            format,
        }
    }

    /// The first packet that it may get.
    pub(super) const fn next(&self) -> Sequence {
        self.next
    }

    /// What must be sent to it now, if anything.
    pub(super) fn poll_event(&mut self, ring: &Ring) -> Option<Event> {
        match self.place {
            Place::AwaitsIdr { missed } => {
                let start = *ring.start_from(self.next)?;
                if !self.may_take(&start, ring) {
                    return None;
                }
                self.next = start.sequence;
                // Nothing is missing where it follows a mark at once.
                let told = missed.filter(|missed| missed.first != start.sequence);
                if start.picture.is_last {
                    // The mark of a drained channel is for everybody; what follows it may refer to what was missed.
                    let waits_on = |first| Place::AwaitsIdr {
                        missed: missed.map(|missed| Missed { first, ..missed }),
                    };
                    if let Some(missed) = told {
                        self.place = waits_on(start.sequence);
                        return Some(self.gap(missed, start.sequence));
                    }
                    let mark = self.take(&start, ring);
                    self.place = waits_on(self.next);
                    return Some(mark);
                }
                let told_lost = told.is_some() || missed.is_none();
                self.place = Place::Following { told_lost };
                match told {
                    Some(missed) => Some(self.gap(missed, start.sequence)),
                    None => self.poll_event(ring),
                }
            }
            Place::Following { told_lost } => {
                let packet = *ring.packet(self.next)?;
                if !self.may_take(&packet, ring) {
                    return None;
                }
                if packet.lost_before > 0 && !told_lost {
                    self.place = Place::Following { told_lost: true };
                    return Some(Event::Gap(Gap {
                        subscription: self.id,
                        first: packet.sequence,
                        count: packet.lost_before,
                        reason: GapReason::Lost,
                    }));
                }
                let format = packet.picture.format;
                if packet.picture.kind == PictureKind::Idr && self.format != format {
                    self.format = format;
                    let changed = format.event(self.id, packet.sequence);
                    return Some(Event::FormatChanged(changed));
                }
                Some(self.take(&packet, ring))
            }
        }
    }

    /// Whether it was sent all there is, or waits for an IDR that is not there.
    pub(super) fn is_through(&self, ring: &Ring) -> bool {
        match self.place {
            Place::AwaitsIdr { .. } => ring.start_from(self.next).is_none(),
            Place::Following { .. } => self.next == ring.next_sequence(),
        }
    }

    /// Packets that it should have been sent and was not.
    pub(super) fn lag(&self, ring: &Ring) -> u32 {
        let first = match self.place {
            // Its place was overwritten while it held all it may: it waits for itself and not for an IDR.
            Place::AwaitsIdr {
                missed: Some(missed),
            } if self.claims.len() >= self.credits => missed.first,
            _ if self.is_through(ring) => return 0,
            _ => self.next,
        };
        distance(first, ring.next_sequence())
    }

    /// What it has missed when nothing follows any more.
    pub(super) fn last_gap(&mut self, ring: &Ring) -> Option<Event> {
        let missed = match self.place {
            Place::AwaitsIdr { missed } => missed?,
            Place::Following { .. } => Missed {
                first: self.next,
                reason: GapReason::NoCredits,
            },
        };
        let end = ring.next_sequence();
        (missed.first != end).then(|| self.gap(missed, end))
    }

    /// Packets before `first` were overwritten. Answers how many of them it will never be sent.
    pub(super) fn revoke_before(&mut self, first: Sequence) -> u32 {
        let mut missed = None;
        for claim in &mut self.claims {
            if claim.len_bytes == 0 || !precedes(claim.sequence, first) {
                continue;
            }
            self.claimed_bytes -= claim.len_bytes;
            claim.len_bytes = 0;
            missed.get_or_insert(Missed {
                first: claim.sequence,
                reason: GapReason::Overrun,
            });
        }
        let mut unsent = 0;
        if precedes(self.next, first) {
            // Who waits for a first IDR has not started and misses nothing.
            if !matches!(self.place, Place::AwaitsIdr { missed: None }) {
                unsent = distance(self.next, first);
            }
            let reason = if self.claims.len() >= self.credits {
                GapReason::NoCredits
            } else {
                GapReason::Overrun
            };
            missed.get_or_insert(Missed {
                first: self.next,
                reason,
            });
            self.next = first;
        }
        self.place = match self.place {
            // Had it missed something before, that gap grows; had it not started yet, it has missed nothing.
            Place::AwaitsIdr { missed } => Place::AwaitsIdr { missed },
            Place::Following { .. } if missed.is_some() => Place::AwaitsIdr { missed },
            following @ Place::Following { .. } => following,
        };
        unsent
    }

    /// Gives back every packet up to and including `last`.
    pub(super) fn release(&mut self, last: Sequence) {
        while let Some(claim) = self.claims.front() {
            if precedes(last, claim.sequence) {
                return;
            }
            self.claimed_bytes -= claim.len_bytes;
            self.claims.pop_front();
        }
    }

    fn may_take(&self, packet: &RingPacket, ring: &Ring) -> bool {
        let claim = u64::from(self.claimed_bytes) + u64::from(packet.len.value());
        self.claims.len() < self.credits
            && (self.claimed_bytes == 0 || claim <= u64::from(ring.data_bytes() / 2))
    }

    fn take(&mut self, packet: &RingPacket, ring: &Ring) -> Event {
        self.claims.push_back(Claim {
            sequence: packet.sequence,
            len_bytes: packet.len.value(),
        });
        self.claimed_bytes += packet.len.value();
        self.next = after(packet.sequence, 1);
        self.place = Place::Following { told_lost: false };
        let picture = &packet.picture;
        Event::Packet(Packet {
            subscription: self.id,
            sequence: packet.sequence,
            offset_bytes: ring.offset_of(packet),
            len_bytes: packet.len.value(),
            position: packet.position,
            kind: match picture.kind {
                PictureKind::Idr => types::PictureKind::Idr,
                PictureKind::P => types::PictureKind::P,
            },
            qp: picture.qp,
            timestamp: picture.timestamp,
            accepted_us: TimeUs::new(picture.accepted.value()),
            started_us: TimeUs::new(picture.started.value()),
            done_us: TimeUs::new(picture.done.value()),
            frame: picture.frame,
            sse_luma: picture.sse_luma,
            psnr_cdb: picture.psnr_cdb,
            qp_mean: picture.qp_mean,
            buffer_permille: picture.buffer_permille,
            nal_units: picture.nal_units,
            last: picture.is_last,
        })
    }

    fn gap(&self, missed: Missed, next: Sequence) -> Event {
        Event::Gap(Gap {
            subscription: self.id,
            first: missed.first,
            count: distance(missed.first, next),
            reason: missed.reason,
        })
    }
}
