//! Encodes a Y4M file: `encode_y4m INPUT.y4m OUTPUT.h264 [BITRATE]`, the bitrate in bit/s.

use avpu_client::source::{Nv12Picture, PictureSource, Y4mReader};
use avpu_client::{ChannelConfig, Client, Frame, Next, exit, socket_path};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, bitrate) = match arguments.as_slice() {
        [input, output] => (input, output, None),
        [input, output, bitrate] => (input, output, Some(bitrate)),
        _ => {
            eprintln!("usage: encode_y4m INPUT.y4m OUTPUT.h264 [BITRATE]");
            return exit::USAGE.into();
        }
    };
    match encode(input, output, bitrate) {
        Ok(packets) => {
            eprintln!("{packets} packets");
            exit::DONE.into()
        }
        Err(error) => {
            eprintln!("encode_y4m: {error}");
            exit::code_of(error.as_ref()).into()
        }
    }
}

fn encode(input: &str, output: &str, bitrate: Option<&String>) -> Result<u32, Box<dyn Error>> {
    let mut source = Y4mReader::new(BufReader::new(File::open(input)?))?;
    let mut output = BufWriter::new(File::create(output)?);
    let (size, fps) = (source.size(), source.fps());
    let mut config = ChannelConfig::new(size.width(), size.height()).fps(fps.num, fps.den);
    if let Some(bitrate) = bitrate {
        config = config.bitrate_bps(bitrate.parse()?);
    }

    let client = Client::connect(socket_path(None)?)?;
    let channel = client.open_channel(&config)?;
    let mut reader = channel.subscribe()?;
    let mut free = channel.lease(3)?;
    let mut picture = Nv12Picture::with_layout(size, &channel.opened().source)?;
    let mut packets = 0;
    let mut timestamp = 0;
    while source.read_picture(&mut picture)? {
        let mut buffer = loop {
            match free.pop() {
                Some(buffer) => break buffer,
                None => free.extend(channel.next_released(None)?.source.into_buffer()),
            }
        };
        buffer.write_at(0, picture.bytes())?;
        let frame = Frame {
            timestamp,
            ..Frame::default()
        };
        channel.submit(buffer, frame)?;
        timestamp += 1;
        while let Some(next) = reader.try_next_packet()? {
            packets += write(&mut output, next)?;
        }
    }
    channel.drain()?;
    loop {
        match reader.next_packet(None)? {
            Next::EndOfStream(_) => break,
            next => packets += write(&mut output, next)?,
        }
    }
    output.flush()?;
    Ok(packets)
}

/// Writes a packet; answers how many that were.
fn write(output: &mut impl Write, next: Next<'_>) -> Result<u32, Box<dyn Error>> {
    match next {
        Next::Packet(packet) => {
            output.write_all(packet.bytes)?;
            Ok(1)
        }
        Next::Gap { cause, count } => Err(format!("missed {count} packets: {cause:?}").into()),
        other => Err(format!("expected a packet, found {other:?}").into()),
    }
}
