//! Why a request is refused, and the one map from that to the wire's error codes.

use crate::core::event::Peer;
use crate::mem::addr::{Alignment, ByteLen, PhysAddr};
use avpu_proto::error::{self, ErrorCode};
use avpu_proto::limits::SENTENCE_LEN_MAX;
use avpu_proto::types::{ChannelId, ChannelState, Role};
use core::fmt::{self, Write};

/// A refused request. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A request of a later version.
    UnknownRequest,
    /// Known by name, not supported here. The sentence says what.
    Unsupported(String),
    /// A parameter is outside its range. The sentence says which.
    Invalid(String),
    /// No channel has this id.
    NoSuchChannel(ChannelId),
    /// No channel has this name.
    NoSuchName(String),
    /// Another connection's channel.
    NotOwner(ChannelId),
    /// The name is taken.
    NameTaken { name: String, pid: u32 },
    /// A maximum is reached.
    Limit { what: &'static str, max: u32 },
    /// A channel has as many readers as it may, or a user as many of them.
    Readers { max: u16, holders: ReadersOf },
    /// The encoder has not enough time left in a second.
    NoCapacity { needed_us: u64, free_us: u64 },
    /// A ticket might be broken.
    NoSchedule {
        holder: TicketHolder,
        ticket_us: u32,
    },
    /// One of these for want of room, with what would fit and who has it.
    Advised(Box<Self>, String),
    /// The reserved memory has no piece large enough.
    NoMemory {
        wanted: ByteLen,
        largest_free: ByteLen,
    },
    /// The channel's queue is full.
    QueueFull { max: u16 },
    /// The connection has as many frames under way as it may.
    NoCredit { max: u16 },
    /// The channel does not take this in its state.
    WrongState {
        channel: ChannelId,
        /// What it would have to be.
        expected: &'static str,
        state: ChannelState,
    },
    /// Address zero, or one that is no multiple of the alignment.
    Unaligned {
        address: PhysAddr,
        alignment: Alignment,
    },
    /// The address lies in nothing that the client may use.
    Foreign { address: PhysAddr },
    /// The picture or region does not end where it may.
    OutOfBounds { address: PhysAddr, len: ByteLen },
    /// The range overlaps memory of the daemon, of the system or of another client.
    Overlap {
        address: PhysAddr,
        len: ByteLen,
        with: &'static str,
    },
    /// The range overlaps what another user's client left and something may still write to.
    Quarantined {
        address: PhysAddr,
        len: ByteLen,
        uid: u32,
    },
    /// Too much that clients of this user left is in quarantine.
    LeftTooMuch { uid: u32, max: u16 },
    /// The peer's role does not reach.
    NoRole {
        needed: Role,
        role: Role,
        peer: Peer,
    },
    /// The peer may not take memory from others.
    NoControl { own_uid: u32, peer: Peer },
    /// Nothing in quarantine begins there.
    NoQuarantine { address: PhysAddr },
    /// The encoder still works on that memory.
    InEncoder { address: PhysAddr },
    /// The client's leases take as much memory as they may.
    LeaseBytes { held: u64, wanted: u64, max: u64 },
    /// There is no such object.
    NoSuchObject { what: &'static str, id: u32 },
    /// The object is another connection's.
    ForeignObject { what: &'static str, id: u32 },
    /// The object is queued or in the encoder.
    InUse { what: &'static str, frames: u32 },
    /// The encoder is offline.
    EngineOffline,
    /// The daemon is stopping.
    ShuttingDown,
    /// The daemon could not do it. The sentence says why.
    Internal(String),
}

/// Who has most of a channel's readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadersOf {
    /// The bound is that of one user.
    pub(super) is_sole: bool,
    pub(super) uid: u32,
    /// Readers of that user.
    pub(super) count: usize,
    /// Its process that has most of them.
    pub(super) pid: u32,
}

/// Whose ticket it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TicketHolder {
    /// An open channel's.
    Open { name: String, pid: u32 },
    /// That of a channel which was asked about before, in the same question.
    Asked,
    /// The new channel's own.
    Itself,
}

impl Refusal {
    /// As the wire says it.
    pub(super) fn to_wire(&self) -> error::Refusal {
        let (code, transient) = self.code();
        // A client that submits faster than it may is refused again and again: one allocation has to do.
        let mut sentence = String::with_capacity(SENTENCE_LEN_MAX);
        write!(sentence, "{self}").expect("a string takes what is written");
        error::Refusal {
            code,
            sentence: bounded(sentence),
            recoverable: !matches!(self, Self::EngineOffline | Self::ShuttingDown),
            transient,
        }
    }

    /// Whether an operator should hear of it: somebody wanted what is not its own, or more than it may have. Frames
    /// beyond a queue or the credits are not that: a client that submits as fast as it can is told so all the time.
    pub(super) fn is_about_rights(&self) -> bool {
        if let Self::Advised(refusal, _) = self {
            return refusal.is_about_rights();
        }
        matches!(
            self,
            Self::NoRole { .. }
                | Self::NoControl { .. }
                | Self::NotOwner(_)
                | Self::ForeignObject { .. }
                | Self::Foreign { .. }
                | Self::OutOfBounds { .. }
                | Self::Overlap { .. }
                | Self::Quarantined { .. }
                | Self::Limit { .. }
                | Self::Readers { .. }
                | Self::LeaseBytes { .. }
                | Self::LeftTooMuch { .. }
        )
    }

    /// The stable code, and whether the same request may succeed later.
    fn code(&self) -> (ErrorCode, bool) {
        match self {
            Self::Advised(refusal, _) => refusal.code(),
            Self::UnknownRequest => (ErrorCode::UNKNOWN_REQUEST, false),
            Self::Unsupported(_) => (ErrorCode::UNSUPPORTED, false),
            Self::Invalid(_) => (ErrorCode::INVALID_PARAMETER, false),
            Self::NoSuchChannel(_) | Self::NoSuchName(_) => (ErrorCode::NO_SUCH_CHANNEL, false),
            Self::NotOwner(_) | Self::ForeignObject { .. } => (ErrorCode::NOT_OWNER, false),
            Self::NameTaken { .. } => (ErrorCode::NAME_TAKEN, true),
            Self::Limit { .. } | Self::Readers { .. } => (ErrorCode::LIMIT_REACHED, true),
            Self::NoCapacity { .. } => (ErrorCode::NO_CAPACITY, true),
            Self::NoSchedule { .. } => (ErrorCode::NO_SCHEDULE, true),
            Self::NoMemory { .. } => (ErrorCode::NO_MEMORY, true),
            Self::QueueFull { .. } => (ErrorCode::QUEUE_FULL, true),
            Self::NoCredit { .. } => (ErrorCode::NO_CREDIT, true),
            Self::WrongState { .. } => (ErrorCode::WRONG_STATE, false),
            Self::Unaligned { .. } => (ErrorCode::ADDRESS_UNALIGNED, false),
            Self::Foreign { .. } => (ErrorCode::ADDRESS_FOREIGN, false),
            Self::OutOfBounds { .. } => (ErrorCode::ADDRESS_OUT_OF_BOUNDS, false),
            Self::Overlap { .. } => (ErrorCode::ADDRESS_OVERLAP, false),
            Self::Quarantined { .. } => (ErrorCode::ADDRESS_OVERLAP, true),
            Self::LeaseBytes { .. } | Self::LeftTooMuch { .. } => (ErrorCode::LIMIT_REACHED, true),
            Self::NoQuarantine { .. } => (ErrorCode::NO_SUCH_OBJECT, false),
            Self::InEncoder { .. } => (ErrorCode::IN_USE, true),
            Self::NoRole { .. } | Self::NoControl { .. } => (ErrorCode::NOT_PERMITTED, false),
            Self::NoSuchObject { .. } => (ErrorCode::NO_SUCH_OBJECT, false),
            Self::InUse { .. } => (ErrorCode::IN_USE, true),
            Self::EngineOffline => (ErrorCode::ENGINE_OFFLINE, true),
            Self::ShuttingDown => (ErrorCode::SHUTTING_DOWN, true),
            Self::Internal(_) => (ErrorCode::INTERNAL, true),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRequest => {
                f.write_str("expected a request of version 1, found an unknown number")
            }
            Self::Unsupported(sentence) | Self::Invalid(sentence) | Self::Internal(sentence) => {
                f.write_str(sentence)
            }
            Self::NoSuchChannel(id) => write!(f, "expected an open channel, found id {id}"),
            Self::NoSuchName(name) => write!(f, "expected an open channel, found name {name:?}"),
            Self::NotOwner(id) => write!(
                f,
                "expected a channel of this connection, found channel {id} of another"
            ),
            Self::NameTaken { name, pid } => write!(
                f,
                "expected an unused name, found {name:?} held by process {pid}"
            ),
            Self::Limit { what, max } => write!(f, "expected at most {max} {what}, found one more"),
            Self::Readers {
                max,
                holders:
                    ReadersOf {
                        is_sole,
                        uid,
                        count,
                        pid,
                    },
            } => write!(
                f,
                "expected at most {max} readers of one channel{}, found one more: user {uid} has {count}, most of them process {pid}",
                if *is_sole { " by one user" } else { "" }
            ),
            Self::NoCapacity { needed_us, free_us } => write!(
                f,
                "expected at most {free_us} us of encoder time a second, found a need of {needed_us} us, {} us too much",
                needed_us.saturating_sub(*free_us)
            ),
            Self::NoSchedule {
                holder: TicketHolder::Open { name, pid },
                ticket_us,
            } => write!(
                f,
                "expected that {name:?} of process {pid} waits at most {ticket_us} us, found that with this channel it might wait longer"
            ),
            Self::NoSchedule {
                holder: TicketHolder::Asked,
                ticket_us,
            } => write!(
                f,
                "expected that one asked for before waits at most {ticket_us} us, found that with this channel it might wait longer"
            ),
            Self::NoSchedule {
                holder: TicketHolder::Itself,
                ticket_us,
            } => write!(
                f,
                "expected that this channel waits at most {ticket_us} us, found that beside the others it might wait longer"
            ),
            Self::Advised(refusal, advice) => write!(f, "{refusal}; {advice}"),
            Self::NoMemory {
                wanted,
                largest_free,
            } => write!(
                f,
                "expected at most {largest_free} of reserved memory in one piece, found a need of {wanted}, {} bytes too much",
                wanted.value().saturating_sub(largest_free.value())
            ),
            Self::QueueFull { max } => {
                write!(f, "expected at most {max} queued frames, found one more")
            }
            Self::NoCredit { max } => write!(
                f,
                "expected at most {max} frames under way on one connection, found one more"
            ),
            Self::WrongState {
                channel,
                expected,
                state,
            } => write!(
                f,
                "expected a channel that {expected}, found channel {channel} {}",
                word(*state)
            ),
            Self::Unaligned { address, alignment } => write!(
                f,
                "expected an address that is a multiple of {} and not 0, found {address}",
                alignment.value()
            ),
            Self::Foreign { address } => write!(
                f,
                "expected an address in a lease or region of this connection, found {address}"
            ),
            Self::OutOfBounds { address, len } => write!(
                f,
                "expected {len} from {address} on inside one buffer, region or window, found the end outside"
            ),
            Self::Overlap { address, len, with } => write!(
                f,
                "expected memory of its own, found {len} from {address} on to overlap {with}"
            ),
            Self::Quarantined { address, len, uid } => write!(
                f,
                "expected memory of its own, found {len} from {address} on to overlap what a client of user {uid} left in quarantine"
            ),
            Self::LeftTooMuch { uid, max } => write!(
                f,
                "expected fewer than {max} regions in quarantine for user {uid}, found {max}"
            ),
            Self::NoRole { needed, role, peer } => write!(
                f,
                "expected a client that may {}, found user {}, group {}, which may only {}",
                right(*needed),
                peer.uid,
                peer.gid,
                right(*role)
            ),
            Self::NoControl { own_uid, peer } => write!(
                f,
                "expected user 0 or the daemon's own user {own_uid}, found user {}, group {}",
                peer.uid, peer.gid
            ),
            Self::NoQuarantine { address } => {
                write!(f, "expected memory in quarantine, found none at {address}")
            }
            Self::InEncoder { address } => write!(
                f,
                "expected memory that the encoder is done with, found it at work in that at {address}"
            ),
            Self::LeaseBytes { held, wanted, max } => write!(
                f,
                "expected at most {max} bytes in leases of one connection, found a need of {wanted} beside {held}, {} too much",
                held.saturating_add(*wanted).saturating_sub(*max)
            ),
            Self::NoSuchObject { what, id } => write!(f, "expected a {what}, found number {id}"),
            Self::ForeignObject { what, id } => write!(
                f,
                "expected a {what} of this connection, found number {id} of another"
            ),
            Self::InUse { what, frames } => write!(
                f,
                "expected a {what} without frames under way, found {frames} of them"
            ),
            Self::EngineOffline => {
                f.write_str("expected a working encoder, found it offline after failed resets")
            }
            Self::ShuttingDown => f.write_str("expected a running daemon, found it stopping"),
        }
    }
}

const fn right(role: Role) -> &'static str {
    match role {
        Role::Observe => "read channels and reports",
        Role::Publish => "open channels",
        Role::Raw => "use raw physical addresses",
    }
}

