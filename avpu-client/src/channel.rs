//! An encode channel of this client: pictures in.

use crate::buffer::{Buffer, Lease};
use crate::channel_config::ChannelConfig;
use crate::client::{Client, mismatch, request_idr_on_wire};
use crate::connection::{Connection, deadline};
use crate::error::ClientError;
use crate::ledger::{ChannelSlot, Key, Released, Source};
use crate::reader::Reader;
use crate::state::{State, Submission, Tag};
use avpu_proto::event::EndOfStream;
use avpu_proto::reply::{ChannelOpened, IdrPromised, Reply};
use avpu_proto::request::{
    CloseChannel, Drain, LeaseBuffers, OpenChannel, Request, RequestIdr, ReturnLease, Submit,
    Subscribe, UserData,
};
use avpu_proto::types::{ChannelId, FrameNumber, Join};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What goes with a submitted picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Comes back bit-exactly with the packet.
    pub timestamp: u64,
    /// Comes back when the source is released.
    pub cookie: u64,
    /// Make this picture an IDR.
    pub force_idr: bool,
}

/// A submit that failed.
#[derive(Debug)]
pub struct SubmitError {
    /// Why.
    pub error: ClientError,
    /// The source, free again. Absent when the reply did not come in time: then `next_released` gives it back.
    pub source: Option<Source>,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<SubmitError> for ClientError {
    fn from(error: SubmitError) -> Self {
        error.error
    }
}

/// An open channel. Clones are the same channel, for any thread; it is closed when the last one is dropped, and
/// then queued frames are dropped: [`Channel::finish`] first where that matters.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Arc<Connection>,
    key: Key,
}

impl Channel {
    pub(crate) fn open(client: &Client, config: &ChannelConfig) -> Result<Self, ClientError> {
        let connection = Arc::clone(client.connection());
        let mut state = connection.lock();
        let key = state.ledger.key();
        let slot = ChannelSlot {
            request: config.request.clone(),
            opened: ChannelOpened::default(),
            idr_data: None,
            live: false,
            leases: Vec::new(),
            in_flight: Vec::new(),
            released: VecDeque::new(),
            polled: false,
            ended: None,
        };
        state.ledger.channels.insert(key, slot);
        drop(state);
        let opened = open_on_wire(&connection, key);
        if let Err(error) = opened {
            connection.lock().ledger.channels.remove(&key);
            return Err(error);
        }
        let inner = Arc::new(Inner { connection, key });
        Ok(Self { inner })
    }

    /// What the daemon made of the configuration.
    #[must_use]
    pub fn opened(&self) -> ChannelOpened {
        let state = self.inner.connection.lock();
        let slot = state.ledger.channels.get(&self.inner.key);
        slot.map(|slot| slot.opened.clone()).unwrap_or_default()
    }

    /// Leases `count` buffers that fit the channel's pictures. They are leased until
    /// [`Channel::return_buffers`] or the end of the connection, also when they are dropped.
    ///
    /// # Errors
    /// When the daemon refuses or a buffer cannot be mapped.
    pub fn lease(&self, count: u8) -> Result<Vec<Buffer>, ClientError> {
        let (connection, key) = (&self.inner.connection, self.inner.key);
        let channel = self.id()?;
        let lease = LeaseBuffers { channel, count };
        let (reply, descriptor) = connection.call(&Request::LeaseBuffers(lease), Tag::Wait)?;
        let Reply::BuffersLeased(leased) = reply else {
            return Err(mismatch("LeaseBuffers"));
        };
        let size = self.with_slot(|slot| (slot.request.width, slot.request.height))?;
        let made = Lease::new(&leased, descriptor.as_ref(), size);
        let (lease, buffers) = match made {
            Ok(made) => made,
            Err(error) => {
                let back = ReturnLease {
                    lease: leased.lease,
                };
                connection.mention(&Request::ReturnLease(back));
                return Err(error);
            }
        };
        if let Some(slot) = connection.lock().ledger.channels.get_mut(&key) {
            slot.leases.push(lease);
        }
        Ok(buffers)
    }

