//! What a connection has open and what has arrived for it, without I/O: where each event goes.

use crate::buffer::{Buffer, Lease};
use crate::mem::ring::Ring;
use avpu_proto::error::Refusal;
use avpu_proto::event::{EndOfStream, Event, FormatChanged, Gap, Packet, SourceReleased};
use avpu_proto::reply::{ChannelOpened, Subscribed};
use avpu_proto::request::{ImportBuffer, OpenChannel, RegisterRegion, Subscribe, UserData};
use avpu_proto::types::{Address, ChannelId, FrameEnd, FrameNumber, RegionId, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Things of one kind that may wait to be taken before no more is read from the daemon.
const WAITING_MAX: usize = 256;

/// Names a slot for as long as the client lives, also across reconnects.
pub(crate) type Key = u32;

/// What was submitted.
#[derive(Debug)]
pub enum Source {
    /// A leased buffer.
    Buffer(Buffer),
    /// Memory that another allocator owns.
    Address(Address),
}

impl Source {
    /// Where the picture is.
    #[must_use]
    pub fn address(&self) -> Address {
        match self {
            Self::Buffer(buffer) => buffer.address(),
            Self::Address(address) => *address,
        }
    }

    /// The buffer, if it is one.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::Buffer(buffer) => Some(buffer),
            Self::Address(_) => None,
        }
    }
}

impl From<Buffer> for Source {
    fn from(buffer: Buffer) -> Self {
        Self::Buffer(buffer)
    }
}

impl From<Address> for Source {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

/// A submitted frame has ended; its source may be used again.
#[derive(Debug)]
pub struct Released {
    /// The source, back from the library.
    pub source: Source,
    /// The cookie given at submit.
    pub cookie: u64,
    /// What became of the frame.
    pub outcome: Outcome,
}

/// What became of a submitted frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was accepted and has ended.
    Ended {
        /// Its number in the channel.
        frame: FrameNumber,
        /// How it ended.
        end: FrameEnd,
    },
    /// A submit that was not waited for was refused.
    Refused(Refusal),
    /// The daemon went away first.
    Lost,
}

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) frame: FrameNumber,
    pub(crate) source: Source,
    pub(crate) cookie: u64,
}

#[derive(Debug)]
pub(crate) struct ChannelSlot {
    pub(crate) request: OpenChannel,
    /// What the daemon said when it was last opened.
    pub(crate) opened: ChannelOpened,
    /// User data of every IDR.
    pub(crate) idr_data: Option<UserData>,
    /// It is open on the connection as it is now.
    pub(crate) live: bool,
    pub(crate) leases: Vec<Arc<Lease>>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) released: VecDeque<Released>,
    /// Somebody takes from `released` without waiting.
    pub(crate) polled: bool,
    pub(crate) ended: Option<EndOfStream>,
}

/// What waits for a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrived {
    Packet(Packet),
    Gap(Gap),
    Format(FormatChanged),
    End(EndOfStream),
    /// The connection was replaced: packets of the old one are gone.
    Restarted,
}

#[derive(Debug)]
pub(crate) struct ReaderSlot {
    pub(crate) request: Subscribe,
    /// The channel, where it is one of this client's own.
    pub(crate) own: Option<Key>,
    /// The channel's name, by which it is found again: ids do not outlive the daemon.
    pub(crate) name: String,
    /// Absent until the daemon answered. Set before the first packet is taken in, which may follow at once.
    pub(crate) subscribed: Option<Subscribed>,
    /// Absent until it is mapped.
    pub(crate) ring: Option<Arc<Ring>>,
    pub(crate) arrived: VecDeque<Arrived>,
    /// Somebody takes from `arrived` without waiting.
    pub(crate) polled: bool,
    /// Last packet that was copied out and not yet given back.
    pub(crate) copied: Option<Sequence>,
}

#[derive(Debug)]
pub(crate) struct RegionSlot {
    pub(crate) what: RegionKind,
    pub(crate) region: Option<RegionId>,
}

/// What a region is made of.
#[derive(Debug)]
pub(crate) enum RegionKind {
    /// Memory at a known address.
    Memory(RegisterRegion),
    /// A buffer of another driver.
    Buffer {
        request: ImportBuffer,
        descriptor: OwnedFd,
        /// Where the daemon says that it lies.
        address: Address,
    },
}

/// Everything of one client.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_key: Key,
    pub(crate) channels: BTreeMap<Key, ChannelSlot>,
    pub(crate) readers: BTreeMap<Key, ReaderSlot>,
    pub(crate) regions: BTreeMap<Key, RegionSlot>,
    pub(crate) watching: bool,
    pub(crate) events: VecDeque<Event>,
    /// Somebody takes from `events` without waiting.
    pub(crate) events_polled: bool,
}

