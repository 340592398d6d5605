//! The broker: all state of the daemon's policy, and the four calls by which the shell drives it.
//!
//! What each request and each fact does is in the files beside this one, each an `impl Broker` for one subject:
//! `opening`, `leasing`, `intake`, `stream_control`, `reconfigure`, `reading`, `encoding`, `recovery`, `departure`,
//! `report`.

use crate::core::ahead::Ahead;
use crate::core::arbiter::Arbiter;
use crate::core::channel::Channel;
use crate::core::config::BrokerConfig;
use crate::core::engine::Engine;
use crate::core::event::{Attach, CloseReason, ImportKey, Input, Output, Peer, SessionKey};
use crate::core::heap::ChannelHeap;
use crate::core::importing::Importing;
use crate::core::note::Note;
use crate::core::pool::Pool;
use crate::core::refusal::Refusal;
use crate::core::retirement::Retiring;
use crate::core::role;
use crate::core::schedule::Promise;
use crate::core::session::Session;
use crate::core::sources::{Asker, SourceRules, Sources};
use crate::core::story::Stories;
use crate::core::suspicion::Suspicion;
use crate::core::time::Micros;
use crate::core::timer::{Timer, Timers};
use crate::job::{ChannelKey, JobId};
use avpu_proto::event::Event;
use avpu_proto::limits::SESSIONS_MAX;
use avpu_proto::reply::Reply;
use avpu_proto::request::Request;
use avpu_proto::types::{ChannelId, SubscriptionId};
use std::collections::{BTreeMap, VecDeque};

/// Decides everything; does nothing.
pub struct Broker {
    pub(super) config: BrokerConfig,
    pub(super) now: Micros,
    pub(super) started: Micros,
    outputs: VecDeque<Output>,
    pub(super) sessions: BTreeMap<SessionKey, Session>,
    /// One slot for each channel that may exist; a key is an index.
    pub(super) channels: Vec<Option<Channel>>,
    pub(super) sources: Sources,
    pub(super) pool: Pool,
    /// Memory that the shell was asked to take back and has not answered.
    pub(super) retiring: Vec<Retiring>,
    pub(super) importing: Option<Importing>,
    pub(super) import_next: ImportKey,
    /// A buffer was imported, or the device says that any can be.
    pub(super) import_works: bool,
    pub(super) engine: Engine,
    pub(super) suspicion: Suspicion,
    pub(super) arbiter: Arbiter,
    pub(super) ahead: Ahead,
    pub(super) timers: Timers,
    /// When each channel that was fed is starved.
    pub(super) hunger: ChannelHeap<Micros>,
    pub(super) job_next: JobId,
    pub(super) channel_next: ChannelId,
    pub(super) subscription_next: SubscriptionId,
    pub(super) stage: Stage,
    pub(super) counters: Counters,
    pub(super) stories: Stories,
    pub(super) shell_counters: ShellCounters,
    /// Some channel's state may differ from what was announced.
    pub(super) state_changed: bool,
    /// Kept for its room: what is promised, while it is looked at.
    pub(super) promises: Vec<Promise>,
}

/// Whether the daemon goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It serves.
    Serving,
    /// It stops and waits for the picture in flight.
    Stopping {
        /// Because the engine cannot be brought back, and not because it was told to.
        restart: bool,
    },
    /// Everything is finished and said.
    Finished,
}

/// Sums over all channels that ever were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) pictures: u32,
    pub(super) pictures_failed: u32,
    pub(super) interrupts_spurious: u32,
    pub(super) guards_broken: u32,
    pub(super) tickets_breached: u32,
    pub(super) overruns: u32,
}

/// What the shell counts itself and the status report shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShellCounters {
    /// Log lines lost because the sink did not take them.
    pub log_lines_lost: u32,
    /// Connections closed because their peer broke the protocol or did not read.
    pub clients_expelled: u32,
    /// Bytes of packets copied.
    pub copied_bytes: u64,
}

/// Answer to a request that is not answered later.
pub(super) type Answer = Result<Option<Reply>, Refusal>;

impl Broker {
    /// A broker that has been running since `now`.
    #[must_use]
    pub fn new(config: BrokerConfig, now: Micros) -> Self {
        let rules = SourceRules {
            arena: config.arena,
            windows: config.source_windows.clone(),
            system_memory: config.system_memory.clone(),
            alignment: config.source_alignment,
        };
        let slots = usize::from(config.channels_max);
        Self {
            now,
            started: now,
            outputs: VecDeque::with_capacity(OUTPUTS_EXPECTED),
            sessions: BTreeMap::new(),
            channels: core::iter::repeat_with(|| None).take(slots).collect(),
            sources: Sources::new(rules),
            pool: Pool::new(config.arena),
            retiring: Vec::new(),
            importing: None,
            import_next: ImportKey::FIRST,
            import_works: config.dma_buf_import,
            engine: Engine::new(),
            suspicion: Suspicion::default(),
            arbiter: Arbiter::new(slots),
            ahead: Ahead::default(),
            timers: Timers::new(),
            hunger: ChannelHeap::new(slots),
            job_next: JobId::FIRST,
            channel_next: ChannelId::new(1),
            subscription_next: SubscriptionId::new(1),
            stage: Stage::Serving,
            counters: Counters::default(),
            stories: Stories::new(),
            shell_counters: ShellCounters::default(),
            state_changed: false,
            promises: Vec::with_capacity(slots),
            config,
        }
    }

