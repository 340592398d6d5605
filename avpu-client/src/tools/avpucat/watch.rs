//! The bitstream of somebody's channel goes somewhere, from its next way in until the channel ends.

use super::address::WatchKeys;
use super::endpoint::{Output, refuse_terminal};
use super::failure::Failure;
use super::link;
use super::options::Options;
use super::plan::Sink;
use super::progress::Progress;
use super::wait::Patience;
use crate::{Client, Next};
use nix::poll::PollFlags;
use std::os::fd::AsFd;

/// Reads the channel until it ends or the user asks to stop.
pub(crate) fn run(
    options: &Options,
    socket: Option<&str>,
    keys: &WatchKeys,
    sink: &Sink,
    patience: &mut Patience,
) -> Result<(), Failure> {
    refuse_terminal(sink)?;
    let (client, tap) = link::connect(options, socket)?;
    let result = with_client(&client, keys, sink, patience);
    drop(client);
    tap.finish();
    result
}

fn with_client(
    client: &Client,
    keys: &WatchKeys,
    sink: &Sink,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let mut reader = client.subscribe_name_or_id(&keys.channel, keys.join)?;
    let mut output = Output::open(sink, true, patience)?;
    let mut progress = Progress::new(reader.subscribed()?.fps);
    let descriptor = client.as_fd()?;
    let mut ended = false;
    while !(ended && output.is_idle()) {
        let mut moved = output.flush()?;
        while !ended && output.is_idle() {
            match reader.try_next_packet()? {
                None => break,
                // The channel pauses: it has no picture to write.
                Some(Next::Packet(packet)) if packet.meta.last => {}
                Some(Next::Packet(packet)) => {
                    output.push(packet.bytes);
                    progress.add_frame(packet.bytes.len());
                    output.flush()?;
                }
                Some(Next::Gap { cause, count }) => {
                    eprintln!("avpucat: {count} packets are missing: {cause:?}");
                    progress.add_dropped(u64::from(count));
                }
                Some(Next::FormatChanged(format)) => progress.change_format(&format),
                Some(Next::EndOfStream(_)) => ended = true,
            }
            moved = true;
        }
        // The first Ctrl-C still writes what was read.
        ended |= patience.interrupts()? > 0;
        if moved {
            patience.touch();
        }
        if moved || (ended && output.is_idle()) {
            continue;
        }
        let mut wanted = vec![output.interest()];
        if !ended && output.is_idle() {
            wanted.push((descriptor.as_fd(), PollFlags::POLLIN));
        }
        let ready = patience.wait(&wanted, None)?;
        output.check(ready[0])?;
    }
    progress.finish();
    Ok(())
}
