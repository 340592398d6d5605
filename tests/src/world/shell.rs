//! What the daemon's loop does, in virtual time: bytes, time and interrupts in, and what the core decided carried out.
//!
//! As in the daemon, all outputs of one input are carried out before the next one; a session that ended is told of when
//! they are; a picture whose interrupt came before its write-back is looked for again.

use crate::around::Wrapped;
use crate::world::client::Client;
use crate::world::flaky::Flaky;
use crate::world::hands::Channel;
use crate::world::kinds;
use crate::world::op::{Ask, Op, Place, Which, nth};
use crate::world::oracle::Oracle;
use crate::world::pipe::{Heard, Pipe};
use crate::world::seen::Subject;
use crate::world::trace::Trace;
use crate::world::{ARENA, Outcome, Script, WINDOW, WINDOW_LEN};
use avpu_proto::types::Epoch;
use avpud::config::Config;
use avpud::core::Broker;
use avpud::core::config::BrokerConfig;
use avpud::core::event::{Input, Peer, SessionKey};
use avpud::core::role::{ClientLimits, Members};
use avpud::core::time::Micros;
use avpud::device::model::VirtualModel;
use avpud::device::{Capabilities, Device};
use avpud::driver::{Engine, IrqVerdict, SpuriousCause};
use avpud::job::{CodecCost, CostTable, JobCost, JobFailure, JobId, JobOutcome, PictureHeader};
use avpud::limits::{REQUESTS_PER_TURN_MAX, WRITE_BACK_LOOK_US, WRITE_BACK_LOOKS_MAX};
use avpud::mem::{ByteLen, PhysAddr, PhysRange};
use avpud::server::{Machine, broker_config};

/// The daemon and everybody around it.
pub(super) struct Shell {
    pub(super) now: Micros,
    pub(super) broker: Broker,
    pub(super) engine: Engine<Wrapped<Flaky>>,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    /// Where a session's key points.
    pub(super) peers: Vec<Option<Peered>>,
    pub(super) rings: Vec<Option<Channel>>,
    pub(super) headers: Vec<(JobId, PictureHeader)>,
    pub(super) departed: Vec<SessionKey>,
    /// A picture that is looked for, when next, and how often still.
    pub(super) watched: Option<(JobId, Micros, u32)>,
    /// Deadlines that passed since anything was to be done.
    pub(super) idle_wakes: u32,
    pub(super) joined: u32,
    pub(super) newest: usize,
    pub(super) next_set_up_fails: bool,
    pub(super) next_delivery_fails: bool,
    pub(super) finished: bool,
    pub(super) looks_ahead: bool,
    pub(super) glances: u32,
}

/// A connection and the client at its other end.
pub(super) struct Peered {
    pub(super) client: Client,
    pub(super) pipe: Pipe,
}

/// Clients at once.
const CLIENTS_MAX: usize = 6;
/// Time that passes between two looks at whether everything is at rest.
const REST_US: u64 = 1_000_000;
/// Deadlines that may pass while nothing is to be done: each channel starves once.
const IDLE_WAKES_MAX: u32 = 16;

impl Shell {
    pub(super) fn new(script: &Script) -> Self {
        let window = range(WINDOW, WINDOW_LEN);
        let mut options = format!(
            "body=pattern,pace=t31,size=8M,base={ARENA},seed={}",
            script.seed
        );
        if !script.faults.is_empty() {
            options = format!("{options},fault={}", script.faults);
        }
        let model = VirtualModel::new(&options, &[window], None).expect("a model");
        let mut config = config(model.capabilities(), window, script.is_tight);
        if script.is_slow() {
            config.cost = quartered(config.cost);
        }
        let now = Micros::new(1_000_000);
        let channels = usize::from(config.channels_max);
        let mut engine = Engine::bring_up(Wrapped(Flaky::new(model))).expect("the model answers");
        engine.device().model().advance_to(1_000_000);
        Self {
            now,
            oracle: Oracle::new(config.arena, config.cost),
            broker: Broker::new(config, now),
            engine,
            trace: Trace::new(),
            peers: core::iter::repeat_with(|| None).take(CLIENTS_MAX).collect(),
            rings: core::iter::repeat_with(|| None).take(channels).collect(),
            headers: Vec::new(),
            departed: Vec::new(),
            watched: None,
            idle_wakes: 0,
            joined: 0,
            newest: 0,
            next_set_up_fails: false,
            next_delivery_fails: false,
            finished: false,
            looks_ahead: true,
            glances: u32::try_from(script.seed & 0xffff).expect("16 bits"),
        }
    }

    /// The daemon has ended.
    pub(super) fn is_over(&self) -> bool {
        self.finished
    }

