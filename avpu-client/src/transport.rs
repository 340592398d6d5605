//! The stream under a session: non-blocking, with a wait of its own, and descriptors that close themselves.

use crate::error::{ClientError, ProtocolError};
use crate::session::Session;
use crate::sys::{self, ControlRoom};
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connected stream.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: UnixStream,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// Nothing more goes now.
    Idle,
    /// The peer closed.
    Closed,
}

impl Transport {
    /// Connects to a daemon's socket.
    pub(crate) fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| ClientError::NoDaemon {
            path: path.to_owned(),
            source,
        })?;
        Self::over(stream)
    }

    /// Takes a stream that is connected already.
    pub(crate) fn over(stream: UnixStream) -> Result<Self, ClientError> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream })
    }

    /// Exchanges Hellos; answers the version.
    pub(crate) fn greet(&self, deadline: Instant) -> Result<u16, ClientError> {
        let ours = ClientHello::OURS;
        // Twelve bytes always fit the empty buffer of a new socket. A daemon that turns us away may close before
        // it reads them, and then its answer is still there to be read.
        match self.send(&ours.encode()) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(errno) => return Err(ClientError::Io(errno.into())),
        }
        let (mut answer, mut filled) = ([0; HELLO_BYTES], 0);
        while filled < answer.len() {
            let socket = self.stream.as_raw_fd();
            match recv(socket, &mut answer[filled..], MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(ClientError::Disconnected),
                Ok(count) => filled += count,
                Err(Errno::EAGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !self.wait(PollFlags::POLLIN, Some(left))? {
                        return Err(ClientError::Timeout);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(ClientError::Io(errno.into())),
            }
        }
        match DaemonHello::decode(answer, ours).map_err(ProtocolError::Hello)? {
            DaemonHello::Welcome { version } => Ok(version),
            DaemonHello::Refused { reason, .. } => Err(ClientError::TurnedAway(reason)),
        }
    }

    /// Writes what the session has to say, as far as it goes without waiting.
    pub(crate) fn flush<T>(&self, session: &mut Session<OwnedFd, T>) -> io::Result<Transfer> {
        while !session.output().is_empty() {
            let sent = match session.rider() {
                Some(rider) => self.send_with(session.output(), rider.as_fd()),
                None => self.send(session.output()),
            };
            match sent {
                Ok(count) => session.sent(count),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(Transfer::Closed),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Transfer::Idle)
    }

    /// Reads once into the session. `None`: some bytes came, there may be more.
    pub(crate) fn receive<T>(
        &self,
        session: &mut Session<OwnedFd, T>,
        room: &mut ControlRoom,
    ) -> io::Result<Option<Transfer>> {
        let mut descriptors = Vec::new();
        let result = loop {
            let into = session.space();
            match sys::receive(&self.stream, into, room, |fd| descriptors.push(fd)) {
                Err(Errno::EINTR) => {}
                result => break result,
            }
        };
        for descriptor in descriptors {
            session.descriptor(descriptor);
        }
        match result {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Some(Transfer::Closed)),
            Ok(count) => {
                session.fill(count);
                Ok(None)
            }
            Err(Errno::EAGAIN) => Ok(Some(Transfer::Idle)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the stream is ready; `false` when the time is over first.
    pub(crate) fn wait(&self, flags: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let mut descriptors = [PollFd::new(self.stream.as_fd(), flags)];
            match poll(&mut descriptors, poll_timeout(left)) {
                Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Ends the stream both ways; whoever waits at it wakes up.
    pub(crate) fn close(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn send_with(&self, bytes: &[u8], rider: BorrowedFd<'_>) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let riders = [rider.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&riders)];
        let socket = self.stream.as_raw_fd();
        sendmsg::<()>(socket, &[IoSlice::new(bytes)], &rights, flags, None)
    }

    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.stream.as_raw_fd(), bytes, flags)
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whole milliseconds, rounded up so that a wait never ends early into a busy loop.
fn poll_timeout(left: Option<Duration>) -> PollTimeout {
    let Some(left) = left else {
        return PollTimeout::NONE;
    };
    let up = left.saturating_add(Duration::from_nanos(999_999));
    PollTimeout::try_from(up.as_millis()).unwrap_or(PollTimeout::MAX)
}
