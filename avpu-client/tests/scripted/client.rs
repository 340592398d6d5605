//! The client library against a daemon that follows a script.

use crate::fake::{BASE, CHANNEL, Daemon, FakeRing, SUBSCRIPTION, client_of, layout, shared_file};
use avpu_client::proto::error::{ErrorCode, Refusal};
use avpu_client::proto::event::{
    EndOfStream, Event, FormatChanged, Gap, GapReason, SourceReleased,
};
use avpu_client::proto::frame::{RequestId, encode_event, encode_reply};
use avpu_client::proto::record::Record;
use avpu_client::proto::reply::{IdrPromised, Listing, Reply, Submitted};
use avpu_client::proto::report::ChannelReport;
use avpu_client::proto::request::Request;
use avpu_client::proto::types::{
    Address, ChannelId, FrameEnd, FrameNumber, Join, PictureKind, Sequence,
};
use avpu_client::proto::version::{DaemonHello, Reason};
use avpu_client::{
    ChannelConfig, Client, ClientError, Frame, GapCause, Next, Outcome, ProtocolError,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

const PROMISED: IdrPromised = IdrPromised {
    sequence: Sequence::new(0),
    wait_us: 20,
};

fn refusal(code: ErrorCode) -> Refusal {
    Refusal {
        code,
        sentence: "no".to_owned(),
        recoverable: true,
        transient: true,
    }
}

fn released(frame: u32, cookie: u64) -> Event {
    Event::SourceReleased(SourceReleased {
        channel: CHANNEL,
        frame: FrameNumber::new(frame),
        address: Address::new(BASE),
        cookie,
        end: FrameEnd::Encoded {
            sequence: Sequence::new(frame),
        },
    })
}

fn config() -> ChannelConfig {
    ChannelConfig::new(20, 10).name("main")
}

#[test]
fn a_packet_is_given_back_together_with_the_next_frame() {
    let file = shared_file(2 * layout().len_bytes);
    let (client, daemon) = client_of(move |daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.open_channel();
        daemon.subscribe(&ring);
        daemon.lease(&file);
        for number in 0..2 {
            let (id, request) = daemon.request();
            assert!(matches!(request, Request::Submit(_)), "{request:?}");
            let frame = FrameNumber::new(number);
            daemon.reply(id, &Reply::Submitted(Submitted { frame }));
            daemon.event(&ring.put(b"an access unit", PictureKind::Idr));
        }
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::ReleasePackets(_)), "{request:?}");
        daemon.reply(id, &Reply::Done);
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::Drain(_)), "{request:?}");
        daemon.reply(id, &Reply::Done);
    });
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let mut buffers = channel.lease(2).unwrap();
    channel.submit(buffers.remove(0), Frame::default()).unwrap();
    let first = reader.next_packet(None).unwrap();
    assert!(matches!(first, Next::Packet(_)), "{first:?}");
    channel.submit(buffers.remove(0), Frame::default()).unwrap();
    channel.drain().unwrap();
    daemon.join().unwrap();
}

