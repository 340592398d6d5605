//! One connection shared by the threads of a process.
//!
//! Any thread may call anything at any time. The thread that waits first reads for all: it waits at the socket
//! without the lock, puts what arrives where its taker finds it, and wakes the others, which wait at a condition
//! variable; when it has what it wants another takes over. So a request of one thread never waits for a packet
//! that another thread waits for, and when the daemon goes away all learn it at once.

use crate::error::{ClientError, ProtocolError};
use crate::ledger::{InFlight, Key, Ledger, Outcome, Released, Source};
use crate::readiness::Readiness;
use crate::session::{Incoming, Session};
use crate::sys::ControlRoom;
use crate::transport::{Transfer, Transport};
use avpu_proto::event::Event;
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

/// What is done with the reply to a request.
#[derive(Debug)]
pub(crate) enum Tag {
    /// Somebody waits for it.
    Wait,
    /// Nobody cares.
    Discard,
    /// Opens the channel of this slot; somebody waits.
    Open(Key),
    /// Opens the reader of this slot; somebody waits.
    Subscribe(Key),
    /// A frame; somebody waits or not.
    Submit(Submission),
}

/// A frame whose submit is not answered.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) channel: Key,
    pub(crate) source: Source,
    pub(crate) cookie: u64,
    pub(crate) waited_for: bool,
}

/// A reply that somebody waits for.
#[derive(Debug)]
struct Answer {
    generation: u32,
    id: RequestId,
    /// `None`: the connection broke first.
    reply: Option<Reply>,
    descriptor: Option<OwnedFd>,
    /// A source whose submit was not accepted.
    source: Option<Source>,
}

/// Why the connection is unusable.
#[derive(Debug)]
enum Breach {
    Disconnected,
    Protocol(ProtocolError),
    Io(io::ErrorKind),
}

