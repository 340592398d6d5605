//! What the daemon answers. Append-only: new replies at the end, new fields at the end of a struct.

use crate::error::Refusal;
use crate::record::Record;
use crate::report::{
    ChannelReport, ClientReport, FrameRecord, LeaseReport, MemoryTotals, PictureCostReport,
    StatusReport,
};
use crate::types::{
    Address, BufferAccess, Bytes, ChannelId, Class, Codec, Epoch, FrameNumber, FrameRate, LeaseId,
    Overload, Profile, RateControl, RegionId, Role, Sequence, SourceLayout, SubscriptionId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The answer to a request; carries the request's id in its frame header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The request was refused and changed nothing.
    Refused(Refusal),
    /// Done; there is nothing more to say.
    Done,
    /// To `Request::Capabilities`.
    Capabilities(Capabilities),
    /// To `Request::OpenChannel`.
    ChannelOpened(ChannelOpened),
    /// To `Request::LeaseBuffers`.
    BuffersLeased(BuffersLeased),
    /// To `Request::RegisterRegion`.
    RegionRegistered(RegionRegistered),
    /// To `Request::Submit`.
    Submitted(Submitted),
    /// To `Request::Subscribe`.
    Subscribed(Subscribed),
    /// To `Request::Status`.
    Status(StatusReport),
    /// To `Request::Channels`.
    Channels(Listing<ChannelReport>),
    /// To `Request::Clients`.
    Clients(Listing<ClientReport>),
    /// To `Request::Memory`.
    Memory(MemoryReport),
    /// To `Request::Fits`.
    Fit(Fit),
    /// To `Request::Reconfigure`.
    Reconfigured(Reconfigured),
    /// To `Request::RequestIdr`.
    IdrPromised(IdrPromised),
    /// To `Request::ParameterSets`.
    ParameterSets(ParameterSetBytes),
    /// To `Request::Explain`.
    Explanation(FrameRecord),
    /// To `Request::Trace`.
    Trace(Listing<FrameRecord>),
}

/// What this daemon can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Version of the daemon, for people.
    pub daemon_version: String,
    /// The device behind it, for people: `/dev/avpu`, `model (picture body)`, ...
    pub device: String,
    /// The streams are not pictures but synthetic bytes with real timing.
    pub synthetic: bool,
    /// This run of the daemon.
    pub epoch: Epoch,
    /// Codecs that `OpenChannel` accepts.
    #[serde(deserialize_with = "crate::decode::list")]
    pub codecs: Vec<Codec>,
    /// What version 1 knows by name but this daemon refuses, one sentence each.
    #[serde(deserialize_with = "crate::decode::list")]
    pub unsupported: Vec<String>,
    /// Smallest visible width and height.
    pub width_min: u16,
    /// Smallest visible height.
    pub height_min: u16,
    /// Largest visible width.
    pub width_max: u16,
    /// Largest visible height.
    pub height_max: u16,
    /// Channels at once, all clients together.
    pub channels_max: u16,
    /// Frames queued in one channel.
    pub queue_max: u16,
    /// Frames accepted and not ended, one connection.
    pub submit_credits: u16,
    /// Packets outstanding, one subscription.
    pub packet_credits_max: u16,
    /// This connection may submit raw physical addresses.
    pub raw_addresses: bool,
    /// Expected encoder time of an H.264 P picture without any macroblock, in nanoseconds.
    pub job_base_ns: u32,
    /// Expected encoder time of a macroblock in an H.264 P picture, in nanoseconds.
    pub job_macroblock_ns: u32,
    /// What this connection may do.
    pub role: Role,
    /// `ImportBuffer` is known to work on this device: always, or because a buffer was taken.
    pub dma_buf_import: bool,
    /// Expected encoder times by codec and kind of picture; empty: all as `job_base_ns` and `job_macroblock_ns` say.
    pub costs: Vec<Record<PictureCostReport>>,
}

/// A channel was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelOpened {
    /// Its id.
    pub channel: ChannelId,
    /// Its name.
    pub name: String,
    /// This run of the daemon.
    pub epoch: Epoch,
    /// Layout of its source pictures.
    pub source: SourceLayout,
    /// Size of its ring's data area.
    pub ring_bytes: u32,
    /// Effective profile.
    pub profile: Profile,
    /// Effective frame rate.
    pub fps: FrameRate,
    /// Effective GOP length.
    pub gop_length: u32,
    /// Effective rate control.
    pub rate_control: RateControl,
    /// level_idc of the stream, ten times the level's number.
    pub level_idc: u8,
    /// Effective class.
    pub class: Class,
    /// Effective weight.
    pub weight: u16,
    /// Effective overload policy.
    pub overload: Overload,
    /// Effective deadline; 0: none.
    pub deadline_us: u32,
    /// Effective budget for joining readers.
    pub preroll_bytes: u32,
    /// Pictures a second that are encoded.
    pub fps_out: FrameRate,
    /// Effective QP steps from an IDR to the pictures around it.
    pub ip_qp_delta: u8,
    /// Effective limit of a picture; 0: none but the stream buffer's.
    pub picture_bytes_max: u32,
    /// Longest wait for the start of the encoder while the channel keeps to `fps`, counted from Submit, or for a frame that
    /// comes early from when it was due; 0: none is promised.
    pub ticket_us: u32,
}

