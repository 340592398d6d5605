//! One connection shared by the threads of a process.
//!
//! Any thread may call anything at any time. The thread that waits first reads for all: it waits at the socket
//! without the lock, puts what arrives where its taker finds it, and wakes the others, which wait at a condition
//! variable; when it has what it wants another takes over. So a request of one thread never waits for a packet
//! that another thread waits for, and when the daemon goes away all learn it at once.

use crate::error::ClientError;
use crate::ledger::Source;
use crate::readiness::Readiness;
use crate::session::Session;
use crate::state::{Answer, Breach, State, Tag};
use crate::transport::Transport;
use avpu_proto::frame::RequestId;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use nix::poll::PollFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a reply may take. The daemon answers at once; one that is stopped or lost never does.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The shared connection.
#[derive(Debug)]
pub(crate) struct Connection {
    state: Mutex<State>,
    arrived: Condvar,
}

/// The deadline of a call that may take `timeout`; `None` is for ever.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Says Hello within the time that a reply may take.
pub(crate) fn greet(transport: &Transport) -> Result<(), ClientError> {
    transport.greet(Instant::now() + REPLY_TIMEOUT).map(|_| ())
}

impl Connection {
    /// Takes a transport that said Hello.
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            state: Mutex::new(State::new(transport)),
            arrived: Condvar::new(),
        }
    }

    /// The state; not to be held while waiting or copying pictures.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A descriptor for the caller's own `poll`.
    pub(crate) fn readiness(&self) -> io::Result<OwnedFd> {
        let mut state = self.lock();
        if state.readiness.is_none() {
            state.readiness = Some(Readiness::new(&state.transport)?);
        }
        state.update_readiness();
        match &state.readiness {
            Some(readiness) => readiness.descriptor(),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn call(
        &self,
        request: &Request,
        tag: Tag,
    ) -> Result<(Reply, Option<OwnedFd>), ClientError> {
        match self.ask(request, tag) {
            Ok(answered) => Ok(answered),
            Err((error, _)) => Err(error),
        }
    }

    /// Sends a request with a descriptor and waits for its reply.
    pub(crate) fn call_with(
        &self,
        request: &Request,
        rider: OwnedFd,
    ) -> Result<Reply, ClientError> {
        match self.ask_with(request, Some(rider), Tag::Wait) {
            Ok((reply, _)) => Ok(reply),
            Err((error, _)) => Err(error),
        }
    }

    /// As `call`; gives the source of a submit back with the error.
    pub(crate) fn ask(
        &self,
        request: &Request,
        tag: Tag,
    ) -> Result<(Reply, Option<OwnedFd>), (ClientError, Option<Source>)> {
        self.ask_with(request, None, tag)
    }

    fn ask_with(
        &self,
        request: &Request,
        rider: Option<OwnedFd>,
        tag: Tag,
    ) -> Result<(Reply, Option<OwnedFd>), (ClientError, Option<Source>)> {
        let deadline = deadline(Some(REPLY_TIMEOUT));
        let (id, generation) = self.send(request, rider, tag, deadline)?;
        let answered = self.wait_in(generation, deadline, |state| {
            let ours = |answer: &Answer| (answer.generation, answer.id) == (generation, id);
            let at = state.answers.iter().position(ours)?;
            Some(state.answers.swap_remove(at))
        });
        match answered {
            Ok(answer) => match answer.reply {
                Some(Reply::Refused(refusal)) => {
                    Err((ClientError::Refused(refusal), answer.source))
                }
                Some(reply) => Ok((reply, answer.descriptor)),
                None => Err((ClientError::Disconnected, answer.source)),
            },
            Err(error) => {
                let mut state = self.lock();
                if state.generation == generation {
                    state.abandon(id);
                }
                Err((error, None))
            }
        }
    }

    /// Sends a request without waiting for its reply.
    pub(crate) fn post(
        &self,
        request: &Request,
        tag: Tag,
    ) -> Result<(), (ClientError, Option<Source>)> {
        self.send(request, None, tag, deadline(Some(REPLY_TIMEOUT)))
            .map(|_| ())
    }

    /// Sends a request that may be forgotten, without waiting for anything: for `drop`.
    pub(crate) fn mention(&self, request: &Request) {
        let mut state = self.lock();
        if state.broken.is_none() && state.session.has_room() {
            // A request that does not encode or a socket that is full: the daemon takes it back with the rest
            // when the connection ends.
            let _ = state.session.request(request, Tag::Discard);
            state.flush();
            state.update_readiness();
        }
    }

    fn send(
        &self,
        request: &Request,
        rider: Option<OwnedFd>,
        tag: Tag,
        deadline: Option<Instant>,
    ) -> Result<(RequestId, u32), (ClientError, Option<Source>)> {
        let generation = self.lock().generation;
        let room = self.wait_in(generation, deadline, |state| {
            (state.broken.is_none() && state.session.has_room()).then_some(())
        });
        if let Err(error) = room {
            return Err((error, tag.into_source()));
        }
        let mut state = self.lock();
        if let Some(breach) = &state.broken {
            return Err((breach.error(), tag.into_source()));
        }
        if state.generation != generation || !state.session.has_room() {
            return Err((ClientError::Disconnected, tag.into_source()));
        }
        let is_submit = matches!(tag, Tag::Submit(_));
        let id = match state.session.request_with(request, rider, tag) {
            Ok(id) => id,
            Err((error, tag)) => return Err((error.into(), tag.into_source())),
        };
        if is_submit {
            state.release_copied();
        }
        loop {
            // A socket that is full does not keep this thread from taking in what makes the daemon stop writing.
            state.flush();
            if state.session.output().is_empty() || state.broken.is_some() {
                break;
            }
            let flags = if state.reading {
                PollFlags::POLLOUT
            } else {
                PollFlags::POLLOUT | PollFlags::POLLIN
            };
            let transport = Arc::clone(&state.transport);
            drop(state);
            let waited = transport.wait(flags, Some(REPLY_TIMEOUT));
            state = self.lock();
            if state.generation != generation {
                break;
            }
            if !matches!(waited, Ok(true)) {
                state.break_off(Breach::Disconnected);
            }
            if !state.reading && state.turn() {
                self.arrived.notify_all();
            }
        }
        Ok((id, generation))
    }

    /// Waits until `ready` has an answer.
    pub(crate) fn wait<R>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, ClientError> {
        let generation = self.lock().generation;
        self.wait_in(generation, deadline, ready)
    }

    fn wait_in<R>(
        &self,
        generation: u32,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, ClientError> {
        let mut state = self.lock();
        let mut late = false;
        loop {
            if let Some(result) = ready(&mut state) {
                state.update_readiness();
                return Ok(result);
            }
            if state.generation != generation {
                return Err(ClientError::Disconnected);
            }
            if let Some(breach) = &state.broken {
                return Err(breach.error());
            }
            if !state.reading && state.turn() {
                self.arrived.notify_all();
                continue;
            }
            if late {
                return Err(ClientError::Timeout);
            }
            if state.ledger.is_full() {
                return Err(ClientError::Backlog);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if state.reading {
                state = match left {
                    None => self
                        .arrived
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(left) => {
                        self.arrived
                            .wait_timeout(state, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
                late = deadline.is_some_and(|at| Instant::now() >= at);
                continue;
            }
            state.reading = true;
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !state.session.output().is_empty());
            let transport = Arc::clone(&state.transport);
            drop(state);
            let waited = transport.wait(flags, left);
            state = self.lock();
            if state.generation == generation {
                state.reading = false;
                if let Err(error) = &waited {
                    state.break_off(Breach::Io(error.kind()));
                }
            }
            // Whoever waits takes over when this thread leaves.
            self.arrived.notify_all();
            late = matches!(waited, Ok(false));
        }
    }

    /// Takes in what is there, without waiting, and answers what `take` finds. An error only when it finds nothing.
    pub(crate) fn poll<R>(
        &self,
        mut take: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<Option<R>, ClientError> {
        let mut state = self.lock();
        let mut taken = take(&mut state);
        while taken.is_none() && !state.reading && state.turn() {
            self.arrived.notify_all();
            taken = take(&mut state);
        }
        state.update_readiness();
        match (taken, &state.broken) {
            (None, Some(breach)) => Err(breach.error()),
            (taken, _) => Ok(taken),
        }
    }

    /// Replaces the connection. Calls in progress on the old one end as disconnected.
    pub(crate) fn replace(&self, transport: Transport) {
        let mut state = self.lock();
        state.break_off(Breach::Disconnected);
        // Wakes a thread that still waits at the old one.
        state.transport.close();
        state.generation = state.generation.wrapping_add(1);
        let new = Arc::new(transport);
        let old = std::mem::replace(&mut state.transport, Arc::clone(&new));
        state.session = Session::new();
        // A source whose submit was broken off is still fetched by the thread that waited for it.
        state.answers.retain(|answer| answer.source.is_some());
        state.reading = false;
        state.broken = None;
        state.ledger.handle_restart();
        if let Some(readiness) = &mut state.readiness
            && let Err(error) = readiness.replace(&old, &new)
        {
            state.break_off(Breach::Io(error.kind()));
        }
        state.update_readiness();
        drop(state);
        self.arrived.notify_all();
    }
}
