//! One encode for many readers, with real processes: what a reader costs, and what one costs that does not read.

use avpu_client::proto::event::Event;
use avpu_client::proto::frame::encode_event;
use avpu_client::proto::types::Join;
use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use avpu_tests::daemon::{Daemon, Scratch, program};
use avpu_tests::process::{Finish, Process};
use avpu_tests::skip::ffmpeg_or_skip;
use avpu_tests::unread_log;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::{Command, Stdio};

/// The owner of a channel of small pictures that reads it too.
struct Camera {
    client: Client,
    channel: Channel,
    reader: Reader,
    buffer: Option<Buffer>,
    pictures: u8,
}

impl Camera {
    fn open(daemon: &Daemon, config: ChannelConfig) -> Self {
        let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
        let channel = client.open_channel(&config).expect("a channel can be had");
        let reader = channel.subscribe().expect("its owner may read it");
        let buffer = channel.lease(1).expect("a buffer can be had").pop();
        Self {
            client,
            channel,
            reader,
            buffer,
            pictures: 0,
        }
    }

    /// Encodes a picture and reads its packet; answers the packet.
    fn encode(&mut self) -> Vec<u8> {
        let mut buffer = self.buffer.take().expect("it came back");
        let len = usize::try_from(self.channel.opened().source.len_bytes).expect("it is small");
        self.pictures = self.pictures.wrapping_add(7);
        let shades = (0..len).map(|at| u8::try_from(at % 61).unwrap_or(0));
        let picture: Vec<u8> = shades.map(|s| s.wrapping_add(self.pictures)).collect();
        buffer.write_at(0, &picture).expect("it is mapped");
        self.channel
            .submit(buffer, Frame::default())
            .expect("it is accepted");
        let released = self.channel.next_released(None).expect("it ends");
        self.buffer = released.source.into_buffer();
        read(&mut self.reader)
    }
}

fn read(reader: &mut Reader) -> Vec<u8> {
    match reader.next_packet(None).expect("the stream goes on") {
        Next::Packet(packet) => packet.bytes.to_vec(),
        other => panic!("expected a packet, found {other:?}"),
    }
}

fn small(name: &str) -> ChannelConfig {
    ChannelConfig::new(176, 144)
        .name(name)
        .gop_length(20)
        .fix_qp(36)
}

#[test]
fn thirty_two_readers_have_no_byte_copied_that_one_has_not() {
    const PICTURES: usize = 20;
    let mut copied = Vec::new();
    for count in [1, 32] {
        let daemon = Daemon::start("pace=free");
        let mut camera = Camera::open(&daemon, small("main"));
        // A connection has up to 16 subscriptions; its owner's own reader is the first of all.
        let others: Vec<Client> = (0..4)
            .map(|_| Client::connect(daemon.socket()).expect("the daemon takes connections"))
            .collect();
        let mut readers: Vec<Reader> = (1..count)
            .map(|index| {
                let client = &others[index % others.len()];
                client.subscribe("main", Join::NextIdr).expect("it reads")
            })
            .collect();
        let mut len = 0;
        for _ in 0..PICTURES {
            let packet = camera.encode();
            len += packet.len();
            for reader in &mut readers {
                match reader.next_packet(None).expect("the stream goes on") {
                    Next::Packet(same) => {
                        assert_eq!(same.bytes, packet);
                        // What goes to each reader says where the packet is, however large that is.
                        let mut frame = Vec::new();
                        encode_event(&mut frame, &Event::Packet(same.meta)).expect("it fits");
                        assert!(frame.len() < 128, "{} bytes", frame.len());
                    }
                    other => panic!("expected a packet, found {other:?}"),
                }
            }
        }
        let status = camera.client.status().expect("it answers");
        assert_eq!(status.copied_bytes, u64::try_from(len).expect("few"));
        copied.push(status.copied_bytes);
    }
    assert_eq!(copied[0], copied[1]);
}

