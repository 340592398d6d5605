//! The requests of the kernel's drivers: their numbers on each target, their structures, the calls.
//!
//! The numbers follow the kernel's own rule, which MIPS has in a variant of its own. Nothing is checked by the drivers:
//! what may be written where is decided by [`allow`](super::allow), and the arguments of a cache operation are made by
//! [`reserved`](super::reserved).
#![allow(unsafe_code)]

use crate::mem::addr::ByteLen;
use core::num::NonZeroU32;
use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A request number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request(u32);

/// Direction of a cache operation, in the kernel's numbers. The kernel has a fourth value, for none, and does not
/// survive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheOperation {
    /// Write back and invalidate.
    Both,
    /// Write back.
    WriteBack,
    /// Invalidate.
    Invalidate,
}

/// Which way the structure of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    None,
    Both,
}

/// How a target packs a request number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Encoding {
    none: u32,
    both: u32,
    direction_shift: u32,
}

/// What a driver reads and writes. Larger than any of its structures and aligned for all: some vendor kernels are said
/// to copy more than the structure.
#[repr(C, align(16))]
struct Argument([u32; 16]);

/// MIPS: three bits of direction, in which "none" is a value of its own.
const MIPS: Encoding = Encoding {
    none: 1,
    both: 2 | 4,
    direction_shift: 29,
};
/// Most other targets: two bits.
const GENERIC: Encoding = Encoding {
    none: 0,
    both: 1 | 2,
    direction_shift: 30,
};
const HERE: Encoding = if cfg!(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)) {
    MIPS
} else {
    GENERIC
};

const UNBLOCK: Request = avpu(HERE, Transfer::None, 1, 0);
const WRITE_REGISTER: Request = avpu(HERE, Transfer::Both, 10, 8);
const READ_REGISTER: Request = avpu(HERE, Transfer::Both, 11, 8);
const WAIT_IRQ: Request = avpu(HERE, Transfer::Both, 12, 4);
const DMA_ADDRESS: Request = avpu(HERE, Transfer::Both, 18, 12);
/// The reserved memory's device takes a literal, the same on every target.
const FLUSH: Request = Request(0xc00c_7200);

/// Reads the register with this byte offset.
pub(super) fn read_register(device: BorrowedFd<'_>, id: u32) -> Result<u32, Errno> {
    let mut argument = Argument::new(&[id, 0]);
    call(device, READ_REGISTER, &mut argument)?;
    Ok(argument.0[1])
}

/// Writes the register with this byte offset.
pub(super) fn write_register(device: BorrowedFd<'_>, id: u32, value: u32) -> Result<(), Errno> {
    call(device, WRITE_REGISTER, &mut Argument::new(&[id, value]))
}

/// Waits for an interrupt and answers the index of its line. By one thread at a time: two would make the kernel take
/// an entry from an empty list. `EINTR` after a signal or, from then on always, after [`unblock`].
pub(super) fn wait_irq(device: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut argument = Argument::new(&[0]);
    call(device, WAIT_IRQ, &mut argument)?;
    Ok(argument.0[0])
}

/// Ends every wait on this open file, now and for good.
pub(super) fn unblock(device: BorrowedFd<'_>) -> Result<(), Errno> {
    call(device, UNBLOCK, &mut Argument::new(&[]))
}

/// Where the first byte of a shared buffer lies for the encoder. `len` is not looked at by the driver.
pub(super) fn dma_address(
    device: BorrowedFd<'_>,
    buffer: BorrowedFd<'_>,
    len: ByteLen,
) -> Result<u32, Errno> {
    let fd = u32::try_from(buffer.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let mut argument = Argument::new(&[fd, len.value(), 0]);
    call(device, DMA_ADDRESS, &mut argument)?;
    Ok(argument.0[2])
}

/// Makes the processor's cache and the memory agree, through the device of the reserved memory.
///
/// # Safety
/// `address` and the `len` bytes from it lie in one cached mapping of this process that stays until the call returns
/// (the kernel does not survive another address), and none of its bytes is Rust memory: an invalidation takes back
/// writes.
pub(super) unsafe fn flush(
    memory: BorrowedFd<'_>,
    address: u32,
    len: NonZeroU32,
    operation: CacheOperation,
) -> Result<(), Errno> {
    let direction = operation.direction();
    call(
        memory,
        FLUSH,
        &mut Argument::new(&[address, len.get(), direction]),
    )
}

fn call(fd: BorrowedFd<'_>, request: Request, argument: &mut Argument) -> Result<(), Errno> {
    let pointer: *mut Argument = argument;
    // SAFETY: the descriptor is open for the length of the borrow. Each request of this module reads and writes at most
    // 12 bytes at the pointer; 64 are there, aligned, for the length of the call. What else a request does is argued
    // where it is made: registers are allowed one by one, a cache operation is unsafe to ask for.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request.raw(), pointer) };
    Errno::result(result).map(|_| ())
}

impl Request {
    /// As the system's library wants it: signed or not, of 32 bits or more.
    fn raw(self) -> libc::Ioctl {
        #[cfg(target_env = "musl")]
        return libc::Ioctl::from_ne_bytes(self.0.to_ne_bytes());
        #[cfg(not(target_env = "musl"))]
        #[allow(
            clippy::useless_conversion,
            reason = "the type is wider on some targets"
        )]
        return libc::Ioctl::from(self.0);
    }
}

