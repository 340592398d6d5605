//! Pictures that take longer than the device states: what is counted, who is told, what is still admitted.

use super::world::World;
use crate::core::event::SessionKey;
use crate::core::note::Note;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{Event, TicketDoubtful};
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, Fits, OpenChannel, Reconfigure, Request, Watch};
use avpu_proto::types::{Address, ChannelId, Class, FrameRate};

/// A picture of these is stated to take 1060 us.
fn wish(class: Class, fps: u32) -> OpenChannel {
    OpenChannel {
        width: 320,
        height: 192,
        fps: FrameRate { num: fps, den: 1 },
        gop_length: 1_000_000,
        class,
        ..OpenChannel::default()
    }
}

const STATED_US: u64 = 1060;

struct Camera {
    session: SessionKey,
    channel: ChannelId,
    source: Address,
}

fn camera(world: &mut World, number: u32, wish: OpenChannel) -> Camera {
    let (session, channel, source) = world.ready_with(number, wish);
    Camera {
        session,
        channel,
        source,
    }
}

/// Encodes so many pictures that take `us` each.
fn encode(world: &mut World, camera: &Camera, pictures: u32, us: u64) {
    for _ in 0..pictures {
        world.pass(1_000_000);
        world.submit(camera.session, camera.channel, camera.source);
        world.finish(us, 100);
    }
}

fn free_us(world: &mut World, asker: SessionKey) -> u32 {
    match world.ask(asker, Request::Fits(Fits::default())) {
        Reply::Fit(fit) => fit.free_us,
        other => panic!("expected an answer, found {other:?}"),
    }
}

fn doubts(world: &mut World, session: SessionKey) -> Vec<TicketDoubtful> {
    let events = world.other_events(session).into_iter();
    let doubts = events.filter_map(|event| match event {
        Event::TicketDoubtful(doubt) => Some(doubt),
        _ => None,
    });
    doubts.collect()
}

#[test]
fn pictures_that_are_slow_now_and_then_are_counted_as_stated() {
    let mut world = World::new();
    let camera = camera(&mut world, 1, wish(Class::Live, 25));
    let free = free_us(&mut world, camera.session);
    for _ in 0..20 {
        encode(&mut world, &camera, 20, 2 * STATED_US);
        encode(&mut world, &camera, 20, STATED_US);
    }
    encode(&mut world, &camera, 1, 30 * STATED_US);
    assert_eq!(free_us(&mut world, camera.session), free);
    let report = world.report(camera.session, camera.channel);
    assert_eq!((report.overruns, report.ticket_doubtful), (0, false));
    assert_eq!(u64::from(report.p_stated_us), STATED_US);
}

#[test]
fn pictures_that_are_slow_persistently_are_counted_with_what_they_take_until_they_no_longer_are() {
    let mut world = World::new();
    let camera = camera(&mut world, 1, wish(Class::Live, 25));
    let free = free_us(&mut world, camera.session);
    encode(&mut world, &camera, 100, 2 * STATED_US);
    // Its pictures take 1060 us more, 25 times a second.
    let less = free - free_us(&mut world, camera.session);
    assert!((23_000..=26_600).contains(&less), "{less}");
    let slow = world.report(camera.session, camera.channel);
    assert!(u64::from(slow.p_us) > 2 * STATED_US * 9 / 10, "{slow:?}");
    assert!((1..=4).contains(&slow.overruns), "{slow:?}");
    assert!(!slow.ticket_doubtful, "nobody else is there");
    assert_eq!(world.status(camera.session).overruns, slow.overruns);
    encode(&mut world, &camera, 100, STATED_US);
    assert_eq!(free_us(&mut world, camera.session), free);
    assert_eq!(
        world.report(camera.session, camera.channel).overruns,
        slow.overruns
    );
    let noted = |world: &World, longer: bool| {
        let of_cost = world.notes.iter().filter(|note| {
            matches!(note, Note::CostCounted { stated_us, counted_us, .. }
                if (counted_us > stated_us) == longer)
        });
        of_cost.count()
    };
    assert_eq!(noted(&world, true), usize::try_from(slow.overruns).unwrap());
    assert_eq!(noted(&world, false), 1);
}