    pub(super) fn perform(&mut self, op: &Op) {
        self.oracle
            .seen
            .count(Subject::Operation, kinds::operation(op));
        match op {
            Op::Pass { us } => self.pass_until(self.now.plus_us(u64::from(*us))),
            Op::Join {
                seat,
                chunk,
                raw,
                root,
                reads,
            } => self.join(*seat, *chunk, (*raw, *root), *reads),
            Op::Feed {
                who,
                channel,
                permille,
                frames,
            } => {
                let now = self.now;
                if let Some(peered) = self.someone(*who) {
                    peered.client.feed(now, *channel, *permille, *frames);
                }
            }
            Op::Ask { who, ask } => self.ask(*who, ask),
            Op::AskHalf { who, ask, len } => {
                if let Some(peered) = self.someone(*who) {
                    let bytes = peered.client.ask(ask);
                    let len = usize::from(*len).min(bytes.len().saturating_sub(1));
                    peered.pipe.send(bytes.split_at(len).0);
                    peered.pipe.hung_up = true;
                }
            }
            Op::Babble { who, bytes } => {
                if let Some(peered) = self.someone(*who) {
                    peered.pipe.send(bytes);
                }
            }
            Op::Doze { who, asleep } => {
                if let Some(peered) = self.someone(*who) {
                    peered.client.asleep = *asleep;
                }
            }
            Op::Leave { who } => {
                if let Some(peered) = self.someone(*who) {
                    peered.pipe.hung_up = true;
                }
            }
            Op::SpuriousInterrupt => self.feed(Input::SpuriousInterrupt),
            Op::StaleCompletion => {
                let job = JobId::FIRST;
                if self.engine.in_flight() != Some(job) {
                    let outcome = JobOutcome::Failed(JobFailure::Device);
                    self.feed(Input::JobDone { job, outcome });
                }
            }
            Op::FailSetUp => self.next_set_up_fails = true,
            Op::FailDelivery => self.next_delivery_fails = true,
            Op::FailDevice { after } => {
                self.engine.device().fail_after(*after);
            }
            Op::ShutDown => {
                self.feed(Input::Shutdown);
            }
        }
        self.turn();
    }

    /// Lets everything come to rest, then everybody catch up, then everybody go; and judges what is left.
    pub(super) fn wind_up(mut self) -> Outcome {
        for peered in self.peers.iter_mut().flatten() {
            peered.client.asleep = false;
            peered.client.camera = None;
        }
        self.rest();
        self.oracle.check_settled();
        for _ in 0..RELEASES_MAX {
            let mut anyone = false;
            for peered in self.peers.iter_mut().flatten() {
                if let Some(bytes) = peered.client.release_one() {
                    peered.pipe.send(&bytes);
                    anyone = true;
                }
            }
            if !anyone {
                break;
            }
            self.rest();
        }
        self.oracle.check_caught_up();
        for who in 0..self.peers.len() {
            if let Some(Some(peered)) = self.peers.get_mut(who) {
                peered.pipe.hung_up = true;
            }
            self.rest();
        }
        self.oracle.check_empty();
        assert_eq!(self.engine.in_flight(), None, "the engine works for nobody");
        self.check_device();
        let failed = self.engine.device().failed;
        let seen = &mut self.oracle.seen;
        seen.count_many(Subject::Happened, "register access failed", failed);
        let used = u32::try_from(self.engine.counters().lists_ahead).expect("few");
        seen.count_many(Subject::Happened, "picture started as made ready", used);
        Outcome {
            hash: self.trace.hash(),
            seen: self.oracle.seen,
        }
    }

    /// The model noticed no rule of the hardware being broken, unless accesses were made to fail in between.
    fn check_device(&mut self) {
        let device = self.engine.device();
        if device.failed == 0 {
            assert_eq!(device.model().machine().faults(), []);
        }
    }

    /// The client at a seat or the next one behind it that is still there.
    fn someone(&mut self, who: u8) -> Option<&mut Peered> {
        let count = self.peers.len();
        let first = match who {
            u8::MAX => self.newest,
            seat => usize::from(seat) % count,
        };
        let is_here = |index: &usize| {
            let peered = self.peers.get(*index).and_then(Option::as_ref);
            peered.is_some_and(|peered| !peered.pipe.hung_up)
        };
        let index = (first..count).chain(0..first).find(is_here)?;
        self.peers.get_mut(index)?.as_mut()
    }

    /// A client asks; who takes things from others means one that there is.
    fn ask(&mut self, who: u8, ask: &Ask) {
        let ask = match *ask {
            Ask::Revoke {
                lease: Which::Own(index),
                grace_us,
            } => Ask::Revoke {
                lease: Which::Any(nth(&self.oracle.lent(), index).unwrap_or(0)),
                grace_us,
            },
            Ask::ReleaseQuarantine {
                place: Place::Own(index),
            } => Ask::ReleaseQuarantine {
                place: Place::Anywhere(nth(&self.oracle.taken_back, index).unwrap_or(0)),
            },
            _ => ask.clone(),
        };
        if let Some(peered) = self.someone(who) {
            if let Ask::Import { place, .. } = ask {
                let address = peered.client.place(place);
                peered.pipe.riders.push_back(address.value());
            }
            let bytes = peered.client.ask(&ask);
            peered.pipe.send(&bytes);
        }
    }

