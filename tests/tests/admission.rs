//! What the real daemon promises, refuses and drops, over its socket.

use avpu_client::{Channel, ChannelConfig, Client, ClientError, Frame, Outcome};
use avpu_proto::error::ErrorCode;
use avpu_proto::types::{Class, DropReason, FrameEnd, Overload};
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::Finish;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn fits(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(program("avpuctl"))
        .arg("--socket")
        .arg(daemon.socket())
        .arg("fits")
        .args(words)
        .stdin(Stdio::null())
        .finish();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

#[test]
fn what_fits_is_told_without_opening_anything() {
    let daemon = Daemon::start("body=pattern,pace=t31");
    let (code, text) = fits(&daemon, &["1920x1080@25:live", "640x360@15:record"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("fits: ") && text.contains("27007"),
        "{text}"
    );
    let (code, text) = fits(&daemon, &["1920x1080@25"; 3]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("us too much"), "{text}");
    assert!(
        text.contains("would fit: 1920x1080@25 1920x1080@25 1920x1080@20"),
        "{text}"
    );
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    assert_eq!(client.channels().count(), 0);
    assert_eq!(client.status().expect("a status").channels, 0);
}

#[test]
fn a_channel_that_would_break_a_ticket_is_refused_with_its_holder() {
    let daemon = Daemon::start("body=pattern,pace=t31");
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let door = ChannelConfig::new(640, 360)
        .class(Class::Live)
        .deadline_us(5_000)
        .name("door");
    let door = client.open_channel(&door).expect("it fits");
    assert_eq!(door.opened().ticket_us, 5_000);
    let large = ChannelConfig::new(1920, 1080).fps(1, 1);
    let refused = client.open_channel(&large);
    let refused = refused.expect_err("it would break a ticket");
    let ClientError::Refused(refusal) = refused else {
        panic!("expected a refusal, found {refused}");
    };
    assert_eq!(refusal.code, ErrorCode::NO_SCHEDULE);
    let holder = format!("\"door\" of process {}", std::process::id());
    assert!(refusal.sentence.contains(&holder), "{refusal}");
    door.close().expect("it closes");
    client.open_channel(&large).expect("nobody is in the way");
}

/// Submits so many pictures at once and answers how each ended, in the order of their ends.
fn flood(overload: Overload, frames: usize) -> Vec<FrameEnd> {
    let daemon = Daemon::start("body=pattern,pace=free");
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let config = ChannelConfig::new(640, 360).overload(overload);
    let channel: Channel = client.open_channel(&config).expect("it fits");
    let buffers = channel
        .lease(u8::try_from(frames).expect("few"))
        .expect("buffers can be had");
    for buffer in buffers {
        let submitted = channel.submit_unwaited(buffer, Frame::default());
        submitted.expect("the daemon is there");
    }
    let end = |_| match channel.next_released(PATIENCE).expect("it ends").outcome {
        Outcome::Ended { end, .. } => end,
        other => panic!("expected an accepted frame, found {other:?}"),
    };
    (0..frames).map(end).collect()
}

#[test]
fn a_client_that_waits_for_room_loses_no_picture() {
    for end in flood(Overload::Wait, 16) {
        assert!(matches!(end, FrameEnd::Encoded { .. }), "{end:?}");
    }
}

#[test]
fn a_client_that_wants_the_latest_only_gets_the_last_and_hears_of_the_others() {
    let ends = flood(Overload::LatestOnly, 16);
    let dropped = |end: &&FrameEnd| **end == FrameEnd::Dropped(DropReason::Superseded);
    let encoded = |end: &&FrameEnd| matches!(end, FrameEnd::Encoded { .. });
    let (dropped, encoded) = (ends.iter().filter(dropped), ends.iter().filter(encoded));
    assert!(matches!(ends.last(), Some(FrameEnd::Encoded { .. })));
    assert_eq!(dropped.count() + encoded.count(), 16, "{ends:?}");
}
