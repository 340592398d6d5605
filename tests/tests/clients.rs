//! Client libraries against the real daemon on the model.

use avpu_client::proto::types::{Address, FrameEnd, PictureKind, SourceLayout};
use avpu_client::source::{Nv12Picture, PictureSize, TestPattern};
use avpu_client::{
    Buffer, Channel, ChannelConfig, Client, ClientError, Frame, GapCause, Next, Outcome, Reader,
};
use avpu_tests::daemon::{Daemon, Scratch};
use avpu_tests::parser;
use avpu_tests::process::Finish;
use avpu_tests::skip::{ffmpeg_or_skip, has_program, skip, workspace_root};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

const WIDTH: u16 = 320;
const HEIGHT: u16 = 192;

fn config() -> ChannelConfig {
    ChannelConfig::new(WIDTH, HEIGHT).gop_length(1000)
}

/// Picture `index` of the test pattern, laid out as a channel wants it.
fn picture(index: u64, layout: &SourceLayout) -> Vec<u8> {
    let size = PictureSize::new(WIDTH.into(), HEIGHT.into()).unwrap();
    let mut picture = Nv12Picture::with_layout(size, layout).unwrap();
    let pattern = TestPattern::new(size, avpu_client::source::FrameRate { num: 25, den: 1 });
    pattern.draw(index, &mut picture).unwrap();
    picture.repeat_edges();
    picture.bytes().to_vec()
}

/// Encodes one picture from a buffer and gives the buffer back with the packet's bytes and kind.
fn encode(
    channel: &Channel,
    reader: &mut Reader,
    mut buffer: Buffer,
    index: u64,
) -> (Buffer, Vec<u8>, PictureKind) {
    let layout = channel.opened().source;
    buffer.write_at(0, &picture(index, &layout)).unwrap();
    channel.submit(buffer, Frame::default()).unwrap();
    let (bytes, kind) = next_packet(reader);
    let released = channel.next_released(None).unwrap();
    assert!(
        matches!(
            released.outcome,
            Outcome::Ended {
                end: FrameEnd::Encoded { .. },
                ..
            }
        ),
        "{:?}",
        released.outcome
    );
    (released.source.into_buffer().unwrap(), bytes, kind)
}

fn next_packet(reader: &mut Reader) -> (Vec<u8>, PictureKind) {
    match reader.next_packet(None).unwrap() {
        Next::Packet(packet) => (packet.bytes.to_vec(), packet.meta.kind),
        other => panic!("expected a packet, found {other:?}"),
    }
}