    /// Gives leases back: every buffer of each must be there.
    ///
    /// # Errors
    /// When buffers of a lease are missing, or the daemon refuses. The buffers are gone either way; what is still
    /// leased is so until the connection ends.
    pub fn return_buffers(&self, buffers: Vec<Buffer>) -> Result<(), ClientError> {
        let mut rest = buffers;
        while let Some(buffer) = rest.last() {
            let lease = Arc::clone(buffer.lease());
            let before = rest.len();
            rest.retain(|buffer| !buffer.is_of(&lease));
            if before - rest.len() != usize::from(lease.count()) {
                return Err(ClientError::Misuse(
                    "expected every buffer of the lease, found some",
                ));
            }
            let Some(id) = lease.id() else { continue };
            let mut state = self.inner.connection.lock();
            for slot in state.ledger.channels.values_mut() {
                slot.leases.retain(|other| !Arc::ptr_eq(other, &lease));
            }
            drop(state);
            let request = Request::ReturnLease(ReturnLease { lease: id });
            self.inner.done(&request, "ReturnLease")?;
        }
        Ok(())
    }

    /// Submits a picture, a leased buffer or a bare address, and waits until the daemon has accepted it.
    ///
    /// # Errors
    /// With the source, when the daemon refuses it: `QUEUE_FULL` and `NO_CREDIT` until a frame was released.
    pub fn submit(
        &self,
        source: impl Into<Source>,
        frame: Frame,
    ) -> Result<FrameNumber, SubmitError> {
        let (request, tag) = self.submission(source.into(), frame, true)?;
        let answered = self.inner.connection.ask(&request, tag);
        match answered {
            Ok((Reply::Submitted(submitted), _)) => Ok(submitted.frame),
            Ok(_) => Err(SubmitError {
                error: mismatch("Submit"),
                source: None,
            }),
            Err((error, source)) => Err(SubmitError { error, source }),
        }
    }

    /// Submits a picture without waiting for the daemon. Whatever becomes of it, also a refusal, comes with
    /// [`Channel::next_released`].
    ///
    /// # Errors
    /// With the source, when the connection is gone.
    pub fn submit_unwaited(
        &self,
        source: impl Into<Source>,
        frame: Frame,
    ) -> Result<(), SubmitError> {
        let (request, tag) = self.submission(source.into(), frame, false)?;
        let posted = self.inner.connection.post(&request, tag);
        posted.map_err(|(error, source)| SubmitError { error, source })
    }

    fn submission(
        &self,
        source: Source,
        frame: Frame,
        waited_for: bool,
    ) -> Result<(Request, Tag), SubmitError> {
        let channel = match self.id() {
            Ok(channel) => channel,
            Err(error) => {
                let source = Some(source);
                return Err(SubmitError { error, source });
            }
        };
        let submit = Submit {
            channel,
            address: source.address(),
            timestamp: frame.timestamp,
            cookie: frame.cookie,
            force_idr: frame.force_idr,
        };
        let submission = Submission {
            channel: self.inner.key,
            source,
            cookie: frame.cookie,
            waited_for,
        };
        Ok((Request::Submit(submit), Tag::Submit(submission)))
    }

    /// Waits for the next submitted frame that has ended, at most `timeout`; `None` waits for ever.
    ///
    /// # Errors
    /// `Timeout`, or the connection is gone and every frame lost with it was given back.
    pub fn next_released(&self, timeout: Option<Duration>) -> Result<Released, ClientError> {
        let key = self.inner.key;
        let connection = &self.inner.connection;
        connection.wait(deadline(timeout), |state| {
            slot_of(state, key)?.released.pop_front()
        })
    }

    /// The next frame that has ended, if there is one now.
    ///
    /// # Errors
    /// When the connection is gone and every frame lost with it was given back.
    pub fn try_next_released(&self) -> Result<Option<Released>, ClientError> {
        let key = self.inner.key;
        self.inner.connection.poll(|state| {
            let slot = slot_of(state, key)?;
            slot.polled = true;
            slot.released.pop_front()
        })
    }

    /// Frames that were accepted and have not ended.
    #[must_use]
    pub fn frames_in_flight(&self) -> usize {
        self.with_slot(|slot| slot.in_flight.len()).unwrap_or(0)
    }

    /// Reads the channel from its next packet on: subscribe before the first submit to miss none.
    ///
    /// # Errors
    /// When the daemon refuses or the ring cannot be mapped.
    pub fn subscribe(&self) -> Result<Reader, ClientError> {
        let request = Subscribe {
            channel: self.id()?,
            join: Join::LastIdr,
            ..Subscribe::default()
        };
        let inner = &self.inner;
        Reader::open(&inner.connection, request, Some(inner.key))
    }

