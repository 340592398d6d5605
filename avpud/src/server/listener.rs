//! The daemon's socket: its lock, a stale one of a dead daemon, its mode and group.
//!
//! The lock file beside the socket is held for as long as the process lives, and only under it is a socket file touched
//! that is already there. The socket gets its mode and group under another name and takes its place by one rename: it
//! is there when it is ready and never open to more than it says.

use mio::net::{UnixListener, UnixStream};
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, chown};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why the socket cannot be had.
#[derive(Debug)]
pub enum ListenError {
    /// Another daemon serves this socket.
    Held {
        /// Its lock file.
        lock: PathBuf,
        /// Its process, as far as it is known.
        pid: String,
    },
    /// Something is in the way that no daemon of ours left behind.
    Occupied {
        /// The path.
        path: PathBuf,
        /// What was found there.
        found: &'static str,
    },
    /// The system says no.
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl core::fmt::Display for ListenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Held { lock, pid } => write!(
                f,
                "expected no other daemon on this socket, found {} held by process {pid}",
                lock.display()
            ),
            Self::Occupied { path, found } => {
                write!(f, "expected nobody at {}, found {found}", path.display())
            }
            Self::Io {
                path,
                operation,
                source,
            } => write!(f, "{operation} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Held { .. } | Self::Occupied { .. } => None,
        }
    }
}

/// The right to serve one socket path, as long as this value lives.
#[derive(Debug)]
pub struct SocketLock {
    path: PathBuf,
    _file: Flock<File>,
}

impl SocketLock {
    /// Takes the lock beside `path`, making the directory where it is missing.
    ///
    /// # Errors
    /// [`ListenError::Held`] when another daemon has it.
    pub fn take(path: &Path) -> Result<Self, ListenError> {
        if let Some(directory) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o755);
            builder
                .create(directory)
                .map_err(io_error(directory, "create directory"))?;
        }
        let lock = with_suffix(path, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // A link in a directory that others may write to must not make us empty the file behind it.
        let file = options
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&lock)
            .map_err(io_error(&lock, "open lock"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                // For people only: that the number cannot be written changes nothing.
                let _ = held.set_len(0);
                let _ = writeln!(held, "{}", std::process::id());
                Ok(Self {
                    path: path.to_path_buf(),
                    _file: held,
                })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                Err(ListenError::Held {
                    lock,
                    pid: pid.trim().to_owned(),
                })
            }
            Err((_, error)) => Err(io_error(&lock, "lock")(error.into())),
        }
    }

    /// Listens at the path: for the daemon's user and `group`.
    ///
    /// # Errors
    /// When something that is no stale socket is in the way, or the system says no.
    pub fn listen(self, group: Option<u32>) -> Result<Listener, ListenError> {
        self.check_place()?;
        let fresh = with_suffix(&self.path, ".new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&fresh, "remove")(error));
            }
            _ => {}
        }
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(&fresh);
        umask(before);
        let socket = bound.map_err(io_error(&fresh, "bind"))?;
        if let Some(group) = group {
            chown(&fresh, None, Some(Gid::from_raw(group)))
                .map_err(|error| io_error(&fresh, "give to the group")(error.into()))?;
        }
        fs::set_permissions(&fresh, Permissions::from_mode(0o660))
            .map_err(io_error(&fresh, "set mode of"))?;
        fs::rename(&fresh, &self.path).map_err(io_error(&self.path, "put the socket at"))?;
        Ok(Listener { socket, lock: self })
    }

    /// Whatever is at the path may be replaced: nothing, or a socket that nobody answers.
    fn check_place(&self) -> Result<(), ListenError> {
        let occupied = |found| {
            Err(ListenError::Occupied {
                path: self.path.clone(),
                found,
            })
        };
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error(&self.path, "look at")(error)),
            Ok(metadata) if !metadata.file_type().is_socket() => {
                occupied("a file that is no socket")
            }
            Ok(_) => match UnixStream::connect(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                Err(error) => Err(io_error(&self.path, "try")(error)),
                Ok(_) => occupied("another program that listens"),
            },
        }
    }
}

/// The listening socket; its file is removed when it is dropped, before the lock is given up.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub(super) socket: UnixListener,
    lock: SocketLock,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.lock.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone is gone, whoever removed it.
        let _ = fs::remove_file(&self.lock.path);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error<'a>(path: &'a Path, operation: &'static str) -> impl Fn(io::Error) -> ListenError + 'a {
    move |source| ListenError::Io {
        path: path.to_path_buf(),
        operation,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = Scratch::new();
        let (target, socket) = (folder.path().join("precious"), folder.path().join("s"));
        fs::write(&target, "kept").unwrap();
        let link = with_suffix(&socket, ".lock");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(
            SocketLock::take(&socket),
            Err(ListenError::Io { .. })
        ));
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        fs::remove_file(&link).unwrap();
        assert!(SocketLock::take(&socket).is_ok());
    }
}
