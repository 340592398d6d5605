//! Carries out what the core decided, on the driver and in the rings, and tells the oracle what came of it.

use crate::world::ring::RingMemory;
use crate::world::seen::Subject;
use crate::world::shell::{Shell, index};
use crate::world::{WINDOW, WINDOW_LEN};
use avpu_proto::types::BufferAccess;
use avpud::codec::filler;
use avpud::codec::join::join;
use avpud::core::event::{
    Attach, Guards, Input, LeaseKey, NotImported, Output, PacketRoom, SessionKey,
};
use avpud::device::{Caching, Device, guard};
use avpud::driver::Completion;
use avpud::hw::cmdlist::AddressWord;
use avpud::hw::layout::{ChannelLayout, StreamLayout};
use avpud::job::{ChannelKey, EncodeJob, JobId, JobOutcome, PictureHeader};
use avpud::mem::map::MappedRegion;
use avpud::mem::{ByteLen, PhysAddr, PhysRange, RegionOffset};
use avpud::picture::{ChannelSetup, PictureKind};
use std::rc::Rc;

/// What is held for a channel.
pub(super) struct Channel {
    ring: Rc<RingMemory>,
    memory: PhysRange,
    pub(super) setup: ChannelSetup,
    /// What was made of its stream buffers; they stay when it is changed.
    pub(super) stream: StreamLayout,
    /// Its command lists, as the device sees them.
    pub(super) lists: MappedRegion,
}

impl Shell {
    fn answer(&mut self, input: Input) {
        self.broker.handle(self.now, input);
    }

    pub(super) fn act(&mut self, output: Output) {
        match output {
            Output::Reply {
                session,
                id,
                body,
                attach,
            } => {
                let ring = match attach {
                    Attach::Ring(channel) => self.channel(channel).map(|c| Rc::clone(&c.ring)),
                    Attach::Nothing | Attach::Lease(_) => None,
                };
                let peered = self.peers.get_mut(index(session));
                if let Some(Some(peered)) = peered
                    && !peered.pipe.reply(id, &body, ring)
                {
                    self.oracle.seen.count(Subject::Happened, "client expelled");
                    self.expel(session);
                }
            }
            Output::Event { session, body } => {
                let peered = self.peers.get_mut(index(session));
                if let Some(Some(peered)) = peered
                    && !peered.pipe.event(&body)
                {
                    self.oracle.seen.count(Subject::Happened, "client expelled");
                    self.expel(session);
                }
            }
            Output::Close { session, .. } => self.expel(session),
            Output::CreateChannel {
                channel,
                setup,
                memory,
                ring_bytes,
                ..
            } => {
                let result = self.create(channel, &setup, memory, ring_bytes);
                if result.is_err() {
                    self.oracle.not_created(channel);
                }
                self.answer(Input::ChannelCreated { channel, result });
            }
            Output::RebuildChannel {
                channel,
                setup,
                memory,
                old,
            } => {
                let result = self.rebuild(channel, &setup, memory);
                let worked = result.is_ok();
                self.oracle.rebuilt(channel, worked.then_some(memory));
                self.answer(Input::ChannelRebuilt { channel, result });
                if worked {
                    let guards = self.inspect(old);
                    self.answer(Input::MemoryReturned {
                        memory: old,
                        guards,
                    });
                }
            }
            Output::TuneChannel { channel, setup } => {
                let slot = self.rings.get_mut(usize::from(channel.index()));
                let open = slot.expect("a channel within the limit").as_mut();
                open.expect("a channel that is open").setup = setup;
                let tuned = self.engine.tune_channel(channel, &setup);
                tuned.expect("a channel of which nothing is in the encoder can be changed");
            }
            Output::DestroyChannel { channel, memory } => {
                let guards = self.destroy(channel, memory);
                self.answer(Input::MemoryReturned { memory, guards });
            }
            Output::GrantLease { lease, memory } => {
                let result = self.grant(lease, memory);
                self.answer(Input::LeaseGranted { lease, result });
            }
            Output::RevokeLease { memory, .. } => {
                let withdrawn = self.engine.device().withdraw(memory);
                withdrawn.expect("what was granted can be taken back");
                let guards = self.inspect(memory);
                self.answer(Input::MemoryReturned { memory, guards });
            }
            Output::Import {
                import,
                session,
                len,
            } => {
                let result = self.locate(session, len);
                self.oracle.located(import, result.is_ok());
                self.answer(Input::Imported { import, result });
            }
            Output::ReleaseImport { import } => self.oracle.released_import(import),
            Output::Prepare(job) => self.prepare(&job),
            Output::Submit(job) => self.start(&job),
            Output::Deliver { job, channel, room } => {
                let len = self.deliver(job, channel, room);
                self.answer(Input::Delivered { job, len });
            }
            Output::Discard { job, channel } => {
                self.take_header(job);
                self.oracle.lost(channel, job);
                let released = self.engine.release_payload(channel, job);
                released.expect("a picture that was encoded has slice data");
            }
            Output::Reset { engine } => {
                let report = self.engine.reset();
                if let Some(lost) = report.lost {
                    self.take_header(lost.job);
                    self.oracle.lost(lost.channel, lost.job);
                }
                let ok = report.result.is_ok();
                if ok {
                    self.oracle.engine_done(self.now);
                }
                self.answer(Input::EngineReset { engine, ok });
            }
            Output::Finished { .. } => {
                self.finished = true;
                self.oracle.finished();
            }
            Output::Note(_) => {}
        }
    }

