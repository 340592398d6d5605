//! System calls that have no safe wrapper elsewhere.
#![allow(
    unsafe_code,
    reason = "the one place for such calls outside mappings and ioctls"
)]

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Reads without waiting what a peer said; each descriptor that came with it, close-on-exec, goes to `take`. Answers the
/// bytes read, 0 at the end of the stream. `control` has room for as many descriptors as one message can carry.
///
/// # Errors
/// What the system says; `EAGAIN` when there is nothing now.
pub fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    control: &mut [u8],
    mut take: impl FnMut(OwnedFd),
) -> Result<usize, Errno> {
    let mut parts = [IoSliceMut::new(into)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(control), flags)?;
    for entry in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = entry {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for this process and told nobody else.
                take(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    Ok(message.bytes)
}

/// Memory of the kernel that holds what a local stream socket sent and its peer has not read; 0: it has read everything.
///
/// # Errors
/// What the system says.
pub fn unread(socket: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut bytes: nix::libc::c_int = 0;
    // SAFETY: the request stores one `int`, and the pointer is to one that lives as long as the call.
    let result =
        unsafe { nix::libc::ioctl(socket.as_raw_fd(), nix::libc::TIOCOUTQ, &raw mut bytes) };
    Errno::result(result)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Which of the two threads asks for the processor; the one that hands over interrupts goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The loop.
    Loop,
    /// The thread that waits for interrupts.
    Interrupts,
}

/// Asks the kernel to run this thread before ordinary ones. Says whether it agreed: without the right to, the thread
/// runs as before.
pub fn request_realtime(urgency: Urgency) -> bool {
    let priority = match urgency {
        Urgency::Loop => 10,
        Urgency::Interrupts => 11,
    };
    // SAFETY: an all-zero `sched_param` is a valid value of that plain C struct on every target.
    let mut parameters: nix::libc::sched_param = unsafe { core::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the pointer is to a live local that the call only reads; 0 names the calling thread.
    unsafe { nix::libc::sched_setscheduler(0, nix::libc::SCHED_RR, &raw const parameters) == 0 }
}
