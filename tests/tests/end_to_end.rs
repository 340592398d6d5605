//! The real daemon as a process, on the model: how it starts, what it tells strangers, how it ends.

use avpu_client::{ChannelConfig, Client, Frame, Next};
use avpu_proto::error::ErrorCode;
use avpu_proto::frame::{Decoder, HEADER_BYTES, RequestId, encode_request};
use avpu_proto::limits::SESSIONS_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::types::PictureKind;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES, Reason};
use avpu_proto::{decode, limits};
use avpu_tests::daemon::{Daemon, Scratch, comes_true, program};
use avpu_tests::process::{Finish, Process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Runs the daemon with arguments that make it end by itself.
fn run(arguments: &[&str]) -> Output {
    Command::new(program("avpud"))
        .args(["--config", "/dev/null"])
        .args(arguments)
        .stdin(Stdio::null())
        .finish()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned()
}

/// Encodes small pictures through the daemon and says the kind of each packet.
fn encode(socket: &Path, frames: u64) -> Vec<PictureKind> {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let channel = client
        .open_channel(&ChannelConfig::new(176, 144).fix_qp(30))
        .expect("a channel can be had");
    let mut reader = channel.subscribe().expect("its owner may read it");
    let mut buffers = channel.lease(1).expect("a buffer can be had");
    let len = usize::try_from(channel.opened().source.len_bytes).expect("it fits memory");
    for frame in 0..frames {
        let mut buffer = buffers.pop().expect("it came back");
        let shade = u8::try_from(frame % 200).expect("it is small") + 20;
        buffer.write_at(0, &vec![shade; len]).expect("it is mapped");
        channel
            .submit(buffer, Frame::default())
            .expect("it is accepted");
        let released = channel.next_released(PATIENCE).expect("it ends");
        buffers.extend(released.source.into_buffer());
    }
    channel.drain().expect("it can be drained");
    let mut kinds = Vec::new();
    loop {
        match reader.next_packet(PATIENCE).expect("the stream goes on") {
            Next::Packet(packet) => kinds.push(packet.meta.kind),
            Next::EndOfStream(_) => return kinds,
            other => panic!("expected every packet, found {other:?}"),
        }
    }
}

fn stranger(socket: &Path, says: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("the daemon takes connections");
    stream.write_all(says).expect("the daemon reads");
    let mut answer = Vec::new();
    // The end is an error where the daemon left bytes unread; what it said before that is there.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn pictures_go_in_packets_come_out_and_a_signal_ends_it() {
    let daemon = Daemon::start("pace=free");
    let kinds = encode(&daemon.socket(), 5);
    assert_eq!(kinds[0], PictureKind::Idr);
    assert_eq!(kinds[1..], [PictureKind::P; 4]);
    let socket = daemon.socket();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    let client = Client::connect(&socket).unwrap();
    assert_eq!(daemon.stop().unwrap().code(), Some(0));
    assert!(!socket.exists());
    assert!(client.status().is_err(), "the daemon is gone");
}

#[test]
fn a_second_daemon_on_a_socket_ends_with_status_5_and_names_the_first() {
    let daemon = Daemon::start("pace=free");
    let socket = daemon.socket();
    let output = run(&["--device", "model", "--socket", socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5), "{}", message(&output));
    let holder = format!("held by process {}", daemon.pid());
    assert!(message(&output).ends_with(&holder), "{}", message(&output));
    assert_eq!(encode(&socket, 1).len(), 1);
}

#[test]
fn the_socket_of_a_killed_daemon_is_taken_over() {
    let mut first = Daemon::start("pace=free");
    first.signal(Signal::SIGKILL);
    first.wait().unwrap();
    let socket = first.socket();
    assert!(socket.exists(), "a killed daemon cleans nothing up");
    let mut second = Command::new(program("avpud"));
    second.args(["--config", "/dev/null", "--device", "model", "--socket"]);
    second.arg(&socket).stderr(Stdio::piped());
    let mut second = Process::start(&mut second);
    drop(second.stderr_until("info: ready "));
    let answered = encode(&socket, 1).len();
    assert_eq!(answered, 1);
}

#[test]
fn what_is_no_stale_socket_is_left_alone() {
    let scratch = Scratch::new("occupied");
    let file = scratch.path().join("file");
    fs::write(&file, "precious").unwrap();
    let output = run(&["--device", "model", "--socket", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("found a file that is no socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let socket = scratch.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = run(&["--device", "model", "--socket", socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("found another program that listens"));
}

#[test]
fn without_the_device_the_model_is_named_and_not_taken() {
    let scratch = Scratch::new("deviceless");
    let socket = scratch.path().join("socket");
    let arguments = ["--socket", socket.to_str().unwrap(), "--device"];
    let output = run(&[&arguments[..], &["/nonexistent/avpu"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = message(&output);
    assert!(text.contains("/nonexistent/avpu"), "{text}");
    assert!(text.ends_with("try --device model"), "{text}");
    assert!(!socket.exists());
}

#[test]
fn settings_that_are_wrong_end_it_with_status_2_and_their_line() {
    let scratch = Scratch::new("settings");
    let path = scratch.path().join("avpud.conf");
    let check = || {
        Command::new(program("avpud"))
            .args(["--check-config", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .finish()
    };
    fs::write(&path, "[daemon]\nlog-level = debug\n").unwrap();
    assert_eq!(check().status.code(), Some(0));
    fs::write(&path, "[daemon]\n\nlog-levl = debug\n").unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "avpud: {}:3: unknown key \"log-levl\", nearest is \"log-level\"",
        path.display()
    );
    assert_eq!(message(&output), expected);
    assert_eq!(run(&["--devise", "model"]).status.code(), Some(2));
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn a_hangup_signal_changes_nothing() {
    let daemon = Daemon::start("pace=free");
    daemon.signal(Signal::SIGHUP);
    assert_eq!(encode(&daemon.socket(), 2).len(), 2);
    assert_eq!(daemon.stop().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_with_a_picture_in_the_encoder() {
    let mut daemon = Daemon::start("pace=free,fault=stuck@0");
    let client = Client::connect(daemon.socket()).unwrap();
    let channel = client
        .open_channel(&ChannelConfig::new(176, 144).fix_qp(30))
        .unwrap();
    let buffer = channel.lease(1).unwrap().remove(0);
    channel.submit(buffer, Frame::default()).unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().unwrap().code(), Some(1), "{}", daemon.log());
}

#[test]
fn broken_frames_are_answered_and_closed_while_a_neighbour_encodes() {
    let daemon = Daemon::start("pace=free");
    let hello = ClientHello::OURS.encode();
    let oversize = (limits::FRAME_BODY_LEN_MAX + 1).to_le_bytes();
    let cases: [Vec<u8>; 4] = [
        [&hello[..], &oversize, &[1, 0, 0, 0]].concat(),
        [&hello[..], &[0xff; 64]].concat(),
        // A Subscribe whose name is said to have five bytes and has none.
        [&hello[..], &[3, 0, 0, 0, 1, 0, 4, 0, 8, 0, 5]].concat(),
        // A reply, from a client.
        [&hello[..], &[1, 0, 0, 0, 2, 0, 4, 0, 1]].concat(),
    ];
    for says in cases {
        let answer = stranger(&daemon.socket(), &says);
        assert_eq!(answer[..HELLO_BYTES], hello);
        assert!(answer.len() > HELLO_BYTES + HEADER_BYTES, "{says:?}");
        let mut decoder = Decoder::new();
        decoder.push(&answer[HELLO_BYTES..]);
        let frame = decoder.next().unwrap().expect("a whole frame");
        let Ok(Reply::Refused(refusal)) = decode::reply(frame.body) else {
            panic!("expected a refusal of {says:?}");
        };
        assert_eq!(refusal.code, ErrorCode::MALFORMED);
        assert!(!refusal.recoverable && refusal.sentence.contains("expected"));
        assert_eq!(decoder.next(), Ok(None), "nothing follows");
    }
    assert_eq!(encode(&daemon.socket(), 2).len(), 2);
    let status = Client::connect(daemon.socket()).unwrap().status().unwrap();
    assert_eq!(status.clients_expelled, 4);
}

#[test]
fn who_says_no_more_still_reads_the_answers() {
    let daemon = Daemon::start("pace=free");
    let mut says = ClientHello::OURS.encode().to_vec();
    encode_request(&mut says, RequestId::new(9), &Request::Status).unwrap();
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.write_all(&says).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let mut decoder = Decoder::new();
    decoder.push(&answer[HELLO_BYTES..]);
    let frame = decoder.next().unwrap().expect("a whole frame");
    assert_eq!(frame.header.id.number(), 9);
    assert!(matches!(decode::reply(frame.body), Ok(Reply::Status(_))));
    let status = Client::connect(daemon.socket()).unwrap().status().unwrap();
    assert_eq!((status.clients, status.clients_expelled), (1, 0));
}

#[test]
fn who_speaks_another_version_or_another_protocol_is_told_so() {
    let daemon = Daemon::start("pace=free");
    let refused = |says: &[u8]| {
        let answer = stranger(&daemon.socket(), says);
        let bytes = answer.try_into().expect("a hello and nothing else");
        match DaemonHello::decode(bytes, ClientHello::OURS) {
            Ok(DaemonHello::Refused { reason, .. }) => reason,
            other => panic!("expected a refusal, found {other:?}"),
        }
    };
    let later = ClientHello { min: 9, max: 12 };
    assert_eq!(refused(&later.encode()), Reason::NoCommonVersion);
    assert_eq!(refused(b"GET / HTTP/1.0\r\n\r\n"), Reason::NotHello);
    // Half a Hello, and then nothing: its place is not kept for ever.
    assert_eq!(refused(b"AVPU\x01\0"), Reason::NotHello);
}

#[test]
fn one_client_too_many_is_told_so_and_the_next_one_fits_again() {
    let daemon = Daemon::start("pace=free");
    let mut clients: Vec<Client> = (0..SESSIONS_MAX)
        .map(|_| Client::connect(daemon.socket()).expect("there is room"))
        .collect();
    let answer = stranger(&daemon.socket(), &ClientHello::OURS.encode());
    let bytes = answer.try_into().expect("a hello and nothing else");
    let refused = DaemonHello::decode(bytes, ClientHello::OURS);
    assert_eq!(refused, Ok(DaemonHello::refused(Reason::TooManyClients)));
    assert!(clients[0].status().is_ok());
    let watcher = clients.remove(0);
    drop(clients);
    let alone = || watcher.status().expect("it serves").clients == 1;
    assert!(comes_true(alone), "the others have left");
    assert!(Client::connect(daemon.socket()).is_ok());
}

#[test]
fn the_model_says_at_the_end_what_it_counted_and_that_no_rule_was_broken() {
    let mut daemon = Daemon::start("pace=t31");
    assert_eq!(encode(&daemon.socket(), 3).len(), 3);
    daemon.signal(Signal::SIGTERM);
    daemon.wait().expect("it ends");
    let log = daemon.log();
    let summary = log
        .lines()
        .find(|line| line.contains("what the device counted"));
    let summary = summary.unwrap_or_else(|| panic!("expected a summary, found {log}"));
    for part in [
        "3 pictures pushed, 3 completed",
        "later than the pace",
        "0 rules broken",
    ] {
        assert!(summary.contains(part), "expected {part}, found {summary}");
    }
    assert!(!log.contains("noticed"), "{log}");
}
