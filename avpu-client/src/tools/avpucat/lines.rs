//! The protocol as lines of JSON: what `-v` and the proxy show of each direction.

use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, Frame, HEADER_BYTES, Kind};
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::version::{HELLO_BYTES, MAGIC};
use serde::Serialize;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// The client.
    Client,
    /// The daemon.
    Daemon,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    from: Side,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u16>,
    #[serde(flatten)]
    what: What,
    #[serde(skip_serializing_if = "is_zero")]
    descriptors: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Hello { min: u16, max: u16, reason: u32 },
    Request(Request),
    Reply(Reply),
    Event(Event),
    Unknown { kind: &'static str, number: u32 },
    Error(String),
    Bytes(usize),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

/// Reads along with one direction of a connection.
#[derive(Debug)]
pub(crate) struct Follower {
    side: Side,
    hex: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Hello(Vec<u8>),
    Frames(Decoder),
    /// Not the protocol, or broken: only lengths are shown.
    Opaque,
}

impl Follower {
    /// At the beginning of a connection.
    pub(crate) fn new(side: Side, hex: bool) -> Self {
        Self {
            side,
            hex,
            state: State::Hello(Vec::with_capacity(HELLO_BYTES)),
        }
    }

    /// Reads `bytes` that go by and calls `show` with each line. Answers where in `bytes` the first frame begins
    /// that has a descriptor with it.
    pub(crate) fn follow(&mut self, bytes: &[u8], mut show: impl FnMut(&str)) -> Option<usize> {
        let (mut at, mut descriptors_at) = (0, None);
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match &mut self.state {
                State::Hello(_) => self.hello(rest, &mut show),
                State::Frames(_) => {
                    let frames = self.frames(rest, &mut show);
                    descriptors_at = descriptors_at.or(frames.1.map(|offset| at + offset));
                    frames.0
                }
                State::Opaque => {
                    let hex = self.hex.then(|| to_hex(rest));
                    self.show(None, What::Bytes(rest.len()), 0, hex.as_deref(), &mut show);
                    rest.len()
                }
            };
        }
        descriptors_at
    }

    fn hello(&mut self, rest: &[u8], show: &mut impl FnMut(&str)) -> usize {
        let State::Hello(gathered) = &mut self.state else {
            return 0;
        };
        let take = rest.len().min(HELLO_BYTES - gathered.len());
        gathered.extend_from_slice(&rest[..take]);
        let known = gathered.len().min(MAGIC.len());
        if gathered[..known] != MAGIC[..known] {
            let length = gathered.len();
            let hex = self.hex.then(|| to_hex(gathered));
            self.state = State::Opaque;
            self.show(None, What::Bytes(length), 0, hex.as_deref(), show);
            return take;
        }
        let Ok(hello) = <[u8; HELLO_BYTES]>::try_from(&gathered[..]) else {
            return take;
        };
        let [_, _, _, _, m0, m1, x0, x1, r0, r1, r2, r3] = hello;
        let what = What::Hello {
            min: u16::from_le_bytes([m0, m1]),
            max: u16::from_le_bytes([x0, x1]),
            reason: u32::from_le_bytes([r0, r1, r2, r3]),
        };
        self.state = State::Frames(Decoder::new());
        let hex = self.hex.then(|| to_hex(&hello));
        self.show(None, what, 0, hex.as_deref(), show);
        take
    }

    /// How many bytes were taken, and where among them a frame with a descriptor begins.
    fn frames(&mut self, rest: &[u8], show: &mut impl FnMut(&str)) -> (usize, Option<usize>) {
        let State::Frames(decoder) = &mut self.state else {
            return (0, None);
        };
        let before = decoder.pending_bytes();
        let taken = decoder.push(rest);
        let mut descriptors_at = None;
        let mut start = 0;
        let mut lines = Vec::new();
        let broken = loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    if frame.header.descriptors > 0 && descriptors_at.is_none() {
                        descriptors_at = Some(start);
                    }
                    start += HEADER_BYTES + frame.body.len();
                    let hex = self.hex.then(|| to_hex_frame(&frame));
                    let id = (frame.header.kind != Kind::Event).then(|| frame.header.id.number());
                    lines.push((id, message(&frame), frame.header.descriptors, hex));
                }
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        for (id, what, descriptors, hex) in lines {
            self.show(id, what, descriptors, hex.as_deref(), show);
        }
        if let Some(error) = broken {
            self.state = State::Opaque;
            self.show(None, What::Error(error), 0, None, show);
        }
        // A frame that began before these bytes: its descriptor came with what is left of it.
        (
            taken,
            descriptors_at.map(|start| start.saturating_sub(before)),
        )
    }

    fn show(
        &self,
        id: Option<u16>,
        what: What,
        descriptors: u8,
        hex: Option<&str>,
        show: &mut impl FnMut(&str),
    ) {
        let line = Line {
            from: self.side,
            id,
            what,
            descriptors,
            hex,
        };
        match serde_json::to_string(&line) {
            Ok(text) => show(&text),
            // Every message is made of plain values: this says that one day one is not.
            Err(error) => show(&format!(
                "{{\"error\":\"a line that is no JSON: {error}\"}}"
            )),
        }
    }
}