impl Breach {
    fn error(&self) -> ClientError {
        match self {
            Self::Disconnected => ClientError::Disconnected,
            Self::Protocol(error) => ClientError::Protocol(error.clone()),
            Self::Io(kind) => ClientError::Io((*kind).into()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    transport: Arc<Transport>,
    session: Session<OwnedFd, Tag>,
    pub(crate) ledger: Ledger,
    answers: Vec<Answer>,
    room: ControlRoom,
    /// A thread waits at the socket.
    reading: bool,
    broken: Option<Breach>,
    readiness: Option<Readiness>,
    /// Counts connections: a wait that began on another one is over.
    generation: u32,
}

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
            state: Mutex::new(State {
                transport: Arc::new(transport),
                session: Session::new(),
                ledger: Ledger::default(),
                answers: Vec::new(),
                room: ControlRoom::new(),
                reading: false,
                broken: None,
                readiness: None,
                generation: 0,
            }),
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

impl State {
    fn flush(&mut self) {
        let transport = Arc::clone(&self.transport);
        match transport.flush(&mut self.session) {
            Ok(Transfer::Idle) => {}
            // What the daemon said before it closed is read first; the end of the stream comes behind it.
            Ok(Transfer::Closed) => self.session.sent(usize::MAX),
            Err(error) => self.break_off(Breach::Io(error.kind())),
        }
    }

    /// Lets what readers have copied ride back with a frame: a message of its own would wake the daemon once more for
    /// each picture.
    fn release_copied(&mut self) {
        for slot in self.ledger.readers.values_mut() {
            if self.session.has_room()
                && let Some(release) = slot.take_release()
            {
                // Refused only for a subscription that is over, and then there is nothing to give back.
                let _ = self
                    .session
                    .request(&Request::ReleasePackets(release), Tag::Discard);
            }
        }
    }

    /// One step without waiting: write, read, put what arrived where it belongs. `false`: nothing to do now.
    fn turn(&mut self) -> bool {
        let moved = self.step();
        if moved {
            self.update_readiness();
        }
        moved
    }

    /// Tells those who wait with their own `poll` what there is for them.
    fn update_readiness(&mut self) {
        if let Some(readiness) = &mut self.readiness {
            let waits = self.ledger.waits_for_poller();
            let writes = !self.session.output().is_empty();
            if let Err(error) = readiness.update(&self.transport, waits, writes) {
                self.break_off(Breach::Io(error.kind()));
            }
        }
    }

    fn step(&mut self) -> bool {
        if self.broken.is_some() || self.ledger.is_full() {
            return false;
        }
        self.flush();
        if self.broken.is_some() {
            return true;
        }
        // First what a full ledger left over: then there is room to read into.
        let mut moved = match self.dispatch() {
            Ok(moved) => moved,
            Err(error) => {
                self.break_off(Breach::Protocol(error));
                return true;
            }
        };
        if self.ledger.is_full() {
            return moved;
        }
        let transport = Arc::clone(&self.transport);
        let received = transport.receive(&mut self.session, &mut self.room);
        match self.dispatch() {
            Ok(more) => moved |= more,
            Err(error) => {
                self.break_off(Breach::Protocol(error));
                return true;
            }
        }
        match received {
            Ok(None) => true,
            Ok(Some(Transfer::Idle)) => moved,
            Ok(Some(Transfer::Closed)) => {
                self.break_off(Breach::Disconnected);
                true
            }
            Err(error) => {
                self.break_off(Breach::Io(error.kind()));
                true
            }
        }
    }

    /// Puts what arrived where its taker finds it; answers whether there was anything.
    fn dispatch(&mut self) -> Result<bool, ProtocolError> {
        let mut moved = false;
        while !self.ledger.is_full() {
            match self.session.poll_incoming()? {
                None => break,
                Some(Incoming::Event(event)) => self.ledger.handle_event(event),
                Some(Incoming::Reply {
                    id,
                    tag,
                    reply,
                    descriptor,
                }) => self.answer(id, tag, reply, descriptor),
            }
            moved = true;
        }
        Ok(moved)
    }

    fn answer(&mut self, id: RequestId, tag: Tag, reply: Reply, descriptor: Option<OwnedFd>) {
        let source = match tag {
            Tag::Discard => return,
            Tag::Wait => None,
            Tag::Open(key) => {
                if let (Reply::ChannelOpened(opened), Some(slot)) =
                    (&reply, self.ledger.channels.get_mut(&key))
                {
                    slot.opened = opened.clone();
                    slot.live = true;
                }
                None
            }
            Tag::Subscribe(key) => {
                if let (Reply::Subscribed(subscribed), Some(slot)) =
                    (&reply, self.ledger.readers.get_mut(&key))
                {
                    slot.subscribed = Some(subscribed.clone());
                }
                None
            }
            Tag::Submit(submission) => {
                let waited_for = submission.waited_for;
                let source = self.submitted(submission, &reply);
                if !waited_for {
                    return;
                }
                source
            }
        };
        self.answers.push(Answer {
            generation: self.generation,
            id,
            reply: Some(reply),
            descriptor,
            source,
        });
    }

    /// Books a frame that was accepted or refused; answers the source of one that somebody waits for.
    fn submitted(&mut self, submission: Submission, reply: &Reply) -> Option<Source> {
        let Submission {
            channel,
            source,
            cookie,
            waited_for,
        } = submission;
        let outcome = match reply {
            Reply::Submitted(submitted) => {
                if let Some(slot) = self.ledger.channels.get_mut(&channel) {
                    slot.in_flight.push(InFlight {
                        frame: submitted.frame,
                        source,
                        cookie,
                    });
                }
                return None;
            }
            _ if waited_for => return Some(source),
            Reply::Refused(refusal) => Outcome::Refused(refusal.clone()),
            _ => Outcome::Lost,
        };
        let released = Released {
            source,
            cookie,
            outcome,
        };
        self.ledger.give_back(channel, released);
        None
    }

    /// Nobody waits for this reply any more.
    fn abandon(&mut self, id: RequestId) {
        self.answers.retain(|answer| answer.id != id);
        if let Some(Tag::Submit(submission)) = self.session.retag(id, Tag::Discard) {
            let unwaited = Submission {
                waited_for: false,
                ..submission
            };
            self.session.retag(id, Tag::Submit(unwaited));
        }
    }

    fn break_off(&mut self, breach: Breach) {
        if self.broken.is_some() {
            return;
        }
        self.broken = Some(breach);
        let session = std::mem::take(&mut self.session);
        for (id, tag) in session.into_unanswered() {
            match tag {
                Tag::Submit(submission) if submission.waited_for => self.answers.push(Answer {
                    generation: self.generation,
                    id,
                    reply: None,
                    descriptor: None,
                    source: Some(submission.source),
                }),
                Tag::Submit(submission) => {
                    let released = Released {
                        source: submission.source,
                        cookie: submission.cookie,
                        outcome: Outcome::Lost,
                    };
                    self.ledger.give_back(submission.channel, released);
                }
                Tag::Wait | Tag::Discard | Tag::Open(_) | Tag::Subscribe(_) => {}
            }
        }
        self.ledger.handle_disconnect();
    }

    /// The oldest event that no channel or reader takes.
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        self.ledger.events.pop_front()
    }
}

impl Tag {
    fn into_source(self) -> Option<Source> {
        match self {
            Self::Submit(submission) => Some(submission.source),
            _ => None,
        }
    }
}
