//! What is worth a log line, as values: the core does not log.

use crate::core::event::{Guards, LeaseKey, Peer};
use crate::core::time::Micros;
use crate::job::{ChannelKey, EngineId, JobId, JobOutcome};
use crate::mem::addr::{PhysAddr, PhysRange};
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::types::FrameNumber;

/// Something worth a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A picture missed its deadline.
    Timeout {
        /// Channel.
        channel: ChannelKey,
        /// Job.
        job: JobId,
        /// When it was started.
        started: Micros,
        /// How long it was expected to take.
        expected_us: u64,
    },
    /// A picture failed.
    PictureFailed {
        /// Channel.
        channel: ChannelKey,
        /// Job.
        job: JobId,
        /// Why.
        outcome: JobOutcome,
    },
    /// A picture did not fit: its frame is encoded once more. Comes before that is begun.
    PictureTooLarge {
        /// Channel.
        channel: ChannelKey,
        /// Job.
        job: JobId,
        /// Its quantiser.
        qp: u8,
        /// Its size.
        bytes: u32,
    },
    /// A channel failed because a picture does not fit even as coarse as it allows.
    ChannelTooLarge {
        /// Channel.
        channel: ChannelKey,
        /// Quantiser of that picture.
        qp: u8,
        /// Its size.
        bytes: u32,
    },
    /// Memory came back overwritten at its guards, or they could not be looked at: it stays out of use.
    MemoryCondemned {
        /// The memory.
        memory: PhysRange,
        /// What its guards say.
        guards: Guards,
    },
    /// A picture waited longer than its channel's ticket says.
    TicketBreached {
        /// Channel.
        channel: ChannelKey,
        /// Frame.
        frame: FrameNumber,
        /// How long it waited since it was due.
        wait_us: u64,
        /// What was promised.
        ticket_us: u32,
    },
    /// Pictures of one kind persistently take longer than they were counted with, or no longer do.
    CostCounted {
        /// Channel.
        channel: ChannelKey,
        /// Of which kind.
        kind: PictureKind,
        /// What the device states.
        stated_us: u64,
        /// What they are counted with from now on.
        counted_us: u64,
    },
    /// A ticket cannot be kept for certain any more, or can again.
    TicketDoubtful {
        /// Channel.
        channel: ChannelKey,
        /// What was promised.
        ticket_us: u32,
        /// Whether it is in doubt.
        is_doubtful: bool,
    },
    /// The engine could not be reset.
    EngineOffline {
        /// The engine.
        engine: EngineId,
    },
    /// A channel was opened.
    ChannelOpened {
        /// Channel.
        channel: ChannelKey,
        /// Name.
        name: String,
        /// Owner's process.
        pid: u32,
    },
    /// A channel was closed.
    ChannelClosed {
        /// Channel.
        channel: ChannelKey,
        /// Name.
        name: String,
    },
    /// A request was refused for want of a right, at a limit, or for what it names.
    Refused {
        /// Who asked.
        peer: Peer,
        /// What it was told.
        code: ErrorCode,
        /// What it was told, for people.
        sentence: String,
    },
    /// The holder of a lease was told to return it.
    LeaseRevoking {
        /// The lease.
        lease: LeaseKey,
        /// Who holds it.
        holder: Peer,
        /// Who takes it.
        by: Peer,
        /// Time that the holder has.
        grace_us: u64,
    },
    /// The time of a lease's holder was over: nothing new is taken from that memory.
    LeaseFenced {
        /// The lease.
        lease: LeaseKey,
        /// Who held it.
        holder: Peer,
        /// Time since the holder was told.
        after_us: u64,
        /// Frames that were dropped because of it.
        dropped: u32,
        /// Frames that the encoder has yet to end.
        frames: u32,
    },
    /// A lease that was to be returned is gone.
    LeaseRevoked {
        /// The lease.
        lease: LeaseKey,
        /// Who held it.
        holder: Peer,
        /// How it ended.
        how: Ending,
        /// Time since the holder was told.
        after_us: u64,
        /// Time since it was fenced, where it was: the encoder needed that long.
        fenced_us: Option<u64>,
    },
    /// Something may still write to memory that nobody holds any more.
    Quarantined {
        /// The memory.
        memory: PhysRange,
        /// Who held it.
        holder: Peer,
        /// How long it is kept; `None`: until somebody vouches for it.
        time_us: Option<u64>,
    },
    /// Somebody vouched for memory in quarantine.
    QuarantineReleased {
        /// Where it begins.
        address: PhysAddr,
        /// Who.
        by: Peer,
    },
}

/// How a lease that was to be returned ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its holder returned it in time.
    Returned,
    /// Its holder is gone.
    Left,
    /// It was fenced, and the encoder is done with it.
    Fenced,
}
