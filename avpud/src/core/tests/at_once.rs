//! Everything at once: a lease is revoked, its holder resets, closes and dies, the daemon stops, and the picture that
//! reads the lease ends in one way or another, in every order. Memory comes back after that end and never before.

use super::requests::reset;
use super::world::{World, encoded, small};
use crate::core::event::{Input, SessionKey};
use crate::job::{EngineId, JobFailure, JobOutcome};
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, Request, ReturnLease, Revoke};
use avpu_proto::types::{BufferAccess, ChannelId, LeaseId};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Fence,
    Return,
    Reset,
    Close,
    Die,
    Stop,
    End,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Encoded,
    TooLarge,
    Hangs,
    HangsFirstResetFails,
    Unstopped,
}

struct Scene {
    world: World,
    operator: SessionKey,
    app: SessionKey,
    channel: ChannelId,
    lease: LeaseId,
    dead: bool,
    ends: BTreeMap<u32, u32>,
}

impl Scene {
    /// A picture in the encoder, another one that waits, both in a lease that is being revoked.
    fn new(access: BufferAccess) -> Self {
        let mut world = World::new();
        world.access = access;
        let operator = world.connect(0);
        let app = world.connect(1);
        let channel = world.open(app, small()).channel;
        let lease = world.lease(app, channel, 1);
        let address = lease.buffers[0].address;
        world.submit(app, channel, address);
        world.finish(1000, 100);
        for _ in 0..3 {
            world.submit(app, channel, address);
        }
        let lease = lease.lease;
        let grace_us = 10_000_000;
        let revoke = Request::Revoke(Revoke { lease, grace_us });
        assert_eq!(world.ask(operator, revoke), Reply::Done);
        world.releases(app);
        world.trace.clear();
        Self {
            world,
            operator,
            app,
            channel,
            lease,
            dead: false,
            ends: BTreeMap::new(),
        }
    }

    fn ask(&mut self, body: Request) {
        if !self.dead && self.world.finished.is_none() {
            self.world.ask_later(self.app, body);
        }
    }

    fn take(&mut self, step: Step, ending: Ending) {
        let (channel, lease) = (self.channel, self.lease);
        match step {
            Step::Fence => {
                // At once, as a second request shortens the time.
                let revoke = Request::Revoke(Revoke { lease, grace_us: 1 });
                self.world.ask_later(self.operator, revoke);
                self.world.pass(1);
            }
            Step::Return => self.ask(Request::ReturnLease(ReturnLease { lease })),
            Step::Reset => self.ask(reset(channel)),
            Step::Close => self.ask(Request::CloseChannel(CloseChannel { channel })),
            Step::Die => {
                self.dead = true;
                let session = self.app;
                self.world.feed(Input::Closed { session });
            }
            Step::Stop => self.world.feed(Input::Shutdown),
            Step::End => self.end(ending),
        }
        for released in self.world.releases(self.app) {
            *self.ends.entry(released.frame.value()).or_default() += 1;
        }
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Encoded => self.done(encoded(100)),
            Ending::TooLarge => self.done(JobOutcome::Failed(JobFailure::Overflow {
                bytes: 90_000,
                budget: 8000,
            })),
            Ending::Hangs => {
                while self.world.resets_asked == 0 {
                    let at = self.world.broker.poll_timeout().expect("a watchdog");
                    self.world.pass(at.since_us(self.world.now));
                }
                self.reset(true);
            }
            Ending::HangsFirstResetFails => {
                while self.world.resets_asked == 0 {
                    let at = self.world.broker.poll_timeout().expect("a watchdog");
                    self.world.pass(at.since_us(self.world.now));
                }
                self.reset(false);
                while self.world.resets_asked == 0 {
                    let at = self.world.broker.poll_timeout().expect("another reset");
                    self.world.pass(at.since_us(self.world.now));
                }
                self.reset(true);
            }
            Ending::Unstopped => {
                let job = self.world.jobs.front().expect("in the encoder").id;
                self.world
                    .done(job, JobOutcome::Failed(JobFailure::Unstopped));
                self.reset(true);
            }
        }
    }

    fn done(&mut self, outcome: JobOutcome) {
        let job = self.world.jobs.pop_front().expect("in the encoder");
        self.world.trace.push("ended".to_owned());
        self.world.done(job.id, outcome);
    }

    fn reset(&mut self, ok: bool) {
        self.world.resets_asked -= 1;
        if ok {
            self.world.jobs.pop_front();
            self.world.trace.push("ended".to_owned());
        }
        let engine = EngineId::VIDEO;
        self.world.feed(Input::EngineReset { engine, ok });
    }

    /// Ends what is still to come, and looks at what happened.
    fn conclude(mut self, order: &str) {
        while !self.world.jobs.is_empty() {
            self.done(encoded(100));
            for released in self.world.releases(self.app) {
                *self.ends.entry(released.frame.value()).or_default() += 1;
            }
        }
        assert!(self.ends.values().all(|count| *count == 1), "{order}");
        if !self.dead {
            let frames: Vec<u32> = self.ends.keys().copied().collect();
            assert_eq!(frames, [1, 2, 3], "{order}");
        }
        let mut in_encoder = true;
        for event in &self.world.trace {
            match event.as_str() {
                "submit" => in_encoder = true,
                "ended" => in_encoder = false,
                // Its lease, or its channel with all that the encoder writes.
                "revoke" | "destroy" => assert!(!in_encoder, "{order}: {:?}", self.world.trace),
                _ => {}
            }
        }
        let told = self.world.other_events(self.app);
        let revoked = told.iter().filter(|e| matches!(e, Event::LeaseRevoked(_)));
        assert!(revoked.count() <= 1, "{order}");
        self.world.feed(Input::Shutdown);
        for session in [self.operator, self.app] {
            self.world.feed(Input::Closed { session });
        }
        self.world.pass(2_000_000);
        self.world.pass(2_000_000);
        assert_eq!(self.world.finished, Some(false), "{order}");
        self.world.assert_quiet();
    }
}

/// Every order of `steps`.
fn orders(steps: &[Step]) -> Vec<Vec<Step>> {
    let Some((first, rest)) = steps.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, *first);
            all.push(order);
        }
    }
    all
}

#[test]
fn memory_comes_back_after_the_picture_that_uses_it_whatever_comes_first() {
    use Step::{Close, Die, End, Fence, Reset, Return, Stop};
    let endings = [
        Ending::Encoded,
        Ending::TooLarge,
        Ending::Hangs,
        Ending::HangsFirstResetFails,
        Ending::Unstopped,
    ];
    let orders = orders(&[Fence, Return, Reset, Close, Die, Stop, End]);
    assert_eq!(orders.len(), 5040);
    let accesses = [
        BufferAccess::None,
        BufferAccess::Descriptor {
            offset_bytes: 0,
            cached: false,
        },
    ];
    for (index, order) in orders.iter().enumerate() {
        let ending = endings[index % endings.len()];
        let access = &accesses[index / endings.len() % accesses.len()];
        let mut scene = Scene::new(access.clone());
        for step in order {
            scene.take(*step, ending);
        }
        scene.conclude(&format!("{ending:?} {access:?} {order:?}"));
    }
}