const fn word(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Configured => "configured",
        ChannelState::Running => "running",
        ChannelState::Draining => "draining",
        ChannelState::Drained => "drained",
        ChannelState::Recovering => "recovering",
        ChannelState::Failed => "failed",
        ChannelState::Closed => "closed",
        ChannelState::Starved => "starved",
        ChannelState::Blocked => "blocked",
        ChannelState::Stalled => "stalled",
    }
}

/// Cuts a sentence at the wire's limit, between characters.
pub(super) fn bounded(mut sentence: String) -> String {
    if sentence.len() > SENTENCE_LEN_MAX {
        let end = (0..=SENTENCE_LEN_MAX)
            .rev()
            .find(|end| sentence.is_char_boundary(*end));
        sentence.truncate(end.unwrap_or(0));
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let long = "ä".repeat(SENTENCE_LEN_MAX);
        let wire = Refusal::Internal(long).to_wire();
        assert!(wire.sentence.len() <= SENTENCE_LEN_MAX);
        assert!(wire.sentence.chars().all(|c| c == 'ä'));
    }

    #[test]
    fn a_refused_name_says_who_holds_it() {
        let wire = Refusal::NameTaken {
            name: "main".into(),
            pid: 4711,
        }
        .to_wire();
        assert_eq!(wire.code, ErrorCode::NAME_TAKEN);
        assert!(wire.sentence.contains("4711") && wire.transient && wire.recoverable);
    }

    #[test]
    fn missing_memory_and_time_are_said_in_figures() {
        let memory = Refusal::NoMemory {
            wanted: ByteLen::new(5000),
            largest_free: ByteLen::new(4096),
        };
        assert!(memory.to_string().contains("904 bytes too much"));
        let time = Refusal::NoCapacity {
            needed_us: 300,
            free_us: 100,
        };
        assert!(time.to_string().contains("200 us too much"));
    }
}