/// Buffers were leased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuffersLeased {
    /// Their lease.
    pub lease: LeaseId,
    /// One entry each.
    #[serde(deserialize_with = "crate::decode::list")]
    pub buffers: Vec<LeasedBuffer>,
    /// Layout of each.
    pub layout: SourceLayout,
    /// The client must write its cache back before it submits.
    pub write_back: bool,
}

/// One leased buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedBuffer {
    /// Its physical address: what `Submit` names.
    pub address: Address,
    /// How to reach its bytes.
    pub access: BufferAccess,
}

/// A region was registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionRegistered {
    /// Its id.
    pub region: RegionId,
    /// Its first byte, from which on `Submit` names frames; 0 where the request named it.
    pub address: Address,
}

/// A frame was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Its number among the channel's accepted frames.
    pub frame: FrameNumber,
}

/// A subscription began. The ring's read-only descriptor rides with this reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Its id.
    pub subscription: SubscriptionId,
    /// The channel.
    pub channel: ChannelId,
    /// The channel's name.
    pub name: String,
    /// This run of the daemon.
    pub epoch: Epoch,
    /// Size of the ring's data area; it starts at `limits::RING_HEADER_BYTES` in the descriptor.
    pub ring_bytes: u32,
    /// Packets that may be outstanding.
    pub credits: u16,
    /// First sequence number that this reader may get.
    pub first: Sequence,
    /// Codec.
    pub codec: Codec,
    /// Visible width of the first packet, as far as it is known.
    pub width: u16,
    /// Visible height of the first packet.
    pub height: u16,
    /// Pictures a second that are encoded.
    pub fps: FrameRate,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "T: Serialize",
    deserialize = "T: serde::de::DeserializeOwned"
))]
pub struct Listing<T> {
    /// The entries; each may grow at its end.
    #[serde(deserialize_with = "crate::decode::list")]
    pub entries: Vec<Record<T>>,
    /// Cursor of the next page, absent on the last.
    pub next: Option<u32>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            next: None,
        }
    }
}

/// Who holds which memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Sums over everything, on every page.
    pub totals: MemoryTotals,
    /// The leases of this page, in order of address.
    pub leases: Listing<LeaseReport>,
}

/// Whether channels would fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// All of them.
    pub fits: bool,
    /// Encoder time that they need in a second.
    pub needed_us: u32,
    /// Encoder time that is free in a second.
    pub free_us: u32,
    /// Reserved memory that they need, source buffers not counted.
    pub needed_bytes: u32,
    /// Reserved memory that is free.
    pub free_bytes: u32,
    /// The ticket of each, as in `ChannelOpened`; empty when they do not fit.
    #[serde(deserialize_with = "crate::decode::list")]
    pub tickets_us: Vec<u32>,
    /// Why they do not fit, for people.
    pub obstacle: String,
    /// The nearest channels that would fit, one for each; empty when they fit, or when nothing does.
    #[serde(deserialize_with = "crate::decode::list")]
    pub nearest: Vec<Record<NearestChannel>>,
}

/// A channel that would fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearestChannel {
    /// Visible width.
    pub width: u16,
    /// Visible height.
    pub height: u16,
    /// Frame rate.
    pub fps: FrameRate,
}

/// A channel was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigured {
    /// The channel.
    pub channel: ChannelId,
    /// The first packet that the change acts on, if no picture before it is lost or encoded once more.
    pub first: Sequence,
    /// What was asked for and is not in effect as asked, one sentence each.
    #[serde(deserialize_with = "crate::decode::list")]
    pub clamped: Vec<String>,
    /// What is in effect now, as in the answer to `OpenChannel`.
    pub effective: ChannelOpened,
    /// Visible width.
    pub width: u16,
    /// Visible height.
    pub height: u16,
}

/// An IDR will come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdrPromised {
    /// The packet that carries it, whatever becomes of the pictures before it.
    pub sequence: Sequence,
    /// 0, or how long the request waits because there was one for this requester, or for other readers, lately: then
    /// `sequence` is the first that may carry it.
    pub wait_us: u32,
}

/// The parameter sets of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSetBytes {
    /// SPS and PPS with start codes.
    pub annex_b: Bytes,
    /// `AVCDecoderConfigurationRecord`, for MP4 and SDP.
    pub avcc: Bytes,
}
