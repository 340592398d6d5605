//! Hello: the first twelve bytes each way. This file's layout never changes, whatever the version.
//!
//! | bytes | client sends | daemon answers |
//! |---|---|---|
//! | 0..4 | `AVPU` | `AVPU` |
//! | 4..6 | lowest version it speaks | the chosen version, or the lowest it speaks |
//! | 6..8 | highest version it speaks | the chosen version, or the highest it speaks |
//! | 8..12 | 0 | 0 for welcome, otherwise the reason of the refusal |
//!
//! All integers are little endian. The daemon answers the highest version that both speak. After a refusal the
//! daemon closes the connection. Requests may follow the client's Hello at once, but only a client that speaks
//! one version alone can know how to encode them.
//!
//! # Ledger
//!
//! | version | why |
//! |---|---|
//! | 1 | the first: capabilities, channels, leases, regions, rings, statistics |

use core::fmt;

/// Bytes of a Hello, each way.
pub const HELLO_BYTES: usize = 12;
/// The first four bytes, each way.
pub const MAGIC: [u8; 4] = *b"AVPU";
/// Lowest version that this crate speaks.
pub const VERSION_MIN: u16 = 1;
/// Highest version that this crate speaks.
pub const VERSION_MAX: u16 = 1;

const _: () = assert!(VERSION_MIN <= VERSION_MAX);

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Lowest version it speaks.
    pub min: u16,
    /// Highest version it speaks.
    pub max: u16,
}

impl ClientHello {
    /// The Hello of this crate.
    pub const OURS: Self = Self {
        min: VERSION_MIN,
        max: VERSION_MAX,
    };

    /// The Hello as bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HELLO_BYTES] {
        join(self.min, self.max, 0)
    }

    /// Reads and checks a client's Hello.
    ///
    /// # Errors
    /// When it is not one. The daemon answers [`Reason::NotHello`] and closes.
    pub fn decode(bytes: [u8; HELLO_BYTES]) -> Result<Self, HelloError> {
        let (min, max, reserved) = split(bytes)?;
        if reserved != 0 {
            return Err(HelloError::Reserved { found: reserved });
        }
        if min > max {
            return Err(HelloError::Range { min, max });
        }
        Ok(Self { min, max })
    }

    /// What a daemon that has room answers: the highest common version, or that there is none.
    #[must_use]
    pub fn answer(self) -> DaemonHello {
        let version = self.max.min(VERSION_MAX);
        if version < self.min.max(VERSION_MIN) {
            DaemonHello::refused(Reason::NoCommonVersion)
        } else {
            DaemonHello::Welcome { version }
        }
    }
}

/// What the daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonHello {
    /// Frames of this version follow.
    Welcome {
        /// The version.
        version: u16,
    },
    /// The connection closes.
    Refused {
        /// Lowest version that the daemon speaks.
        min: u16,
        /// Highest version that the daemon speaks.
        max: u16,
        /// Why.
        reason: Reason,
    },
}

impl DaemonHello {
    /// A refusal by this crate's version.
    #[must_use]
    pub const fn refused(reason: Reason) -> Self {
        Self::Refused {
            min: VERSION_MIN,
            max: VERSION_MAX,
            reason,
        }
    }

    /// The Hello as bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HELLO_BYTES] {
        match self {
            Self::Welcome { version } => join(version, version, 0),
            Self::Refused { min, max, reason } => join(min, max, reason.number()),
        }
    }

    /// Reads and checks a daemon's Hello as the answer to `asked`.
    ///
    /// # Errors
    /// When it is not one, or welcomes with a version that was not offered.
    pub fn decode(bytes: [u8; HELLO_BYTES], asked: ClientHello) -> Result<Self, HelloError> {
        let (min, max, number) = split(bytes)?;
        if number != 0 {
            let reason = Reason::from_number(number);
            return Ok(Self::Refused { min, max, reason });
        }
        if min != max || min < asked.min || min > asked.max {
            return Err(HelloError::Range { min, max });
        }
        Ok(Self::Welcome { version: min })
    }
}

/// Why the daemon does not talk to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no version that both speak.
    NoCommonVersion,
    /// The daemon has no room for another connection.
    TooManyClients,
    /// The daemon is about to end.
    ShuttingDown,
    /// The first bytes were no Hello.
    NotHello,
    /// The client's user has as many connections as it may.
    UserQuota {
        /// So many.
        max: u16,
    },
    /// A reason that this crate does not know.
    Other(u32),
}

impl Reason {
    /// The number in the Hello.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::NoCommonVersion => 1,
            Self::TooManyClients => 2,
            Self::ShuttingDown => 3,
            Self::NotHello => 4,
            Self::UserQuota { max } => {
                let [low, high] = max.to_le_bytes();
                u32::from_le_bytes([USER_QUOTA, 0, low, high])
            }
            Self::Other(number) => number,
        }
    }

    /// The reason by its number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        let [reason, zero, low, high] = number.to_le_bytes();
        if reason == USER_QUOTA && zero == 0 {
            let max = u16::from_le_bytes([low, high]);
            return Self::UserQuota { max };
        }
        match number {
            1 => Self::NoCommonVersion,
            2 => Self::TooManyClients,
            3 => Self::ShuttingDown,
            4 => Self::NotHello,
            number => Self::Other(number),
        }
    }
}

