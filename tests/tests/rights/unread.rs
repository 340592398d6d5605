//! Clients that ask for descriptors and do not read them.

use avpu_client::sys::{ControlRoom, receive};
use avpu_client::{ChannelConfig, Client};
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::limits::SUBSCRIPTIONS_MAX;
use avpu_proto::request::{OpenChannel, Request, Subscribe};
use avpu_proto::types::FrameRate;
use avpu_proto::version::ClientHello;
use avpu_tests::daemon::Daemon;
use nix::sys::signal::Signal;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

/// As many as fit beside the one that must not suffer.
const CROWD: usize = 60;
/// As many as a connection may have at once.
const ASKS: u16 = SUBSCRIPTIONS_MAX;

/// Descriptors that the daemon has open.
fn descriptors(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/fd", daemon.pid());
    std::fs::read_dir(folder).expect("the daemon runs").count()
}

/// A connection that says Hello, opens a channel, asks for its ring again and again, and reads nothing.
fn deaf(daemon: &Daemon, number: usize) -> UnixStream {
    let stream = UnixStream::connect(daemon.socket()).expect("it listens");
    stream.set_nonblocking(true).expect("a socket can be");
    let mut bytes = ClientHello::OURS.encode().to_vec();
    let name = format!("deaf-{number}");
    let open = Request::OpenChannel(OpenChannel {
        width: 64,
        height: 64,
        fps: FrameRate { num: 1, den: 1 },
        name: name.clone(),
        ..OpenChannel::default()
    });
    let subscribe = Request::Subscribe(Subscribe {
        name,
        ..Subscribe::default()
    });
    for id in 0..=ASKS {
        let request = if id == 0 { &open } else { &subscribe };
        encode_request(&mut bytes, RequestId::new(id), request).expect("it fits");
    }
    match (&stream).write_all(&bytes) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    stream
}

/// Reads all that is there; answers how many descriptors came with it.
fn unread(stream: &UnixStream) -> usize {
    let (mut bytes, mut room, mut descriptors) = (vec![0; 4096], ControlRoom::new(), 0);
    while receive(stream, &mut bytes, &mut room, |_| descriptors += 1).is_ok() {}
    descriptors
}

#[test]
fn a_crowd_that_reads_no_descriptor_keeps_none_from_others() {
    let daemon = Daemon::start("pace=free");
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let channel = client.open_channel(&ChannelConfig::new(64, 64).name("main"));
    let channel = channel.expect("there is room");
    let before = descriptors(&daemon);
    let crowd: Vec<UnixStream> = (0..CROWD).map(|number| deaf(&daemon, number)).collect();
    // Who is served with others has them heard as well.
    let clients = || client.status().expect("it serves").clients;
    assert!((0..64).any(|_| clients() == u32::try_from(CROWD).expect("few") + 1));
    for _ in 0..8 {
        let buffers = channel.lease(1).expect("a descriptor comes with it");
        channel.return_buffers(buffers).expect("it takes it back");
        drop(channel.subscribe().expect("a descriptor comes with it"));
    }
    // A socket for each, a ring for its channel, and what waits for it to read: four at most, as four more are on their way.
    let most = before + CROWD * (1 + 1 + 4);
    assert!(descriptors(&daemon) <= most, "{}", descriptors(&daemon));
    // What is on its way to each while the daemon does not go on.
    daemon.signal(Signal::SIGSTOP);
    let on_their_way: Vec<usize> = crowd.iter().map(unread).collect();
    daemon.signal(Signal::SIGCONT);
    assert_eq!(on_their_way, [4; CROWD]);
    drop(crowd);
    assert!((0..64).any(|_| clients() == 1));
    assert_eq!(descriptors(&daemon), before);
    assert!(daemon.stop().expect("it ends").success());
}
