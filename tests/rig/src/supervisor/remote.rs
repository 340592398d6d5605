//! Another process: its memory, its descriptors, its mappings.

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::MetadataExt;

/// A file, whatever its names and descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

/// What a mapping shows at some address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Inode of the file.
    pub(super) inode: u64,
    /// Offset in it.
    pub(super) offset_bytes: u64,
    /// Bytes from there to the end of the mapping.
    pub(super) left_bytes: u64,
}

/// Longest path that is looked at, in bytes; the devices' are shorter.
const PATH_LEN_MAX: usize = 64;
/// Reads of a remote string do not cross a line of this length, so that none fails for what lies behind its end.
const CHUNK: u64 = 64;

impl FileIdentity {
    /// That of a file.
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// That of a descriptor of another process.
    pub(super) fn of_descriptor(thread: i32, descriptor: u64) -> Option<Self> {
        // Descriptors are 32-bit numbers; the upper half of the argument is not defined.
        let descriptor = descriptor & 0xffff_ffff;
        let found = fs::metadata(format!("/proc/{thread}/fd/{descriptor}")).ok()?;
        Some(Self::of(&found))
    }

    /// Its number in its file system.
    pub(super) fn inode(self) -> u64 {
        self.inode
    }
}

/// Words of 32 bits at an address.
pub(super) fn read_words<const N: usize>(thread: i32, address: u64) -> Result<[u32; N], Errno> {
    let mut bytes = vec![0; N * 4];
    read(thread, address, &mut bytes)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
    }
    Ok(words)
}

/// Stores words of 32 bits.
pub(super) fn write_words(thread: i32, address: u64, words: &[u32]) -> Result<(), Errno> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let remote = RemoteIoVec {
        base: usize::try_from(address).map_err(|_| Errno::EFAULT)?,
        len: bytes.len(),
    };
    let written = process_vm_writev(Pid::from_raw(thread), &[IoSlice::new(&bytes)], &[remote])
        .map_err(|_| Errno::EFAULT)?;
    if written == bytes.len() {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// A string that ends in a zero byte; `None` when it is longer than any that matters, or unreadable.
pub(super) fn read_path(thread: i32, address: u64) -> Option<String> {
    let mut path = Vec::with_capacity(PATH_LEN_MAX);
    let mut at = address;
    while path.len() < PATH_LEN_MAX {
        let len = usize::try_from(CHUNK - at % CHUNK).ok()?;
        let mut bytes = vec![0; len];
        read(thread, at, &mut bytes).ok()?;
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            path.extend_from_slice(&bytes[..end]);
            return String::from_utf8(path).ok();
        }
        path.extend_from_slice(&bytes);
        at += CHUNK - at % CHUNK;
    }
    None
}

/// What a process has mapped at an address.
pub(super) fn mapped_at(thread: i32, address: u64) -> Option<Mapped> {
    let maps = fs::read_to_string(format!("/proc/{thread}/maps")).ok()?;
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let hex = |digits| u64::from_str_radix(digits, 16).ok();
        let (start, end) = (hex(start)?, hex(end)?);
        let offset = hex(fields.nth(1)?)?;
        let inode = fields.nth(1)?.parse().ok()?;
        (start..end).contains(&address).then(|| Mapped {
            inode,
            offset_bytes: offset + (address - start),
            left_bytes: end - address,
        })
    })
}

fn read(thread: i32, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
    let len = bytes.len();
    let remote = RemoteIoVec {
        base: usize::try_from(address).map_err(|_| Errno::EFAULT)?,
        len,
    };
    let mut local = [IoSliceMut::new(bytes)];
    let read = process_vm_readv(Pid::from_raw(thread), &mut local, &[remote])
        .map_err(|_| Errno::EFAULT)?;
    if read == len {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_read_and_written_by_address() {
        let thread = nix::unistd::gettid().as_raw();
        let words = [7_u32, 8];
        let address = u64::try_from(words.as_ptr().addr()).expect("an address");
        assert_eq!(read_words::<2>(thread, address), Ok([7, 8]));
        let path = b"/dev/avpu\0";
        let address = u64::try_from(path.as_ptr().addr()).expect("an address");
        assert_eq!(read_path(thread, address).as_deref(), Some("/dev/avpu"));
        assert_eq!(read_words::<1>(thread, 8), Err(Errno::EFAULT));
        assert_eq!(write_words(thread, 8, &[1]), Err(Errno::EFAULT));
        assert_eq!(read_path(thread, 8), None);
    }

    #[test]
    fn what_is_mapped_at_an_address_is_found() {
        let thread = nix::unistd::gettid().as_raw();
        let code = u64::try_from((mapped_at as *const ()).addr()).expect("an address");
        let found = mapped_at(thread, code).expect("this program is mapped");
        let program = fs::metadata("/proc/self/exe").expect("a file");
        assert_eq!(found.inode, program.ino());
        assert!(found.left_bytes > 0);
        assert_eq!(mapped_at(thread, 8), None);
    }
}