    /// Every camera that has a frame by now submits it.
    fn shoot(&mut self) {
        let now = self.now;
        for peered in self.peers.iter_mut().flatten() {
            if let Some(bytes) = peered.client.shoot(now).filter(|_| !peered.pipe.hung_up) {
                peered.pipe.send(&bytes);
            }
        }
    }

    /// When the next frame of a camera comes.
    fn next_frame(&self) -> Option<Micros> {
        let cameras = self.peers.iter().flatten().filter_map(|p| p.client.camera);
        cameras.map(|camera| camera.next).min()
    }

    fn join(&mut self, seat: u8, chunk: u32, (raw, root): (bool, bool), reads: bool) {
        let index = usize::from(seat) % self.peers.len();
        if self.peers.get(index).is_none_or(Option::is_some) {
            return;
        }
        self.joined += 1;
        let peer = Peer {
            pid: self.joined,
            uid: if root { 0 } else { 1000 },
            gid: u32::from(raw),
        };
        let peered = Peered {
            client: Client::new(reads),
            pipe: Pipe::new(peer, chunk),
        };
        self.newest = index;
        if let Some(slot) = self.peers.get_mut(index) {
            *slot = Some(peered);
        }
    }

    /// Lets time pass; interrupts, looks and deadlines come when they are due.
    fn pass_until(&mut self, end: Micros) {
        while !self.finished {
            let device = self.engine.device().model().next_event_us();
            let look = self.watched.map(|(_, at, _)| at);
            let due = [
                device.map(Micros::new),
                look,
                self.broker.poll_timeout(),
                self.next_frame(),
            ];
            let Some(at) = due.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.engine.device().model().advance_to(self.now.value());
            self.take_interrupts();
            self.look();
            self.shoot();
            if self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
                self.idle_wakes += 1;
                assert!(
                    self.idle_wakes <= IDLE_WAKES_MAX,
                    "timers run though nothing is to be done"
                );
                self.broker.handle_timeout(self.now);
                self.settle();
            }
            self.turn();
        }
        self.now = self.now.max(end);
        self.engine.device().model().advance_to(self.now.value());
    }

    /// Lets time pass until nothing happens by itself any more.
    fn rest(&mut self) {
        for _ in 0..RESTS_MAX {
            self.turn();
            if self.finished {
                return;
            }
            let waits = self.engine.in_flight().is_some() || self.broker.poll_timeout().is_some();
            if !waits && self.peers.iter().flatten().all(|p| p.pipe.is_heard()) {
                return;
            }
            self.pass_until(self.now.plus_us(REST_US));
        }
        panic!("expected the daemon to come to rest");
    }

    /// Bytes go from everybody to the daemon and back until none are left to go.
    fn turn(&mut self) {
        for _ in 0..TURNS_MAX {
            let mut moved = false;
            for index in 0..self.peers.len() {
                moved |= self.hear(index);
            }
            for index in 0..self.peers.len() {
                moved |= self.speak(index);
            }
            if !moved {
                break;
            }
        }
        self.look_ahead();
        self.oracle.check_served(self.now);
        if !self.oracle.is_idle() {
            self.idle_wakes = 0;
        }
    }

    /// Takes in what one peer said. Whether there was anything.
    fn hear(&mut self, index: usize) -> bool {
        let session = key(index);
        let mut heard = false;
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Some(Some(peered)) = self.peers.get_mut(index) else {
                break;
            };
            match peered.pipe.hear() {
                Heard::Nothing => {
                    if !peered.pipe.arrive() {
                        break;
                    }
                }
                Heard::Hello => {
                    peered.pipe.welcome();
                    let peer = peered.pipe.peer;
                    self.oracle.opened(session);
                    self.feed(Input::Opened { session, peer });
                }
                Heard::Request(id, body) => {
                    self.oracle.asked(session, id, body.as_ref());
                    self.feed(Input::Request { session, id, body });
                }
                Heard::Enough => {
                    if !peered.pipe.hung_up {
                        self.oracle.seen.count(Subject::Happened, "client expelled");
                    }
                    self.expel(session);
                    self.settle();
                }
            }
            heard = true;
        }
        heard
    }

    /// One peer gets what waits for it. Whether anything went.
    fn speak(&mut self, index: usize) -> bool {
        let Some(Some(peered)) = self.peers.get_mut(index) else {
            return false;
        };
        let mut moved = peered.pipe.flush();
        if !peered.client.asleep {
            let mut bytes = Vec::new();
            peered.pipe.take(&mut bytes);
            moved |= !bytes.is_empty();
            peered.client.hear(&bytes, &mut peered.pipe.descriptors);
            let bytes = peered.client.read();
            moved |= !bytes.is_empty();
            peered.pipe.send(&bytes);
        }
        moved
    }

    /// A connection ends; the core hears of it when it has been heard out.
    pub(super) fn expel(&mut self, session: SessionKey) {
        if let Some(Some(peered)) = self.peers.get(index(session))
            && peered.pipe.in_core
        {
            self.departed.push(session);
        }
        if let Some(slot) = self.peers.get_mut(index(session)) {
            *slot = None;
        }
    }

    fn take_interrupts(&mut self) {
        while let Some(line) = self.engine.device().model().take_irq() {
            match self.engine.on_irq(line) {
                IrqVerdict::Completed(completion) => {
                    self.job_done(completion);
                    self.settle();
                }
                IrqVerdict::Spurious(cause) => {
                    if cause == SpuriousCause::NotWritten
                        && let Some(job) = self.engine.in_flight()
                        && self.watched.is_none_or(|(watched, ..)| watched != job)
                    {
                        let first = self.now.plus_us(WRITE_BACK_LOOK_US);
                        self.watched = Some((job, first, WRITE_BACK_LOOKS_MAX));
                    }
                    self.feed(Input::SpuriousInterrupt);
                }
                IrqVerdict::Foreign(_) => {}
            }
        }
    }

    /// Looks again for a picture whose interrupt came too early.
    fn look(&mut self) {
        let Some((job, at, left)) = self.watched.filter(|(_, at, _)| *at <= self.now) else {
            return;
        };
        self.watched = (left > 1).then_some((job, at.plus_us(WRITE_BACK_LOOK_US), left - 1));
        if self.engine.in_flight() != Some(job) {
            self.watched = None;
        } else if let Some(completion) = self.engine.poll_completion() {
            self.job_done(completion);
            self.settle();
        }
    }

    fn feed(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.broker.poll_output() {
                self.trace.record(self.now, &output);
                self.oracle.check(self.now, &output);
                self.act(output);
            }
            let Some(session) = self.departed.pop() else {
                self.oracle.check_states(self.now);
                break;
            };
            self.oracle.closed(session);
            self.broker.handle(self.now, Input::Closed { session });
        }
    }
}

