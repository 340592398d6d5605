//! The whole surface of the core: what goes in, what comes out.
//!
//! The shell feeds one [`Input`], drains all [`Output`]s in order, then asks for the next timeout. Outputs that have a
//! result are answered by an input, at once and in order, before anything else is fed.

use crate::core::note::Note;
use crate::job::{ChannelKey, EncodeJob, EngineId, JobId, JobOutcome};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::ChannelSetup;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::types::{BufferAccess, ChannelId};

/// Slot of a session in the shell's tables; unique while the session is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey(u32);

impl SessionKey {
    /// The session with this number.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// Names a lease of source buffers between core and shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseKey(u32);

impl LeaseKey {
    /// The lease with this number.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// Names an imported buffer between core and shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportKey(u32);

impl ImportKey {
    /// The first one.
    pub const FIRST: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Why a buffer was not imported, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotImported {
    /// The device or its kernel does not take it.
    Unsupported(String),
    /// It should have worked.
    Failed(String),
}

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What the world did.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer connected and agreed on a version.
    Opened {
        /// Its session.
        session: SessionKey,
        /// Who it is.
        peer: Peer,
    },
    /// A peer asked for something.
    Request {
        /// Its session.
        session: SessionKey,
        /// The request's id, returned with the reply.
        id: u16,
        /// What it asked; `None` for a request of a later version, to be refused.
        body: Option<Request>,
    },
    /// A connection ended, from whichever side.
    Closed {
        /// Its session.
        session: SessionKey,
    },
    /// Answers [`Output::CreateChannel`].
    ChannelCreated {
        /// The channel.
        channel: ChannelKey,
        /// Why it could not be made, for people.
        result: Result<(), String>,
    },
    /// Answers [`Output::RebuildChannel`].
    ChannelRebuilt {
        /// The channel.
        channel: ChannelKey,
        /// Why it could not be made, for people: it is as it was.
        result: Result<(), String>,
    },
    /// Answers [`Output::GrantLease`].
    LeaseGranted {
        /// The lease.
        lease: LeaseKey,
        /// How its first byte is reached, or why it could not be granted, for people.
        result: Result<BufferAccess, String>,
    },
    /// Answers [`Output::DestroyChannel`] and [`Output::RevokeLease`].
    MemoryReturned {
        /// The memory.
        memory: PhysRange,
        /// Whether anything was written beyond it, or beyond an object in it.
        guards: Guards,
    },
    /// Answers [`Output::Import`].
    Imported {
        /// The import.
        import: ImportKey,
        /// Where it lies, or why it does not.
        result: Result<PhysRange, NotImported>,
    },
    /// A job ended.
    JobDone {
        /// The job.
        job: JobId,
        /// How.
        outcome: JobOutcome,
    },
    /// Answers [`Output::Deliver`].
    Delivered {
        /// The job.
        job: JobId,
        /// Bytes put into the ring, or `None` when they did not fit.
        len: Option<ByteLen>,
    },
    /// Answers [`Output::Reset`].
    EngineReset {
        /// The engine.
        engine: EngineId,
        /// It works again.
        ok: bool,
    },
    /// An interrupt came that no completion matched.
    SpuriousInterrupt,
    /// The daemon was told to stop: finish what is in flight, tell clients, close.
    Shutdown,
}

/// What the guards around memory that comes back say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guards {
    /// Nothing was written where nobody may write.
    Intact,
    /// So many guards were overwritten.
    Broken(u32),
    /// They could not be looked at.
    Unseen,
}

/// What must happen now. A job is large, but in a box it would be an allocation for every picture.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a reply.
    Reply {
        /// To whom.
        session: SessionKey,
        /// Id of the request.
        id: u16,
        /// The reply.
        body: Reply,
        /// What descriptor rides with it.
        attach: Attach,
    },
    /// Send an event.
    Event {
        /// To whom.
        session: SessionKey,
        /// The event.
        body: Event,
    },
    /// Close a connection; [`Input::Closed`] follows.
    Close {
        /// Which.
        session: SessionKey,
        /// Why.
        reason: CloseReason,
    },
    /// Prepare a channel: tables in its memory, a ring for its packets. Answered by [`Input::ChannelCreated`].
    CreateChannel {
        /// The channel.
        channel: ChannelKey,
        /// What clients call it: readers find it in the ring's header.
        id: ChannelId,
        /// What it encodes.
        setup: ChannelSetup,
        /// Reserved memory for it.
        memory: PhysRange,
        /// Size of the ring's data area; a power of two.
        ring_bytes: ByteLen,
    },
    /// Let a channel encode pictures of another size or coding, in other memory; nothing of it is in the encoder. Answered
    /// by [`Input::ChannelRebuilt`], and where that worked by [`Input::MemoryReturned`] for the old memory.
    RebuildChannel {
        /// The channel.
        channel: ChannelKey,
        /// What it encodes from now on.
        setup: ChannelSetup,
        /// Reserved memory for it.
        memory: PhysRange,
        /// The memory that it had.
        old: PhysRange,
    },
    /// Encode the next pictures of a channel with another rate control, frame rate or group of pictures. Nothing of it
    /// is in the encoder.
    TuneChannel {
        /// The channel.
        channel: ChannelKey,
        /// What it encodes: the same size and coding.
        setup: ChannelSetup,
    },
    /// Forget a channel: nothing of it is in flight. Answered by [`Input::MemoryReturned`].
    DestroyChannel {
        /// The channel.
        channel: ChannelKey,
        /// Its memory.
        memory: PhysRange,
    },
    /// Zero and export source memory. A guard page lies on either side of it. Answered by [`Input::LeaseGranted`].
    GrantLease {
        /// The lease.
        lease: LeaseKey,
        /// Its memory.
        memory: PhysRange,
    },
    /// Take exported source memory back. Answered by [`Input::MemoryReturned`].
    RevokeLease {
        /// The lease.
        lease: LeaseKey,
        /// Its memory.
        memory: PhysRange,
    },
    /// Find where the buffer lies whose descriptor rode with the request that is being answered. Answered by
    /// [`Input::Imported`].
    Import {
        /// The import.
        import: ImportKey,
        /// Whose request.
        session: SessionKey,
        /// Bytes of it that will be read.
        len: ByteLen,
    },
    /// Nothing refers to an imported buffer any more.
    ReleaseImport {
        /// The import.
        import: ImportKey,
    },
    /// Make a job ready that is likely started next, while one of another channel is in the encoder. Not answered, and
    /// without effect: what is started may be another job, or the same one without having been made ready.
    Prepare(EncodeJob),
    /// Start a job: exactly one [`Input::JobDone`] follows, also through a reset.
    Submit(EncodeJob),
    /// Put a finished picture into its channel's ring. Answered by [`Input::Delivered`].
    Deliver {
        /// The job.
        job: JobId,
        /// Its channel.
        channel: ChannelKey,
        /// Where in the ring.
        room: PacketRoom,
    },
    /// Give a finished picture's stream buffer back undelivered.
    Discard {
        /// The job.
        job: JobId,
        /// Its channel.
        channel: ChannelKey,
    },
    /// Reset an engine; the job in it has failed. Answered by [`Input::EngineReset`].
    Reset {
        /// The engine.
        engine: EngineId,
    },
    /// Everything is finished after [`Input::Shutdown`].
    Finished {
        /// The engine could not be brought back: ask the supervisor for a restart.
        restart: bool,
    },
    /// Something worth a log line.
    Note(Note),
}

/// Where a packet goes in its channel's ring, and what it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRoom {
    /// Store this as the ring's tail first: what lies before it may be overwritten.
    pub tail: u32,
    /// Position of the packet in the ring's endless byte count.
    pub position: u32,
    /// Room for it, contiguous in the ring.
    pub capacity: ByteLen,
    /// Filler data behind it, inside that room.
    pub filler: ByteLen,
}

/// What descriptor rides with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// None.
    Nothing,
    /// The read-only descriptor of a channel's ring.
    Ring(ChannelKey),
    /// The descriptor of a lease.
    Lease(LeaseKey),
}

/// Why the core closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Too many connections.
    TooManySessions,
    /// The daemon stops.
    Shutdown,
}
