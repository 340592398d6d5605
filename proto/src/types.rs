//! Newtypes and small values of the wire.
//!
//! Every value here has a documented zero: a field that a shorter, older message leaves out is read as zero,
//! `false`, absent, empty, or an enum's first variant. Enums are append-only: postcard encodes a variant by
//! its position.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! wire_number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the plain number.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn value(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

wire_number!(
    /// Names a channel for as long as it is open; never reused within one run of the daemon.
    ChannelId,
    u32
);
wire_number!(
    /// Names a set of leased source buffers.
    LeaseId,
    u32
);
wire_number!(
    /// Names a registered source region.
    RegionId,
    u32
);
wire_number!(
    /// Names one reader of one channel.
    SubscriptionId,
    u32
);
wire_number!(
    /// Counts the packets of a channel, from 0, wrapping at 2^32.
    Sequence,
    u32
);
wire_number!(
    /// Counts the frames that a channel accepted, from 0, wrapping at 2^32.
    FrameNumber,
    u32
);
wire_number!(
    /// Changes whenever the daemon restarts: descriptors of another epoch are void.
    Epoch,
    u32
);
wire_number!(
    /// A physical address as the encoder sees it, in bytes.
    Address,
    u32
);
wire_number!(
    /// A time on the daemon's monotonic clock, in microseconds.
    TimeUs,
    u64
);

/// Video codec of a channel. All three exist since version 1; what is not supported is refused by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// H.264.
    #[default]
    Avc,
    /// H.265.
    Hevc,
    /// JPEG.
    Jpeg,
}

/// Profile of an AVC channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// High: CABAC, 8x8 transform, default scaling lists.
    #[default]
    High,
    /// Main: CABAC.
    Main,
    /// Baseline: CAVLC.
    Baseline,
}

/// Service class of a channel, least urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Shares what the other classes leave over.
    #[default]
    BestEffort,
    /// One picture now and then.
    Snapshot,
    /// Recording: late is bad, lost is worse.
    Record,
    /// Somebody is watching.
    Live,
}

/// How the picture QP of a channel is chosen. `0` for a QP bound means the daemon's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateControl {
    /// Constant QP for every picture.
    FixQp {
        /// 1..=51; 0 means the default, 30.
        qp: u8,
    },
    /// Constant bitrate.
    Cbr {
        /// Target in bit/s.
        bitrate_bps: u32,
        /// Lowest QP that may be used; 0 means the default.
        qp_min: u8,
        /// Highest QP that may be used; 0 means the default.
        qp_max: u8,
    },
    /// An average bitrate that may be exceeded for a while.
    Vbr {
        /// Average in bit/s.
        bitrate_bps: u32,
        /// Most in bit/s; 0 means twice the average.
        bitrate_max_bps: u32,
        /// Lowest QP that may be used; 0 means the default.
        qp_min: u8,
        /// Highest QP that may be used; 0 means the default.
        qp_max: u8,
    },
    /// As `Vbr`, and no picture is coded better than a quality that is good enough.
    CappedVbr {
        /// Average in bit/s.
        bitrate_bps: u32,
        /// Most in bit/s; 0 means twice the average.
        bitrate_max_bps: u32,
        /// Lowest QP that may be used; 0 means the default.
        qp_min: u8,
        /// Highest QP that may be used; 0 means the default.
        qp_max: u8,
        /// Luma PSNR that is good enough, in hundredths of a decibel; 0 means 4200.
        psnr_max_cdb: u16,
    },
    /// A quality held as long as the bitrate stays below a ceiling.
    CappedQuality {
        /// Most in bit/s.
        bitrate_max_bps: u32,
        /// Lowest QP that may be used; 0 means the default.
        qp_min: u8,
        /// Highest QP that may be used; 0 means the default.
        qp_max: u8,
        /// Luma PSNR aimed at, in hundredths of a decibel; 0 means 3800.
        psnr_cdb: u16,
    },
}

/// What happens to a frame that finds its channel's queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overload {
    /// Submit is refused (`queue-full`).
    #[default]
    Reject,
    /// The frame that waits longest is dropped.
    DropOldest,
    /// The new frame is accepted and dropped at once.
    DropNewest,
    /// Only the newest frame waits: all older ones are dropped whenever one comes.
    LatestOnly,
    /// The reply to Submit is held back until there is room.
    Wait,
}

impl Default for RateControl {
    fn default() -> Self {
        Self::FixQp { qp: 0 }
    }
}

