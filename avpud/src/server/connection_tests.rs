//! Connections over socket pairs: every way a peer can misbehave, and that nothing of it is left open.

use super::connection::{Connection, ControlBuffer, Fault, Incoming};
use crate::limits::{
    DESCRIPTORS_UNREAD_MAX, OUTPUT_BYTES_BUSY, OUTPUT_BYTES_MAX, OUTPUT_DESCRIPTORS_BUSY,
};
use crate::sys;
use avpu_proto::event::Event;
use avpu_proto::frame::{Decoder, Kind, RequestId, encode_event, encode_reply, encode_request};
use avpu_proto::reply::Reply;
use avpu_proto::request::{ImportBuffer, Request, Submit, Subscribe};
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use avpu_proto::{decode, limits};
use mio::net::UnixStream;
use mio::{Events, Poll, Token};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::fs;
use std::io::{IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream as Peer;
use std::time::Duration;

struct World {
    connection: Connection,
    peer: Peer,
    control: ControlBuffer,
}

impl World {
    fn new() -> Self {
        let (ours, peer) = Peer::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        Self {
            connection: Connection::new(UnixStream::from_std(ours)).unwrap(),
            peer,
            control: ControlBuffer::new(),
        }
    }

    fn greeted() -> Self {
        let mut world = Self::new();
        world.peer.write_all(&ClientHello::OURS.encode()).unwrap();
        assert!(matches!(world.hear(), Ok(Some(Incoming::Hello(_)))));
        world
    }

    /// What the connection makes of what the peer sent since.
    fn hear(&mut self) -> Result<Option<Incoming>, Fault> {
        self.connection.note_ready(true, true);
        self.connection.receive(&mut self.control)
    }

    fn say(&mut self, id: u16, request: &Request) {
        let mut bytes = Vec::new();
        encode_request(&mut bytes, RequestId::new(id), request).unwrap();
        self.peer.write_all(&bytes).unwrap();
    }

    /// Reads once as the peer does; descriptors that came are counted and closed.
    fn receive(
        &self,
        bytes: &mut [u8],
        control: &mut ControlBuffer,
        descriptors: &mut usize,
    ) -> Result<usize, Errno> {
        sys::receive(self.peer.as_fd(), bytes, control.space(), |_| {
            *descriptors += 1
        })
    }

    fn fault(&mut self) -> Fault {
        self.hear().expect_err("the peer misbehaved")
    }
}

fn subscribe(name: &str) -> Request {
    Request::Subscribe(Subscribe {
        name: name.to_owned(),
        ..Subscribe::default()
    })
}

#[test]
fn a_hello_and_requests_behind_it_are_understood_in_any_portions() {
    let mut stream = ClientHello::OURS.encode().to_vec();
    encode_request(&mut stream, RequestId::new(7), &subscribe("main")).unwrap();
    encode_request(&mut stream, RequestId::new(8), &Request::Status).unwrap();
    for size in 1..stream.len() {
        let mut world = World::new();
        let mut heard = Vec::new();
        for portion in stream.chunks(size) {
            world.peer.write_all(portion).unwrap();
            while let Some(incoming) = world.hear().unwrap() {
                heard.push(incoming);
            }
        }
        let [
            Incoming::Hello(hello),
            Incoming::Request {
                id: 7,
                body: Some(first),
            },
            Incoming::Request {
                id: 8,
                body: Some(second),
            },
        ] = heard.as_slice()
        else {
            panic!("portions of {size}: {heard:?}");
        };
        assert_eq!(*hello, ClientHello::OURS);
        assert_eq!((first, second), (&subscribe("main"), &Request::Status));
    }
}

#[test]
fn the_kernel_says_who_the_peer_is() {
    let peer = World::new().connection.peer();
    assert_eq!(peer.pid, std::process::id());
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
}

#[test]
fn a_stranger_is_told_apart_from_a_client() {
    let mut world = World::new();
    world.peer.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(matches!(world.fault(), Fault::Hello(_)));
}

#[test]
fn broken_frames_are_faults_before_their_body_is_waited_for() {
    let too_long = limits::FRAME_BODY_LEN_MAX + 1;
    let header = |len: u32, kind: u8, flags: u8| {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend([kind, flags, 0, 0]);
        bytes
    };
    type Expected = fn(&Fault) -> bool;
    let cases: [(Vec<u8>, Expected); 6] = [
        (header(too_long, 1, 0), |f| matches!(f, Fault::Frame(_))),
        (header(0, 1, 0), |f| matches!(f, Fault::Frame(_))),
        (header(5, 9, 0), |f| matches!(f, Fault::Frame(_))),
        (header(5, 1, 0x80), |f| matches!(f, Fault::Frame(_))),
        ([header(1, 2, 0), vec![1]].concat(), |f| {
            matches!(f, Fault::Kind(Kind::Reply))
        }),
        ([header(1, 1, 1), vec![0]].concat(), |f| {
            matches!(f, Fault::Descriptors(1))
        }),
    ];
    for (bytes, expected) in cases {
        let mut world = World::greeted();
        world.peer.write_all(&bytes).unwrap();
        let fault = world.fault();
        assert!(expected(&fault), "{bytes:?}: {fault:?}");
        assert!(fault.is_misbehaviour());
    }
}

#[test]
fn a_cut_request_is_a_fault_and_one_of_a_later_version_is_not() {
    let mut world = World::greeted();
    world
        .peer
        .write_all(&[2, 0, 0, 0, 1, 0, 3, 0, 200, 1])
        .unwrap();
    let heard = world.hear().unwrap();
    assert!(
        matches!(heard, Some(Incoming::Request { id: 3, body: None })),
        "{heard:?}"
    );
    // Subscribe by a name of which five bytes are said to follow and none does.
    world
        .peer
        .write_all(&[3, 0, 0, 0, 1, 0, 4, 0, 8, 0, 5])
        .unwrap();
    assert!(matches!(world.fault(), Fault::Body(_)));
}

#[test]
fn descriptors_are_closed_and_their_sender_with_them() {
    let name = "avpud-test-of-descriptors";
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().contains(name))
            .count()
    };
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC).unwrap();
    let mut world = World::greeted();
    let mut bytes = Vec::new();
    encode_request(&mut bytes, RequestId::new(1), &Request::Status).unwrap();
    sendmsg::<UnixAddr>(
        world.peer.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        &[ControlMessage::ScmRights(&[file.as_raw_fd(); 100])],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    assert_eq!(open(), 1);
    assert!(matches!(world.fault(), Fault::Descriptors(100)));
    assert_eq!(open(), 1);
}