    /// Takes in what the world did. The outputs must be drained afterwards.
    ///
    /// # Panics
    /// When time goes back.
    pub fn handle(&mut self, now: Micros, input: Input) {
        self.advance(now);
        match input {
            Input::Opened { session, peer } => self.open_session(session, peer),
            Input::Request { session, id, body } => self.handle_request(session, id, body),
            Input::Closed { session } => self.handle_departure(session),
            Input::ChannelCreated { channel, result } => {
                self.handle_channel_created(channel, result);
            }
            Input::ChannelRebuilt { channel, result } => {
                self.handle_channel_rebuilt(channel, result);
            }
            Input::LeaseGranted { lease, result } => self.handle_lease_granted(lease, result),
            Input::Imported { import, result } => self.handle_imported(import, result),
            Input::MemoryReturned { memory, guards } => {
                self.handle_memory_returned(memory, guards);
            }
            Input::JobDone { job, outcome } => self.handle_job_done(job, outcome),
            Input::Delivered { job, len } => self.handle_delivered(job, len),
            Input::EngineReset { engine, ok } => self.handle_engine_reset(engine, ok),
            Input::SpuriousInterrupt => {
                self.counters.interrupts_spurious =
                    self.counters.interrupts_spurious.saturating_add(1);
            }
            Input::Shutdown => self.handle_shutdown(),
        }
        self.settle();
    }

