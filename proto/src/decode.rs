//! Decoding of message bodies: trailing bytes are ignored, missing trailing fields read as zero.
//!
//! A shorter, older message is decoded as if zeros followed it, at most [`ZEROS_MAX`] of them, so that a hostile
//! list length cannot make an endless list. A string or record that is cut is malformed: only whole fields may
//! be missing.

use crate::event::Event;
use crate::reply::Reply;
use crate::request::Request;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use postcard::de_flavors::Flavor;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Zero bytes that may stand for missing fields, in one message or record. More than the fields of any message.
pub const ZEROS_MAX: u16 = 512;
/// Requests of version 1: a message with this number or a higher one is unknown.
pub const REQUESTS: u32 = 30;
/// Replies of version 1.
pub const REPLIES: u32 = 18;
/// Events of version 1.
pub const EVENTS: u32 = 12;

/// Why a body could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There is no byte at all, not even the message's number.
    Empty,
    /// The message has a number that this version does not know. A daemon refuses such a request and goes on, a
    /// client ignores such an event.
    UnknownMessage {
        /// Its number.
        number: u32,
    },
    /// A field is cut in the middle or holds a value that its type does not have.
    Malformed(postcard::Error),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected a message, found an empty body"),
            Self::UnknownMessage { number } => {
                write!(f, "expected a message of version 1, found number {number}")
            }
            Self::Malformed(error) => write!(f, "malformed message body: {error}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Decodes the body of a request.
///
/// # Errors
/// When the body is empty, unknown or malformed.
pub fn request(bytes: &[u8]) -> Result<Request, DecodeError> {
    known(bytes, REQUESTS)
}

/// Decodes the body of a reply.
///
/// # Errors
/// When the body is empty, unknown or malformed.
pub fn reply(bytes: &[u8]) -> Result<Reply, DecodeError> {
    known(bytes, REPLIES)
}

/// Decodes the body of an event.
///
/// # Errors
/// When the body is empty, unknown or malformed.
pub fn event(bytes: &[u8]) -> Result<Event, DecodeError> {
    known(bytes, EVENTS)
}

/// The number of the message in a body, without looking at its fields.
///
/// # Errors
/// When the body is empty or the number is not one.
pub fn number(bytes: &[u8]) -> Result<u32, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let (number, _) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    Ok(number)
}

/// Decodes one message type from a body.
///
/// # Errors
/// When the body is empty, cut inside a string or list, or holds an unknown enum variant.
pub fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    extended(bytes)
}

fn known<T: DeserializeOwned>(bytes: &[u8], count: u32) -> Result<T, DecodeError> {
    match number(bytes)? {
        number if number >= count => Err(DecodeError::UnknownMessage { number }),
        _ => extended(bytes),
    }
}

/// Decodes a value as if zeros followed its bytes; a value without any byte is all zero.
pub(crate) fn extended<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let source = ZeroExtended {
        rest: bytes,
        zeros_left: ZEROS_MAX,
    };
    let mut deserializer = postcard::Deserializer::from_flavor(source);
    T::deserialize(&mut deserializer).map_err(DecodeError::Malformed)
}

/// A slice followed by zeros: what a missing field decodes from.
struct ZeroExtended<'a> {
    rest: &'a [u8],
    zeros_left: u16,
}

impl<'de> Flavor<'de> for ZeroExtended<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        if let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(*byte);
        }
        self.zeros_left = self
            .zeros_left
            .checked_sub(1)
            .ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        Ok(0)
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

/// Decodes a list of at most `PAGE_ENTRIES_MAX` entries, for `deserialize_with`: the length on the wire neither
/// reserves memory nor is believed.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(ListVisitor(PhantomData))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a list of at most {} entries",
            crate::limits::PAGE_ENTRIES_MAX
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == crate::limits::PAGE_ENTRIES_MAX {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            list.push(entry);
        }
        Ok(list)
    }
}
