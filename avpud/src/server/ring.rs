//! The shared memory behind one channel's packets: written here, read by any number of processes.
//!
//! What readers get cannot be turned into something they could write to: the descriptor is a read-only opening of a
//! memory file that belongs to the daemon's user with mode 0400, that cannot be resized, and that the kernel (where it
//! can) refuses to open for writing ever again, even for that user. Without memory files it is an unlinked file of
//! mode 0400 in `/dev/shm`, opened once for writing and once for reading.
//!
//! The layout and the order of stores are those of [`avpu_proto::ring`].

use crate::mem::addr::{AddressError, ByteLen, RegionOffset};
use crate::mem::map::{RingMapping, fence};
use crate::mem::shm;
use avpu_proto::limits::RING_HEADER_BYTES;
use avpu_proto::ring::{RingLayout, offset};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl, posix_fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// The ring of one channel.
#[derive(Debug)]
pub struct Ring {
    layout: RingLayout,
    mapping: RingMapping,
    reader: File,
}

impl Ring {
    /// Makes an empty ring.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn new(layout: RingLayout) -> io::Result<Self> {
        let len = ByteLen::new(layout.file_bytes());
        let (mapping, reader) = match memory_file(len) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOSYS as i32) => unlinked_file(len)?,
            made => made?,
        };
        mapping
            .write(RegionOffset::new(0), &layout.encode())
            .map_err(io::Error::other)?;
        Ok(Self {
            layout,
            mapping,
            reader,
        })
    }

    /// A descriptor for a reader.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn reader(&self) -> io::Result<OwnedFd> {
        self.reader.as_fd().try_clone_to_owned()
    }

    /// Begins a packet: tells readers that what lies before `tail` is being overwritten.
    ///
    /// # Errors
    /// When the packet would not lie in one piece inside the data area.
    pub fn begin(
        &self,
        tail: u32,
        position: u32,
        capacity: ByteLen,
    ) -> Result<PacketWriter<'_>, AddressError> {
        let start = self.layout.offset_of(position);
        let end = start.checked_add(capacity.value());
        if end.is_none_or(|end| end > self.layout.data_bytes()) {
            return Err(AddressError::OutOfRange {
                offset: start,
                len: capacity.value(),
                range_len: self.layout.data_bytes(),
            });
        }
        self.mapping
            .publish_word(RegionOffset::new(offset::TAIL), tail)?;
        fence();
        Ok(PacketWriter {
            ring: self,
            position,
            capacity: capacity.value(),
            len: 0,
        })
    }
}

/// Writes one packet, piece by piece.
#[derive(Debug)]
pub struct PacketWriter<'a> {
    ring: &'a Ring,
    position: u32,
    capacity: u32,
    len: u32,
}

impl PacketWriter<'_> {
    /// Appends a piece. `false`: there is no room for it, and the packet is void.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let Some(len) = u32::try_from(piece.len())
            .ok()
            .and_then(|more| self.len.checked_add(more))
            .filter(|len| *len <= self.capacity)
        else {
            return false;
        };
        let at = RING_HEADER_BYTES + self.ring.layout.offset_of(self.position) + self.len;
        let written = self.ring.mapping.write(RegionOffset::new(at), piece);
        self.len = len;
        written.is_ok()
    }

    /// Publishes the packet and says how long it is.
    ///
    /// # Errors
    /// Never for a ring that was made: its header is part of the mapping.
    pub fn finish(self) -> Result<ByteLen, AddressError> {
        let head = self.position.wrapping_add(self.len);
        self.ring
            .mapping
            .publish_word(RegionOffset::new(offset::HEAD), head)?;
        Ok(ByteLen::new(self.len))
    }
}

fn memory_file(len: ByteLen) -> io::Result<(RingMapping, File)> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("avpud-ring", flags)?);
    file.set_len(u64::from(len.value()))?;
    file.set_permissions(Permissions::from_mode(0o400))?;
    let mapping = RingMapping::new(file.as_fd(), len)?;
    let reader = reopen(&file)?;
    seal(&file)?;
    Ok((mapping, reader))
}

