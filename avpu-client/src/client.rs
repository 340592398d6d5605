//! A connection to the daemon as an application uses it.

use crate::channel::{Channel, open_on_wire};
use crate::channel_config::ChannelConfig;
use crate::connection::{Connection, deadline, greet};
use crate::error::{ClientError, ProtocolError};
use crate::ledger::Key;
use crate::naming;
use crate::reader::{Reader, subscribe_on_wire};
use crate::region::register_on_wire;
use crate::state::{State, Tag};
use crate::transport::Transport;
use avpu_proto::event::Event;
use avpu_proto::reply::{IdrPromised, Reply};
use avpu_proto::request::{
    LeaseBuffers, ReleaseQuarantine, Request, RequestIdr, Revoke, Subscribe, Watch,
};
use avpu_proto::socket::{RUNTIME_DIR_VARIABLE, SOCKET_VARIABLE};
use avpu_proto::types::{Address, ChannelId, Join, LeaseId};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the daemon's socket is: `flag` (a tool's `--socket`), else `$AVPUD_SOCKET`, else
/// `/run/avpud/avpud.sock` as root, else `$XDG_RUNTIME_DIR/avpud.sock`.
///
/// # Errors
/// When nothing says where.
pub fn socket_path(flag: Option<&OsStr>) -> Result<PathBuf, ClientError> {
    let avpud_socket = std::env::var_os(SOCKET_VARIABLE);
    let runtime_dir = std::env::var_os(RUNTIME_DIR_VARIABLE);
    let path = avpu_proto::socket::path(
        flag.map(OsStr::as_bytes),
        avpud_socket.as_deref().map(OsStr::as_bytes),
        runtime_dir.as_deref().map(OsStr::as_bytes),
        nix::unistd::geteuid().is_root(),
    )?;
    Ok(OsString::from_vec(path).into())
}

/// A connection. Clones are the same connection, for any thread: one may ask for an IDR or a status while another
/// waits for a packet. The daemon takes everything back when the last clone, channel and reader are gone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Absent for a stream that was handed in: that cannot be made again.
    path: Option<PathBuf>,
    connection: Arc<Connection>,
    /// Held during a reconnect.
    reconnecting: Mutex<()>,
}