#[test]
fn a_picture_goes_in_and_its_packet_comes_out() {
    let file = shared_file(2 * layout().len_bytes);
    let seen = file.try_clone().unwrap();
    let (client, daemon) = client_of(move |daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.open_channel();
        daemon.subscribe(&ring);
        daemon.lease(&file);
        let (id, request) = daemon.request();
        let Request::Submit(submit) = request else {
            panic!("{request:?}");
        };
        assert_eq!((submit.timestamp, submit.cookie), (u64::MAX, 77));
        assert_eq!(submit.address, Address::new(BASE));
        let frame = FrameNumber::new(0);
        daemon.reply(id, &Reply::Submitted(Submitted { frame }));
        daemon.event(&ring.put(b"an access unit", PictureKind::Idr));
        daemon.event(&released(0, 77));
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::ReleasePackets(_)), "{request:?}");
        daemon.reply(id, &Reply::Done);
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::Drain(_)), "{request:?}");
        daemon.reply(id, &Reply::Done);
        daemon.event(&Event::EndOfStream(EndOfStream {
            channel: CHANNEL,
            subscription: Some(SUBSCRIPTION),
            packets: 1,
        }));
        assert!(matches!(daemon.request().1, Request::Unsubscribe(_)));
        assert!(matches!(daemon.request().1, Request::CloseChannel(_)));
        assert!(daemon.next_request().is_none());
    });
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let mut buffers = channel.lease(2).unwrap();
    let picture: Vec<u8> = (0..=255).cycle().take(20 * 10 / 2 * 3).collect();
    let mut buffer = buffers.remove(0);
    buffer.write_nv12(&picture).unwrap();
    let frame = Frame {
        timestamp: u64::MAX,
        cookie: 77,
        force_idr: false,
    };
    assert_eq!(channel.submit(buffer, frame).unwrap().value(), 0);
    let Next::Packet(packet) = reader.next_packet(None).unwrap() else {
        panic!("expected a packet");
    };
    assert_eq!(packet.bytes, b"an access unit");
    let back = channel.next_released(None).unwrap();
    assert_eq!(back.cookie, 77);
    assert!(matches!(back.outcome, Outcome::Ended { .. }));
    assert_eq!(back.source.address(), Address::new(BASE));
    let late = reader.next_packet(Some(Duration::ZERO));
    assert!(matches!(late, Err(ClientError::Timeout)), "{late:?}");
    channel.drain().unwrap();
    assert_eq!(channel.finish(None).unwrap().packets, 1);
    let end = reader.next_packet(None).unwrap();
    assert!(matches!(end, Next::EndOfStream(_)), "{end:?}");
    drop((reader, channel, buffers, back, client));
    daemon.join().unwrap();

    let mut stored = vec![0; 64 * 24];
    seen.read_exact_at(&mut stored, 0).unwrap();
    let (luma, chroma) = picture.split_at(200);
    for line in 0..16 {
        let from = &luma[line.min(9) * 20..][..20];
        assert_eq!(stored[line * 64..][..20], *from, "luma line {line}");
        assert_eq!(
            stored[line * 64 + 20..][..12],
            [from[19]; 12],
            "edge {line}"
        );
        assert_eq!(stored[line * 64 + 32..][..32], [0; 32], "room {line}");
    }
    for line in 0..8 {
        let from = &chroma[line.min(4) * 20..][..20];
        let at = 64 * 16 + line * 64;
        assert_eq!(stored[at..][..20], *from, "chroma line {line}");
        assert_eq!(stored[at + 20..][..2], from[18..], "chroma edge {line}");
    }
}

#[test]
fn a_daemon_that_goes_away_ends_every_call_at_once() {
    let (client, daemon) = client_of(|daemon| {
        daemon.open_channel();
        daemon.subscribe(&FakeRing::new(1, CHANNEL));
        // A status that is asked while another thread waits for a packet: then the end.
        assert_eq!(daemon.request().1, Request::Status);
    });
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let gone = |error: ClientError| {
        assert!(matches!(error, ClientError::Disconnected), "{error}");
        assert_eq!(error.exit_code(), 3);
    };
    thread::scope(|scope| {
        let waiting = scope.spawn(|| gone(reader.next_packet(None).map(|_| ()).unwrap_err()));
        let released = scope.spawn(|| gone(channel.next_released(None).unwrap_err()));
        gone(client.status().unwrap_err());
        waiting.join().unwrap();
        released.join().unwrap();
    });
    gone(channel.request_idr().unwrap_err());
    gone(channel.lease(1).unwrap_err());
    gone(client.next_event(None).unwrap_err());
    let refused = channel.submit(Address::new(BASE), Frame::default());
    let error = refused.unwrap_err();
    assert!(error.source.is_some());
    gone(error.error);
    daemon.join().unwrap();
}