    pub(super) fn channel(&self, channel: ChannelKey) -> Option<&Channel> {
        self.rings.get(usize::from(channel.index()))?.as_ref()
    }

    fn set_up_fails(&mut self) -> Result<(), String> {
        match core::mem::take(&mut self.next_set_up_fails) {
            true => Err("no descriptor left".to_owned()),
            false => Ok(()),
        }
    }

    fn create(
        &mut self,
        channel: ChannelKey,
        setup: &ChannelSetup,
        memory: PhysRange,
        ring_bytes: ByteLen,
    ) -> Result<(), String> {
        self.set_up_fails()?;
        guard::lay(self.engine.device(), memory).map_err(|error| error.to_string())?;
        let opened = self.engine.open_channel(channel, setup, memory);
        opened.map_err(|error| error.to_string())?;
        let lists = self.lists(setup, memory);
        let slot = self.rings.get_mut(usize::from(channel.index()));
        *slot.expect("a channel within the limit") = Some(Channel {
            ring: Rc::new(RingMemory::new(ring_bytes.value())),
            memory,
            setup: *setup,
            stream: stream_layout(setup),
            lists,
        });
        Ok(())
    }

    fn rebuild(
        &mut self,
        channel: ChannelKey,
        setup: &ChannelSetup,
        memory: PhysRange,
    ) -> Result<(), String> {
        self.set_up_fails()?;
        guard::lay(self.engine.device(), memory).map_err(|error| error.to_string())?;
        let replaced = self.engine.replace_channel(channel, setup, memory);
        let violations = replaced.map_err(|error| error.to_string())?;
        if let Ok(violations) = violations {
            assert_eq!(violations, [], "the encoder wrote beyond a buffer");
        }
        let lists = self.lists(setup, memory);
        let slot = self.rings.get_mut(usize::from(channel.index()));
        let channel = slot.expect("a channel within the limit").as_mut();
        let channel = channel.expect("a channel that is open");
        (channel.memory, channel.lists) = (memory, lists);
        (channel.setup, channel.stream) = (*setup, stream_layout(setup));
        Ok(())
    }

    /// The command lists of a channel in this memory, as the device sees them.
    fn lists(&mut self, setup: &ChannelSetup, memory: PhysRange) -> MappedRegion {
        let lists = ChannelLayout::new(setup).expect("it is open").ring();
        let lists = memory.sub(lists.offset, lists.len).expect("inside");
        let page = RegionOffset::new(lists.start().value() / 4096 * 4096 - memory.start().value());
        let len = lists.last().value() - memory.start().value() - page.value() + 1;
        let pages = memory.sub(page, ByteLen::new(len.next_multiple_of(4096)));
        let device = self.engine.device();
        let lists = device.map(pages.expect("inside"), Caching::Uncached);
        lists.expect("the model maps its memory")
    }

    fn destroy(&mut self, channel: ChannelKey, memory: PhysRange) -> Guards {
        if let Some(slot) = self.rings.get_mut(usize::from(channel.index())) {
            *slot = None;
        }
        match self.engine.close_channel(channel) {
            Ok(violations) => assert_eq!(violations, [], "the encoder wrote beyond a buffer"),
            Err(error) => {
                // Its guards could not be read, or its picture is in an encoder that was given up.
                assert!(
                    self.oracle.offline || self.engine.device().failed > 0,
                    "a channel is not closed: {error}"
                );
                return Guards::Unseen;
            }
        }
        self.inspect(memory)
    }

    /// Looks at the pages around memory that comes back.
    fn inspect(&mut self, memory: PhysRange) -> Guards {
        let pages = guard::inspect(self.engine.device(), memory);
        let pages = pages.expect("the model maps its memory");
        assert_eq!(pages, [None, None], "somebody wrote beyond its memory");
        Guards::Intact
    }

    fn grant(&mut self, lease: LeaseKey, memory: PhysRange) -> Result<BufferAccess, String> {
        if let Err(cause) = self.set_up_fails() {
            self.oracle.not_granted(lease);
            return Err(cause);
        }
        guard::lay(self.engine.device(), memory).map_err(|error| error.to_string())?;
        let export = self.engine.device().export(memory);
        export.expect("memory that nobody has can be exported");
        Ok(BufferAccess::None)
    }

