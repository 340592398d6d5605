//! Where memory that is shared with other processes comes from: anonymous files, and on kernels before Linux 3.17, which
//! have none, files in `/dev/shm` that are unlinked as soon as they are open.

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::{fmt, io};

/// Where unlinked files are made: memory, not flash.
const FOLDER: &str = "/dev/shm";

/// Names that are tried before one that is free is given up.
const ATTEMPTS_MAX: u32 = 1000;

/// What this system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Anonymous files.
    Anonymous,
    /// Unlinked files in `/dev/shm`.
    Unlinked,
}

/// Why there is none.
#[derive(Debug)]
struct NoSharedMemory {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for NoSharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected anonymous files (Linux 3.17) or a tmpfs at {FOLDER}, found neither: {}: {}",
            self.path.display(),
            self.source
        )
    }
}

impl std::error::Error for NoSharedMemory {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Tries to make an empty file in the ways there are.
///
/// # Errors
/// When there is none; the message names the path that was tried last.
pub fn source() -> io::Result<Source> {
    match memfd_create("avpud-trial", MFdFlags::MFD_CLOEXEC) {
        Ok(_) => Ok(Source::Anonymous),
        Err(Errno::ENOSYS) => unlinked("avpud-trial", 0o600).map(|_| Source::Unlinked),
        Err(error) => Err(error.into()),
    }
}

/// An empty file without a name, open for reading and writing, and opened again for reading only. `mode` is for whoever
/// opens either of them once more.
///
/// # Errors
/// When it cannot be made; the message names its path.
pub fn unlinked(name: &str, mode: u32) -> io::Result<(File, File)> {
    for attempt in 0.. {
        let path = PathBuf::from(format!("{FOLDER}/{name}-{}-{attempt}", std::process::id()));
        match make(&path, mode) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS_MAX => {}
            Err(source) => {
                let kind = source.kind();
                return Err(io::Error::new(kind, NoSharedMemory { path, source }));
            }
            made => return made,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn make(path: &PathBuf, mode: u32) -> io::Result<(File, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    let file = options.open(path)?;
    let reader = File::open(path);
    fs::remove_file(path)?;
    Ok((file, reader?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_unlinked_file_has_no_name_and_its_reader_does_not_write() {
        let (mut file, mut reader) = unlinked("avpud-test", 0o400).expect("a file");
        assert_eq!(file.metadata().expect("metadata").nlink(), 0);
        file.write_all(b"seen").expect("it can be written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("it can be read");
        assert_eq!(text, "seen");
        assert!(reader.write_all(b"x").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = unlinked("no/such/folder/x", 0o400).expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let said = error.to_string();
        let start = "expected anonymous files (Linux 3.17) or a tmpfs at /dev/shm, found neither: /dev/shm/no/such/folder/x-";
        assert!(said.starts_with(start), "{said}");
        assert!(said.contains("No such file or directory"), "{said}");
    }
}