#[test]
fn an_idr_is_asked_for_while_another_thread_waits_for_the_packet() {
    let (client, daemon) = client_of(|daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.open_channel();
        daemon.subscribe(&ring);
        // No packet before the IDR was asked for: the waiting thread must not be in the way.
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::RequestIdr(_)), "{request:?}");
        daemon.reply(id, &Reply::IdrPromised(PROMISED));
        daemon.event(&ring.put(b"idr", PictureKind::Idr));
        while daemon.next_request().is_some() {}
    });
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    thread::scope(|scope| {
        let control = channel.clone();
        let asking = scope.spawn(move || control.request_idr().unwrap());
        let next = reader.next_packet(None).unwrap();
        assert!(matches!(next, Next::Packet(packet) if packet.bytes == b"idr"));
        assert_eq!(asking.join().unwrap(), PROMISED);
    });
    drop((reader, channel, client));
    daemon.join().unwrap();
}

#[test]
fn a_copy_that_lost_the_race_is_a_gap_and_the_next_packet_an_idr() {
    let (client, daemon) = client_of(|daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.subscribe(&ring);
        let lost = ring.put(b"lost", PictureKind::P);
        ring.overrun();
        daemon.event(&lost);
        daemon.event(&ring.put(b"refers to what was lost", PictureKind::P));
        daemon.event(&ring.put(b"idr", PictureKind::Idr));
        daemon.event(&Event::Gap(Gap {
            subscription: SUBSCRIPTION,
            first: Sequence::new(3),
            count: 2,
            reason: GapReason::Overrun,
        }));
        while daemon.next_request().is_some() {}
    });
    let mut reader = client.subscribe("main", Join::LastIdr).unwrap();
    let gap = reader.next_packet(None).unwrap();
    let cause = GapCause::Raced;
    assert_eq!(gap, Next::Gap { cause, count: 1 });
    let next = reader.next_packet(None).unwrap();
    assert!(matches!(next, Next::Packet(packet) if packet.bytes == b"idr"));
    let told = reader.next_packet(None).unwrap();
    let cause = GapCause::Told(GapReason::Overrun);
    assert_eq!(told, Next::Gap { cause, count: 2 });
    drop((reader, client));
    daemon.join().unwrap();
}

#[test]
fn another_format_is_told_before_the_first_packet_that_has_it() {
    let format = FormatChanged {
        subscription: SUBSCRIPTION,
        first: Sequence::new(1),
        width: 640,
        height: 368,
        ..FormatChanged::default()
    };
    let (client, daemon) = client_of(move |daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.subscribe(&ring);
        daemon.event(&ring.put(b"small", PictureKind::Idr));
        daemon.event(&Event::FormatChanged(format));
        daemon.event(&ring.put(b"large", PictureKind::Idr));
        while daemon.next_request().is_some() {}
    });
    let mut reader = client.subscribe("main", Join::LastIdr).unwrap();
    let next = reader.next_packet(None).unwrap();
    assert!(matches!(next, Next::Packet(packet) if packet.bytes == b"small"));
    assert_eq!(
        reader.next_packet(None).unwrap(),
        Next::FormatChanged(format)
    );
    let next = reader.next_packet(None).unwrap();
    assert!(matches!(next, Next::Packet(packet) if packet.bytes == b"large"));
    drop((reader, client));
    daemon.join().unwrap();
}

#[test]
fn a_refused_submit_gives_the_buffer_back_waited_for_or_not() {
    let file = shared_file(layout().len_bytes);
    let (client, daemon) = client_of(move |daemon| {
        daemon.open_channel();
        daemon.lease(&file);
        for _ in 0..2 {
            let (id, _) = daemon.request();
            daemon.reply(id, &Reply::Refused(refusal(ErrorCode::QUEUE_FULL)));
        }
    });
    let channel = client.open_channel(&config()).unwrap();
    let buffer = channel.lease(1).unwrap().remove(0);
    let refused = channel.submit(buffer, Frame::default()).unwrap_err();
    assert_eq!(refused.error.exit_code(), 4);
    assert!(matches!(refused.error, ClientError::Refused(refusal) if refusal.transient));
    let buffer = refused.source.unwrap();
    let frame = Frame {
        cookie: 5,
        ..Frame::default()
    };
    channel.submit_unwaited(buffer, frame).unwrap();
    let back = channel.next_released(None).unwrap();
    assert_eq!(back.cookie, 5);
    assert!(matches!(back.outcome, Outcome::Refused(_)));
    assert!(back.source.into_buffer().is_some());
    daemon.join().unwrap();
}

