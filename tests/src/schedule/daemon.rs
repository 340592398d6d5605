//! The daemon's core as a discipline: every channel has a client of its own, which submits, reads nothing, and is told
//! what became of its frames.

use crate::schedule::{COST, Discipline, Load};
use avpu_proto::error::Refusal;
use avpu_proto::event::Event;
use avpu_proto::reply::{ChannelOpened, Reply};
use avpu_proto::request::{CloseChannel, LeaseBuffers, Request, Submit};
use avpu_proto::types::{Address, BufferAccess, ChannelId, Epoch, FrameEnd};
use avpud::config::Config;
use avpud::core::Broker;
use avpud::core::config::BrokerConfig;
use avpud::core::event::{Guards, Input, Output, Peer, SessionKey};
use avpud::core::time::Micros;
use avpud::device::Capabilities;
use avpud::job::{ChannelKey, CostTable, EncodeJob, EncodedPicture, JobOutcome, PictureStats};
use avpud::mem::{ByteLen, PhysAddr, PhysRange};
use avpud::server::{Machine, broker_config};

/// The core, and a client for each channel.
pub struct Daemon {
    broker: Broker,
    owners: Vec<Owner>,
    /// The job that the core has started.
    job: Option<EncodeJob>,
    /// It was taken notice of.
    is_seen: bool,
    request: u16,
    answer: Option<Reply>,
    /// Frames that ended otherwise than encoded.
    pub lost: u32,
    /// Told by the core.
    pub tickets_breached: u32,
    made_ready: u32,
}

struct Owner {
    key: Option<ChannelKey>,
    channel: ChannelId,
    /// Buffers that nobody has.
    free: Vec<Address>,
    ticket_us: u32,
}

/// Buffers of each channel.
const BUFFERS: u8 = 8;
/// Until the first frame.
const START: Micros = Micros::new(1_000_000);

impl Daemon {
    /// A core with these channels open.
    ///
    /// # Errors
    /// Which of the loads is refused, and why.
    pub fn new(loads: &[Load]) -> Result<Self, (usize, Refusal)> {
        let mut daemon = Self {
            broker: Broker::new(config(), Micros::new(0)),
            owners: Vec::new(),
            job: None,
            is_seen: false,
            request: 0,
            answer: None,
            lost: 0,
            tickets_breached: 0,
            made_ready: 0,
        };
        for (index, load) in loads.iter().enumerate() {
            daemon
                .open(Micros::new(0), load)
                .map_err(|refusal| (index, refusal))?;
        }
        Ok(daemon)
    }

