//! What a client asks. Append-only: new requests at the end, new fields at the end of a struct.

use crate::types::{
    Address, ChannelId, Class, Codec, FrameRate, Join, LeaseId, Profile, RateControl, RegionId,
    Sequence, SubscriptionId,
};
use alloc::string::String;
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
    /// Answer: `Reply::Done`. Kept until an IDR was delivered.
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
