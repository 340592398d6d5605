//! A broker with a scripted shell around it: set-up is granted at once, the engine does what the script says.

use crate::core::Broker;
use crate::core::config::BrokerConfig;
use crate::core::event::{Attach, Guards, ImportKey, Input, NotImported, Output, Peer, SessionKey};
use crate::core::note::Note;
use crate::core::time::Micros;
use crate::job::{
    ChannelKey, EncodeJob, EncodedPicture, EngineId, JobFailure, JobId, JobOutcome, PictureStats,
};
use crate::mem::addr::{ByteLen, PhysRange};
use crate::picture::ChannelSetup;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, Packet, SourceReleased};
use avpu_proto::reply::{BuffersLeased, ChannelOpened, Reply, Subscribed};
use avpu_proto::request::{LeaseBuffers, OpenChannel, Request, Submit, Subscribe};
use avpu_proto::types::{Address, BufferAccess, ChannelId, FrameEnd, Join, RateControl};
use std::collections::VecDeque;

pub(super) use super::config::{ARENA, ARENA_LEN, WINDOW, WINDOW_LEN, config, range};

pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Micros,
    /// What came out and was not asked for by the script yet.
    pub(super) replies: Vec<(SessionKey, u16, Reply, Attach)>,
    pub(super) events: Vec<(SessionKey, Event)>,
    pub(super) jobs: VecDeque<EncodeJob>,
    pub(super) notes: Vec<Note>,
    /// Everything, in order, as its name and number.
    pub(super) trace: Vec<String>,
    /// The next delivery does not fit.
    pub(super) delivery_fails: bool,
    /// The next set-up is refused by the shell.
    pub(super) setup_fails: bool,
    /// Resets are answered by the script.
    pub(super) resets_asked: u32,
    pub(super) destroyed: Vec<ChannelKey>,
    /// How leased memory is reached.
    pub(super) access: BufferAccess,
    /// What the guards of the memory that comes back next say.
    pub(super) guards: Guards,
    /// What the next buffers are imported as.
    pub(super) import: Result<PhysRange, NotImported>,
    pub(super) released_imports: Vec<ImportKey>,
    pub(super) finished: Option<bool>,
    /// What channels were changed to.
    pub(super) tuned: Vec<ChannelSetup>,
    pub(super) rebuilt: Vec<ChannelSetup>,
    /// Jobs that were made ready.
    pub(super) prepared: Vec<EncodeJob>,
    request_next: u16,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: BrokerConfig) -> Self {
        Self::starting_at(Micros::new(1_000_000), config)
    }

    pub(super) fn starting_at(now: Micros, config: BrokerConfig) -> Self {
        Self {
            broker: Broker::new(config, now),
            now,
            replies: Vec::new(),
            events: Vec::new(),
            jobs: VecDeque::new(),
            notes: Vec::new(),
            trace: Vec::new(),
            delivery_fails: false,
            setup_fails: false,
            resets_asked: 0,
            destroyed: Vec::new(),
            access: BufferAccess::Descriptor {
                offset_bytes: 0,
                cached: true,
            },
            guards: Guards::Intact,
            import: Err(NotImported::Unsupported("no buffers here".to_owned())),
            released_imports: Vec::new(),
            finished: None,
            tuned: Vec::new(),
            rebuilt: Vec::new(),
            prepared: Vec::new(),
            request_next: 0,
        }
    }

    /// A connection with its number as process; user 0 and so with the raw right only for number 0.
    pub(super) fn connect(&mut self, number: u32) -> SessionKey {
        self.connect_as(number, 1000)
    }

    /// The same with a group.
    pub(super) fn connect_as(&mut self, number: u32, gid: u32) -> SessionKey {
        self.connect_of(number, number, gid)
    }

    /// A connection with its number as process, of any user.
    pub(super) fn connect_of(&mut self, number: u32, uid: u32, gid: u32) -> SessionKey {
        let session = SessionKey::new(number);
        let pid = 100 + number;
        let peer = Peer { pid, uid, gid };
        self.feed(Input::Opened { session, peer });
        session
    }

    pub(super) fn feed(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.drain();
        self.look_ahead();
    }

    pub(super) fn pass(&mut self, us: u64) {
        self.now = self.now.plus_us(us);
        if self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
            self.broker.handle_timeout(self.now);
            self.drain();
            self.look_ahead();
        }
    }

    /// What the shell does before it waits.
    fn look_ahead(&mut self) {
        let timeout = self.broker.poll_timeout();
        self.broker.look_ahead(self.now);
        while let Some(output) = self.broker.poll_output() {
            let Output::Prepare(job) = output else {
                panic!("looking ahead leads to {output:?}");
            };
            self.prepared.push(job);
        }
        assert_eq!(self.broker.poll_timeout(), timeout, "a guess sets no timer");
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            self.trace.push(name_of(&output));
            match output {
                Output::Reply {
                    session,
                    id,
                    body,
                    attach,
                } => self.replies.push((session, id, body, attach)),
                Output::Event { session, body } => self.events.push((session, body)),
                Output::CreateChannel { channel, .. } => {
                    let result = self.setup_result(());
                    self.broker
                        .handle(self.now, Input::ChannelCreated { channel, result });
                }
                Output::RebuildChannel {
                    channel,
                    setup,
                    memory,
                    old,
                } => {
                    assert_ne!(
                        memory, old,
                        "the old memory is kept until the new one is ready"
                    );
                    let result = self.setup_result(());
                    let worked = result.is_ok();
                    self.broker
                        .handle(self.now, Input::ChannelRebuilt { channel, result });
                    if worked {
                        self.rebuilt.push(setup);
                        let guards = Guards::Intact;
                        let memory = old;
                        self.broker
                            .handle(self.now, Input::MemoryReturned { memory, guards });
                    }
                }
                Output::GrantLease { lease, .. } => {
                    let result = self.setup_result(self.access.clone());
                    self.broker
                        .handle(self.now, Input::LeaseGranted { lease, result });
                }
                Output::Deliver { job, room, .. } => {
                    let fails = core::mem::take(&mut self.delivery_fails);
                    // The header is left out: what matters is that it is not more than there is room for.
                    let len = ByteLen::new(room.capacity.value() / 3 * 2);
                    let len = (!fails).then_some(len);
                    self.broker.handle(self.now, Input::Delivered { job, len });
                }
                Output::Prepare(_) => panic!("made ready before everything else was done"),
                Output::Submit(job) => self.jobs.push_back(job),
                Output::Note(note) => self.notes.push(note),
                Output::Reset { .. } => self.resets_asked += 1,
                Output::DestroyChannel { channel, memory } => {
                    self.destroyed.push(channel);
                    self.give_back(memory);
                }
                Output::TuneChannel { setup, .. } => self.tuned.push(setup),
                Output::RevokeLease { memory, .. } => self.give_back(memory),
                Output::Import { import, .. } => {
                    let result = self.import.clone();
                    self.broker
                        .handle(self.now, Input::Imported { import, result });
                }
                Output::ReleaseImport { import } => self.released_imports.push(import),
                Output::Finished { restart } => self.finished = Some(restart),
                Output::Close { session, .. } => {
                    self.broker.handle(self.now, Input::Closed { session });
                }
                Output::Discard { .. } => {}
            }
        }
    }

    fn give_back(&mut self, memory: PhysRange) {
        let guards = core::mem::replace(&mut self.guards, Guards::Intact);
        self.broker
            .handle(self.now, Input::MemoryReturned { memory, guards });
    }

    fn setup_result<T>(&mut self, value: T) -> Result<T, String> {
        if core::mem::take(&mut self.setup_fails) {
            Err("no descriptor left".into())
        } else {
            Ok(value)
        }
    }

    /// Asks and takes the reply; there is exactly one.
    pub(super) fn ask(&mut self, session: SessionKey, body: Request) -> Reply {
        let id = self.ask_later(session, body);
        self.answer_to(session, id).expect("a reply at once")
    }

    /// Asks without expecting the reply yet.
    pub(super) fn ask_later(&mut self, session: SessionKey, body: Request) -> u16 {
        let id = self.request_next;
        self.request_next = id.wrapping_add(1);
        let body = Some(body);
        self.feed(Input::Request { session, id, body });
        id
    }

    pub(super) fn answer_to(&mut self, session: SessionKey, id: u16) -> Option<Reply> {
        let answers = |r: &(SessionKey, u16, Reply, Attach)| r.0 == session && r.1 == id;
        let index = self.replies.iter().position(answers)?;
        let (_, _, reply, _) = self.replies.remove(index);
        assert!(!self.replies.iter().any(answers), "one reply for a request");
        Some(reply)
    }

    pub(super) fn refused(&mut self, session: SessionKey, body: Request) -> ErrorCode {
        match self.ask(session, body) {
            Reply::Refused(refusal) => refusal.code,
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    pub(super) fn open(&mut self, session: SessionKey, wish: OpenChannel) -> ChannelOpened {
        match self.ask(session, Request::OpenChannel(wish)) {
            Reply::ChannelOpened(opened) => opened,
            other => panic!("expected an open channel, found {other:?}"),
        }
    }

    pub(super) fn lease(
        &mut self,
        session: SessionKey,
        channel: ChannelId,
        count: u8,
    ) -> BuffersLeased {
        match self.ask(
            session,
            Request::LeaseBuffers(LeaseBuffers { channel, count }),
        ) {
            Reply::BuffersLeased(leased) => leased,
            other => panic!("expected leased buffers, found {other:?}"),
        }
    }

    pub(super) fn subscribe(
        &mut self,
        session: SessionKey,
        channel: ChannelId,
        join: Join,
        credits: u16,
    ) -> Subscribed {
        let wish = Subscribe {
            channel,
            join,
            credits,
            name: String::new(),
        };
        match self.ask(session, Request::Subscribe(wish)) {
            Reply::Subscribed(subscribed) => subscribed,
            other => panic!("expected a subscription, found {other:?}"),
        }
    }

    /// A connection with a small channel and one leased buffer.
    pub(super) fn ready_channel(&mut self, number: u32) -> (SessionKey, ChannelId, Address) {
        self.ready_with(number, small())
    }

    /// The same with another channel.
    pub(super) fn ready_with(
        &mut self,
        number: u32,
        wish: OpenChannel,
    ) -> (SessionKey, ChannelId, Address) {
        let session = self.connect(number);
        self.ready_for(session, wish)
    }

    /// The same for a connection that is there.
    pub(super) fn ready_for(
        &mut self,
        session: SessionKey,
        wish: OpenChannel,
    ) -> (SessionKey, ChannelId, Address) {
        let channel = self.open(session, wish).channel;
        let leased = self.lease(session, channel, 1);
        let address = leased.buffers.first().expect("one").address;
        (session, channel, address)
    }

    pub(super) fn submit(
        &mut self,
        session: SessionKey,
        channel: ChannelId,
        address: Address,
    ) -> Reply {
        self.ask(session, Request::Submit(frame(channel, address)))
    }

    /// The engine finishes its job after `us` with `len` bytes.
    pub(super) fn finish(&mut self, us: u64, len: u32) -> EncodeJob {
        self.pass(us);
        let job = self.jobs.pop_front().expect("a job in flight");
        assert!(self.jobs.is_empty(), "one job in flight");
        self.done(job.id, encoded(len));
        job
    }

    pub(super) fn fail(&mut self, failure: JobFailure) -> EncodeJob {
        let job = self.jobs.pop_front().expect("a job in flight");
        self.done(job.id, JobOutcome::Failed(failure));
        job
    }

    pub(super) fn done(&mut self, job: JobId, outcome: JobOutcome) {
        self.feed(Input::JobDone { job, outcome });
    }

    /// Lets the job in flight miss its deadline and answers the reset.
    pub(super) fn hang_and_reset(&mut self, ok: bool) {
        while self.resets_asked == 0 {
            let at = self.broker.poll_timeout().expect("a watchdog");
            self.pass(at.since_us(self.now));
        }
        self.resets_asked -= 1;
        if let (true, Some(job)) = (ok, self.jobs.pop_front()) {
            self.done(job.id, JobOutcome::Failed(JobFailure::Reset));
        }
        self.feed(Input::EngineReset {
            engine: EngineId::VIDEO,
            ok,
        });
    }

    /// Takes the packets that a session was sent.
    pub(super) fn packets(&mut self, session: SessionKey) -> Vec<Packet> {
        let mut packets = Vec::new();
        self.events.retain(|(to, event)| match event {
            Event::Packet(packet) if *to == session => {
                packets.push(*packet);
                false
            }
            _ => true,
        });
        packets
    }

    /// Takes the ends of frames that a session was told.
    pub(super) fn ends(&mut self, session: SessionKey) -> Vec<FrameEnd> {
        self.releases(session).iter().map(|r| r.end).collect()
    }

    pub(super) fn releases(&mut self, session: SessionKey) -> Vec<SourceReleased> {
        let mut ends = Vec::new();
        self.events.retain(|(to, event)| match event {
            Event::SourceReleased(released) if *to == session => {
                ends.push(*released);
                false
            }
            _ => true,
        });
        ends
    }

    /// Takes the events of a session that are neither packets nor ends of frames.
    pub(super) fn other_events(&mut self, session: SessionKey) -> Vec<Event> {
        let mut taken = Vec::new();
        self.events.retain(|(to, event)| {
            let other = !matches!(event, Event::Packet(_) | Event::SourceReleased(_));
            if *to == session && other {
                taken.push(event.clone());
            }
            *to != session || !other
        });
        taken
    }

    /// Nothing is left of anybody.
    pub(super) fn assert_quiet(&self) {
        self.assert_quiet_but_for(0);
    }

    /// Nothing is left of anybody but so many bytes that must not be given out.
    pub(super) fn assert_quiet_but_for(&self, quarantined_bytes: u64) {
        let pool = &self.broker.pool;
        assert_eq!(pool.used_bytes(), quarantined_bytes, "all memory is back");
        assert_eq!(pool.quarantined_bytes(), quarantined_bytes);
        assert!(self.broker.sources.is_empty(), "no lease or region is left");
        assert!(self.broker.sessions.is_empty(), "no session is left");
        assert_eq!(self.broker.all_channels().count(), 0, "no channel is left");
        assert_eq!(self.broker.poll_timeout(), None, "no timer is left");
    }
}

/// Memory of such a channel, with its guard pages.
pub(super) const SMALL_BYTES: u64 = 320 / 16 * (192 / 16) * 1000 + 0x1_0000 + 2 * 4096;

pub(super) fn small() -> OpenChannel {
    OpenChannel {
        width: 320,
        height: 192,
        ..OpenChannel::default()
    }
}

pub(super) fn fixqp(qp: u8) -> RateControl {
    RateControl::FixQp { qp }
}

pub(super) fn frame(channel: ChannelId, address: Address) -> Submit {
    Submit {
        channel,
        address,
        timestamp: 0x1122_3344_5566_7788,
        cookie: 5,
        force_idr: false,
    }
}

pub(super) fn encoded(len: u32) -> JobOutcome {
    JobOutcome::Encoded(EncodedPicture {
        payload_len: ByteLen::new(len),
        stats: PictureStats::default(),
    })
}

fn name_of(output: &Output) -> String {
    match output {
        Output::Reply { body, .. } => {
            let text = format!("{body:?}");
            let end = text.find(['(', '{']).unwrap_or(text.len());
            format!("reply {}", text.get(..end).unwrap_or_default())
        }
        Output::Event { body, .. } => {
            let text = format!("{body:?}");
            let end = text.find(['(', '{']).unwrap_or(text.len());
            format!("event {}", text.get(..end).unwrap_or_default())
        }
        Output::CreateChannel { .. } => "create".into(),
        Output::TuneChannel { .. } => "tune".into(),
        Output::RebuildChannel { .. } => "rebuild".into(),
        Output::DestroyChannel { .. } => "destroy".into(),
        Output::GrantLease { .. } => "grant".into(),
        Output::RevokeLease { .. } => "revoke".into(),
        Output::Import { .. } => "import".into(),
        Output::ReleaseImport { .. } => "release import".into(),
        Output::Prepare(_) => "prepare".into(),
        Output::Submit(_) => "submit".into(),
        Output::Deliver { .. } => "deliver".into(),
        Output::Discard { .. } => "discard".into(),
        Output::Reset { .. } => "reset".into(),
        Output::Close { .. } => "close".into(),
        Output::Finished { .. } => "finished".into(),
        Output::Note(_) => "note".into(),
    }
}
