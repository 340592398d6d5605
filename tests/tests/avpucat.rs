//! The debug client and the operator's tool as people use them: real processes against the real daemon.

use avpu_client::source::{FrameRate, Luma, Nv12Picture, PictureSize, TestPattern, read_counter};
use avpu_proto::request::OpenChannel;
use avpu_proto::types::Profile;
use avpu_tests::camera::{Camera, joined};
use avpu_tests::daemon::{Daemon, Scratch, program};
use avpu_tests::parser;
use avpu_tests::process::{Process, run};
use avpu_tests::skip::{ffmpeg_or_skip, skip};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

fn tool(name: &str, socket: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.env("AVPUD_SOCKET", socket).stdin(Stdio::null());
    command
}

fn avpucat(daemon: &Daemon, arguments: &[&str]) -> Output {
    run(tool("avpucat", &daemon.socket()).args(arguments), &[])
}

fn assert_ok(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn assert_fails(output: &Output, code: i32, sentence: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(sentence), "{said}");
}

/// Starts a program whose standard error is read; it is ready when that says `wanted`.
fn start(command: &mut Command, wanted: &str) -> (Process, JoinHandle<String>) {
    let mut process = Process::start(command.stderr(Stdio::piped()));
    let said = process.stderr_until(wanted);
    (process, said)
}

/// The counters that were burnt into the pictures of a stream, as ffmpeg decodes them.
fn counters(stream: &Path, width: usize, height: usize) -> Vec<Option<u32>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-xerror", "-i"]).arg(stream);
    ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    let output = run(&mut ffmpeg, &[]);
    assert_ok(&output);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pictures = output.stdout.chunks(width * height);
    let luma = |bytes| Luma {
        bytes,
        stride: width,
        width,
        height,
    };
    pictures.map(|bytes| read_counter(&luma(bytes))).collect()
}

/// A Y4M stream of the test pattern.
fn y4m(width: u32, height: u32, frames: u64) -> Vec<u8> {
    let size = PictureSize::new(width, height).expect("an even size");
    let pattern = TestPattern::new(size, FrameRate { num: 25, den: 1 });
    let mut picture = Nv12Picture::packed(size);
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip C420jpeg\n").into_bytes();
    for index in 0..frames {
        pattern
            .draw(index, &mut picture)
            .expect("a picture of its own size");
        bytes.extend_from_slice(b"FRAME\n");
        let (luma, chroma) = picture.bytes().split_at(size.luma_len());
        bytes.extend_from_slice(luma);
        for plane in 0..2 {
            bytes.extend(chroma.iter().skip(plane).step_by(2));
        }
    }
    bytes
}

#[test]
fn a_pattern_becomes_a_file_whose_pictures_carry_their_numbers() {
    let daemon = Daemon::start("pace=free");
    let out = daemon.folder().join("out.h264");
    let address = format!("TEST:size=176x144,fps=25,frames=30!!H264:{}", out.display());
    let output = avpucat(&daemon, &[&address, "AVPU:,gop=10,qp=28"]);
    assert_ok(&output);
    assert!(
        output.stderr.is_empty(),
        "no progress where there is no terminal"
    );
    assert!(fs::read(&out).is_ok_and(|bytes| bytes.starts_with(&[0, 0, 0, 1])));
    if ffmpeg_or_skip("reading the counters back") {
        let expected: Vec<_> = (0..30).map(Some).collect();
        assert_eq!(counters(&out, 176, 144), expected);
    }
}

#[test]
fn y4m_of_a_size_that_is_no_multiple_of_16_goes_through_a_pipe() {
    let daemon = Daemon::start("pace=free");
    let mut command = tool("avpucat", &daemon.socket());
    let output = run(command.args(["-", "AVPU:,bitrate=400k"]), &y4m(182, 98, 6));
    assert_ok(&output);
    let out = daemon.folder().join("out.h264");
    fs::write(&out, &output.stdout).expect("the folder can be written");
    if ffmpeg_or_skip("the size and the counters of a cropped stream") {
        let expected: Vec<_> = (0..6).map(Some).collect();
        assert_eq!(counters(&out, 182, 98), expected);
    }
}