impl Ledger {
    pub(crate) fn key(&mut self) -> Key {
        self.next_key += 1;
        self.next_key
    }

    /// No more may be taken in before something is taken out.
    pub(crate) fn is_full(&self) -> bool {
        let channels = self.channels.values();
        let readers = self.readers.values();
        channels
            .map(|slot| slot.released.len())
            .any(|len| len >= WAITING_MAX)
            || readers
                .map(|slot| slot.arrived.len())
                .any(|len| len >= WAITING_MAX)
    }

    /// Something waits for somebody who takes it without waiting.
    pub(crate) fn waits_for_poller(&self) -> bool {
        let mut channels = self.channels.values();
        let mut readers = self.readers.values();
        channels.any(|slot| slot.polled && !slot.released.is_empty())
            || readers.any(|slot| slot.polled && !slot.arrived.is_empty())
            || (self.events_polled && !self.events.is_empty())
    }

    /// Puts an event where its taker finds it. One for what was closed meanwhile is dropped.
    pub(crate) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Packet(packet) => self.arrive(Arrived::Packet(packet)),
            Event::Gap(gap) => self.arrive(Arrived::Gap(gap)),
            Event::FormatChanged(format) => self.arrive(Arrived::Format(format)),
            Event::SourceReleased(released) => self.release(released),
            Event::EndOfStream(end) => {
                if let Some(slot) = self.channel(end.channel) {
                    slot.ended = Some(end);
                }
                self.arrive(Arrived::End(end));
            }
            Event::ChannelChanged(_)
            | Event::EngineReset(_)
            | Event::Shutdown
            | Event::LeaseRevoking(_)
            | Event::LeaseRevoked(_)
            | Event::TicketBreached(_)
            | Event::TicketDoubtful(_) => {
                // News of states: where nobody takes them, the oldest are the least worth.
                if self.events.len() == WAITING_MAX {
                    self.events.pop_front();
                }
                self.events.push_back(event);
            }
        }
    }

    /// A frame ended without a reply or an event of the daemon's saying so.
    pub(crate) fn give_back(&mut self, channel: Key, released: Released) {
        if let Some(slot) = self.channels.get_mut(&channel) {
            slot.released.push_back(released);
        }
    }

    /// The connection is gone: every frame in flight is lost, nothing is open on the wire.
    pub(crate) fn handle_disconnect(&mut self) {
        for slot in self.channels.values_mut() {
            slot.live = false;
            for frame in slot.in_flight.drain(..) {
                slot.released.push_back(Released {
                    source: frame.source,
                    cookie: frame.cookie,
                    outcome: Outcome::Lost,
                });
            }
        }
        for slot in self.regions.values_mut() {
            slot.region = None;
        }
    }

    /// A new connection replaces the old one: what readers had not copied yet is gone with its ring.
    pub(crate) fn handle_restart(&mut self) {
        self.handle_disconnect();
        for slot in self.channels.values_mut() {
            slot.ended = None;
        }
        for slot in self.readers.values_mut() {
            slot.subscribed = None;
            slot.ring = None;
            slot.copied = None;
            slot.arrived.clear();
            slot.arrived.push_back(Arrived::Restarted);
        }
    }

    fn release(&mut self, event: SourceReleased) {
        let Some(slot) = self.channel(event.channel) else {
            return;
        };
        let at = slot
            .in_flight
            .iter()
            .position(|frame| frame.frame == event.frame);
        if let Some(at) = at {
            let frame = slot.in_flight.remove(at);
            slot.released.push_back(Released {
                source: frame.source,
                cookie: frame.cookie,
                outcome: Outcome::Ended {
                    frame: frame.frame,
                    end: event.end,
                },
            });
        }
    }

    fn arrive(&mut self, arrived: Arrived) {
        let subscription = match &arrived {
            Arrived::Packet(packet) => Some(packet.subscription),
            Arrived::Gap(gap) => Some(gap.subscription),
            Arrived::Format(format) => Some(format.subscription),
            Arrived::End(end) => end.subscription,
            Arrived::Restarted => None,
        };
        let slot = self.readers.values_mut().find(|slot| {
            let found = slot.subscribed.as_ref().map(|wire| wire.subscription);
            found.is_some() && found == subscription
        });
        if let Some(slot) = slot {
            slot.arrived.push_back(arrived);
        }
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut ChannelSlot> {
        let mut slots = self.channels.values_mut();
        slots.find(|slot| slot.live && slot.opened.channel == id)
    }
}
