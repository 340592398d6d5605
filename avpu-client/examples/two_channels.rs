//! Encodes two different moving pictures at once through one connection, a thread for each:
//! `two_channels DIRECTORY [FRAMES]` writes `main.h264` and `sub.h264`.

use avpu_client::source::{Nv12Picture, PictureSize, PictureSource, TestPattern};
use avpu_client::{ChannelConfig, Client, Frame, Next, exit, proto, socket_path};
use proto::types::FrameRate;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

/// An error that a thread can hand over.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, frames) = match arguments.as_slice() {
        [directory] => (directory, Some(100)),
        [directory, frames] => (directory, frames.parse().ok()),
        _ => (&String::new(), None),
    };
    let Some(frames) = frames else {
        eprintln!("usage: two_channels DIRECTORY [FRAMES]");
        return exit::USAGE.into();
    };
    match encode_both(Path::new(directory), frames) {
        Ok(()) => exit::DONE.into(),
        Err(error) => {
            eprintln!("two_channels: {error}");
            exit::code_of(error.as_ref()).into()
        }
    }
}

fn encode_both(directory: &Path, frames: u64) -> Result<(), Failure> {
    let client = Client::connect(socket_path(None)?)?;
    thread::scope(|scope| {
        let main = scope.spawn(|| {
            let config = ChannelConfig::new(1280, 720).fps(25, 1).name("main");
            encode(
                &client,
                &config.bitrate_bps(2_000_000),
                25,
                frames,
                directory,
            )
        });
        let config = ChannelConfig::new(640, 360).fps(15, 1).name("sub");
        let sub = encode(&client, &config.bitrate_bps(500_000), 15, frames, directory);
        main.join().map_err(|_| "the thread of main panicked")??;
        sub
    })
}

fn encode(
    client: &Client,
    config: &ChannelConfig,
    fps: u32,
    frames: u64,
    directory: &Path,
) -> Result<(), Failure> {
    let channel = client.open_channel(config)?;
    let mut reader = channel.subscribe()?;
    let subscribed = reader.subscribed()?;
    let path = directory.join(format!("{}.h264", subscribed.name));
    let mut output = BufWriter::new(File::create(path)?);
    let size = PictureSize::new(subscribed.width.into(), subscribed.height.into())?;
    let rate = FrameRate { num: fps, den: 1 };
    let mut source = TestPattern::new(size, rate).with_frames(frames);
    let mut picture = Nv12Picture::with_layout(size, &channel.opened().source)?;
    let mut free = channel.lease(2)?;
    while source.read_picture(&mut picture)? {
        let mut buffer = match free.pop() {
            Some(buffer) => buffer,
            None => {
                let released = channel.next_released(None)?;
                released
                    .source
                    .into_buffer()
                    .ok_or("a buffer was submitted")?
            }
        };
        buffer.write_at(0, picture.bytes())?;
        channel.submit(buffer, Frame::default())?;
        // One packet for one picture keeps the two channels of this example in step with the encoder.
        match reader.next_packet(None)? {
            Next::Packet(packet) => output.write_all(packet.bytes)?,
            other => return Err(format!("expected a packet, found {other:?}").into()),
        }
    }
    channel.drain()?;
    let end = channel.finish(None)?;
    output.flush()?;
    eprintln!("{}: {} packets", subscribed.name, end.packets);
    Ok(())
}
