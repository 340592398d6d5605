//! One peer's stream: bytes in and out, bounded both ways, and what the kernel says of the peer.
//!
//! A connection moves `Greeting -> Ready -> Farewell` and never back. In `Greeting` only the Hello is read, in `Ready`
//! requests, in `Farewell` nothing: what waits is still written, then the connection ends. Nothing here blocks, and
//! readiness is remembered because the kernel tells each change of it only once.

use super::outbox::{Outbox, Overflow};
use crate::core::event::Peer;
use crate::limits::{
    DESCRIPTORS_PER_MESSAGE_MAX, DESCRIPTORS_WAITING_MAX, OUTPUT_BYTES_BUSY,
    OUTPUT_DESCRIPTORS_BUSY,
};
use crate::sys;
use avpu_proto::decode::{self, DecodeError};
use avpu_proto::error::{ErrorCode, Refusal};
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, FrameError, Kind};
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES, HelloError};
use core::fmt;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{cmsg_space, getsockopt};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Why a connection ends from our side or theirs.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer closed.
    Hangup,
    /// The system says no.
    Io(io::Error),
    /// The first bytes are no Hello.
    Hello(HelloError),
    /// The bytes are no frames.
    Frame(FrameError),
    /// A frame of a kind that only the daemon sends.
    Kind(Kind),
    /// A frame's body is no request.
    Body(DecodeError),
    /// Descriptors came where none are expected.
    Descriptors(usize),
    /// A request that needs a descriptor came without.
    NoDescriptor,
    /// The peer does not read what it asked for.
    SlowConsumer,
    /// No Hello came in time.
    Silence,
}

impl Fault {
    /// The peer broke the protocol or does not read, as opposed to having left.
    pub(super) fn is_misbehaviour(&self) -> bool {
        !matches!(self, Self::Hangup | Self::Io(_))
    }

    /// The reply that tells the peer before the connection ends.
    pub(super) fn refusal(&self) -> Refusal {
        Refusal {
            code: ErrorCode::MALFORMED,
            sentence: self.to_string(),
            recoverable: false,
            transient: false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangup => f.write_str("the peer closed the connection"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Hello(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Kind(kind) => write!(f, "expected a request, found frame kind {kind:?}"),
            Self::Body(error) => write!(f, "{error}"),
            Self::Descriptors(count) => {
                write!(f, "expected no descriptor, found {count}")
            }
            Self::NoDescriptor => f.write_str("expected a descriptor with the request, found none"),
            Self::SlowConsumer => f.write_str("the peer does not read what it is sent"),
            Self::Silence => f.write_str("expected a hello, found silence"),
        }
    }
}

/// What a peer said.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Its Hello.
    Hello(ClientHello),
    /// A request; `None` for one of a later version.
    Request { id: u16, body: Option<Request> },
}

#[derive(Debug)]
enum Phase {
    Greeting {
        bytes: [u8; HELLO_BYTES],
        len: usize,
    },
    Ready,
    Farewell,
}

/// Where the kernel puts what rides with bytes; one for all connections.
#[derive(Debug)]
pub(super) struct ControlBuffer(Vec<u8>);

impl ControlBuffer {
    pub(super) fn new() -> Self {
        Self(vec![
            0;
            cmsg_space::<[i32; DESCRIPTORS_PER_MESSAGE_MAX + 1]>()
        ])
    }

