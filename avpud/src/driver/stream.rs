//! A channel's stream buffers: which are free, and how slice data is copied out of one.
//!
//! A buffer is in flight while the hardware writes it, ready until its slice data was copied out, and free otherwise.
//! They are taken in turn. A picture always has a whole buffer.

use crate::job::JobId;
use crate::mem::addr::{AddressError, ByteLen, RegionOffset};
use crate::mem::map::MappedRegion;
use crate::picture::StreamCount;

/// State of a channel's stream buffers.
#[derive(Debug)]
pub(super) struct Streams {
    states: [StreamState; STREAMS_MAX],
    count: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamState {
    Free,
    InFlight,
    Ready { job: JobId, payload_len: ByteLen },
}

/// Slice data of a finished picture, to be copied out of its stream buffer.
#[derive(Debug)]
pub struct Payload<'a> {
    region: &'a MappedRegion,
    start: RegionOffset,
    len: ByteLen,
}

const STREAMS_MAX: usize = 8;
const _: () = assert!(StreamCount::MAX == 8);

impl Streams {
    /// `count` free buffers.
    pub(super) fn new(count: StreamCount) -> Self {
        Self {
            states: [StreamState::Free; STREAMS_MAX],
            count: count.value(),
            next: 0,
        }
    }

    /// The next free buffer in turn.
    pub(super) fn free(&self) -> Option<u32> {
        (0..self.count)
            .map(|step| (self.next + step) % self.count)
            .find(|index| self.state(*index) == Some(StreamState::Free))
    }

    /// Gives a free buffer to the hardware.
    pub(super) fn take(&mut self, index: u32) {
        self.set(index, StreamState::InFlight);
        self.next = (index + 1) % self.count;
    }

    /// The hardware finished a buffer with a job's slice data in it.
    pub(super) fn finish(&mut self, index: u32, job: JobId, payload_len: ByteLen) {
        self.set(index, StreamState::Ready { job, payload_len });
    }

    /// Nobody needs a buffer any more.
    pub(super) fn release(&mut self, index: u32) {
        self.set(index, StreamState::Free);
    }

    /// The buffer that holds a job's slice data, and its length.
    pub(super) fn ready(&self, wanted: JobId) -> Option<(u32, ByteLen)> {
        (0u32..)
            .zip(self.states)
            .find_map(|(index, state)| match state {
                StreamState::Ready { job, payload_len } if job == wanted => {
                    Some((index, payload_len))
                }
                _ => None,
            })
    }

    fn state(&self, index: u32) -> Option<StreamState> {
        self.states.get(usize::try_from(index).ok()?).copied()
    }

    fn set(&mut self, index: u32, state: StreamState) {
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| self.states.get_mut(index));
        *place.expect("only indices that this type gave out come back") = state;
    }
}

impl<'a> Payload<'a> {
    /// `len` bytes at `start`, for which the processor's view is up to date.
    pub(super) fn new(region: &'a MappedRegion, start: RegionOffset, len: ByteLen) -> Self {
        Self { region, start, len }
    }

    /// Bytes in it, more than none.
    #[must_use]
    pub fn len_bytes(&self) -> u32 {
        self.len.value()
    }

    /// Copies the bytes from `offset` on out, until `into` is full.
    ///
    /// # Errors
    /// When there are not so many; nothing was copied then.
    pub fn read(&self, offset: u32, into: &mut [u8]) -> Result<(), AddressError> {
        let wanted = u32::try_from(into.len()).unwrap_or(u32::MAX);
        if offset
            .checked_add(wanted)
            .is_none_or(|end| end > self.len.value())
        {
            return Err(AddressError::OutOfRange {
                offset,
                len: wanted,
                range_len: self.len.value(),
            });
        }
        self.region
            .read(self.start.checked_add(ByteLen::new(offset))?, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_taken_in_turn_and_only_when_free() {
        let mut streams = Streams::new(StreamCount::TWO);
        let first = JobId::FIRST;
        assert_eq!(streams.free(), Some(0));
        streams.take(0);
        streams.finish(0, first, ByteLen::new(9));
        assert_eq!(streams.free(), Some(1));
        streams.take(1);
        assert_eq!(streams.free(), None);
        streams.finish(1, first.next(), ByteLen::new(8));
        assert_eq!(streams.free(), None);
        assert_eq!(streams.ready(first), Some((0, ByteLen::new(9))));
        streams.release(0);
        assert_eq!(streams.ready(first), None);
        assert_eq!(streams.free(), Some(0));
        assert_eq!(streams.ready(first.next()), Some((1, ByteLen::new(8))));
    }
}
