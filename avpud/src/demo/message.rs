//! What the demo's processes tell the one that started them: one JSON object a line.

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// So many pictures were submitted or read.
    Progress(u32),
    /// The intruder's pictures are being encoded.
    Encoding,
    /// An encoding process is finished.
    Encoded(Encoded),
    /// The watching process is finished.
    Watched(Watched),
    /// The process failed.
    Failed(String),
}

/// Percentiles of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50_us: u32,
    pub(super) p99_us: u32,
}

/// Result of an encoding process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Encoded {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) fps: u32,
    /// Pictures that the daemon accepted, as this process counted.
    pub(super) frames_in: u32,
    /// Packets that this process read.
    pub(super) packets_out: u32,
    pub(super) idr_out: u32,
    pub(super) bytes_out: u64,
    /// Packets missed, pictures dropped or lost.
    pub(super) lost: u32,
    /// Sum over all packets.
    pub(super) sse_luma: u64,
    /// As the daemon measured.
    pub(super) wait: Latency,
    pub(super) hardware: Latency,
    pub(super) delivery: Latency,
}

/// Result of the watching process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Number of the first packet in its channel.
    pub(super) first: u32,
    pub(super) packets: u32,
    pub(super) bytes: u64,
    pub(super) missed: u32,
}

impl Message {
    /// Tells the process that started this one.
    pub(super) fn tell(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            use std::io::Write as _;
            // Nobody listens any more: then this process is about to be killed.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}
