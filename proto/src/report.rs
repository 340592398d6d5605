//! Status and statistics: the entries of the paged lists. Keys end in their unit.

use crate::types::{
    Address, ChannelId, ChannelState, Class, Codec, Epoch, FrameRate, Profile, RateControl, TimeUs,
};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The daemon as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Version of the daemon.
    pub daemon_version: String,
    /// The device behind it.
    pub device: String,
    /// This run of the daemon.
    pub epoch: Epoch,
    /// The daemon's process.
    pub pid: u32,
    /// Time since it started.
    pub uptime_us: u64,
    /// Connections.
    pub clients: u32,
    /// Open channels.
    pub channels: u32,
    /// Time that the encoder was busy.
    pub engine_busy_us: u64,
    /// Pictures delivered.
    pub pictures: u32,
    /// Pictures lost in the encoder.
    pub pictures_failed: u32,
    /// Encoder resets.
    pub resets: u32,
    /// Interrupts that no completion matched.
    pub interrupts_spurious: u32,
    /// Log lines lost because the sink did not take them.
    pub log_lines_lost: u32,
    /// Connections closed because their peer broke the protocol or did not read.
    pub clients_expelled: u32,
}

/// Percentiles of a time over the last pictures of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// Median.
    pub p50_us: u32,
    /// 99th percentile.
    pub p99_us: u32,
    /// Longest.
    pub max_us: u32,
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// Its id.
    pub channel: ChannelId,
    /// Its name.
    pub name: String,
    /// Process of its owner.
    pub pid: u32,
    /// State.
    pub state: ChannelState,
    /// Codec.
    pub codec: Codec,
    /// Profile.
    pub profile: Profile,
    /// Class.
    pub class: Class,
    /// Visible width.
    pub width: u16,
    /// Visible height.
    pub height: u16,
    /// Stated frame rate.
    pub fps: FrameRate,
    /// GOP length.
    pub gop_length: u32,
    /// Rate control.
    pub rate_control: RateControl,
    /// Frames accepted.
    pub frames_in: u32,
    /// Packets delivered.
    pub packets_out: u32,
    /// Bytes delivered.
    pub bytes_out: u64,
    /// IDR pictures among the packets.
    pub idr_out: u32,
    /// Frames dropped before the encoder.
    pub frames_dropped: u32,
    /// Frames lost in the encoder.
    pub frames_failed: u32,
    /// Submits refused.
    pub submits_refused: u32,
    /// Frames queued now.
    pub queued: u16,
    /// Readers now.
    pub readers: u16,
    /// Packets that readers missed.
    pub packets_missed: u32,
    /// Bitrate of the last two seconds of packets.
    pub bitrate_bps: u32,
    /// QP of the last picture.
    pub qp: u8,
    /// Accepted until started.
    pub wait: LatencyReport,
    /// Started until done.
    pub hardware: LatencyReport,
    /// Done until put into the ring.
    pub delivery: LatencyReport,
    /// Sum of squared luma errors over all pictures.
    pub sse_luma: u64,
    /// Measured encoder time of a macroblock, in nanoseconds.
    pub macroblock_ns: u32,
}

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it connected.
    pub connected_us: TimeUs,
    /// Channels it owns.
    pub channels: u16,
    /// Channels it reads.
    pub subscriptions: u16,
    /// Frames accepted and not ended.
    pub frames_outstanding: u16,
    /// Leases it holds.
    pub leases: u16,
    /// Bytes in them.
    pub lease_bytes: u64,
    /// Requests so far.
    pub requests: u32,
    /// Requests refused so far.
    pub refusals: u32,
}

/// What a piece of reserved memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A channel's command lists, tables, pictures and stream buffers.
    #[default]
    Channel,
    /// Source buffers leased to a client.
    Source,
    /// Its owner is gone but the encoder may still touch it.
    Quarantine,
}

/// Sums over the pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryTotals {
    /// Size of all pools.
    pub total_bytes: u64,
    /// Leased now.
    pub used_bytes: u64,
    /// Most ever leased at once.
    pub high_water_bytes: u64,
    /// Largest piece that could be leased now.
    pub largest_free_bytes: u64,
    /// Shared memory of the rings.
    pub ring_bytes: u64,
}

/// One leased piece.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReport {
    /// First byte.
    pub address: Address,
    /// Length.
    pub len_bytes: u32,
    /// What for.
    pub purpose: Purpose,
    /// Process of the owner, 0 where it is gone.
    pub pid: u32,
    /// Channel, where it belongs to one.
    pub channel: Option<ChannelId>,
    /// When it was leased.
    pub since_us: TimeUs,
}
