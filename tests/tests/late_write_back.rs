//! Interrupts that come before the write-back, through the real daemon.

use avpu_client::proto::request::Page;
use avpu_client::proto::types::FrameEnd;
use avpu_client::{ChannelConfig, Client, Frame, Outcome};
use avpu_tests::daemon::{Daemon, comes_true};

/// Without another look every one of these pictures would be lost. With it only those are for which the host kept the
/// model's thread from writing in time.
#[test]
fn pictures_whose_interrupt_came_too_early_are_found() {
    const PICTURES: u32 = 8;
    let daemon = Daemon::start("pace=t31,fault=early@0-1000");
    let client = Client::connect(daemon.socket()).expect("connected");
    let channel = client
        .open_channel(&ChannelConfig::new(320, 192))
        .expect("opened");
    let mut buffers = channel.lease(1).expect("leased");
    let mut encoded = 0;
    for _ in 0..PICTURES {
        let buffer = buffers.pop().expect("a buffer");
        channel.submit(buffer, Frame::default()).expect("accepted");
        let released = channel.next_released(None).expect("released");
        let end = &released.outcome;
        encoded += u32::from(matches!(
            end,
            Outcome::Ended {
                end: FrameEnd::Encoded { .. },
                ..
            }
        ));
        buffers.extend(released.source.into_buffer());
    }
    let status = client.status().expect("told");
    assert!(encoded > PICTURES / 2, "{encoded} encoded, {status:?}");
}

/// An owner that leaves between interrupt and write-back leaves memory that the encoder still writes to.
#[test]
fn memory_that_is_still_to_be_written_back_to_goes_to_nobody_meanwhile() {
    const OWNERS: u32 = 12;
    let daemon = Daemon::start("body=pattern,pace=t31,fault=early@0-1000");
    let watcher = Client::connect(daemon.socket()).expect("connected");
    let used_bytes = || {
        let report = watcher.memory(Page::default()).expect("told");
        report.totals.used_bytes
    };
    assert_eq!(used_bytes(), 0);
    for _ in 0..OWNERS {
        let owner = Client::connect(daemon.socket()).expect("connected");
        let channel = owner
            .open_channel(&ChannelConfig::new(320, 192))
            .expect("opened");
        let mut buffers = channel.lease(1).expect("leased");
        let buffer = buffers.pop().expect("a buffer");
        channel.submit(buffer, Frame::default()).expect("accepted");
        // Gone with a picture in the encoder: the next one gets other memory, or this after the write-back.
    }
    // One more picture, which starts only when those are over.
    let last = watcher
        .open_channel(&ChannelConfig::new(320, 192))
        .expect("opened");
    let mut buffers = last.lease(1).expect("leased");
    let buffer = buffers.pop().expect("a buffer");
    last.submit(buffer, Frame::default()).expect("accepted");
    let released = last.next_released(None).expect("released");
    assert!(matches!(released.outcome, Outcome::Ended { .. }));
    buffers.extend(released.source.into_buffer());
    last.return_buffers(buffers).expect("taken");
    last.close().expect("closed");
    // Whoever left may not have been noticed yet.
    assert!(comes_true(|| used_bytes() == 0), "{} bytes", used_bytes());
    let status = watcher.status().expect("told");
    assert_eq!((status.guards_broken, status.quarantined_bytes), (0, 0));
    assert!(!daemon.log().contains("the device noticed something"));
}
