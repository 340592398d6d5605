//! What the things that can happen in a world are called where they are counted.

use crate::world::op::Op;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, GapReason};
use avpu_proto::request::Request;
use avpu_proto::types::{ChannelState, DropReason, FailReason, FrameEnd};

/// A function from values to names, and the list of all names.
macro_rules! names {
    ($list:ident, $len:literal, $function:ident, $of:ty, $($pattern:pat => $name:literal,)*) => {
        pub(super) const $list: [&str; $len] = [$($name),*];

        pub(super) const fn $function(of: &$of) -> &'static str {
            match of {
                $($pattern => $name,)*
            }
        }
    };
}

names! { OPERATIONS, 15, operation, Op,
    Op::Pass { .. } => "pass",
    Op::Join { .. } => "join",
    Op::Feed { .. } => "feed",
    Op::Ask { .. } => "ask",
    Op::AskHalf { .. } => "ask half",
    Op::Babble { .. } => "babble",
    Op::Doze { asleep: true, .. } => "doze",
    Op::Doze { asleep: false, .. } => "wake",
    Op::Leave { .. } => "leave",
    Op::SpuriousInterrupt => "spurious interrupt",
    Op::StaleCompletion => "stale completion",
    Op::FailSetUp => "fail set-up",
    Op::FailDelivery => "fail delivery",
    Op::FailDevice { .. } => "fail device",
    Op::ShutDown => "shut down",
}

names! { REQUESTS, 30, request, Request,
    Request::Capabilities => "capabilities",
    Request::OpenChannel(_) => "open",
    Request::CloseChannel(_) => "close",
    Request::LeaseBuffers(_) => "lease",
    Request::ReturnLease(_) => "return",
    Request::RegisterRegion(_) => "register",
    Request::UnregisterRegion(_) => "unregister",
    Request::Submit(_) => "submit",
    Request::Subscribe(_) => "subscribe",
    Request::Unsubscribe(_) => "unsubscribe",
    Request::ReleasePackets(_) => "release",
    Request::RequestIdr(_) => "idr",
    Request::Drain(_) => "drain",
    Request::Status => "status",
    Request::Channels(_) => "channels",
    Request::Clients(_) => "clients",
    Request::Memory(_) => "memory",
    Request::Watch(_) => "watch",
    Request::Fits(_) => "fits",
    Request::Reconfigure(_) => "reconfigure",
    Request::Flush(_) => "flush",
    Request::Reset(_) => "reset",
    Request::Resume(_) => "resume",
    Request::ParameterSets(_) => "parameter sets",
    Request::UserData(_) => "user data",
    Request::Explain(_) => "explain",
    Request::Trace(_) => "trace",
    Request::Revoke(_) => "revoke",
    Request::ReleaseQuarantine(_) => "release quarantine",
    Request::ImportBuffer(_) => "import",
}

names! { ENDS, 16, end, FrameEnd,
    FrameEnd::Encoded { .. } => "encoded",
    FrameEnd::Dropped(DropReason::ChannelClosed) => "channel closed",
    FrameEnd::Dropped(DropReason::Shutdown) => "shutdown",
    FrameEnd::Dropped(DropReason::EngineOffline) => "encoder offline",
    FrameEnd::Dropped(DropReason::Deadline) => "deadline",
    FrameEnd::Dropped(DropReason::QueueFull) => "queue full",
    FrameEnd::Dropped(DropReason::Superseded) => "superseded",
    FrameEnd::Dropped(DropReason::Flushed) => "flushed",
    FrameEnd::Dropped(DropReason::Decimated) => "decimated",
    FrameEnd::Dropped(DropReason::Revoked) => "revoked",
    FrameEnd::Failed(FailReason::Timeout) => "timeout",
    FrameEnd::Failed(FailReason::HardwareError) => "hardware error",
    FrameEnd::Failed(FailReason::Overflow) => "overflow",
    FrameEnd::Failed(FailReason::ReferenceLost) => "reference lost",
    FrameEnd::Failed(FailReason::EngineReset) => "engine reset",
    FrameEnd::Failed(FailReason::Device) => "device",
}

names! { STATES, 10, state, ChannelState,
    ChannelState::Configured => "configured",
    ChannelState::Running => "running",
    ChannelState::Draining => "draining",
    ChannelState::Drained => "drained",
    ChannelState::Recovering => "recovering",
    ChannelState::Failed => "failed",
    ChannelState::Closed => "closed",
    ChannelState::Starved => "starved",
    ChannelState::Blocked => "blocked",
    ChannelState::Stalled => "stalled",
}

names! { EVENTS, 14, event, Event,
    Event::Packet(_) => "packet",
    Event::SourceReleased(_) => "source released",
    Event::Gap(avpu_proto::event::Gap { reason: GapReason::NoCredits, .. }) => "gap for want of credits",
    Event::Gap(avpu_proto::event::Gap { reason: GapReason::Overrun, .. }) => "gap by overrun",
    Event::Gap(avpu_proto::event::Gap { reason: GapReason::Lost, .. }) => "gap by loss",
    Event::EndOfStream(_) => "end of stream",
    Event::ChannelChanged(_) => "channel changed",
    Event::EngineReset(_) => "engine reset",
    Event::Shutdown => "shutdown",
    Event::LeaseRevoking(_) => "lease revoking",
    Event::LeaseRevoked(_) => "lease revoked",
    Event::TicketBreached(_) => "ticket breached",
    Event::TicketDoubtful(_) => "ticket doubtful",
    Event::FormatChanged(_) => "format changed",
}

/// Words of refusals; a connection whose bytes are no requests is closed without one.
pub(super) const REFUSALS: [&str; 23] = [
    ErrorCode::UNKNOWN_REQUEST.word(),
    ErrorCode::UNSUPPORTED.word(),
    ErrorCode::INVALID_PARAMETER.word(),
    ErrorCode::NO_SUCH_CHANNEL.word(),
    ErrorCode::NOT_OWNER.word(),
    ErrorCode::NAME_TAKEN.word(),
    ErrorCode::LIMIT_REACHED.word(),
    ErrorCode::NO_CAPACITY.word(),
    ErrorCode::NO_MEMORY.word(),
    ErrorCode::QUEUE_FULL.word(),
    ErrorCode::NO_CREDIT.word(),
    ErrorCode::WRONG_STATE.word(),
    ErrorCode::ADDRESS_UNALIGNED.word(),
    ErrorCode::ADDRESS_FOREIGN.word(),
    ErrorCode::ADDRESS_OUT_OF_BOUNDS.word(),
    ErrorCode::NOT_PERMITTED.word(),
    ErrorCode::NO_SUCH_OBJECT.word(),
    ErrorCode::IN_USE.word(),
    ErrorCode::ENGINE_OFFLINE.word(),
    ErrorCode::SHUTTING_DOWN.word(),
    ErrorCode::INTERNAL.word(),
    ErrorCode::ADDRESS_OVERLAP.word(),
    ErrorCode::NO_SCHEDULE.word(),
];

/// What is neither said nor asked.
pub(super) const HAPPENED: [&str; 14] = [
    "picture started",
    "picture too large",
    "picture started again",
    "picture lost",
    "IDR on demand",
    "register access failed",
    "wait within a ticket",
    "buffer imported",
    "client expelled",
    "encoder given up",
    "channel tuned",
    "channel rebuilt",
    "picture made ready",
    "picture started as made ready",
];
