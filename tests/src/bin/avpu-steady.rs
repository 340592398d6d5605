//! A client that encodes when it is told to, for whoever watches the daemon meanwhile.
//!
//! `avpu-steady SOCKET` opens a channel, reads it and prints `ready`. For each line on standard input that holds a
//! number it then encodes as many pictures, one after another as a camera does, and prints `done`. In between it keeps
//! everything and does nothing. It leaves at the end of the input.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use std::error::Error;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than a picture takes, also under a tracer.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

struct Camera {
    channel: Channel,
    reader: Reader,
    buffers: Vec<Buffer>,
}

impl Camera {
    fn new(client: &Client) -> Result<Self, Box<dyn Error>> {
        // A picture a minute is promised: that a channel starves is told once, after three of its periods, and is
        // no picture's affair.
        let config = ChannelConfig::new(64, 64).fps(1, 60).gop_length(25);
        let config = config.fix_qp(30);
        let channel = client.open_channel(&config)?;
        let reader = channel.subscribe()?;
        let buffers = channel.lease(1)?;
        Ok(Self {
            channel,
            reader,
            buffers,
        })
    }

    /// Submits a picture and waits for its packet and for its source.
    fn picture(&mut self) -> Result<(), Box<dyn Error>> {
        let buffer = self.buffers.pop().ok_or("the source did not come back")?;
        self.channel.submit(buffer, Frame::default())?;
        match self.reader.next_packet(PATIENCE)? {
            Next::Packet(_) => {}
            other => return Err(format!("expected a packet, found {other:?}").into()),
        }
        let released = self.channel.next_released(PATIENCE)?;
        self.buffers.extend(released.source.into_buffer());
        Ok(())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("avpu-steady: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let socket = match (arguments.next(), arguments.next()) {
        (Some(socket), None) => socket,
        _ => return Err("usage: avpu-steady SOCKET".into()),
    };
    let client = Client::connect(socket)?;
    let mut camera = Camera::new(&client)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let count: u32 = line?.trim().parse()?;
        for _ in 0..count {
            camera.picture()?;
        }
        println!("done");
    }
    Ok(())
}
