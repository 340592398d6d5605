//! Maxima inside the daemon, and how they relate to those that clients rely on.

use avpu_proto::frame::HEADER_BYTES;
use avpu_proto::limits::{FRAME_BODY_LEN_MAX, SESSIONS_MAX};

/// Bytes that may wait for one peer to read; one more and it is closed as a slow consumer.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Bytes waiting for one peer from which on no more of its requests are taken.
pub const OUTPUT_BYTES_BUSY: usize = OUTPUT_BYTES_MAX / 2;
/// Descriptors waiting for one peer from which on no more of its requests are taken: small replies that each carry one
/// would otherwise use up the descriptors that everybody needs.
pub const OUTPUT_DESCRIPTORS_BUSY: usize = 4;
/// Descriptors that one peer was sent and has not read, as far as can be told; the next one waits until it has read all.
/// The kernel bounds them for all processes of the daemon's user together, or not at all: without a bound for each peer,
/// one that does not read would use up what others need.
pub const DESCRIPTORS_UNREAD_MAX: usize = 4;
/// Longest frame.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + BODY_BYTES_MAX;
/// Descriptors that one message of the kernel can carry: room for all of them means that none is left open unseen.
pub const DESCRIPTORS_PER_MESSAGE_MAX: usize = 253;
/// Descriptors of one peer that wait for the rest of their request.
pub const DESCRIPTORS_WAITING_MAX: usize = 4;
/// Requests of one peer that are served before it is the next one's turn.
pub const REQUESTS_PER_TURN_MAX: usize = 16;
/// Connections that are accepted before it is the others' turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 16;
/// Events of the kernel that are fetched at once.
pub const EVENTS_PER_TURN_MAX: usize = 64;
/// Interrupts between the thread that waits for them and the loop.
pub const INTERRUPTS_MAX: usize = 32;
/// Looks for a write-back that trails its interrupt; where it was seen it took up to 2 ms.
pub const WRITE_BACK_LOOKS_MAX: u32 = 10;
/// Time from one such look to the next.
pub const WRITE_BACK_LOOK_US: u64 = 200;
/// Bytes before and behind every piece of reserved memory that is given out. They are nobody's, and hold a pattern.
pub const GUARD_PAGE_BYTES: u32 = 4096;
/// Time that a peer has for its Hello.
pub const GREETING_TIMEOUT_US: u64 = 2_000_000;
/// Time that a peer which is to be closed has to read what it was told last.
pub const FAREWELL_TIMEOUT_US: u64 = 1_000_000;
/// Connections that are open at all: those with a session, and some that are just being refused.
pub const CONNECTIONS_MAX: usize = SESSIONS + 16;
/// Largest ring of a channel on a camera, which has 64 MB for everything. A power of two.
pub const CAMERA_RING_BYTES_MAX: u32 = 1 << 20;
/// Largest ring of a channel on a developer's machine. A power of two.
pub const DEVELOPER_RING_BYTES_MAX: u32 = 16 << 20;
/// Longest log line; longer ones are cut.
pub const LOG_LINE_BYTES_MAX: usize = 1024;
/// Log lines a second about pictures and peers; what is more is counted.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 10;

#[allow(
    clippy::cast_possible_truncation,
    reason = "a constant far below every usize, asserted below"
)]
const BODY_BYTES_MAX: usize = FRAME_BODY_LEN_MAX as usize;
#[allow(clippy::as_conversions, reason = "from u16, which every usize holds")]
const SESSIONS: usize = SESSIONS_MAX as usize;

const _: () = assert!(BODY_BYTES_MAX == 16 * 1024);
const _: () = assert!(OUTPUT_BYTES_BUSY + FRAME_BYTES_MAX <= OUTPUT_BYTES_MAX);
const _: () = assert!(LOG_LINE_BYTES_MAX <= 4096);