/// Opens a file again, for reading only: a duplicate of the descriptor would still be writable.
fn reopen(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn seal(file: &File) -> io::Result<()> {
    let size = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    let all = size | SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL;
    match fcntl(file, FcntlArg::F_ADD_SEALS(all)) {
        // A kernel before 5.1 does not know the seal against future writes: the mode stands against other users.
        Err(Errno::EINVAL) => {
            fcntl(file, FcntlArg::F_ADD_SEALS(size | SealFlag::F_SEAL_SEAL))?;
        }
        sealed => {
            sealed?;
        }
    }
    Ok(())
}

fn unlinked_file(len: ByteLen) -> io::Result<(RingMapping, File)> {
    let (file, reader) = shm::unlinked("avpud-ring", 0o400)?;
    // Anybody may fill a tmpfs, and a page that is then written for the first time would end the process. So all pages
    // are had at once or not at all.
    let room = u64::from(len.value())
        .try_into()
        .map_err(|_| Errno::EFBIG)?;
    posix_fallocate(&file, 0, room)?;
    Ok((RingMapping::new(file.as_fd(), len)?, reader))
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::ring::is_live;
    use avpu_proto::types::{ChannelId, Epoch};
    use std::os::unix::fs::FileExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    fn layout() -> RingLayout {
        RingLayout::new(4096, Epoch::new(5), ChannelId::new(9)).unwrap()
    }

    fn word(reader: &File, at: u32) -> u32 {
        let mut bytes = [0; 4];
        reader.read_exact_at(&mut bytes, u64::from(at)).unwrap();
        u32::from_ne_bytes(bytes)
    }

    fn both() -> [(&'static str, RingMapping, File); 2] {
        let len = ByteLen::new(layout().file_bytes());
        let (mapping, reader) = memory_file(len).unwrap();
        let (shm_mapping, shm_reader) = unlinked_file(len).unwrap();
        [
            ("memory file", mapping, reader),
            ("unlinked file", shm_mapping, shm_reader),
        ]
    }

    #[test]
    fn a_packet_is_where_its_position_says_and_live_once_published() {
        let ring = Ring::new(layout()).unwrap();
        let reader = File::from(ring.reader().unwrap());
        let mut writer = ring.begin(0, 100, ByteLen::new(10)).unwrap();
        assert!(writer.push(b"head") && writer.push(b"load"));
        assert_eq!(word(&reader, offset::HEAD), 0);
        assert_eq!(writer.finish().unwrap(), ByteLen::new(8));
        let (tail, head) = (word(&reader, offset::TAIL), word(&reader, offset::HEAD));
        assert!(is_live(100, 8, tail, head));
        let mut bytes = [0; 8];
        reader
            .read_exact_at(&mut bytes, u64::from(RING_HEADER_BYTES) + 100)
            .unwrap();
        assert_eq!(&bytes, b"headload");
    }

    #[test]
    fn the_header_names_the_ring() {
        let ring = Ring::new(layout()).unwrap();
        let reader = File::from(ring.reader().unwrap());
        let mut bytes = [0; avpu_proto::ring::CONSTANT_BYTES];
        reader.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(RingLayout::decode(&bytes), Ok(layout()));
    }

    #[test]
    fn more_than_the_room_given_is_refused_and_nothing_lies_outside_the_data() {
        let ring = Ring::new(layout()).unwrap();
        let mut writer = ring.begin(0, 0, ByteLen::new(4)).unwrap();
        assert!(writer.push(b"full") && !writer.push(b"x"));
        assert!(ring.begin(0, 4095, ByteLen::new(2)).is_err());
        assert!(ring.begin(0, 0, ByteLen::new(4097)).is_err());
        assert!(ring.begin(0, 0, ByteLen::new(u32::MAX)).is_err());
    }

    #[test]
    fn the_tail_moves_before_anything_is_overwritten() {
        let ring = Ring::new(layout()).unwrap();
        let reader = File::from(ring.reader().unwrap());
        let writer = ring.begin(77, 4096, ByteLen::new(4)).unwrap();
        assert_eq!(word(&reader, offset::TAIL), 77);
        assert!(writer.finish().is_ok());
    }

    #[test]
    fn a_readers_descriptor_neither_writes_nor_maps_for_writing() {
        for (kind, _mapping, reader) in both() {
            assert!(reader.write_at(b"x", 0).is_err(), "{kind}");
            assert!(reader.set_len(0).is_err(), "{kind}");
            let len = ByteLen::new(layout().file_bytes());
            let error = RingMapping::new(reader.as_fd(), len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{kind}");
        }
    }

    #[test]
    fn another_user_cannot_open_a_readers_descriptor_for_writing() {
        for (kind, _mapping, reader) in both() {
            let script = "exec 3<>/dev/fd/0 && echo opened";
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).stdin(reader);
            if nix::unistd::geteuid().is_root() {
                shell.uid(65534).gid(65534);
            } else if kind == "unlinked file" {
                println!(
                    "skipped: the owner of an unlinked file may reopen it; needs another user"
                );
                continue;
            }
            let output = shell.output().unwrap();
            assert!(!output.status.success(), "{kind}");
            assert!(output.stdout.is_empty(), "{kind}");
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(message.contains("Permission denied"), "{kind}: {message}");
        }
    }
}
