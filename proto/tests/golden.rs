//! The bytes of every message of version 1, in `golden.txt` and, for messages that came or grew later, in `grown.txt`. A
//! change of those bytes breaks clients in the field: lines are added, never changed. A message that grew keeps its
//! older, shorter lines: they must mean what they always meant.
//!
//! The files were made by an encoder in another language that follows `PROTOCOL.md`, so they also say that the two
//! agree.

use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::Event;
use avpu_proto::frame::{HEADER_BYTES, RequestId, encode_event, encode_reply, encode_request};
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use std::collections::BTreeSet;

#[derive(Debug, PartialEq)]
enum Message {
    Request(Request),
    Reply(Reply),
    Event(Event),
}

impl Message {
    fn decode(kind: &str, body: &[u8]) -> Result<Self, DecodeError> {
        match kind {
            "request" => decode::request(body).map(Self::Request),
            "reply" => decode::reply(body).map(Self::Reply),
            "event" => decode::event(body).map(Self::Event),
            kind => panic!("expected request, reply or event, found {kind}"),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (mut bytes, id) = (Vec::new(), RequestId::new(1));
        match self {
            Self::Request(request) => encode_request(&mut bytes, id, request),
            Self::Reply(reply) => encode_reply(&mut bytes, id, 0, reply),
            Self::Event(event) => encode_event(&mut bytes, event),
        }
        .unwrap();
        bytes.split_off(HEADER_BYTES)
    }

    fn text(&self) -> String {
        match self {
            Self::Request(request) => format!("{request:?}"),
            Self::Reply(reply) => format!("{reply:?}"),
            Self::Event(event) => format!("{event:?}"),
        }
    }
}

/// A line of the file.
struct Golden {
    kind: &'static str,
    /// The message's number, then its fields.
    parts: Vec<Vec<u8>>,
    text: &'static str,
}

impl Golden {
    fn bytes(&self) -> Vec<u8> {
        self.parts.concat()
    }

    fn message(&self) -> Message {
        Message::decode(self.kind, &self.bytes())
            .unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// All lines, the older forms of messages that grew among them.
fn golden() -> Vec<Golden> {
    [include_str!("golden.txt"), include_str!("grown.txt")]
        .into_iter()
        .flat_map(lines)
        .collect()
}

/// The lines that have every field of their message.
fn whole() -> Vec<Golden> {
    let grown = lines(include_str!("grown.txt"));
    let number = |line: &Golden| (line.kind, decode::number(&line.bytes()).unwrap());
    let later: BTreeSet<_> = grown.iter().map(number).collect();
    let older = lines(include_str!("golden.txt")).into_iter();
    let unchanged = older.filter(|line| !later.contains(&number(line)));
    unchanged.chain(grown).collect()
}

fn lines(file: &'static str) -> Vec<Golden> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut columns = line.split(" | ");
            let mut column = || columns.next().expect("three columns");
            Golden {
                kind: column(),
                parts: column().split(' ').map(hex).collect(),
                text: column(),
            }
        })
        .collect()
}

/// Whether `text` is `older` with nothing but fields added at the ends of its structs.
fn only_grew(older: &str, text: &str) -> bool {
    let (mut older, mut text) = (older, text);
    while let Some(next) = text.chars().next() {
        if older.starts_with(next) {
            older = &older[next.len_utf8()..];
            text = &text[next.len_utf8()..];
            continue;
        }
        // A struct of the older text ends here, and this one goes on with further fields.
        if !(older.starts_with(" }") && text.starts_with(", ")) {
            return false;
        }
        let mut depth = 0;
        let end = text.char_indices().position(|(_, c)| {
            depth += i32::from("{[(".contains(c)) - i32::from("}])".contains(c));
            depth < 0
        });
        let Some(end) = end.and_then(|end| text[..end].rfind(' ')) else {
            return false;
        };
        text = &text[end..];
    }
    older.is_empty()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]);
    bytes.map(|byte| u8::try_from(byte).unwrap()).collect()
}

#[test]
fn every_message_is_these_bytes_and_means_this() {
    for golden in whole() {
        let message = golden.message();
        assert_eq!(message.text(), golden.text);
        assert_eq!(message.encode(), golden.bytes(), "{}", golden.text);
    }
}

