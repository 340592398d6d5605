//! What waits for one peer to read: frames in order, and the descriptors that ride with them.
//!
//! The storage is allocated once. A descriptor goes with the first byte of its frame and is closed here once sent. From
//! then on it is the kernel's until the peer reads it, so only a few are sent to a peer that does not read.

use crate::limits::{DESCRIPTORS_UNREAD_MAX, FRAME_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::sys;
use avpu_proto::error::{ErrorCode, Refusal};
use avpu_proto::event::Event;
use avpu_proto::frame::{self, EncodeError, RequestId};
use avpu_proto::reply::Reply;
use mio::net::UnixStream;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// More would have to wait than is allowed: the peer does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// Frames on their way to a peer.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    /// Each with the index of its frame's first byte in `bytes`.
    descriptors: VecDeque<(usize, OwnedFd)>,
    /// Descriptors sent since the peer had read everything.
    unread: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(OUTPUT_BYTES_MAX + FRAME_BYTES_MAX),
            start: 0,
            descriptors: VecDeque::new(),
            unread: 0,
        }
    }

    /// Bytes that wait.
    pub(super) fn pending_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Descriptors that wait, each of them open in this process.
    pub(super) fn pending_descriptors(&self) -> usize {
        self.descriptors.len()
    }

    /// Appends bytes that are no frame: the Hello.
    pub(super) fn push_hello(&mut self, hello: &[u8]) {
        self.bytes.extend_from_slice(hello);
    }

    /// Appends a reply and the descriptor that rides with it.
    pub(super) fn push_reply(
        &mut self,
        id: u16,
        reply: &Reply,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Overflow> {
        self.make_room();
        let (start, id) = (self.bytes.len(), RequestId::new(id));
        let count = u8::from(descriptor.is_some());
        if frame::encode_reply(&mut self.bytes, id, count, reply).is_ok() {
            if let Some(descriptor) = descriptor {
                self.descriptors.push_back((start, descriptor));
            }
        } else {
            let refusal = Reply::Refused(too_long());
            frame::encode_reply(&mut self.bytes, id, 0, &refusal).map_err(|_| Overflow)?;
        }
        self.check()
    }

    /// Appends an event.
    pub(super) fn push_event(&mut self, event: &Event) -> Result<(), Overflow> {
        self.make_room();
        frame::encode_event(&mut self.bytes, event).map_err(|EncodeError { .. }| Overflow)?;
        self.check()
    }

    /// Writes as much as the peer takes. `Ok(true)`: nothing waits any more. `Ok(false)`: the socket is full, or the
    /// peer has to read first what came with descriptors.
    pub(super) fn flush(&mut self, stream: &UnixStream) -> io::Result<bool> {
        while self.start < self.bytes.len() {
            let riding = self.descriptors.front().map(|(at, _)| *at);
            if riding == Some(self.start) && !self.may_send_descriptor(stream)? {
                return Ok(false);
            }
            let end = match riding {
                Some(at) if at > self.start => at,
                Some(_) => self
                    .descriptors
                    .get(1)
                    .map_or(self.bytes.len(), |next| next.0),
                None => self.bytes.len(),
            };
            let chunk = &self.bytes[self.start..end];
            let sent = match self.descriptors.front() {
                Some((at, descriptor)) if *at == self.start => send(
                    stream,
                    chunk,
                    &[ControlMessage::ScmRights(&[descriptor.as_raw_fd()])],
                ),
                _ => send(stream, chunk, &[]),
            };
            match sent {
                Ok(count) => {
                    if riding == Some(self.start) {
                        self.descriptors.pop_front();
                        self.unread += 1;
                    }
                    self.start += count;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.bytes.clear();
        self.start = 0;
        Ok(true)
    }

    fn may_send_descriptor(&mut self, stream: &UnixStream) -> io::Result<bool> {
        if self.unread >= DESCRIPTORS_UNREAD_MAX && sys::unread(stream.as_fd())? == 0 {
            self.unread = 0;
        }
        Ok(self.unread < DESCRIPTORS_UNREAD_MAX)
    }

    fn make_room(&mut self) {
        if self.start > 0 && self.bytes.capacity() - self.bytes.len() < FRAME_BYTES_MAX {
            self.bytes.drain(..self.start);
            for (at, _) in &mut self.descriptors {
                *at -= self.start;
            }
            self.start = 0;
        }
    }

    fn check(&self) -> Result<(), Overflow> {
        if self.pending_bytes() > OUTPUT_BYTES_MAX {
            return Err(Overflow);
        }
        Ok(())
    }
}

fn send(stream: &UnixStream, chunk: &[u8], control: &[ControlMessage<'_>]) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let fd = stream.as_raw_fd();
    sendmsg::<UnixAddr>(fd, &[IoSlice::new(chunk)], control, flags, None)
}

fn too_long() -> Refusal {
    Refusal {
        code: ErrorCode::INTERNAL,
        sentence: "the answer does not fit a frame".to_owned(),
        recoverable: true,
        transient: false,
    }
}
