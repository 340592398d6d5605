//! Many clients, one engine with faults, one broker, in virtual time.

use crate::client::Client;
use crate::oracle::{Oracle, Seen};
use crate::rng::Rng;
use avpu_proto::event::Event;
use avpu_proto::request::{ReleasePackets, Request};
use avpu_proto::types::{BufferAccess, Epoch, Profile, Sequence};
use avpud::core::Broker;
use avpud::core::config::{BrokerConfig, ChannelPlan, ChannelPlanner};
use avpud::core::event::{Guards, Input, Output, Peer, SessionKey};
use avpud::core::time::Micros;
use avpud::job::{
    EncodeJob, EncodedPicture, EngineId, JobCost, JobFailure, JobId, JobOutcome, PictureStats,
};
use avpud::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use avpud::picture::{ChannelSetup, PictureKind};
use std::fmt::Write as _;

pub(crate) struct World {
    rng: Rng,
    broker: Broker,
    oracle: Oracle,
    now: Micros,
    clients: Vec<Client>,
    session_next: u32,
    engine: Option<Work>,
    /// Sizes of pictures that are done and not delivered.
    done: Vec<(EncodeJob, u32)>,
    finished: Option<bool>,
    faults: Faults,
    trace: Trace,
}

/// How often things go wrong, once in so many times.
#[derive(Clone, Copy)]
struct Faults {
    lost: u32,
    failed: u32,
    reset_fails: u32,
    no_room: u32,
    setup_fails: u32,
}

struct Work {
    job: EncodeJob,
    /// `None`: its completion was lost.
    done_at: Option<Micros>,
    outcome: JobOutcome,
}

/// A hash of everything that came out.
struct Trace {
    hash: u64,
    line: String,
}

struct Planner;

impl ChannelPlanner for Planner {
    fn plan(&self, setup: &ChannelSetup) -> Result<ChannelPlan, String> {
        let macroblocks = setup.geometry.coded().macroblocks();
        Ok(ChannelPlan {
            memory: ByteLen::new(macroblocks * 1000 + 0x1_0000),
            picture_max: ByteLen::new(macroblocks * 416),
        })
    }
}

pub(crate) const CLIENTS_MAX: usize = 6;
const WINDOW: u32 = 0x0500_0000;
const WINDOW_LEN: u32 = 0x0040_0000;

fn range(start: u32, len: u32) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
}

