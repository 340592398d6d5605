//! `UNIX-LISTEN:` against `UNIX-CONNECT:` or `AVPU-RAW:`: a proxy for one client that shows the protocol.

use super::endpoint::Listener;
use super::failure::Failure;
use super::link;
use super::options::{Options, Verbose};
use super::plan::Upstream;
use super::sniff;
use super::wait::Patience;
use crate::ClientError;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Waits for a client, connects it to the other socket, and passes on until both have closed.
pub(crate) fn run(
    options: &Options,
    listen: &str,
    connect: &Upstream,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let path = match connect {
        Upstream::Path(path) => PathBuf::from(path),
        Upstream::Daemon(named) => link::path(options, named.as_deref())?,
    };
    let listener = Listener::bind(listen)?;
    let client = listener.accept(patience)?;
    let daemon =
        UnixStream::connect(&path).map_err(|source| ClientError::NoDaemon { path, source })?;
    let hex = options.verbose == Verbose::Hex;
    sniff::run(&client, &daemon, hex, sniff::to_stderr, Some(patience))
}
