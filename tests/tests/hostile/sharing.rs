//! What a process of another user can do with what it gets.

use crate::peer::Peer;
use crate::scene::{Scene, VICTIM};
use avpu_proto::reply::Reply;
use avpu_proto::request::{Request, Subscribe};
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::{self, Finish};
use avpu_tests::skip::skip;
use avpud::mem::addr::ByteLen;
use avpud::mem::map::RingMapping;
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `nobody` on every Linux.
const NOBODY: u32 = 65534;

/// The victim's ring as a reader gets it.
fn ring(daemon: &Daemon) -> (Peer, File) {
    let mut peer = Peer::connect(&daemon.socket());
    let wish = Request::Subscribe(Subscribe {
        name: VICTIM.to_owned(),
        ..Subscribe::default()
    });
    assert!(matches!(peer.ask(&wish), Reply::Subscribed(_)));
    let descriptor = peer.descriptors.pop().expect("it rides with the reply");
    (peer, File::from(descriptor))
}

#[test]
fn a_reader_can_neither_write_the_ring_nor_map_or_cut_it() {
    let mut scene = Scene::new("");
    scene.beside("a reader that wants to write", |daemon| {
        let (_peer, ring) = ring(daemon);
        let len = ring.metadata().expect("it is a file").len();
        assert!(ring.write_at(b"x", 0).is_err());
        assert!(ring.set_len(0).is_err());
        let len = ByteLen::new(u32::try_from(len).expect("32 bits"));
        let error = RingMapping::new(ring.as_fd(), len).expect_err("it is for reading only");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        // Whoever may open it anew, as root may, finds it sealed.
        let path = format!("/proc/self/fd/{}", ring.as_raw_fd());
        if let Ok(again) = OpenOptions::new().read(true).write(true).open(path) {
            assert!(again.write_at(b"x", 0).is_err());
            assert!(again.set_len(0).is_err());
            assert!(RingMapping::new(again.as_fd(), len).is_err());
        }
    });
    scene.finish();
}

#[test]
fn a_reader_of_another_user_cannot_open_the_ring_for_writing() {
    if !geteuid().is_root() {
        return skip("a reader of another user", "only root can become one");
    }
    let mut scene = Scene::new("");
    scene.beside("a reader of another user", |daemon| {
        let attempts = [
            ("read and write", "exec 3<>/dev/fd/0"),
            ("write", "exec 3>>/dev/fd/0"),
            ("cut", "exec 3>/dev/fd/0"),
        ];
        for (what, script) in attempts {
            let (_peer, ring) = ring(daemon);
            let mut shell = Command::new("/bin/sh");
            let script = format!("head -c 4 <&0 >/dev/null || exit 9; {script} && echo opened");
            shell.args(["-c", &script]).uid(NOBODY).gid(NOBODY);
            let output = shell.stdin(ring).finish();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.stdout.is_empty(), "{what}: it was opened");
            assert!(said.contains("Permission denied"), "{what}: {said}");
        }
    });
    scene.finish();
}

#[test]
fn a_client_of_another_user_has_no_right_to_raw_addresses() {
    if !geteuid().is_root() {
        return skip("a client of another user", "only root can become one");
    }
    let window = ["--source-windows", "1M@0x0b000000"].map(OsStr::new);
    let mut scene = Scene::over(Daemon::start_with("pace=free", &window));
    scene.beside("a client of another user", |daemon| {
        let socket = daemon.socket();
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("it is ours");
        // Where the programs are built another user may not be able to look.
        let copy = daemon.folder().join("avpucat");
        fs::copy(program("avpucat"), &copy).expect("it can be copied");
        let mut command = Command::new(&copy);
        command
            .args(["JSON:-", "AVPU-RAW:"])
            .env("AVPUD_SOCKET", &socket)
            .uid(NOBODY)
            .gid(NOBODY);
        // Channels are numbered from 1 and the victim has the first.
        let lines = "{\"RegisterRegion\":{\"address\":184549376,\"len_bytes\":4096}}\n\
                     {\"OpenChannel\":{\"width\":64,\"height\":64}}\n\
                     {\"Submit\":{\"channel\":2,\"address\":184549376}}\n\
                     \"Capabilities\"\n";
        let output = process::run(&mut command, lines.as_bytes());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let refused = said.matches("\"code\":16,").count();
        assert_eq!(refused, 2, "not-permitted is 16: {said}");
        assert!(said.contains("\"raw_addresses\":false"), "{said}");
    });
    scene.finish();
}