/// Rounds of [`REST_US`] in which everything comes to rest.
const RESTS_MAX: u32 = 400;
/// Rounds in which all bytes have gone where they go; slow clients need many.
const TURNS_MAX: u32 = 100_000;
/// Packets of one client that may have to be released one by one.
const RELEASES_MAX: u32 = 2000;

fn key(index: usize) -> SessionKey {
    SessionKey::new(u32::try_from(index).expect("few"))
}

pub(super) fn index(session: SessionKey) -> usize {
    usize::try_from(session.value()).expect("few")
}

fn range(start: u32, len: u32) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
}

/// As an encoder states whose clock is slower than it knows.
fn quartered(table: CostTable) -> CostTable {
    let quarter = |cost: JobCost| JobCost {
        base_ns: cost.base_ns / 4,
        macroblock_ns: cost.macroblock_ns / 4,
    };
    let CodecCost { idr, p } = table.avc;
    CostTable {
        avc: CodecCost {
            idr: quarter(idr),
            p: quarter(p),
        },
        ..table
    }
}

/// What the daemon is told: a machine with a window that privileged clients may use, and room for few.
fn config(device: &Capabilities, window: PhysRange, is_tight: bool) -> BrokerConfig {
    let settings = Config {
        raw: Members {
            uids: Vec::new(),
            gids: vec![1],
        },
        ..Config::default()
    };
    let machine = Machine {
        files_per_lease: 0,
        source_windows: vec![window],
        system_memory: vec![range(WINDOW, 0x1000)],
        channels_max: 6,
        ring_bytes_max: ByteLen::new(1 << 20),
    };
    let plain = broker_config(&settings, device, &machine);
    let (load_max_permille, client_limits) = match is_tight {
        false => (plain.load_max_permille, plain.client_limits.clone()),
        true => (80, few()),
    };
    BrokerConfig {
        load_max_permille,
        client_limits,
        epoch: Epoch::new(1),
        pid: 1,
        dma_buf_import: false,
        patience_us: 100_000,
        ..plain
    }
}

/// Limits that are soon reached.
fn few() -> ClientLimits {
    ClientLimits {
        channels: 2,
        lease_bytes: ByteLen::new(0x20_0000),
        frames: 3,
        packets: 5,
        ..ClientLimits::default()
    }
}
