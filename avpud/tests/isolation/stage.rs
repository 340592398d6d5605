//! A camera and its recorder beside hostile neighbours: what they get must not depend on the company.

use crate::client::Client;
use crate::config::config;
use crate::rng::Rng;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{LeaseBuffers, OpenChannel, ReleasePackets, Request, Submit, Subscribe};
use avpu_proto::types::{Address, BufferAccess, ChannelId, FrameEnd, Join, RateControl, Sequence};
use avpud::core::Broker;
use avpud::core::event::{Input, Output, Peer, SessionKey};
use avpud::core::time::Micros;
use avpud::job::{EncodedPicture, JobId, JobOutcome, PictureStats};
use avpud::mem::addr::ByteLen;

/// What of a picture must not depend on the company.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    header: Vec<u8>,
    gop_index: u32,
    qp: u8,
}

/// What the camera and its recorder saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Diary {
    pictures: Vec<Picture>,
    packets: Vec<(u32, u64, u32)>,
    ends: Vec<FrameEnd>,
    /// Anything that is not meant to happen.
    surprises: u32,
}

impl Diary {
    /// Every frame was encoded and every packet read.
    pub(crate) fn is_complete(&self, frames: u64) -> bool {
        let frames = usize::try_from(frames).expect("few");
        self.surprises == 0 && self.packets.len() == frames && self.ends.len() == frames
    }
}

struct Stage {
    broker: Broker,
    now: Micros,
    rng: Rng,
    engine: Option<(JobId, Micros, u32)>,
    neighbours: Vec<Client>,
    channel: ChannelId,
    key: Option<avpud::job::ChannelKey>,
    address: Address,
    releases: Vec<ReleasePackets>,
    diary: Diary,
    foreign_jobs: u32,
    /// Readers that release nothing, and what they were sent.
    asleep: Vec<(SessionKey, Vec<Event>)>,
}

const CAMERA: SessionKey = SessionKey::new(1000);
const RECORDER: SessionKey = SessionKey::new(1001);
pub(crate) const FRAMES: u64 = 60;
const FRAME_US: u64 = 40_000;
/// Frames of a minute.
const MINUTE: u64 = 60_000_000 / FRAME_US;
/// Frames of the minute and of the two seconds after it.
pub(crate) const FRAMES_ASLEEP: u64 = MINUTE + 50;

/// Runs a camera of 25 pictures a second with this many neighbours. Answers also how many pictures those had encoded.
pub(crate) fn run(seed: u64, neighbours: u32) -> (Diary, u32) {
    let mut stage = Stage::new(seed);
    stage.set_up();
    for number in 0..neighbours {
        stage.join(SessionKey::new(number));
        let client = Client::new(SessionKey::new(number), &mut stage.rng);
        stage.neighbours.push(client);
    }
    for frame in 0..FRAMES {
        stage.submit(frame);
        let end = stage.now.plus_us(FRAME_US);
        for _ in 0..20 {
            stage.annoy();
            stage.pass_until(stage.now.plus_us(FRAME_US / 25));
        }
        stage.pass_until(end);
    }
    // Neighbours that are gone leave the last picture the engine's whole attention.
    stage.neighbours.clear();
    stage.pass_until(stage.now.plus_us(1_000_000));
    (stage.diary, stage.foreign_jobs)
}

/// What a reader that slept for a minute was sent: meanwhile, and after it released that.
pub(crate) type Slept = (Vec<Event>, Vec<Event>);

