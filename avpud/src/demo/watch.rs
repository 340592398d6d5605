//! The demo's watching process: reads another process's channel from the middle on.

use super::message::{Message, Watched};
use super::part::Wish;
use avpu_client::proto::types::Join;
use avpu_client::{Client, Next};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

/// How long it waits for a packet.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));
/// Packets between two lines of progress.
const PROGRESS_PACKETS: u32 = 25;

/// Reads to the end of the stream and tells the result.
pub(super) fn run(wish: &Wish) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(&wish.socket)?;
    let mut reader = client.subscribe(&wish.name, Join::DemandIdr)?;
    let path = wish.out.as_deref().ok_or("expected --out")?;
    let mut file = BufWriter::new(File::create(path)?);
    let mut watched = Watched::default();
    loop {
        match reader.next_packet(PATIENCE)? {
            Next::Packet(packet) => {
                if watched.packets == 0 {
                    watched.first = packet.meta.sequence.value();
                }
                file.write_all(packet.bytes)?;
                watched.packets += 1;
                watched.bytes += u64::from(packet.meta.len_bytes);
                if watched.packets.is_multiple_of(PROGRESS_PACKETS) {
                    Message::Progress(watched.packets).tell();
                }
            }
            Next::Gap { count, .. } => watched.missed += count.max(1),
            Next::FormatChanged(_) => {}
            Next::EndOfStream(_) => break,
        }
    }
    file.flush()?;
    Message::Watched(watched).tell();
    Ok(())
}
