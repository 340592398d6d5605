//! The system calls behind the supervisor: a filter in a child, its listener, the answers.
//!
//! All structures are the kernel's own; every call is given their exact size by its request number.
#![allow(
    unsafe_code,
    reason = "the one place of the supervisor for calls without a safe wrapper"
)]

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `SECCOMP_IOCTL_NOTIF_RECV`.
const RECEIVE: libc::Ioctl = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`.
const SEND: libc::Ioctl = 0xc018_2101;
/// `SECCOMP_IOCTL_NOTIF_ID_VALID`.
const ID_VALID: libc::Ioctl = 0x4008_2102;
/// `SECCOMP_IOCTL_NOTIF_ADDFD`.
const ADD_DESCRIPTOR: libc::Ioctl = 0x4018_2103;
/// `SECCOMP_IOCTL_NOTIF_SET_FLAGS`.
const SET_FLAGS: libc::Ioctl = 0x4008_2104;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: an answer then takes a fifth of the time.
const SYNC_WAKE_UP: libc::c_ulong = 1;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`: adding the descriptor is the answer.
const ADD_AND_SEND: u32 = 2;

/// Where the system calls of filtered processes arrive.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Names it.
    pub(super) id: u64,
    /// The thread that made it.
    pub(super) thread: i32,
    /// Its number.
    pub(super) number: i64,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

/// Makes `command` start its program behind `filter`; the listener is sent to the other end of `socket`.
pub(super) fn start_behind(command: &mut Command, filter: Vec<libc::sock_filter>, socket: OwnedFd) {
    let install = move || {
        let listener = install(&filter)?;
        send_descriptor(socket.as_raw_fd(), listener)
    };
    // SAFETY: between fork and exec only system calls are made, on memory that was laid out before: no allocation, no
    // lock. The listener closes itself at exec.
    unsafe { command.pre_exec(install) };
}

fn install(filter: &[libc::sock_filter]) -> io::Result<RawFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: both calls take numbers, and the second one a program that lives until it returns and that it only reads.
    let listener = unsafe {
        Errno::result(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        Errno::result(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        ))?
    };
    RawFd::try_from(listener).map_err(|_| Errno::EBADF.into())
}

/// One descriptor with one byte, from memory on the stack.
fn send_descriptor(socket: RawFd, descriptor: RawFd) -> io::Result<()> {
    #[repr(C, align(8))]
    struct Control([u8; 24]);
    let mut byte = 0_u8;
    let mut vector = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = Control([0; 24]);
    // SAFETY: all pointers are to locals that live until the call returns; the control buffer has room and alignment
    // for the one header and descriptor that are written to it (16 + 4 bytes, padded to 24), which the first line of
    // the block makes true for the header's position as well.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control.0).cast();
        message.msg_controllen = control.0.len();
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = 20;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
        libc::sendmsg(socket, &raw const message, 0)
    };
    Errno::result(sent).map(|_| ()).map_err(io::Error::from)
}

impl Call {
    /// The number of a request, where the call is one: 32 bits, the upper half of the argument is not defined.
    pub(super) fn request(&self) -> u32 {
        u32::try_from(self.arguments[1] & 0xffff_ffff).unwrap_or(0)
    }
}

impl Listener {
    /// Takes the listener that a started program sent.
    pub(super) fn take(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let mut byte = [0];
        let mut slices = [IoSliceMut::new(&mut byte)];
        let mut room = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut room), flags)?;
        let sent = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
        let sent = sent.ok_or_else(|| io::Error::other("expected a listener, found none"))?;
        // SAFETY: the kernel has just made this descriptor for this process and told nobody else.
        let listener = Self(unsafe { OwnedFd::from_raw_fd(sent) });
        // SAFETY: the request takes a number.
        let set = unsafe { libc::ioctl(listener.0.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        // Kernels before 6.6 refuse: everything is slower then.
        let _ = Errno::result(set);
        Ok(listener)
    }

    /// The next call. `None` when every filtered process has ended.
    pub(super) fn receive(&self) -> io::Result<Option<Call>> {
        loop {
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one structure, which lives until the call returns.
            match Errno::result(unsafe { libc::poll(&raw mut poll, 1, -1) }) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(_) => {}
            }
            if poll.revents & libc::POLLIN == 0 {
                return Ok(None);
            }
            // SAFETY: an all-zero value, which the kernel asks for, is valid for a structure of numbers.
            let mut found: libc::seccomp_notif = unsafe { mem::zeroed() };
            // SAFETY: the request writes one `seccomp_notif`, whose 80 bytes its number states.
            let received = unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE, &raw mut found) };
            match Errno::result(received) {
                // The caller was killed, or got a signal, before its call was taken.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => {
                    return Ok(Some(Call {
                        id: found.id,
                        thread: i32::try_from(found.pid).unwrap_or(-1),
                        number: found.data.nr.into(),
                        arguments: found.data.args,
                    }));
                }
            }
        }
    }

    /// Whether the caller still waits.
    pub(super) fn is_valid(&self, call: &Call) -> bool {
        // SAFETY: the request reads one number of 8 bytes.
        unsafe { libc::ioctl(self.0.as_raw_fd(), ID_VALID, &raw const call.id) == 0 }
    }

    /// Answers a call with a value or an error. False when the caller does not wait any more.
    pub(super) fn answer(&self, call: &Call, result: Result<i64, Errno>) -> bool {
        let (val, error) = match result {
            Ok(value) => (value, 0),
            Err(errno) => (0, -number_of(errno)),
        };
        self.send(libc::seccomp_notif_resp {
            id: call.id,
            val,
            error,
            flags: 0,
        })
    }

    /// Lets the kernel do the call.
    pub(super) fn let_pass(&self, call: &Call) {
        self.send(libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: 0,
            flags: CONTINUE,
        });
    }

    /// Answers a call with a descriptor of a file.
    pub(super) fn answer_file(&self, call: &Call, file: BorrowedFd<'_>, close_on_exec: bool) {
        let added = libc::seccomp_notif_addfd {
            id: call.id,
            flags: ADD_AND_SEND,
            srcfd: u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX),
            newfd: 0,
            newfd_flags: if close_on_exec { CLOSE_ON_EXEC } else { 0 },
        };
        // SAFETY: the request reads one structure, whose 24 bytes its number states.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), ADD_DESCRIPTOR, &raw const added) };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => {
                self.answer(call, Err(errno));
            }
        }
    }

    fn send(&self, response: libc::seccomp_notif_resp) -> bool {
        // SAFETY: the request reads one structure, whose 24 bytes its number states.
        let sent = unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw const response) };
        sent == 0
    }
}

/// `O_CLOEXEC`.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

fn number_of(errno: Errno) -> i32 {
    // The enumeration's discriminants are the kernel's numbers.
    io::Error::from(errno).raw_os_error().unwrap_or(libc::EIO)
}
