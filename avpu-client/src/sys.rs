//! Receiving bytes together with descriptors: the one system call whose result has to be taken on trust.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The most that the kernel lets ride with one message: with room for all, none is ever cut off and lost.
const DESCRIPTORS_PER_READ: usize = 253;

/// Room for the control messages of one read, kept between reads.
#[derive(Debug)]
pub struct ControlRoom(Vec<u8>);

impl ControlRoom {
    /// Room for as many descriptors as one message can carry.
    #[must_use]
    pub fn new() -> Self {
        Self(nix::cmsg_space!([RawFd; DESCRIPTORS_PER_READ]))
    }
}

impl Default for ControlRoom {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads without waiting; each descriptor that came, close-on-exec, goes to `take`. Answers the bytes read, 0 at
/// the end of the stream.
///
/// # Errors
/// What the system says; `EAGAIN` when there is nothing now.
pub fn receive(
    socket: impl AsFd,
    into: &mut [u8],
    room: &mut ControlRoom,
    mut take: impl FnMut(OwnedFd),
) -> Result<usize, Errno> {
    let mut slices = [IoSliceMut::new(into)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let socket = socket.as_fd().as_raw_fd();
    let message = recvmsg::<()>(socket, &mut slices, Some(&mut room.0), flags)?;
    if let Ok(controls) = message.cmsgs() {
        for control in controls {
            if let ControlMessageOwned::ScmRights(descriptors) = control {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made this descriptor for this process and told nobody else.
                    take(unsafe { OwnedFd::from_raw_fd(descriptor) });
                }
            }
        }
    }
    Ok(message.bytes)
}
