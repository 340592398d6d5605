//! What the threads of a process share of one connection: who waits for what, and what has arrived.
//!
//! Nothing here waits. A step writes what can be written, reads what is there and puts it where its taker finds it.

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
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

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
pub(crate) struct Answer {
    pub(crate) generation: u32,
    pub(crate) id: RequestId,
    /// `None`: the connection broke first.
    pub(crate) reply: Option<Reply>,
    pub(crate) descriptor: Option<OwnedFd>,
    /// A source whose submit was not accepted.
    pub(crate) source: Option<Source>,
}

/// Why the connection is unusable.
#[derive(Debug)]
pub(crate) enum Breach {
    Disconnected,
    Protocol(ProtocolError),
    Io(io::ErrorKind),
}

impl Breach {
    pub(crate) fn error(&self) -> ClientError {
        match self {
            Self::Disconnected => ClientError::Disconnected,
            Self::Protocol(error) => ClientError::Protocol(error.clone()),
            Self::Io(kind) => ClientError::Io((*kind).into()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) transport: Arc<Transport>,
    pub(crate) session: Session<OwnedFd, Tag>,
    pub(crate) ledger: Ledger,
    pub(crate) answers: Vec<Answer>,
    room: ControlRoom,
    /// A thread waits at the socket.
    pub(crate) reading: bool,
    pub(crate) broken: Option<Breach>,
    pub(crate) readiness: Option<Readiness>,
    /// Counts connections: a wait that began on another one is over.
    pub(crate) generation: u32,
}

impl State {
    /// Of a transport that said Hello.
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport: Arc::new(transport),
            session: Session::new(),
            ledger: Ledger::default(),
            answers: Vec::new(),
            room: ControlRoom::new(),
            reading: false,
            broken: None,
            readiness: None,
            generation: 0,
        }
    }

    pub(crate) fn flush(&mut self) {
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
    pub(crate) fn release_copied(&mut self) {
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
    pub(crate) fn turn(&mut self) -> bool {
        let moved = self.step();
        if moved {
            self.update_readiness();
        }
        moved
    }

    /// Tells those who wait with their own `poll` what there is for them.
    pub(crate) fn update_readiness(&mut self) {
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
    pub(crate) fn abandon(&mut self, id: RequestId) {
        self.answers.retain(|answer| answer.id != id);
        if let Some(Tag::Submit(submission)) = self.session.retag(id, Tag::Discard) {
            let unwaited = Submission {
                waited_for: false,
                ..submission
            };
            self.session.retag(id, Tag::Submit(unwaited));
        }
    }

    pub(crate) fn break_off(&mut self, breach: Breach) {
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
    pub(crate) fn into_source(self) -> Option<Source> {
        match self {
            Self::Submit(submission) => Some(submission.source),
            _ => None,
        }
    }
}
