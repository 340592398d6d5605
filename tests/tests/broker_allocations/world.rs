//! Clients of a broker whose engine does what it is told, in virtual time.

use crate::config;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{LeaseBuffers, OpenChannel, ReleasePackets, Request, Submit, Subscribe};
use avpu_proto::types::{Address, BufferAccess, ChannelId, FrameEnd};
use avpud::core::Broker;
use avpud::core::config::BrokerConfig;
use avpud::core::event::{Input, Output, Peer, SessionKey};
use avpud::core::time::Micros;
use avpud::job::{EncodedPicture, JobFailure, JobId, JobOutcome, PictureStats};
use avpud::mem::addr::ByteLen;

/// Two cameras' worth of clients, each with a channel that it reads itself and that the other one watches.
pub(crate) struct World {
    pub(crate) broker: Broker,
    now: Micros,
    job: Option<JobId>,
    /// Channel and buffer of each session.
    pub(crate) sources: Vec<(SessionKey, ChannelId, Address)>,
    releases: Vec<(SessionKey, ReleasePackets)>,
    pub(crate) packets: u32,
    pub(crate) made_ready: u32,
    pub(crate) gaps: u32,
    pub(crate) encoded: u32,
    pub(crate) dropped: u32,
    pub(crate) failed: u32,
    pub(crate) refused: u32,
}

pub(crate) fn world() -> World {
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
        releases: Vec::with_capacity(256),
        packets: 0,
        made_ready: 0,
        gaps: 0,
        encoded: 0,
        dropped: 0,
        failed: 0,
        refused: 0,
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
                Output::Reply { body, .. } => {
                    self.refused += u32::from(matches!(body, Reply::Refused(_)));
                    answer = Some(body);
                }
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
                Output::Deliver { job, room, .. } => {
                    let len = Some(ByteLen::new(room.capacity.value() / 3 * 2));
                    self.broker.handle(self.now, Input::Delivered { job, len });
                }
                Output::Event {
                    body: Event::Gap(_),
                    ..
                } => self.gaps += 1,
                Output::Event {
                    body: Event::SourceReleased(released),
                    ..
                } => match released.end {
                    FrameEnd::Encoded { .. } => self.encoded += 1,
                    FrameEnd::Dropped(_) => self.dropped += 1,
                    FrameEnd::Failed(_) => self.failed += 1,
                },
                _ => {}
            }
        }
        answer
    }

    pub(crate) fn ask(&mut self, session: SessionKey, body: Request) -> Reply {
        let (id, body) = (1, Some(body));
        let answer = self.feed(Input::Request { session, id, body });
        answer.expect("a reply")
    }

    /// A client with a channel like this.
    pub(crate) fn join(&mut self, number: u32, wish: OpenChannel) {
        let session = SessionKey::new(number);
        let peer = Peer {
            pid: number,
            uid: 1000,
            gid: 1000,
        };
        self.feed(Input::Opened { session, peer });
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

    pub(crate) fn subscribe(&mut self, session: SessionKey, channel: ChannelId) {
        let wish = Subscribe {
            channel,
            ..Subscribe::default()
        };
        let reply = self.ask(session, Request::Subscribe(wish));
        assert!(matches!(reply, Reply::Subscribed(_)), "{reply:?}");
    }

    /// Every client submits a picture or two, all are encoded, all packets are released.
    pub(crate) fn turn(&mut self) {
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
        self.encode();
        self.release();
    }

    /// Submits a picture to the first channel; its answer may come later.
    pub(crate) fn submit(&mut self) {
        let (session, channel, address) = self.sources[0];
        let submit = Submit {
            channel,
            address,
            ..Submit::default()
        };
        let (id, body) = (1, Some(Request::Submit(submit)));
        self.feed(Input::Request { session, id, body });
    }

    /// Encodes until nothing waits.
    pub(crate) fn encode(&mut self) {
        while self.job.is_some() {
            self.finish(JobOutcome::Encoded(EncodedPicture {
                payload_len: ByteLen::new(2000),
                stats: PictureStats::default(),
            }));
        }
    }

    /// The picture in the encoder is larger than its stream buffer.
    pub(crate) fn overflow(&mut self) {
        self.finish(JobOutcome::Failed(JobFailure::Overflow {
            bytes: 200_000,
            budget: 100_000,
        }));
    }

    fn finish(&mut self, outcome: JobOutcome) {
        if let Some(job) = self.job.take() {
            self.now = self.now.plus_us(3000);
            self.feed(Input::JobDone { job, outcome });
        }
    }

    /// Gives back what readers were sent, but for those of this session.
    pub(crate) fn release_but(&mut self, lagging: Option<SessionKey>) {
        let mut kept = core::mem::take(&mut self.releases);
        let mut index = 0;
        while index < kept.len() {
            if Some(kept[index].0) == lagging {
                index += 1;
            } else {
                let (session, release) = kept.swap_remove(index);
                self.ask(session, Request::ReleasePackets(release));
            }
        }
        // What was sent because of that has its turn next time.
        kept.append(&mut self.releases);
        self.releases = kept;
    }

    fn release(&mut self) {
        self.release_but(None);
    }
}
