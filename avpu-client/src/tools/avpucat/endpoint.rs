//! The ends that bytes come from and go to, opened.

use super::failure::Failure;
use super::plan::{Input, Sink, Socket};
use super::wait::Patience;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The most that a pipe takes without waiting once it is ready: POSIX promises 512, Linux a page.
const WRITE_BYTES: usize = 4096;

/// Where bytes come from.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    name: String,
}

impl Source {
    /// Opens an input. A socket of our own waits for its peer.
    pub(crate) fn open(input: &Input, patience: &mut Patience) -> Result<Self, Failure> {
        match input {
            Input::Stdio => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                let file = stdin.map_err(|error| Failure::io("read standard input", &error))?;
                Ok(Self::new(file, "standard input"))
            }
            Input::File(path) => {
                let file = File::open(path);
                let file = file.map_err(|error| Failure::io(&format!("open {path}"), &error))?;
                Ok(Self::new(file, path))
            }
            Input::Socket(socket) => {
                let (stream, name) = open_socket(socket, patience)?;
                Ok(Self::new(OwnedFd::from(stream), &name))
            }
        }
    }

    fn new(file: impl Into<File>, name: &str) -> Self {
        Self {
            file: file.into(),
            name: name.to_owned(),
        }
    }

    /// The same socket as an output.
    pub(crate) fn writing_half(&self) -> Result<Output, Failure> {
        let file = self.file.try_clone();
        let file = file.map_err(|error| Failure::io(&format!("write to {}", self.name), &error))?;
        Ok(Output::new(file, &self.name))
    }

    /// What to wait at.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Reads what there is, after a wait; 0 is the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.file.read(into) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io(&format!("read {}", self.name), &error)),
            }
        }
    }

    /// Starts again at the beginning.
    pub(crate) fn rewind(&mut self) -> Result<(), Failure> {
        let sought = self.file.seek(SeekFrom::Start(0));
        let what = || format!("start {} again: loop is for files", self.name);
        sought
            .map(|_| ())
            .map_err(|error| Failure::io(&what(), &error))
    }
}

/// Where bytes go. They are queued here and written as the end takes them, so that nobody waits inside a write.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    name: String,
    queue: Vec<u8>,
    written: usize,
    /// Written without asking: a file takes everything at once.
    regular: bool,
}

impl Output {
    /// Opens an output. Standard output must not be a terminal where `binary`.
    pub(crate) fn open(
        sink: &Sink,
        binary: bool,
        patience: &mut Patience,
    ) -> Result<Self, Failure> {
        match sink {
            Sink::Stdio => {
                if binary {
                    refuse_terminal(sink)?;
                }
                let stdout = io::stdout().as_fd().try_clone_to_owned();
                let file = stdout.map_err(|error| Failure::io("write standard output", &error))?;
                Ok(Self::new(file, "standard output"))
            }
            Sink::File(path) => {
                let file = File::create(path);
                let file = file.map_err(|error| Failure::io(&format!("create {path}"), &error))?;
                Ok(Self::new(file, path))
            }
            Sink::Socket(socket) => {
                let (stream, name) = open_socket(socket, patience)?;
                Ok(Self::new(OwnedFd::from(stream), &name))
            }
        }
    }

    fn new(file: impl Into<File>, name: &str) -> Self {
        let file = file.into();
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self {
            file,
            name: name.to_owned(),
            queue: Vec::new(),
            written: 0,
            regular,
        }
    }

    /// Everything was written.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.queue.extend_from_slice(bytes);
    }

    /// Writes as much as goes without waiting; says whether anything went.
    pub(crate) fn flush(&mut self) -> Result<bool, Failure> {
        let mut moved = false;
        while self.written < self.queue.len() {
            let rest = &self.queue[self.written..];
            let portion = if self.regular {
                rest
            } else {
                if !is_writable(self.file.as_fd()) {
                    return Ok(moved);
                }
                &rest[..rest.len().min(WRITE_BYTES)]
            };
            match self.file.write(portion) {
                Ok(0) => return Err(self.trouble(&ErrorKind::WriteZero.into())),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(moved),
                Err(error) => return Err(self.trouble(&error)),
            }
            moved = true;
        }
        self.queue.clear();
        self.written = 0;
        Ok(moved)
    }

    /// What to wait at, and for what: with nothing to write only for its reader going away.
    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLOUT, !self.is_idle());
        (self.file.as_fd(), flags)
    }

    /// An answer to [`Output::interest`] that says that nobody reads any more.
    pub(crate) fn check(&self, ready: PollFlags) -> Result<(), Failure> {
        if self.is_idle() && ready.intersects(PollFlags::POLLERR) {
            return Err(self.trouble(&Errno::EPIPE.into()));
        }
        Ok(())
    }

    /// Says the end of the bytes to a socket's peer; other ends see it when they are closed.
    pub(crate) fn finish(&self) {
        if let Ok(file) = self.file.try_clone() {
            // Not a socket: then closing says it.
            let _ = UnixStream::from(OwnedFd::from(file)).shutdown(Shutdown::Write);
        }
    }

    fn trouble(&self, error: &io::Error) -> Failure {
        Failure::io(&format!("write {}", self.name), error)
    }
}

