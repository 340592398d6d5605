//! Memory taken back from those who have not given it back.

use super::world::{World, config, frame, small};
use crate::core::event::{Guards, Input, SessionKey};
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, LeaseRevoked, LeaseRevoking};
use avpu_proto::reply::Reply;
use avpu_proto::report::{LeaseReport, Purpose};
use avpu_proto::request::{LeaseBuffers, Page, ReleaseQuarantine, Request, ReturnLease, Revoke};
use avpu_proto::types::{
    Address, BufferAccess, ChannelId, DropReason, FrameEnd, LeaseId, Overload, Sequence,
};

const DEVICE: BufferAccess = BufferAccess::PhysicalDevice {
    path: String::new(),
    offset_bytes: 0,
    cached: false,
};

struct Scene {
    world: World,
    operator: SessionKey,
    app: SessionKey,
    channel: ChannelId,
    lease: LeaseId,
    address: Address,
}

impl Scene {
    fn new(access: Option<BufferAccess>, quarantine_us: Option<u64>) -> Self {
        let mut config = config();
        config.quarantine_us = quarantine_us;
        let mut world = World::with(config);
        world.access = access.unwrap_or(world.access);
        let operator = world.connect(0);
        let app = world.connect(1);
        let channel = world.open(app, small()).channel;
        let leased = world.lease(app, channel, 1);
        world.other_events(app);
        Self {
            operator,
            app,
            channel,
            lease: leased.lease,
            address: leased.buffers[0].address,
            world,
        }
    }

    fn submit(&mut self) -> Reply {
        self.world.submit(self.app, self.channel, self.address)
    }

    fn revoke(&mut self, grace_us: u32) -> Reply {
        let lease = self.lease;
        let revoke = Request::Revoke(Revoke { lease, grace_us });
        self.world.ask(self.operator, revoke)
    }

    fn release(&mut self, address: Address) -> Reply {
        let release = Request::ReleaseQuarantine(ReleaseQuarantine { address });
        self.world.ask(self.operator, release)
    }

    fn pieces(&mut self) -> Vec<LeaseReport> {
        let page = Request::Memory(Page::default());
        let Reply::Memory(memory) = self.world.ask(self.operator, page) else {
            panic!("expected memory");
        };
        memory.leases.entries.into_iter().map(|e| e.0).collect()
    }

    fn quarantined(&mut self) -> Option<LeaseReport> {
        let mut pieces = self.pieces().into_iter();
        pieces.find(|piece| piece.purpose == Purpose::Quarantine)
    }

    fn quarantined_bytes(&mut self) -> u64 {
        match self.world.ask(self.operator, Request::Status) {
            Reply::Status(status) => status.quarantined_bytes,
            other => panic!("expected the status, found {other:?}"),
        }
    }

    fn told(&mut self) -> Vec<Event> {
        let mut events = self.world.other_events(self.app);
        events.retain(|e| !matches!(e, Event::ChannelChanged(_)));
        events
    }

    fn is_free(&self) -> bool {
        let leases = self.world.broker.pool.leased();
        leases.iter().all(|t| t.tenant.purpose == Purpose::Channel)
    }

    fn revoked(&self) -> Event {
        let lease = self.lease;
        Event::LeaseRevoked(LeaseRevoked { lease })
    }
}

