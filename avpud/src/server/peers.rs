//! All connections: accepting, looking up, deadlines of those that have not said Hello or are about to end.
//!
//! A connection keeps its slot from accepting to closing, so a session's key is unique while anything of it is left.

use super::connection::{Connection, Fault};
use crate::core::event::{Peer, SessionKey};
use crate::core::time::Micros;
use crate::limits::{
    ACCEPTS_PER_TURN_MAX, CONNECTIONS_MAX, FAREWELL_TIMEOUT_US, GREETING_TIMEOUT_US,
};
use avpu_proto::reply::Reply;
use avpu_proto::version::{DaemonHello, Reason};
use mio::net::UnixListener;
use mio::{Registry, Token};
use std::io::{self, Write};

/// Token of the first connection; those before it are the loop's own.
const FIRST_TOKEN: usize = 16;

/// A connection and what the core knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) connection: Connection,
    /// The core was told that it opened, and not yet that it closed.
    pub(super) in_core: bool,
    /// Its Hello was answered.
    pub(super) greeted: bool,
    /// It can be told nothing any more.
    dead: bool,
    /// When it ends unless it goes on before.
    deadline: Option<Micros>,
}

/// The connections.
#[derive(Debug)]
pub(super) struct Peers {
    /// As long as the last one in use requires: every turn of the loop looks at all of them.
    slots: Vec<Option<Entry>>,
    quota: Quota,
    /// There may be connections that wait to be accepted.
    accept_ready: bool,
}

/// How many connections one user may have: who keeps others out, keeps out itself first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// Of a user that is not exempt.
    pub(super) connections_max: usize,
    /// The super-user and the daemon's own.
    pub(super) exempt_uids: [u32; 2],
}

/// What came of accepting.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A new connection.
    One,
    /// A new connection in the place of one that had not said Hello yet.
    InPlaceOf(Peer),
    /// One that was told why it is closed at once.
    TurnedBack(Peer, Reason),
    /// One that could not be made.
    Failed(io::Error),
    /// Nobody waits.
    Nobody,
}