/// Runs the camera for a minute with this many readers that release nothing, and for two seconds in which they do.
pub(crate) fn run_beside_sleepers(count: u32, credits: u16) -> (Diary, Vec<Slept>) {
    let mut stage = Stage::new(1);
    stage.set_up();
    for number in 0..count {
        let session = SessionKey::new(number);
        stage.join(session);
        stage.asleep.push((session, Vec::new()));
        let wish = Subscribe {
            channel: stage.channel,
            credits,
            ..Subscribe::default()
        };
        stage.ask(session, Request::Subscribe(wish));
    }
    for frame in 0..MINUTE {
        stage.submit(frame);
        stage.pass_until(stage.now.plus_us(FRAME_US));
    }
    let asleep: Vec<_> = stage
        .asleep
        .iter_mut()
        .map(|(session, events)| (*session, core::mem::take(events)))
        .collect();
    for (session, events) in &asleep {
        if let Some(Event::Packet(last)) = events.last() {
            let release = ReleasePackets {
                subscription: last.subscription,
                sequence: last.sequence,
            };
            stage.ask(*session, Request::ReleasePackets(release));
        }
    }
    for frame in MINUTE..FRAMES_ASLEEP {
        stage.submit(frame);
        stage.pass_until(stage.now.plus_us(FRAME_US));
    }
    let woken = stage.asleep.into_iter().map(|(_, events)| events);
    let slept = asleep.into_iter().map(|(_, events)| events).zip(woken);
    (stage.diary, slept.collect())
}

impl Stage {
    fn new(seed: u64) -> Self {
        let now = Micros::new(0);
        Self {
            broker: Broker::new(config(), now),
            now,
            rng: Rng::new(seed),
            engine: None,
            neighbours: Vec::new(),
            channel: ChannelId::new(0),
            key: None,
            address: Address::new(0),
            releases: Vec::new(),
            diary: Diary::default(),
            foreign_jobs: 0,
            asleep: Vec::new(),
        }
    }

    fn submit(&mut self, frame: u64) {
        let submit = Submit {
            channel: self.channel,
            address: self.address,
            timestamp: frame,
            ..Submit::default()
        };
        self.ask(CAMERA, Request::Submit(submit));
    }

    fn set_up(&mut self) {
        self.join(CAMERA);
        self.join(RECORDER);
        let wish = OpenChannel {
            width: 320,
            height: 192,
            gop_length: 25,
            rate_control: RateControl::Cbr {
                bitrate_bps: 300_000,
                qp_min: 0,
                qp_max: 0,
            },
            name: "camera".into(),
            ..OpenChannel::default()
        };
        let Some(Reply::ChannelOpened(opened)) = self.ask(CAMERA, Request::OpenChannel(wish))
        else {
            panic!("expected an open channel");
        };
        self.channel = opened.channel;
        let channel = opened.channel;
        let lease = Request::LeaseBuffers(LeaseBuffers { channel, count: 1 });
        let Some(Reply::BuffersLeased(leased)) = self.ask(CAMERA, lease) else {
            panic!("expected a lease");
        };
        self.address = leased.buffers.first().expect("one").address;
        let wish = Subscribe {
            channel,
            ..Subscribe::default()
        };
        self.ask(RECORDER, Request::Subscribe(wish));
    }

    fn join(&mut self, session: SessionKey) {
        let peer = Peer {
            pid: session.value(),
            uid: 1000,
            gid: 1000,
        };
        self.feed(session, Input::Opened { session, peer });
    }

    /// A neighbour asks for something, or is replaced by another one.
    fn annoy(&mut self) {
        let count = u32::try_from(self.neighbours.len()).expect("few");
        let index = usize::try_from(self.rng.below(count)).expect("an index");
        let Some(neighbour) = self.neighbours.get_mut(index) else {
            return;
        };
        let session = neighbour.session;
        if self.rng.once_in(100) {
            *neighbour = Client::new(session, &mut self.rng);
            self.feed(session, Input::Closed { session });
            self.join(session);
            return;
        }
        let body = neighbour.request(&mut self.rng, (0x0500_0000, 0x0040_0000));
        // A reader may have a key frame for the asking: that is a service and no attack.
        let served = match &body {
            Some(Request::RequestIdr(_)) => true,
            Some(Request::Subscribe(wish)) => wish.join == Join::DemandIdr,
            _ => false,
        };
        if !served {
            let id = 7;
            self.feed(session, Input::Request { session, id, body });
        }
    }

