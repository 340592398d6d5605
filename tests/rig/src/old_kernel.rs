//! A kernel without the system calls that came after Linux 3.10, which is what cameras run.
//!
//! Only the table of calls is imitated: not flags, requests, options of sockets, or what `/proc` shows.
#![allow(unsafe_code, reason = "a filter has no safe wrapper")]

use nix::errno::Errno;
use nix::libc::{self, sock_filter};
use std::io;

/// The last system call of Linux 3.10, `finit_module`.
#[cfg(target_arch = "x86_64")]
pub const LAST_CALL: u32 = 313;
/// The last system call of Linux 3.10, `finit_module`.
#[cfg(target_arch = "mips")]
pub const LAST_CALL: u32 = 4348;

/// From now on, and in whatever this thread starts, newer calls answer that they do not exist.
///
/// # Errors
/// When the kernel has no filters.
pub fn restrict() -> io::Result<()> {
    let number = std::mem::offset_of!(libc::seccomp_data, nr);
    let code = |bits: u32| u16::try_from(bits).unwrap_or(0);
    let step = |bits, jf, k| sock_filter {
        code: code(bits),
        jt: 0,
        jf,
        k,
    };
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let filter = [
        step(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            u32::try_from(number).unwrap_or(0),
        ),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, LAST_CALL),
        step(libc::BPF_RET | libc::BPF_K, 0, no_such_call),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(0),
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the first call takes numbers; the second one a program that lives until it returns and is only read.
    unsafe {
        Errno::result(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        let mode = libc::SECCOMP_MODE_FILTER;
        Errno::result(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program))?;
    }
    Ok(())
}
