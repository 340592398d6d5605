//! Interrupts that come before the write-back, through the real daemon.

use avpu_client::proto::types::FrameEnd;
use avpu_client::{ChannelConfig, Client, Frame, Outcome};
use avpu_tests::daemon::Daemon;

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
