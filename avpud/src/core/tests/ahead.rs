//! Pictures that are made ready while another channel's is encoded: used as they are, or as if they had never been.

use super::requests::{flush, reset};
use super::world::{World, config, encoded, frame, small};
use crate::core::event::{Input, SessionKey};
use crate::job::{EncodeJob, JobFailure};
use crate::picture::PictureKind;
use avpu_proto::reply::Reply;
use avpu_proto::report::AheadReport;
use avpu_proto::request::{
    self, CloseChannel, OpenChannel, Reconfigure, Request, RequestIdr, Revoke, Submit,
};
use avpu_proto::types::{
    Address, Bytes, ChannelId, Class, FrameRate, Join, LeaseId, Overload, RateControl,
};

/// A channel and whose it is.
#[derive(Clone, Copy)]
struct Camera {
    app: SessionKey,
    channel: ChannelId,
    lease: LeaseId,
    address: Address,
}

/// Two channels: a picture of the first one is in the encoder, one of the second is ready.
struct Scene {
    world: World,
    first: Camera,
    second: Camera,
}

fn camera(world: &mut World, number: u32, wish: OpenChannel) -> Camera {
    let app = world.connect(number);
    let channel = world.open(app, wish).channel;
    let leased = world.lease(app, channel, 1);
    Camera {
        app,
        channel,
        lease: leased.lease,
        address: leased.buffers[0].address,
    }
}

impl Scene {
    fn new() -> Self {
        Self::with(small())
    }

    /// The second channel is opened like this.
    fn with(wish: OpenChannel) -> Self {
        let mut world = World::new();
        let first = camera(&mut world, 1, small());
        let second = camera(&mut world, 2, wish);
        let mut scene = Self {
            world,
            first,
            second,
        };
        // Both have had their IDR.
        for camera in [first, second] {
            scene.submit(camera);
            scene.world.finish(1000, 500);
        }
        scene.submit(first);
        assert_eq!(scene.counts(), AheadReport::default());
        scene.submit(second);
        assert_eq!(scene.counts(), prepared(1));
        scene
    }

    fn submit(&mut self, camera: Camera) {
        let reply = self
            .world
            .submit(camera.app, camera.channel, camera.address);
        assert!(matches!(reply, Reply::Submitted(_)), "{reply:?}");
    }

    fn ask(&mut self, camera: Camera, body: Request) {
        let reply = self.world.ask(camera.app, body);
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
    }

    fn counts(&self) -> AheadReport {
        match self.world.broker.status() {
            Reply::Status(status) => status.ahead,
            other => panic!("expected a status, found {other:?}"),
        }
    }

    /// What was made ready last.
    fn ready(&self) -> EncodeJob {
        *self.world.prepared.last().expect("a job was made ready")
    }

    /// The picture in the encoder ends; what is started then.
    fn next(&mut self) -> Option<EncodeJob> {
        self.world.finish(1000, 500);
        self.world.jobs.front().copied()
    }
}

fn prepared(count: u32) -> AheadReport {
    AheadReport {
        prepared: count,
        ..AheadReport::default()
    }
}

#[test]
fn what_was_made_ready_is_started_as_it_is() {
    let mut scene = Scene::new();
    let ready = scene.ready();
    assert_eq!(ready.kind, PictureKind::P);
    assert_eq!(scene.next(), Some(ready));
    let expected = AheadReport {
        used: 1,
        ..prepared(1)
    };
    assert_eq!(scene.counts(), expected);
}

#[test]
fn nothing_is_made_ready_for_the_channel_in_the_encoder_or_while_that_is_idle() {
    let mut world = World::new();
    let only = camera(&mut world, 1, small());
    for _ in 0..4 {
        world.submit(only.app, only.channel, only.address);
    }
    for _ in 0..4 {
        world.finish(1000, 500);
    }
    assert_eq!(world.prepared, []);
}

#[test]
fn a_daemon_that_is_told_not_to_makes_nothing_ready() {
    let mut world = World::with(crate::core::config::BrokerConfig {
        prepares_ahead: false,
        ..config()
    });
    for number in 1..3 {
        let camera = camera(&mut world, number, small());
        world.submit(camera.app, camera.channel, camera.address);
    }
    world.finish(1000, 500);
    world.finish(1000, 500);
    assert_eq!(world.prepared, []);
}

#[test]
fn it_stays_ready_whatever_others_do_that_is_not_more_urgent() {
    let mut scene = Scene::new();
    let third = camera(&mut scene.world, 3, small());
    scene.submit(third);
    let (first, second) = (scene.first, scene.second);
    scene.submit(first);
    scene.submit(second);
    let reader = scene.world.connect(4);
    scene
        .world
        .subscribe(reader, first.channel, Join::DemandIdr, 4);
    scene.world.pass(50);
    scene.ask(first, flush(first.channel));
    assert_eq!(scene.counts(), prepared(1));
}

