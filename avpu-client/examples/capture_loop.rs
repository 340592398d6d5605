//! The loop of a camera application, in both of its flows, around a capture driver that is made up here.
//!
//! `capture_loop leased OUTPUT.h264 [FRAMES]`: the daemon's memory. Lease buffers, give their physical addresses to
//! the capture driver, submit what it dequeues, queue it again when its source is released. The picture is never
//! copied.
//!
//! `capture_loop window OUTPUT.h264 ADDRESS COUNT [FRAMES]`: another allocator's memory, such as the capture library's
//! own pool, inside a source window of the daemon's configuration. Frames are submitted by bare address and go back
//! to that allocator when they are released. The pictures are whatever lies there.

use avpu_client::proto::types::{Address, FrameEnd};
use avpu_client::source::{Nv12Picture, PictureSize, PictureSource, TestPattern};
use avpu_client::{
    Buffer, Channel, ChannelConfig, Client, Frame, Next, Outcome, Reader, Released, exit, proto,
    socket_path,
};
use proto::types::FrameRate;
use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;
const FPS: FrameRate = FrameRate { num: 25, den: 1 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["leased", output] => leased(output, 100),
        ["leased", output, frames] => count(frames).and_then(|frames| leased(output, frames)),
        ["window", output, address, buffers] => window(output, address, buffers, "100"),
        ["window", output, address, buffers, frames] => window(output, address, buffers, frames),
        _ => {
            eprintln!("usage: capture_loop leased OUTPUT.h264 [FRAMES]");
            eprintln!("       capture_loop window OUTPUT.h264 ADDRESS COUNT [FRAMES]");
            return exit::USAGE.into();
        }
    };
    match result {
        Ok(()) => exit::DONE.into(),
        Err(error) => {
            eprintln!("capture_loop: {error}");
            exit::code_of(error.as_ref()).into()
        }
    }
}

/// A capture driver as an application sees it: empty buffers in, full ones out, in order.
struct CaptureDriver<B> {
    queued: VecDeque<B>,
    timestamp: u64,
}

impl<B> CaptureDriver<B> {
    fn new(buffers: impl IntoIterator<Item = B>) -> Self {
        Self {
            queued: buffers.into_iter().collect(),
            timestamp: 0,
        }
    }

    /// Gives a buffer to the driver: a real one is told its physical address.
    fn queue(&mut self, buffer: B) {
        self.queued.push_back(buffer);
    }

    /// The next full buffer; `fill` stands for the hardware that writes to it. `None`: the driver has no buffer.
    fn dequeue(
        &mut self,
        fill: impl FnOnce(&mut B) -> Result<(), Box<dyn Error>>,
    ) -> Result<Option<(B, u64)>, Box<dyn Error>> {
        let Some(mut buffer) = self.queued.pop_front() else {
            return Ok(None);
        };
        fill(&mut buffer)?;
        self.timestamp += 40_000;
        Ok(Some((buffer, self.timestamp)))
    }
}

fn leased(output: &str, frames: u64) -> Result<(), Box<dyn Error>> {
    let (_client, channel, mut reader) = open()?;
    let mut output = BufWriter::new(File::create(output)?);
    let mut driver: CaptureDriver<Buffer> = CaptureDriver::new(channel.lease(4)?);
    let size = PictureSize::new(WIDTH.into(), HEIGHT.into())?;
    let mut scene = TestPattern::new(size, FPS);
    let mut picture = Nv12Picture::with_layout(size, &channel.opened().source)?;
    for _ in 0..frames {
        let full = loop {
            let full = driver.dequeue(|buffer| {
                scene.read_picture(&mut picture)?;
                Ok(buffer.write_at(0, picture.bytes())?)
            })?;
            match full {
                Some(full) => break full,
                None => {
                    let released = channel.next_released(None)?;
                    driver.queue(checked(released)?.into_buffer().ok_or("not a buffer")?);
                }
            }
        };
        let (buffer, timestamp) = full;
        submit(&channel, buffer, timestamp)?;
        while let Some(released) = channel.try_next_released()? {
            driver.queue(checked(released)?.into_buffer().ok_or("not a buffer")?);
        }
        while let Some(next) = reader.try_next_packet()? {
            write(&mut output, next)?;
        }
    }
    finish(&channel, &mut reader, &mut output)
}