#[test]
fn the_pipe_of_the_manual_works() {
    if !ffmpeg_or_skip("a pipe from ffmpeg") {
        return;
    }
    let daemon = Daemon::start("pace=free");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x180:rate=25:duration=0.4",
    ]);
    ffmpeg.args(["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"]);
    let mut ffmpeg = Process::start(ffmpeg.stdin(Stdio::null()).stdout(Stdio::piped()));
    let out = daemon.folder().join("out.h264");
    let pipe = ffmpeg.stdout().expect("it is a pipe");
    let mut command = tool("avpucat", &daemon.socket());
    command.args(["-", "AVPU:,bitrate=2M"]).stdin(pipe);
    let file = fs::File::create(&out).expect("the folder can be written");
    assert!(Process::start(command.stdout(file)).wait().success());
    assert!(ffmpeg.wait().success());
    assert_eq!(counters(&out, 320, 180).len(), 10);
}

#[test]
fn a_reader_gets_the_same_bytes_and_ends_with_the_stream_that_ctrl_c_drains() {
    let daemon = Daemon::start("pace=free");
    let (main, watch) = (
        daemon.folder().join("main.h264"),
        daemon.folder().join("watch.h264"),
    );
    let address = format!("TEST:size=176x144,pace!!H264:{}", main.display());
    let mut encoder = tool("avpucat", &daemon.socket());
    encoder.args(["-v", &address, "AVPU:,name=main,gop=5"]);
    let (mut encoder, encoder_said) = start(&mut encoder, "\"Packet\"");
    let mut reader = tool("avpucat", &daemon.socket());
    reader.args([
        "-v",
        "AVPU-SUB:,channel=main",
        &format!("FILE:{}", watch.display()),
    ]);
    let (mut reader, reader_said) = start(&mut reader, "\"Packet\"");
    encoder.signal(Signal::SIGINT);
    assert!(encoder.wait().success());
    assert!(reader.wait().success());
    let said = encoder_said.join().expect("no panic");
    assert!(said.contains(r#""request":{"Drain":"#), "{said}");
    assert!(
        reader_said
            .join()
            .expect("no panic")
            .contains("EndOfStream")
    );
    let (main, watch) = (
        fs::read(&main).expect("it is there"),
        fs::read(&watch).expect("it is there"),
    );
    assert!(
        !watch.is_empty() && main.ends_with(&watch),
        "the bytes differ"
    );
}

#[test]
fn one_interrupt_ends_a_reader_that_nothing_comes_for() {
    let daemon = Daemon::start("pace=free");
    let wish = OpenChannel {
        width: 176,
        height: 144,
        name: "still".into(),
        ..OpenChannel::default()
    };
    let _camera = Camera::open(&daemon, wish);
    let mut reader = tool("avpucat", &daemon.socket());
    let output = daemon.folder().join("still.h264");
    reader.args([
        "-v",
        "AVPU-SUB:,channel=still",
        &format!("FILE:{}", output.display()),
    ]);
    let (mut reader, said) = start(&mut reader, "\"Subscribed\"");
    reader.signal(Signal::SIGINT);
    assert_eq!(reader.wait().code(), Some(0));
    said.join().expect("no panic");
}

#[test]
fn a_size_that_changes_is_said_and_the_file_goes_on() {
    let daemon = Daemon::start("pace=free");
    let wish = OpenChannel {
        width: 176,
        height: 144,
        name: "main".to_owned(),
        ..OpenChannel::default()
    };
    let mut camera = Camera::open(&daemon, wish);
    let mut expected = joined(&camera.encode(3));
    let file = daemon.folder().join("watch.h264");
    let mut reader = tool("avpucat", &daemon.socket());
    reader.args([
        "-v",
        "AVPU-SUB:,channel=main",
        &format!("FILE:{}", file.display()),
    ]);
    let (mut reader, said) = start(&mut reader, "\"Packet\"");
    camera.resize((320, 240), Profile::Main);
    expected.extend(joined(&camera.encode(3)));
    camera.channel.drain().expect("it runs");
    assert!(reader.wait().success());
    let said = said.join().expect("no panic");
    let sentence = "from packet 4 on the stream is 320x240, profile main, 25/1 pictures a second";
    assert_eq!(said.matches(sentence).count(), 1, "{said}");
    assert!(fs::read(&file).expect("it is there") == expected);
}

#[test]
fn keys_choose_what_is_encoded_and_what_the_stream_has() {
    let daemon = Daemon::start("pace=free");
    let file = daemon.folder().join("out.h264");
    let address = format!("TEST:size=176x144,frames=10!!H264:{}", file.display());
    let keys =
        "AVPU:,fpsout=5,delimiters,fullrange,ipdelta=4,bitrate=400k,picturemax=30000,ring=131072";
    assert_ok(&avpucat(&daemon, &[&address, keys]));
    let units = parser::units(&fs::read(&file).expect("it is there"));
    let kinds: Vec<u8> = units.iter().map(|unit| unit.kind).collect();
    assert_eq!(kinds, [9, 7, 8, 5, 9, 1]);
    let sequence = parser::sequence(&units[1].rbsp);
    assert_eq!(sequence.full_range, Some(true));
    assert_eq!(sequence.timing, Some((1, 10)));
}

#[test]
fn mistakes_have_their_exit_codes_and_say_what_to_do() {
    let daemon = Daemon::start("pace=free");
    let pattern = "TEST:size=64x64,frames=3";
    assert_fails(
        &avpucat(&daemon, &[pattern, "AVPU:,bitrate=2000"]),
        2,
        "did you mean 2000k?",
    );
    assert_fails(
        &avpucat(&daemon, &[pattern, "AVPU:,gpo=5"]),
        2,
        "did you mean gop?",
    );
    assert_fails(
        &avpucat(&daemon, &["AVPU-SUB:,channel=nobody", "-"]),
        4,
        "no-such-channel",
    );
    assert_fails(
        &avpucat(&daemon, &[pattern, "AVPU:/nowhere/socket"]),
        3,
        "no daemon at",
    );
    let other = b"YUV4MPEG2 W64 H64 F25:1 C444\nFRAME\n";
    let mut command = tool("avpucat", &daemon.socket());
    let output = run(command.args(["-", "AVPU:"]), other);
    assert_fails(&output, 1, "-pix_fmt yuv420p");
    let mut command = tool("avpucat", &daemon.socket());
    let cut = &y4m(64, 64, 2)[..7000];
    let output = run(command.args(["-", "AVPU:"]), cut);
    assert_fails(&output, 1, "of picture 1, the input ended after");
    if Path::new("/dev/full").exists() {
        let full = format!("{pattern}!!FILE:/dev/full");
        assert_fails(
            &avpucat(&daemon, &[&full, "AVPU:"]),
            1,
            "cannot write /dev/full",
        );
    } else {
        skip("a full disk", "there is no /dev/full");
    }
}

#[test]
fn a_daemon_that_dies_ends_everybody_at_once_with_code_3() {
    let daemon = Daemon::start("pace=free");
    let mut encoder = tool("avpucat", &daemon.socket());
    encoder.args([
        "-v",
        "TEST:size=64x64,pace!!FILE:/dev/null",
        "AVPU:,name=main",
    ]);
    let (mut encoder, encoder_said) = start(&mut encoder, "\"Packet\"");
    let mut reader = tool("avpucat", &daemon.socket());
    reader.args(["-v", "AVPU-SUB:,channel=main", "FILE:/dev/null"]);
    let (mut reader, reader_said) = start(&mut reader, "\"Packet\"");
    daemon.signal(Signal::SIGKILL);
    for child in [&mut encoder, &mut reader] {
        let status = child.wait();
        assert_eq!(status.code(), Some(3));
    }
    for said in [encoder_said, reader_said] {
        let said = said.join().expect("no panic");
        assert!(said.contains("the daemon went away"), "{said}");
    }
}

#[test]
fn requests_typed_as_json_are_answered_as_json() {
    let daemon = Daemon::start("pace=free");
    let lines = b"Status\n{\"OpenChannel\":{\"width\":176,\"height\":144,\"name\":\"typed\"}}\n{\"Drain\":{\"channel\":999}}\n";
    let mut command = tool("avpucat", &daemon.socket());
    let output = run(command.args(["JSON:-", "AVPU-RAW:"]), lines);
    assert_ok(&output);
    let text = String::from_utf8(output.stdout).expect("json is text");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is json"))
        .collect();
    let replies: Vec<_> = lines.iter().filter_map(|line| line.get("reply")).collect();
    assert_eq!(replies.len(), 3, "{text}");
    assert_eq!(replies[0]["Status"]["pid"], daemon.pid(), "{text}");
    assert_eq!(replies[1]["ChannelOpened"]["name"], "typed", "{text}");
    assert!(replies[2].get("Refused").is_some(), "{text}");
}

#[test]
fn an_encode_through_the_proxy_works_and_is_shown() {
    let daemon = Daemon::start("pace=free");
    let scratch = Scratch::new("proxy");
    let socket = scratch.path().join("socket");
    let watch = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify starts");
    watch
        .add_watch(scratch.path(), AddWatchFlags::IN_CREATE)
        .expect("the folder is there");
    let mut proxy = tool("avpucat", &daemon.socket());
    proxy.arg(format!("UNIX-LISTEN:{}", socket.display()));
    proxy.arg(format!("UNIX-CONNECT:{}", daemon.socket().display()));
    let proxy = Process::start(proxy.stdout(Stdio::piped()).stderr(Stdio::piped()));
    // The socket takes connections a moment after it appears, so one that comes too early comes again.
    watch.read_events().expect("inotify can be read");
    let mut encode = tool("avpucat", &socket);
    encode.args(["TEST:size=64x64,frames=4!!-", "AVPU:"]);
    let mut output = run(&mut encode, &[]);
    while output.status.code() == Some(3) {
        output = run(&mut encode, &[]);
    }
    assert_ok(&output);
    assert!(output.stdout.starts_with(&[0, 0, 0, 1]));
    let proxy = proxy.output();
    assert_ok(&proxy);
    let text = String::from_utf8_lossy(&proxy.stderr);
    for word in [
        "hello",
        "OpenChannel",
        "BuffersLeased",
        "Subscribed",
        "SourceReleased",
        "Packet",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.contains(r#""descriptors":1"#), "{text}");
}

#[test]
fn the_operators_tool_answers_in_tables_and_json() {
    let daemon = Daemon::start("pace=free");
    let mut encoder = tool("avpucat", &daemon.socket());
    encoder.args([
        "-v",
        "-u",
        "TEST:size=176x144,pace",
        "AVPU:,name=cam,bitrate=300k",
    ]);
    let (mut encoder, said) = start(&mut encoder, "\"SourceReleased\"");
    let ask = |words: &[&str]| run(tool("avpuctl", &daemon.socket()).args(words), &[]);
    for command in ["status", "channels", "clients", "memory", "idr"] {
        let table = ask(&[command]);
        assert_ok(&table);
        assert!(!table.stdout.is_empty(), "{command}");
        let json = ask(&[command, "--json"]);
        assert_ok(&json);
        let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is json");
        assert!(value.is_object() || value.is_array(), "{value}");
    }
    let channels = ask(&["channels", "--json"]);
    let channels: serde_json::Value = serde_json::from_slice(&channels.stdout).expect("it is json");
    assert_eq!(channels[0]["name"], "cam");
    assert_eq!(channels[0]["pid"], encoder.pid());
    assert_eq!(channels[0]["rate_control"]["Cbr"]["bitrate_bps"], 300_000);
    assert_fails(&ask(&["idr", "nobody"]), 4, "no-such-channel");
    assert_fails(&ask(&["idle"]), 2, "idr");
    assert_fails(&ask(&["status", "--socket", "/nowhere"]), 3, "no daemon at");
    encoder.signal(Signal::SIGINT);
    assert!(encoder.wait().success());
    said.join().expect("no panic");
}