    #[cfg(test)]
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// One peer's stream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    peer: Peer,
    phase: Phase,
    decoder: Decoder,
    /// That came and no request was found yet that announced them.
    descriptors: VecDeque<OwnedFd>,
    /// What rode with the request that was taken last.
    rider: Option<OwnedFd>,
    outbox: Outbox,
    readable: bool,
    writable: bool,
    /// A request that was received and has to wait.
    put_back: Option<(u16, Option<Request>)>,
    /// Among the bytes that were read there may be a whole frame.
    unheard: bool,
    /// The peer sends no more than what is there.
    is_ending: bool,
    /// The kernel tells when there is room to write.
    awaits_room: bool,
}

impl Connection {
    /// Takes an accepted stream and asks the kernel who is behind it.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let who = getsockopt(&stream, PeerCredentials)?;
        Ok(Self {
            stream,
            peer: Peer {
                pid: u32::try_from(who.pid()).unwrap_or_default(),
                uid: who.uid(),
                gid: who.gid(),
            },
            phase: Phase::Greeting {
                bytes: [0; HELLO_BYTES],
                len: 0,
            },
            decoder: Decoder::new(),
            descriptors: VecDeque::new(),
            rider: None,
            outbox: Outbox::new(),
            readable: true,
            writable: true,
            put_back: None,
            unheard: false,
            is_ending: false,
            awaits_room: false,
        })
    }

