//! Framing: every split of the stream, limits before buffering, garbage.

use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::Event;
use avpu_proto::frame::{
    Decoder, FrameError, HEADER_BYTES, Header, Kind, RequestId, encode_event, encode_reply,
    encode_request,
};
use avpu_proto::limits::FRAME_BODY_LEN_MAX;
use avpu_proto::reply::{Reply, Submitted};
use avpu_proto::request::{Request, Submit, Subscribe};
use avpu_proto::types::{Address, ChannelId, FrameNumber};

/// Three frames, one of each kind, and the bytes that they are.
fn stream() -> Vec<u8> {
    let mut bytes = Vec::new();
    let submit = Submit {
        channel: ChannelId::new(3),
        address: Address::new(0x0600_1000),
        timestamp: u64::MAX,
        cookie: 1,
        force_idr: true,
    };
    encode_request(&mut bytes, RequestId::new(513), &Request::Submit(submit)).unwrap();
    let submitted = Submitted {
        frame: FrameNumber::new(9),
    };
    let reply = Reply::Submitted(submitted);
    encode_reply(&mut bytes, RequestId::new(513), 1, &reply).unwrap();
    encode_event(&mut bytes, &Event::Shutdown).unwrap();
    bytes
}

/// Every whole frame that the decoder has.
fn drain(decoder: &mut Decoder) -> Result<Vec<(Header, Vec<u8>)>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next()? {
        frames.push((frame.header, frame.body.to_vec()));
    }
    Ok(frames)
}

#[test]
fn every_split_of_the_stream_gives_the_same_frames() {
    let bytes = stream();
    let mut whole = Decoder::new();
    assert_eq!(whole.push(&bytes), bytes.len());
    let expected = drain(&mut whole).unwrap();
    assert_eq!(expected.len(), 3);
    for split in 0..=bytes.len() {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for part in [&bytes[..split], &bytes[split..]] {
            assert_eq!(decoder.push(part), part.len());
            found.extend(drain(&mut decoder).unwrap());
        }
        assert_eq!(found, expected, "split at {split}");
        assert_eq!(decoder.pending_bytes(), 0);
    }
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for byte in &bytes {
        decoder.push(&[*byte]);
        found.extend(drain(&mut decoder).unwrap());
    }
    assert_eq!(found, expected, "byte by byte");
}

#[test]
fn a_decoded_frame_holds_the_message_that_was_encoded() {
    let mut decoder = Decoder::new();
    decoder.push(&stream());
    let frames = drain(&mut decoder).unwrap();
    let kinds: Vec<_> = frames.iter().map(|(header, _)| header.kind).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Reply, Kind::Event]);
    assert_eq!(frames[0].0.id, RequestId::new(513));
    assert_eq!((frames[1].0.id.number(), frames[1].0.descriptors), (513, 1));
    let Request::Submit(submit) = decode::request(&frames[0].1).unwrap() else {
        panic!("another request");
    };
    assert_eq!((submit.timestamp, submit.force_idr), (u64::MAX, true));
    assert_eq!(decode::event(&frames[2].1), Ok(Event::Shutdown));
}

#[test]
fn a_frame_of_the_greatest_length_passes_through_a_part_filled_decoder() {
    let longest = usize::try_from(FRAME_BODY_LEN_MAX).unwrap();
    let header = Header {
        len_bytes: FRAME_BODY_LEN_MAX,
        kind: Kind::Reply,
        descriptors: 0,
        id: RequestId::new(7),
    };
    let mut bytes = stream();
    let before = bytes.len();
    bytes.extend_from_slice(&header.encode());
    bytes.resize(before + HEADER_BYTES + longest, 0xAB);
    bytes.extend(stream());
    let mut decoder = Decoder::new();
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let taken = decoder.push(&rest[..rest.len().min(1000)]);
        assert!(
            taken > 0,
            "no room with {} pending",
            decoder.pending_bytes()
        );
        rest = &rest[taken..];
        found.extend(drain(&mut decoder).unwrap());
    }
    assert_eq!(found.len(), 7);
    assert_eq!(found[3].1, vec![0xAB; longest]);
}

#[test]
fn an_oversize_length_is_refused_before_any_byte_of_the_body() {
    let mut decoder = Decoder::new();
    let len_bytes = FRAME_BODY_LEN_MAX + 1;
    decoder.push(&len_bytes.to_le_bytes());
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(&[1, 0, 0, 0]);
    assert_eq!(decoder.next(), Err(FrameError::TooLong { len_bytes }));
    decoder.push(&stream());
    assert_eq!(decoder.next(), Err(FrameError::TooLong { len_bytes }));
}

