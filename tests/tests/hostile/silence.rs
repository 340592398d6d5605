//! Clients that stop reading. What is kept for each is bounded, and nobody waits for it.

use crate::peer::{Heard, Peer, rest};
use crate::scene::{Scene, VICTIM, data_kib};
use avpu_client::{ChannelConfig, Client};
use avpu_proto::event::Event;
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::reply::Reply;
use avpu_proto::request::{ReleasePackets, Request, Subscribe, Watch};
use avpu_proto::types::SubscriptionId;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// Sends requests for a status until the socket takes no more; says how many went whole.
fn flood(peer: &mut Peer) -> usize {
    peer.stream.set_nonblocking(true).expect("a socket can be");
    let (mut count, mut bytes) = (0, Vec::new());
    encode_request(&mut bytes, RequestId::new(9), &Request::Status).expect("it fits");
    loop {
        match peer.stream.write(&bytes) {
            Ok(sent) => {
                assert_eq!(
                    sent,
                    bytes.len(),
                    "a short message goes whole or not at all"
                );
                count += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
            Err(error) => panic!("expected a full socket, found {error}"),
        }
    }
}

#[test]
fn who_does_not_read_its_replies_is_not_heard_and_costs_a_bounded_buffer() {
    let mut scene = Scene::new("");
    let before = data_kib(&scene.daemon);
    let expelled = scene.expelled();
    scene.beside("a flood of requests", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let asked = flood(&mut peer);
        let client = Client::connect(daemon.socket()).expect("others are taken");
        assert_eq!(client.status().expect("others are heard").clients, 3);
        assert!(data_kib(daemon) < before + 1024, "what is kept is bounded");
        // Nothing is lost on one that reads again.
        peer.stream.set_nonblocking(false).expect("a socket can be");
        let (mut heard, mut bytes) = (Heard::default(), [0; 4096]);
        while heard.replies.len() < asked {
            let count = peer.stream.read(&mut bytes).expect("it answers");
            let found = heard.replies.len();
            assert!(
                count > 0,
                "expected {asked} replies, found {found} and the end"
            );
            heard.take_in(&bytes[..count]);
        }
        assert_eq!(heard.replies.len(), asked);
    });
    assert_eq!(scene.expelled(), expelled, "it did nothing wrong");
    scene.finish();
}

#[test]
fn who_does_not_read_what_it_is_told_is_closed() {
    let mut scene = Scene::new("");
    let expelled = scene.expelled();
    let before = data_kib(&scene.daemon);
    scene.beside("a watcher that does not look", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        assert_eq!(peer.ask(&Request::Watch(Watch { on: true })), Reply::Done);
        flood(&mut peer);
        // Every channel that comes and goes is told to it, until too much of that waits.
        let client = Client::connect(daemon.socket()).expect("others are taken");
        let config = ChannelConfig::new(64, 64).name("a-name-of-thirty-two-bytes-as-is");
        let closed = (0..2000).find(|_| {
            drop(client.open_channel(&config).expect("there is room"));
            client.status().expect("others are heard").clients_expelled > expelled
        });
        assert!(closed.is_some_and(|count| count > 50), "{closed:?}");
        assert!(data_kib(daemon) < before + 1024, "what is kept is bounded");
        peer.stream.set_nonblocking(false).expect("a socket can be");
        rest(&peer.stream);
    });
    assert_eq!(scene.expelled(), expelled + 1);
    scene.finish();
}

#[test]
fn readers_that_release_nothing_get_their_credits_and_no_more() {
    const CREDITS: u16 = 4;
    let mut scene = Scene::new("");
    let socket = scene.daemon.socket();
    let mut idle: Vec<Peer> = (0..4).map(|_| Peer::connect(&socket)).collect();
    let subscribe = |peer: &mut Peer| -> SubscriptionId {
        let wish = Request::Subscribe(Subscribe {
            name: VICTIM.to_owned(),
            credits: CREDITS,
            ..Subscribe::default()
        });
        match peer.ask(&wish) {
            Reply::Subscribed(subscribed) => subscribed.subscription,
            other => panic!("expected a subscription, found {other:?}"),
        }
    };
    let subscriptions: Vec<_> = idle.iter_mut().map(subscribe).collect();
    for round in 0..12 {
        scene.beside(&format!("round {round} of reading nothing"), |_| {});
    }
    for (peer, subscription) in idle.iter_mut().zip(subscriptions) {
        // Everything that was sent before the reply is there with it.
        assert!(matches!(peer.ask(&Request::Status), Reply::Status(_)));
        let packets = |events: &[Event]| -> Vec<u32> {
            let packet = |event: &Event| match event {
                Event::Packet(packet) => Some(packet.sequence.value()),
                _ => None,
            };
            events.iter().filter_map(packet).collect()
        };
        let first = packets(&peer.events);
        assert_eq!(first.len(), usize::from(CREDITS), "{:?}", peer.events);
        let last = peer.events.drain(..).next_back().expect("some");
        let Event::Packet(last) = last else {
            panic!("expected packets alone, found {last:?}");
        };
        let release = Request::ReleasePackets(ReleasePackets {
            subscription,
            sequence: last.sequence,
        });
        assert_eq!(peer.ask(&release), Reply::Done);
        assert!(matches!(peer.ask(&Request::Status), Reply::Status(_)));
        assert_eq!(packets(&peer.events).len(), usize::from(CREDITS));
    }
    drop(idle);
    scene.finish();
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let mut scene = Scene::new("");
    scene.beside("a crowd that says nothing", |daemon| {
        let connect = || UnixStream::connect(daemon.socket()).expect("it listens");
        let crowd: Vec<UnixStream> = (0..100).map(|_| connect()).collect();
        let client = Client::connect(daemon.socket()).expect("who speaks is heard");
        assert_eq!(client.status().expect("it serves").clients, 2);
        drop(crowd);
    });
    scene.finish();
}
