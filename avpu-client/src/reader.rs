//! A reader of a channel: packets out.

use crate::client::{mismatch, request_idr_on_wire};
use crate::connection::{Connection, deadline};
use crate::error::ClientError;
use crate::ledger::{Arrived, Key, ReaderSlot};
use crate::mem::ring::{Ring, RingFault};
use crate::state::Tag;
use avpu_proto::event::{EndOfStream, FormatChanged, GapReason, Packet as PacketMeta};
use avpu_proto::reply::{IdrPromised, Reply, Subscribed};
use avpu_proto::request::{ReleasePackets, Request, RequestIdr, Subscribe, Unsubscribe};
use avpu_proto::types::PictureKind;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// One access unit, copied out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Annex B; parameter sets before every IDR.
    pub bytes: &'a [u8],
    /// Number, kind, QP, timestamp, times.
    pub meta: PacketMeta,
}

/// Why packets are missing. The next packet is an IDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The daemon says so.
    Told(GapReason),
    /// The daemon reused the room while the packet was copied: the reader was too slow.
    Raced,
    /// The client reconnected: this is a new stream.
    Restarted,
}

/// What a reader gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Packets are missing here.
    Gap {
        /// Why.
        cause: GapCause,
        /// How many, where it is known; otherwise 0.
        count: u32,
    },
    /// The next packet, an IDR, and those behind it have another size, profile or frame rate than before, or than
    /// [`Reader::subscribed`] said. Its parameter sets say the same.
    FormatChanged(FormatChanged),
    /// The last packet was before this.
    EndOfStream(EndOfStream),
}

/// Reads a channel. Packets are copied out and given back to the daemon by themselves. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Reader {
    connection: Arc<Connection>,
    key: Key,
    bytes: Vec<u8>,
    /// A packet was lost here, so that only an IDR can be decoded next.
    awaits_idr: bool,
}

/// What was found while waiting.
enum Found {
    Arrived(Arrived, Option<Arc<Ring>>),
    /// Nothing, and packets are to be given back before waiting on.
    Release(ReleasePackets),
}

impl Reader {
    pub(crate) fn open(
        connection: &Arc<Connection>,
        request: Subscribe,
        own: Option<Key>,
    ) -> Result<Self, ClientError> {
        let connection = Arc::clone(connection);
        let mut state = connection.lock();
        let key = state.ledger.key();
        let slot = ReaderSlot {
            request,
            own,
            name: String::new(),
            subscribed: None,
            ring: None,
            arrived: VecDeque::new(),
            polled: false,
            copied: None,
        };
        state.ledger.readers.insert(key, slot);
        drop(state);
        // From here on its drop takes the slot away.
        let reader = Self {
            connection,
            key,
            bytes: Vec::new(),
            awaits_idr: false,
        };
        subscribe_on_wire(&reader.connection, key)?;
        Ok(reader)
    }

    /// What is read.
    ///
    /// # Errors
    /// `Disconnected` while a reconnect is under way.
    pub fn subscribed(&self) -> Result<Subscribed, ClientError> {
        let state = self.connection.lock();
        let slot = state.ledger.readers.get(&self.key);
        let subscribed = slot.and_then(|slot| slot.subscribed.clone());
        subscribed.ok_or(ClientError::Disconnected)
    }

