//! The bytes between one client and the daemon, each way, and the daemon's end of them.
//!
//! As over a socket, bytes come in pieces of any size and wait when nobody takes them. The daemon's end keeps the
//! daemon's rules: a Hello first, whole frames of requests after it, and no more waiting for a peer than the limit.

use crate::world::ring::RingMemory;
use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, Kind, RequestId, encode_event, encode_reply};
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use avpud::core::event::Peer;
use avpud::limits::{OUTPUT_BYTES_BUSY, OUTPUT_BYTES_MAX};
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes that wait in the kernel for a client that does not read.
const KERNEL_BYTES_MAX: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// On the way to the daemon.
    asked: VecDeque<u8>,
    /// Most bytes that reach the daemon at once.
    chunk: usize,
    hello: Vec<u8>,
    decoder: Decoder,
    /// Waiting in the daemon.
    outbox: VecDeque<u8>,
    /// Waiting in the kernel.
    told: VecDeque<u8>,
    /// Descriptors on their way to the client, in order.
    pub(super) descriptors: VecDeque<Rc<RingMemory>>,
    /// Where the buffers lie whose descriptors are on their way to the daemon, in order.
    pub(super) riders: VecDeque<u32>,
    /// Where the one lies whose descriptor came with the last request.
    pub(super) rider: Option<u32>,
    /// The core knows of it.
    pub(super) in_core: bool,
    /// The client has closed its end.
    pub(super) hung_up: bool,
}

/// What the daemon heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing more for now.
    Nothing,
    /// A Hello that it can answer.
    Hello,
    /// A request; `None`: of a later version.
    Request(u16, Option<Request>),
    /// What no client may say, or its end.
    Enough,
}

impl Pipe {
    pub(super) fn new(peer: Peer, chunk: u32) -> Self {
        Self {
            peer,
            asked: ClientHello::OURS.encode().into(),
            chunk: usize::try_from(chunk).expect("small"),
            hello: Vec::new(),
            decoder: Decoder::new(),
            outbox: VecDeque::new(),
            told: VecDeque::new(),
            descriptors: VecDeque::new(),
            riders: VecDeque::new(),
            rider: None,
            in_core: false,
            hung_up: false,
        }
    }

    /// The client sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.asked.extend(bytes);
    }

    /// Takes what waits for the client.
    pub(super) fn take(&mut self, into: &mut Vec<u8>) {
        into.extend(self.told.drain(..));
    }

    /// One piece of what the client sent reaches the daemon. `false`: there was nothing, or no room for it.
    pub(super) fn arrive(&mut self) -> bool {
        if self.outbox.len() >= OUTPUT_BYTES_BUSY {
            return false;
        }
        let greeting = HELLO_BYTES - self.hello.len();
        let space = match greeting {
            0 => self.decoder.space().len(),
            missing => missing,
        };
        let count = self.chunk.min(space).min(self.asked.len());
        let piece: Vec<u8> = self.asked.drain(..count).collect();
        if greeting > 0 {
            self.hello.extend(&piece);
        } else {
            self.decoder.push(&piece);
        }
        count > 0
    }

    /// The next thing that the client said, as far as it has arrived.
    pub(super) fn hear(&mut self) -> Heard {
        if self.hello.len() < HELLO_BYTES || (!self.in_core && self.hung_up) {
            return self.nothing();
        }
        if !self.in_core {
            return Heard::Hello;
        }
        if self.outbox.len() >= OUTPUT_BYTES_BUSY && !self.hung_up {
            return Heard::Nothing;
        }
        let frame = match self.decoder.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return self.nothing(),
            Err(_) => return Heard::Enough,
        };
        let decoded = decode::request(frame.body);
        let takes_one = matches!(decoded, Ok(Request::ImportBuffer(_)));
        if frame.header.kind != Kind::Request || (frame.header.descriptors > 0) != takes_one {
            return Heard::Enough;
        }
        if takes_one {
            let Some(rider) = self.riders.pop_front() else {
                return Heard::Enough;
            };
            self.rider = Some(rider);
        }
        let id = frame.header.id.number();
        match decoded {
            Ok(request) => Heard::Request(id, Some(request)),
            Err(DecodeError::UnknownMessage { .. }) => Heard::Request(id, None),
            Err(_) => Heard::Enough,
        }
    }

    fn nothing(&self) -> Heard {
        if self.hung_up && self.asked.is_empty() {
            Heard::Enough
        } else {
            Heard::Nothing
        }
    }

    /// The daemon welcomes the client.
    pub(super) fn welcome(&mut self) {
        self.in_core = true;
        self.outbox
            .extend(DaemonHello::Welcome { version: 1 }.encode());
    }

    /// The daemon answers. `false`: the client does not read, and too much waits for it.
    pub(super) fn reply(&mut self, id: u16, reply: &Reply, ring: Option<Rc<RingMemory>>) -> bool {
        let mut bytes = Vec::new();
        let count = u8::from(ring.is_some());
        encode_reply(&mut bytes, RequestId::new(id), count, reply).expect("replies fit a frame");
        self.descriptors.extend(ring);
        self.queue(&bytes)
    }

    /// The daemon tells something. `false`: as for [`Self::reply`].
    pub(super) fn event(&mut self, event: &Event) -> bool {
        let mut bytes = Vec::new();
        encode_event(&mut bytes, event).expect("events fit a frame");
        self.queue(&bytes)
    }

    fn queue(&mut self, bytes: &[u8]) -> bool {
        self.outbox.extend(bytes);
        self.outbox.len() <= OUTPUT_BYTES_MAX
    }

    /// What waits in the daemon goes to the kernel, as far as there is room. Whether anything went.
    pub(super) fn flush(&mut self) -> bool {
        let room = KERNEL_BYTES_MAX.saturating_sub(self.told.len());
        let count = room.min(self.outbox.len());
        self.told.extend(self.outbox.drain(..count));
        count > 0
    }

    /// Nothing is on its way to the daemon.
    pub(super) fn is_heard(&self) -> bool {
        self.asked.is_empty()
    }
}
