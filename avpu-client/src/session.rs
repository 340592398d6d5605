//! The client's half of the protocol without I/O: request ids, frames both ways, descriptors as they came.
//!
//! The caller writes [`Session::output`] to the connection and says how much went with [`Session::sent`]; it reads
//! into [`Session::space`], hands over descriptors that came with the bytes first and then the bytes with
//! [`Session::fill`]; then it takes what arrived with [`Session::poll_incoming`] until that answers `None`.
//! A tag of the caller's goes with each request and comes back with its reply. At most [`REQUESTS_MAX`] requests
//! may be unanswered.
//!
//! `D` is a descriptor: one that nobody expects is dropped, which closes it.

use crate::error::ProtocolError;
use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, Kind, RequestId, encode_request_with};
use avpu_proto::limits::DESCRIPTORS_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use std::collections::VecDeque;

/// Requests of one connection that may be unanswered.
pub const REQUESTS_MAX: usize = 64;

/// What arrived.
#[derive(Debug)]
pub enum Incoming<D, T> {
    /// The reply to a request.
    Reply {
        /// The request's id.
        id: RequestId,
        /// The request's tag.
        tag: T,
        /// The reply.
        reply: Reply,
        /// The descriptor that came with it.
        descriptor: Option<D>,
    },
    /// An event that this version knows; others are skipped.
    Event(Event),
}

/// One connection's protocol state.
#[derive(Debug)]
pub struct Session<D, T> {
    decoder: Decoder,
    descriptors: VecDeque<D>,
    output: Vec<u8>,
    sent: usize,
    /// Descriptors to be sent, and with which byte of the output.
    riders: VecDeque<(usize, D)>,
    next_id: RequestId,
    pending: VecDeque<(RequestId, T)>,
}