impl Peers {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            slots: Vec::with_capacity(CONNECTIONS_MAX),
            quota,
            accept_ready: true,
        }
    }

    /// Whose readiness a token tells of.
    pub(super) fn key(token: Token) -> Option<SessionKey> {
        let index = token.0.checked_sub(FIRST_TOKEN)?;
        u32::try_from(index).ok().map(SessionKey::new)
    }

    pub(super) fn get(&mut self, key: SessionKey) -> Option<&mut Entry> {
        self.slots.get_mut(index(key))?.as_mut()
    }

    /// What a session's readiness is told by.
    pub(super) fn token(key: SessionKey) -> Token {
        Token(FIRST_TOKEN + index(key))
    }

    /// Keys of all connections.
    pub(super) fn keys(&self) -> impl Iterator<Item = SessionKey> + use<> {
        (0..self.slots()).map(SessionKey::new)
    }

    /// One more than the largest number of a connection.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The kernel tells that somebody waits to be accepted.
    pub(super) fn note_waiting(&mut self) {
        self.accept_ready = true;
    }

    /// How many may be accepted in this turn.
    pub(super) fn accepts_left(&self) -> usize {
        if self.accept_ready {
            ACCEPTS_PER_TURN_MAX
        } else {
            0
        }
    }

    /// Accepts one connection. Where no slot is left, the one that has been silent for longest since it connected gives
    /// way; where all have spoken the new one is closed at once, so that it does not wait in vain.
    pub(super) fn accept(
        &mut self,
        listener: &UnixListener,
        registry: &Registry,
        now: Micros,
    ) -> Accepted {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.accept_ready = false;
                return Accepted::Nobody;
            }
            Err(error) => {
                // Out of descriptors, or a peer that left while it waited: the next event tries again.
                self.accept_ready = error.kind() == io::ErrorKind::ConnectionAborted;
                return Accepted::Failed(error);
            }
        };
        let free = self.slots.iter().position(Option::is_none);
        let free = free.unwrap_or(self.slots.len());
        let silent = (free >= CONNECTIONS_MAX).then(|| self.longest_silent());
        let mut connection = match Connection::new(stream) {
            Ok(connection) => connection,
            Err(error) => return Accepted::Failed(error),
        };
        let free = match silent {
            Some(Some(index)) => index,
            Some(None) => return turn_back(&connection, Reason::TooManyClients),
            None => free,
        };
        if self.exceeds_quota(connection.peer().uid) {
            let max = u16::try_from(self.quota.connections_max).unwrap_or(u16::MAX);
            return turn_back(&connection, Reason::UserQuota { max });
        }
        let evicted = silent.and_then(|_| self.evict(free));
        let taken = connection
            .register(registry, Token(FIRST_TOKEN + free))
            .map(|()| connection);
        match taken {
            Ok(connection) => {
                if free == self.slots.len() {
                    self.slots.push(None);
                }
                self.slots[free] = Some(Entry {
                    connection,
                    in_core: false,
                    greeted: false,
                    dead: false,
                    deadline: Some(now.plus_us(GREETING_TIMEOUT_US)),
                });
                evicted.map_or(Accepted::One, Accepted::InPlaceOf)
            }
            Err(error) => Accepted::Failed(error),
        }
    }

    /// The slot of the connection that has been silent for longest of those that have not said Hello.
    fn longest_silent(&self) -> Option<usize> {
        let slots = self.slots.iter().enumerate();
        let silent = slots.filter_map(|(index, slot)| {
            let entry = slot.as_ref().filter(|entry| !entry.greeted)?;
            Some((entry.deadline?, index))
        });
        silent.min().map(|(_, index)| index)
    }

    /// Empties a slot whose connection the core knows nothing of.
    fn evict(&mut self, index: usize) -> Option<Peer> {
        let entry = self.slots.get_mut(index)?.take()?;
        assert!(!entry.in_core, "who has not said Hello has no session");
        let hello = DaemonHello::refused(Reason::TooManyClients).encode();
        // As far as it goes: the peer sees the end in any case.
        let _ = entry.connection.stream().write(&hello);
        Some(entry.connection.peer())
    }

    fn exceeds_quota(&self, uid: u32) -> bool {
        if self.quota.exempt_uids.contains(&uid) {
            return false;
        }
        let entries = self.slots.iter().flatten();
        let same = entries.filter(|entry| entry.connection.peer().uid == uid);
        same.count() >= self.quota.connections_max
    }

    /// Closes a connection that is over for good.
    pub(super) fn remove_if_over(&mut self, key: SessionKey) {
        if let Some(slot) = self.slots.get_mut(index(key))
            && slot.as_ref().is_some_and(|entry| entry.dead)
        {
            *slot = None;
            while self.slots.pop_if(|slot| slot.is_none()).is_some() {}
            // Somebody may have waited for what this connection held.
            self.accept_ready = true;
        }
    }

    /// When the next connection runs out of time.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let entries = self.slots.iter().flatten();
        entries.filter_map(|entry| entry.deadline).min()
    }

    /// Some connection has something to do at once.
    pub(super) fn has_work(&self) -> bool {
        let mut entries = self.slots.iter().flatten();
        self.accept_ready || entries.any(|entry| entry.connection.has_work())
    }

    /// Some connection has yet to read what it was told last.
    pub(super) fn any_leaving(&self) -> bool {
        let mut entries = self.slots.iter().flatten();
        entries.any(|entry| entry.connection.is_leaving())
    }
}

/// What came of telling a peer what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The connection goes on.
    GoesOn,
    /// It is over.
    Over,
}

impl Entry {
    /// Its Hello was answered with a welcome.
    pub(super) fn welcome(&mut self, hello: DaemonHello) {
        self.connection.greet(hello);
        self.greeted = true;
        self.deadline = None;
    }

    /// Its Hello is answered with a refusal, unless it was answered before; then it ends.
    pub(super) fn turn_away(&mut self, hello: DaemonHello, now: Micros) {
        if !self.greeted {
            self.greeted = true;
            self.connection.greet(hello);
        }
        self.say_farewell(now);
    }

    /// It is told what is wrong where it can still be told, then it ends.
    pub(super) fn refuse(&mut self, fault: &Fault, now: Micros) {
        match fault {
            // It said its last word and may still read the answers to those before.
            Fault::Hangup => self.say_farewell(now),
            Fault::Io(_) | Fault::SlowConsumer => self.dead = true,
            Fault::Hello(_) | Fault::Silence => {
                self.turn_away(DaemonHello::refused(Reason::NotHello), now);
            }
            Fault::Frame(_)
            | Fault::Kind(_)
            | Fault::Body(_)
            | Fault::Descriptors(_)
            | Fault::NoDescriptor => {
                if self.greeted {
                    let refusal = Reply::Refused(fault.refusal());
                    self.dead |= self.connection.reply(0, &refusal, None).is_err();
                    self.say_farewell(now);
                } else {
                    self.turn_away(DaemonHello::refused(Reason::NotHello), now);
                }
            }
        }
    }

    /// It takes part: it is neither over nor about to end.
    pub(super) fn is_open(&self) -> bool {
        !self.dead && !self.connection.is_leaving()
    }

