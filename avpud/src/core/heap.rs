//! The least of a few keys, each held by a channel: a binary heap whose entries are also found by their channel.
//!
//! A channel has at most one entry. Every operation takes steps with the logarithm of the number of entries, and none
//! allocates: there is room for every channel from the start.

use crate::job::ChannelKey;

/// Keys of channels, least first; equal keys in the order of the channels' slots.
#[derive(Debug)]
pub(super) struct ChannelHeap<K> {
    entries: Vec<(K, ChannelKey)>,
    /// Where a channel's entry is, by slot.
    places: Vec<Option<usize>>,
}

impl<K: Copy + Ord> ChannelHeap<K> {
    /// An empty heap for channels in the slots below `slots`.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            entries: Vec::with_capacity(slots),
            places: vec![None; slots],
        }
    }

    /// The least key and its channel.
    pub(super) fn first(&self) -> Option<(K, ChannelKey)> {
        self.entries.first().copied()
    }

    /// Enters a channel, which must not be there yet.
    pub(super) fn insert(&mut self, key: K, channel: ChannelKey) {
        assert!(
            self.place(channel).is_none(),
            "a channel has one entry at most"
        );
        let at = self.entries.len();
        self.entries.push((key, channel));
        self.note_place(at);
        self.rise(at);
    }

    /// Takes a channel out. Answers whether it was there.
    pub(super) fn remove(&mut self, channel: ChannelKey) -> bool {
        let Some(at) = self.place(channel) else {
            return false;
        };
        self.entries.swap_remove(at);
        if let Some(place) = self.places.get_mut(usize::from(channel.index())) {
            *place = None;
        }
        if at < self.entries.len() {
            self.note_place(at);
            self.rise(at);
            self.sink(at);
        }
        true
    }

    fn place(&self, channel: ChannelKey) -> Option<usize> {
        *self.places.get(usize::from(channel.index()))?
    }

    fn note_place(&mut self, at: usize) {
        let Some((_, channel)) = self.entries.get(at) else {
            return;
        };
        let slot = self.places.get_mut(usize::from(channel.index()));
        *slot.expect("there is a place for every slot") = Some(at);
    }

    fn precedes(&self, a: usize, b: usize) -> bool {
        self.entries.get(a) < self.entries.get(b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.entries.swap(a, b);
        self.note_place(a);
        self.note_place(b);
    }

    /// Moves an entry up until none above it is greater.
    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let above = (at - 1) / 2;
            if !self.precedes(at, above) {
                return;
            }
            self.swap(at, above);
            at = above;
        }
    }

    /// Moves an entry down until none below it is less.
    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.entries.len() {
                return;
            }
            let right_is_less = right < self.entries.len() && self.precedes(right, left);
            let least = if right_is_less { right } else { left };
            if !self.precedes(least, at) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: u16 = 16;

    #[test]
    fn entries_come_out_least_first_however_they_were_put_in_and_taken_out() {
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut heap = ChannelHeap::new(usize::from(SLOTS));
        let mut expected: Vec<(u32, ChannelKey)> = Vec::new();
        for step in 0..20_000 {
            let slot = u16::try_from(next() % u32::from(SLOTS)).expect("small");
            let channel = ChannelKey::new(slot);
            let held = expected.iter().position(|(_, c)| *c == channel);
            match held {
                Some(at) => {
                    expected.remove(at);
                    assert!(heap.remove(channel), "step {step}");
                }
                None => {
                    assert!(!heap.remove(channel), "step {step}");
                    let key = next() % 8;
                    expected.push((key, channel));
                    heap.insert(key, channel);
                }
            }
            assert_eq!(heap.first(), expected.iter().min().copied(), "step {step}");
        }
    }
}
