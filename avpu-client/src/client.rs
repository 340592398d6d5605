//! A connection to the daemon as an application uses it.

use crate::channel::{Channel, open_on_wire};
use crate::channel_config::ChannelConfig;
use crate::connection::{Connection, Tag, deadline, greet};
use crate::error::{ClientError, ProtocolError};
use crate::ledger::{Key, RegionKind, RegionSlot};
use crate::listing::Pages;
use crate::naming;
use crate::reader::{Reader, subscribe_on_wire};
use crate::transport::Transport;
use avpu_proto::event::Event;
use avpu_proto::record::Record;
use avpu_proto::reply::{Capabilities, Fit, IdrPromised, MemoryReport, Reply};
use avpu_proto::report::{ChannelReport, ClientReport, FrameRecord, StatusReport};
use avpu_proto::request::{
    Explain, Fits, ImportBuffer, LeaseBuffers, OpenChannel, Page, RegisterRegion,
    ReleaseQuarantine, Request, RequestIdr, Revoke, Subscribe, UnregisterRegion, Watch,
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

    /// What the daemon can do.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn capabilities(&self) -> Result<Capabilities, ClientError> {
        match self.call(&Request::Capabilities)? {
            Reply::Capabilities(capabilities) => Ok(capabilities),
            _ => Err(mismatch("Capabilities")),
        }
    }

    /// The daemon as a whole.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn status(&self) -> Result<StatusReport, ClientError> {
        match self.call(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(mismatch("Status")),
        }
    }

    /// Every channel of the daemon, asked for page by page.
    #[must_use]
    pub fn channels(&self) -> Pages<'_, ChannelReport> {
        Pages::new(self, |client, page| {
            match client.call(&Request::Channels(page))? {
                Reply::Channels(listing) => Ok(listing),
                _ => Err(mismatch("Channels")),
            }
        })
    }

    /// Every connection of the daemon, asked for page by page.
    #[must_use]
    pub fn clients(&self) -> Pages<'_, ClientReport> {
        Pages::new(self, |client, page| {
            match client.call(&Request::Clients(page))? {
                Reply::Clients(listing) => Ok(listing),
                _ => Err(mismatch("Clients")),
            }
        })
    }

    /// One page of who holds which memory; `Page::default()` is the first.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn memory(&self, page: Page) -> Result<MemoryReport, ClientError> {
        match self.call(&Request::Memory(page))? {
            Reply::Memory(report) => Ok(report),
            _ => Err(mismatch("Memory")),
        }
    }

    /// Whether these channels would fit, opened one after the other; with `alone` as if no other were open. Opens
    /// nothing.
    ///
    /// # Errors
    /// When the daemon refuses because one of them could never be opened.
    pub fn fits(&self, channels: &[OpenChannel], alone: bool) -> Result<Fit, ClientError> {
        let channels = channels.iter().cloned().map(Record).collect();
        match self.call(&Request::Fits(Fits { channels, alone }))? {
            Reply::Fit(fit) => Ok(fit),
            _ => Err(mismatch("Fits")),
        }
    }

    /// What became of a frame of a channel, which is given by name or, as a number, by id. `number` is the sequence
    /// number of its packet or, `by_frame`, its own.
    ///
    /// # Errors
    /// When the daemon does not remember the channel or the frame.
    pub fn explain(
        &self,
        channel: &str,
        number: u32,
        by_frame: bool,
    ) -> Result<FrameRecord, ClientError> {
        naming::ask(channel, |channel, name| {
            let wish = Explain {
                channel,
                name,
                number,
                by_frame,
            };
            match self.call(&Request::Explain(wish))? {
                Reply::Explanation(record) => Ok(record),
                _ => Err(mismatch("Explain")),
            }
        })
    }

    /// The records of the last frames of all channels, oldest first, from the one with this number on; 0: all.
    pub fn trace(&self, from: u32) -> Pages<'_, FrameRecord> {
        let records: Pages<'_, FrameRecord> = Pages::new(self, |client, page| {
            match client.call(&Request::Trace(page))? {
                Reply::Trace(listing) => Ok(listing),
                _ => Err(mismatch("Trace")),
            }
        });
        records.starting_at(from)
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

    /// Registers memory that another allocator owns, so that frames in it may be submitted by address.
    ///
    /// # Errors
    /// When the daemon refuses: it needs the raw-address right and a source window that holds the memory.
    pub fn register_region(&self, address: Address, len_bytes: u32) -> Result<Region, ClientError> {
        let request = RegisterRegion { address, len_bytes };
        self.region(RegionKind::Memory(request))
    }

    /// Registers a buffer of another driver (dma-buf) of at least `len_bytes` as a source of frames, until the result is
    /// dropped; [`Region::address`] says where frames in it lie. After a reconnect it may lie elsewhere.
    ///
    /// # Errors
    /// When the device's kernel does not take it, or the daemon refuses.
    pub fn import_buffer(&self, buffer: OwnedFd, len_bytes: u32) -> Result<Region, ClientError> {
        self.region(RegionKind::Buffer {
            request: ImportBuffer { len_bytes },
            descriptor: buffer,
            address: Address::default(),
        })
    }

    fn region(&self, what: RegionKind) -> Result<Region, ClientError> {
        let mut state = self.connection().lock();
        let key = state.ledger.key();
        let region = None;
        state
            .ledger
            .regions
            .insert(key, RegionSlot { what, region });
        drop(state);
        let region = Region {
            connection: Arc::clone(self.connection()),
            key,
        };
        register_on_wire(self.connection(), key)?;
        Ok(region)
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
        connection.wait(deadline(timeout), crate::connection::State::take_event)
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

/// A registered source region; dropping it unregisters.
#[derive(Debug)]
pub struct Region {
    connection: Arc<Connection>,
    key: Key,
}

impl Region {
    /// Its first byte.
    #[must_use]
    pub fn address(&self) -> Address {
        let state = self.connection.lock();
        let slot = state.ledger.regions.get(&self.key);
        slot.map_or(Address::default(), |slot| match &slot.what {
            RegionKind::Memory(request) => request.address,
            RegionKind::Buffer { address, .. } => *address,
        })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let slot = self.connection.lock().ledger.regions.remove(&self.key);
        if let Some(region) = slot.and_then(|slot| slot.region) {
            let request = Request::UnregisterRegion(UnregisterRegion { region });
            self.connection.mention(&request);
        }
    }
}

fn register_on_wire(connection: &Connection, key: Key) -> Result<(), ClientError> {
    let slot = connection.lock().ledger.regions.get(&key).map(request_of);
    let (request, rider) = slot.ok_or(ClientError::Disconnected)??;
    let reply = match rider {
        Some(rider) => connection.call_with(&request, rider)?,
        None => connection.call(&request, Tag::Wait)?.0,
    };
    let Reply::RegionRegistered(registered) = reply else {
        return Err(mismatch("RegisterRegion"));
    };
    if let Some(slot) = connection.lock().ledger.regions.get_mut(&key) {
        slot.region = Some(registered.region);
        if let RegionKind::Buffer { address, .. } = &mut slot.what {
            *address = registered.address;
        }
    }
    Ok(())
}

/// What registers a region, and the descriptor that rides with it.
fn request_of(slot: &RegionSlot) -> Result<(Request, Option<OwnedFd>), ClientError> {
    match &slot.what {
        RegionKind::Memory(request) => Ok((Request::RegisterRegion(*request), None)),
        RegionKind::Buffer {
            request,
            descriptor,
            ..
        } => Ok((
            Request::ImportBuffer(*request),
            Some(descriptor.try_clone()?),
        )),
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