impl Client {
    /// Connects to the daemon at a socket; [`socket_path`] says where it usually is.
    ///
    /// # Errors
    /// When there is no daemon, or it turns this client away.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let transport = Transport::connect(path)?;
        greet(&transport)?;
        Ok(Self::new(transport, Some(path.to_owned())))
    }

    /// Takes a connected stream, whose other end is a daemon that has not been spoken to.
    ///
    /// # Errors
    /// When the daemon turns this client away.
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let transport = Transport::over(stream)?;
        greet(&transport)?;
        Ok(Self::new(transport, None))
    }

    fn new(transport: Transport, path: Option<PathBuf>) -> Self {
        let connection = Arc::new(Connection::new(transport));
        let shared = Shared {
            path,
            connection,
            reconnecting: Mutex::new(()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.shared.connection
    }

    /// Opens an encode channel.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub fn open_channel(&self, config: &ChannelConfig) -> Result<Channel, ClientError> {
        Channel::open(self, config)
    }

    /// Reads a channel by its name, one's own or another client's.
    ///
    /// # Errors
    /// When the daemon refuses or the ring cannot be mapped.
    pub fn subscribe(&self, name: &str, join: Join) -> Result<Reader, ClientError> {
        let request = Subscribe {
            name: name.to_owned(),
            join,
            ..Subscribe::default()
        };
        Reader::open(self.connection(), request, None)
    }

    /// Reads a channel by its id.
    ///
    /// # Errors
    /// When the daemon refuses or the ring cannot be mapped.
    pub fn subscribe_id(&self, channel: ChannelId, join: Join) -> Result<Reader, ClientError> {
        let request = Subscribe {
            channel,
            join,
            ..Subscribe::default()
        };
        Reader::open(self.connection(), request, None)
    }

    /// Reads a channel by its name or, where none has that name and it is a number, by its id: for what people type.
    ///
    /// # Errors
    /// When the daemon refuses or the ring cannot be mapped.
    pub fn subscribe_name_or_id(&self, channel: &str, join: Join) -> Result<Reader, ClientError> {
        naming::ask(channel, |channel, name| {
            let request = Subscribe {
                channel,
                name,
                join,
                ..Subscribe::default()
            };
            Reader::open(self.connection(), request, None)
        })
    }

    /// Asks that the next picture of a channel that this client owns or reads be an IDR. Answers which packet will
    /// be that.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn request_idr(&self, name: &str) -> Result<IdrPromised, ClientError> {
        let request = RequestIdr {
            name: name.to_owned(),
            ..RequestIdr::default()
        };
        request_idr_on_wire(self.connection(), request)
    }

    /// Turns events of all channels on or off; [`Client::next_event`] takes them.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn watch(&self, on: bool) -> Result<(), ClientError> {
        self.done(&Request::Watch(Watch { on }), "Watch")?;
        self.connection().lock().ledger.watching = on;
        Ok(())
    }

    /// Takes a lease back from whoever holds it, after `grace` (where absent, a second) at the latest. For the
    /// super-user and the daemon's own user. Answered when the holder was told.
    ///
    /// # Errors
    /// When the daemon refuses: nobody holds such a lease, or the right is missing.
    pub fn revoke(&self, lease: LeaseId, grace: Option<Duration>) -> Result<(), ClientError> {
        let us = grace.map_or(0, |grace| grace.as_micros().max(1));
        let grace_us = u32::try_from(us).unwrap_or(u32::MAX);
        self.done(&Request::Revoke(Revoke { lease, grace_us }), "Revoke")
    }

    /// Says that nothing writes to a piece of memory in quarantine any more. For those who may revoke.
    ///
    /// # Errors
    /// When the daemon refuses: there is no such piece, the encoder is at work in it, or the right is missing.
    pub fn release_quarantine(&self, address: Address) -> Result<(), ClientError> {
        let release = ReleaseQuarantine { address };
        self.done(&Request::ReleaseQuarantine(release), "ReleaseQuarantine")
    }

    /// Waits for the next event that is neither a packet nor a released source.
    ///
    /// # Errors
    /// `Timeout`, or the daemon is gone.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Event, ClientError> {
        let connection = self.connection();
        connection.wait(deadline(timeout), State::take_event)
    }

    /// The next such event, if there is one now.
    ///
    /// # Errors
    /// When the daemon is gone and what arrived before was taken.
    pub fn try_next_event(&self) -> Result<Option<Event>, ClientError> {
        self.connection().poll(|state| {
            state.ledger.events_polled = true;
            state.take_event()
        })
    }

    /// A descriptor of one's own for `poll`, for reading: it is ready when the daemon has sent something, and while
    /// something waits to be taken by a `try_` method that was called before. So call those that one uses until each
    /// answers that there is nothing, then wait. It is the same after a reconnect.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub fn as_fd(&self) -> Result<OwnedFd, ClientError> {
        Ok(self.connection().readiness()?)
    }

    /// Connects again after the daemon went away and restores what this client had: channels, leases, readers,
    /// regions, under the same handles. Frames that were in flight come back from `next_released` as lost, readers
    /// get a gap, and the first picture of each channel is an IDR. Buffers keep their handles and lose their bytes.
    ///
    /// # Errors
    /// When there is no daemon yet, or it refuses something: call it again later, it starts over.
    pub fn reconnect(&self) -> Result<(), ClientError> {
        let _one = self
            .shared
            .reconnecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let path = self.shared.path.as_ref().ok_or(ClientError::Misuse(
            "expected a client that connected by path, found one over a stream",
        ))?;
        let transport = Transport::connect(path)?;
        greet(&transport)?;
        let connection = self.connection();
        connection.replace(transport);
        let state = connection.lock();
        let channels: Vec<Key> = state.ledger.channels.keys().copied().collect();
        let regions: Vec<Key> = state.ledger.regions.keys().copied().collect();
        let readers: Vec<Key> = state.ledger.readers.keys().copied().collect();
        let watching = state.ledger.watching;
        drop(state);
        for key in channels {
            open_on_wire(connection, key)?;
            self.lease_again(key)?;
        }
        for key in regions {
            register_on_wire(connection, key)?;
        }
        for key in readers {
            self.subscribe_again(key)?;
        }
        if watching {
            self.watch(true)?;
        }
        Ok(())
    }

    fn lease_again(&self, key: Key) -> Result<(), ClientError> {
        let state = self.connection().lock();
        let Some(slot) = state.ledger.channels.get(&key) else {
            return Ok(());
        };
        let leases = slot.leases.clone();
        let channel = slot.opened.channel;
        let size = (slot.request.width, slot.request.height);
        drop(state);
        for lease in leases {
            let count = lease.count();
            let request = Request::LeaseBuffers(LeaseBuffers { channel, count });
            let (reply, descriptor) = self.connection().call(&request, Tag::Wait)?;
            let Reply::BuffersLeased(leased) = reply else {
                return Err(mismatch("LeaseBuffers"));
            };
            lease.renew(&leased, descriptor.as_ref(), size)?;
        }
        Ok(())
    }

    /// An own channel is found by its new id, which its name need not be; any other by its name.
    fn subscribe_again(&self, key: Key) -> Result<(), ClientError> {
        let mut state = self.connection().lock();
        let own = state.ledger.readers.get(&key).and_then(|slot| slot.own);
        let id = own.and_then(|own| {
            let slot = state.ledger.channels.get(&own)?;
            Some(slot.opened.channel)
        });
        let Some(slot) = state.ledger.readers.get_mut(&key) else {
            return Ok(());
        };
        match id {
            Some(id) => slot.request.channel = id,
            None => slot.request.name.clone_from(&slot.name),
        }
        drop(state);
        subscribe_on_wire(self.connection(), key)
    }

    pub(crate) fn call(&self, request: &Request) -> Result<Reply, ClientError> {
        Ok(self.connection().call(request, Tag::Wait)?.0)
    }

    fn done(&self, request: &Request, name: &'static str) -> Result<(), ClientError> {
        match self.call(request)? {
            Reply::Done => Ok(()),
            _ => Err(mismatch(name)),
        }
    }
}

pub(crate) fn request_idr_on_wire(
    connection: &Connection,
    request: RequestIdr,
) -> Result<IdrPromised, ClientError> {
    match connection.call(&Request::RequestIdr(request), Tag::Wait)?.0 {
        Reply::IdrPromised(promised) => Ok(promised),
        _ => Err(mismatch("RequestIdr")),
    }
}

pub(crate) fn mismatch(request: &'static str) -> ClientError {
    ClientError::Protocol(ProtocolError::ReplyMismatch { request })
}