#[test]
fn frames_that_were_on_their_way_come_back_as_lost() {
    let file = shared_file(2 * layout().len_bytes);
    let (client, daemon) = client_of(move |daemon| {
        daemon.open_channel();
        daemon.lease(&file);
        let (id, _) = daemon.request();
        let frame = FrameNumber::new(0);
        daemon.reply(id, &Reply::Submitted(Submitted { frame }));
        daemon.request();
    });
    let channel = client.open_channel(&config()).unwrap();
    for buffer in channel.lease(2).unwrap() {
        channel.submit_unwaited(buffer, Frame::default()).unwrap();
    }
    for _ in 0..2 {
        let back = channel.next_released(None).unwrap();
        assert_eq!(back.outcome, Outcome::Lost);
        assert!(back.source.into_buffer().is_some());
    }
    let end = channel.next_released(None);
    assert!(matches!(end, Err(ClientError::Disconnected)));
    daemon.join().unwrap();
}

#[test]
fn a_reconnect_restores_channel_lease_and_reader_under_the_new_epoch() {
    let path = std::env::temp_dir().join(format!("avpu-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = thread::spawn(move || {
        for epoch in 1..=2 {
            let (stream, _) = listener.accept().unwrap();
            let mut daemon = Daemon::welcoming(stream);
            let channel = ChannelId::new(CHANNEL.value());
            let mut ring = FakeRing::new(epoch, channel);
            daemon.open_channel();
            daemon.lease(&shared_file(layout().len_bytes));
            daemon.subscribe(&ring);
            daemon.event(&ring.put(&[u8::try_from(epoch).unwrap()], PictureKind::Idr));
            if epoch == 2 {
                while daemon.next_request().is_some() {}
            }
        }
    });
    let client = Client::connect(&path).unwrap();
    let channel = client.open_channel(&config()).unwrap();
    let mut buffers = channel.lease(1).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let next = reader.next_packet(None).unwrap();
    assert!(matches!(next, Next::Packet(packet) if packet.bytes == [1]));
    let descriptor = client.as_fd().unwrap();
    assert!(reader.next_packet(None).is_err());
    assert!(
        is_ready(&descriptor),
        "the end of the connection is something to learn"
    );
    client.reconnect().unwrap();
    let next = reader.next_packet(None).unwrap();
    let cause = GapCause::Restarted;
    assert_eq!(next, Next::Gap { cause, count: 0 });
    let next = reader.next_packet(None).unwrap();
    assert!(matches!(next, Next::Packet(packet) if packet.bytes == [2]));
    buffers[0].write_at(0, b"still ours").unwrap();
    assert!(reader.try_next_packet().unwrap().is_none());
    assert!(!is_ready(&descriptor));
    assert_eq!(reader.subscribed().unwrap().epoch.value(), 2);
    drop((reader, channel, client));
    daemon.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn without_a_daemon_the_error_names_the_socket_and_is_exit_code_three() {
    let error = Client::connect("/nonexistent/avpud.sock").unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("/nonexistent/avpud.sock"));
}

#[test]
fn a_daemon_that_turns_us_away_says_why() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let answer = DaemonHello::refused(Reason::TooManyClients).encode();
    theirs.write_all(&answer).unwrap();
    drop(theirs);
    let error = Client::over(ours).unwrap_err();
    let reason = Reason::TooManyClients;
    assert!(matches!(error, ClientError::TurnedAway(found) if found == reason));
    assert_eq!(error.exit_code(), 4);
}

