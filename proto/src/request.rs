//! What a client asks. Append-only: new requests at the end, new fields at the end of a struct.

use crate::record::Record;
use crate::types::{
    Address, Bytes, ChannelId, Class, Codec, FrameRate, Join, LeaseId, Overload, Profile,
    RateControl, RegionId, Sequence, SubscriptionId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A request; each is answered by exactly one reply with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// What this daemon can do. Answer: `Reply::Capabilities`.
    Capabilities,
    /// Answer: `Reply::ChannelOpened`.
    OpenChannel(OpenChannel),
    /// Answer: `Reply::Done`. Queued frames are dropped, one in the encoder finishes first.
    CloseChannel(CloseChannel),
    /// Answer: `Reply::BuffersLeased`, a descriptor may ride with it.
    LeaseBuffers(LeaseBuffers),
    /// Answer: `Reply::Done`. Refused while a buffer of it is queued or in the encoder.
    ReturnLease(ReturnLease),
    /// Answer: `Reply::RegionRegistered`.
    RegisterRegion(RegisterRegion),
    /// Answer: `Reply::Done`. Refused while a frame in it is queued or in the encoder.
    UnregisterRegion(UnregisterRegion),
    /// Answer: `Reply::Submitted`; later exactly one `Event::SourceReleased`.
    Submit(Submit),
    /// Answer: `Reply::Subscribed`, the ring's descriptor rides with it.
    Subscribe(Subscribe),
    /// Answer: `Reply::Done`. No event of that subscription follows the reply.
    Unsubscribe(Unsubscribe),
    /// Gives packets back, and with them the credits to get more. Answer: `Reply::Done`.
    ReleasePackets(ReleasePackets),
    /// Answer: `Reply::IdrPromised`. Kept until an IDR was delivered.
    RequestIdr(RequestIdr),
    /// Accept no more frames, finish those accepted. Answer: `Reply::Done`, then `Event::EndOfStream`.
    Drain(Drain),
    /// Answer: `Reply::Status`.
    Status,
    /// Answer: `Reply::Channels`.
    Channels(Page),
    /// Answer: `Reply::Clients`.
    Clients(Page),
    /// Answer: `Reply::Memory`.
    Memory(Page),
    /// Asks for liveness events (`Event::ChannelChanged`) of all channels. Answer: `Reply::Done`.
    Watch(Watch),
    /// Would these channels fit? Opens nothing. Answer: `Reply::Fit`.
    Fits(Fits),
    /// Changes a running channel. Answer: `Reply::Reconfigured`.
    Reconfigure(Reconfigure),
    /// Drops every queued frame; one in the encoder finishes. Answer: `Reply::Done`.
    Flush(Flush),
    /// Flushes, and begins a stream that stands on its own. Answer: `Reply::Done`.
    Reset(Reset),
    /// Lets a channel that was drained with `keep` go on where it was. Answer: `Reply::Done`.
    Resume(Resume),
    /// The parameter sets of a channel out of band. Answer: `Reply::ParameterSets`.
    ParameterSets(ParameterSets),
    /// Puts an unregistered user-data SEI message before pictures. Answer: `Reply::Done`.
    UserData(UserData),
    /// What became of a frame. Answer: `Reply::Explanation`.
    Explain(Explain),
    /// The records of the last frames. Answer: `Reply::Trace`.
    Trace(Page),
    /// Takes a lease back from its holder; for the super-user and the daemon's own user. Answer: `Reply::Done`.
    Revoke(Revoke),
    /// Says that nothing writes to quarantined memory any more; for those who may `Revoke`. Answer: `Reply::Done`.
    ReleaseQuarantine(ReleaseQuarantine),
    /// Registers a dma-buf as a source of frames; its descriptor rides with the request. Answer:
    /// `Reply::RegionRegistered`.
    ImportBuffer(ImportBuffer),
}