fn send(world: &World, bytes: &[u8], descriptors: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() {
        &[][..]
    } else {
        &rights
    };
    let parts = [IoSlice::new(bytes)];
    let peer = world.peer.as_raw_fd();
    sendmsg::<UnixAddr>(peer, &parts, rights, MsgFlags::empty(), None).unwrap();
}

/// An import that announces so many descriptors.
fn import(id: u16, announced: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = Request::ImportBuffer(ImportBuffer { len_bytes: 4096 });
    encode_request(&mut bytes, RequestId::new(id), &request).unwrap();
    bytes[5] = announced;
    bytes
}

#[test]
fn a_descriptor_that_an_import_announces_is_handed_on_with_it() {
    let file = memfd_create("buffer", MFdFlags::MFD_CLOEXEC).unwrap();
    let fd = file.as_raw_fd();
    for cut in [0, 1, 7] {
        let mut world = World::greeted();
        let mut status = Vec::new();
        encode_request(&mut status, RequestId::new(1), &Request::Status).unwrap();
        // A request before it, itself in two pieces, and one behind it.
        send(&world, &status, &[]);
        let bytes = import(2, 1);
        let (head, tail) = bytes.split_at(bytes.len() - cut);
        send(&world, head, &[fd]);
        if cut > 0 {
            assert!(matches!(
                world.hear(),
                Ok(Some(Incoming::Request { id: 1, .. }))
            ));
            assert!(matches!(world.hear(), Ok(None)));
            send(&world, &[tail, &status].concat(), &[]);
        } else {
            send(&world, &status, &[]);
            assert!(matches!(
                world.hear(),
                Ok(Some(Incoming::Request { id: 1, .. }))
            ));
        }
        assert!(world.connection.take_rider().is_none());
        assert!(matches!(
            world.hear(),
            Ok(Some(Incoming::Request { id: 2, .. }))
        ));
        assert!(world.connection.take_rider().is_some());
        assert!(world.connection.take_rider().is_none());
        assert!(matches!(
            world.hear(),
            Ok(Some(Incoming::Request { id: 1, .. }))
        ));
        assert!(world.connection.take_rider().is_none());
    }
}

#[test]
fn an_import_has_exactly_one_descriptor() {
    let file = memfd_create("buffer", MFdFlags::MFD_CLOEXEC).unwrap();
    let fd = file.as_raw_fd();
    let mut world = World::greeted();
    send(&world, &import(1, 1), &[]);
    assert!(matches!(world.fault(), Fault::NoDescriptor));
    let mut world = World::greeted();
    send(&world, &import(1, 0), &[fd]);
    assert!(matches!(world.fault(), Fault::NoDescriptor));
    let mut world = World::greeted();
    send(&world, &import(1, 1), &[fd, fd]);
    assert!(matches!(world.fault(), Fault::Descriptors(1)));
    let mut world = World::greeted();
    send(&world, &import(1, 1), &[fd; 5]);
    assert!(matches!(world.fault(), Fault::Descriptors(5)));
}

