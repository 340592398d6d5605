//! Where lines go, and how each kind of file is written to without waiting for it.

use crate::limits::LOG_LINE_BYTES_MAX;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The socket of the system's log.
const SYSLOG_PATH: &str = "/dev/log";

/// Where lines go.
pub(super) enum Sink {
    /// Every line is lost.
    Nowhere,
    /// A stream; what it took only a part of is finished before the next line.
    Stream { stream: Stream, rest: Vec<u8> },
    /// Datagrams to the system's log.
    Syslog {
        path: PathBuf,
        socket: Option<UnixDatagram>,
    },
}

pub(super) enum Stream {
    /// A file, or a pipe or terminal that we opened again for ourselves so as not to wait.
    File(File),
    /// A socket: each call says that it does not want to wait.
    Socket(File),
    /// A pipe or terminal that we may not open again: asked before each line whether it has room.
    Asked(File),
}

impl Sink {
    /// The standard error stream; where there is none, lines are lost.
    pub(super) fn stderr() -> Self {
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(fd) => Self::of(fd),
            Err(_) => Self::Nowhere,
        }
    }

    /// The system's log.
    pub(super) fn syslog() -> Self {
        Self::datagrams(Path::new(SYSLOG_PATH))
    }

    /// A log that takes datagrams at `path`.
    pub(super) fn datagrams(path: &Path) -> Self {
        Self::Syslog {
            path: path.to_path_buf(),
            socket: connect(path),
        }
    }

    /// A stream by its descriptor.
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self::Stream {
            stream: Stream::of(File::from(fd)),
            rest: Vec::with_capacity(LOG_LINE_BYTES_MAX),
        }
    }

    /// Writes a line, or a datagram. `false`: it is lost.
    pub(super) fn write(&mut self, line: &[u8]) -> bool {
        match self {
            Self::Stream { stream, rest } => {
                if !rest.is_empty() {
                    let count = stream.write(rest);
                    rest.drain(..count);
                    if !rest.is_empty() {
                        return false;
                    }
                }
                let count = stream.write(line);
                if count > 0 && count < line.len() {
                    rest.extend_from_slice(&line[count..]);
                }
                count > 0
            }
            Self::Nowhere => false,
            Self::Syslog { path, socket } => {
                let sent = socket.as_ref().is_some_and(|s| s.send(line).is_ok());
                if !sent {
                    // The log may have been restarted: a fresh connection, for this line once.
                    *socket = connect(path);
                }
                sent || socket.as_ref().is_some_and(|s| s.send(line).is_ok())
            }
        }
    }
}

impl Stream {
    fn of(file: File) -> Self {
        let Ok(metadata) = file.metadata() else {
            return Self::Asked(file);
        };
        let kind = metadata.file_type();
        if kind.is_socket() {
            return Self::Socket(file);
        }
        if kind.is_file() {
            return Self::File(file);
        }
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        match opened {
            Ok(ours) => Self::File(ours),
            Err(_) => Self::Asked(file),
        }
    }

    /// How many bytes were taken, 0 when none.
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::File(file) => file.write(bytes).unwrap_or(0),
            Self::Socket(file) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(file.as_raw_fd(), bytes, flags).unwrap_or(0)
            }
            Self::Asked(file) => {
                let mut asked = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut asked, PollTimeout::ZERO) {
                    Ok(1) => file.write(bytes).unwrap_or(0),
                    _ => 0,
                }
            }
        }
    }
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}
