//! Signals as bytes in a pipe that the loop watches: one pipe for those that stop, one for the one that reloads.

use mio::net::UnixStream;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io::{self, Read};

/// The signals that the daemon listens to.
#[derive(Debug)]
pub(super) struct Signals {
    /// Readable after SIGTERM or SIGINT.
    pub(super) stop: UnixStream,
    /// Readable after SIGHUP.
    pub(super) hangup: UnixStream,
    registered: [SigId; 3],
}

impl Signals {
    /// Starts to listen.
    pub(super) fn new() -> io::Result<Self> {
        let (stop, stop_write) = pair()?;
        let (hangup, hangup_write) = pair()?;
        let registered = [
            pipe::register(SIGTERM, stop_write.try_clone()?)?,
            pipe::register(SIGINT, stop_write)?,
            pipe::register(SIGHUP, hangup_write)?,
        ];
        Ok(Self {
            stop,
            hangup,
            registered,
        })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered {
            unregister(id);
        }
    }
}

/// How many signals came since the last call.
pub(super) fn count(stream: &mut UnixStream) -> usize {
    let mut bytes = [0; 16];
    let mut count: usize = 0;
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        count = count.saturating_add(read);
    }
    count
}

fn pair() -> io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((UnixStream::from_std(read), write))
}