#[test]
fn a_peer_that_leaves_is_no_misbehaviour() {
    let mut world = World::greeted();
    drop(world.peer);
    world.connection.note_ending();
    let fault = world.connection.receive(&mut world.control).unwrap_err();
    assert!(matches!(fault, Fault::Hangup) && !fault.is_misbehaviour());
}

#[test]
fn replies_and_events_arrive_whole_in_order_and_with_their_descriptors() {
    let mut world = World::greeted();
    world.connection.greet(DaemonHello::Welcome { version: 1 });
    let file = fs::File::open("/dev/null").unwrap();
    world.connection.reply(1, &Reply::Done, None).unwrap();
    world
        .connection
        .reply(2, &Reply::Done, Some(file.into()))
        .unwrap();
    world.connection.event(&Event::Shutdown).unwrap();
    assert!(world.connection.flush().unwrap());

    let mut hello = [0; HELLO_BYTES];
    world.peer.read_exact(&mut hello).unwrap();
    let mut bytes = vec![0; 1000];
    let count = world.peer.read(&mut bytes).unwrap();
    // Without room for descriptors the kernel ends a read before the bytes that carry one.
    let more = world.peer.read(&mut bytes[count..]).unwrap_or(0);
    let mut decoder = Decoder::new();
    decoder.push(&bytes[..count + more]);
    let mut seen = Vec::new();
    while let Some(frame) = decoder.next().unwrap() {
        seen.push((
            frame.header.kind,
            frame.header.id.number(),
            frame.header.descriptors,
        ));
    }
    let expected = [
        (Kind::Reply, 1, 0),
        (Kind::Reply, 2, 1),
        (Kind::Event, 0, 0),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_peer_that_does_not_read_is_not_waited_for() {
    let mut world = World::greeted();
    let mut one = Vec::new();
    encode_event(&mut one, &Event::Shutdown).unwrap();
    let mut sent = 0;
    let fault = loop {
        match world.connection.event(&Event::Shutdown) {
            Ok(()) => sent += 1,
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::SlowConsumer));
    assert_eq!(sent, OUTPUT_BYTES_MAX / one.len());
}

#[test]
fn requests_wait_while_their_replies_are_not_read() {
    let mut world = World::greeted();
    for id in 0..4 {
        world.say(id, &Request::Submit(Submit::default()));
    }
    let mut one = Vec::new();
    encode_event(&mut one, &Event::Shutdown).unwrap();
    for _ in 0..OUTPUT_BYTES_BUSY.div_ceil(one.len()) {
        world.connection.event(&Event::Shutdown).unwrap();
    }
    assert!(matches!(world.hear(), Ok(None)));
    assert!(world.connection.flush().unwrap());
    assert!(matches!(
        world.hear(),
        Ok(Some(Incoming::Request { id: 0, .. }))
    ));
}

#[test]
fn requests_wait_while_descriptors_of_their_replies_are_not_read() {
    let mut world = World::greeted();
    for id in 0..8 {
        world.say(id, &subscribe("main"));
    }
    let mut answered = 0;
    while let Some(Incoming::Request { id, .. }) = world.hear().unwrap() {
        let file = fs::File::open("/dev/null").unwrap();
        let sent = world.connection.reply(id, &Reply::Done, Some(file.into()));
        sent.unwrap();
        answered += 1;
    }
    assert_eq!(answered, OUTPUT_DESCRIPTORS_BUSY);
    assert!(!world.connection.is_leaving() && world.connection.has_work());
    assert!(world.connection.flush().unwrap());
    assert!(matches!(world.hear(), Ok(Some(Incoming::Request { .. }))));
}

#[test]
fn a_peer_that_does_not_read_has_few_descriptors_on_their_way_and_then_gets_the_rest() {
    let mut world = World::greeted();
    let read = |world: &World| -> (usize, usize) {
        let (mut bytes, mut control) = (vec![0; 4096], ControlBuffer::new());
        let (mut total, mut descriptors) = (0, 0);
        // A read ends before the bytes that carry the next one.
        while let Ok(count) = world.receive(&mut bytes, &mut control, &mut descriptors) {
            total += count;
        }
        (total, descriptors)
    };
    let mut one = Vec::new();
    encode_reply(&mut one, RequestId::new(0), 1, &Reply::Done).unwrap();
    let sent = 2 * DESCRIPTORS_UNREAD_MAX + 1;
    for _ in 0..sent {
        let file = fs::File::open("/dev/null").unwrap();
        let waits = world.connection.reply(0, &Reply::Done, Some(file.into()));
        waits.unwrap();
    }
    let (mut arrived, mut rounds) = ((0, 0), 0);
    while arrived.1 < sent {
        let done = world.connection.flush().unwrap();
        // What it was sent and has not read holds up the rest, room or not.
        world.connection.note_ready(false, true);
        assert_eq!(world.connection.flush().unwrap(), done);
        let (bytes, descriptors) = read(&world);
        assert!((1..=DESCRIPTORS_UNREAD_MAX).contains(&descriptors));
        arrived = (arrived.0 + bytes, arrived.1 + descriptors);
        assert_eq!(done, arrived.1 == sent);
        world.connection.note_ready(false, true);
        rounds += 1;
    }
    assert_eq!((arrived, rounds), ((sent * one.len(), sent), 3));
}

#[test]
fn a_full_socket_keeps_what_waits_and_goes_on_when_there_is_room() {
    let mut world = World::greeted();
    let mut one = Vec::new();
    encode_event(&mut one, &Event::Shutdown).unwrap();
    let mut pushed = 0;
    while world.connection.flush().unwrap() {
        for _ in 0..100 {
            world.connection.event(&Event::Shutdown).unwrap();
            pushed += 1;
        }
    }
    let (mut decoder, mut bytes, mut events) = (Decoder::new(), vec![0; 4096], 0);
    while events < pushed {
        let count = world.peer.read(&mut bytes).unwrap();
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            while let Some(frame) = decoder.next().unwrap() {
                assert_eq!(decode::event(frame.body), Ok(Event::Shutdown));
                events += 1;
            }
        }
        world.connection.note_ready(false, true);
        world.connection.flush().unwrap();
    }
    assert_eq!(events, pushed);
}

#[test]
fn a_request_takes_one_read_and_the_last_ones_are_read_to_the_end() {
    let mut world = World::new();
    let hello = ClientHello::OURS.encode();
    world.peer.write_all(&hello[..5]).unwrap();
    assert!(matches!(world.hear(), Ok(None)));
    assert!(!world.connection.has_work());
    world.peer.write_all(&hello[5..]).unwrap();
    assert!(matches!(world.hear(), Ok(Some(Incoming::Hello(_)))));
    world.say(0, &Request::Status);
    world.say(1, &Request::Status);
    for id in 0..2 {
        assert!(world.connection.has_work());
        let heard = world.connection.receive(&mut world.control);
        assert!(matches!(heard, Ok(Some(Incoming::Request { id: found, .. })) if found == id));
    }
    // What comes now is not looked for until the kernel tells of it.
    world.say(2, &Request::Status);
    let heard = world.connection.receive(&mut world.control);
    assert!(matches!(heard, Ok(None)));
    assert!(!world.connection.has_work());
    world.peer.shutdown(Shutdown::Write).unwrap();
    world.connection.note_ending();
    let heard = world.connection.receive(&mut world.control);
    assert!(matches!(heard, Ok(Some(Incoming::Request { id: 2, .. }))));
    let heard = world.connection.receive(&mut world.control);
    assert!(matches!(heard, Err(Fault::Hangup)));
}

#[test]
fn a_peer_that_reads_wakes_the_loop_only_while_something_waits_for_it() {
    let mut world = World::greeted();
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
    let connection = &mut world.connection;
    connection.register(poll.registry(), Token(0)).unwrap();
    // Whether the kernel tells of room once the peer has read everything.
    let mut told = |connection: &mut Connection| {
        connection.watch_room(poll.registry(), Token(0)).unwrap();
        let mut bytes = vec![0; 4096];
        while world.peer.read(&mut bytes).is_ok() {}
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().any(mio::event::Event::is_writable)
    };
    connection.event(&Event::Shutdown).unwrap();
    assert!(connection.flush().unwrap());
    assert!(!told(connection));
    loop {
        connection.event(&Event::Shutdown).unwrap();
        if !connection.flush().unwrap() {
            break;
        }
    }
    assert!(told(connection));
    connection.note_ready(false, true);
    assert!(connection.flush().unwrap());
    assert!(!told(connection));
}

#[test]
fn nothing_is_heard_after_the_farewell() {
    let mut world = World::greeted();
    world.say(1, &Request::Status);
    world.connection.say_farewell();
    assert!(matches!(world.hear(), Ok(None)));
    assert!(world.connection.is_leaving());
}
