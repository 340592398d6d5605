//! A channel's ring as a reader sees it: copy out first, then ask whether the copy is good.

use super::map::{Access, Mapping};
use crate::error::ProtocolError;
use avpu_proto::event::Packet;
use avpu_proto::limits::RING_HEADER_BYTES;
use avpu_proto::reply::Subscribed;
use avpu_proto::ring::{self, CONSTANT_BYTES, RingLayout, offset};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};

/// A mapped ring.
#[derive(Debug)]
pub(crate) struct Ring {
    mapping: Mapping,
    layout: RingLayout,
}

/// Why a ring could not be mapped.
#[derive(Debug)]
pub(crate) enum RingFault {
    Io(io::Error),
    Protocol(ProtocolError),
}

impl Ring {
    /// Maps the ring whose descriptor came with `subscribed`.
    pub(crate) fn open(descriptor: OwnedFd, subscribed: &Subscribed) -> Result<Self, RingFault> {
        let file = File::from(descriptor);
        let file_bytes = u64::from(RING_HEADER_BYTES) + u64::from(subscribed.ring_bytes);
        let found = file.metadata().map_err(RingFault::Io)?.len();
        if found < file_bytes {
            // A shorter file would end this process with SIGBUS at the first read behind its end.
            return Err(RingFault::Protocol(ProtocolError::RingShort { found }));
        }
        let len = index(RING_HEADER_BYTES) + index(subscribed.ring_bytes);
        let mapping = Mapping::new(file, 0, len, Access::Read).map_err(RingFault::Io)?;
        let mut constants = [0; CONSTANT_BYTES];
        mapping.copy_out(0, &mut constants);
        let layout = RingLayout::decode(&constants)
            .map_err(|error| RingFault::Protocol(ProtocolError::Ring(error)))?;
        let agreed = (subscribed.ring_bytes, subscribed.epoch, subscribed.channel);
        if (layout.data_bytes(), layout.epoch(), layout.channel()) != agreed {
            return Err(RingFault::Protocol(ProtocolError::RingForeign));
        }
        Ok(Self { mapping, layout })
    }

    /// Copies a packet's bytes into `to`, which is made as long as the packet. `false`: the daemon has reused
    /// the room, what is in `to` means nothing.
    pub(crate) fn copy_packet(
        &self,
        packet: &Packet,
        to: &mut Vec<u8>,
    ) -> Result<bool, ProtocolError> {
        let data_bytes = self.layout.data_bytes();
        let inside = packet.len_bytes <= data_bytes
            && packet.offset_bytes <= data_bytes - packet.len_bytes
            && packet.offset_bytes == self.layout.offset_of(packet.position);
        if !inside {
            return Err(ProtocolError::PacketOutside);
        }
        to.resize(index(packet.len_bytes), 0);
        let start = index(RING_HEADER_BYTES) + index(packet.offset_bytes);
        self.mapping.copy_out(start, to);
        // Every byte above was read before the words below are: pairs with the fence of the daemon, which
        // stores the tail before it overwrites.
        fence(Ordering::Acquire);
        let tail = self.mapping.load_u32(index(offset::TAIL));
        let head = self.mapping.load_u32(index(offset::HEAD));
        Ok(ring::is_live(packet.position, packet.len_bytes, tail, head))
    }
}

/// A wire length as an index: every target of this crate has at least 32 bits.
fn index(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