impl CacheOperation {
    const fn direction(self) -> u32 {
        match self {
            Self::Both => 0,
            Self::WriteBack => 1,
            Self::Invalidate => 2,
        }
    }
}

impl Argument {
    fn new(words: &[u32]) -> Self {
        let mut argument = Self([0; 16]);
        for (into, word) in argument.0.iter_mut().zip(words) {
            *into = *word;
        }
        argument
    }
}

/// A request of the encoder's driver.
const fn avpu(encoding: Encoding, transfer: Transfer, number: u32, len_bytes: u32) -> Request {
    const MAGIC: u32 = 0x71;
    let direction = match transfer {
        Transfer::None => encoding.none,
        Transfer::Both => encoding.both,
    };
    Request(direction << encoding.direction_shift | len_bytes << 16 | MAGIC << 8 | number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    /// Number, transfer and length of the structure, then the literals on MIPS and elsewhere.
    const TABLE: [(u32, Transfer, u32, u32, u32); 5] = [
        (1, Transfer::None, 0, 0x2000_7101, 0x0000_7101),
        (10, Transfer::Both, 8, 0xc008_710a, 0xc008_710a),
        (11, Transfer::Both, 8, 0xc008_710b, 0xc008_710b),
        (12, Transfer::Both, 4, 0xc004_710c, 0xc004_710c),
        (18, Transfer::Both, 12, 0xc00c_7112, 0xc00c_7112),
    ];

    #[test]
    fn request_numbers_are_the_literals_of_the_vendors_driver() {
        for (number, transfer, len, mips, generic) in TABLE {
            assert_eq!(avpu(MIPS, transfer, number, len), Request(mips));
            assert_eq!(avpu(GENERIC, transfer, number, len), Request(generic));
        }
        let here = [
            UNBLOCK,
            WRITE_REGISTER,
            READ_REGISTER,
            WAIT_IRQ,
            DMA_ADDRESS,
        ];
        for (request, (.., mips, generic)) in here.into_iter().zip(TABLE) {
            let expected = if cfg!(target_arch = "mips") {
                mips
            } else {
                generic
            };
            assert_eq!(request, Request(expected));
        }
        assert_eq!(FLUSH, Request(0xc00c_7200));
    }

    #[test]
    fn the_direction_that_the_kernel_does_not_survive_has_no_name() {
        let all = [
            CacheOperation::Both,
            CacheOperation::WriteBack,
            CacheOperation::Invalidate,
        ];
        assert_eq!(all.map(CacheOperation::direction), [0, 1, 2]);
    }

    #[test]
    fn a_file_that_is_no_encoder_says_so() {
        let null = File::open("/dev/null").expect("every system has it");
        let null = null.as_fd();
        let said = [
            read_register(null, 0x8004).err(),
            write_register(null, 0x8014, 0).err(),
            wait_irq(null).err(),
            unblock(null).err(),
        ];
        for errno in said {
            // An emulator of a foreign processor says ENOSYS for requests that it cannot pass on.
            assert!(
                matches!(errno, Some(Errno::ENOTTY | Errno::ENOSYS)),
                "{errno:?}"
            );
        }
    }

    #[test]
    fn arguments_have_room_and_alignment_to_spare() {
        assert_eq!(size_of::<Argument>(), 64);
        assert_eq!(align_of::<Argument>(), 16);
        assert_eq!(Argument::new(&[1, 2]).0[..3], [1, 2, 0]);
    }
}