    /// Waits for the next packet, gap, other format or end, at most `timeout`; `None` waits for ever.
    ///
    /// # Errors
    /// `Timeout`, or the connection is gone and what arrived before was taken.
    pub fn next_packet(&mut self, timeout: Option<Duration>) -> Result<Next<'_>, ClientError> {
        let deadline = deadline(timeout);
        let key = self.key;
        loop {
            let found = self.connection.wait(deadline, |state| {
                state.ledger.readers.get_mut(&key)?.take_found()
            })?;
            match found {
                Found::Release(release) => self.release(release),
                Found::Arrived(arrived, ring) => {
                    if let Some(next) = self.take(arrived, ring)? {
                        return Ok(self.present(next));
                    }
                }
            }
        }
    }

    /// The next packet, gap, other format or end, if there is one now: for a caller that waits at [`crate::Client::as_fd`].
    ///
    /// # Errors
    /// When the connection is gone and what arrived before was taken.
    pub fn try_next_packet(&mut self) -> Result<Option<Next<'_>>, ClientError> {
        let key = self.key;
        loop {
            let found = self.connection.poll(|state| {
                let slot = state.ledger.readers.get_mut(&key)?;
                slot.polled = true;
                slot.take_found()
            })?;
            match found {
                None => return Ok(None),
                Some(Found::Release(release)) => self.release(release),
                Some(Found::Arrived(arrived, ring)) => {
                    if let Some(next) = self.take(arrived, ring)? {
                        return Ok(Some(self.present(next)));
                    }
                }
            }
        }
    }

    /// Asks that the channel's next picture be an IDR; answers which packet will be that.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn request_idr(&self) -> Result<IdrPromised, ClientError> {
        let request = RequestIdr {
            channel: self.subscribed()?.channel,
            name: String::new(),
        };
        request_idr_on_wire(&self.connection, request)
    }

    fn release(&self, release: ReleasePackets) {
        // Refused only for a subscription that is over, and then there is nothing to give back.
        let _ = self
            .connection
            .post(&Request::ReleasePackets(release), Tag::Discard);
    }

    /// Copies what arrived; `None`: it is of no use to a decoder.
    fn take(
        &mut self,
        arrived: Arrived,
        ring: Option<Arc<Ring>>,
    ) -> Result<Option<Taken>, ClientError> {
        let meta = match arrived {
            Arrived::Packet(meta) => meta,
            Arrived::Gap(gap) => {
                let cause = GapCause::Told(gap.reason);
                return Ok(Some(Taken::Gap(cause, gap.count)));
            }
            Arrived::Format(format) => return Ok(Some(Taken::Format(format))),
            Arrived::End(end) => return Ok(Some(Taken::End(end))),
            Arrived::Restarted => {
                self.awaits_idr = false;
                return Ok(Some(Taken::Gap(GapCause::Restarted, 0)));
            }
        };
        let useful = !self.awaits_idr || meta.kind == PictureKind::Idr || meta.last;
        let live = match ring {
            // The mark behind the last packet has no bytes that could be lost.
            _ if meta.last => {
                self.bytes.clear();
                true
            }
            Some(ring) if useful => ring.copy_packet(&meta, &mut self.bytes)?,
            _ => false,
        };
        let mut state = self.connection.lock();
        if let Some(slot) = state.ledger.readers.get_mut(&self.key) {
            slot.copied = Some(meta.sequence);
        }
        drop(state);
        if !useful {
            return Ok(None);
        }
        // A mark says nothing of whether a packet was lost.
        if !meta.last {
            self.awaits_idr = !live;
        }
        if live {
            Ok(Some(Taken::Packet(meta)))
        } else {
            Ok(Some(Taken::Gap(GapCause::Raced, 1)))
        }
    }

    fn present(&self, taken: Taken) -> Next<'_> {
        match taken {
            Taken::Packet(meta) => Next::Packet(Packet {
                bytes: &self.bytes,
                meta,
            }),
            Taken::Gap(cause, count) => Next::Gap { cause, count },
            Taken::Format(format) => Next::FormatChanged(format),
            Taken::End(end) => Next::EndOfStream(end),
        }
    }
}

enum Taken {
    Packet(PacketMeta),
    Gap(GapCause, u32),
    Format(FormatChanged),
    End(EndOfStream),
}

impl ReaderSlot {
    /// What arrived first, otherwise what to give back before waiting for more.
    fn take_found(&mut self) -> Option<Found> {
        if let Some(arrived) = self.arrived.pop_front() {
            return Some(Found::Arrived(arrived, self.ring.clone()));
        }
        self.take_release().map(Found::Release)
    }

    /// What was copied and not yet given back.
    pub(crate) fn take_release(&mut self) -> Option<ReleasePackets> {
        let subscription = self.subscribed.as_ref()?.subscription;
        let sequence = self.copied.take()?;
        Some(ReleasePackets {
            subscription,
            sequence,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let slot = self.connection.lock().ledger.readers.remove(&self.key);
        if let Some(subscribed) = slot.and_then(|slot| slot.subscribed) {
            let subscription = subscribed.subscription;
            self.connection
                .mention(&Request::Unsubscribe(Unsubscribe { subscription }));
        }
    }
}

/// Subscribes a slot on the connection as it is now.
pub(crate) fn subscribe_on_wire(connection: &Connection, key: Key) -> Result<(), ClientError> {
    let request = connection
        .lock()
        .ledger
        .readers
        .get(&key)
        .map(|slot| slot.request.clone());
    let request = request.ok_or(ClientError::Disconnected)?;
    let (reply, descriptor) = connection.call(&Request::Subscribe(request), Tag::Subscribe(key))?;
    let Reply::Subscribed(subscribed) = reply else {
        return Err(mismatch("Subscribe"));
    };
    let descriptor = descriptor.ok_or(crate::error::ProtocolError::DescriptorMissing)?;
    let ring = Ring::open(descriptor, &subscribed).map_err(|fault| match fault {
        RingFault::Io(error) => ClientError::Io(error),
        RingFault::Protocol(error) => ClientError::Protocol(error),
    })?;
    if let Some(slot) = connection.lock().ledger.readers.get_mut(&key) {
        slot.ring = Some(Arc::new(ring));
        slot.name = subscribed.name;
    }
    Ok(())
}
