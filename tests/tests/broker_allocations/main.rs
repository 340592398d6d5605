//! The broker allocates nothing for a picture: submit, start, completion, delivery to its readers, release.

use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{LeaseBuffers, OpenChannel, ReleasePackets, Request, Submit, Subscribe};
use avpu_proto::types::{Address, BufferAccess, ChannelId, RateControl};
use avpu_tests::alloc::{CountingAllocator, count};
use avpud::core::Broker;
use avpud::core::config::BrokerConfig;
use avpud::core::event::{Input, Output, Peer, SessionKey};
use avpud::core::time::Micros;
use avpud::job::{EncodedPicture, JobId, JobOutcome, PictureStats};
use avpud::mem::addr::ByteLen;

#[path = "../../avpud/src/core/tests/config.rs"]
#[allow(dead_code, reason = "shared with the scripts of the broker")]
mod config;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Two cameras' worth of clients, each with a channel that it reads itself and that the other one watches.
struct World {
    broker: Broker,
    now: Micros,
    job: Option<JobId>,
    /// Channel and buffer of each session.
    sources: Vec<(SessionKey, ChannelId, Address)>,
    releases: Vec<(SessionKey, ReleasePackets)>,
    packets: u32,
    made_ready: u32,
}

fn world() -> World {
    let config = BrokerConfig {
        ring_bytes: Some(ByteLen::new(1 << 16)),
        ring_bytes_max: ByteLen::new(1 << 20),
        ..config::config()
    };
    let now = Micros::new(0);
    World {
        broker: Broker::new(config, now),
        now,
        job: None,
        sources: Vec::new(),
        releases: Vec::with_capacity(16),
        packets: 0,
        made_ready: 0,
    }
}

impl World {
    fn feed(&mut self, input: Input) -> Option<Reply> {
        self.broker.handle(self.now, input);
        let answer = self.drain();
        self.broker.look_ahead(self.now);
        self.drain();
        answer
    }

    fn drain(&mut self) -> Option<Reply> {
        let mut answer = None;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Reply { body, .. } => answer = Some(body),
                Output::Event {
                    session,
                    body: Event::Packet(packet),
                } => {
                    self.packets += 1;
                    let release = ReleasePackets {
                        subscription: packet.subscription,
                        sequence: packet.sequence,
                    };
                    self.releases.push((session, release));
                }
                Output::CreateChannel { channel, .. } => {
                    let result = Ok(());
                    let input = Input::ChannelCreated { channel, result };
                    self.broker.handle(self.now, input);
                }
                Output::GrantLease { lease, .. } => {
                    let result = Ok(BufferAccess::None);
                    let input = Input::LeaseGranted { lease, result };
                    self.broker.handle(self.now, input);
                }
                Output::Prepare(_) => self.made_ready += 1,
                Output::Submit(job) => self.job = Some(job.id),
                Output::Deliver { job, capacity, .. } => {
                    let len = Some(ByteLen::new(capacity.value() / 3 * 2));
                    self.broker.handle(self.now, Input::Delivered { job, len });
                }
                _ => {}
            }
        }
        answer
    }

    fn ask(&mut self, session: SessionKey, body: Request) -> Reply {
        let (id, body) = (1, Some(body));
        let answer = self.feed(Input::Request { session, id, body });
        answer.expect("a reply")
    }

    fn join(&mut self, number: u32, rate_control: RateControl) {
        let session = SessionKey::new(number);
        let peer = Peer {
            pid: number,
            uid: 1000,
            gid: 1000,
        };
        self.feed(Input::Opened { session, peer });
        let wish = OpenChannel {
            width: 640,
            height: 360,
            gop_length: 10,
            rate_control,
            ..OpenChannel::default()
        };
        let Reply::ChannelOpened(opened) = self.ask(session, Request::OpenChannel(wish)) else {
            panic!("expected an open channel");
        };
        let channel = opened.channel;
        let lease = Request::LeaseBuffers(LeaseBuffers { channel, count: 1 });
        let Reply::BuffersLeased(leased) = self.ask(session, lease) else {
            panic!("expected a lease");
        };
        let address = leased.buffers.first().expect("one").address;
        self.sources.push((session, channel, address));
    }

    fn subscribe(&mut self, session: SessionKey, channel: ChannelId) {
        let wish = Subscribe {
            channel,
            ..Subscribe::default()
        };
        let reply = self.ask(session, Request::Subscribe(wish));
        assert!(matches!(reply, Reply::Subscribed(_)), "{reply:?}");
    }

    /// Every client submits a picture or two, all are encoded, all packets are released.
    fn turn(&mut self) {
        for index in 0..self.sources.len() {
            let (session, channel, address) = self.sources[index];
            for _ in 0..=index {
                let submit = Submit {
                    channel,
                    address,
                    ..Submit::default()
                };
                let reply = self.ask(session, Request::Submit(submit));
                assert!(matches!(reply, Reply::Submitted(_)));
            }
        }
        while let Some(job) = self.job.take() {
            self.now = self.now.plus_us(3000);
            let outcome = JobOutcome::Encoded(EncodedPicture {
                payload_len: ByteLen::new(2000),
                stats: PictureStats::default(),
            });
            self.feed(Input::JobDone { job, outcome });
        }
        while let Some((session, release)) = self.releases.pop() {
            self.ask(session, Request::ReleasePackets(release));
        }
    }
}

#[test]
fn the_broker_allocates_nothing_for_a_picture() {
    let mut world = world();
    world.join(1, RateControl::FixQp { qp: 30 });
    let bitrate_bps = 400_000;
    world.join(
        2,
        RateControl::Cbr {
            bitrate_bps,
            qp_min: 0,
            qp_max: 0,
        },
    );
    for reader in 0..2 {
        for source in 0..2 {
            let (session, channel) = (world.sources[reader].0, world.sources[source].1);
            world.subscribe(session, channel);
        }
    }
    let before = count();
    world.turn();
    assert!(
        count() > before,
        "states change in the first turn, which is told in strings: otherwise nothing is counted"
    );
    world.turn();
    let (before, packets, made_ready) = (count(), world.packets, world.made_ready);
    for _ in 0..500 {
        world.turn();
    }
    assert_eq!(world.packets - packets, 500 * 3 * 2);
    assert!(world.made_ready > made_ready);
    assert_eq!(count() - before, 0, "allocations in 1500 pictures");
}
