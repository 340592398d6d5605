//! Which system calls are asked about, as a program for the kernel.
//!
//! Opening files is, because the devices do not exist, and requests to the two devices, told from others by the letter
//! in their number. Everything that came to the kernel after the camera's version answers that it does not exist.

use crate::old_kernel::LAST_CALL;
use nix::libc::{self, sock_filter};
use std::mem::offset_of;

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Bits of a request number that hold its letter.
const LETTER: u32 = 0xff00;

/// The program. With `old_kernel` system calls newer than Linux 3.10 do not exist.
pub(super) fn program(old_kernel: bool) -> Vec<sock_filter> {
    let arch = offset_of!(libc::seccomp_data, arch);
    let number = offset_of!(libc::seccomp_data, nr);
    // The lower half of the second argument.
    let request = offset_of!(libc::seccomp_data, args) + size_of::<u64>();
    let newest = if old_kernel { LAST_CALL } else { u32::MAX };
    vec![
        load(arch),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(number),
        jump(libc::BPF_JEQ, call(libc::SYS_openat), 9, 0),
        jump(libc::BPF_JEQ, call(libc::SYS_open), 8, 0),
        jump(libc::BPF_JEQ, call(libc::SYS_ioctl), 2, 0),
        jump(libc::BPF_JGT, newest, 7, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        load(request),
        sock_filter {
            code: code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K),
            jt: 0,
            jf: 0,
            k: LETTER,
        },
        jump(libc::BPF_JEQ, u32::from(b'q') << 8, 2, 0),
        jump(libc::BPF_JEQ, u32::from(b'r') << 8, 1, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_USER_NOTIF),
        answer(libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap_or(1)),
    ]
}

fn load(offset: usize) -> sock_filter {
    sock_filter {
        code: code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS),
        jt: 0,
        jf: 0,
        k: u32::try_from(offset).unwrap_or(u32::MAX),
    }
}

fn jump(condition: u32, with: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter {
        code: code(libc::BPF_JMP | condition | libc::BPF_K),
        jt: then,
        jf: otherwise,
        k: with,
    }
}

fn answer(value: u32) -> sock_filter {
    sock_filter {
        code: code(libc::BPF_RET | libc::BPF_K),
        jt: 0,
        jf: 0,
        k: value,
    }
}

fn code(bits: u32) -> u16 {
    u16::try_from(bits).unwrap_or(0)
}

fn call(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
