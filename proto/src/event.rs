//! What the daemon tells unasked. Append-only; a client ignores events that it does not know.

use crate::limits::NAL_UNITS_MAX;
use crate::types::{
    Address, ChannelId, ChannelState, FrameEnd, FrameNumber, FrameRate, LeaseId, NalUnit,
    PictureKind, Profile, Sequence, SubscriptionId, TimeUs,
};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A packet of a subscription is in the ring.
    Packet(Packet),
    /// A frame of this connection ended; its source memory may be reused.
    SourceReleased(SourceReleased),
    /// A reader missed packets.
    Gap(Gap),
    /// The last packet of a channel was delivered; the subscription is over.
    EndOfStream(EndOfStream),
    /// A channel changed its state. Sent to its owner, its readers, and to connections that asked with `Watch`.
    ChannelChanged(ChannelChanged),
    /// The encoder was reset.
    EngineReset(EngineReset),
    /// The daemon is about to end; the connection closes.
    Shutdown,
    /// A lease of this connection will be taken back.
    LeaseRevoking(LeaseRevoking),
    /// A lease of this connection was taken back.
    LeaseRevoked(LeaseRevoked),
    /// A frame waited longer than its channel's ticket says. Sent to the owner, and to connections that asked with `Watch`.
    TicketBreached(TicketBreached),
    /// The packets of a subscription have another format from the next one on.
    FormatChanged(FormatChanged),
    /// A ticket cannot be kept for certain any more, or can again. Sent to the owner, and to connections that asked with
    /// `Watch`.
    TicketDoubtful(TicketDoubtful),
}

/// Describes one access unit in a channel's ring: Annex B, parameter sets before every IDR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Whose packet.
    pub subscription: SubscriptionId,
    /// Its number in the channel.
    pub sequence: Sequence,
    /// Offset in the ring's data area; a packet never wraps.
    pub offset_bytes: u32,
    /// Length.
    pub len_bytes: u32,
    /// Position in the ring's endless byte count, modulo 2^32: valid while the ring's tail has not passed it.
    pub position: u32,
    /// IDR or P.
    pub kind: PictureKind,
    /// Slice QP.
    pub qp: u8,
    /// The client's timestamp, bit-exact.
    pub timestamp: u64,
    /// When the frame was accepted.
    pub accepted_us: TimeUs,
    /// When the encoder was started on it.
    pub started_us: TimeUs,
    /// When the encoder had finished.
    pub done_us: TimeUs,
    /// Number of the frame in the channel.
    pub frame: FrameNumber,
    /// Sum of squared luma errors of the reconstruction, 0 where the device does not say.
    pub sse_luma: u64,
    /// An empty packet behind the last one of a channel that was drained with `keep`.
    pub last: bool,
    /// Luma PSNR in hundredths of a decibel, 0 where the device does not say.
    pub psnr_cdb: u16,
    /// Mean QP of the macroblocks; the slice QP where the device does not say.
    pub qp_mean: u8,
    /// How full the rate control's buffer is after it, in thousandths; 0 without one.
    pub buffer_permille: u16,
    /// Where its NAL units begin, in order.
    pub nal_units: [NalUnit; NAL_UNITS_MAX],
}

/// The one end of an accepted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReleased {
    /// Channel.
    pub channel: ChannelId,
    /// Number of the frame in the channel.
    pub frame: FrameNumber,
    /// Its address.
    pub address: Address,
    /// The client's cookie.
    pub cookie: u64,
    /// What became of it.
    pub end: FrameEnd,
}

/// Why a reader missed packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapReason {
    /// It had no credits left.
    #[default]
    NoCredits,
    /// The ring needed the room that its unreleased packets took.
    Overrun,
    /// Pictures were lost in the encoder or dropped.
    Lost,
}

/// A reader missed packets; it goes on at an IDR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Whose gap.
    pub subscription: SubscriptionId,
    /// First packet missed.
    pub first: Sequence,
    /// How many.
    pub count: u32,
    /// Why.
    pub reason: GapReason,
}

/// No packet of the channel follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfStream {
    /// The channel.
    pub channel: ChannelId,
    /// The subscription that is over; absent for the owner's copy when it does not read.
    pub subscription: Option<SubscriptionId>,
    /// Packets that the channel delivered in all.
    pub packets: u32,
}

/// A channel changed its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelChanged {
    /// The channel.
    pub channel: ChannelId,
    /// Its name.
    pub name: String,
    /// Its state now.
    pub state: ChannelState,
    /// Why, for people.
    pub reason: String,
}

/// The encoder was reset because a picture was lost in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineReset {
    /// The channel whose picture was lost.
    pub channel: ChannelId,
    /// Resets since the daemon started.
    pub resets: u32,
}

/// A lease will be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevoking {
    /// The lease.
    pub lease: LeaseId,
    /// Time that is left to return it.
    pub grace_us: u32,
}

/// A lease was taken back: its frames that waited are dropped, its addresses are foreign now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevoked {
    /// The lease.
    pub lease: LeaseId,
}

/// A promise was not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketBreached {
    /// The channel.
    pub channel: ChannelId,
    /// The frame.
    pub frame: FrameNumber,
    /// How long it waited.
    pub wait_us: u32,
    /// What was promised.
    pub ticket_us: u32,
    /// Breaches of this channel so far.
    pub breaches: u32,
}

/// Pictures persistently take longer than the device states, of this channel or of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketDoubtful {
    /// The channel.
    pub channel: ChannelId,
    /// What was promised.
    pub ticket_us: u32,
    /// Whether it may be broken from now on; if not, it holds again.
    pub doubtful: bool,
}

/// Another format begins. The next packet of the subscription is the first that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatChanged {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// That packet; an IDR.
    pub first: Sequence,
    /// Visible width.
    pub width: u16,
    /// Visible height.
    pub height: u16,
    /// Profile.
    pub profile: Profile,
    /// Pictures a second that are encoded.
    pub fps: FrameRate,
}