fn window(output: &str, address: &str, buffers: &str, frames: &str) -> Result<(), Box<dyn Error>> {
    let digits = address.strip_prefix("0x").unwrap_or(address);
    let first = u32::from_str_radix(digits, 16)?;
    let (buffers, frames) = (u32::try_from(count(buffers)?)?, count(frames)?);
    let (client, channel, mut reader) = open()?;
    let mut output = BufWriter::new(File::create(output)?);
    let layout = channel.opened().source;
    let step = layout
        .len_bytes
        .next_multiple_of(layout.alignment_bytes.max(1));
    let len = step
        .checked_mul(buffers)
        .ok_or("the buffers are too large")?;
    // Checked once here, so that a wrong address is found before the first frame.
    let _region = client.register_region(Address::new(first), len)?;
    let addresses = (0..buffers).map(|index| Address::new(first + index * step));
    let mut driver = CaptureDriver::new(addresses);
    for _ in 0..frames {
        let full = loop {
            match driver.dequeue(|_| Ok(()))? {
                Some(full) => break full,
                None => driver.queue(checked(channel.next_released(None)?)?.address()),
            }
        };
        let (address, timestamp) = full;
        submit(&channel, address, timestamp)?;
        while let Some(released) = channel.try_next_released()? {
            driver.queue(checked(released)?.address());
        }
        while let Some(next) = reader.try_next_packet()? {
            write(&mut output, next)?;
        }
    }
    finish(&channel, &mut reader, &mut output)
}

fn open() -> Result<(Client, Channel, Reader), Box<dyn Error>> {
    let client = Client::connect(socket_path(None)?)?;
    let config = ChannelConfig::new(WIDTH, HEIGHT).fps(FPS.num, FPS.den);
    let channel = client.open_channel(&config.bitrate_bps(1_000_000))?;
    let reader = channel.subscribe()?;
    Ok((client, channel, reader))
}

fn submit(
    channel: &Channel,
    source: impl Into<avpu_client::Source>,
    timestamp: u64,
) -> Result<(), Box<dyn Error>> {
    let frame = Frame {
        timestamp,
        ..Frame::default()
    };
    // Not waited for: the capture driver is served first, a refusal comes with the released sources.
    Ok(channel.submit_unwaited(source, frame)?)
}

/// The source of a frame that was encoded. A frame that was lost in the encoder is told and no reason to stop.
fn checked(released: Released) -> Result<avpu_client::Source, Box<dyn Error>> {
    match released.outcome {
        Outcome::Ended { frame, end } => {
            if !matches!(end, FrameEnd::Encoded { .. }) {
                eprintln!("frame {frame}: {end:?}");
            }
            Ok(released.source)
        }
        // The queue is full for a moment: a camera goes on with the next picture.
        Outcome::Refused(refusal) if refusal.transient => Ok(released.source),
        Outcome::Refused(refusal) => Err(avpu_client::ClientError::Refused(refusal).into()),
        Outcome::Lost => Err(avpu_client::ClientError::Disconnected.into()),
    }
}

fn finish(
    channel: &Channel,
    reader: &mut Reader,
    output: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    channel.drain()?;
    loop {
        match reader.next_packet(None)? {
            Next::EndOfStream(end) => {
                eprintln!("{} packets", end.packets);
                return Ok(output.flush()?);
            }
            next => write(output, next)?,
        }
    }
}

fn write(output: &mut impl Write, next: Next<'_>) -> Result<(), Box<dyn Error>> {
    match next {
        Next::Packet(packet) => output.write_all(packet.bytes)?,
        Next::Gap { cause, count } => eprintln!("missed {count} packets: {cause:?}"),
        // The packet that follows has the parameter sets: a raw stream just goes on.
        Next::FormatChanged(new) => eprintln!("now {}x{}", new.width, new.height),
        Next::EndOfStream(_) => {}
    }
    Ok(())
}

fn count(text: &str) -> Result<u64, Box<dyn Error>> {
    text.parse()
        .map_err(|error| format!("expected a number, found {text}: {error}").into())
}