#[test]
fn a_more_urgent_picture_takes_its_place() {
    let mut scene = Scene::new();
    let wish = OpenChannel {
        class: Class::Live,
        ..small()
    };
    let urgent = camera(&mut scene.world, 3, wish);
    // A channel's first picture is due a period after its opening.
    scene.world.pass(41_000);
    assert_eq!(scene.counts().overtaken, 0);
    scene.submit(urgent);
    let expected = AheadReport {
        overtaken: 1,
        ..prepared(2)
    };
    assert_eq!(scene.counts(), expected);
    let ready = scene.ready();
    assert_eq!(ready.source.start().value(), urgent.address.value());
    assert_eq!(scene.next(), Some(ready));
    // And that of the second channel is made ready again.
    assert_eq!(scene.counts().prepared, 3);
    let ready = scene.ready();
    assert_eq!(scene.next(), Some(ready));
    assert_eq!(scene.counts().used, 2);
}

#[test]
fn the_next_picture_of_the_channel_in_the_encoder_may_be_the_more_urgent_one() {
    let mut world = World::new();
    let wish = OpenChannel {
        class: Class::Live,
        ..small()
    };
    let first = camera(&mut world, 1, wish);
    let second = camera(&mut world, 2, small());
    world.pass(41_000);
    let mut scene = Scene {
        world,
        first,
        second,
    };
    scene.submit(first);
    scene.world.pass(41_000);
    scene.submit(first);
    scene.submit(second);
    assert_eq!(scene.counts(), prepared(1));
    let next = scene.next().expect("two frames wait");
    assert_eq!(next.source.start().value(), first.address.value());
    assert_eq!(scene.counts().overtaken, 1);
}

/// Does something to the second channel that drops what was made ready for it; only what was made ready after that is
/// used.
fn dropped(scene: &mut Scene, change: impl FnOnce(&mut Scene, Camera)) -> AheadReport {
    let second = scene.second;
    change(scene, second);
    let counts = scene.counts();
    scene.next();
    assert_eq!(scene.counts().used, counts.prepared.min(2) - 1);
    counts
}

#[test]
fn a_frame_that_is_flushed_superseded_too_old_or_whose_memory_is_taken_back_drops_it() {
    let latest = OpenChannel {
        overload: Overload::LatestOnly,
        ..small()
    };
    let hasty = OpenChannel {
        deadline_us: 3000,
        ..small()
    };
    let flush = |scene: &mut Scene, camera: Camera| {
        let channel = camera.channel;
        scene.ask(camera, flush(channel));
    };
    let counts = dropped(&mut Scene::new(), flush);
    assert_eq!((counts.frame_gone, counts.prepared), (1, 1));
    let counts = dropped(&mut Scene::with(latest), Scene::submit);
    assert_eq!((counts.frame_gone, counts.prepared), (1, 2));
    let wait = |scene: &mut Scene, camera: Camera| {
        scene.world.pass(3001);
        scene.ask(camera, Request::Capabilities);
    };
    let counts = dropped(&mut Scene::with(hasty.clone()), wait);
    assert_eq!((counts.frame_gone, counts.prepared), (1, 1));
    let revoke = |scene: &mut Scene, camera: Camera| {
        let operator = scene.world.connect(0);
        let revoke = Request::Revoke(Revoke {
            lease: camera.lease,
            grace_us: 1,
        });
        let reply = scene.world.ask(operator, revoke);
        assert_eq!(reply, Reply::Done);
        scene.world.pass(1);
    };
    let counts = dropped(&mut Scene::new(), revoke);
    assert_eq!((counts.frame_gone, counts.prepared), (1, 1));
    // It grows too old in the very moment in which its turn comes.
    let mut scene = Scene::with(hasty);
    scene.world.pass(2500);
    assert_eq!(scene.next(), None);
    assert_eq!(scene.counts().frame_gone, 1);
}

#[test]
fn a_channel_that_is_closed_or_whose_client_leaves_drops_it() {
    let close = |scene: &mut Scene, camera: Camera| {
        let channel = camera.channel;
        scene.ask(camera, Request::CloseChannel(CloseChannel { channel }));
    };
    let leave = |scene: &mut Scene, camera: Camera| {
        let session = camera.app;
        scene.world.feed(Input::Closed { session });
    };
    let counts = dropped(&mut Scene::new(), close);
    assert_eq!((counts.channel_gone, counts.prepared), (1, 1));
    let counts = dropped(&mut Scene::new(), leave);
    assert_eq!((counts.channel_gone, counts.prepared), (1, 1));
}