/// Opens an encode channel owned by this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChannel {
    /// Codec.
    pub codec: Codec,
    /// Visible width in pixels; even.
    pub width: u16,
    /// Visible height in pixels; even.
    pub height: u16,
    /// Pictures a second that the client means to submit.
    pub fps: FrameRate,
    /// Profile.
    pub profile: Profile,
    /// Pictures from one IDR to the next; 0 means two seconds of them.
    pub gop_length: u32,
    /// Rate control.
    pub rate_control: RateControl,
    /// Service class.
    pub class: Class,
    /// Unique name, up to `limits::NAME_LEN_MAX` bytes; empty: the daemon names it ch0, ch1, ...
    pub name: String,
    /// Share of the slack among best-effort channels; 0 means 1.
    pub weight: u16,
    /// Size of the channel's ring in bytes; 0: the daemon chooses.
    pub ring_bytes: u32,
    /// What happens to a frame that finds the queue full.
    pub overload: Overload,
    /// A frame that cannot be started within this time of its acceptance is dropped; 0: never for its age.
    pub deadline_us: u32,
    /// Most bytes that a reader which joins at the last IDR is sent of the past; 0: half the ring.
    pub preroll_bytes: u32,
    /// Pictures a second that are encoded of those submitted; 0/0 means all.
    pub fps_out: FrameRate,
    /// How many QP steps finer an IDR is than the pictures around it, 0 to 10; absent: the daemon chooses.
    pub ip_qp_delta: Option<u8>,
    /// Most bytes of one picture; 0: no limit but the stream buffer's.
    pub picture_bytes_max: u32,
    /// Every access unit begins with an access unit delimiter.
    pub access_unit_delimiters: bool,
    /// Samples use all values from 0 to 255, and the stream says so; otherwise luma 16 to 235 and chroma 16 to 240.
    pub full_range: bool,
    /// A constant rate is kept also where pictures do not need it, by NAL units of filler data behind them; false: it
    /// is not, for these bytes are sent for nothing. `Unsupported` with any other rate control.
    pub filler: bool,
}

/// Closes a channel of this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseChannel {
    /// The channel.
    pub channel: ChannelId,
}

/// Leases source buffers that fit a channel from the daemon's pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseBuffers {
    /// A channel of this connection; the buffers have its source layout.
    pub channel: ChannelId,
    /// How many; 0 means 1.
    pub count: u8,
}

/// Gives a lease back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLease {
    /// The lease.
    pub lease: LeaseId,
}

/// Registers memory that another allocator owns as a source of frames; needs the raw-address right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRegion {
    /// First byte.
    pub address: Address,
    /// Length.
    pub len_bytes: u32,
}

/// Forgets a registered region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterRegion {
    /// The region.
    pub region: RegionId,
}

/// Submits one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// A channel of this connection.
    pub channel: ChannelId,
    /// Address of the picture: inside a lease, a registered region, or (with the raw-address right) a source window.
    pub address: Address,
    /// Opaque to the daemon, returned bit-exactly with the packet.
    pub timestamp: u64,
    /// Opaque to the daemon, returned with `Event::SourceReleased`.
    pub cookie: u64,
    /// Make this picture an IDR.
    pub force_idr: bool,
}

/// Becomes a reader of a channel, one's own or another client's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The channel by id; ignored when `name` is not empty.
    pub channel: ChannelId,
    /// The channel by name.
    pub name: String,
    /// Where to start.
    pub join: Join,
    /// Packets that may be outstanding; 0 means the most the daemon allows.
    pub credits: u16,
}

/// Stops reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The subscription.
    pub subscription: SubscriptionId,
}

/// Releases every outstanding packet of a subscription up to and including a sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePackets {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Last packet released.
    pub sequence: Sequence,
}

/// Asks for an IDR on a channel that this connection owns or reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestIdr {
    /// The channel by id; ignored when `name` is not empty.
    pub channel: ChannelId,
    /// The channel by name.
    pub name: String,
}

/// Drains a channel of this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The channel.
    pub channel: ChannelId,
    /// Readers stay: they get an empty last packet and no end of stream, and `Resume` goes on.
    pub keep: bool,
}