    /// What must be done next, in order; `None` when everything is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Broker::handle_timeout`] must be called at the latest; `None`: never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.timers.next()
    }

    /// Takes in that time has passed. The outputs must be drained afterwards.
    ///
    /// # Panics
    /// When time goes back.
    pub fn handle_timeout(&mut self, now: Micros) {
        self.advance(now);
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Watchdog(engine) => self.handle_overdue(engine),
                Timer::ResetAgain(engine) => self.push(Output::Reset { engine }),
                Timer::Stall(_) => self.handle_stall(),
                Timer::Hunger => self.handle_hunger(),
                Timer::Revocation => self.handle_revocation(),
                Timer::Quarantine => self.handle_quarantine(),
            }
        }
        self.settle();
    }

    /// Takes in the shell's own counters, for the status report.
    pub fn record_shell(&mut self, counters: ShellCounters) {
        self.shell_counters = counters;
    }

    pub(super) fn advance(&mut self, now: Micros) {
        assert!(now >= self.now, "time never goes back");
        self.now = now;
    }

    /// What follows from any input: changed states are announced once, a stop that has nothing to wait for ends.
    fn settle(&mut self) {
        if self.state_changed {
            self.state_changed = false;
            self.announce_states();
        }
        self.release_imports();
        self.finish_stop();
    }

    fn open_session(&mut self, session: SessionKey, peer: Peer) {
        let reason = if self.stage != Stage::Serving {
            Some(CloseReason::Shutdown)
        } else if self.sessions.len() >= usize::from(SESSIONS_MAX) {
            Some(CloseReason::TooManySessions)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.push(Output::Close { session, reason });
            return;
        }
        let role = self.config.rights.role_of(&peer);
        let before = self
            .sessions
            .insert(session, Session::new(peer, role, self.now));
        assert!(
            before.is_none(),
            "a session's key is unique while it is open"
        );
    }

    fn handle_request(&mut self, session: SessionKey, id: u16, body: Option<Request>) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return; // It was closed while its request was on the way.
        };
        state.requests = state.requests.saturating_add(1);
        let asker = Asker {
            session,
            peer: state.peer,
            role: state.role,
        };
        match self.answer(asker, id, body) {
            Ok(Some(reply)) => self.reply(session, id, reply, Attach::Nothing),
            Ok(None) => {}
            Err(refusal) => self.refuse(session, id, &refusal),
        }
        self.start_next();
    }

    fn answer(&mut self, asker: Asker, id: u16, body: Option<Request>) -> Answer {
        let session = asker.session;
        let body = body.ok_or(Refusal::UnknownRequest)?;
        role::check(role::needed(&body), asker.role, &asker.peer)?;
        if let Request::Revoke(_) | Request::ReleaseQuarantine(_) = body {
            self.config.rights.check_control(&asker.peer)?;
        }
        match body {
            Request::Capabilities => Ok(Some(self.capabilities(asker))),
            Request::OpenChannel(wish) => self.open_channel(asker, id, wish),
            Request::CloseChannel(which) => self.close_channel(session, id, which.channel),
            Request::LeaseBuffers(wish) => self.lease_buffers(asker, id, wish),
            Request::ReturnLease(which) => self.return_lease(session, which.lease),
            Request::RegisterRegion(wish) => self.register_region(asker, wish),
            Request::UnregisterRegion(which) => self.unregister_region(session, which.region),
            Request::Submit(frame) => self.submit(asker, id, frame),
            Request::Subscribe(wish) => self.subscribe(asker, id, wish),
            Request::Unsubscribe(which) => self.unsubscribe(session, which.subscription),
            Request::ReleasePackets(which) => self.release_packets(session, id, which),
            Request::RequestIdr(which) => self.request_idr(session, which),
            Request::Drain(which) => self.drain(session, id, which),
            Request::Flush(which) => self.flush(session, which),
            Request::Reset(which) => self.reset(session, which),
            Request::Resume(which) => self.resume(session, which),
            Request::Reconfigure(wish) => self.reconfigure(session, id, wish),
            Request::UserData(wish) => self.user_data(session, wish),
            Request::ParameterSets(which) => self.parameter_sets(which),
            Request::ImportBuffer(wish) => self.import_buffer(session, id, wish),
            Request::Status => Ok(Some(self.status())),
            Request::Channels(page) => Ok(Some(self.channel_page(page))),
            Request::Clients(page) => Ok(Some(self.client_page(page))),
            Request::Memory(page) => Ok(Some(self.memory_page(page))),
            Request::Watch(watch) => self.watch(session, watch.on),
            Request::Revoke(which) => self.revoke_lease(asker, which),
            Request::ReleaseQuarantine(which) => self.release_quarantine(asker, which),
            Request::Explain(which) => self.explain(&which),
            Request::Trace(page) => Ok(Some(self.trace_page(page))),
            Request::Fits(question) => self.fits(question),
        }
    }

    /// Refuses while the daemon stops or the engine is given up.
    pub(super) fn check_serving(&self) -> Result<(), Refusal> {
        if self.engine.is_offline() {
            return Err(Refusal::EngineOffline);
        }
        if self.stage != Stage::Serving {
            return Err(Refusal::ShuttingDown);
        }
        Ok(())
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn note(&mut self, note: Note) {
        self.push(Output::Note(note));
    }

    pub(super) fn reply(&mut self, session: SessionKey, id: u16, body: Reply, attach: Attach) {
        self.push(Output::Reply {
            session,
            id,
            body,
            attach,
        });
    }

    pub(super) fn refuse(&mut self, session: SessionKey, id: u16, refusal: &Refusal) {
        let refused = refusal.to_wire();
        if let Some(state) = self.sessions.get_mut(&session) {
            state.refusals = state.refusals.saturating_add(1);
            let peer = state.peer;
            if refusal.is_about_rights() {
                self.note(Note::Refused {
                    peer,
                    code: refused.code,
                    sentence: refused.sentence.clone(),
                });
            }
        }
        self.reply(session, id, Reply::Refused(refused), Attach::Nothing);
    }

    pub(super) fn event(&mut self, session: SessionKey, body: Event) {
        self.push(Output::Event { session, body });
    }

    /// The channel in a slot.
    pub(super) fn channel(&self, key: ChannelKey) -> Option<&Channel> {
        self.channels.get(usize::from(key.index()))?.as_ref()
    }

    /// The channel in a slot.
    pub(super) fn channel_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.channels.get_mut(usize::from(key.index()))?.as_mut()
    }

    /// All channels, in the order of their slots.
    pub(super) fn all_channels(&self) -> impl DoubleEndedIterator<Item = &Channel> {
        self.channels.iter().flatten()
    }

    /// The open channel with this id.
    pub(super) fn open_by_id(&self, id: ChannelId) -> Result<&Channel, Refusal> {
        let mut channels = self.all_channels();
        channels
            .find(|channel| channel.id == id && channel.is_open())
            .ok_or(Refusal::NoSuchChannel(id))
    }

    /// The open channel with this id if `session` owns it.
    pub(super) fn owned(&self, session: SessionKey, id: ChannelId) -> Result<ChannelKey, Refusal> {
        let channel = self.open_by_id(id)?;
        if channel.owner != Some(session) {
            return Err(Refusal::NotOwner(id));
        }
        Ok(channel.key)
    }

    /// The open channel with this name, or with this id where the name is empty.
    pub(super) fn named(&self, id: ChannelId, name: String) -> Result<ChannelKey, Refusal> {
        if name.is_empty() {
            return self.open_by_id(id).map(|channel| channel.key);
        }
        let mut channels = self.all_channels();
        let found = channels.find(|channel| channel.is_open() && channel.name == name);
        match found {
            Some(channel) => Ok(channel.key),
            None => Err(Refusal::NoSuchName(name)),
        }
    }
}

/// Outputs of one input that are room for without growing: a picture to every reader, and what goes with it.
const OUTPUTS_EXPECTED: usize = 256;
