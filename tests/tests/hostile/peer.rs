//! A client that speaks the protocol byte by byte, and leaves where it wants to.

use avpu_client::session::{Incoming, Session};
use avpu_client::sys::{ControlRoom, receive};
use avpu_proto::decode;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, Kind};
use avpu_proto::reply::{BuffersLeased, ChannelOpened, Reply};
use avpu_proto::request::{LeaseBuffers, OpenChannel, Request};
use avpu_proto::types::ChannelId;
use avpu_proto::version::{ClientHello, HELLO_BYTES};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long anything may take before it counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a daemon; what it reads comes in time or is lost.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the daemon takes connections");
    let patience = Some(PATIENCE);
    stream
        .set_read_timeout(patience)
        .expect("a socket can have one");
    stream
}

/// Everything that the daemon still says, until it ends the connection.
pub(crate) fn rest(mut stream: &UnixStream) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        // The end is an error where the daemon left bytes unread; what it said before that is there.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end: {error}");
    }
    answer
}

/// Waits until something can be read, or nothing ever will be.
pub(crate) fn wait(fd: impl AsFd) {
    let timeout = PollTimeout::try_from(PATIENCE).expect("it is short");
    let mut wanted = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut wanted, timeout).expect("it can be waited for");
    assert_eq!(ready, 1, "expected something in time, found silence");
}

/// A connection whose Hello is done.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    session: Session<OwnedFd, ()>,
    room: ControlRoom,
    /// Events that came while a reply was waited for.
    pub(crate) events: Vec<Event>,
    /// Descriptors that came with replies.
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Peer {
    pub(crate) fn connect(socket: &Path) -> Self {
        let mut stream = connect(socket);
        let hello = ClientHello::OURS.encode();
        stream.write_all(&hello).expect("there is room");
        let mut answer = [0; HELLO_BYTES];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, hello);
        Self {
            stream,
            session: Session::new(),
            room: ControlRoom::new(),
            events: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Sends requests in one piece, so that they are heard in one go, and does not wait for their replies.
    pub(crate) fn send(&mut self, requests: &[&Request]) {
        for request in requests {
            self.session.request(request, ()).expect("it fits a frame");
        }
        let bytes = self.session.output().to_vec();
        self.stream.write_all(&bytes).expect("the daemon reads");
        self.session.sent(bytes.len());
    }

    /// Sends the beginning of a request.
    pub(crate) fn send_part(&mut self, request: &Request, len: usize) {
        self.session.request(request, ()).expect("it fits a frame");
        let part = &self.session.output()[..len];
        self.stream.write_all(part).expect("the daemon reads");
    }

    /// The reply to the oldest request that has none.
    pub(crate) fn reply(&mut self) -> Reply {
        loop {
            match self.incoming() {
                Incoming::Reply {
                    reply, descriptor, ..
                } => {
                    self.descriptors.extend(descriptor);
                    return reply;
                }
                Incoming::Event(event) => self.events.push(event),
            }
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Event {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        match self.incoming() {
            Incoming::Event(event) => event,
            Incoming::Reply { reply, .. } => panic!("expected an event, found {reply:?}"),
        }
    }

    fn incoming(&mut self) -> Incoming<OwnedFd, ()> {
        loop {
            let incoming = self.session.poll_incoming().expect("it keeps the protocol");
            if let Some(incoming) = incoming {
                return incoming;
            }
            let mut came = Vec::new();
            let space = self.session.space();
            let count = receive(&self.stream, space, &mut self.room, |fd| came.push(fd));
            match count {
                Ok(0) => panic!("expected a reply, found the end"),
                Ok(count) => {
                    for descriptor in came {
                        self.session.descriptor(descriptor);
                    }
                    self.session.fill(count);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => wait(&self.stream),
                Err(error) => panic!("expected a reply, found {error}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.send(&[request]);
        self.reply()
    }

    /// Asks with a descriptor that rides with the request.
    pub(crate) fn ask_with(&mut self, request: &Request, descriptor: BorrowedFd<'_>) -> Reply {
        /// Where a frame says how many descriptors ride with it.
        const FLAGS: usize = 5;
        self.session.request(request, ()).expect("it fits a frame");
        let mut bytes = self.session.output().to_vec();
        bytes[FLAGS] = 1;
        let rights = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&rights)];
        let (socket, parts) = (self.stream.as_raw_fd(), [IoSlice::new(&bytes)]);
        sendmsg::<UnixAddr>(socket, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)
            .expect("the daemon reads");
        self.session.sent(bytes.len());
        self.reply()
    }

    /// The code of the refusal of a request; the connection goes on.
    pub(crate) fn refused(&mut self, request: &Request) -> ErrorCode {
        match self.ask(request) {
            Reply::Refused(refusal) => {
                assert!(refusal.recoverable, "{request:?}: {refusal}");
                refusal.code
            }
            other => panic!("expected a refusal of {request:?}, found {other:?}"),
        }
    }

    /// A channel of the smallest usual size.
    pub(crate) fn open(&mut self) -> ChannelOpened {
        match self.ask(&open_small()) {
            Reply::ChannelOpened(opened) => opened,
            other => panic!("expected a channel, found {other:?}"),
        }
    }

    pub(crate) fn lease(&mut self, channel: ChannelId, count: u8) -> BuffersLeased {
        match self.ask(&Request::LeaseBuffers(LeaseBuffers { channel, count })) {
            Reply::BuffersLeased(leased) => leased,
            other => panic!("expected a lease, found {other:?}"),
        }
    }
}

/// Opens a channel that costs little.
pub(crate) fn open_small() -> Request {
    Request::OpenChannel(OpenChannel {
        width: 64,
        height: 64,
        ..OpenChannel::default()
    })
}

/// Says something, ends its half of the connection, and hears what the daemon answers until that ends.
pub(crate) fn say(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    // The daemon may have heard enough before the last byte.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    rest(&stream)
}

/// The replies among what the daemon said after its Hello.
pub(crate) fn replies(answer: &[u8]) -> Vec<(u16, Reply)> {
    let mut heard = Heard::default();
    heard.take_in(answer.get(HELLO_BYTES..).unwrap_or_default());
    assert_eq!(heard.decoder.pending_bytes(), 0, "a frame that is cut");
    heard.replies
}

/// Says something and hears what the daemon answers, until it has answered the request `last` or ended.
pub(crate) fn say_until(socket: &Path, bytes: &[u8], last: u16) -> Vec<(u16, Reply)> {
    let mut stream = connect(socket);
    // The daemon may have heard enough before the last byte.
    let _ = stream.write_all(bytes);
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).expect("it answers");
    let (mut heard, mut bytes) = (Heard::default(), [0; 4096]);
    while heard.replies.iter().all(|(id, _)| *id != last) {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => heard.take_in(&bytes[..count]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end: {error}");
                break;
            }
        }
    }
    heard.replies
}

/// What the daemon said.
#[derive(Default)]
pub(crate) struct Heard {
    decoder: Decoder,
    pub(crate) replies: Vec<(u16, Reply)>,
}

impl Heard {
    pub(crate) fn take_in(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.decoder.push(bytes)..];
            while let Some(frame) = self.decoder.next().expect("the daemon keeps the protocol") {
                if frame.header.kind == Kind::Reply {
                    let reply = decode::reply(frame.body).expect("the daemon keeps the protocol");
                    self.replies.push((frame.header.id.number(), reply));
                }
            }
        }
    }
}
