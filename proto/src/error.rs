//! Refusals: stable code, sentence, and two flags.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Why a request was refused. Nothing was changed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable number.
    pub code: ErrorCode,
    /// What was expected and what was found, for people.
    pub sentence: String,
    /// The connection can go on.
    pub recoverable: bool,
    /// The same request may succeed later.
    pub transient: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence, self.code)
    }
}

/// Stable number of a refusal. Numbers are never reused; a client shows those that it does not know as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(u16);

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $word:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The code's stable word, for tools and logs.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self.0 {
                    $($value => $word,)*
                    _ => "unknown",
                }
            }
        }
    };
}

error_codes! {
    /// The daemon does not know this request.
    UNKNOWN_REQUEST = 1, "unknown-request";
    /// Known by name, not supported by this daemon or device.
    UNSUPPORTED = 2, "unsupported";
    /// A parameter is outside its range.
    INVALID_PARAMETER = 3, "invalid-parameter";
    /// There is no such channel.
    NO_SUCH_CHANNEL = 4, "no-such-channel";
    /// The channel, lease, region or subscription belongs to another connection.
    NOT_OWNER = 5, "not-owner";
    /// The name is taken.
    NAME_TAKEN = 6, "name-taken";
    /// A limit of `limits` or of the configuration is reached.
    LIMIT_REACHED = 7, "limit-reached";
    /// The encoder has no time left for this.
    NO_CAPACITY = 8, "no-capacity";
    /// The reserved memory has no room for this.
    NO_MEMORY = 9, "no-memory";
    /// The channel's queue is full.
    QUEUE_FULL = 10, "queue-full";
    /// The connection has no submit credit left.
    NO_CREDIT = 11, "no-credit";
    /// The channel does not accept this in its state.
    WRONG_STATE = 12, "wrong-state";
    /// The address is not aligned.
    ADDRESS_UNALIGNED = 13, "address-unaligned";
    /// The address lies in nothing that this client may use.
    ADDRESS_FOREIGN = 14, "address-foreign";
    /// The picture does not end inside the region that it starts in.
    ADDRESS_OUT_OF_BOUNDS = 15, "address-out-of-bounds";
    /// The peer has not the right for this.
    NOT_PERMITTED = 16, "not-permitted";
    /// There is no such lease, region or subscription.
    NO_SUCH_OBJECT = 17, "no-such-object";
    /// The object is queued or in the encoder.
    IN_USE = 18, "in-use";
    /// The encoder is offline.
    ENGINE_OFFLINE = 19, "engine-offline";
    /// The daemon is stopping.
    SHUTTING_DOWN = 20, "shutting-down";
    /// The daemon could not do it for a reason of its own.
    INTERNAL = 21, "internal";
    /// The range overlaps another client's or the daemon's own memory.
    ADDRESS_OVERLAP = 22, "address-overlap";
    /// The bytes are no request of this protocol; the connection closes after this.
    MALFORMED = 23, "malformed";
    /// The encoder has time for this, but a promise to another channel could not be kept.
    NO_SCHEDULE = 24, "no-schedule";
}

impl ErrorCode {
    /// A code by its number.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.0)
    }
}
