//! What can go wrong for a client, and the exit code that each program of the family uses for it.

use avpu_proto::decode::DecodeError;
use avpu_proto::error::Refusal;
use avpu_proto::frame::{EncodeError, FrameError};
use avpu_proto::limits::DESCRIPTORS_MAX;
use avpu_proto::ring::RingError;
use avpu_proto::socket::NoSocketPath;
use avpu_proto::version::{HelloError, Reason};
use std::path::PathBuf;
use std::{fmt, io};

/// Why a call did not do what it was asked.
#[derive(Debug)]
pub enum ClientError {
    /// The daemon refused the request; nothing changed and the connection goes on.
    Refused(Refusal),
    /// The daemon did not accept the connection.
    TurnedAway(Reason),
    /// No daemon answers at this socket.
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon went away, or the connection was replaced by a reconnect while the call was in progress.
    Disconnected,
    /// The daemon broke the protocol; the connection is unusable.
    Protocol(ProtocolError),
    /// The system refused something.
    Io(io::Error),
    /// The time given to the call is over; the call may be made again.
    Timeout,
    /// Events wait to be taken and there is no room for more: take released sources and packets.
    Backlog,
    /// The call does not fit the state of its object: what was expected and found.
    Misuse(&'static str),
    /// Nothing says where the daemon's socket is.
    NoSocketPath(NoSocketPath),
}

impl ClientError {
    /// The exit code for it: 3 no daemon or disconnected, 4 refused, 2 usage, otherwise 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::TurnedAway(_) => exit::REFUSED,
            Self::NoDaemon { .. } | Self::Disconnected => exit::NO_DAEMON,
            Self::NoSocketPath(_) => exit::USAGE,
            Self::Protocol(_) | Self::Io(_) | Self::Timeout | Self::Backlog | Self::Misuse(_) => {
                exit::FAILED
            }
        }
    }
}

/// Exit codes of all programs.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// There is no daemon, or it went away.
    pub const NO_DAEMON: u8 = 3;
    /// The daemon refused.
    pub const REFUSED: u8 = 4;

    /// The exit code for any error of a program: that of the [`super::ClientError`] in its chain, otherwise
    /// [`FAILED`].
    #[must_use]
    pub fn code_of(error: &(dyn std::error::Error + 'static)) -> u8 {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<super::ClientError>() {
                return error.exit_code();
            }
            next = error.source();
        }
        FAILED
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::TurnedAway(reason) => write!(f, "the daemon turned us away: {reason}"),
            Self::NoDaemon { path, source } => {
                write!(f, "no daemon at {}: {source}", path.display())
            }
            Self::Disconnected => f.write_str("the daemon went away"),
            Self::Protocol(error) => write!(f, "the daemon broke the protocol: {error}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Timeout => f.write_str("expected an answer in time, found none"),
            Self::Backlog => f.write_str("expected room for events, found none: take some"),
            Self::Misuse(sentence) => f.write_str(sentence),
            Self::NoSocketPath(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoDaemon { source, .. } | Self::Io(source) => Some(source),
            Self::Protocol(error) => Some(error),
            Self::NoSocketPath(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ProtocolError> for ClientError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<NoSocketPath> for ClientError {
    fn from(error: NoSocketPath) -> Self {
        Self::NoSocketPath(error)
    }
}

/// How the daemon broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The first bytes are no Hello.
    Hello(HelloError),
    /// Bytes that are no frame.
    Frame(FrameError),
    /// A body that is no message.
    Decode(DecodeError),
    /// A request that does not go into a frame; this side's fault.
    Encode(EncodeError),
    /// A frame that only a client sends.
    RequestFromDaemon,
    /// A reply to no request.
    ReplyUnasked {
        /// Its request id.
        id: u16,
    },
    /// The daemon says that this side broke the protocol, and closes.
    Accused(Refusal),
    /// A reply of the wrong kind.
    ReplyMismatch {
        /// The request that it came for.
        request: &'static str,
    },
    /// A frame announced a descriptor that did not come.
    DescriptorMissing,
    /// More descriptors than a frame may have.
    DescriptorsUnexpected,
    /// A ring that is none.
    Ring(RingError),
    /// A ring's file is shorter than the ring.
    RingShort {
        /// Length of the file in bytes.
        found: u64,
    },
    /// A ring of another channel or of another run of the daemon.
    RingForeign,
    /// A packet that does not lie in its ring.
    PacketOutside,
    /// A lease whose buffers or layout contradict each other.
    LeaseInconsistent,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "{error}"),
            Self::Encode(error) => write!(f, "{error}"),
            Self::RequestFromDaemon => f.write_str("expected a reply or an event, found a request"),
            Self::ReplyUnasked { id } => {
                write!(f, "expected the reply to a request, found one with id {id}")
            }
            Self::Accused(refusal) => write!(f, "the daemon did not understand us: {refusal}"),
            Self::ReplyMismatch { request } => {
                write!(f, "expected the reply to {request}, found another")
            }
            Self::DescriptorMissing => f.write_str("expected a descriptor, found none"),
            Self::DescriptorsUnexpected => {
                write!(
                    f,
                    "expected at most {DESCRIPTORS_MAX} descriptor, found more"
                )
            }
            Self::Ring(error) => write!(f, "{error}"),
            Self::RingShort { found } => {
                write!(f, "expected the file of a whole ring, found {found} bytes")
            }
            Self::RingForeign => f.write_str("expected the subscribed ring, found another"),
            Self::PacketOutside => {
                f.write_str("expected a packet inside the ring, found one outside")
            }
            Self::LeaseInconsistent => {
                f.write_str("expected buffers that hold a picture each, found others")
            }
        }
    }
}

impl std::error::Error for ProtocolError {}
