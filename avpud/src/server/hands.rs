//! Carries out what the core decided: replies and events to peers, jobs to the driver, pictures into rings.

use super::connection::Fault;
use super::ring::Ring;
use super::{End, Server, clock};
use crate::codec::filler;
use crate::codec::join::join;
use crate::core::event::{
    Attach, CloseReason, Guards, Input, LeaseKey, Output, PacketRoom, SessionKey,
};
use crate::device::{Caching, Device, Export, guard};
use crate::driver::Completion;
use crate::job::{ChannelKey, EncodeJob, JobId, JobOutcome, PictureHeader};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::ChannelSetup;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::ring::RingLayout;
use avpu_proto::types::{BufferAccess, ChannelId, Epoch};
use avpu_proto::version::{DaemonHello, Reason};
use slog::{debug, error};
use std::io;
use std::os::fd::OwnedFd;

/// Jobs whose header is kept: the one in the encoder, and the one before it until it is delivered.
const HEADERS_MAX: usize = 4;

/// What the shell holds for the core's channels, jobs and leases.
#[derive(Debug)]
pub(super) struct Holdings {
    epoch: Epoch,
    /// Where a channel's key points.
    rings: Vec<Option<Ring>>,
    headers: Vec<(JobId, PictureHeader)>,
    /// Descriptors of leases that were granted and not yet handed out.
    leases: Vec<(LeaseKey, OwnedFd)>,
    copied_bytes: u64,
}

impl Holdings {
    pub(super) fn new(epoch: Epoch, channels_max: u16) -> Self {
        let mut rings = Vec::new();
        rings.resize_with(usize::from(channels_max), || None);
        Self {
            epoch,
            rings,
            headers: Vec::with_capacity(HEADERS_MAX),
            leases: Vec::new(),
            copied_bytes: 0,
        }
    }

    /// Bytes of packets that were copied.
    pub(super) const fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    fn ring(&self, channel: ChannelKey) -> Option<&Ring> {
        self.rings.get(usize::from(channel.index()))?.as_ref()
    }

    fn take_header(&mut self, job: JobId) -> Option<PictureHeader> {
        let index = self.headers.iter().position(|(id, _)| *id == job)?;
        Some(self.headers.swap_remove(index).1)
    }

    fn take_lease(&mut self, lease: LeaseKey) -> Option<OwnedFd> {
        let index = self.leases.iter().position(|(key, _)| *key == lease)?;
        Some(self.leases.swap_remove(index).1)
    }

    /// The descriptor that rides with a reply.
    fn attached(&mut self, attach: Attach) -> io::Result<Option<OwnedFd>> {
        match attach {
            Attach::Nothing => Ok(None),
            Attach::Ring(channel) => self.ring(channel).map(Ring::reader).transpose(),
            Attach::Lease(lease) => Ok(self.take_lease(lease)),
        }
    }
}