#[test]
fn what_was_accepted_stays_and_whose_ticket_is_in_doubt_is_told_once() {
    let mut world = World::new();
    let watcher = world.connect(9);
    world.ask(watcher, Request::Watch(Watch { on: true }));
    // 2500 us behind a picture of the other: well within, until that takes three times as long.
    let hurried = OpenChannel {
        deadline_us: 2_500,
        ..wish(Class::Live, 25)
    };
    let live = camera(&mut world, 1, hurried);
    let slow = camera(&mut world, 2, wish(Class::BestEffort, 25));
    let ticket_us = world.report(live.session, live.channel).ticket_us;
    assert_eq!(ticket_us, 2_500);
    encode(&mut world, &slow, 100, 3 * STATED_US);
    let doubt = |doubtful| TicketDoubtful {
        channel: live.channel,
        ticket_us,
        doubtful,
    };
    assert_eq!(doubts(&mut world, live.session), [doubt(true)]);
    assert_eq!(doubts(&mut world, watcher), [doubt(true)]);
    assert_eq!(doubts(&mut world, slow.session), []);
    let doubted = world.report(live.session, live.channel);
    assert!(doubted.ticket_doubtful);
    assert_eq!(doubted.ticket_us, ticket_us, "the promise is what it was");
    assert_eq!(world.status(watcher).tickets_doubtful, 1);
    // Nothing that is refused below changed anything, and both still encode.
    encode(&mut world, &live, 1, STATED_US);
    encode(&mut world, &slow, 1, 3 * STATED_US);
    // Nobody is sold a ticket beside it.
    let other = world.connect(3);
    for class in [Class::Live, Class::BestEffort] {
        let refused = world.refused(other, Request::OpenChannel(wish(class, 5)));
        assert_eq!(refused, ErrorCode::NO_SCHEDULE, "{class:?}");
    }
    let close = Request::CloseChannel(CloseChannel {
        channel: slow.channel,
    });
    world.ask(slow.session, close);
    assert_eq!(doubts(&mut world, live.session), [doubt(false)]);
    assert_eq!(doubts(&mut world, watcher), [doubt(false)]);
    assert!(!world.report(live.session, live.channel).ticket_doubtful);
    assert_eq!(world.status(watcher).tickets_doubtful, 0);
    world.open(other, wish(Class::Live, 5));
}

#[test]
fn a_channel_may_always_ask_for_less() {
    let mut world = World::new();
    let hurried = OpenChannel {
        deadline_us: 2_500,
        ..wish(Class::Live, 25)
    };
    let live = camera(&mut world, 1, hurried);
    let slow = camera(&mut world, 2, wish(Class::Record, 25));
    encode(&mut world, &slow, 100, 3 * STATED_US);
    assert!(world.report(live.session, live.channel).ticket_doubtful);
    let at = |num| Reconfigure {
        channel: slow.channel,
        fps: Some(FrameRate { num, den: 1 }),
        ..Reconfigure::default()
    };
    let faster = world.refused(slow.session, Request::Reconfigure(at(30)));
    assert_eq!(faster, ErrorCode::NO_SCHEDULE);
    let slower = world.ask(slow.session, Request::Reconfigure(at(10)));
    assert!(matches!(slower, Reply::Reconfigured(_)), "{slower:?}");
    // Who waits longer than the other's pictures take is out of doubt.
    let patient = Reconfigure {
        channel: live.channel,
        deadline_us: Some(20_000),
        ..Reconfigure::default()
    };
    let changed = world.ask(live.session, Request::Reconfigure(patient));
    assert!(matches!(changed, Reply::Reconfigured(_)), "{changed:?}");
    let last = doubts(&mut world, live.session).pop().expect("some");
    assert!(!last.doubtful);
    assert_eq!(last.ticket_us, 20_000);
}

#[test]
fn a_change_is_checked_with_what_the_pictures_of_the_channel_take() {
    let mut world = World::new();
    let camera = camera(&mut world, 1, wish(Class::Live, 25));
    encode(&mut world, &camera, 200, 4 * STATED_US);
    // 240 pictures a second: a quarter of the time as stated, more than all of it as measured.
    let at = |num| Reconfigure {
        channel: camera.channel,
        fps: Some(FrameRate { num, den: 1 }),
        ..Reconfigure::default()
    };
    let refused = world.refused(camera.session, Request::Reconfigure(at(240)));
    assert_eq!(refused, ErrorCode::NO_CAPACITY);
    let changed = world.ask(camera.session, Request::Reconfigure(at(100)));
    assert!(matches!(changed, Reply::Reconfigured(_)), "{changed:?}");
}