/// Where a paged list starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// 0 for the first page, then the `next` of the page before.
    pub cursor: u32,
}

/// Turns liveness events of all channels on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// On or off.
    pub on: bool,
}

/// Asks whether channels would fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fits {
    /// The channels, opened one after the other; their names do not matter.
    #[serde(deserialize_with = "crate::decode::list")]
    pub channels: Vec<Record<OpenChannel>>,
    /// As if no other channel were open.
    pub alone: bool,
}

/// Changes a running channel; what is 0 or absent stays. For its owner, the owner's user and the super-user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigure {
    /// The channel by id; ignored when `name` is not empty.
    pub channel: ChannelId,
    /// The channel by name.
    pub name: String,
    /// Another mode of rate control, or another QP.
    pub rate_control: Option<RateControl>,
    /// Another target (for `CappedQuality` the ceiling) in the mode that it has, in bit/s.
    pub bitrate_bps: u32,
    /// Another ceiling in the mode that it has, in bit/s.
    pub bitrate_max_bps: u32,
    /// Another lowest QP in the mode that it has.
    pub qp_min: u8,
    /// Another highest QP in the mode that it has.
    pub qp_max: u8,
    /// Pictures a second that the client will submit.
    pub fps: Option<FrameRate>,
    /// Pictures a second that are encoded of those; 0/0 means all.
    pub fps_out: Option<FrameRate>,
    /// Pictures from one IDR to the next.
    pub gop_length: u32,
    /// How many QP steps finer an IDR is, 0 to 10.
    pub ip_qp_delta: Option<u8>,
    /// Most bytes of one picture; 0: no limit but the stream buffer's.
    pub picture_bytes_max: Option<u32>,
    /// Visible width; needs a drained channel, and goes with `height`.
    pub width: u16,
    /// Visible height.
    pub height: u16,
    /// Profile; needs a drained channel.
    pub profile: Option<Profile>,
    /// Service class.
    pub class: Option<Class>,
    /// Share of the slack.
    pub weight: u16,
    /// What happens to a frame that finds the queue full.
    pub overload: Option<Overload>,
    /// A frame that cannot be started within this time is dropped; 0: never for its age.
    pub deadline_us: Option<u32>,
}

/// Drops what a channel of this connection has queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flush {
    /// The channel.
    pub channel: ChannelId,
}

/// Begins a stream that stands on its own, on a channel of this connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The channel.
    pub channel: ChannelId,
}

/// Lets a drained channel of this connection go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The channel.
    pub channel: ChannelId,
}

/// Asks for the parameter sets of a channel, one's own or another client's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSets {
    /// The channel by id; ignored when `name` is not empty.
    pub channel: ChannelId,
    /// The channel by name.
    pub name: String,
}

/// User data for the pictures of a channel of this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    /// The channel.
    pub channel: ChannelId,
    /// `uuid_iso_iec_11578`: 16 bytes.
    pub uuid: Bytes,
    /// The payload, up to `limits::USER_DATA_BYTES_MAX`; empty: no user data any more.
    pub payload: Bytes,
    /// Before every IDR, not only before the next picture that is submitted.
    pub every_idr: bool,
}

/// Asks what became of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The channel by id; ignored when `name` is not empty.
    pub channel: ChannelId,
    /// The channel by name.
    pub name: String,
    /// Sequence number of its packet, or its own number.
    pub number: u32,
    /// `number` is that of the frame and not of a packet.
    pub by_frame: bool,
}

/// Takes a lease back from its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// The lease.
    pub lease: LeaseId,
    /// Time that its holder has to return it; 0 means a second.
    pub grace_us: u32,
}

/// Gives quarantined memory back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseQuarantine {
    /// First byte of the quarantined piece.
    pub address: Address,
}

/// Registers a dma-buf. Exactly one descriptor rides with this request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBuffer {
    /// Its length.
    pub len_bytes: u32,
}
