//! The frame decoder and the message decoders behind it: what they take, they write again as the same bytes or shorter,
//! and in whatever pieces the bytes come, the frames are the same.
#![no_main]

use avpu_proto::decode;
use avpu_proto::frame::{
    Decoder, Frame, FrameError, HEADER_BYTES, Kind, encode_event, encode_reply, encode_request,
};
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else {
        return;
    };
    greet(bytes);
    let whole = frames(bytes, bytes.len().max(1));
    let pieces = frames(bytes, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "in pieces of {piece}");
    for (header, body) in &whole.0 {
        look_into(*header, body);
    }
});

fn greet(bytes: &[u8]) {
    if let Some(hello) = bytes.first_chunk::<HELLO_BYTES>() {
        if let Ok(client) = ClientHello::decode(*hello) {
            assert_eq!(client.encode(), *hello);
            let answer = client.answer();
            let read = DaemonHello::decode(answer.encode(), client);
            assert_eq!(read, Ok(answer));
        }
        let _ = DaemonHello::decode(*hello, ClientHello::OURS);
    }
}

type Frames = Vec<(avpu_proto::frame::Header, Vec<u8>)>;

/// All frames, and how the stream ended if it cannot be read on.
fn frames(mut bytes: &[u8], piece: usize) -> (Frames, Option<FrameError>) {
    let mut decoder = Decoder::new();
    let mut found = Frames::new();
    loop {
        match decoder.next() {
            Ok(Some(Frame { header, body })) => {
                found.push((header, body.to_vec()));
                continue;
            }
            Ok(None) => {}
            Err(error) => return (found, Some(error)),
        }
        if bytes.is_empty() {
            return (found, None);
        }
        let (next, _) = bytes.split_at(piece.min(bytes.len()));
        let taken = decoder.push(next);
        assert!(taken > 0, "a decoder without a whole frame has room");
        bytes = bytes.split_at(taken).1;
    }
}

/// What a body says can be said again, and is then read as the same.
fn look_into(header: avpu_proto::frame::Header, body: &[u8]) {
    let mut again = Vec::new();
    let id = header.id;
    match header.kind {
        Kind::Request => {
            if let Ok(request) = decode::request(body)
                && encode_request(&mut again, id, &request).is_ok()
            {
                assert_eq!(decode::request(&again[HEADER_BYTES..]), Ok(request));
            }
        }
        Kind::Reply => {
            if let Ok(reply) = decode::reply(body)
                && encode_reply(&mut again, id, 0, &reply).is_ok()
            {
                assert_eq!(decode::reply(&again[HEADER_BYTES..]), Ok(reply));
            }
        }
        Kind::Event => {
            if let Ok(event) = decode::event(body)
                && encode_event(&mut again, &event).is_ok()
            {
                assert_eq!(decode::event(&again[HEADER_BYTES..]), Ok(event));
            }
        }
    }
}