/// Pictures a second as a fraction. `0/0` means 25/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Pictures in `den` seconds.
    pub num: u32,
    /// Seconds.
    pub den: u32,
}

/// Where the planes of a source picture lie. The format is NV12: 8 bit, 4:2:0, luma plane then interleaved Cb, Cr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLayout {
    /// Bytes from one line to the next, both planes.
    pub stride_bytes: u32,
    /// Lines stored of the luma plane; at least the visible height.
    pub stored_lines: u32,
    /// Offset of the chroma plane from the picture's address.
    pub chroma_offset_bytes: u32,
    /// Whole picture.
    pub len_bytes: u32,
    /// A picture's address is a multiple of this.
    pub alignment_bytes: u32,
}

/// How a client reaches the bytes of a leased buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BufferAccess {
    /// Not at all: capture hardware fills the buffer.
    #[default]
    None,
    /// Map the descriptor that came with the reply.
    Descriptor {
        /// Offset of the buffer in the descriptor.
        offset_bytes: u64,
        /// The mapping is cached and not coherent with the encoder.
        cached: bool,
    },
    /// Open and map a device; only for peers with the raw-address right.
    PhysicalDevice {
        /// Path of the device.
        path: String,
        /// Offset of the buffer in the device.
        offset_bytes: u64,
        /// The mapping is cached and not coherent with the encoder.
        cached: bool,
    },
}

/// Kind of an encoded picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureKind {
    /// Starts a group of pictures; parameter sets precede it.
    #[default]
    Idr,
    /// Predicted from the picture before it.
    P,
}

/// Where a new reader of a channel starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// At the last IDR that the ring still holds if it and what follows take at most `preroll_bytes`, otherwise at the
    /// next one.
    #[default]
    LastIdr,
    /// At the next IDR.
    NextIdr,
    /// As `LastIdr` where somebody had asked for the last IDR; otherwise at the next one, and asks for it.
    DemandIdr,
}

/// What became of a frame that was accepted. Every accepted frame has exactly one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameEnd {
    /// Encoded and put into the channel's ring.
    Encoded {
        /// The packet's sequence number.
        sequence: Sequence,
    },
    /// Dropped before the encoder started on it.
    Dropped(DropReason),
    /// Lost in the encoder.
    Failed(FailReason),
}

/// Why a frame never reached the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// Its channel was closed.
    ChannelClosed,
    /// The daemon is stopping.
    Shutdown,
    /// The encoder is offline.
    EngineOffline,
    /// It could not have been started by its deadline.
    Deadline,
    /// The queue was full, and the channel drops the newest then.
    QueueFull,
    /// A newer frame took its place.
    Superseded,
    /// Its channel was flushed or reset.
    Flushed,
    /// The channel encodes fewer pictures than are submitted.
    Decimated,
    /// The memory that it lies in was taken back.
    Revoked,
}

/// Why the encoder did not deliver a frame. The channel's next picture is an IDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailReason {
    /// No completion by the deadline; the encoder was reset.
    Timeout,
    /// The encoder reported an error.
    HardwareError,
    /// The picture did not fit its stream buffer or the channel's ring.
    Overflow,
    /// The picture before it failed, so what this one refers to was never delivered.
    ReferenceLost,
    /// The encoder was reset while this picture was in it.
    EngineReset,
    /// The device could not be driven.
    Device,
}

/// State of a channel as its clients see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelState {
    /// Open, nothing submitted yet.
    #[default]
    Configured,
    /// Encoding.
    Running,
    /// Finishing what was accepted; accepts nothing more.
    Draining,
    /// Drained: every accepted frame has ended.
    Drained,
    /// A picture was lost; an IDR follows.
    Recovering,
    /// The channel cannot go on.
    Failed,
    /// Gone.
    Closed,
    /// No frame came for three of its periods.
    Starved,
    /// None of its readers takes what it encodes.
    Blocked,
    /// Its picture is in the encoder for longer than expected.
    Stalled,
}

/// What a connection may do; each role includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Read channels and reports.
    #[default]
    Observe,
    /// Open channels.
    Publish,
    /// Submit raw physical addresses.
    Raw,
}

/// Where a NAL unit begins in a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NalUnit {
    /// `nal_unit_type`; 0: there is none.
    pub nal_type: u8,
    /// Offset of its start code in the packet.
    pub offset_bytes: u16,
}

/// Bytes on the wire: a length, then as many bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    // Formats for people write bytes as a list of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Bytes, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = entries.next_element()? {
            bytes.push(byte);
        }
        Ok(Bytes(bytes))
    }
}