/// Frames that ffmpeg decodes from a file, and what it complains about.
fn decode(path: &Path) -> (usize, String) {
    let run = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(path)
        .args(["-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .finish();
    let frames = String::from_utf8_lossy(&run.stdout);
    let frames = frames.lines().filter(|line| !line.starts_with('#')).count();
    (frames, String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn a_client_in_python_written_from_the_document_encodes_a_picture() {
    let what = "the client in Python";
    if !has_program("python3", "--version") {
        return skip(what, "python3 is not installed");
    }
    let daemon = Daemon::start("pace=free");
    let output = daemon.folder().join("python.h264");
    let run = Command::new("python3")
        .arg(workspace_root().join("tests/python/avpu_client.py"))
        .arg(daemon.socket())
        .args(["176", "144"])
        .arg(&output)
        .stdin(Stdio::null())
        .finish();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.starts_with("IDR qp 30 length "),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    if ffmpeg_or_skip(what) {
        assert_eq!(decode(&output), (1, String::new()));
    }
}

#[test]
fn a_client_in_python_has_the_fields_that_the_protocol_grew_by() {
    if !has_program("python3", "--version") {
        return skip("a stream in Python", "python3 is not installed");
    }
    let daemon = Daemon::start("pace=free");
    let output = daemon.folder().join("python.h264");
    let python = |wishes: &[&str]| {
        Command::new("python3")
            .arg(workspace_root().join("tests/python/avpu_client.py"))
            .args(wishes)
            .arg(daemon.socket())
            .args(["176", "144"])
            .arg(&output)
            .stdin(Stdio::null())
            .finish()
    };
    let run = python(&[
        "--pictures=12",
        "--bitrate=400000",
        "--filler",
        "--delimiters",
        "--user-data=said in Python",
    ]);
    assert!(run.status.success(), "{run:?}");
    let said = String::from_utf8(run.stdout).expect("text");
    let units = |line: &str| {
        let (start, units) = line.split_once(" units ").expect(line);
        assert!(start.contains(" psnr "), "{line}");
        units.to_owned()
    };
    let told: Vec<String> = said.lines().map(units).collect();
    assert_eq!((told.len(), told[0].as_str()), (12, "9 7 8 6 5"));
    assert_eq!(told[11], "9 1 12", "the gradient needs less than the rate");
    let stream = std::fs::read(&output).unwrap();
    let units = parser::units(&stream);
    let kinds: Vec<String> = units.iter().map(|unit| unit.kind.to_string()).collect();
    assert_eq!(kinds.join(" "), told.join(" "));
    let data = parser::user_data(&units[3].rbsp);
    assert_eq!(data, [(*b"avpud in Python.", b"said in Python".to_vec())]);
    let refused = python(&["--filler"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected a constant bitrate"));
}

#[test]
fn a_refusal_in_python_is_exit_code_four_and_no_daemon_three() {
    if !has_program("python3", "--version") {
        return skip("the client in Python", "python3 is not installed");
    }
    let daemon = Daemon::start("pace=free");
    let code = |socket: &Path, width: &str| {
        let run = Command::new("python3")
            .arg(workspace_root().join("tests/python/avpu_client.py"))
            .arg(socket)
            .args([width, "16", "/dev/null"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.expect("python3 starts").code()
    };
    assert_eq!(code(&daemon.socket(), "2"), Some(4));
    assert_eq!(code(&daemon.folder().join("nobody"), "176"), Some(3));
}

#[test]
fn a_bare_address_in_a_window_encodes_like_a_leased_buffer() {
    let scratch = Scratch::new("window");
    let memory = scratch.path().join("memory");
    let window = Address::new(0x0b00_0000);
    let layout = {
        let daemon = Daemon::start("pace=free");
        let client = Client::connect(daemon.socket()).unwrap();
        client.open_channel(&config()).unwrap().opened().source
    };
    let mut bytes = picture(0, &layout);
    bytes.resize(8 << 20, 0);
    fs::write(&memory, bytes).unwrap();
    let options = format!("pace=free,source-file={}", memory.display());
    let windows = [OsStr::new("--source-windows"), OsStr::new("8M@0x0b000000")];
    let daemon = Daemon::start_with(&options, &windows);
    let client = Client::connect(daemon.socket()).unwrap();

    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let buffer = channel.lease(1).unwrap().remove(0);
    let (_, leased, kind) = encode(&channel, &mut reader, buffer, 0);
    assert_eq!(kind, PictureKind::Idr);
    // Measured on a busy machine the model can be so slow that there is no room for two.
    drop((reader, channel));

    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let region = client.register_region(window, layout.len_bytes).unwrap();
    channel.submit(window, Frame::default()).unwrap();
    let (bare, _) = next_packet(&mut reader);
    assert!(bare == leased, "{} and {} bytes", bare.len(), leased.len());
    let released = channel.next_released(None).unwrap();
    assert_eq!(released.source.address(), window);
    drop(region);

    // The last picture of the window fits, one alignment further does not, and outside there is nothing.
    let past = Address::new(window.value() + (8 << 20) - layout.len_bytes + layout.alignment_bytes);
    for address in [past, Address::new(0x0c00_0000)] {
        let refused = channel.submit(address, Frame::default()).unwrap_err();
        assert!(
            matches!(refused.error, ClientError::Refused(_)),
            "{refused}"
        );
    }
}

#[test]
fn an_idr_is_had_on_demand_while_a_thread_waits_for_packets() {
    let daemon = Daemon::start("pace=free");
    let client = Client::connect(daemon.socket()).unwrap();
    let channel = client.open_channel(&config()).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let mut buffer = channel.lease(1).unwrap().remove(0);
    let mut kinds = Vec::new();
    for index in 0..3 {
        let (back, _, kind) = encode(&channel, &mut reader, buffer, index);
        buffer = back;
        kinds.push(kind);
    }
    assert_eq!(kinds, [PictureKind::Idr, PictureKind::P, PictureKind::P]);
    thread::scope(|scope| {
        // It waits from before the request until the picture that follows it.
        let waiting = scope.spawn(|| next_packet(&mut reader).1);
        channel.request_idr().unwrap();
        let layout = channel.opened().source;
        buffer.write_at(0, &picture(3, &layout)).unwrap();
        channel.submit(buffer, Frame::default()).unwrap();
        assert_eq!(waiting.join().unwrap(), PictureKind::Idr);
    });
}

#[test]
fn a_killed_daemon_ends_a_wait_and_its_successor_is_taken_up() {
    let scratch = Scratch::new("successor");
    let socket = scratch.path().join("socket");
    let first = Daemon::start("pace=free");
    symlink(first.socket(), &socket).unwrap();
    let client = Client::connect(&socket).unwrap();
    let channel = client.open_channel(&config().name("main")).unwrap();
    let mut reader = channel.subscribe().unwrap();
    let buffer = channel.lease(1).unwrap().remove(0);
    let epoch = channel.opened().epoch;
    let uuid = *b"who was recorded";
    channel.user_data(uuid, b"by whom", true).unwrap();
    let (buffer, before, _) = encode(&channel, &mut reader, buffer, 0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.next_packet(None).map(|_| ()).unwrap_err());
        first.signal(Signal::SIGKILL);
        let error = waiting.join().unwrap();
        assert!(matches!(error, ClientError::Disconnected), "{error}");
    });
    let refused = channel.submit(buffer, Frame::default()).unwrap_err();
    assert!(matches!(refused.error, ClientError::Disconnected));
    let buffer = refused.source.and_then(|source| source.into_buffer());
    // The killed process may still hold its listening socket for a moment; either way there is no daemon.
    let nobody = client.reconnect().unwrap_err();
    assert_eq!(nobody.exit_code(), 3, "{nobody}");

    let second = Daemon::start("pace=free");
    fs::remove_file(&socket).unwrap();
    symlink(second.socket(), &socket).unwrap();
    client.reconnect().unwrap();
    assert_ne!(channel.opened().epoch, epoch);
    assert_eq!(channel.opened().name, "main");
    let cause = GapCause::Restarted;
    let gap = reader.next_packet(None).unwrap();
    assert_eq!(gap, Next::Gap { cause, count: 0 });
    let (_, after, kind) = encode(&channel, &mut reader, buffer.unwrap(), 0);
    assert_eq!(kind, PictureKind::Idr);
    assert!(after == before, "the same picture in a new stream");
    let said = |unit: &parser::NalUnit| unit.kind == 6;
    let sei = parser::units(&after).into_iter().find(said);
    let sei = parser::user_data(&sei.expect("user data").rbsp);
    assert_eq!(sei, [(uuid, b"by whom".to_vec())]);
}

#[test]
fn pictures_submitted_without_waiting_all_end_and_decode() {
    const FRAMES: u64 = 60;
    let daemon = Daemon::start("pace=free");
    let client = Client::connect(daemon.socket()).unwrap();
    let channel = client
        .open_channel(&config().gop_length(25).bitrate_bps(400_000))
        .unwrap();
    let mut reader = channel.subscribe().unwrap();
    let layout = channel.opened().source;
    let mut free = channel.lease(4).unwrap();
    let mut stream = Vec::new();
    let packets = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            loop {
                match reader.next_packet(None).unwrap() {
                    Next::Packet(packet) => stream.extend_from_slice(packet.bytes),
                    Next::EndOfStream(end) => return end.packets,
                    other => panic!("expected a packet, found {other:?}"),
                }
            }
        });
        for cookie in 0..FRAMES {
            let mut buffer = free.pop().unwrap_or_else(|| {
                let released = channel.next_released(None).unwrap();
                assert!(matches!(released.outcome, Outcome::Ended { .. }));
                released.source.into_buffer().unwrap()
            });
            buffer.write_at(0, &picture(cookie, &layout)).unwrap();
            let frame = Frame {
                cookie,
                ..Frame::default()
            };
            channel.submit_unwaited(buffer, frame).unwrap();
        }
        channel.drain().unwrap();
        reading.join().unwrap()
    });
    assert_eq!(u64::from(packets), FRAMES);
    let path = daemon.folder().join("stream.h264");
    fs::write(&path, stream).unwrap();
    if ffmpeg_or_skip("decoding of what a client read") {
        let frames = usize::try_from(FRAMES).unwrap();
        assert_eq!(decode(&path), (frames, String::new()));
    }
}
