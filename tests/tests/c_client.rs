//! The C client: built by every compiler that is here, held to the golden bytes, run against the real daemon.
//!
//! Programs of other machines run in an emulator where there is one, so that 32 bits are tried as well.

mod c_build;

use avpu_client::ChannelConfig;
use avpu_tests::daemon::{Daemon, Scratch};
use avpu_tests::process::{Finish, Process};
use avpu_tests::skip::{ffmpeg_or_skip, skip, workspace_root};
use avpu_tests::stream::{encode, joined, pattern};
use c_build::{COMPILERS, GCC, GXX, MIPSEL, SANITIZED};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

const LIBRARY: &str = "avpu-client/c/avpu.c";

/// Runs a program to its end; answers what it printed.
///
/// # Panics
/// When it fails.
fn run(mut command: Command) -> String {
    let run = command.stdin(Stdio::null()).finish();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success(),
        "{command:?}: {}: {said}{}",
        run.status,
        String::from_utf8_lossy(&run.stderr)
    );
    said
}

#[test]
fn every_compiler_takes_the_library_and_its_example_without_a_warning() {
    for compiler in COMPILERS {
        if !compiler.is_here() {
            skip(
                "a build of the C client",
                &format!("{} is not installed", compiler.program),
            );
            continue;
        }
        let scratch = Scratch::new("c-build");
        let sources = [LIBRARY, "avpu-client/c/examples/encode_nv12.c"];
        compiler.build(&sources, &scratch.path().join("encode_nv12"));
    }
}

#[test]
fn the_library_stays_within_the_lines_that_it_promises() {
    let folder = workspace_root().join("avpu-client/c");
    let lines = |name| {
        let text = fs::read_to_string(folder.join(name)).expect("the library is there");
        text.lines().count()
    };
    let found = lines("avpu.h") + lines("avpu.c");
    assert!(found <= 1200, "expected at most 1200 lines, found {found}");
}

#[test]
fn the_golden_bytes_mean_the_same_in_c() {
    for compiler in [SANITIZED, GXX, MIPSEL] {
        let scratch = Scratch::new("c-golden");
        let program = scratch.path().join("golden");
        let Some(mut command) = compiler.build_to_run(&["tests/c/golden.c"], &program) else {
            continue;
        };
        for file in ["golden.txt", "grown.txt"] {
            let bytes = fs::File::open(workspace_root().join("proto/tests").join(file));
            command.stdin(bytes.expect("the golden bytes are there"));
            let output = command.finish();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{file}: {said}{complaint}");
            // Clients, Memory and Watch are for an operator's tools.
            assert!(
                file == "grown.txt"
                    || said.ends_with("7 of messages that this client does not have\n"),
                "{said}"
            );
        }
    }
}

#[test]
fn every_call_does_what_the_header_says_under_sanitizers() {
    let sources = [LIBRARY, "tests/c/exercise.c"];
    let scratch = Scratch::new("c-exercise");
    let program = scratch.path().join("exercise");
    let Some(mut command) = SANITIZED.build_to_run(&sources, &program) else {
        return;
    };
    let memory = scratch.path().join("memory");
    fs::write(&memory, vec![0; 8 << 20]).unwrap();
    let options = format!("pace=free,source-file={}", memory.display());
    let windows = [OsStr::new("--source-windows"), OsStr::new("8M@0x0b000000")];
    let mut daemon = Daemon::start_with(&options, &windows);
    command.arg(daemon.socket()).arg("0x0b000000");
    let mut child = Process::start(command.stdout(Stdio::piped()));
    let mut said = String::new();
    let output = child.stdout().expect("its output is piped");
    BufReader::new(output).read_line(&mut said).unwrap();
    if said == "ready\n" {
        daemon.signal(Signal::SIGKILL);
        daemon.wait().unwrap();
    }
    let status = child.wait();
    assert!(status.success() && said == "ready\n", "{status}: {said:?}");
}

