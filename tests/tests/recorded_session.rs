//! A camera's session, recorded under the vendor's library, through the whole daemon: the same register accesses in the
//! same order, from a client's requests over the socket to the device.

use avpu_client::proto::types::{Profile, RateControl};
use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame};
use avpu_tests::in_process::InProcess;
use avpu_tests::vectors::session::{self, OTHER_LINES, PICTURES, Recorded};
use avpud::device::trace::{Access, Traced};
use avpud::device::{Device, model};
use avpud::hw::regs::Reg;
use avpud::server::End;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
/// One more than the last picture that was recorded of a channel.
const PICTURES_A_CHANNEL: u32 = 46;

struct Camera {
    channel: Channel,
    free: Vec<Buffer>,
}

impl Camera {
    fn new(client: &Client, config: &ChannelConfig) -> Self {
        let channel = client.open_channel(config).expect("there is room");
        let free = channel.lease(1).expect("there is room");
        Self { channel, free }
    }

    fn submit(&mut self) {
        let buffer = self.free.pop().expect("it came back");
        let accepted = self.channel.submit(buffer, Frame::default());
        accepted.expect("it is accepted");
    }

    fn settle(&mut self) {
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.free.extend(released.source.into_buffer());
    }
}

/// The recorded order; where lines are missing from the recording the main channel goes first.
fn order(index: u32) -> [Recorded; 2] {
    let of = |wanted| {
        let found = PICTURES
            .iter()
            .position(|(channel, n, _)| (*channel, *n) == (wanted, index));
        found.unwrap_or(usize::MAX)
    };
    if of(Recorded::Sub) < of(Recorded::Main) && of(Recorded::Main) != usize::MAX {
        [Recorded::Sub, Recorded::Main]
    } else {
        [Recorded::Main, Recorded::Sub]
    }
}

fn drive(socket: &Path) {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let rate_control = |bitrate_bps| RateControl::Cbr {
        bitrate_bps,
        qp_min: 16,
        qp_max: 45,
    };
    let main = ChannelConfig::new(1920, 1080)
        .profile(Profile::High)
        .rate_control(rate_control(2_000_000));
    let sub = ChannelConfig::new(640, 360)
        .profile(Profile::Baseline)
        .rate_control(rate_control(500_000));
    let mut main = Camera::new(&client, &main.fps(25, 1).gop_length(50));
    let mut sub = Camera::new(&client, &sub.fps(25, 1).gop_length(50));
    for index in 0..PICTURES_A_CHANNEL {
        // The first of the two starts at once, as nothing else is there; the second one waits for its end.
        for channel in order(index) {
            match channel {
                Recorded::Main => main.submit(),
                Recorded::Sub => sub.submit(),
            }
        }
        main.settle();
        sub.settle();
    }
}

/// Everything that is done to a device while `drive` has a daemon; its mask has these lines of other cores at first.
fn trace(other_lines: u32) -> Vec<Access> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let accesses = Arc::clone(&log);
    let daemon = InProcess::start(move || {
        let opened = model::open("body=pattern,pace=free", &[], None);
        let (mut device, interrupts, canceller) = opened.expect("the model starts");
        device
            .write(Reg::IrqMask, other_lines)
            .expect("the model answers");
        let sink = move |access| {
            let mut log = accesses.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(access);
        };
        (Traced::new(device, sink), interrupts, canceller)
    });
    drive(daemon.socket());
    assert_eq!(daemon.stop(), End::Done);
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *log)
}

#[test]
fn a_recorded_session_through_the_daemon_is_the_same_accesses_in_the_same_order() {
    // With the still channels of the recorded process, and without: their line is kept as it was read.
    for other_lines in [OTHER_LINES, 0] {
        let done = trace(other_lines);
        let driven = session::compare(&done, other_lines).unwrap_or_else(|found| panic!("{found}"));
        let mut order_driven = driven.iter().map(|picture| match picture.channel {
            0 => (Recorded::Main, picture.index),
            _ => (Recorded::Sub, picture.index),
        });
        for index in 0..PICTURES_A_CHANNEL {
            for channel in order(index) {
                assert_eq!(order_driven.next(), Some((channel, index)));
            }
        }
        assert_eq!(order_driven.next(), None);
        // Not only in turn: each recorded list lies as far behind its channel's first one as it did on the camera.
        for (channel, index, list) in PICTURES {
            let number = usize::from(channel == Recorded::Sub);
            let first = PICTURES[number].2;
            let place =
                |picture: &&session::Driven| (picture.channel, picture.index) == (number, index);
            let picture = driven.iter().find(place).expect("it was driven");
            assert_eq!(
                picture.list_offset_bytes,
                list - first,
                "{channel:?} {index}"
            );
        }
    }
}