    /// Lets the kernel tell of what the peer says.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE)
    }

    /// Lets the kernel tell of room to write while something waits for it, and only then: a peer that reads what it
    /// is sent would otherwise wake the loop each time it does.
    pub(super) fn watch_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let awaits_room = !self.writable && self.outbox.pending_bytes() > 0;
        if awaits_room == self.awaits_room {
            return Ok(());
        }
        self.awaits_room = awaits_room;
        let interest = if awaits_room {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        registry.reregister(&mut self.stream, token, interest)
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.phase, Phase::Greeting { .. })
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Farewell)
    }

    /// Remembers what the kernel told.
    pub(super) fn note_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Remembers that the kernel told of the end: what is there is read up to it.
    pub(super) fn note_ending(&mut self) {
        self.is_ending = true;
        self.note_ready(true, true);
    }

    /// There may be something to do before the kernel tells a change.
    pub(super) fn has_work(&self) -> bool {
        let is_there = self.readable || self.unheard || self.put_back.is_some();
        let reads = !self.is_leaving() && is_there && !self.is_busy();
        reads || (self.writable && self.outbox.pending_bytes() > 0)
    }

    fn is_busy(&self) -> bool {
        self.outbox.pending_bytes() >= OUTPUT_BYTES_BUSY
            || self.outbox.pending_descriptors() >= OUTPUT_DESCRIPTORS_BUSY
    }

    /// What the peer said next; `None` until the kernel tells of more, or until the peer has read its replies.
    pub(super) fn receive(
        &mut self,
        control: &mut ControlBuffer,
    ) -> Result<Option<Incoming>, Fault> {
        loop {
            if self.is_leaving() || self.is_busy() {
                return Ok(None);
            }
            if let Some((id, body)) = self.put_back.take() {
                return Ok(Some(Incoming::Request { id, body }));
            }
            if let Some(incoming) = self.take()? {
                return Ok(Some(incoming));
            }
            if !self.readable || !self.read(control)? {
                return Ok(None);
            }
        }
    }

    /// Lets a request that was received wait: it is the next one to be received.
    pub(super) fn put_back(&mut self, id: u16, body: Option<Request>) {
        self.put_back = Some((id, body));
    }

    /// The next whole message among the bytes that are there.
    fn take(&mut self) -> Result<Option<Incoming>, Fault> {
        if let Phase::Greeting { bytes, len } = &self.phase {
            if *len < HELLO_BYTES {
                self.unheard = false;
                return Ok(None);
            }
            let hello = ClientHello::decode(*bytes).map_err(Fault::Hello)?;
            self.phase = Phase::Ready;
            return Ok(Some(Incoming::Hello(hello)));
        }
        let Some(frame) = self.decoder.next().map_err(Fault::Frame)? else {
            self.unheard = false;
            return Ok(None);
        };
        if frame.header.kind != Kind::Request {
            return Err(Fault::Kind(frame.header.kind));
        }
        let announced = usize::from(frame.header.descriptors);
        let id = frame.header.id.number();
        let decoded = decode::request(frame.body);
        let takes_one = matches!(decoded, Ok(Request::ImportBuffer(_)));
        if announced > 0 && !takes_one {
            return Err(Fault::Descriptors(announced));
        }
        self.rider = None;
        if takes_one {
            let rider = (announced > 0).then(|| self.descriptors.pop_front());
            self.rider = Some(rider.flatten().ok_or(Fault::NoDescriptor)?);
        }
        // They come with the first byte of their frame, so none is left when no byte is.
        if self.decoder.pending_bytes() == 0 && !self.descriptors.is_empty() {
            return Err(Fault::Descriptors(self.descriptors.drain(..).count()));
        }
        match decoded {
            Ok(request) => Ok(Some(Incoming::Request {
                id,
                body: Some(request),
            })),
            Err(DecodeError::UnknownMessage { .. }) => {
                Ok(Some(Incoming::Request { id, body: None }))
            }
            Err(error) => Err(Fault::Body(error)),
        }
    }

    /// Reads once. `Ok(false)`: nothing is there.
    fn read(&mut self, control: &mut ControlBuffer) -> Result<bool, Fault> {
        let space = match &mut self.phase {
            Phase::Greeting { bytes, len } => &mut bytes[*len..],
            Phase::Ready | Phase::Farewell => self.decoder.space(),
        };
        let room = space.len();
        let waiting = &mut self.descriptors;
        let received = sys::receive(self.stream.as_fd(), space, &mut control.0, |descriptor| {
            waiting.push_back(descriptor);
        });
        let allowed = if self.is_greeting() {
            0
        } else {
            DESCRIPTORS_WAITING_MAX
        };
        match received {
            Ok(_) if self.descriptors.len() > allowed => {
                Err(Fault::Descriptors(self.descriptors.drain(..).count()))
            }
            Ok(0) => Err(Fault::Hangup),
            Ok(count) => {
                match &mut self.phase {
                    Phase::Greeting { len, .. } => *len += count,
                    Phase::Ready | Phase::Farewell => self.decoder.fill(count),
                }
                // That was all, and the kernel tells of more: no need to ask. It told of the end already.
                self.readable = count == room || self.is_ending;
                self.unheard = true;
                Ok(true)
            }
            Err(Errno::EAGAIN) => {
                self.readable = false;
                Ok(false)
            }
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(Fault::Io(error.into())),
        }
    }

    /// The descriptor that rode with the request that was received last.
    pub(super) fn take_rider(&mut self) -> Option<OwnedFd> {
        self.rider.take()
    }

    /// Answers the Hello.
    pub(super) fn greet(&mut self, hello: DaemonHello) {
        self.outbox.push_hello(&hello.encode());
    }

    /// Lets a reply wait, and the descriptor that rides with it.
    pub(super) fn reply(
        &mut self,
        id: u16,
        reply: &Reply,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Fault> {
        self.outbox
            .push_reply(id, reply, descriptor)
            .map_err(|Overflow| Fault::SlowConsumer)
    }

    /// Lets an event wait.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        self.outbox
            .push_event(event)
            .map_err(|Overflow| Fault::SlowConsumer)
    }

    /// Takes no more requests: what waits is written, then the connection ends.
    pub(super) fn say_farewell(&mut self) {
        self.phase = Phase::Farewell;
        self.descriptors.clear();
    }

    /// Writes what waits. `Ok(true)`: all of it.
    pub(super) fn flush(&mut self) -> Result<bool, Fault> {
        if self.outbox.pending_bytes() == 0 {
            return Ok(true);
        }
        if !self.writable {
            return Ok(false);
        }
        let done = self.outbox.flush(&self.stream).map_err(|error| {
            // The kernel counts the descriptors that were sent and not received: somebody does not read.
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ETOOMANYREFS) => Fault::SlowConsumer,
                _ => Fault::Io(error),
            }
        })?;
        self.writable = done;
        Ok(done)
    }
}
