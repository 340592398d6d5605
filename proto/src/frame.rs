//! Frames: a header of eight bytes, then a postcard body. No I/O: the caller moves the bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | length of the body, `u32` little endian, at most `limits::FRAME_BODY_LEN_MAX` |
//! | 4 | kind: 1 request, 2 reply, 3 event |
//! | 5 | bits 1:0 number of descriptors that ride with the frame's first byte; the others are zero |
//! | 6..8 | request id, `u16` little endian: chosen by the client, echoed by the reply, 0 in events |
//!
//! [`Decoder`] owns its storage, allocated once. The caller reads into [`Decoder::space`], says how much with
//! [`Decoder::fill`], then takes frames with [`Decoder::next`] until it answers `None`. A header is checked as
//! soon as its eight bytes are there, before any byte of the body is waited for. After an error the stream has
//! no more frames: the same error comes again.

use crate::limits::{DESCRIPTORS_MAX, FRAME_BODY_LEN_MAX};
use crate::{event::Event, reply::Reply, request::Request};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// `FRAME_BODY_LEN_MAX` for indices.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a constant that fits every usize from 32 bits up, asserted below"
)]
const BODY_LEN_MAX: usize = FRAME_BODY_LEN_MAX as usize;
const _: () = assert!(BODY_LEN_MAX == 16 * 1024);
const _: () = assert!(DESCRIPTORS_MAX <= 3);

/// Number of a request, chosen by the client and echoed by the reply. Any value, 0 too; a client does not use
/// a number again before its reply arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u16);

impl RequestId {
    /// Wraps the plain number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The plain number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The number after this one, wrapping at 2^16.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A [`Request`].
    Request,
    /// A [`Reply`].
    Reply,
    /// An [`Event`].
    Event,
}

impl Kind {
    /// The byte in the header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Event => 3,
        }
    }
}

/// A header that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the body.
    pub len_bytes: u32,
    /// What the body is.
    pub kind: Kind,
    /// Descriptors that ride with the frame.
    pub descriptors: u8,
    /// Request id; 0 in events.
    pub id: RequestId,
}

impl Header {
    /// The header as bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.len_bytes.to_le_bytes();
        let [i0, i1] = self.id.0.to_le_bytes();
        [l0, l1, l2, l3, self.kind.number(), self.descriptors, i0, i1]
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// When the body would be empty or too long, or a field holds what version 1 does not define.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, flags, i0, i1] = bytes;
        let len_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        if len_bytes == 0 {
            return Err(FrameError::Empty);
        }
        if len_bytes > FRAME_BODY_LEN_MAX {
            return Err(FrameError::TooLong { len_bytes });
        }
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Reply,
            3 => Kind::Event,
            found => return Err(FrameError::UnknownKind { found }),
        };
        if usize::from(flags) > DESCRIPTORS_MAX {
            return Err(FrameError::Flags { found: flags });
        }
        let id = RequestId(u16::from_le_bytes([i0, i1]));
        if kind == Kind::Event && id.0 != 0 {
            return Err(FrameError::EventWithId { id });
        }
        Ok(Self {
            len_bytes,
            kind,
            descriptors: flags,
            id,
        })
    }
}

/// Why bytes are not frames. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The body would be empty.
    Empty,
    /// The body would be longer than allowed.
    TooLong {
        /// Length in the header.
        len_bytes: u32,
    },
    /// The kind is not known.
    UnknownKind {
        /// The byte.
        found: u8,
    },
    /// Too many descriptors, or a flag that is not defined.
    Flags {
        /// The byte.
        found: u8,
    },
    /// An event with a request id.
    EventWithId {
        /// The id.
        id: RequestId,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected a frame body of at least 1 byte, found none"),
            Self::TooLong { len_bytes } => write!(
                f,
                "expected a frame body of at most {FRAME_BODY_LEN_MAX} bytes, found {len_bytes}"
            ),
            Self::UnknownKind { found } => {
                write!(f, "expected frame kind 1, 2 or 3, found {found}")
            }
            Self::Flags { found } => write!(
                f,
                "expected frame flags of at most {DESCRIPTORS_MAX} descriptor, found {found:#04x}"
            ),
            Self::EventWithId { id } => write!(f, "expected request id 0 in an event, found {id}"),
        }
    }
}

impl core::error::Error for FrameError {}

