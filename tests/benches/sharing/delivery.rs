//! From the end of a picture in the encoder until its reader has the packet: told, and by looking every 5 ms.

use crate::clock::{Ticks, now_us};
use crate::{PATIENCE, quantile};
use avpu_client::proto::types::Join;
use avpu_client::{Buffer, ChannelConfig, Client, Frame, Next, Reader};
use avpu_tests::daemon::Daemon;
use std::thread;
use std::time::Duration;

const FRAMES: u32 = 150;
const FRAME: Duration = Duration::from_millis(37);
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn run() {
    let daemon = Daemon::start("body=pattern,pace=t31,size=16M");
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let config = ChannelConfig::new(640, 360).fps(27, 1).name("camera");
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut buffers = channel.lease(4).expect("buffers can be had");
    let reader = || {
        let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
        client
            .subscribe("camera", Join::NextIdr)
            .expect("anybody may read it")
    };
    let (told, looking) = (reader(), reader());
    let told = thread::spawn(move || wait_for_packets(told));
    let looking = thread::spawn(move || look_for_packets(looking));
    let ticks = Ticks::every(FRAME);
    for _ in 0..FRAMES {
        ticks.wait();
        let buffer: Buffer = buffers.pop().expect("one came back");
        let sent = channel.submit_unwaited(buffer, Frame::default());
        sent.expect("the daemon is there");
        while let Some(released) = channel.try_next_released().expect("the daemon is there") {
            buffers.extend(released.source.into_buffer());
        }
        if buffers.is_empty() {
            let released = channel.next_released(PATIENCE).expect("it ends");
            buffers.extend(released.source.into_buffer());
        }
    }
    println!("\nfrom the end of a picture until its reader has the packet, 640x360");
    for (label, reader) in [("told", told), ("looking every 5 ms", looking)] {
        let mut samples = reader.join().expect("it read");
        assert_eq!(
            samples.len(),
            usize::try_from(FRAMES).expect("few"),
            "{label}"
        );
        println!(
            "  {label:<20} median {:>5} us, p99 {:>5} us",
            quantile(&mut samples, 500),
            quantile(&mut samples, 990)
        );
    }
}

fn wait_for_packets(mut reader: Reader) -> Vec<u64> {
    let mut samples = Vec::new();
    while samples.len() < usize::try_from(FRAMES).expect("few") {
        let next = reader.next_packet(PATIENCE).expect("a packet");
        let Next::Packet(packet) = next else {
            panic!("expected a packet, found {next:?}");
        };
        let done_us = packet.meta.done_us.value();
        samples.push(now_us().saturating_sub(done_us));
    }
    samples
}

fn look_for_packets(mut reader: Reader) -> Vec<u64> {
    let mut samples = Vec::new();
    let ticks = Ticks::every(LOOK);
    while samples.len() < usize::try_from(FRAMES).expect("few") {
        ticks.wait();
        while let Some(next) = reader.try_next_packet().expect("the daemon is there") {
            let Next::Packet(packet) = next else {
                panic!("expected a packet, found {next:?}");
            };
            let done_us = packet.meta.done_us.value();
            samples.push(now_us().saturating_sub(done_us));
        }
    }
    samples
}
