//! Passes a connection on, both ways, with the descriptors that ride along, and shows what is said.
//!
//! Bytes go on exactly as they came. A descriptor goes on with the first byte of the frame that it came with, so
//! that the receiver finds it where it would have been without anybody in between.

use super::failure::Failure;
use super::lines::{Follower, Side};
use super::wait::Patience;
use crate::sys::{ControlRoom, receive};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Bytes of one read: a few of the longest frames.
const READ_BYTES: usize = 64 * 1024;

/// Passes on until both sides have closed, or the user asks to stop.
pub(crate) fn run(
    client: &UnixStream,
    daemon: &UnixStream,
    hex: bool,
    show: fn(&str),
    mut patience: Option<&mut Patience>,
) -> Result<(), Failure> {
    let mut there = Lane::new(client, daemon, Follower::new(Side::Client, hex), show);
    let mut back = Lane::new(daemon, client, Follower::new(Side::Daemon, hex), show);
    let mut room = ControlRoom::new();
    while !(there.over && back.over) {
        let lanes = [there.interest(), back.interest()];
        let wanted: Vec<_> = lanes.iter().flatten().copied().collect();
        match patience.as_deref_mut() {
            Some(patience) => {
                patience.wait(&wanted, None)?;
                if patience.interrupts()? > 0 {
                    return Ok(());
                }
            }
            None => wait(&wanted)?,
        }
        let moved = there.pass(&mut room)? | back.pass(&mut room)?;
        if let Some(patience) = patience.as_deref_mut()
            && moved
        {
            patience.touch();
        }
    }
    Ok(())
}

fn wait(wanted: &[(BorrowedFd<'_>, PollFlags)]) -> Result<(), Failure> {
    let mut fds: Vec<PollFd<'_>> = wanted
        .iter()
        .map(|(fd, flags)| PollFd::new(*fd, *flags))
        .collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Failure::io("wait", &errno.into())),
    }
}

/// One direction.
struct Lane<'a> {
    from: &'a UnixStream,
    to: &'a UnixStream,
    follower: Follower,
    show: fn(&str),
    read: Vec<u8>,
    queue: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
    /// Where in the queue the descriptors go.
    descriptors_at: usize,
    over: bool,
}

impl<'a> Lane<'a> {
    fn new(from: &'a UnixStream, to: &'a UnixStream, follower: Follower, show: fn(&str)) -> Self {
        Self {
            from,
            to,
            follower,
            show,
            read: vec![0; READ_BYTES],
            queue: Vec::new(),
            sent: 0,
            descriptors: Vec::new(),
            descriptors_at: 0,
            over: false,
        }
    }

    /// Reads only when everything was passed on: the sender's own limits hold through here.
    fn interest(&self) -> Option<(BorrowedFd<'a>, PollFlags)> {
        if !self.queue.is_empty() {
            return Some((self.to.as_fd(), PollFlags::POLLOUT));
        }
        (!self.over).then(|| (self.from.as_fd(), PollFlags::POLLIN))
    }

    fn pass(&mut self, room: &mut ControlRoom) -> Result<bool, Failure> {
        let mut moved = self.flush()?;
        if self.queue.is_empty() && !self.over {
            moved |= self.fill(room)?;
            self.flush()?;
        }
        Ok(moved)
    }