#[test]
fn a_descriptor_that_nobody_expects_is_closed() {
    let (client, daemon) = client_of(|daemon| {
        let (mut end, other) = UnixStream::pair().unwrap();
        let mut bytes = Vec::new();
        encode_event(&mut bytes, &Event::Shutdown).unwrap();
        daemon.send_with(&bytes, other.as_raw_fd());
        drop(other);
        // The end of the stream: nobody else holds the other end any more.
        assert_eq!(end.read(&mut [0]).unwrap(), 0);
        // And one that is announced on a reply that has no use for it.
        let (mut end, other) = UnixStream::pair().unwrap();
        let (id, _) = daemon.request();
        let mut bytes = Vec::new();
        encode_reply(&mut bytes, id, 1, &Reply::Status(Default::default())).unwrap();
        daemon.send_with(&bytes, other.as_raw_fd());
        drop(other);
        assert_eq!(end.read(&mut [0]).unwrap(), 0);
    });
    assert_eq!(client.next_event(None).unwrap(), Event::Shutdown);
    client.status().unwrap();
    daemon.join().unwrap();
}

#[test]
fn a_daemon_that_breaks_the_protocol_is_not_talked_to_again() {
    let accusation = Refusal {
        code: ErrorCode::MALFORMED,
        ..Refusal::default()
    };
    let garbage: [(&[u8], ProtocolError); 4] = [
        (
            &[5, 0, 0, 0, 2, 0, 0, 0, 0, 23, 0, 0, 0],
            ProtocolError::Accused(accusation),
        ),
        (
            &[1, 0, 0, 0, 1, 0, 1, 0, 0],
            ProtocolError::RequestFromDaemon,
        ),
        (
            &[1, 0, 0, 0, 2, 0, 9, 3, 1],
            ProtocolError::ReplyUnasked { id: 0x309 },
        ),
        (
            &[1, 0, 0, 0, 2, 1, 1, 0, 1],
            ProtocolError::DescriptorMissing,
        ),
    ];
    for (bytes, expected) in garbage {
        let (client, daemon) = client_of(move |daemon| {
            daemon.request();
            daemon.stream.write_all(bytes).unwrap();
            assert!(daemon.next_request().is_none());
        });
        for _ in 0..2 {
            let error = client.status().unwrap_err();
            assert!(
                matches!(&error, ClientError::Protocol(found) if *found == expected),
                "{error}"
            );
        }
        drop(client);
        daemon.join().unwrap();
    }
}

#[test]
fn an_unknown_event_is_skipped_and_bytes_may_come_one_by_one() {
    let (client, daemon) = client_of(|daemon| {
        let (id, _) = daemon.request();
        let mut bytes = vec![3, 0, 0, 0, 3, 0, 0, 0, 99, 1, 2];
        encode_event(&mut bytes, &Event::Shutdown).unwrap();
        encode_reply(&mut bytes, id, 0, &Reply::Status(Default::default())).unwrap();
        for byte in bytes {
            daemon.stream.write_all(&[byte]).unwrap();
        }
    });
    client.status().unwrap();
    assert_eq!(client.next_event(None).unwrap(), Event::Shutdown);
    daemon.join().unwrap();
}

#[test]
fn a_list_is_asked_for_page_by_page() {
    let (client, daemon) = client_of(|daemon| {
        for (cursor, next) in [(0, Some(2)), (2, Some(3)), (3, None)] {
            let (id, request) = daemon.request();
            assert!(matches!(request, Request::Channels(page) if page.cursor == cursor));
            let entry = |id| {
                Record(ChannelReport {
                    channel: ChannelId::new(id),
                    ..ChannelReport::default()
                })
            };
            let entries = vec![entry(cursor), entry(cursor + 1)];
            daemon.reply(id, &Reply::Channels(Listing { entries, next }));
        }
        // A page that points at itself does not make an endless list.
        let (id, _) = daemon.request();
        let entries = Vec::new();
        let next = Some(0);
        daemon.reply(id, &Reply::Channels(Listing { entries, next }));
    });
    let ids: Result<Vec<_>, _> = client
        .channels()
        .map(|entry| entry.map(|report| report.channel.value()))
        .collect();
    assert_eq!(ids.unwrap(), [0, 1, 2, 3, 3, 4]);
    assert_eq!(client.channels().count(), 0);
    daemon.join().unwrap();
}