#[test]
fn a_message_without_the_fields_that_came_later_means_what_it_meant() {
    for golden in golden() {
        let message = golden.message();
        let text = message.text();
        assert!(only_grew(golden.text, &text), "{}\n{text}", golden.text);
        let again = Message::decode(golden.kind, &message.encode());
        assert_eq!(again, Ok(message), "{}", golden.text);
    }
    assert!(only_grew("A(B { a: 1 })", "A(B { a: 1, b: C { d: 2 } })"));
    assert!(!only_grew("A(B { a: 1 })", "A(B { a: 2, b: 3 })"));
    assert!(!only_grew("A(B { a: 1 })", "A(B { b: 3, a: 1 })"));
}

#[test]
fn every_number_of_every_kind_is_there() {
    let numbers = |kind| -> BTreeSet<u32> {
        let lines = golden().into_iter().filter(|line| line.kind == kind);
        lines
            .map(|line| decode::number(&line.bytes()).unwrap())
            .collect()
    };
    assert_eq!(numbers("request"), (0..decode::REQUESTS).collect());
    assert_eq!(numbers("reply"), (0..decode::REPLIES).collect());
    assert_eq!(numbers("event"), (0..decode::EVENTS).collect());
    // The first number behind is unknown, not merely malformed: the counts are those of the enums.
    for (kind, number) in [
        ("request", decode::REQUESTS),
        ("reply", decode::REPLIES),
        ("event", decode::EVENTS),
    ] {
        let byte = [u8::try_from(number).unwrap()];
        let unknown = Err(DecodeError::UnknownMessage { number });
        assert_eq!(Message::decode(kind, &byte), unknown);
    }
}

#[test]
fn bytes_of_a_later_version_behind_a_message_are_ignored() {
    for golden in whole() {
        let mut extended = golden.bytes();
        extended.extend_from_slice(&[0xFF, 0x80, 0, 1, 0xC3]);
        let message = Message::decode(golden.kind, &extended);
        assert_eq!(message, Ok(golden.message()), "{}", golden.text);
    }
}

#[test]
fn missing_trailing_fields_are_zero_and_the_others_as_sent() {
    for golden in whole() {
        for kept in 1..golden.parts.len() {
            let cut = golden.parts[..kept].concat();
            let message = Message::decode(golden.kind, &cut)
                .unwrap_or_else(|error| panic!("{error}: {kept} parts of {}", golden.text));
            let again = message.encode();
            let (sent, missing) = again.split_at(cut.len());
            assert_eq!(sent, cut, "{kept} parts of {}", golden.text);
            assert!(
                missing.len() >= golden.parts.len() - kept && missing.iter().all(|byte| *byte == 0),
                "{kept} parts of {}",
                golden.text
            );
        }
    }
}

#[test]
fn a_message_cut_anywhere_never_panics_and_never_means_something_longer() {
    for golden in whole() {
        let bytes = golden.bytes();
        for len in 0..bytes.len() {
            if let Ok(message) = Message::decode(golden.kind, &bytes[..len]) {
                let again = message.encode();
                let last = len.saturating_sub(1);
                // A varint that is cut in the middle loses the bit that announces the bytes that are missing.
                assert_eq!(again[..last], bytes[..last], "{len} of {}", golden.text);
            }
        }
    }
}

#[test]
fn a_list_entry_grows_and_shrinks_on_its_own() {
    let channels = |bytes: &[u8]| match decode::reply(bytes) {
        Ok(Reply::Channels(listing)) => listing,
        other => panic!("expected channels, found {other:?}"),
    };
    // Two entries: one of an older version with two fields, one of a later version with a tail; then the cursor.
    let mut bytes = vec![9, 2, 4, 7, 2, b'a', b'b'];
    let entry = whole()
        .into_iter()
        .find(|line| line.text.starts_with("Channels(Listing"))
        .unwrap();
    let Message::Reply(Reply::Channels(listing)) = entry.message() else {
        panic!("expected channels");
    };
    let report = postcard::to_allocvec(&listing.entries[0].0).unwrap();
    bytes.extend(postcard::to_allocvec(&(report.len() + 2)).unwrap());
    bytes.extend_from_slice(&report);
    bytes.extend_from_slice(&[0xAA, 0xBB, 1, 5]);
    let found = channels(&bytes);
    assert_eq!(found.next, Some(5));
    let short = &found.entries[0].0;
    assert_eq!((short.channel.value(), short.name.as_str()), (7, "ab"));
    assert_eq!((short.pid, short.macroblock_ns), (0, 0));
    assert_eq!(found.entries[1].0, listing.entries[0].0);
}
