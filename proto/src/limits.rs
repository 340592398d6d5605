//! Every maximum a client may rely on. The daemon never asks for less and never sends more.

/// Body of one frame, in bytes; checked before anything is buffered.
pub const FRAME_BODY_LEN_MAX: u32 = 16 * 1024;
/// Name of a channel, in bytes of UTF-8.
pub const NAME_LEN_MAX: usize = 32;
/// Sentence of a refusal or an event, in bytes of UTF-8.
pub const SENTENCE_LEN_MAX: usize = 240;
/// Frames queued in one channel, the one in the encoder not counted.
pub const QUEUE_MAX: u16 = 4;
/// Frames of one connection that were accepted and have not ended.
pub const SUBMIT_CREDITS: u16 = 16;
/// Packets of one subscription that were sent and not released.
pub const PACKET_CREDITS_MAX: u16 = 64;
/// Buffers in one lease.
pub const LEASE_BUFFERS_MAX: u8 = 16;
/// Leases of one connection.
pub const LEASES_MAX: u16 = 16;
/// Registered regions of one connection.
pub const REGIONS_MAX: u16 = 16;
/// Channels of one connection.
pub const CHANNELS_PER_CLIENT_MAX: u16 = 8;
/// Subscriptions of one connection.
pub const SUBSCRIPTIONS_MAX: u16 = 16;
/// Readers of one channel.
pub const READERS_MAX: u16 = 64;
/// Readers of one channel that one user has, where it is neither the super-user nor the daemon's own.
pub const READERS_PER_USER_MAX: u16 = 32;
/// Connections.
pub const SESSIONS_MAX: u16 = 64;
/// Descriptors that ride with one frame.
pub const DESCRIPTORS_MAX: usize = 1;
/// Bytes before the data area of a ring: its header.
pub const RING_HEADER_BYTES: u32 = 4096;
/// NAL units of one packet.
pub const NAL_UNITS_MAX: usize = 6;
/// Payload of a user-data message, in bytes.
pub const USER_DATA_BYTES_MAX: usize = 64;
/// Entries of one page of a list.
pub const PAGE_ENTRIES_MAX: usize = 16;