fn message(frame: &Frame<'_>) -> What {
    let (kind, message) = match frame.header.kind {
        Kind::Request => ("request", decode::request(frame.body).map(What::Request)),
        Kind::Reply => ("reply", decode::reply(frame.body).map(What::Reply)),
        Kind::Event => ("event", decode::event(frame.body).map(What::Event)),
    };
    match message {
        Ok(what) => what,
        Err(DecodeError::UnknownMessage { number }) => What::Unknown { kind, number },
        Err(error) => What::Error(error.to_string()),
    }
}

fn to_hex_frame(frame: &Frame<'_>) -> String {
    let mut hex = to_hex(&frame.header.encode());
    hex.push(' ');
    hex.push_str(&to_hex(frame.body));
    hex
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reply that came to this program itself, as a line.
pub(crate) fn reply(id: u16, reply: Reply, descriptors: u8) -> String {
    own_line(Some(id), What::Reply(reply), descriptors)
}

/// An event that came to this program itself, as a line.
pub(crate) fn event(event: Event) -> String {
    own_line(None, What::Event(event), 0)
}

fn own_line(id: Option<u16>, what: What, descriptors: u8) -> String {
    let follower = Follower::new(Side::Daemon, false);
    let mut line = String::new();
    follower.show(id, what, descriptors, None, &mut |text| line.push_str(text));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::event::Gap;
    use avpu_proto::frame::{RequestId, encode_event, encode_reply, encode_request};
    use avpu_proto::request::Drain;
    use avpu_proto::types::ChannelId;
    use avpu_proto::version::ClientHello;

    fn conversation() -> Vec<u8> {
        let mut bytes = ClientHello::OURS.encode().to_vec();
        let drain = Drain {
            channel: ChannelId::new(3),
            keep: false,
        };
        encode_request(&mut bytes, RequestId::new(7), &Request::Drain(drain)).unwrap();
        encode_request(&mut bytes, RequestId::new(8), &Request::Status).unwrap();
        bytes
    }

    fn lines(follower: &mut Follower, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        follower.follow(bytes, |line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn messages_are_lines_however_the_bytes_are_split() {
        let expected = [
            r#"{"from":"client","hello":{"min":1,"max":1,"reason":0}}"#,
            r#"{"from":"client","id":7,"request":{"Drain":{"channel":3,"keep":false}}}"#,
            r#"{"from":"client","id":8,"request":"Status"}"#,
        ];
        let bytes = conversation();
        for portion in 1..=bytes.len() {
            let mut follower = Follower::new(Side::Client, false);
            let parts = bytes.chunks(portion);
            let found: Vec<String> = parts.flat_map(|part| lines(&mut follower, part)).collect();
            assert_eq!(found, expected, "portions of {portion}");
        }
    }

    #[test]
    fn hex_shows_header_and_body() {
        let mut follower = Follower::new(Side::Client, true);
        let found = lines(&mut follower, &conversation());
        assert!(
            found[0].ends_with(r#""hex":"415650550100010000000000"}"#),
            "{}",
            found[0]
        );
        assert!(
            found[2].contains(r#""hex":"0100000001000800 "#),
            "{}",
            found[2]
        );
    }

    #[test]
    fn an_event_has_no_id() {
        let mut bytes = ClientHello::OURS.encode().to_vec();
        encode_event(&mut bytes, &Event::Gap(Gap::default())).unwrap();
        let found = lines(&mut Follower::new(Side::Daemon, false), &bytes);
        assert!(
            found[1].starts_with(r#"{"from":"daemon","event":{"Gap":{"#),
            "{}",
            found[1]
        );
    }

    #[test]
    fn the_frame_that_a_descriptor_rides_with_is_found_among_others() {
        let mut bytes = ClientHello::OURS.encode().to_vec();
        encode_reply(&mut bytes, RequestId::new(1), 0, &Reply::Done).unwrap();
        let start = bytes.len();
        encode_reply(&mut bytes, RequestId::new(2), 1, &Reply::Done).unwrap();
        encode_reply(&mut bytes, RequestId::new(3), 0, &Reply::Done).unwrap();
        let mut follower = Follower::new(Side::Daemon, false);
        assert_eq!(follower.follow(&bytes, |_| {}), Some(start));
        let mut follower = Follower::new(Side::Daemon, false);
        follower.follow(&bytes[..start - 2], |_| {});
        assert_eq!(follower.follow(&bytes[start - 2..], |_| {}), Some(2));
    }

    #[test]
    fn what_is_not_the_protocol_is_counted_only() {
        let mut follower = Follower::new(Side::Client, false);
        let found = lines(&mut follower, b"GET / HTTP/1.0\r\n");
        assert_eq!(found[0], r#"{"from":"client","bytes":12}"#);
        assert_eq!(found[1], r#"{"from":"client","bytes":4}"#);
    }

    #[test]
    fn a_broken_frame_is_said_once_and_then_bytes_are_counted() {
        let mut bytes = ClientHello::OURS.encode().to_vec();
        bytes.extend_from_slice(&[0xff; 20]);
        let mut follower = Follower::new(Side::Client, false);
        let found = lines(&mut follower, &bytes);
        assert!(found[1].contains(r#""error":"#), "{}", found[1]);
        assert_eq!(
            lines(&mut follower, b"xyz"),
            [r#"{"from":"client","bytes":3}"#]
        );
    }
}