    /// Where the buffer lies whose descriptor came along. The kernel knows of none where there is no memory.
    fn locate(&mut self, session: SessionKey, len: ByteLen) -> Result<PhysRange, NotImported> {
        let peered = self.peers.get_mut(index(session)).and_then(Option::as_mut);
        let address = peered.and_then(|peered| peered.pipe.rider.take());
        let arena = self.engine.device().capabilities().arena;
        let window = PhysRange::new(PhysAddr::new(WINDOW), ByteLen::new(WINDOW_LEN));
        let found = address.and_then(|address| PhysRange::new(PhysAddr::new(address), len).ok());
        found
            .filter(|range| {
                let memory = window.iter().chain([&arena]);
                memory
                    .into_iter()
                    .any(|memory| memory.contains_range(*range))
            })
            .ok_or_else(|| NotImported::Failed("no buffer".to_owned()))
    }

    fn start(&mut self, job: &EncodeJob) {
        self.headers.push((job.id, job.header));
        self.engine.device().list = None;
        match self.engine.start(job) {
            Ok(()) => {
                self.check_addresses(job);
                self.check_list(job);
            }
            Err(error) => self.job_done(Completion {
                job: job.id,
                channel: job.channel,
                outcome: JobOutcome::Failed(self.engine.failure_of(&error)),
                error: Some(error),
            }),
        }
    }

    /// Every address that the encoder was given belongs to the job's channel, or to its frame.
    fn check_addresses(&mut self, job: &EncodeJob) {
        let list = self.engine.device().list.expect("a list was started");
        let channel = self.channel(job.channel).expect("a live channel");
        let at = channel.lists.range().offset_of(PhysAddr::new(list));
        let at = at.expect("the list lies in its channel").value();
        for address in AddressWord::ALL {
            let word = u32::from(address.word());
            let offset = RegionOffset::new(at + 4 * word);
            let value = channel.lists.read_word(offset).expect("inside");
            let refers = [
                AddressWord::REF_LUMA,
                AddressWord::REF_CHROMA,
                AddressWord::REF_VECTORS,
                AddressWord::REF_LUMA_MAP,
                AddressWord::REF_CHROMA_MAP,
            ];
            if value == 0 || (job.kind == PictureKind::Idr && refers.contains(&address)) {
                continue;
            }
            let sources = [AddressWord::SOURCE_LUMA, AddressWord::SOURCE_CHROMA];
            let owner = if sources.contains(&address) {
                job.source
            } else {
                channel.memory
            };
            assert!(
                owner.contains(PhysAddr::new(value)),
                "word {word:#x} names {value:#010x}, which is not in {owner}"
            );
        }
    }

    pub(super) fn job_done(&mut self, completion: Completion) {
        let Completion {
            job,
            channel,
            outcome,
            ..
        } = completion;
        self.oracle.engine_done(self.now);
        if let JobOutcome::Failed(_) = outcome {
            self.take_header(job);
            self.oracle.lost(channel, job);
        }
        self.answer(Input::JobDone { job, outcome });
    }

    fn deliver(&mut self, job: JobId, channel: ChannelKey, room: PacketRoom) -> Option<ByteLen> {
        let header = self.take_header(job).expect("a picture has its header");
        let mut packet = Vec::new();
        let payload = self.engine.payload(channel, job);
        let read = payload.map(|payload| {
            let mut write = |bytes: &[u8]| {
                packet.extend_from_slice(bytes);
                Ok(())
            };
            let len = payload.len_bytes();
            join(
                header.bytes(),
                len,
                |at, into| payload.read(at, into),
                &mut write,
            )?;
            filler::write(room.filler.value(), write)
        });
        let is_read = matches!(read, Ok(Ok(())));
        self.trace.record_packet(&packet);
        let released = self.engine.release_payload(channel, job);
        released.expect("a picture that was encoded has slice data");
        let fails = core::mem::take(&mut self.next_delivery_fails) || !is_read;
        let ring = self.channel(channel).map(|held| Rc::clone(&held.ring));
        let len = ring
            .filter(|_| !fails)
            .and_then(|ring| ring.write(room.tail, room.position, room.capacity.value(), &packet));
        self.oracle.delivered(job, channel, len);
        len.map(ByteLen::new)
    }

    fn take_header(&mut self, job: JobId) -> Option<PictureHeader> {
        let index = self.headers.iter().position(|(id, _)| *id == job)?;
        Some(self.headers.swap_remove(index).1)
    }
}

fn stream_layout(setup: &ChannelSetup) -> StreamLayout {
    ChannelLayout::new(setup)
        .expect("it is open")
        .stream_layout()
}