impl<D, T> Default for Session<D, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D, T> Session<D, T> {
    /// A session whose Hello is done.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            descriptors: VecDeque::new(),
            output: Vec::new(),
            sent: 0,
            riders: VecDeque::new(),
            next_id: RequestId::new(1),
            pending: VecDeque::with_capacity(REQUESTS_MAX),
        }
    }

    /// There is room for another request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending.len() < REQUESTS_MAX
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// Puts a request into the output.
    ///
    /// # Errors
    /// Gives the tag back when the request does not go into a frame.
    ///
    /// # Panics
    /// When there is no room for it: a bug of the caller.
    pub fn request(&mut self, request: &Request, tag: T) -> Result<RequestId, (ProtocolError, T)> {
        self.request_with(request, None, tag)
    }

    /// Puts a request into the output, and a descriptor that rides with it.
    ///
    /// # Errors
    /// Gives the tag back when the request does not go into a frame.
    ///
    /// # Panics
    /// When there is no room for it: a bug of the caller.
    pub fn request_with(
        &mut self,
        request: &Request,
        rider: Option<D>,
        tag: T,
    ) -> Result<RequestId, (ProtocolError, T)> {
        assert!(self.has_room());
        while self.pending.iter().any(|(id, _)| *id == self.next_id) {
            self.next_id = self.next_id.next();
        }
        let id = self.next_id;
        let first_byte = self.output.len();
        let riders = u8::from(rider.is_some());
        if let Err(error) = encode_request_with(&mut self.output, id, riders, request) {
            return Err((ProtocolError::Encode(error), tag));
        }
        self.riders.extend(rider.map(|rider| (first_byte, rider)));
        self.next_id = id.next();
        self.pending.push_back((id, tag));
        Ok(id)
    }

    /// Replaces the tag of an unanswered request; answers the old one.
    pub fn retag(&mut self, id: RequestId, tag: T) -> Option<T> {
        let entry = self
            .pending
            .iter_mut()
            .find(|(pending, _)| *pending == id)?;
        Some(std::mem::replace(&mut entry.1, tag))
    }

    /// Bytes to be written, up to the next that a descriptor rides with.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        let mut riders = self.riders.iter().map(|(first_byte, _)| *first_byte);
        let end = riders.find(|first_byte| *first_byte > self.sent);
        &self.output[self.sent..end.unwrap_or(self.output.len())]
    }

    /// The descriptor that rides with the first byte of the output.
    #[must_use]
    pub fn rider(&self) -> Option<&D> {
        let (first_byte, rider) = self.riders.front()?;
        (*first_byte == self.sent).then_some(rider)
    }

    /// Says how many bytes of the output were written, with what rode with them.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.output.len());
        self.riders
            .retain(|(first_byte, _)| *first_byte >= self.sent);
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Room to read into.
    pub fn space(&mut self) -> &mut [u8] {
        self.decoder.space()
    }

    /// Says how many bytes were read into the room.
    pub fn fill(&mut self, count: usize) {
        self.decoder.fill(count);
    }

    /// Takes a descriptor that came with the bytes that are filled in next.
    pub fn descriptor(&mut self, descriptor: D) {
        self.descriptors.push_back(descriptor);
    }

    /// Takes the next thing that arrived.
    ///
    /// # Errors
    /// When the daemon broke the protocol; the session is then unusable.
    pub fn poll_incoming(&mut self) -> Result<Option<Incoming<D, T>>, ProtocolError> {
        loop {
            let Some(frame) = self.decoder.next().map_err(ProtocolError::Frame)? else {
                if self.decoder.pending_bytes() == 0 {
                    // Whatever rode with these bytes was announced by none of their frames.
                    self.descriptors.clear();
                } else if self.descriptors.len() > DESCRIPTORS_MAX {
                    return Err(ProtocolError::DescriptorsUnexpected);
                }
                return Ok(None);
            };
            let descriptor = match frame.header.descriptors {
                0 => None,
                _ => Some(
                    self.descriptors
                        .pop_front()
                        .ok_or(ProtocolError::DescriptorMissing)?,
                ),
            };
            match frame.header.kind {
                Kind::Request => return Err(ProtocolError::RequestFromDaemon),
                Kind::Event => match decode::event(frame.body) {
                    Ok(event) => return Ok(Some(Incoming::Event(event))),
                    Err(DecodeError::UnknownMessage { .. }) => {}
                    Err(error) => return Err(ProtocolError::Decode(error)),
                },
                Kind::Reply => {
                    let id = frame.header.id;
                    let reply = decode::reply(frame.body).map_err(ProtocolError::Decode)?;
                    let at = self.pending.iter().position(|(pending, _)| *pending == id);
                    let entry = at.and_then(|at| self.pending.remove(at));
                    let Some((_, tag)) = entry else {
                        // What the daemon says of bytes that it could not read has no request to belong to.
                        return Err(match reply {
                            Reply::Refused(refusal) => ProtocolError::Accused(refusal),
                            _ => ProtocolError::ReplyUnasked { id: id.number() },
                        });
                    };
                    return Ok(Some(Incoming::Reply {
                        id,
                        tag,
                        reply,
                        descriptor,
                    }));
                }
            }
        }
    }

    /// Ends the session; answers the requests that have no reply.
    pub fn into_unanswered(self) -> impl Iterator<Item = (RequestId, T)> {
        self.pending.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::request::ImportBuffer;

    #[test]
    fn a_descriptor_goes_with_the_first_byte_of_its_request_and_with_no_other() {
        let mut session: Session<&str, ()> = Session::new();
        let import = Request::ImportBuffer(ImportBuffer { len_bytes: 4096 });
        session.request(&Request::Status, ()).expect("it fits");
        let before = session.output().len();
        session
            .request_with(&import, Some("first"), ())
            .expect("it fits");
        session
            .request_with(&import, Some("second"), ())
            .expect("it fits");
        assert_eq!((session.output().len(), session.rider()), (before, None));
        session.sent(before - 1);
        assert_eq!((session.output().len(), session.rider()), (1, None));
        session.sent(1);
        assert_eq!(session.rider(), Some(&"first"));
        let len = session.output().len();
        session.sent(1);
        assert_eq!((session.output().len(), session.rider()), (len - 1, None));
        session.sent(len - 1);
        assert_eq!(
            (session.output().len(), session.rider()),
            (len, Some(&"second"))
        );
        session.sent(usize::MAX);
        assert_eq!((session.output(), session.rider()), (&[][..], None));
    }
}
