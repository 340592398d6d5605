//! Each limit of one client and of one user, with what is said to whoever meets it.

use crate::app::{App, NOBODY, logged};
use avpu_client::{ChannelConfig, Client, Frame, Outcome};
use avpu_tests::daemon::Daemon;
use avpu_tests::skip::skip;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn daemon(arguments: &[&str]) -> Daemon {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    Daemon::start_with("pace=free", &arguments)
}

fn open() -> Value {
    json!({"OpenChannel": {"width": 64, "height": 64}})
}

/// Opens a channel; it is the daemon's first.
fn opened(app: &mut App) {
    let reply = app.ask(&open());
    assert!(reply.get("ChannelOpened").is_some(), "{reply}");
}

/// That the limit is told with its figure, to the client and in the log.
fn check(daemon: &Daemon, app: &mut App, request: &Value, (code, told): (&str, &str)) {
    let refused = app.refused(request);
    assert_eq!(refused.word, code, "{refused:?}");
    assert!(refused.sentence.contains(told), "{refused:?}");
    let lines = logged(daemon, "a request was refused");
    let own = format!(" uid={} ", geteuid());
    let last = lines.last().expect("it is logged");
    assert!(last.contains(told) && last.contains(&own), "{last}");
}

#[test]
fn one_connection_has_as_many_channels_as_the_settings_say() {
    let daemon = daemon(&["--client-channels-max", "2"]);
    let mut app = App::start(&daemon);
    opened(&mut app);
    opened(&mut app);
    let told = "expected at most 2 channels of one connection, found one more";
    check(&daemon, &mut app, &open(), ("limit-reached", told));
    let mut other = App::start(&daemon);
    opened(&mut other);
}

#[test]
fn one_connection_leases_as_many_bytes_as_the_settings_say() {
    let daemon = daemon(&["--client-lease-bytes-max", "16K"]);
    let mut app = App::start(&daemon);
    opened(&mut app);
    let lease = |count: u8| json!({"LeaseBuffers": {"channel": 1, "count": count}});
    // A picture takes 6144 bytes, in whole pages 8192.
    assert!(app.ask(&lease(1)).get("BuffersLeased").is_some());
    let told = "expected at most 16384 bytes in leases of one connection, found a need of 16384 beside 8192, 8192 too much";
    check(&daemon, &mut app, &lease(2), ("limit-reached", told));
    assert!(app.ask(&lease(1)).get("BuffersLeased").is_some());
}

#[test]
fn one_connection_has_as_many_frames_under_way_as_the_settings_say() {
    let daemon = daemon(&["--client-frames-max", "2"]);
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let channel = client.open_channel(&ChannelConfig::new(64, 64));
    let channel = channel.expect("there is room");
    let buffers = channel.lease(3).expect("there is room");
    // All three are there when it reads again, and it hears them before it looks for pictures that are done.
    daemon.signal(Signal::SIGSTOP);
    for buffer in buffers {
        let sent = channel.submit_unwaited(buffer, Frame::default());
        sent.expect("there is room in the socket");
    }
    daemon.signal(Signal::SIGCONT);
    let mut refused = Vec::new();
    for _ in 0..3 {
        let released = channel.next_released(PATIENCE).expect("each ends");
        if let Outcome::Refused(refusal) = released.outcome {
            refused.push((refusal.code.word(), refusal.sentence));
        }
    }
    let told = "expected at most 2 frames under way on one connection, found one more";
    assert_eq!(refused, [("no-credit", told.to_owned())]);
}

#[test]
fn one_subscription_has_as_many_packets_outstanding_as_the_settings_say() {
    let daemon = daemon(&["--client-packets-max", "3"]);
    let mut app = App::start(&daemon);
    opened(&mut app);
    for wished in [0, 2, 64] {
        let reply = app.ask(&json!({"Subscribe": {"channel": 1, "credits": wished}}));
        let granted = &reply["Subscribed"]["credits"];
        assert_eq!(*granted, if wished == 2 { 2 } else { 3 }, "{reply}");
    }
    let reply = app.ask(&json!("Capabilities"));
    assert_eq!(reply["Capabilities"]["packet_credits_max"], 3, "{reply}");
}

#[test]
fn one_connection_is_promised_its_next_idr_for_when_the_settings_allow_it() {
    let daemon = daemon(&["--client-idr-ms", "3600000"]);
    let mut app = App::start(&daemon);
    opened(&mut app);
    let reply = app.ask(&json!({"LeaseBuffers": {"channel": 1, "count": 1}}));
    let address = reply["BuffersLeased"]["buffers"][0]["address"].clone();
    let idr = json!({"RequestIdr": {"channel": 1}});
    let mut waits = Vec::new();
    for _ in 0..2 {
        let reply = app.ask(&idr);
        let wait = reply["IdrPromised"]["wait_us"].as_u64();
        waits.push(wait.unwrap_or_else(|| panic!("expected a promise, found {reply}")));
        app.ask(&json!({"Submit": {"channel": 1, "address": address}}));
        app.event("SourceReleased");
    }
    assert_eq!(waits[0], 0);
    assert!(
        (3_000_000_000..=3_600_000_000).contains(&waits[1]),
        "{waits:?}"
    );
}

#[test]
fn one_user_has_as_many_connections_as_the_settings_say() {
    if !geteuid().is_root() {
        return skip("connections of another user", "only root can become one");
    }
    let daemon = daemon(&["--user-connections-max", "2"]);
    let mut held: Vec<App> = (0..2).map(|_| App::start_as_nobody(&daemon)).collect();
    for app in &mut held {
        assert!(
            app.ask(&json!("Capabilities"))
                .get("Capabilities")
                .is_some()
        );
    }
    let (code, said) = App::start_as_nobody(&daemon).end();
    let told = "expected at most 2 connections of this user, found one more";
    assert!(said.contains(told), "{said}");
    assert_eq!(code, Some(4), "{said}");
    let lines = logged(&daemon, "a connection was turned away");
    let uid = format!(" uid={NOBODY} ");
    assert!(
        lines.len() == 1 && lines[0].contains(told) && lines[0].contains(&uid),
        "{lines:?}"
    );
    // Others are not concerned, and an end makes room.
    opened(&mut App::start(&daemon));
    held.pop().expect("two").kill();
    let mut next = App::start_as_nobody(&daemon);
    assert!(
        next.ask(&json!("Capabilities"))
            .get("Capabilities")
            .is_some()
    );
}
