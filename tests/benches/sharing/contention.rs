//! Two live channels alone, then beside four processes that submit as fast as they can.
//!
//! The live channels must not lose a frame; how much longer their frames wait is printed beside the time of one picture
//! of a flood, which is the most that an encoder which cannot be interrupted may cost them.

use crate::clock::Ticks;
use crate::{PATIENCE, quantile};
use avpu_client::proto::types::{Class, FrameEnd};
use avpu_client::{Buffer, ChannelConfig, Client, Frame, Next, Outcome};
use avpu_model::timing::Costs;
use avpu_tests::daemon::Daemon;
use avpu_tests::process::Process;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIVE: [(u16, u16); 2] = [(1280, 720), (640, 360)];
const FLOODS: usize = 4;
/// Size of a flood's pictures.
const FLOOD: (u16, u16) = (1920, 1080);
const SECONDS_ALONE: u32 = 6;
const SECONDS_BESIDE: u32 = 30;
const FPS: u32 = 25;

pub(crate) fn run() {
    let daemon = Daemon::start("body=pattern,pace=t31,size=128M");
    println!(
        "\ntwo live channels at {FPS} pictures a second, then beside {FLOODS} processes that flood"
    );
    let (alone, _) = together(&daemon, 0, SECONDS_ALONE);
    let (beside, took_us) = together(&daemon, FLOODS, SECONDS_BESIDE);
    let macroblocks = u32::from(FLOOD.0).div_ceil(16) * u32::from(FLOOD.1).div_ceil(16);
    let flood_us = Costs::T31.p.picture_us(macroblocks);
    for ((alone, beside), (width, height)) in alone.iter().zip(&beside).zip(LIVE) {
        println!(
            "  {width}x{height}: {} frames, {} lost; wait p99 {} us alone, {} us beside floods: {} us more",
            beside.frames,
            beside.lost,
            alone.p99_us,
            beside.p99_us,
            beside.p99_us.saturating_sub(alone.p99_us)
        );
        assert!(beside.frames >= SECONDS_BESIDE * FPS, "{beside:?}");
        assert_eq!((alone.lost, beside.lost), (0, 0), "{width}x{height}");
    }
    let flooded: u32 = beside.iter().skip(LIVE.len()).map(|told| told.frames).sum();
    println!(
        "  the floods had {flooded} pictures encoded; one takes {flood_us} us, p99 on this machine {took_us} us"
    );
    assert!(flooded > 0);
}

/// What a client process told at its end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) frames: u32,
    pub(crate) lost: u32,
    p99_us: u64,
}

/// Lets the live channels run for so long beside so many floods; the live ones come first in the answer. Also how long
/// the largest picture of the floods took, the 99th percentile.
fn together(daemon: &Daemon, floods: usize, seconds: u32) -> (Vec<Told>, u32) {
    let socket = daemon.socket();
    // Floods are there before the first live frame and after the last one.
    let flood_seconds = (seconds + 2).to_string();
    let flooding: Vec<Process> = (0..floods)
        .map(|_| start(&["flood"], &socket, &[&flood_seconds]))
        .collect();
    let live = LIVE.map(|(width, height)| {
        let words = [width.to_string(), height.to_string(), seconds.to_string()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        start(&["live"], &socket, &words)
    });
    let mut told: Vec<Told> = live.into_iter().map(listen).collect();
    let client = Client::connect(&socket).expect("the daemon takes connections");
    let reports: Vec<_> = client
        .channels()
        .map(|report| report.expect("the daemon answers"))
        .collect();
    let floods = reports.iter().filter(|r| r.class == Class::BestEffort);
    let took_us = floods.map(|report| report.hardware.p99_us).max();
    told.extend(flooding.into_iter().map(listen));
    (told, took_us.unwrap_or(0))
}

pub(crate) fn start(role: &[&str], socket: &Path, more: &[&str]) -> Process {
    let mut again = Command::new(std::env::current_exe().expect("a program knows its path"));
    again.arg("--role").args(role).arg(socket).args(more);
    Process::start(again.stdin(Stdio::null()).stdout(Stdio::piped()))
}

pub(crate) fn listen(process: Process) -> Told {
    let output = process.output();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<u64> = text
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    let &[frames, lost, p99_us] = words.as_slice() else {
        panic!("expected three numbers, found {text}");
    };
    Told {
        frames: u32::try_from(frames).expect("few"),
        lost: u32::try_from(lost).expect("few"),
        p99_us,
    }
}

/// Submits a frame each period, and prints how many there were, how many were lost, and the 99th percentile of their
/// waits.
pub(crate) fn live(socket: &Path, (width, height): (u16, u16), seconds: u32) {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let config = ChannelConfig::new(width, height)
        .fps(FPS, 1)
        .class(Class::Live);
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut reader = channel.subscribe().expect("its owner may read it");
    let mut buffers = channel.lease(8).expect("buffers can be had");
    let ticks = Ticks::every(Duration::from_secs(1) / FPS);
    let (mut lost, mut waits) = (0, Vec::new());
    let frames = seconds * FPS;
    let mut ended = 0;
    let mut submitted = 0;
    while ended < frames {
        if submitted < frames {
            ticks.wait();
            let buffer: Buffer = buffers.pop().expect("one came back");
            let sent = channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
            submitted += 1;
        }
        loop {
            let released = if submitted == frames && ended < frames {
                Some(channel.next_released(PATIENCE).expect("it ends"))
            } else {
                channel.try_next_released().expect("the daemon is there")
            };
            let Some(released) = released else { break };
            ended += 1;
            let encoded = matches!(
                released.outcome,
                Outcome::Ended {
                    end: FrameEnd::Encoded { .. },
                    ..
                }
            );
            lost += u32::from(!encoded);
            buffers.extend(released.source.into_buffer());
        }
        while let Some(next) = reader.try_next_packet().expect("the daemon is there") {
            let Next::Packet(packet) = next else {
                panic!("expected a packet, found {next:?}");
            };
            let (accepted, started) = (packet.meta.accepted_us, packet.meta.started_us);
            waits.push(started.value().saturating_sub(accepted.value()));
        }
    }
    println!("{frames} {lost} {}", quantile(&mut waits, 990));
}

/// Keeps frames waiting at all times.
pub(crate) fn flood(socket: &Path, seconds: u64) {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let config = ChannelConfig::new(FLOOD.0, FLOOD.1).fps(1, 1).fix_qp(40);
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut buffers = channel.lease(4).expect("buffers can be had");
    let start = Instant::now();
    let mut frames = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        while let Some(buffer) = buffers.pop() {
            let sent = channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
        }
        let released = channel.next_released(PATIENCE).expect("it ends");
        frames += u32::from(matches!(released.outcome, Outcome::Ended { .. }));
        buffers.extend(released.source.into_buffer());
    }
    println!("{frames} 0 0");
}
