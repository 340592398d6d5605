//! Descriptors where none are expected.

use crate::peer::{Peer, connect, replies, rest, wait};
use crate::scene::Scene;
use avpu_proto::error::ErrorCode;
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES, Reason};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{IoSlice, PipeReader, Read, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Most that the kernel lets ride with one message.
const MOST: usize = 253;

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let parts = [IoSlice::new(bytes)];
    let socket = stream.as_raw_fd();
    sendmsg::<UnixAddr>(socket, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)
        .expect("the daemon takes it");
}

fn status() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(&mut bytes, RequestId::new(3), &Request::Status).expect("it fits");
    bytes
}

/// Waits until nobody holds the other side any more: not this process, and not the daemon.
fn wait_for_end(reader: &mut PipeReader) {
    wait(&*reader);
    let mut nothing = Vec::new();
    assert_eq!(reader.read_to_end(&mut nothing).expect("it ends"), 0);
}

#[test]
fn a_request_with_descriptors_is_the_end_of_its_sender_and_of_them() {
    let mut scene = Scene::new("");
    for count in [1, 2, MOST] {
        scene.beside(&format!("{count} descriptors"), |daemon| {
            let peer = Peer::connect(&daemon.socket());
            let (mut reader, writer) = pipe().expect("a pipe");
            send(&peer.stream, &status(), &vec![writer.as_raw_fd(); count]);
            drop(writer);
            wait_for_end(&mut reader);
            let answer = [&[0; HELLO_BYTES][..], &rest(&peer.stream)].concat();
            let [(_, Reply::Refused(refusal))] = &replies(&answer)[..] else {
                panic!("expected a refusal, found {answer:?}");
            };
            assert_eq!(refusal.code, ErrorCode::MALFORMED);
            let sentence = format!("expected no descriptor, found {count}");
            assert_eq!(refusal.sentence, sentence);
        });
    }
    scene.finish();
}

#[test]
fn a_hello_with_a_descriptor_is_no_hello() {
    let mut scene = Scene::new("");
    scene.beside("a descriptor with the hello", |daemon| {
        let stream = connect(&daemon.socket());
        let (mut reader, writer) = pipe().expect("a pipe");
        send(&stream, &ClientHello::OURS.encode(), &[writer.as_raw_fd()]);
        drop(writer);
        wait_for_end(&mut reader);
        let answer = rest(&stream).try_into().expect("a hello and nothing else");
        let refused = DaemonHello::decode(answer, ClientHello::OURS);
        assert_eq!(refused, Ok(DaemonHello::refused(Reason::NotHello)));
    });
    scene.finish();
}

#[test]
fn a_connection_sent_over_itself_is_closed_as_well() {
    let mut scene = Scene::new("");
    for _ in 0..20 {
        scene.beside("a connection that carries itself", |daemon| {
            let peer = Peer::connect(&daemon.socket());
            let itself = peer.stream.as_raw_fd();
            send(&peer.stream, &status(), &[itself; 8]);
        });
    }
    scene.finish();
}