#[test]
fn each_header_field_is_checked() {
    let good = Header {
        len_bytes: 1,
        kind: Kind::Event,
        descriptors: 0,
        id: RequestId::new(0),
    };
    assert_eq!(Header::decode(good.encode()), Ok(good));
    let with = |index: usize, value| {
        let mut bytes = good.encode();
        bytes[index] = value;
        Header::decode(bytes)
    };
    assert_eq!(with(0, 0), Err(FrameError::Empty));
    for found in [0, 4, 255] {
        assert_eq!(with(4, found), Err(FrameError::UnknownKind { found }));
    }
    for found in [2, 3, 4, 0x80] {
        assert_eq!(with(5, found), Err(FrameError::Flags { found }));
    }
    let id = RequestId::new(0x100);
    assert_eq!(with(7, 1), Err(FrameError::EventWithId { id }));
}

#[test]
fn a_message_that_is_too_long_leaves_the_output_as_it_was() {
    let request = Request::Subscribe(Subscribe {
        name: "x".repeat(usize::try_from(FRAME_BODY_LEN_MAX).unwrap()),
        ..Subscribe::default()
    });
    let mut out = stream();
    let before = out.clone();
    let error = encode_request(&mut out, RequestId::new(1), &request).unwrap_err();
    assert!(error.len_bytes > before.len());
    assert_eq!(out, before);
}

#[test]
fn encoding_into_a_vector_with_room_does_not_move_it() {
    let mut out = Vec::with_capacity(256);
    let at = out.as_ptr();
    for _ in 0..100 {
        out.clear();
        out.extend(stream());
    }
    assert_eq!(out.as_ptr(), at);
}

/// xorshift32: enough to make garbage that a seed reproduces.
struct Garbage(u32);

impl Garbage {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_le_bytes()[1]
    }
}

#[test]
fn garbage_never_panics_and_never_makes_an_endless_message() {
    for seed in 1..400 {
        // Shown when what follows panics.
        println!("seed {seed}");
        let mut garbage = Garbage(seed);
        let bytes: Vec<u8> = (0..64).map(|_| garbage.byte()).collect();
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let frames = drain(&mut decoder).map_or(0, |frames| frames.len());
        assert!(frames <= bytes.len() / HEADER_BYTES);
        for number in 0..20 {
            let mut body = vec![number];
            body.extend_from_slice(&bytes);
            for len in 1..body.len() {
                let _ = decode::request(&body[..len]);
                let _ = decode::event(&body[..len]);
                if let Ok(Reply::Channels(list)) = decode::reply(&body[..len]) {
                    assert!(list.entries.len() <= 16);
                }
            }
        }
    }
}

#[test]
fn a_hostile_list_length_is_refused() {
    // Channels with 2^28 entries and not a byte of them.
    let endless = [9, 0xFF, 0xFF, 0xFF, 0x7F];
    assert!(matches!(
        decode::reply(&endless),
        Err(DecodeError::Malformed(_))
    ));
    // Seventeen empty entries: one more than a page has.
    let mut crowded = vec![9, 17];
    crowded.resize(2 + 17 + 1, 0);
    assert!(matches!(
        decode::reply(&crowded),
        Err(DecodeError::Malformed(_))
    ));
    crowded[1] = 16;
    assert!(decode::reply(&crowded).is_ok());
}

#[test]
fn an_unknown_message_is_told_apart_from_a_malformed_one() {
    let unknown = |number| DecodeError::UnknownMessage { number };
    assert_eq!(decode::request(&[30]).unwrap_err(), unknown(30));
    assert_eq!(decode::reply(&[18, 1, 2]).unwrap_err(), unknown(18));
    assert_eq!(decode::event(&[0xE8, 0x07]).unwrap_err(), unknown(1000));
    assert_eq!(decode::request(&[]).unwrap_err(), DecodeError::Empty);
    let malformed = decode::request(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(malformed, Err(DecodeError::Malformed(_))));
    // A name longer than the bytes that are there.
    let cut = decode::request(&[11, 0, 200, 1, b'x']);
    assert!(matches!(cut, Err(DecodeError::Malformed(_))));
}
