//! The memory that a channel's packets lie in, as writer and readers see it.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A ring. The writer knows what it wrote where, so that readers can be held to it.
#[derive(Debug)]
pub(super) struct RingMemory {
    data: RefCell<Vec<u8>>,
    tail: Cell<u32>,
    /// Position, length and sum of every packet that may still be there, the oldest first.
    packets: RefCell<VecDeque<(u32, u32, u64)>>,
}

impl RingMemory {
    pub(super) fn new(len_bytes: u32) -> Self {
        Self {
            data: RefCell::new(vec![0; index(len_bytes)]),
            tail: Cell::new(0),
            packets: RefCell::default(),
        }
    }

    /// Overwrites what lies before `tail` with a packet of at most `capacity`. `None`: it is longer.
    pub(super) fn write(
        &self,
        tail: u32,
        position: u32,
        capacity: u32,
        packet: &[u8],
    ) -> Option<u32> {
        self.tail.set(tail);
        let len = u32::try_from(packet.len()).expect("a short packet");
        if len > capacity {
            return None;
        }
        let mut data = self.data.borrow_mut();
        let ring = u32::try_from(data.len()).expect("a small ring");
        let start = index(position % ring);
        let place = data.get_mut(start..start + packet.len());
        place.expect("a packet never wraps").copy_from_slice(packet);
        let mut packets = self.packets.borrow_mut();
        packets.retain(|(old, ..)| old.wrapping_sub(tail) < 1 << 31);
        packets.push_back((position, len, sum(packet)));
        Some(len)
    }

    /// What a reader finds where a packet should be is that packet, or the tail says that it is too late.
    ///
    /// # Panics
    /// When it is neither.
    pub(super) fn check(&self, position: u32, len_bytes: u32) {
        if position.wrapping_sub(self.tail.get()) >= 1 << 31 {
            return;
        }
        let data = self.data.borrow();
        let ring = u32::try_from(data.len()).expect("a small ring");
        let start = index(position % ring);
        let bytes = data.get(start..start + index(len_bytes));
        let bytes = bytes.expect("a packet lies inside the ring");
        let packets = self.packets.borrow();
        let written = packets.iter().find(|(at, ..)| *at == position);
        let (_, len, sum_written) = written.expect("a packet is read that was never written");
        assert_eq!(*len, len_bytes, "a packet is announced with another length");
        assert_eq!(
            *sum_written,
            sum(bytes),
            "a packet changed while its reader had it"
        );
        assert!(
            bytes.starts_with(&[0, 0, 0, 1]),
            "a packet begins with a start code"
        );
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("small")
}

/// Tells packets apart; every 16th byte of long ones, for speed.
fn sum(bytes: &[u8]) -> u64 {
    let step = if bytes.len() > 512 { 16 } else { 1 };
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for byte in bytes
        .iter()
        .step_by(step)
        .chain(bytes.iter().rev().take(16))
    {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