    /// Writes what waits for it.
    pub(super) fn say(&mut self, now: Micros) -> Result<Said, Fault> {
        if self.dead {
            return Ok(Said::Over);
        }
        let overdue = self.deadline.is_some_and(|deadline| deadline <= now);
        if overdue && self.connection.is_greeting() {
            return Err(Fault::Silence);
        }
        let done = self.connection.flush()?;
        if self.connection.is_leaving() && (done || overdue) {
            self.dead = true;
            return Ok(Said::Over);
        }
        Ok(Said::GoesOn)
    }

    fn say_farewell(&mut self, now: Micros) {
        self.connection.say_farewell();
        self.deadline = Some(now.plus_us(FAREWELL_TIMEOUT_US));
    }
}

/// Closes a connection that was only just made, and says why.
fn turn_back(connection: &Connection, reason: Reason) -> Accepted {
    // As far as it goes: a fresh socket has room, and the peer sees the end in any case.
    let _ = connection
        .stream()
        .write(&DaemonHello::refused(reason).encode());
    Accepted::TurnedBack(connection.peer(), reason)
}

fn index(key: SessionKey) -> usize {
    usize::try_from(key.value()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use mio::Poll;
    use std::io::Read;
    use std::os::unix::net;

    const NOBODY: u32 = u32::MAX;

    struct Door {
        folder: Scratch,
        listener: UnixListener,
        poll: Poll,
        peers: Peers,
    }

    impl Door {
        fn new(connections_max: usize, exempt_uids: [u32; 2]) -> Self {
            let folder = Scratch::new();
            Self {
                listener: UnixListener::bind(folder.path().join("door")).expect("a free name"),
                folder,
                poll: Poll::new().expect("an event queue"),
                peers: Peers::new(Quota {
                    connections_max,
                    exempt_uids,
                }),
            }
        }

        fn knock(&mut self, at_us: u64) -> (net::UnixStream, Accepted) {
            let stream =
                net::UnixStream::connect(self.folder.path().join("door")).expect("it listens");
            let registry = self.poll.registry();
            let now = Micros::new(at_us);
            let accepted = self.peers.accept(&self.listener, registry, now);
            (stream, accepted)
        }
    }

    fn is_turned_back(mut stream: net::UnixStream, reason: Reason) -> bool {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it was closed");
        bytes == DaemonHello::refused(reason).encode()
    }

    #[test]
    fn a_user_has_as_many_connections_as_its_quota_and_gets_more_when_some_end() {
        let mut door = Door::new(2, [NOBODY; 2]);
        let (_first, accepted) = door.knock(1);
        assert!(matches!(accepted, Accepted::One));
        let (_second, accepted) = door.knock(2);
        assert!(matches!(accepted, Accepted::One));
        let (third, accepted) = door.knock(3);
        let reason = Reason::UserQuota { max: 2 };
        let own = Peer {
            pid: std::process::id(),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        };
        assert!(
            matches!(accepted, Accepted::TurnedBack(who, why) if (who, why) == (own, reason)),
            "{accepted:?}"
        );
        assert!(is_turned_back(third, reason));
        door.peers.evict(0);
        assert!(matches!(door.knock(4).1, Accepted::One));
    }

    #[test]
    fn who_is_exempt_has_no_quota() {
        let own_uid = nix::unistd::geteuid().as_raw();
        let mut door = Door::new(0, [NOBODY, own_uid]);
        assert!(matches!(door.knock(1).1, Accepted::One));
    }

    #[test]
    fn where_all_slots_are_taken_the_longest_silent_gives_way_and_who_has_spoken_stays() {
        let full = Reason::TooManyClients;
        let mut door = Door::new(CONNECTIONS_MAX, [0, NOBODY]);
        let mut streams: Vec<_> = (0_u64..)
            .take(CONNECTIONS_MAX)
            .map(|at| door.knock(at).0)
            .collect();
        for slot in door.peers.slots.iter_mut().flatten().take(2) {
            slot.greeted = true;
        }
        let (_late, accepted) = door.knock(1_000);
        assert!(matches!(accepted, Accepted::InPlaceOf(_)), "{accepted:?}");
        assert!(
            is_turned_back(streams.remove(2), full),
            "the third knocked first"
        );
        let (_later, accepted) = door.knock(1_001);
        assert!(matches!(accepted, Accepted::InPlaceOf(_)), "{accepted:?}");
        assert!(is_turned_back(streams.remove(2), full), "then the fourth");
        for slot in door.peers.slots.iter_mut().flatten() {
            slot.greeted = true;
        }
        let (last, accepted) = door.knock(1_002);
        assert!(
            matches!(accepted, Accepted::TurnedBack(_, why) if why == full),
            "{accepted:?}"
        );
        assert!(is_turned_back(last, full));
    }
}