/// Whether a caller's own `poll` would return at once.
fn is_ready(descriptor: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn what_one_call_takes_in_for_another_keeps_the_descriptor_ready() {
    let (client, daemon) = client_of(|daemon| {
        let mut ring = FakeRing::new(1, CHANNEL);
        daemon.open_channel();
        daemon.subscribe(&ring);
        let (id, _) = daemon.request();
        daemon.event(&ring.put(b"first", PictureKind::Idr));
        daemon.event(&Event::Shutdown);
        daemon.reply(id, &Reply::Status(Default::default()));
        while daemon.next_request().is_some() {}
    });
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let descriptor = client.as_fd().unwrap();
    assert!(reader.try_next_packet().unwrap().is_none());
    assert!(!is_ready(&descriptor));
    client.status().unwrap();
    assert!(is_ready(&descriptor), "a packet came with the reply");
    assert!(channel.try_next_released().unwrap().is_none());
    assert!(is_ready(&descriptor), "the packet is still there");
    assert!(reader.try_next_packet().unwrap().is_some());
    assert!(reader.try_next_packet().unwrap().is_none());
    // The event is there too, but nobody has asked for events.
    assert!(!is_ready(&descriptor));
    assert_eq!(client.try_next_event().unwrap(), Some(Event::Shutdown));
    drop((reader, channel, client));
    daemon.join().unwrap();
}

#[test]
fn events_that_nobody_takes_stop_the_reading_and_not_the_memory() {
    let (client, daemon) = client_of(|daemon| {
        daemon.open_channel();
        let (id, _) = daemon.request();
        for frame in 0..400 {
            daemon.event(&Event::Gap(Gap {
                subscription: SUBSCRIPTION,
                first: Sequence::new(frame),
                ..Gap::default()
            }));
        }
        daemon.reply(id, &Reply::IdrPromised(PROMISED));
        while daemon.next_request().is_some() {}
    });
    // Gaps of a subscription that this client does not have are dropped and never stop anything.
    let channel = client.open_channel(&config()).unwrap();
    channel.request_idr().unwrap();
    drop((channel, client));
    daemon.join().unwrap();

    let (client, daemon) = client_of(|daemon| {
        daemon.subscribe(&FakeRing::new(1, CHANNEL));
        let (id, _) = daemon.request();
        for frame in 0..400 {
            daemon.event(&Event::Gap(Gap {
                subscription: SUBSCRIPTION,
                first: Sequence::new(frame),
                ..Gap::default()
            }));
        }
        daemon.reply(id, &Reply::Status(Default::default()));
        let (id, _) = daemon.request();
        daemon.reply(id, &Reply::Status(Default::default()));
        while daemon.next_request().is_some() {}
    });
    let mut reader = client.subscribe("main", Join::LastIdr).unwrap();
    let stuck = client.status();
    assert!(matches!(stuck, Err(ClientError::Backlog)), "{stuck:?}");
    for _ in 0..400 {
        assert!(matches!(reader.next_packet(None), Ok(Next::Gap { .. })));
    }
    client.status().unwrap();
    drop((reader, client));
    daemon.join().unwrap();
}

#[test]
fn request_ids_differ_while_unanswered() {
    let mut session = avpu_client::session::Session::<(), u32>::new();
    let mut ids: Vec<RequestId> = Vec::new();
    let mut tag = 0;
    while session.has_room() {
        ids.push(session.request(&Request::Status, tag).unwrap());
        tag += 1;
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), avpu_client::session::REQUESTS_MAX);
    assert_eq!(session.unanswered(), ids.len());
}
