//! The demo's encoding processes: a camera's pace in, a file out.

use super::clip::Clip;
use super::message::{Encoded, Latency, Message};
use super::part::Wish;
use avpu_client::proto::report::{ChannelReport, LatencyReport};
use avpu_client::proto::types::{FrameEnd, PictureKind};
use avpu_client::source::{Nv12Picture, PictureSize};
use avpu_client::{Channel, ChannelConfig, Client, ClientError, Frame, Next, Outcome, Reader};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Buffers of an encoding process: one to draw, one in the encoder, two on the way.
const BUFFERS: u8 = 4;
/// How long anything may take before the process gives up.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

/// What the reading half counted.
#[derive(Default)]
struct Read {
    packets: u32,
    idr: u32,
    bytes: u64,
    missed: u32,
    sse_luma: u64,
}

/// Encodes and tells the result.
pub(super) fn run(wish: &Wish) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(&wish.socket)?;
    let channel = client.open_channel(&config(wish))?;
    let reader = channel.subscribe()?;
    let out = wish.out.clone();
    let reading = thread::spawn(move || read(reader, out.as_deref()).map_err(|e| e.to_string()));
    let (frames_in, dropped) = submit(wish, &channel)?;
    channel.drain()?;
    channel.finish(PATIENCE)?;
    let read = reading
        .join()
        .map_err(|_| "the reading thread panicked")??;
    let report = find(&client, &channel)?;
    Message::Encoded(Encoded {
        width: wish.width,
        height: wish.height,
        fps: wish.fps,
        frames_in,
        packets_out: read.packets,
        idr_out: read.idr,
        bytes_out: read.bytes,
        lost: read.missed + dropped,
        sse_luma: read.sse_luma,
        wait: latency(report.wait),
        hardware: latency(report.hardware),
        delivery: latency(report.delivery),
    })
    .tell();
    Ok(())
}

/// Opens a channel and encodes until it is killed.
pub(super) fn intrude(wish: &Wish) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(&wish.socket)?;
    let channel = client.open_channel(&config(wish))?;
    let mut buffers = channel.lease(BUFFERS)?;
    let mut told = false;
    loop {
        while let Some(buffer) = buffers.pop() {
            channel.submit(buffer, Frame::default())?;
        }
        let released = channel.next_released(PATIENCE)?;
        buffers.extend(released.source.into_buffer());
        if !core::mem::replace(&mut told, true) {
            Message::Encoding.tell();
        }
    }
}

fn config(wish: &Wish) -> ChannelConfig {
    ChannelConfig::new(wish.width, wish.height)
        .fps(wish.fps, 1)
        .bitrate_bps(wish.bitrate_bps)
        .name(&wish.name)
}

/// Submits pictures at the pace of a camera; says how many, and how many of them came to nothing.
fn submit(wish: &Wish, channel: &Channel) -> Result<(u32, u32), Box<dyn Error>> {
    let size = PictureSize::new(wish.width.into(), wish.height.into())?;
    let mut clip = Clip::open(wish.input.as_deref(), size, wish.fps)?;
    let mut picture = Nv12Picture::with_layout(size, &channel.opened().source)?;
    let mut buffers = channel.lease(BUFFERS)?;
    let mut dropped = 0;
    let mut ended = |outcome: &Outcome| {
        let encoded = matches!(
            outcome,
            Outcome::Ended {
                end: FrameEnd::Encoded { .. },
                ..
            }
        );
        dropped += u32::from(!encoded);
    };
    let start = Instant::now();
    for frame in 0..wish.frames {
        clip.next(&mut picture)?;
        let due = start + Duration::from_secs(1) * frame / wish.fps;
        // What comes back until the picture is due is taken in; nothing coming back is the pace of the camera.
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match channel.next_released(Some(left)) {
                Ok(released) => {
                    ended(&released.outcome);
                    buffers.extend(released.source.into_buffer());
                }
                Err(ClientError::Timeout) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if buffers.is_empty() {
            let released = channel.next_released(PATIENCE)?;
            ended(&released.outcome);
            buffers.extend(released.source.into_buffer());
        }
        let mut buffer = buffers.pop().ok_or("expected a source buffer back")?;
        buffer.write_at(0, picture.bytes())?;
        let meta = Frame {
            timestamp: u64::from(frame),
            cookie: u64::from(frame),
            force_idr: false,
        };
        channel.submit(buffer, meta)?;
        if (frame + 1) % wish.fps == 0 {
            Message::Progress(frame + 1).tell();
        }
    }
    while channel.frames_in_flight() > 0 || channel.try_next_released()?.is_some() {
        if channel.frames_in_flight() > 0 {
            ended(&channel.next_released(PATIENCE)?.outcome);
        }
    }
    Ok((wish.frames, dropped))
}

fn read(mut reader: Reader, out: Option<&Path>) -> Result<Read, Box<dyn Error>> {
    let path = out.ok_or("expected --out")?;
    let mut file = BufWriter::new(File::create(path)?);
    let mut read = Read::default();
    loop {
        match reader.next_packet(PATIENCE)? {
            Next::Packet(packet) => {
                file.write_all(packet.bytes)?;
                read.packets += 1;
                read.idr += u32::from(packet.meta.kind == PictureKind::Idr);
                read.bytes += u64::from(packet.meta.len_bytes);
                read.sse_luma += packet.meta.sse_luma;
            }
            Next::Gap { count, .. } => read.missed += count.max(1),
            Next::FormatChanged(_) => {}
            Next::EndOfStream(_) => break,
        }
    }
    file.flush()?;
    Ok(read)
}

fn find(client: &Client, channel: &Channel) -> Result<ChannelReport, Box<dyn Error>> {
    let id = channel.id()?;
    for report in client.channels() {
        let report = report?;
        if report.channel == id {
            return Ok(report);
        }
    }
    Err("expected the channel among the daemon's, found it missing".into())
}

fn latency(report: LatencyReport) -> Latency {
    Latency {
        p50_us: report.p50_us,
        p99_us: report.p99_us,
    }
}
