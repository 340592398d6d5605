//! The client in Python, written from `PROTOCOL.md` alone, speaks to what speaks the Rust client's protocol.

use crate::fake::{BASE, CHANNEL, Daemon, FakeRing, layout, shared_file};
use avpu_client::proto::event::{Event, Packet, SourceReleased};
use avpu_client::proto::reply::{Reply, Submitted};
use avpu_client::proto::request::Request;
use avpu_client::proto::types::{FrameEnd, FrameNumber, PictureKind, Sequence};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

#[test]
fn a_client_written_from_the_document_encodes_a_picture() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|python| python.status.success()) {
        // Past the harness, which keeps what a test that passes prints.
        let reason = "SKIPPED: the client in Python: python3 is not installed";
        writeln!(std::io::stderr(), "{reason}").unwrap();
        return;
    }
    let place = std::env::temp_dir().join(format!("avpu-python-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let (socket, output) = (place.join("avpud.sock"), place.join("out.h264"));
    let picture = place.join("picture.nv12");
    let bytes: Vec<u8> = (1..=255).cycle().take(20 * 10 / 2 * 3).collect();
    std::fs::write(&picture, &bytes).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = thread::spawn(move || {
        let mut daemon = Daemon::welcoming(listener.accept().unwrap().0);
        let mut ring = FakeRing::new(0xFFFF_FFFF, CHANNEL);
        let file = shared_file(layout().len_bytes);
        daemon.open_channel();
        daemon.subscribe(&ring);
        daemon.lease(&file);
        let (id, request) = daemon.request();
        let Request::Submit(submit) = request else {
            panic!("expected Submit, found {request:?}");
        };
        assert_eq!((submit.channel, submit.address.value()), (CHANNEL, BASE));
        let mut line = [0; 32];
        file.read_exact_at(&mut line, 64 * 15).unwrap();
        assert_eq!(
            line[..20],
            bytes[9 * 20..][..20],
            "the last line is repeated"
        );
        assert_eq!(
            line[20..],
            [bytes[10 * 20 - 1]; 12],
            "the last pixel is repeated"
        );
        let Event::Packet(packet) = ring.put(b"\0\0\0\x01picture", PictureKind::Idr) else {
            panic!("expected a packet");
        };
        let frame = FrameNumber::new(0);
        daemon.reply(id, &Reply::Submitted(Submitted { frame }));
        daemon.event(&Event::Packet(Packet {
            timestamp: submit.timestamp,
            qp: 30,
            ..packet
        }));
        let (id, request) = daemon.request();
        assert!(matches!(request, Request::ReleasePackets(_)), "{request:?}");
        // An event that comes before the reply.
        daemon.event(&Event::SourceReleased(SourceReleased {
            channel: CHANNEL,
            frame,
            address: submit.address,
            cookie: submit.cookie,
            end: FrameEnd::Encoded {
                sequence: Sequence::new(0),
            },
        }));
        daemon.reply(id, &Reply::Done);
        assert!(daemon.next_request().is_none());
    });
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/python/avpu_client.py"
    );
    let run = Command::new("python3")
        .arg(script)
        .arg(&socket)
        .args(["20", "10"])
        .args([&output, &picture])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{error}");
    daemon.join().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(said, "IDR qp 30 length 11\n");
    assert_eq!(std::fs::read(&output).unwrap(), b"\0\0\0\x01picture");
    std::fs::remove_dir_all(place).unwrap();
}