#[test]
fn a_reader_that_is_stopped_beside_an_unread_log_costs_nobody_anything_and_is_told_what_it_missed()
{
    let scratch = Scratch::new("log-pipe");
    let (daemon, pipe) = unread_log::start(&scratch, "pace=free");
    let mut camera = Camera::open(&daemon, small("main").ring_bytes(1 << 16));
    let out = daemon.folder().join("out.h264");
    let mut command = Command::new(program("avpucat"));
    command
        .env("AVPUD_SOCKET", daemon.socket())
        .args(["-v", "-u", "AVPU-SUB:,channel=main,join=next"])
        .arg(format!("H264:{}", out.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut slow = Process::start(&mut command);
    let said = slow.stderr_until("\"Subscribed\"");
    for _ in 0..20 {
        camera.encode();
    }
    let pid = Pid::from_raw(i32::try_from(slow.pid()).expect("process ids are positive"));
    slow.signal(Signal::SIGSTOP);
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED));
    assert_eq!(stopped, Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));

    // As many pictures as a camera of 25 a second has encoded in a minute; the device does not take its time for them. First
    // until all tables that were set aside at the start have been used once.
    for _ in 0..600 {
        camera.encode();
    }
    let before_kib = daemon.anonymous_kib();
    let mut bytes = 0;
    for _ in 0..900 {
        // Nothing is missing: what does not follow its predecessor would be a gap.
        bytes += camera.encode().len();
    }
    assert!(bytes > 2 << 16, "{bytes}: the ring went round");
    let after_kib = daemon.anonymous_kib();
    assert!(
        after_kib <= before_kib + 128,
        "{before_kib} KiB became {after_kib}"
    );

    slow.signal(Signal::SIGCONT);
    for _ in 0..40 {
        camera.encode();
    }
    camera.channel.drain().expect("it drains");
    let ended = slow.wait();
    let text = said.join().expect("no panic");
    assert!(ended.success(), "{ended}: {text}");
    let gaps = check_account(&text);
    assert!(gaps > 0, "{text}");
    let report = camera
        .client
        .channels()
        .next()
        .expect("one")
        .expect("it answers");
    assert!(report.packets_missed > 1000, "{}", report.packets_missed);
    assert_eq!(report.packets_out, 20 + 60 * 25 + 40);
    if ffmpeg_or_skip("decoding across the gap") {
        let ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(&out)
            .args(["-f", "null", "-"])
            .stdin(Stdio::null())
            .finish();
        let complaint = String::from_utf8_lossy(&ffmpeg.stderr);
        assert!(
            ffmpeg.status.success() && complaint.is_empty(),
            "{complaint}"
        );
    }
    drop(pipe);
}

/// Every packet follows the one before or a gap that says how many are missing, and behind a gap comes an IDR. Answers
/// how many gaps there are in what avpucat shows of the protocol.
fn check_account(shown: &str) -> u32 {
    let (mut gaps, mut expected, mut idr) = (0, 0, true);
    for line in shown.lines() {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let (packet, gap) = (&value["event"]["Packet"], &value["event"]["Gap"]);
        if let Some(sequence) = packet["sequence"].as_u64() {
            assert_eq!(sequence, expected, "{line}");
            assert!(!idr || packet["kind"] == "Idr", "{line}");
            (expected, idr) = (sequence + 1, false);
        }
        if let Some(first) = gap["first"].as_u64() {
            // What it was sent before and lost before it could copy it is missing as well.
            assert!(first <= expected, "{line}");
            expected = first + gap["count"].as_u64().expect("a number");
            (gaps, idr) = (gaps + 1, true);
        }
    }
    gaps
}

#[test]
fn a_log_pipe_that_nobody_reads_stops_no_stream() {
    let scratch = Scratch::new("log-pipe");
    let (daemon, pipe) = unread_log::start(&scratch, "pace=free");
    let mut camera = Camera::open(&daemon, small("main"));
    camera.encode();
    let mut visit = || {
        camera.encode();
        drop(Client::connect(daemon.socket()).expect("the daemon takes connections"));
    };
    // Until all tables that were set aside at the start have been used once.
    for _ in 0..600 {
        visit();
    }
    let before_kib = daemon.anonymous_kib();
    for _ in 0..400 {
        visit();
    }
    let after_kib = daemon.anonymous_kib();
    assert!(
        after_kib <= before_kib + 128,
        "{before_kib} KiB became {after_kib}"
    );
    assert!(daemon.stop().expect("it can be waited for").success());
    drop(pipe);
}

fn avpuctl(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program("avpuctl"))
        .env("AVPUD_SOCKET", daemon.socket())
        .args(words)
        .stdin(Stdio::null())
        .finish();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_operator_asks_channels_with_any_name_and_all_of_them_though_one_refuses() {
    let daemon = Daemon::start("pace=free");
    let mut first = Camera::open(&daemon, small("2"));
    let mut second = Camera::open(&daemon, small("main"));
    let third = Camera::open(&daemon, small("over"));
    first.encode();
    second.encode();
    third.channel.drain().expect("it drains");
    let (code, said, _) = avpuctl(&daemon, &["idr", "2"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "2: packet 1 will be an IDR\n")
    );
    first.encode();
    second.encode();
    let report = |camera: &Camera, name: &str| {
        let mut reports = camera
            .client
            .channels()
            .map(|report| report.expect("it answers"));
        let report = reports
            .find(|report| report.name == name)
            .expect("it is open");
        (report.idr_out, report.idr_demanded)
    };
    assert_eq!(
        report(&first, "2"),
        (2, 1),
        "the name comes before the number"
    );
    assert_eq!(report(&first, "main"), (1, 0));
    // By number where nothing has that name.
    let third_id = third.channel.opened().channel.value();
    let (code, _, complaint) = avpuctl(&daemon, &["idr", &third_id.to_string()]);
    assert_eq!(code, Some(4));
    assert!(complaint.contains("wrong-state"), "{complaint}");
    let (code, said, complaint) = avpuctl(&daemon, &["idr"]);
    assert_eq!(code, Some(4), "{said}{complaint}");
    assert!(complaint.contains("over: refused: "), "{complaint}");
    assert!(said.contains("main: packet 2 will be an IDR\n"), "{said}");
    assert!(said.lines().any(|line| line.starts_with("2: ")), "{said}");
    second.encode();
    assert_eq!(report(&first, "main"), (2, 1));
}