/// The low half of this reason's number; the other one says how many.
const USER_QUOTA: u8 = 5;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommonVersion => f.write_str("no common protocol version"),
            Self::TooManyClients => f.write_str("too many clients"),
            Self::ShuttingDown => f.write_str("the daemon is shutting down"),
            Self::NotHello => f.write_str("the daemon did not understand our hello"),
            Self::UserQuota { max } => write!(
                f,
                "expected at most {max} connections of this user, found one more"
            ),
            Self::Other(number) => write!(f, "reason {number}"),
        }
    }
}

/// Why twelve bytes are no Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The peer speaks another protocol.
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A field that must be zero is not.
    Reserved {
        /// Its value.
        found: u32,
    },
    /// The versions are no range, or not what was asked for.
    Range {
        /// First version field.
        min: u16,
        /// Second version field.
        max: u16,
    },
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(
                f,
                "expected a hello that starts with \"AVPU\", found \"{}\"",
                found.escape_ascii()
            ),
            Self::Reserved { found } => {
                write!(f, "expected 0 in bytes 8..12 of a hello, found {found}")
            }
            Self::Range { min, max } => {
                write!(f, "expected a common version, found {min} to {max}")
            }
        }
    }
}

impl core::error::Error for HelloError {}

fn join(min: u16, max: u16, last: u32) -> [u8; HELLO_BYTES] {
    let [m0, m1, m2, m3] = MAGIC;
    let ([a0, a1], [b0, b1]) = (min.to_le_bytes(), max.to_le_bytes());
    let [c0, c1, c2, c3] = last.to_le_bytes();
    [m0, m1, m2, m3, a0, a1, b0, b1, c0, c1, c2, c3]
}

fn split(bytes: [u8; HELLO_BYTES]) -> Result<(u16, u16, u32), HelloError> {
    let [m0, m1, m2, m3, a0, a1, b0, b1, c0, c1, c2, c3] = bytes;
    let found = [m0, m1, m2, m3];
    if found != MAGIC {
        return Err(HelloError::Magic { found });
    }
    Ok((
        u16::from_le_bytes([a0, a1]),
        u16::from_le_bytes([b0, b1]),
        u32::from_le_bytes([c0, c1, c2, c3]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        let answer = |min, max| ClientHello { min, max }.answer();
        assert_eq!(answer(1, 1), DaemonHello::Welcome { version: 1 });
        assert_eq!(
            answer(0, 9),
            DaemonHello::Welcome {
                version: VERSION_MAX
            }
        );
        let refused = DaemonHello::refused(Reason::NoCommonVersion);
        assert_eq!(answer(VERSION_MAX + 1, u16::MAX), refused);
        assert_eq!(answer(0, 0), refused);
    }

    #[test]
    fn both_hellos_are_these_twelve_bytes() {
        assert_eq!(
            ClientHello { min: 1, max: 0x203 }.encode(),
            *b"AVPU\x01\0\x03\x02\0\0\0\0"
        );
        assert_eq!(
            DaemonHello::Welcome { version: 1 }.encode(),
            *b"AVPU\x01\0\x01\0\0\0\0\0"
        );
        let refused = DaemonHello::refused(Reason::TooManyClients);
        assert_eq!(refused.encode(), *b"AVPU\x01\0\x01\0\x02\0\0\0");
        let quota = DaemonHello::refused(Reason::UserQuota { max: 48 });
        assert_eq!(quota.encode(), *b"AVPU\x01\0\x01\0\x05\0\x30\0");
    }

    #[test]
    fn hellos_come_back_as_they_went() {
        let client = ClientHello { min: 1, max: 7 };
        assert_eq!(ClientHello::decode(client.encode()), Ok(client));
        let refusal = |reason| DaemonHello::Refused {
            min: 3,
            max: 5,
            reason,
        };
        for answer in [
            DaemonHello::Welcome { version: 4 },
            refusal(Reason::NoCommonVersion),
            refusal(Reason::TooManyClients),
            refusal(Reason::ShuttingDown),
            refusal(Reason::NotHello),
            refusal(Reason::UserQuota { max: 0 }),
            refusal(Reason::UserQuota { max: 0x1234 }),
            refusal(Reason::Other(77)),
        ] {
            assert_eq!(DaemonHello::decode(answer.encode(), client), Ok(answer));
        }
    }

    #[test]
    fn what_is_no_hello_is_told_apart() {
        let found = *b"GET ";
        let error = ClientHello::decode(*b"GET / HTTP/1").unwrap_err();
        assert_eq!(error, HelloError::Magic { found });
        let reserved = ClientHello::decode(*b"AVPU\x01\0\x01\0\0\0\x01\0");
        assert_eq!(reserved, Err(HelloError::Reserved { found: 0x1_0000 }));
        let reversed = ClientHello::decode(*b"AVPU\x02\0\x01\0\0\0\0\0");
        assert_eq!(reversed, Err(HelloError::Range { min: 2, max: 1 }));
        let unasked = DaemonHello::Welcome { version: 9 }.encode();
        let answer = DaemonHello::decode(unasked, ClientHello::OURS);
        assert_eq!(answer, Err(HelloError::Range { min: 9, max: 9 }));
    }
}
