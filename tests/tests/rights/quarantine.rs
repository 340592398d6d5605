//! A raw client is killed and started again, while the capture hardware behind it goes on.

use crate::app::{App, NOBODY, avpuctl, logged};
use avpu_tests::daemon::Daemon;
use avpu_tests::skip::skip;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use std::ffi::OsStr;

const WINDOW: u32 = 0x0b00_0000;
const LEN: u32 = 0x4_0000;

fn daemon() -> Daemon {
    let raw = format!("{},{NOBODY}", geteuid().as_raw());
    let arguments = [
        "--source-windows",
        "1M@0x0b000000",
        "--quarantine-ms",
        "never",
        "--raw-users",
        &raw,
    ];
    Daemon::start_with("pace=free", &arguments.map(OsStr::new))
}

fn register() -> Value {
    json!({"RegisterRegion": {"address": WINDOW, "len_bytes": LEN}})
}

/// Registers the memory of the capture hardware, and has a picture in it encoded.
fn stream(app: &mut App) {
    let reply = app.ask(&register());
    assert!(reply.get("RegionRegistered").is_some(), "{reply}");
    let reply = app.ask(&json!({"OpenChannel": {"width": 320, "height": 192}}));
    let channel = &reply["ChannelOpened"]["channel"];
    let submit = json!({"Submit": {"channel": channel, "address": WINDOW + 0x1_0000}});
    let reply = app.ask(&submit);
    assert!(reply.get("Submitted").is_some(), "{reply}");
    let released = app.event("SourceReleased");
    assert!(released["end"].get("Encoded").is_some(), "{released}");
}

fn quarantine(daemon: &Daemon) -> String {
    let (code, said) = avpuctl(daemon, &["quarantine"]);
    assert_eq!(code, Some(0), "{said}");
    said
}

#[test]
fn a_raw_client_that_is_killed_is_followed_by_the_next_of_its_user() {
    let daemon = daemon();
    let own = geteuid().to_string();
    for _ in 0..3 {
        let mut app = App::start(&daemon);
        stream(&mut app);
        assert_eq!(quarantine(&daemon), "nothing is in quarantine\n");
        app.kill();
        let left = quarantine(&daemon);
        let row: Vec<&str> = left
            .lines()
            .nth(1)
            .expect("one")
            .split_whitespace()
            .collect();
        let kib = (LEN >> 10).to_string();
        let expected = ["0x0b000000", &kib, "quarantine", "0", "-", "-", &own];
        assert_eq!(row, expected, "{left}");
    }
    let lines = logged(&daemon, "memory that was not given back is in quarantine");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains(&format!(" uid={own} ")), "{lines:?}");
    let release = ["quarantine", "release", "0x0b000000"];
    assert_eq!(avpuctl(&daemon, &release).0, Some(0));
    assert_eq!(quarantine(&daemon), "nothing is in quarantine\n");
    assert_eq!(logged(&daemon, "released from quarantine").len(), 1);
    assert!(daemon.stop().expect("it ends").success());
}

#[test]
fn what_a_killed_client_of_another_user_left_is_refused_until_an_operator_releases_it() {
    if !geteuid().is_root() {
        return skip("a client of another user", "only root can become one");
    }
    let daemon = daemon();
    let mut app = App::start_as_nobody(&daemon);
    stream(&mut app);
    app.kill();
    let mut other = App::start(&daemon);
    let refused = other.refused(&register());
    assert_eq!(refused.word, "address-overlap");
    let told = format!("what a client of user {NOBODY} left in quarantine");
    assert!(refused.sentence.contains(&told), "{refused:?}");
    let lines = logged(&daemon, "a request was refused");
    assert!(lines.len() == 1 && lines[0].contains(&told), "{lines:?}");
    let mut again = App::start_as_nobody(&daemon);
    stream(&mut again);
    again.kill();
    let release = ["quarantine", "release", "0x0b000000"];
    assert_eq!(avpuctl(&daemon, &release).0, Some(0));
    stream(&mut other);
    assert!(daemon.stop().expect("it ends").success());
}