#[test]
fn a_channel_that_is_changed_drops_it_and_is_made_ready_again_after_its_next_picture() {
    let mut scene = Scene::new();
    let (first, second) = (scene.first, scene.second);
    let counts = dropped(&mut scene, |scene, camera| {
        let wish = Reconfigure {
            channel: camera.channel,
            rate_control: Some(RateControl::FixQp { qp: 41 }),
            ..Reconfigure::default()
        };
        scene.ask(camera, Request::Reconfigure(wish));
    });
    assert_eq!((counts.changed, counts.prepared), (1, 1));
    let job = scene.world.jobs.front().expect("the second channel's");
    assert_eq!(job.qp.value(), 41);
    assert_eq!(scene.world.tuned.len(), 1);
    scene.submit(first);
    scene.next();
    scene.submit(second);
    let ready = scene.ready();
    assert_eq!(scene.next(), Some(ready));
}

#[test]
fn user_data_for_idrs_that_comes_later_is_in_the_idr() {
    let mut scene = Scene::new();
    let second = scene.second;
    let idr = |channel| {
        Request::RequestIdr(RequestIdr {
            channel,
            name: String::new(),
        })
    };
    scene.ask(second, idr(second.channel));
    assert_eq!((scene.counts().idr, scene.counts().prepared), (1, 2));
    let counts = dropped(&mut scene, |scene, camera| {
        let data = request::UserData {
            channel: camera.channel,
            uuid: Bytes(vec![7; 16]),
            payload: Bytes(b"a place".to_vec()),
            every_idr: true,
        };
        scene.ask(camera, Request::UserData(data));
    });
    assert_eq!((counts.changed, counts.prepared), (1, 3));
    let job = scene.world.jobs.front().expect("the second channel's");
    assert!(job.header.bytes().windows(7).any(|part| part == b"a place"));
    assert_eq!(scene.counts().used, 1);
}

#[test]
fn a_reset_of_the_stream_drops_it() {
    let counts = dropped(&mut Scene::new(), |scene, camera| {
        let channel = camera.channel;
        scene.ask(camera, reset(channel));
        scene.submit(camera);
    });
    // Its frame is dropped, and the next one begins a stream.
    assert_eq!((counts.frame_gone, counts.prepared), (1, 2));
}

#[test]
fn a_demand_for_an_idr_drops_it_also_one_that_only_becomes_due() {
    let mut scene = Scene::new();
    let second = scene.second;
    let idr = Request::RequestIdr(RequestIdr {
        channel: second.channel,
        name: String::new(),
    });
    let counts = dropped(&mut scene, |scene, camera| scene.ask(camera, idr.clone()));
    assert_eq!((counts.idr, counts.prepared), (1, 2));
    let job = scene.world.jobs.front().expect("the second channel's");
    assert_eq!(job.kind, PictureKind::Idr);

    // That was delivered. The next one of the same client has to wait; it is due while a P picture is ready.
    scene.world.finish(1000, 500);
    scene.ask(second, idr);
    let first = scene.first;
    scene.submit(first);
    scene.submit(second);
    assert_eq!(scene.ready().kind, PictureKind::P);
    scene.world.pass(90_000);
    let before = scene.counts();
    let mut kinds = Vec::new();
    for _ in 0..20 {
        kinds.push(scene.next().expect("the second channel's").kind);
        scene.world.finish(1000, 500);
        scene.submit(first);
        scene.submit(second);
        scene.world.pass(90_000);
    }
    let idrs = kinds.iter().filter(|kind| **kind == PictureKind::Idr);
    assert_eq!(idrs.count(), 1);
    assert_eq!(scene.counts().idr, before.idr + 1);
}

#[test]
fn a_reset_of_the_encoder_drops_it() {
    let mut scene = Scene::new();
    let ready = scene.ready();
    scene.world.hang_and_reset(true);
    assert_eq!(scene.counts().recovery, 1);
    assert_eq!(scene.counts().used, 0);
    // The picture is the same, made anew.
    let next = scene.world.jobs.front().expect("the second channel's");
    assert_eq!((next.source, &next.header), (ready.source, &ready.header));

    for failure in [JobFailure::Device, JobFailure::Unstopped] {
        let mut scene = Scene::new();
        scene.world.fail(failure);
        assert_eq!((scene.counts().recovery, scene.counts().used), (1, 0));
    }
}

#[test]
fn a_failed_picture_of_another_channel_changes_nothing() {
    let mut scene = Scene::new();
    let ready = scene.ready();
    scene.world.fail(JobFailure::ErrorFill { status: 0 });
    assert_eq!(scene.world.jobs.front(), Some(&ready));
    assert_eq!(scene.counts().used, 1);
}

/// xorshift32
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }
}