    fn fill(&mut self, room: &mut ControlRoom) -> Result<bool, Failure> {
        let descriptors = &mut self.descriptors;
        let count = match receive(self.from, &mut self.read, room, |fd| descriptors.push(fd)) {
            Ok(0) | Err(Errno::ECONNRESET) => {
                self.over = true;
                // Its peer may have closed already, and then there is nobody to tell.
                let _ = self.to.shutdown(Shutdown::Write);
                return Ok(true);
            }
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(Failure::io("read what is passed on", &errno.into())),
        };
        let bytes = &self.read[..count];
        let at = self.follower.follow(bytes, self.show);
        self.descriptors_at = at.unwrap_or(0);
        self.queue.extend_from_slice(bytes);
        Ok(true)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        let mut moved = false;
        while self.sent < self.queue.len() {
            let ride = !self.descriptors.is_empty() && self.sent >= self.descriptors_at;
            let end = if self.descriptors.is_empty() || ride {
                self.queue.len()
            } else {
                self.descriptors_at
            };
            match send(
                self.to,
                &self.queue[self.sent..end],
                &self.descriptors,
                ride,
            ) {
                Ok(count) => {
                    self.sent += count;
                    moved = true;
                    if ride {
                        self.descriptors.clear();
                    }
                }
                Err(Errno::EAGAIN) => return Ok(moved),
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => {
                    // Nobody reads any more: the sender learns it as it would without us.
                    let _ = self.from.shutdown(Shutdown::Read);
                    self.descriptors.clear();
                    self.over = true;
                    break;
                }
                Err(errno) => return Err(Failure::io("pass on", &errno.into())),
            }
        }
        self.queue.clear();
        self.sent = 0;
        Ok(moved)
    }
}

fn send(
    to: &UnixStream,
    bytes: &[u8],
    descriptors: &[OwnedFd],
    ride: bool,
) -> Result<usize, Errno> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let controls = if ride { &rights[..] } else { &[] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(bytes)],
        controls,
        flags,
        None,
    )
}

/// Shows a line on standard error.
pub(crate) fn to_stderr(line: &str) {
    // Whole lines, and no panic when nobody reads standard error.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::frame::{RequestId, encode_reply};
    use avpu_proto::reply::Reply;
    use avpu_proto::version::ClientHello;
    use std::io::Read;

    #[test]
    fn bytes_and_descriptors_arrive_as_they_were_sent() {
        let (client, client_end) = UnixStream::pair().unwrap();
        let (daemon, daemon_end) = UnixStream::pair().unwrap();
        let sniffer =
            std::thread::spawn(move || run(&client_end, &daemon_end, false, |_| {}, None));
        let mut bytes = ClientHello::OURS.encode().to_vec();
        encode_reply(&mut bytes, RequestId::new(1), 0, &Reply::Done).unwrap();
        let before = bytes.len();
        encode_reply(&mut bytes, RequestId::new(2), 1, &Reply::Done).unwrap();
        let (held, passed) = UnixStream::pair().unwrap();
        send(&daemon, &bytes, &[passed.into()], true).unwrap();
        daemon.shutdown(Shutdown::Write).unwrap();
        let (mut room, mut into) = (ControlRoom::new(), vec![0; bytes.len()]);
        let (mut found, mut fds) = (0, Vec::new());
        while found < bytes.len() {
            wait(&[(client.as_fd(), PollFlags::POLLIN)]).unwrap();
            let came = fds.len();
            let count = receive(&client, &mut into[found..], &mut room, |fd| fds.push(fd)).unwrap();
            if fds.len() > came {
                let read = found..found + count;
                assert!(read.contains(&before), "it rides with its own frame");
            }
            found += count;
        }
        assert_eq!(into, bytes);
        let mut passed = UnixStream::from(fds.pop().unwrap());
        (&held).write_all(b"x").unwrap();
        passed.read_exact(&mut [0]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        sniffer.join().unwrap().unwrap();
    }

    #[test]
    fn more_than_a_socket_holds_goes_through_both_ways_at_once() {
        let (client, client_end) = UnixStream::pair().unwrap();
        let (daemon, daemon_end) = UnixStream::pair().unwrap();
        let sniffer =
            std::thread::spawn(move || run(&client_end, &daemon_end, false, |_| {}, None));
        let exchange = |stream: UnixStream| {
            std::thread::spawn(move || {
                let writer = stream.try_clone().unwrap();
                let bytes = vec![7; 1 << 20];
                let writing = std::thread::spawn(move || {
                    (&writer).write_all(&bytes).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                let mut found = Vec::new();
                (&stream).read_to_end(&mut found).unwrap();
                writing.join().unwrap();
                found.len()
            })
        };
        let (one, other) = (exchange(client), exchange(daemon));
        assert_eq!(
            (one.join().unwrap(), other.join().unwrap()),
            (1 << 20, 1 << 20)
        );
        sniffer.join().unwrap().unwrap();
    }
}
