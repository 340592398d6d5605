//! Watches a channel that another process encodes: `watch CHANNEL > out.h264`. Starts at the last IDR that the ring
//! still holds and tells on stderr what it misses and when the channel changes its state.

use avpu_client::proto::event::Event;
use avpu_client::proto::types::Join;
use avpu_client::{Client, ClientError, Next, exit, socket_path};
use std::error::Error;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [channel] = arguments.as_slice() else {
        eprintln!("usage: watch CHANNEL > out.h264");
        return exit::USAGE.into();
    };
    if stdout().is_terminal() {
        eprintln!("watch: expected a file or a pipe for the bitstream, found a terminal");
        return exit::USAGE.into();
    }
    match watch(channel) {
        Ok(()) => exit::DONE.into(),
        Err(error) => {
            eprintln!("watch: {error}");
            exit::code_of(error.as_ref()).into()
        }
    }
}

fn watch(channel: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(socket_path(None)?)?;
    let mut reader = client.subscribe(channel, Join::LastIdr)?;
    let subscribed = reader.subscribed()?;
    let (width, height) = (subscribed.width, subscribed.height);
    eprintln!("{}: {width}x{height}", subscribed.name);
    let mut output = stdout().lock();
    loop {
        match reader.next_packet(None) {
            Ok(Next::Packet(packet)) => output.write_all(packet.bytes)?,
            Ok(Next::Gap { cause, count }) => eprintln!("missed {count} packets: {cause:?}"),
            Ok(Next::FormatChanged(new)) => eprintln!("now {}x{}", new.width, new.height),
            Ok(Next::EndOfStream(end)) => {
                eprintln!("end of the stream after {} packets", end.packets);
                return Ok(());
            }
            Err(ClientError::Disconnected) => {
                // What the daemon said last is still there.
                while let Ok(Some(event)) = client.try_next_event() {
                    tell(&event);
                }
                return Err(ClientError::Disconnected.into());
            }
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = client.try_next_event()? {
            tell(&event);
        }
    }
}

fn tell(event: &Event) {
    match event {
        Event::ChannelChanged(change) => {
            let (name, state) = (&change.name, change.state);
            eprintln!("{name}: {state:?} {}", change.reason);
        }
        Event::EngineReset(_) => eprintln!("the encoder was reset"),
        Event::Shutdown => eprintln!("the daemon is ending"),
        _ => {}
    }
}