/// A whole frame in the decoder's storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body, for [`crate::decode`].
    pub body: &'a [u8],
}

/// Turns a byte stream into frames.
#[derive(Debug)]
pub struct Decoder {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with room for the longest frame; it never allocates again.
    #[must_use]
    pub fn new() -> Self {
        Self {
            storage: vec![0; HEADER_BYTES + BODY_LEN_MAX].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Room for the next read: never empty once [`Decoder::next`] answered `None`.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.start > 0 && self.storage.len() - self.end < HEADER_BYTES + BODY_LEN_MAX / 2
        {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.storage[self.end..]
    }

    /// Says how many bytes were read into [`Decoder::space`].
    ///
    /// # Panics
    /// When it is more than that room: a bug of the caller.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.storage.len() - self.end);
        self.end += count;
    }

    /// Copies as many of `bytes` as there is room for and says how many that were.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.fill(count);
        count
    }

    /// Bytes that are there and not yet part of a frame taken.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Takes the next whole frame.
    ///
    /// # Errors
    /// When the header of the next frame is not one.
    #[allow(
        clippy::should_implement_trait,
        reason = "the frame borrows the decoder, so this is no Iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let pending = &self.storage[self.start..self.end];
        let Some((bytes, rest)) = pending.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(*bytes)?;
        let len = usize::try_from(header.len_bytes).unwrap_or(usize::MAX);
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        self.start += HEADER_BYTES + len;
        Ok(Some(Frame { header, body }))
    }

    /// Forgets all bytes, for a new connection.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// Why a message does not go into a frame: a limit of the message was not kept by its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// Length of the body that the message would have, in bytes.
    pub len_bytes: usize,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a message of at most {FRAME_BODY_LEN_MAX} bytes, found {}",
            self.len_bytes
        )
    }
}

impl core::error::Error for EncodeError {}

/// Appends a request's frame to `out`; allocates only when `out` has to grow.
///
/// # Errors
/// When the message is too long; `out` is as before.
pub fn encode_request(
    out: &mut Vec<u8>,
    id: RequestId,
    request: &Request,
) -> Result<(), EncodeError> {
    encode(out, Kind::Request, 0, id, request)
}

/// Appends the frame of a request with which `descriptors` ride; they must be sent with the first byte of the frame.
///
/// # Errors
/// When the message is too long; `out` is as before.
pub fn encode_request_with(
    out: &mut Vec<u8>,
    id: RequestId,
    descriptors: u8,
    request: &Request,
) -> Result<(), EncodeError> {
    encode(out, Kind::Request, descriptors, id, request)
}

/// Appends a reply's frame to `out`. The `descriptors` must be sent with the first byte of the frame.
///
/// # Errors
/// When the message is too long; `out` is as before.
pub fn encode_reply(
    out: &mut Vec<u8>,
    id: RequestId,
    descriptors: u8,
    reply: &Reply,
) -> Result<(), EncodeError> {
    encode(out, Kind::Reply, descriptors, id, reply)
}

/// Appends an event's frame to `out`.
///
/// # Errors
/// When the message is too long; `out` is as before.
pub fn encode_event(out: &mut Vec<u8>, event: &Event) -> Result<(), EncodeError> {
    encode(out, Kind::Event, 0, RequestId(0), event)
}

fn encode<T: Serialize>(
    out: &mut Vec<u8>,
    kind: Kind,
    descriptors: u8,
    id: RequestId,
    message: &T,
) -> Result<(), EncodeError> {
    debug_assert!(usize::from(descriptors) <= DESCRIPTORS_MAX);
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let encoded = postcard::to_extend(message, ByReference(out)).is_ok();
    // Growing a vector cannot fail, and no message holds what postcard cannot encode.
    debug_assert!(encoded);
    let len = out.len() - start - HEADER_BYTES;
    let checked = u32::try_from(len)
        .ok()
        .filter(|len_bytes| encoded && (1..=FRAME_BODY_LEN_MAX).contains(len_bytes));
    let Some(len_bytes) = checked else {
        out.truncate(start);
        return Err(EncodeError { len_bytes: len });
    };
    let header = Header {
        len_bytes,
        kind,
        descriptors,
        id,
    };
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    Ok(())
}

/// Lets postcard extend a vector that the caller keeps.
struct ByReference<'a>(&'a mut Vec<u8>);

impl Extend<u8> for ByReference<'_> {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.0.extend(bytes);
    }
}