/// What clients and encoder do in one of two worlds that differ in nothing but in looking ahead.
fn live(seed: u32, prepares_ahead: bool) -> (World, Vec<EncodeJob>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9) | 1);
    let mut world = World::with(crate::core::config::BrokerConfig {
        prepares_ahead,
        ..config()
    });
    let mut cameras = Vec::new();
    for number in 1..=2 + random.below(3) {
        let rated = RateControl::Cbr {
            bitrate_bps: 300_000,
            qp_min: 0,
            qp_max: 0,
        };
        let classes = [Class::Live, Class::Record, Class::BestEffort];
        let wish = OpenChannel {
            class: classes[usize::try_from(random.below(3)).expect("few")],
            fps: FrameRate {
                num: 5 + random.below(20),
                den: 1,
            },
            gop_length: 2 + random.below(9),
            deadline_us: random.below(2) * 20_000,
            overload: [Overload::DropOldest, Overload::LatestOnly]
                [usize::try_from(random.below(2)).expect("few")],
            rate_control: match random.below(2) {
                0 => RateControl::FixQp { qp: 30 },
                _ => rated,
            },
            ..small()
        };
        cameras.push(camera(&mut world, number, wish));
    }
    let mut jobs = Vec::new();
    for _ in 0..400 {
        let index = usize::try_from(random.below(u32::try_from(cameras.len()).expect("few")));
        let camera = cameras[index.expect("few")];
        let channel = camera.channel;
        match random.below(24) {
            0..=8 => {
                let submit = Submit {
                    force_idr: random.below(12) == 0,
                    ..frame(channel, camera.address)
                };
                world.ask_later(camera.app, Request::Submit(submit));
            }
            9..=17 => {
                let (us, len) = (random.below(9000), 100 + random.below(6000));
                world.pass(u64::from(us));
                if let Some(job) = world.jobs.pop_front() {
                    let outcome = match random.below(16) {
                        0 => crate::job::JobOutcome::Failed(JobFailure::ErrorFill { status: 0 }),
                        1 => crate::job::JobOutcome::Failed(JobFailure::Device),
                        _ => encoded(len),
                    };
                    world.delivery_fails = random.below(20) == 0;
                    jobs.push(job);
                    world.done(job.id, outcome);
                }
            }
            18 => world.pass(u64::from(random.below(60_000))),
            19 => {
                let name = String::new();
                let idr = Request::RequestIdr(RequestIdr { channel, name });
                world.ask_later(camera.app, idr);
            }
            20 => {
                let _ = world.ask_later(camera.app, flush(channel));
            }
            21 => {
                let _ = world.ask_later(camera.app, reset(channel));
            }
            22 => {
                let wish = Reconfigure {
                    channel,
                    gop_length: 2 + random.below(9),
                    class: (random.below(2) == 0).then_some(Class::Live),
                    ..Reconfigure::default()
                };
                world.ask_later(camera.app, Request::Reconfigure(wish));
            }
            _ => {
                let data = request::UserData {
                    channel,
                    uuid: Bytes(vec![1; 16]),
                    payload: Bytes(vec![u8::try_from(random.below(200)).expect("a byte"); 9]),
                    every_idr: random.below(2) == 0,
                };
                world.ask_later(camera.app, Request::UserData(data));
            }
        }
        while world.resets_asked > 0 {
            world.hang_and_reset(random.below(4) > 0);
        }
    }
    (world, jobs)
}

#[test]
fn the_same_arrivals_give_the_same_jobs_in_the_same_order_with_and_without_it() {
    let mut all = AheadReport::default();
    for seed in 1..=120 {
        let (ahead, jobs) = live(seed, true);
        let (plain, expected) = live(seed, false);
        assert_eq!(jobs, expected, "seed {seed}");
        assert_eq!(ahead.trace, plain.trace, "seed {seed}");
        assert_eq!(ahead.replies, plain.replies, "seed {seed}");
        assert_eq!(ahead.events, plain.events, "seed {seed}");
        assert_eq!(plain.prepared, [], "seed {seed}");
        let Reply::Status(status) = ahead.broker.status() else {
            panic!("expected a status");
        };
        let counts = status.ahead;
        let ended = counts.used
            + counts.overtaken
            + counts.frame_gone
            + counts.channel_gone
            + counts.changed
            + counts.idr
            + counts.recovery;
        assert!(counts.prepared - ended <= 1, "seed {seed}: {counts:?}");
        all.used += counts.used;
        all.overtaken += counts.overtaken;
        all.frame_gone += counts.frame_gone;
        all.changed += counts.changed;
        all.idr += counts.idr;
        all.recovery += counts.recovery;
    }
    let shown = [
        all.used,
        all.overtaken,
        all.frame_gone,
        all.changed,
        all.idr,
        all.recovery,
    ];
    assert!(shown.iter().all(|count| *count > 0), "{all:?}");
}