impl<D: Device> Server<D> {
    /// Carries out everything that the core wants, and tells it of sessions that ended meanwhile.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.broker.poll_output() {
                self.act(output);
            }
            let Some(session) = self.departed.pop() else {
                return;
            };
            self.broker.handle(self.now, Input::Closed { session });
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Reply {
                session,
                id,
                body,
                attach,
            } => self.reply(session, id, &body, attach),
            Output::Event { session, body } => self.event(session, &body),
            Output::Close { session, reason } => self.dismiss(session, reason),
            Output::CreateChannel {
                channel,
                id,
                setup,
                memory,
                ring_bytes,
            } => {
                let result = self.create_channel(channel, id, &setup, memory, ring_bytes);
                self.answer(Input::ChannelCreated { channel, result });
            }
            Output::RebuildChannel {
                channel,
                setup,
                memory,
                old,
            } => self.rebuild_channel(channel, &setup, memory, old),
            Output::TuneChannel { channel, setup } => {
                if let Err(cause) = self.engine.tune_channel(channel, &setup) {
                    error!(self.log, "a channel was not changed"; "channel" => channel.index(),
                        "cause" => %cause);
                }
            }
            Output::DestroyChannel { channel, memory } => {
                let guards = self.destroy_channel(channel, memory);
                self.answer(Input::MemoryReturned { memory, guards });
            }
            Output::GrantLease { lease, memory } => {
                let result = self.grant(lease, memory);
                self.answer(Input::LeaseGranted { lease, result });
            }
            Output::RevokeLease { lease, memory } => {
                drop(self.holdings.take_lease(lease));
                let guards = self.withdraw(memory);
                self.answer(Input::MemoryReturned { memory, guards });
            }
            Output::Import {
                import,
                session,
                len,
            } => {
                let result = self.import(import, session, len);
                self.answer(Input::Imported { import, result });
            }
            Output::ReleaseImport { import } => self.release_import(import),
            Output::Prepare(job) => self.prepare(&job),
            Output::Submit(job) => self.submit(&job),
            Output::Deliver { job, channel, room } => {
                let len = self.deliver(job, channel, room);
                // The time that the copy took is part of what the core reports.
                self.now = clock::now();
                self.answer(Input::Delivered { job, len });
            }
            Output::Discard { job, channel } => {
                self.holdings.take_header(job);
                self.release(job, channel);
            }
            Output::Reset { engine } => {
                let report = self.engine.reset();
                if let Some(lost) = report.lost {
                    self.holdings.take_header(lost.job);
                }
                if let Err(cause) = &report.result {
                    error!(self.log, "the encoder did not reset"; "cause" => %cause);
                }
                let ok = report.result.is_ok();
                self.answer(Input::EngineReset { engine, ok });
            }
            Output::Finished { restart } => {
                self.end = Some(if restart { End::Restart } else { End::Done });
            }
            Output::Note(note) => self.record(&note),
        }
    }

    /// The result of an output goes in before anything else; what follows from it waits behind the outputs before it.
    fn answer(&mut self, input: Input) {
        self.broker.handle(self.now, input);
    }

    fn reply(&mut self, session: SessionKey, id: u16, body: &Reply, attach: Attach) {
        let descriptor = self.holdings.attached(attach);
        let Some(entry) = self.peers.get(session).filter(|entry| entry.is_open()) else {
            return;
        };
        let sent = match descriptor {
            Ok(descriptor) => entry.connection.reply(id, body, descriptor),
            Err(error) => Err(Fault::Io(error)),
        };
        if let Err(fault) = sent {
            self.expel(session, &fault);
        }
    }

    fn event(&mut self, session: SessionKey, body: &Event) {
        let Some(entry) = self.peers.get(session).filter(|entry| entry.is_open()) else {
            return;
        };
        if let Err(fault) = entry.connection.event(body) {
            self.expel(session, &fault);
        }
    }

    fn dismiss(&mut self, session: SessionKey, reason: CloseReason) {
        let now = self.now;
        let Some(entry) = self.peers.get(session) else {
            return;
        };
        let reason = match reason {
            CloseReason::TooManySessions => Reason::TooManyClients,
            CloseReason::Shutdown => Reason::ShuttingDown,
        };
        entry.turn_away(DaemonHello::refused(reason), now);
        let peer = entry.connection.peer();
        if core::mem::take(&mut entry.in_core) {
            self.departed.push(session);
        }
        if reason == Reason::TooManyClients {
            self.record_turned_away(peer, reason);
        }
    }

    fn create_channel(
        &mut self,
        channel: ChannelKey,
        id: ChannelId,
        setup: &ChannelSetup,
        memory: PhysRange,
        ring_bytes: ByteLen,
    ) -> Result<(), String> {
        let layout = RingLayout::new(ring_bytes.value(), self.holdings.epoch, id)
            .map_err(|error| error.to_string())?;
        let ring = Ring::new(layout).map_err(|error| format!("making a ring: {error}"))?;
        let slot = self
            .holdings
            .rings
            .get_mut(usize::from(channel.index()))
            .ok_or("expected a channel within the limit")?;
        guard::lay(self.engine.device(), memory).map_err(|error| error.to_string())?;
        self.engine
            .open_channel(channel, setup, memory)
            .map_err(|error| error.to_string())?;
        *slot = Some(ring);
        Ok(())
    }

    fn rebuild_channel(
        &mut self,
        channel: ChannelKey,
        setup: &ChannelSetup,
        memory: PhysRange,
        old: PhysRange,
    ) {
        let laid = guard::lay(self.engine.device(), memory).map_err(|error| error.to_string());
        let replaced = laid.and_then(|()| {
            let replaced = self.engine.replace_channel(channel, setup, memory);
            replaced.map_err(|error| error.to_string())
        });
        match replaced {
            Ok(closed) => {
                let guards = self.inspect_channel(channel, old, closed);
                let result = Ok(());
                self.answer(Input::ChannelRebuilt { channel, result });
                self.answer(Input::MemoryReturned {
                    memory: old,
                    guards,
                });
            }
            Err(sentence) => {
                let result = Err(sentence);
                self.answer(Input::ChannelRebuilt { channel, result });
            }
        }
    }

    fn destroy_channel(&mut self, channel: ChannelKey, memory: PhysRange) -> Guards {
        if let Some(slot) = self.holdings.rings.get_mut(usize::from(channel.index())) {
            *slot = None;
        }
        self.close_channel(channel, memory)
    }

    fn grant(&mut self, lease: LeaseKey, memory: PhysRange) -> Result<BufferAccess, String> {
        guard::lay(self.engine.device(), memory).map_err(|error| error.to_string())?;
        let export = self.engine.device().export(memory);
        match export.map_err(|error| error.to_string())? {
            Export::None => Ok(BufferAccess::None),
            Export::Descriptor {
                fd,
                offset_bytes,
                caching,
            } => {
                let fd = fd.try_clone_to_owned().map_err(|error| error.to_string())?;
                self.holdings.leases.push((lease, fd));
                Ok(BufferAccess::Descriptor {
                    offset_bytes,
                    cached: caching == Caching::Cached,
                })
            }
            Export::PhysicalDevice {
                path,
                offset_bytes,
                caching,
            } => Ok(BufferAccess::PhysicalDevice {
                path: path.to_owned(),
                offset_bytes,
                cached: caching == Caching::Cached,
            }),
        }
    }

    fn prepare(&mut self, job: &EncodeJob) {
        if let Err(cause) = self.engine.prepare(job)
            && let Some(suppressed) = self.rate.allow(self.now)
        {
            debug!(self.log, "a picture was not made ready"; "channel" => job.channel.index(),
                "cause" => %cause, "suppressed" => suppressed);
        }
    }

    fn submit(&mut self, job: &EncodeJob) {
        self.holdings.headers.push((job.id, job.header));
        if let Err(error) = self.engine.start(job) {
            self.job_done(Completion {
                job: job.id,
                channel: job.channel,
                outcome: JobOutcome::Failed(self.engine.failure_of(&error)),
                error: Some(error),
            });
        }
    }

    /// Tells the core how a job ended; its outputs are carried out by whoever settles.
    pub(super) fn job_done(&mut self, completion: Completion) {
        let Completion {
            job,
            channel,
            outcome,
            error,
        } = completion;
        if let JobOutcome::Failed(_) = outcome {
            self.holdings.take_header(job);
        }
        if let Some(cause) = error
            && let Some(suppressed) = self.rate.allow(self.now)
        {
            error!(self.log, "the driver gave a picture up"; "channel" => channel.index(),
                "cause" => %cause, "suppressed" => suppressed);
        }
        self.answer(Input::JobDone { job, outcome });
    }

    /// Joins header and slice data in the channel's ring, and gives the stream buffer back. `None`: no packet came of it.
    fn deliver(&mut self, job: JobId, channel: ChannelKey, room: PacketRoom) -> Option<ByteLen> {
        let header = self.holdings.take_header(job);
        let len = self.copy(job, channel, header.as_ref(), room);
        self.release(job, channel);
        len
    }

    fn copy(
        &mut self,
        job: JobId,
        channel: ChannelKey,
        header: Option<&PictureHeader>,
        room: PacketRoom,
    ) -> Option<ByteLen> {
        let mut copied = 0_u64;
        let ring = self.holdings.ring(channel)?;
        let payload = match self.engine.payload(channel, job) {
            Ok(payload) => payload,
            Err(cause) => {
                error!(self.log, "slice data cannot be read"; "cause" => %cause);
                return None;
            }
        };
        let mut packet = ring.begin(room.tail, room.position, room.capacity).ok()?;
        let mut push = |piece: &[u8]| {
            copied += u64::try_from(piece.len()).unwrap_or(0);
            packet.push(piece).then_some(()).ok_or(NoPacket)
        };
        let joined = join(
            header?.bytes(),
            payload.len_bytes(),
            |offset, into| payload.read(offset, into).map_err(|_| NoPacket),
            &mut push,
        )
        .and_then(|_| filler::write(room.filler.value(), push));
        let len = joined.ok().and_then(|()| packet.finish().ok());
        self.holdings.copied_bytes += copied;
        len
    }

    fn release(&mut self, job: JobId, channel: ChannelKey) {
        if let Err(cause) = self.engine.release_payload(channel, job) {
            error!(self.log, "a stream buffer was not given back"; "cause" => %cause);
        }
    }
}

/// A packet could not be made.
struct NoPacket;