/// Refuses to write what no terminal can show.
pub(crate) fn refuse_terminal(sink: &Sink) -> Result<(), Failure> {
    if *sink == Sink::Stdio && io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "refusing to write a bitstream onto a terminal: redirect it, or name a file like H264:out.h264"
                .to_owned(),
        ));
    }
    Ok(())
}

fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

fn open_socket(socket: &Socket, patience: &mut Patience) -> Result<(UnixStream, String), Failure> {
    match socket {
        Socket::Connect(path) => {
            let stream = UnixStream::connect(path);
            let what = || format!("connect to {path}");
            let stream = stream.map_err(|error| Failure::io(&what(), &error))?;
            Ok((stream, path.clone()))
        }
        Socket::Listen(path) => Ok((Listener::bind(path)?.accept(patience)?, path.clone())),
    }
}

/// A socket of our own that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens; what is at the path already stays and is an error.
    pub(crate) fn bind(path: impl AsRef<Path>) -> Result<Self, Failure> {
        let path = path.as_ref().to_owned();
        let listener = UnixListener::bind(&path);
        let what = || format!("listen at {}", path.display());
        let listener = listener.map_err(|error| Failure::io(&what(), &error))?;
        Ok(Self { listener, path })
    }

    /// Waits for one peer.
    pub(crate) fn accept(&self, patience: &mut Patience) -> Result<UnixStream, Failure> {
        let what = || format!("accept at {}", self.path.display());
        loop {
            let wanted = [(self.listener.as_fd(), PollFlags::POLLIN)];
            let ready = patience.wait(&wanted, None)?;
            if patience.interrupts()? > 0 {
                return Err(Failure::Failed(
                    "interrupted before anybody connected".to_owned(),
                ));
            }
            if ready[0].is_empty() {
                continue;
            }
            let (stream, _) = self
                .listener
                .accept()
                .map_err(|error| Failure::io(&what(), &error))?;
            patience.touch();
            return Ok(stream);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone already: then there is nothing to remove.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stream: UnixStream) -> Output {
        Output::new(OwnedFd::from(stream), "a socket")
    }

    #[test]
    fn an_output_that_is_full_is_left_and_taken_up_again() {
        let (reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let mut output = output(writer);
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        output.push(&bytes);
        let mut found = Vec::new();
        let mut part = vec![0; 65536];
        while !output.is_idle() {
            output.flush().unwrap();
            let count = (&reader).read(&mut part).unwrap();
            found.extend_from_slice(&part[..count]);
        }
        drop(output);
        (&reader).read_to_end(&mut found).unwrap();
        assert!(found == bytes, "the bytes differ");
    }

    #[test]
    fn a_reader_that_went_away_is_an_error_with_the_outputs_name() {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let mut output = output(writer);
        output.push(b"x");
        let error = output.flush().unwrap_err().to_string();
        assert!(error.starts_with("cannot write a socket: "), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_outputs_name() {
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            // Past the harness, which keeps what a test that passes prints.
            writeln!(
                io::stderr(),
                "SKIPPED: a full disk: there is no /dev/full here"
            )
            .unwrap();
            return;
        };
        let mut output = Output::new(full, "/dev/full");
        output.push(b"x");
        let error = output.flush().unwrap_err().to_string();
        assert!(error.starts_with("cannot write /dev/full: "), "{error}");
    }

    #[test]
    fn a_path_that_is_taken_is_not_replaced() {
        let path = std::env::temp_dir().join(format!("avpucat-{}.sock", std::process::id()));
        let listener = Listener::bind(&path).unwrap();
        assert!(Listener::bind(&path).is_err());
        drop(listener);
        assert!(!path.exists());
    }
}