    fn pass_until(&mut self, end: Micros) {
        while let Some((job, at, len)) = self.engine.filter(|(_, at, _)| *at <= end) {
            self.now = at;
            self.engine = None;
            let outcome = JobOutcome::Encoded(EncodedPicture {
                payload_len: ByteLen::new(len),
                stats: PictureStats::default(),
            });
            self.feed(CAMERA, Input::JobDone { job, outcome });
            while let Some(release) = self.releases.pop() {
                self.ask(RECORDER, Request::ReleasePackets(release));
            }
        }
        self.now = end;
    }

    fn ask(&mut self, session: SessionKey, body: Request) -> Option<Reply> {
        let (id, body) = (1, Some(body));
        let answer = self.feed(session, Input::Request { session, id, body });
        if matches!(answer, None | Some(Reply::Refused(_))) {
            self.diary.surprises += 1;
        }
        answer
    }

    /// Feeds the broker and does what it says; answers the last reply to `asker`.
    fn feed(&mut self, asker: SessionKey, input: Input) -> Option<Reply> {
        self.broker.handle(self.now, input);
        let mut answer = None;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Reply { session, body, .. } => {
                    let mut neighbours = self.neighbours.iter_mut();
                    if let Some(neighbour) = neighbours.find(|n| n.session == session) {
                        neighbour.learn(&body);
                    }
                    if session == asker {
                        answer = Some(body);
                    }
                }
                Output::Event { session, body } => self.hear(session, &body),
                Output::CreateChannel { channel, .. } => {
                    self.key.get_or_insert(channel);
                    let result = Ok(());
                    let input = Input::ChannelCreated { channel, result };
                    self.broker.handle(self.now, input);
                }
                Output::GrantLease { lease, .. } => {
                    let result = Ok(BufferAccess::None);
                    let input = Input::LeaseGranted { lease, result };
                    self.broker.handle(self.now, input);
                }
                Output::Submit(job) => {
                    let own = self.key == Some(job.channel);
                    let (took_us, len) = if own {
                        self.diary.pictures.push(Picture {
                            header: job.header.bytes().to_vec(),
                            gop_index: job.gop_index,
                            qp: job.qp.value(),
                        });
                        // Coarser pictures are smaller, as rate control expects.
                        (1100, 90_000 / u32::from(job.qp.value()))
                    } else {
                        self.foreign_jobs += 1;
                        (
                            200 + u64::from(self.rng.below(3000)),
                            10 + self.rng.below(3000),
                        )
                    };
                    self.engine = Some((job.id, self.now.plus_us(took_us), len));
                }
                Output::Deliver { job, room, .. } => {
                    let len = Some(ByteLen::new(room.capacity.value() / 3 * 2));
                    self.broker.handle(self.now, Input::Delivered { job, len });
                }
                _ => {}
            }
        }
        answer
    }

    fn hear(&mut self, session: SessionKey, event: &Event) {
        let mut asleep = self.asleep.iter_mut();
        if let Some((_, events)) = asleep.find(|(sleeper, _)| *sleeper == session) {
            events.push(event.clone());
        }
        match event {
            Event::Packet(packet) if session == RECORDER => {
                let sequence = packet.sequence;
                self.diary
                    .packets
                    .push((sequence.value(), packet.timestamp, packet.len_bytes));
                self.releases.push(ReleasePackets {
                    subscription: packet.subscription,
                    sequence: Sequence::new(sequence.value()),
                });
            }
            Event::SourceReleased(released) if session == CAMERA => {
                self.diary.ends.push(released.end);
            }
            Event::Gap(_) | Event::EndOfStream(_) | Event::EngineReset(_)
                if session == RECORDER || session == CAMERA =>
            {
                self.diary.surprises += 1;
            }
            _ => {}
        }
    }
}
