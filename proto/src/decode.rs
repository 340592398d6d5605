//! Decoding of message bodies: trailing bytes are ignored, missing trailing fields read as zero.

use core::fmt;
use postcard::de_flavors::Flavor;
use serde::de::DeserializeOwned;

/// Why a body could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There is no byte at all, not even the message's number.
    Empty,
    /// A field is cut in the middle or holds a value that its type does not have.
    Malformed(postcard::Error),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected a message, found an empty body"),
            Self::Malformed(error) => write!(f, "malformed message body: {error}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Decodes a message from its body.
///
/// # Errors
/// When the body is empty, cut inside a string or list, or holds an unknown enum variant.
pub fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut deserializer = postcard::Deserializer::from_flavor(ZeroExtended { rest: bytes });
    T::deserialize(&mut deserializer).map_err(DecodeError::Malformed)
}

/// A slice followed by endless zeros: what a missing field decodes from.
struct ZeroExtended<'a> {
    rest: &'a [u8],
}

impl<'de> Flavor<'de> for ZeroExtended<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                Ok(*byte)
            }
            None => Ok(0),
        }
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        Ok(head)
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.rest)
    }
}