    /// Opens one more channel and answers its number.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open(&mut self, now: Micros, load: &Load) -> Result<usize, Refusal> {
        let index = self.owners.len();
        let session = session(index);
        let peer = Peer {
            pid: session.value() + 1,
            uid: 1000,
            gid: 1000,
        };
        self.owners.push(Owner {
            key: None,
            channel: ChannelId::new(0),
            free: Vec::new(),
            ticket_us: 0,
        });
        self.feed(now, Input::Opened { session, peer });
        let wish = Request::OpenChannel(load.wish.clone());
        let opened = match self.ask(now, index, wish) {
            Reply::ChannelOpened(opened) => opened,
            Reply::Refused(refusal) => return Err(refusal),
            other => panic!("expected an open channel, found {other:?}"),
        };
        let ChannelOpened {
            channel, ticket_us, ..
        } = opened;
        let lease = Request::LeaseBuffers(LeaseBuffers {
            channel,
            count: BUFFERS,
        });
        let Reply::BuffersLeased(leased) = self.ask(now, index, lease) else {
            panic!("expected a lease");
        };
        let owner = &mut self.owners[index];
        owner.channel = channel;
        owner.ticket_us = ticket_us;
        owner.free = leased.buffers.iter().map(|b| b.address).collect();
        Ok(index)
    }

    /// Closes a channel and its client's connection.
    pub fn close(&mut self, now: Micros, index: usize) {
        let channel = self.owners[index].channel;
        self.ask(now, index, Request::CloseChannel(CloseChannel { channel }));
        let session = session(index);
        self.feed(now, Input::Closed { session });
    }

    /// Another request of a channel's client; its answer.
    ///
    /// # Panics
    /// When there is none at once.
    pub fn ask(&mut self, now: Micros, index: usize, body: Request) -> Reply {
        self.request = self.request.wrapping_add(1);
        let input = Input::Request {
            session: session(index),
            id: self.request,
            body: Some(body),
        };
        self.feed(now, input);
        self.answer.take().expect("an answer")
    }

    /// The wait that a channel was promised not to exceed; 0: none.
    #[must_use]
    pub fn ticket_us(&self, index: usize) -> u32 {
        self.owners[index].ticket_us
    }

    /// The daemon's name for a channel.
    #[must_use]
    pub fn channel(&self, index: usize) -> ChannelId {
        self.owners[index].channel
    }

    /// A job is in the encoder.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Lets the core make the next picture ready, as the loop does before it waits. Answers whether it began to.
    pub fn look_ahead(&mut self, now: Micros) -> bool {
        let before = self.made_ready;
        let now = START.plus_us(now.value());
        self.broker.look_ahead(now);
        self.drain(now);
        self.made_ready > before
    }

    fn feed(&mut self, now: Micros, input: Input) {
        let now = START.plus_us(now.value());
        while self.broker.poll_timeout().is_some_and(|at| at <= now) {
            self.broker.handle_timeout(now);
            self.drain(now);
        }
        self.broker.handle(now, input);
        self.drain(now);
    }

    fn drain(&mut self, now: Micros) {
        while let Some(output) = self.broker.poll_output() {
            self.act(now, output);
        }
    }

    fn act(&mut self, now: Micros, output: Output) {
        let input = match output {
            Output::Reply { body, .. } => {
                self.answer = Some(body);
                return;
            }
            Output::Event {
                body: Event::SourceReleased(released),
                ..
            } => {
                self.lost += u32::from(!matches!(released.end, FrameEnd::Encoded { .. }));
                let mut owners = self.owners.iter_mut();
                let owner = owners.find(|owner| owner.channel == released.channel);
                owner.expect("somebody's").free.push(released.address);
                return;
            }
            Output::Event {
                body: Event::TicketBreached(_),
                ..
            } => {
                self.tickets_breached += 1;
                return;
            }
            Output::CreateChannel { channel, .. } => {
                let owner = self.owners.last_mut().expect("whoever opened it");
                owner.key = Some(channel);
                Input::ChannelCreated {
                    channel,
                    result: Ok(()),
                }
            }
            Output::RebuildChannel { channel, old, .. } => {
                let result = Ok(());
                self.broker
                    .handle(now, Input::ChannelRebuilt { channel, result });
                Input::MemoryReturned {
                    memory: old,
                    guards: Guards::Intact,
                }
            }
            Output::GrantLease { lease, .. } => Input::LeaseGranted {
                lease,
                result: Ok(BufferAccess::None),
            },
            Output::DestroyChannel { memory, .. } | Output::RevokeLease { memory, .. } => {
                let guards = Guards::Intact;
                Input::MemoryReturned { memory, guards }
            }
            Output::Deliver { job, .. } => Input::Delivered {
                job,
                len: Some(ByteLen::new(400)),
            },
            Output::Prepare(_) => {
                self.made_ready += 1;
                return;
            }
            Output::Submit(job) => {
                assert!(self.job.is_none(), "two jobs in one encoder");
                self.job = Some(job);
                self.is_seen = false;
                return;
            }
            _ => return,
        };
        self.broker.handle(now, input);
    }
}

impl Discipline for Daemon {
    fn arrive(&mut self, now_us: u64, channel: usize) -> bool {
        let owner = &mut self.owners[channel];
        let Some(address) = owner.free.pop() else {
            return false;
        };
        let submit = Request::Submit(Submit {
            channel: owner.channel,
            address,
            ..Submit::default()
        });
        let reply = self.ask(Micros::new(now_us), channel, submit);
        let accepted = matches!(reply, Reply::Submitted(_));
        if !accepted {
            self.owners[channel].free.push(address);
        }
        accepted
    }

    fn start(&mut self, _: u64) -> Option<usize> {
        let job = self.job.as_ref().filter(|_| !self.is_seen)?;
        self.is_seen = true;
        let key = Some(job.channel);
        self.owners.iter().position(|owner| owner.key == key)
    }

    fn done(&mut self, now_us: u64, _: usize) {
        let job = self.job.take().expect("a job in the encoder");
        let outcome = JobOutcome::Encoded(EncodedPicture {
            payload_len: ByteLen::new(300),
            stats: PictureStats::default(),
        });
        let job = job.id;
        self.feed(Micros::new(now_us), Input::JobDone { job, outcome });
    }
}

fn session(index: usize) -> SessionKey {
    SessionKey::new(u32::try_from(index).expect("few"))
}

/// A machine with as much memory as channels may want, and the T31's encoder.
fn config() -> BrokerConfig {
    let arena = PhysRange::new(PhysAddr::new(0x1000_0000), ByteLen::new(0xc000_0000));
    let device = Capabilities {
        name: "simulated".to_owned(),
        synthetic: true,
        cost: CostTable::uniform(COST),
        dma_buf_import: false,
        patience_us: 1_000_000,
        arena: arena.expect("a range"),
    };
    BrokerConfig {
        epoch: Epoch::new(1),
        pid: 1,
        ..broker_config(&Config::default(), &device, &Machine::developer())
    }
}
