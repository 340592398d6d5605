//! The connection to the daemon, with somebody who listens in where `-v` or `-x` asks for it.

use super::failure::Failure;
use super::options::{Options, Verbose};
use super::sniff;
use crate::{Client, ClientError, socket_path};
use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// Listens in until both ends are closed.
#[derive(Debug)]
pub(crate) struct Tap(Option<JoinHandle<()>>);

impl Tap {
    /// Waits until everything was shown. The connection has to be closed before.
    pub(crate) fn finish(self) {
        if let Some(thread) = self.0 {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// The daemon's socket: the address's own, `--socket`, or the usual rule.
pub(crate) fn path(options: &Options, named: Option<&str>) -> Result<PathBuf, Failure> {
    let flag = named.or(options.socket.as_deref()).map(OsStr::new);
    Ok(socket_path(flag)?)
}

/// Connects a client.
pub(crate) fn connect(options: &Options, named: Option<&str>) -> Result<(Client, Tap), Failure> {
    if options.verbose == Verbose::Off {
        return Ok((Client::connect(path(options, named)?)?, Tap(None)));
    }
    let (stream, tap) = stream(options, named)?;
    match Client::over(stream) {
        Ok(client) => Ok((client, tap)),
        Err(error) => {
            tap.finish();
            Err(error.into())
        }
    }
}

/// Connects a stream whose Hello is still to be said.
pub(crate) fn stream(options: &Options, named: Option<&str>) -> Result<(UnixStream, Tap), Failure> {
    let path = path(options, named)?;
    let daemon =
        UnixStream::connect(&path).map_err(|source| ClientError::NoDaemon { path, source })?;
    if options.verbose == Verbose::Off {
        return Ok((daemon, Tap(None)));
    }
    let trouble = |error| Failure::io("listen in", &error);
    let (ours, theirs) = UnixStream::pair().map_err(trouble)?;
    let hex = options.verbose == Verbose::Hex;
    let thread = std::thread::Builder::new().name("sniff".to_owned());
    let thread = thread
        .spawn(move || {
            if let Err(failure) = sniff::run(&theirs, &daemon, hex, sniff::to_stderr, None) {
                eprintln!("avpucat: {failure}");
            }
        })
        .map_err(trouble)?;
    Ok((ours, Tap(Some(thread))))
}
