//! A client that encodes when it is told to, for whoever watches the daemon meanwhile.
//!
//! `avpu-steady SOCKET` opens a channel, reads it and prints `ready`. For each line on standard input that holds a
//! number it then encodes as many pictures, one after another as a camera does, and prints `done`. In between it keeps
//! everything and does nothing. For a line that holds `more` it keeps more than that from then on: a channel that nobody
//! feeds, one that starves, a reader that does not read, and memory that a connection registered and left at
//! [`WINDOW`]. It leaves at the end of the input.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use avpu_proto::event::Event;
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::request::{RegisterRegion, Request};
use avpu_proto::types::{Address, ChannelState, Join};
use avpu_proto::version::{ClientHello, HELLO_BYTES};
use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
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
        Self::open(client, &config.fix_qp(30))
    }

    fn open(client: &Client, config: &ChannelConfig) -> Result<Self, Box<dyn Error>> {
        let channel = client.open_channel(config)?;
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

/// Where the daemon lets raw addresses be used.
const WINDOW: u32 = 0x0b00_0000;

/// What costs nothing while nothing happens.
struct Idle {
    _unfed: Channel,
    _starved: Camera,
    _unread: Reader,
    _stopped: Client,
}

impl Idle {
    fn new(client: &Client, socket: &Path) -> Result<Self, Box<dyn Error>> {
        let config = ChannelConfig::new(64, 64).fix_qp(30);
        let unfed = client.open_channel(&config.clone().name("unfed"))?;
        let mut starved = Camera::open(client, &config.name("starved"))?;
        let stopped = Client::connect(socket)?;
        let unread = stopped.subscribe("starved", Join::NextIdr)?;
        for _ in 0..5 {
            starved.picture()?;
        }
        leave_region(socket)?;
        let starves = |event: &Event| matches!(event, Event::ChannelChanged(c) if c.name == "starved" && c.state == ChannelState::Starved);
        while !starves(&client.next_event(PATIENCE)?) {}
        Ok(Self {
            _unfed: unfed,
            _starved: starved,
            _unread: unread,
            _stopped: stopped,
        })
    }
}

/// Registers memory and closes the connection without giving it back.
fn leave_region(socket: &Path) -> Result<(), Box<dyn Error>> {
    let mut stream = UnixStream::connect(socket)?;
    let mut bytes = ClientHello::OURS.encode().to_vec();
    let wish = Request::RegisterRegion(RegisterRegion {
        address: Address::new(WINDOW),
        len_bytes: 4096,
    });
    encode_request(&mut bytes, RequestId::new(1), &wish)?;
    stream.write_all(&bytes)?;
    let mut answer = [0; HELLO_BYTES + 1];
    Ok(stream.read_exact(&mut answer)?)
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
    let client = Client::connect(&socket)?;
    let mut camera = Camera::new(&client)?;
    let mut idle = None;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim() == "more" {
            idle = Some(Idle::new(&client, Path::new(&socket))?);
        } else {
            for _ in 0..line.trim().parse::<u32>()? {
                camera.picture()?;
            }
        }
        println!("done");
    }
    drop(idle);
    Ok(())
}
