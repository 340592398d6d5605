//! Bytes that are no protocol, or nearly one.

use crate::peer::{Peer, open_small, replies, say, say_until};
use crate::scene::{Scene, data_kib};
use avpu_model::rng::Rng;
use avpu_proto::decode;
use avpu_proto::error::ErrorCode;
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::limits::FRAME_BODY_LEN_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::types::Join;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES, Reason};

const HELLO: [u8; HELLO_BYTES] = *b"AVPU\x01\0\x01\0\0\0\0\0";

/// The id of a last request, which is known to be one.
const LAST: u16 = 99;

fn frame(len: u32, kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = HELLO.to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend([kind, flags, 7, 0]);
    bytes.extend(body);
    bytes
}

#[test]
fn what_is_no_hello_is_turned_away_with_its_reason() {
    let mut scene = Scene::new("");
    let cases: [(&[u8], Reason); 6] = [
        (b"AVPV\x01\0\x01\0\0\0\0\0", Reason::NotHello),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", Reason::NotHello),
        (b"AVPU\x01\0\x01\0\x01\0\0\0", Reason::NotHello),
        (b"AVPU\x02\0\x01\0\0\0\0\0", Reason::NotHello),
        (b"AVPU\x02\0\xff\xff\0\0\0\0", Reason::NoCommonVersion),
        (b"AVPU\0\0\0\0\0\0\0\0", Reason::NoCommonVersion),
    ];
    for (says, reason) in cases {
        let label = says.escape_ascii().to_string();
        let answer = scene.beside(&label, |daemon| say(&daemon.socket(), says));
        let answer = answer.try_into().expect("a hello and nothing else");
        let refused = DaemonHello::decode(answer, ClientHello::OURS);
        assert_eq!(refused, Ok(DaemonHello::refused(reason)), "{label}");
    }
    scene.finish();
}

#[test]
fn what_is_no_frame_is_malformed_and_the_end() {
    let mut scene = Scene::new("");
    let cases: [(&str, Vec<u8>); 11] = [
        (
            "one byte too long",
            frame(FRAME_BODY_LEN_MAX + 1, 1, 0, &[]),
        ),
        (
            "as long as can be said",
            frame(u32::MAX, 1, 0, &[0; 100_000]),
        ),
        ("an empty body", frame(0, 1, 0, &[])),
        ("kind 0", frame(1, 0, 0, &[13])),
        ("kind 200", frame(1, 200, 0, &[13])),
        ("a reply", frame(1, 2, 0, &[1])),
        ("two descriptors announced", frame(1, 1, 2, &[13])),
        ("one descriptor announced", frame(1, 1, 1, &[13])),
        ("an unknown flag", frame(1, 1, 0x80, &[13])),
        ("a number without an end", frame(6, 1, 0, &[0xff; 6])),
        ("a name that is not there", frame(3, 1, 0, &[8, 0, 5])),
    ];
    let before = scene.expelled();
    for (label, says) in &cases {
        let answer = scene.beside(label, |daemon| say(&daemon.socket(), says));
        let [(_, Reply::Refused(refusal))] = &replies(&answer)[..] else {
            panic!("expected a refusal of {label}, found {answer:?}");
        };
        assert_eq!(refusal.code, ErrorCode::MALFORMED, "{label}");
        assert!(!refusal.recoverable, "{label}");
        assert!(refusal.sentence.contains("expected") || refusal.sentence.contains("malformed"));
    }
    let count = u32::try_from(cases.len()).expect("few");
    assert_eq!(scene.expelled(), before + count);
    scene.finish();
}