pub(crate) fn config() -> BrokerConfig {
    BrokerConfig {
        daemon_version: "0.0.0".into(),
        device: "simulated".into(),
        synthetic: true,
        epoch: Epoch::new(1),
        pid: 1,
        cost: JobCost {
            base_ns: 100_000,
            macroblock_ns: 4_000,
        },
        patience_us: 100_000,
        load_max_permille: 1000,
        arena: range(0x0600_0000, 0x0040_0000),
        source_windows: vec![range(WINDOW, WINDOW_LEN)],
        system_memory: vec![range(WINDOW, 0x1000)],
        raw_gids: vec![1],
        source_alignment: Alignment::constant(256),
        channels_max: 6,
        picture_min: (16, 16),
        picture_max: (1920, 1088),
        profiles: vec![Profile::High],
        ring_bytes: None,
        ring_bytes_max: ByteLen::new(1 << 20),
        planner: &Planner,
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = config();
        let now = Micros::new(1_000_000);
        let calm = rng.once_in(4);
        let rate = |rng: &mut Rng, n: u32| if calm { 1_000_000 } else { n + rng.below(n) };
        let faults = Faults {
            lost: rate(&mut rng, 20),
            failed: rate(&mut rng, 20),
            reset_fails: if rng.once_in(8) {
                1
            } else {
                rate(&mut rng, 10)
            },
            no_room: rate(&mut rng, 20),
            setup_fails: rate(&mut rng, 15),
        };
        Self {
            oracle: Oracle::new(config.arena),
            broker: Broker::new(config, now),
            rng,
            now,
            clients: Vec::new(),
            session_next: 0,
            engine: None,
            done: Vec::new(),
            finished: None,
            faults,
            trace: Trace {
                hash: 0xcbf2_9ce4_8422_2325,
                line: String::new(),
            },
        }
    }

    /// Runs `steps` steps, lets everybody leave, and answers the hash of the trace.
    pub(crate) fn run(mut self, steps: u32) -> (u64, Seen) {
        // Somewhere on the way or never.
        let shut_down_at = self.rng.below(steps * 4);
        let mut shut_down = false;
        for step in 0..steps {
            if self.finished.is_some() {
                break;
            }
            self.step();
            if step == shut_down_at && self.finished.is_none() {
                shut_down = true;
                self.feed(Input::Shutdown);
            }
        }
        self.quiesce();
        assert!(!shut_down || self.finished.is_some(), "a shutdown ends");
        self.oracle.check_settled();
        self.release_all();
        self.oracle.check_caught_up();
        while !self.clients.is_empty() {
            self.leave();
            self.quiesce();
        }
        self.oracle.check_empty();
        (self.trace.hash, self.oracle.seen)
    }

    fn step(&mut self) {
        let pause_us = match self.rng.below(20) {
            0 => u64::from(self.rng.below(200_000)),
            _ => u64::from(self.rng.below(3_000)),
        };
        self.pass_until(self.now.plus_us(pause_us));
        if self.finished.is_some() {
            return;
        }
        match self.rng.below(200) {
            0..=9 if self.clients.len() < CLIENTS_MAX => self.join(),
            10..=11 => self.leave(),
            12 => self.feed(Input::SpuriousInterrupt),
            13 => {
                // A completion of a job that is long over.
                let outcome = JobOutcome::Failed(JobFailure::Device);
                let job = JobId::FIRST;
                if self.engine.as_ref().is_none_or(|work| work.job.id != job) {
                    self.feed(Input::JobDone { job, outcome });
                }
            }
            _ => self.ask(),
        }
    }

    /// Lets time pass; completions and deadlines come when they are due.
    fn pass_until(&mut self, end: Micros) {
        while self.finished.is_none() {
            let done_at = self.engine.as_ref().and_then(|work| work.done_at);
            let due = [done_at, self.broker.poll_timeout()];
            let Some(at) = due.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if done_at == Some(at) {
                self.complete();
            } else {
                self.broker.handle_timeout(self.now);
                self.drain();
            }
        }
        self.now = self.now.max(end);
    }

    /// Lets time pass until nothing happens by itself any more.
    fn quiesce(&mut self) {
        for _ in 0..2000 {
            let waits = self.engine.is_some() || self.broker.poll_timeout().is_some();
            if !waits || self.finished.is_some() {
                assert!(self.finished.is_some() || self.broker.poll_timeout().is_none());
                return;
            }
            self.pass_until(self.now.plus_us(1_000_000));
        }
        panic!("expected the broker to come to rest");
    }

    fn join(&mut self) {
        // Keys are used again, as the shell's slots are.
        let taken = |key| self.clients.iter().any(|client| client.session == key);
        let free = (0..).map(SessionKey::new).find(|key| !taken(*key));
        let session = free.expect("endless");
        self.session_next += 1;
        let peer = Peer {
            pid: self.session_next,
            uid: 1000,
            gid: self.session_next % 2,
        };
        self.oracle.opened(session);
        self.clients.push(Client::new(session, &mut self.rng));
        self.feed(Input::Opened { session, peer });
    }

    fn leave(&mut self) {
        let count = u32::try_from(self.clients.len()).expect("few");
        if count == 0 {
            return;
        }
        let index = usize::try_from(self.rng.below(count)).expect("an index");
        let session = self.clients.remove(index).session;
        self.oracle.closed(session);
        self.feed(Input::Closed { session });
    }

    fn ask(&mut self) {
        let count = u32::try_from(self.clients.len()).expect("few");
        let index = usize::try_from(self.rng.below(count)).expect("an index");
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let body = client.request(&mut self.rng, (WINDOW, WINDOW_LEN));
        let session = client.session;
        let id = client.request_next;
        client.request_next = client.request_next.wrapping_add(1);
        let submit = match &body {
            Some(Request::Submit(submit)) => Some(submit.channel),
            _ => None,
        };
        self.oracle.asked(session, id, submit);
        let released = match &body {
            Some(Request::ReleasePackets(r)) => Some((r.subscription, r.sequence.value())),
            _ => None,
        };
        if let Some((subscription, sequence)) = released
            && client.subscriptions.contains(&subscription)
        {
            self.oracle.released(subscription, sequence);
        }
        if let Some(Request::Unsubscribe(u)) = &body
            && client.subscriptions.contains(&u.subscription)
        {
            client.subscriptions.retain(|s| *s != u.subscription);
            client.last.retain(|(s, _)| *s != u.subscription);
            self.oracle.unsubscribed(u.subscription);
        }
        self.feed(Input::Request { session, id, body });
    }

    /// Every reader gives everything back, until nothing more comes.
    fn release_all(&mut self) {
        for _ in 0..1000 {
            let unread = self.clients.iter_mut().find(|c| !c.last.is_empty());
            let Some(client) = unread else { return };
            let (subscription, sequence) = client.last.remove(0);
            if client.subscriptions.contains(&subscription) {
                let which = ReleasePackets {
                    subscription,
                    sequence: Sequence::new(sequence),
                };
                let (session, id) = (client.session, client.request_next);
                client.request_next = client.request_next.wrapping_add(1);
                self.oracle.asked(session, id, None);
                self.oracle.released(subscription, sequence);
                let body = Some(Request::ReleasePackets(which));
                self.feed(Input::Request { session, id, body });
            }
        }
        panic!("expected the readers to catch up");
    }

    /// The engine's completion comes.
    fn complete(&mut self) {
        let work = self.engine.take().expect("a job that is due");
        self.oracle.engine_done();
        match work.outcome {
            JobOutcome::Encoded(picture) => {
                self.done.push((work.job, picture.payload_len.value()));
            }
            JobOutcome::Failed(_) => self.oracle.lost(work.job.channel),
        }
        let (job, outcome) = (work.job.id, work.outcome);
        self.feed(Input::JobDone { job, outcome });
    }

    fn feed(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            self.trace.record(self.now, &output);
            if matches!(
                output,
                Output::Note(avpud::core::event::Note::EngineOffline { .. })
            ) {
                self.oracle.offline = true;
                self.oracle.seen.offline += 1;
            }
            self.oracle.check(self.now, &output);
            self.act(output);
        }
        self.oracle.check_served(self.now);
        let waits = self.oracle.in_flight.is_some();
        if self.finished.is_none() {
            assert_eq!(
                self.broker.poll_timeout().is_some(),
                waits,
                "a timer runs exactly while the engine works"
            );
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Reply { session, body, .. } => {
                let mut clients = self.clients.iter_mut();
                if let Some(client) = clients.find(|c| c.session == session) {
                    client.learn(&body);
                }
            }
            Output::Event { session, body } => self.hear(session, &body),
            Output::CreateChannel { channel, .. } => {
                let result = self.set_up(());
                if result.is_err() {
                    self.oracle.not_created(channel);
                }
                self.broker
                    .handle(self.now, Input::ChannelCreated { channel, result });
            }
            Output::GrantLease { lease, .. } => {
                let result = self.set_up(BufferAccess::None);
                if result.is_err() {
                    self.oracle.not_granted(lease);
                }
                self.broker
                    .handle(self.now, Input::LeaseGranted { lease, result });
            }
            Output::Submit(job) => self.start(job),
            Output::Deliver { job, capacity, .. } => self.deliver(job, capacity),
            Output::Discard { job, channel } => {
                self.done.retain(|(done, _)| done.id != job);
                self.oracle.lost(channel);
            }
            Output::Reset { engine } => self.reset(engine),
            Output::Finished { restart } => {
                self.finished = Some(restart);
                self.clients.clear();
            }
            Output::Close { session, .. } => {
                self.clients.retain(|client| client.session != session);
                self.oracle.closed(session);
                self.broker.handle(self.now, Input::Closed { session });
            }
            Output::DestroyChannel { memory, .. } | Output::RevokeLease { memory, .. } => {
                let guards = Guards::Intact;
                self.broker
                    .handle(self.now, Input::MemoryReturned { memory, guards });
            }
            Output::Note(_) => {}
        }
    }

    fn hear(&mut self, session: SessionKey, event: &Event) {
        let mut clients = self.clients.iter_mut();
        let Some(client) = clients.find(|client| client.session == session) else {
            return;
        };
        match event {
            Event::Packet(packet) => {
                let sequence = packet.sequence.value();
                client.last.retain(|(s, _)| *s != packet.subscription);
                client.last.push((packet.subscription, sequence));
            }
            Event::EndOfStream(end) => {
                client
                    .subscriptions
                    .retain(|s| end.subscription != Some(*s));
            }
            _ => {}
        }
    }

    fn start(&mut self, job: EncodeJob) {
        let took_us = 200 + u64::from(self.rng.below(4000));
        let lost = self.rng.once_in(self.faults.lost);
        let failed = self.rng.once_in(self.faults.failed);
        let payload = match job.kind {
            PictureKind::Idr => 500 + self.rng.below(3500),
            PictureKind::P => 10 + self.rng.below(1200),
        };
        let outcome = if failed {
            let failures = [
                JobFailure::ErrorFill { status: 1 },
                JobFailure::Device,
                JobFailure::Overflow {
                    bytes: 9000,
                    budget: 8000,
                },
            ];
            JobOutcome::Failed(*self.rng.pick(&failures).expect("three"))
        } else {
            JobOutcome::Encoded(EncodedPicture {
                payload_len: ByteLen::new(payload),
                stats: PictureStats::default(),
            })
        };
        self.engine = Some(Work {
            job,
            done_at: (!lost).then(|| self.now.plus_us(took_us)),
            outcome,
        });
    }

    fn deliver(&mut self, job: JobId, capacity: ByteLen) {
        let index = self.done.iter().position(|(done, _)| done.id == job);
        let (job, payload) = self.done.remove(index.expect("a picture that is done"));
        let header = u32::try_from(job.header.bytes().len()).expect("short");
        let needed = header + payload;
        assert!(needed <= capacity.value(), "no room for what is known");
        let more = self.rng.below((capacity.value() - needed).min(40) + 1);
        let len = if self.rng.once_in(self.faults.no_room) {
            self.oracle.not_delivered(&job);
            None
        } else {
            self.oracle.delivered(&job);
            Some(ByteLen::new(needed + more))
        };
        let job = job.id;
        self.broker.handle(self.now, Input::Delivered { job, len });
    }

    fn reset(&mut self, engine: EngineId) {
        let ok = !self.rng.once_in(self.faults.reset_fails);
        if let Some(work) = self.engine.take() {
            self.oracle.lost(work.job.channel);
            // The driver may or may not have told before the reset is over.
            if self.rng.once_in(2) {
                let outcome = JobOutcome::Failed(JobFailure::Reset);
                let job = work.job.id;
                self.broker
                    .handle(self.now, Input::JobDone { job, outcome });
            }
        }
        if ok {
            self.oracle.engine_done();
        }
        self.broker
            .handle(self.now, Input::EngineReset { engine, ok });
    }

    fn set_up<T>(&mut self, value: T) -> Result<T, String> {
        if self.rng.once_in(self.faults.setup_fails) {
            Err("no descriptor left".into())
        } else {
            Ok(value)
        }
    }
}

impl Trace {
    fn record(&mut self, now: Micros, output: &Output) {
        self.line.clear();
        let wrote = match output {
            // Its header, 256 bytes of room, is hashed as what is in it.
            Output::Submit(job) => {
                let (id, kind, index) = (job.id, job.kind, job.gop_index);
                let header = job.header.bytes();
                let (qp, source) = (job.qp, job.source);
                write!(
                    self.line,
                    "{now} {id:?} {kind:?} {index} {qp:?} {source} {header:?}"
                )
            }
            other => write!(self.line, "{now} {other:?}"),
        };
        wrote.expect("a string takes everything");
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