    /// Asks that the next picture be an IDR; answers which packet will be that. For any thread, also while another
    /// waits for a packet.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn request_idr(&self) -> Result<IdrPromised, ClientError> {
        let request = RequestIdr {
            channel: self.id()?,
            name: String::new(),
        };
        request_idr_on_wire(&self.inner.connection, request)
    }

    /// Tells the daemon that no frame follows. The last packets and released sources still come, then the end of
    /// the stream.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn drain(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        self.inner.done(
            &Request::Drain(Drain {
                channel,
                keep: false,
            }),
            "Drain",
        )
    }

    /// Waits for the end of the stream after [`Channel::drain`]: every accepted frame has ended.
    ///
    /// # Errors
    /// `Timeout`, or the connection is gone.
    pub fn finish(&self, timeout: Option<Duration>) -> Result<EndOfStream, ClientError> {
        let key = self.inner.key;
        let connection = &self.inner.connection;
        connection.wait(deadline(timeout), |state| slot_of(state, key)?.ended)
    }

    /// Closes the channel for all of its clones: queued frames are dropped.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn close(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        let request = Request::CloseChannel(CloseChannel { channel });
        self.inner.done(&request, "CloseChannel")?;
        if let Some(slot) = slot_of(&mut self.inner.connection.lock(), self.inner.key) {
            slot.live = false;
        }
        Ok(())
    }

    /// The channel's id on the connection as it is now.
    ///
    /// # Errors
    /// `Disconnected` when it is not open there.
    pub fn id(&self) -> Result<ChannelId, ClientError> {
        let live = |slot: &ChannelSlot| slot.live.then_some(slot.opened.channel);
        self.with_slot(live)?.ok_or(ClientError::Disconnected)
    }

    fn with_slot<R>(&self, look: impl FnOnce(&ChannelSlot) -> R) -> Result<R, ClientError> {
        let state = self.inner.connection.lock();
        let slot = state.ledger.channels.get(&self.inner.key);
        slot.map(look).ok_or(ClientError::Disconnected)
    }
}

impl Channel {
    pub(crate) fn call(&self, request: &Request) -> Result<Reply, ClientError> {
        Ok(self.inner.connection.call(request, Tag::Wait)?.0)
    }

    pub(crate) fn done(&self, request: &Request, name: &'static str) -> Result<(), ClientError> {
        self.inner.done(request, name)
    }

    /// The channel is another one now: what to ask for to get it again, and what there is.
    /// Takes in what every IDR says from now on.
    pub(crate) fn remember_idr_data(&self, data: Option<UserData>) {
        let mut state = self.inner.connection.lock();
        if let Some(slot) = slot_of(&mut state, self.inner.key) {
            slot.idr_data = data;
        }
    }

    pub(crate) fn remember(&self, change: impl FnOnce(&mut OpenChannel, &mut ChannelOpened)) {
        if let Some(slot) = slot_of(&mut self.inner.connection.lock(), self.inner.key) {
            change(&mut slot.request, &mut slot.opened);
        }
    }
}

impl Inner {
    fn done(&self, request: &Request, name: &'static str) -> Result<(), ClientError> {
        match self.connection.call(request, Tag::Wait)?.0 {
            Reply::Done => Ok(()),
            _ => Err(mismatch(name)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let slot = self.connection.lock().ledger.channels.remove(&self.key);
        if let Some(slot) = slot
            && slot.live
        {
            let channel = slot.opened.channel;
            self.connection
                .mention(&Request::CloseChannel(CloseChannel { channel }));
        }
    }
}

/// Opens a slot's channel on the connection as it is now.
pub(crate) fn open_on_wire(connection: &Connection, key: Key) -> Result<(), ClientError> {
    let slot = connection
        .lock()
        .ledger
        .channels
        .get(&key)
        .map(|slot| slot.request.clone());
    let request = slot.ok_or(ClientError::Disconnected)?;
    let (reply, _) = connection.call(&Request::OpenChannel(request), Tag::Open(key))?;
    let Reply::ChannelOpened(ChannelOpened { channel, .. }) = reply else {
        return Err(mismatch("OpenChannel"));
    };
    let idr_data = slot_of(&mut connection.lock(), key).and_then(|slot| slot.idr_data.clone());
    let Some(data) = idr_data else { return Ok(()) };
    match connection
        .call(&Request::UserData(UserData { channel, ..data }), Tag::Wait)?
        .0
    {
        Reply::Done => Ok(()),
        _ => Err(mismatch("UserData")),
    }
}

fn slot_of(state: &mut State, key: Key) -> Option<&mut ChannelSlot> {
    state.ledger.channels.get_mut(&key)
}