#[test]
fn a_request_of_a_later_version_is_refused_and_the_connection_goes_on() {
    let mut scene = Scene::new("");
    scene.beside("unknown requests", |daemon| {
        let mut says = HELLO.to_vec();
        for (id, number) in [(1, 30), (2, 127)] {
            says.extend([3, 0, 0, 0, 1, 0, id, 0, number, 9, 9]);
        }
        says.extend([5, 0, 0, 0, 1, 0, 3, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        says.extend([1, 0, 0, 0, 1, 0, 4, 0, 13]);
        let replies = say_until(&daemon.socket(), &says, 4);
        let [(1, first), (2, second), (3, third), (4, Reply::Status(_))] = &replies[..] else {
            panic!("{replies:?}");
        };
        for reply in [first, second, third] {
            let Reply::Refused(refusal) = reply else {
                panic!("expected a refusal, found {reply:?}");
            };
            assert_eq!(refusal.code, ErrorCode::UNKNOWN_REQUEST);
            assert!(refusal.recoverable);
        }
    });
    scene.finish();
}

#[test]
fn noise_is_survived_from_the_first_byte_on() {
    let mut scene = Scene::new("");
    for seed in 1..=24 {
        let mut rng = Rng::new(seed);
        let len = usize::try_from(rng.next_u32() % 40_000).expect("it is small");
        let mut noise: Vec<u8> = (0..len).map(|_| byte(&mut rng)).collect();
        if rng.one_in(2) {
            noise.splice(0..0, HELLO);
        }
        scene.beside(&format!("noise of seed {seed}"), |daemon| {
            say(&daemon.socket(), &noise)
        });
    }
    scene.finish();
}

#[test]
fn requests_full_of_noise_are_answered_or_the_end() {
    let mut scene = Scene::new("");
    let mut answered = 0;
    for seed in 1..=32 {
        let mut rng = Rng::new(seed);
        let mut says = HELLO.to_vec();
        for id in 0..40_u16 {
            let body = noisy_request(&mut rng);
            if serves_the_victim(&body) {
                continue;
            }
            let len = u32::try_from(body.len()).expect("it is short");
            says.extend(len.to_le_bytes());
            says.extend([1, 0]);
            says.extend(id.to_le_bytes());
            says.extend(body);
        }
        let label = format!("noisy requests of seed {seed}");
        says.extend([1, 0, 0, 0, 1, 0, LAST.to_le_bytes()[0], 0, 13]);
        let replies = scene.beside(&label, |daemon| say_until(&daemon.socket(), &says, LAST));
        answered += replies.len();
    }
    assert!(answered > 100, "only {answered} replies: the noise is none");
    scene.finish();
}

#[test]
fn requests_with_single_bytes_changed_harm_nobody() {
    let mut scene = Scene::new("");
    let mut request = Vec::new();
    encode_request(&mut request, RequestId::new(1), &open_small()).expect("it fits");
    let mut rng = Rng::new(5);
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= byte(&mut rng) | 1;
        let says = [&HELLO[..], &changed, &request].concat();
        let label = format!("byte {at} changed: {changed:?}");
        scene.beside(&label, |daemon| say(&daemon.socket(), &says));
    }
    scene.finish();
}

#[test]
fn strangers_come_and_go_without_the_daemon_growing() {
    let mut scene = Scene::new("");
    let round = |scene: &mut Scene, count: u32| {
        scene.beside("a crowd", |daemon| {
            for number in 0..count {
                let socket = daemon.socket();
                match number % 4 {
                    0 => drop(say(&socket, b"GET / HTTP/1.0\r\n\r\n")),
                    1 => drop(say(&socket, &frame(u32::MAX, 1, 0, &[]))),
                    2 => drop(say(&socket, &HELLO[..5])),
                    _ => {
                        let mut peer = Peer::connect(&socket);
                        let channel = peer.open().channel;
                        peer.lease(channel, 2);
                    }
                }
            }
        });
        data_kib(&scene.daemon)
    };
    // Enough for every slot of a connection to have been used, and every buffer to have its final size.
    round(&mut scene, 200);
    let before = round(&mut scene, 200);
    let after = round(&mut scene, 1200);
    // One connection that is forgotten is over 100 KiB.
    assert!(
        after < before + 1024,
        "expected at most {before} KiB and a little, found {after}"
    );
    scene.finish();
}

fn byte(rng: &mut Rng) -> u8 {
    rng.next_u32().to_le_bytes()[3]
}

/// A request's number and fields of which most are small, so that many are whole.
fn noisy_request(rng: &mut Rng) -> Vec<u8> {
    let mut body = vec![byte(rng) % 20];
    let len = 1 + byte(rng) % 24;
    for _ in 0..len {
        let value = byte(rng);
        body.push(if rng.one_in(3) { value } else { value % 4 });
    }
    body
}

/// A key frame may be had for the asking by whoever reads: that is a service and no attack, and changes the stream.
fn serves_the_victim(body: &[u8]) -> bool {
    match decode::request(body) {
        Ok(Request::RequestIdr(_)) => true,
        Ok(Request::Subscribe(wish)) => wish.join == Join::DemandIdr,
        _ => false,
    }
}