fn code(reply: Reply) -> ErrorCode {
    match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_holder_is_told_first_and_fenced_when_its_time_is_over() {
    let mut scene = Scene::new(None, None);
    assert_eq!(scene.revoke(5_000), Reply::Done);
    let (lease, grace_us) = (scene.lease, 5_000);
    let told = Event::LeaseRevoking(LeaseRevoking { lease, grace_us });
    assert_eq!(scene.told(), [told]);
    assert!(matches!(scene.submit(), Reply::Submitted(_)), "it goes on");
    scene.world.finish(1_000, 100);
    scene.world.pass(3_999);
    assert!(!scene.is_free());
    scene.world.pass(1);
    assert!(scene.is_free());
    assert_eq!(scene.told(), [scene.revoked()]);
    assert_eq!(code(scene.submit()), ErrorCode::ADDRESS_FOREIGN);
    let give_back = Request::ReturnLease(ReturnLease { lease });
    let (world, app) = (&mut scene.world, scene.app);
    assert_eq!(world.refused(app, give_back), ErrorCode::NO_SUCH_OBJECT);
    assert_eq!(code(scene.revoke(0)), ErrorCode::NO_SUCH_OBJECT);
}

#[test]
fn revoked_memory_returns_only_when_the_picture_in_the_encoder_has_ended() {
    let mut scene = Scene::new(None, None);
    for _ in 0..3 {
        scene.submit();
    }
    scene.revoke(1_000);
    scene.told();
    scene.world.pass(1_000);
    let dropped = FrameEnd::Dropped(DropReason::Revoked);
    assert_eq!(scene.world.ends(scene.app), [dropped, dropped]);
    assert_eq!(scene.told(), [], "the encoder still reads it");
    assert!(!scene.is_free());
    let (world, app) = (&mut scene.world, scene.app);
    let again = Request::Submit(frame(scene.channel, scene.address));
    assert_eq!(world.refused(app, again), ErrorCode::ADDRESS_FOREIGN);

    scene.world.finish(1_000, 100);
    let sequence = Sequence::new(0);
    assert_eq!(
        scene.world.ends(scene.app),
        [FrameEnd::Encoded { sequence }]
    );
    assert_eq!(scene.told(), [scene.revoked()]);
    assert!(scene.is_free());
    let Reply::Channels(page) = scene
        .world
        .ask(scene.app, Request::Channels(Page::default()))
    else {
        panic!("expected channels");
    };
    assert_eq!(page.entries[0].0.dropped_revoked, 2);
}

#[test]
fn revoked_memory_returns_after_a_reset_past_its_picture_too() {
    let mut scene = Scene::new(None, None);
    scene.submit();
    scene.revoke(1_000);
    scene.world.pass(1_000);
    scene.world.hang_and_reset(false);
    assert!(
        !scene.is_free(),
        "an encoder that did not reset may read on"
    );
    while scene.world.resets_asked == 0 {
        let at = scene.world.broker.poll_timeout().expect("another try");
        scene.world.pass(at.since_us(scene.world.now));
    }
    scene.world.hang_and_reset(true);
    assert!(scene.is_free());
    assert!(scene.told().contains(&scene.revoked()));
}

#[test]
fn a_holder_that_returns_in_time_is_done() {
    let mut scene = Scene::new(Some(DEVICE), None);
    scene.revoke(0);
    scene.told();
    let lease = scene.lease;
    let give_back = Request::ReturnLease(ReturnLease { lease });
    assert_eq!(scene.world.ask(scene.app, give_back), Reply::Done);
    assert_eq!(scene.told(), [scene.revoked()]);
    assert!(scene.is_free(), "who gives back is believed");
    assert_eq!(scene.world.broker.poll_timeout(), None);
}

#[test]
fn a_second_revocation_shortens_the_time_and_never_extends_it() {
    let mut scene = Scene::new(None, None);
    scene.revoke(5_000);
    scene.revoke(9_000);
    scene.revoke(2_000);
    assert_eq!(
        scene.told().len(),
        2,
        "the one that changed nothing is not told"
    );
    scene.world.pass(2_000);
    assert!(scene.is_free());
    assert_eq!(scene.world.broker.poll_timeout(), None);
}

#[test]
fn submits_that_wait_for_room_are_refused_when_their_memory_is_revoked() {
    let mut scene = Scene::new(None, None);
    let wish = avpu_proto::request::OpenChannel {
        overload: Overload::Wait,
        ..small()
    };
    scene.channel = scene.world.open(scene.app, wish).channel;
    for _ in 0..5 {
        scene.submit();
    }
    let body = Request::Submit(frame(scene.channel, scene.address));
    let waits = scene.world.ask_later(scene.app, body);
    scene.revoke(1_000);
    scene.world.pass(1_000);
    let answer = scene
        .world
        .answer_to(scene.app, waits)
        .expect("no room will come");
    assert_eq!(code(answer), ErrorCode::ADDRESS_FOREIGN);
    assert_eq!(scene.world.ends(scene.app).len(), 4);
    scene.world.finish(1_000, 100);
    assert!(scene.is_free());
}

#[test]
fn memory_that_its_holder_reaches_by_address_stays_in_quarantine_for_the_set_time() {
    for revoked in [true, false] {
        let mut scene = Scene::new(Some(DEVICE), Some(1_000_000));
        if revoked {
            scene.revoke(1_000);
            scene.world.pass(1_000);
            assert_eq!(scene.told().len(), 2);
        } else {
            let session = scene.app;
            scene.world.feed(Input::Closed { session });
        }
        let piece = scene.quarantined().expect("it may still be written to");
        assert_eq!((piece.pid, piece.lease), (0, None));
        let bytes = u64::from(piece.len_bytes);
        assert_eq!(scene.quarantined_bytes(), bytes);
        scene.world.pass(999_999);
        assert_eq!(scene.quarantined_bytes(), bytes);
        scene.world.pass(1);
        assert_eq!(scene.quarantined_bytes(), 0);
        assert!(scene.is_free());
        assert_eq!(scene.world.broker.poll_timeout(), None);
    }
}

#[test]
fn memory_behind_a_descriptor_of_a_client_that_is_gone_is_free_at_once() {
    let mut scene = Scene::new(None, None);
    let session = scene.app;
    scene.world.feed(Input::Closed { session });
    assert!(scene.is_free());
}

#[test]
fn quarantine_for_ever_ends_when_an_operator_vouches_for_the_memory() {
    let mut scene = Scene::new(Some(DEVICE), None);
    let session = scene.app;
    scene.submit();
    scene.world.feed(Input::Closed { session });
    let all = scene.pieces();
    let buffer = scene.address;
    assert!(all.iter().all(|piece| piece.purpose == Purpose::Quarantine));
    assert_eq!(code(scene.release(buffer)), ErrorCode::IN_USE);
    scene.world.finish(1_000, 100);
    scene.world.pass(3_600_000_000);
    let piece = scene.quarantined().expect("for ever is long");
    let elsewhere = Address::new(piece.address.value() + 0x10_0000);
    assert_eq!(code(scene.release(elsewhere)), ErrorCode::NO_SUCH_OBJECT);
    assert_eq!(scene.release(piece.address), Reply::Done);
    assert_eq!(
        code(scene.release(piece.address)),
        ErrorCode::NO_SUCH_OBJECT
    );
    scene.world.feed(Input::Closed {
        session: scene.operator,
    });
    scene.world.assert_quiet();
}

#[test]
fn memory_with_broken_guards_can_be_vouched_for_by_the_address_of_its_first_buffer() {
    let mut scene = Scene::new(None, Some(0));
    scene.world.guards = Guards::Broken(1);
    scene.revoke(1_000);
    scene.world.pass(1_000_000_000);
    assert!(scene.quarantined().is_some(), "no time ends this");
    let buffer = scene.address;
    assert_eq!(scene.release(buffer), Reply::Done);
    assert!(scene.is_free());
}

#[test]
fn reports_name_the_leases_that_can_be_revoked() {
    let mut scene = Scene::new(None, None);
    let wish = LeaseBuffers {
        channel: scene.channel,
        count: 2,
    };
    let asked = scene.world.ask(scene.app, Request::LeaseBuffers(wish));
    assert!(matches!(asked, Reply::BuffersLeased(_)));
    let named: Vec<_> = scene.pieces().iter().map(|piece| piece.lease).collect();
    let lease = |number| Some(LeaseId::new(number));
    assert_eq!(named, [None, lease(1), lease(2)]);
}