#[test]
fn c_and_rust_make_the_same_stream_of_the_same_pictures() {
    // The second size is no multiple of a macroblock either way: the edges count.
    for (width, height) in [(320, 192), (202, 106)] {
        let pictures = pattern(width, height, 6);
        let daemon = Daemon::start("pace=free");
        let config = ChannelConfig::new(width, height);
        let units = encode(&daemon.socket(), &config, pictures.clone(), &[]).unwrap();
        let expected = joined(&units);
        let input = daemon.folder().join("input.nv12");
        fs::write(&input, pictures.concat()).unwrap();
        for compiler in [GCC, MIPSEL] {
            let output = daemon.folder().join("output.h264");
            let program = daemon.folder().join("encode_nv12");
            let sources = [LIBRARY, "avpu-client/c/examples/encode_nv12.c"];
            let Some(mut command) = compiler.build_to_run(&sources, &program) else {
                continue;
            };
            command.arg(daemon.socket());
            command.args([width.to_string(), height.to_string()]);
            command.arg(&input).arg(&output);
            run(command);
            let found = fs::read(&output).unwrap();
            assert!(
                found == expected,
                "{}: {width}x{height}: expected the same {} bytes, found {}",
                compiler.program,
                expected.len(),
                found.len()
            );
        }
    }
}

#[test]
fn a_refusal_in_c_is_exit_code_four_and_no_daemon_three() {
    let scratch = Scratch::new("c-codes");
    let program = scratch.path().join("encode_nv12");
    let sources = [LIBRARY, "avpu-client/c/examples/encode_nv12.c"];
    if GCC.build_to_run(&sources, &program).is_none() {
        return;
    }
    let daemon = Daemon::start("pace=free");
    let code = |socket: &Path, width: &str| {
        let mut command = Command::new(&program);
        command.arg(socket).args([width, "16"]);
        command.args([Path::new("/dev/null"), &scratch.path().join("output")]);
        command.stderr(Stdio::null()).status().unwrap().code()
    };
    assert_eq!(code(&daemon.socket(), "2"), Some(4));
    assert_eq!(code(&scratch.path().join("nobody"), "176"), Some(3));
    assert_eq!(code(&daemon.socket(), "0"), Some(2));
}

#[test]
fn the_streamer_loop_in_cpp_delivers_every_picture_and_an_idr_on_demand() {
    if !GCC.is_here() || !GXX.is_here() {
        return skip("the streamer in C++", "gcc and g++ are not installed");
    }
    let daemon = Daemon::start("pace=free");
    let program = daemon.folder().join("streamer");
    GXX.build(&[LIBRARY, "avpu-client/c/examples/streamer.cpp"], &program);
    let output = daemon.folder().join("streamer.h264");
    let mut command = Command::new(&program);
    command.arg(daemon.socket()).arg(&output).arg("40");
    let said = run(command);
    assert_eq!(said, "40 pictures, 40 packets, 2 IDR\n");
    if ffmpeg_or_skip("decoding of what the streamer wrote") {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-xerror", "-i"]).arg(&output);
        command.args(["-f", "framemd5", "-"]).stdin(Stdio::null());
        let frames = run(command);
        let frames = frames.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(frames.count(), 40);
    }
}

/// A reply to the first request, which asks for the status: a header and a body.
fn frame(kind: u8, flags: u8, id: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&len[..], &[kind, flags, id, 0], body].concat()
}

const HELLO: [u8; 12] = *b"AVPU\x01\0\x01\0\0\0\0\0";

