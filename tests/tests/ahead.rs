//! Pictures that are made ready while another channel's is encoded, in the real daemon: used, counted, shown, and left
//! out where the settings say so.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame};
use avpu_proto::report::AheadReport;
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::Finish;
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
/// Of each channel.
const PICTURES: u32 = 60;

struct Camera {
    channel: Channel,
    free: Vec<Buffer>,
    left: u32,
}

impl Camera {
    fn new(client: &Client) -> Self {
        let config = ChannelConfig::new(640, 360).fps(1, 1);
        let channel = client.open_channel(&config).expect("there is room");
        Self {
            free: channel.lease(3).expect("there is room"),
            channel,
            left: PICTURES,
        }
    }

    /// Keeps the queue full.
    fn submit(&mut self) {
        while self.left > 0
            && let Some(buffer) = self.free.pop()
        {
            let sent = self.channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
            self.left -= 1;
        }
    }

    fn take(&mut self) {
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.free.extend(released.source.into_buffer());
    }
}

/// Two channels that always have a picture waiting; what the daemon counted.
fn encode(daemon: &Daemon) -> AheadReport {
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let mut cameras = [Camera::new(&client), Camera::new(&client)];
    for _ in 0..PICTURES {
        cameras.iter_mut().for_each(Camera::submit);
        cameras.iter_mut().for_each(Camera::take);
    }
    let status = client.status().expect("the daemon answers");
    assert_eq!(status.pictures, 2 * PICTURES);
    assert_eq!(status.pictures_failed, 0);
    status.ahead
}

#[test]
fn pictures_of_two_channels_in_turn_are_started_as_they_were_made_ready() {
    let daemon = Daemon::start("body=pattern,pace=t31");
    let counts = encode(&daemon);
    assert!(counts.used > 0, "{counts:?}");
    let AheadReport {
        prepared,
        used,
        overtaken,
        frame_gone,
        channel_gone,
        changed,
        idr,
        recovery,
    } = counts;
    let dropped = overtaken + frame_gone + channel_gone + changed + idr + recovery;
    assert_eq!(
        prepared,
        used + dropped,
        "nothing waits any more: {counts:?}"
    );

    let mut avpuctl = Command::new(program("avpuctl"));
    avpuctl.arg("--socket").arg(daemon.socket()).arg("status");
    let shown = avpuctl.stdin(Stdio::null()).finish();
    let shown = String::from_utf8(shown.stdout).expect("text");
    let line = format!("made ready ahead     {prepared} ({used} used");
    assert!(shown.contains(&line), "{line}: {shown}");
}

#[test]
fn a_daemon_that_is_told_not_to_makes_nothing_ready() {
    let words = ["--prepare-ahead", "no"].map(OsStr::new);
    let daemon = Daemon::start_with("body=pattern,pace=t31", &words);
    assert_eq!(encode(&daemon), AheadReport::default());
}
