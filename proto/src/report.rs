//! Status and statistics: the entries of the paged lists. Keys end in their unit.

use crate::types::{
    Address, ChannelId, ChannelState, Class, Codec, Epoch, FrameEnd, FrameNumber, FrameRate,
    LeaseId, Overload, PictureKind, Profile, RateControl, Role, Sequence, TimeUs,
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
    /// Frames that waited longer than their channel's ticket says.
    pub tickets_breached: u32,
    /// Memory whose owner is gone and that something may still touch.
    pub quarantined_bytes: u64,
    /// Guard patterns found overwritten.
    pub guards_broken: u32,
    /// Bytes of packets that the daemon has copied: each once, into its channel's ring, however many read it.
    pub copied_bytes: u64,
    /// Pictures that were made ready while another one was encoded.
    pub ahead: AheadReport,
    /// Times that pictures of a channel were found to take persistently longer than they were counted with.
    pub overruns: u32,
    /// Channels whose ticket may be broken now, as pictures take longer than the device states.
    pub tickets_doubtful: u32,
}

/// Pictures that were made ready while another channel's was encoded, and what became of them: each of them is used or
/// dropped for one reason, but for one that may still wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AheadReport {
    /// Made ready.
    pub prepared: u32,
    /// Started as they were.
    pub used: u32,
    /// Dropped because a more urgent picture went first.
    pub overtaken: u32,
    /// Dropped because their frame was: flushed, too old, superseded, or its memory taken back.
    pub frame_gone: u32,
    /// Dropped because their channel was closed or failed, or its client left.
    pub channel_gone: u32,
    /// Dropped because their channel was changed or reset.
    pub changed: u32,
    /// Dropped because an IDR was asked for.
    pub idr: u32,
    /// Dropped because the encoder had to be reset.
    pub recovery: u32,
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
    /// Share of the slack.
    pub weight: u16,
    /// What happens to a frame that finds the queue full.
    pub overload: Overload,
    /// A frame that cannot be started within this time is dropped; 0: never for its age.
    pub deadline_us: u32,
    /// Longest wait that is promised; 0: none.
    pub ticket_us: u32,
    /// Frames that waited longer.
    pub tickets_breached: u32,
    /// Frames dropped because of their deadline.
    pub dropped_deadline: u32,
    /// Frames dropped because the queue was full.
    pub dropped_queue_full: u32,
    /// Frames dropped because a newer one took their place.
    pub dropped_superseded: u32,
    /// Frames dropped by `Flush` and `Reset`.
    pub dropped_flushed: u32,
    /// Frames not encoded because fewer are wanted than submitted.
    pub dropped_decimated: u32,
    /// Frames dropped because their memory was taken back.
    pub dropped_revoked: u32,
    /// Most bytes of the past that a joining reader is sent.
    pub preroll_bytes: u32,
    /// Pictures a second that are encoded.
    pub fps_out: FrameRate,
    /// How full the rate control's buffer is, in thousandths; 0 without one.
    pub buffer_permille: u16,
    /// IDR pictures that somebody asked for.
    pub idr_demanded: u32,
    /// Pictures of the group that is under way: less than `gop_length` where it was shortened to keep the IDRs of
    /// channels apart; 0 before the first picture.
    pub gop_length_now: u32,
    /// Measured encoder time of an IDR, a moving average; 0 before the first.
    pub idr_us: u32,
    /// Measured encoder time of a P picture, a moving average; 0 before the first.
    pub p_us: u32,
    /// Encoder time of an IDR as the device states it.
    pub idr_stated_us: u32,
    /// Encoder time of a P picture as the device states it.
    pub p_stated_us: u32,
    /// Times that its pictures were found to take persistently longer than they were counted with.
    pub overruns: u32,
    /// Its ticket may be broken, as pictures take longer than the device states.
    pub ticket_doubtful: bool,
}

/// Expected encoder time of pictures of one kind, as the device states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureCostReport {
    /// Of which codec.
    pub codec: Codec,
    /// Of which kind.
    pub kind: PictureKind,
    /// Time of a picture without any macroblock, in nanoseconds.
    pub base_ns: u32,
    /// Time of a macroblock, in nanoseconds.
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
    /// What it may do.
    pub role: Role,
    /// IDR pictures that it asked for.
    pub idr_requests: u32,
}

/// What a piece of reserved memory is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A channel's command lists, tables, pictures and stream buffers.
    #[default]
    Channel,
    /// Source buffers leased to a client.
    Source,
    /// Its owner is gone, but the encoder or something else may still touch it.
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
    /// The lease, where it is one that `Revoke` can name.
    pub lease: Option<LeaseId>,
    /// User that registered it and may do so again, where it is memory of another allocator in quarantine.
    pub uid: Option<u32>,
}

/// The life of one frame. A time of 0 means that it did not come to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Channel.
    pub channel: ChannelId,
    /// The channel's name.
    pub name: String,
    /// Process of the channel's owner.
    pub pid: u32,
    /// Number of the frame in the channel.
    pub frame: FrameNumber,
    /// Its packet, where it became one.
    pub sequence: Option<Sequence>,
    /// IDR or P, once it was started.
    pub kind: Option<PictureKind>,
    /// Slice QP.
    pub qp: u8,
    /// Bytes of its packet.
    pub len_bytes: u32,
    /// When it was accepted.
    pub accepted_us: TimeUs,
    /// Whose picture was in the encoder then.
    pub behind: Option<ChannelId>,
    /// Frames of its own channel that were queued before it.
    pub queued_before: u16,
    /// Pictures of other channels that were started while it waited.
    pub overtaken_by: u16,
    /// The channel of the last of those.
    pub overtaker: Option<ChannelId>,
    /// When the encoder was started on it.
    pub started_us: TimeUs,
    /// When the encoder had finished.
    pub done_us: TimeUs,
    /// When it was in the ring.
    pub delivered_us: TimeUs,
    /// When it ended and its source was free.
    pub ended_us: TimeUs,
    /// How; absent while it is under way.
    pub end: Option<FrameEnd>,
    /// The wait that was promised to its channel; 0: none.
    pub ticket_us: u32,
    /// Readers that were sent its packet at once.
    pub readers: u16,
    /// Number of this record, counted up for each accepted frame: `Trace` from here on begins with it.
    pub number: u32,
    /// It was too large once, and what is told of the encoder is its second attempt.
    pub retried: bool,
    /// Since when `ticket_us` counted when the encoder was started on it; 0: it did not count.
    pub due_us: TimeUs,
}