/// What a daemon sends, and what the client makes of it.
struct Case {
    hello: [u8; 12],
    /// Sent after the request came, byte by byte.
    bytes: Vec<u8>,
    /// A descriptor rides with the first byte although no frame announces it.
    descriptor: bool,
    says: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |bytes, says| Case {
        hello: HELLO,
        bytes,
        descriptor: false,
        says,
    };
    let turned_away = |reason, says| Case {
        hello: [b'A', b'V', b'P', b'U', 2, 0, 3, 0, reason, 0, 0, 0],
        ..case(Vec::new(), says)
    };
    let good = "connect: done, ask: done, event: disconnected, left open: 0\n";
    let bad = "connect: done, ask: protocol error, event: protocol error, left open: 0\n";
    let status = frame(2, 0, 1, &[8, 1, b'v', 1, b'd', 7, 9]);
    let later_event = frame(3, 0, 0, &[99, 1, 2, 3]);
    let gap = frame(3, 0, 0, &[2, 1]);
    vec![
        case([later_event.clone(), gap, status.clone()].concat(), good),
        Case {
            descriptor: true,
            ..case([later_event, status.clone()].concat(), good)
        },
        // A reply of nothing but its number is all zero.
        case(frame(2, 0, 1, &[8]), good),
        case(
            Vec::new(),
            "connect: done, ask: disconnected, event: disconnected, left open: 0\n",
        ),
        case(
            frame(2, 0, 1, &[0, 20, 0]),
            "connect: done, ask: shutting-down, event: disconnected, left open: 0\n",
        ),
        case(frame(2, 0, 1, &[0]), bad),
        case(frame(2, 0, 1, &[8, 200]), bad),
        case(frame(2, 0, 1, &[8, 5, b'v']), bad),
        case(
            frame(2, 0, 1, &[8, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
            bad,
        ),
        case(frame(2, 0, 1, &[9]), bad),
        case(frame(2, 0, 2, &[8]), bad),
        case(frame(2, 1, 1, &[8]), bad),
        case(frame(2, 2, 1, &[8]), bad),
        case(frame(2, 4, 1, &[8]), bad),
        case(frame(1, 0, 1, &[8]), bad),
        case(frame(2, 0, 1, &[]), bad),
        case(vec![1, 0x40, 0, 0, 2, 0, 1, 0], bad),
        case(frame(3, 0, 0, &[2, 0x80]), bad),
        case(frame(3, 0, 0, &[2, 1, 1, 1, 3]), bad),
        turned_away(
            1,
            "connect: no common version, ask: done, event: done, left open: 0\n",
        ),
        turned_away(
            2,
            "connect: turned away, ask: done, event: done, left open: 0\n",
        ),
        turned_away(
            0,
            "connect: protocol error, ask: done, event: done, left open: 0\n",
        ),
    ]
}

/// Plays a daemon for one client. A client that has heard enough closes first: writing then fails, which is as good.
fn serve(mut stream: UnixStream, case: &Case) {
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(hello, HELLO);
    stream.write_all(&case.hello).unwrap();
    let mut request = [0; 9];
    if case.hello != HELLO || stream.read_exact(&mut request).is_err() {
        return;
    }
    assert_eq!(request, [1, 0, 0, 0, 1, 0, 1, 0, 13]);
    let mut bytes = case.bytes.as_slice();
    if case.descriptor {
        let riding = [stream.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&riding)];
        let first = [IoSlice::new(&bytes[..1])];
        sendmsg::<()>(riding[0], &first, &control, MsgFlags::empty(), None).unwrap();
        bytes = &bytes[1..];
    }
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

#[test]
fn a_daemon_that_breaks_the_protocol_is_left_and_nothing_stays_open() {
    let scratch = Scratch::new("c-wire");
    let program = scratch.path().join("wire");
    if SANITIZED
        .build_to_run(&[LIBRARY, "tests/c/wire.c"], &program)
        .is_none()
    {
        return;
    }
    for (index, case) in cases().iter().enumerate() {
        let socket = scratch.path().join(index.to_string());
        let listener = UnixListener::bind(&socket).unwrap();
        let said = thread::scope(|scope| {
            scope.spawn(|| serve(listener.accept().unwrap().0, case));
            let mut command = Command::new(&program);
            command.arg(&socket);
            run(command)
        });
        assert_eq!(said, case.says, "case {index}");
    }
}
