//! The descriptor for callers that wait with their own `poll`.
//!
//! The socket alone would not do: what one call takes in from it may belong to another's queue, and a caller that
//! then waits at the socket waits for ever. So this is an epoll instance over the socket and an event counter, and
//! the counter is raised while a queue that the caller takes from holds something. It stays the same descriptor
//! across reconnects.

use crate::transport::Transport;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::OwnedFd;

/// What a caller waits at.
#[derive(Debug)]
pub(crate) struct Readiness {
    epoll: Epoll,
    counter: EventFd,
    raised: bool,
    writes: bool,
}

impl Readiness {
    pub(crate) fn new(transport: &Transport) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let readiness = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            counter: EventFd::from_value_and_flags(0, flags)?,
            raised: false,
            writes: false,
        };
        let read = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        readiness.epoll.add(&readiness.counter, read)?;
        readiness.epoll.add(transport, read)?;
        Ok(readiness)
    }

    /// The descriptor, as one of the caller's own.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.epoll.0.try_clone()
    }

    /// Another connection takes the place of the one before, which closes.
    pub(crate) fn replace(&mut self, old: &Transport, new: &Transport) -> io::Result<()> {
        self.epoll.delete(old)?;
        self.writes = false;
        let read = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        Ok(self.epoll.add(new, read)?)
    }

    /// Says whether something waits to be taken, and whether something waits to be written.
    pub(crate) fn update(
        &mut self,
        transport: &Transport,
        waits: bool,
        writes: bool,
    ) -> io::Result<()> {
        if waits != self.raised {
            if waits {
                self.counter.write(1)?;
            } else {
                self.counter.read()?;
            }
            self.raised = waits;
        }
        if writes != self.writes {
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLOUT, writes);
            self.epoll
                .modify(transport, &mut EpollEvent::new(flags, 0))?;
            self.writes = writes;
        }
        Ok(())
    }
}
