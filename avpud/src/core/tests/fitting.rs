//! What fits, what does not and why, and the promises to those that are open.

use super::world::{World, small};
use crate::core::event::SessionKey;
use crate::core::note::Note;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::record::Record;
use avpu_proto::reply::{Fit, Reply};
use avpu_proto::request::{Fits, OpenChannel, Reconfigure, Request, Watch};
use avpu_proto::types::{Class, FrameRate};

fn wish(width: u16, height: u16, fps: u32, class: Class) -> OpenChannel {
    OpenChannel {
        width,
        height,
        fps: FrameRate { num: fps, den: 1 },
        class,
        ..OpenChannel::default()
    }
}

fn fits(world: &mut World, session: SessionKey, channels: &[OpenChannel], alone: bool) -> Fit {
    let channels = channels.iter().cloned().map(Record).collect();
    match world.ask(session, Request::Fits(Fits { channels, alone })) {
        Reply::Fit(fit) => fit,
        other => panic!("expected an answer, found {other:?}"),
    }
}

fn refusal(world: &mut World, session: SessionKey, wish: OpenChannel) -> (ErrorCode, String) {
    match world.ask(session, Request::OpenChannel(wish)) {
        Reply::Refused(refusal) => (refusal.code, refusal.sentence),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_refusal_for_want_of_time_names_what_is_missing_who_has_it_and_what_would_fit() {
    let mut world = World::new();
    let app = world.connect(1);
    // 3600 macroblocks at 4 us and some: 725 ms of a second.
    let main = OpenChannel {
        name: "main".into(),
        ..wish(1280, 720, 50, Class::BestEffort)
    };
    world.open(app, main);
    let (code, sentence) = refusal(&mut world, app, wish(1280, 720, 50, Class::BestEffort));
    assert_eq!(code, ErrorCode::NO_CAPACITY);
    for part in [
        "us too much",
        "1280x720@15 would fit",
        "\"main\" of process 101 has",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    world.open(app, wish(1280, 720, 15, Class::BestEffort));
}

#[test]
fn where_no_rate_helps_a_smaller_size_is_named() {
    let mut world = World::new();
    let app = world.connect(1);
    world.open(app, wish(1920, 1088, 1, Class::BestEffort));
    world.open(app, wish(1920, 1088, 1, Class::BestEffort));
    let large = wish(1920, 1088, 5, Class::BestEffort);
    let (code, sentence) = refusal(&mut world, app, large.clone());
    assert_eq!(code, ErrorCode::NO_MEMORY);
    for part in ["bytes too much", "240x136@5 would fit", "process 101 has"] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    let fit = fits(&mut world, app, &[large], false);
    let near = fit.nearest.first().expect("something fits").0;
    assert_eq!((near.width, near.height, near.fps.num), (240, 136, 5));
    world.open(app, wish(240, 136, 5, Class::BestEffort));
}

#[test]
fn an_open_that_would_break_a_ticket_is_refused_with_its_holder() {
    let mut world = World::new();
    let (app, other) = (world.connect(1), world.connect(2));
    let live = OpenChannel {
        name: "door".into(),
        deadline_us: 10_000,
        ..wish(640, 352, 25, Class::Live)
    };
    assert_eq!(world.open(app, live).ticket_us, 10_000);
    // A picture of 3600 macroblocks takes 14.5 ms.
    let (code, sentence) = refusal(&mut world, other, wish(1280, 720, 1, Class::BestEffort));
    assert_eq!(code, ErrorCode::NO_SCHEDULE);
    for part in ["\"door\" of process 101", "10000 us", "would fit"] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    world.open(other, wish(640, 360, 25, Class::BestEffort));
}

#[test]
fn a_ticket_that_cannot_be_kept_is_not_given() {
    let mut world = World::new();
    let app = world.connect(1);
    world.open(app, wish(1280, 720, 1, Class::BestEffort));
    let hurried = OpenChannel {
        deadline_us: 10_000,
        ..wish(640, 352, 25, Class::Live)
    };
    let (code, sentence) = refusal(&mut world, app, hurried);
    assert_eq!(code, ErrorCode::NO_SCHEDULE);
    assert!(
        sentence.contains("this channel waits at most 10000 us"),
        "{sentence}"
    );
}

#[test]
fn best_effort_has_no_ticket_and_the_others_have_what_is_left_of_a_period() {
    let mut world = World::new();
    let app = world.connect(1);
    let cost_us = 100 + 240 * 4;
    for (class, ticket_us) in [
        (Class::BestEffort, 0),
        (Class::Snapshot, 40_000 - cost_us),
        (Class::Record, 40_000 - cost_us),
        (Class::Live, 40_000 - cost_us),
    ] {
        assert_eq!(
            world.open(app, wish(320, 192, 25, class)).ticket_us,
            ticket_us
        );
    }
}

#[test]
fn what_is_said_to_fit_is_opened_and_asking_changes_nothing() {
    let mut world = World::new();
    let app = world.connect(1);
    let both = [
        wish(1280, 720, 25, Class::Live),
        wish(640, 360, 15, Class::Record),
    ];
    let fit = fits(&mut world, app, &both, false);
    assert!(fit.fits && fit.obstacle.is_empty() && fit.nearest.is_empty());
    assert_eq!(fits(&mut world, app, &both, false), fit);
    assert!(fit.needed_us <= fit.free_us && fit.needed_bytes <= fit.free_bytes);
    assert_eq!(world.broker.pool.used_bytes(), 0);
    let opened = both.clone().map(|wish| world.open(app, wish).ticket_us);
    assert_eq!(fit.tickets_us, opened);
    assert_eq!(fits(&mut world, app, &both, true).fits, fit.fits);
}

#[test]
fn channels_that_do_not_fit_together_are_told_why_and_what_would() {
    let mut world = World::new();
    let app = world.connect(1);
    let three = [
        wish(1280, 720, 25, Class::BestEffort),
        wish(1280, 720, 25, Class::BestEffort),
        wish(1280, 720, 50, Class::BestEffort),
    ];
    let fit = fits(&mut world, app, &three, false);
    assert!(!fit.fits && fit.tickets_us.is_empty());
    assert!(fit.obstacle.contains("us too much"), "{}", fit.obstacle);
    assert!(fit.needed_us > fit.free_us);
    let near: Vec<u32> = fit.nearest.iter().map(|near| near.0.fps.num).collect();
    assert_eq!(near, [25, 25, 15]);
    let sizes = fit.nearest.iter().all(|near| near.0.width == 1280);
    assert!(sizes);
    for Record(near) in fit.nearest {
        let fps = near.fps.num;
        world.open(app, wish(near.width, near.height, fps, Class::BestEffort));
    }
}

#[test]
fn what_cannot_be_encoded_at_all_is_refused_and_not_answered() {
    let mut world = World::new();
    let app = world.connect(1);
    let channels = vec![Record(wish(0, 0, 25, Class::Live))];
    let question = Request::Fits(Fits {
        channels,
        alone: false,
    });
    assert_eq!(world.refused(app, question), ErrorCode::INVALID_PARAMETER);
}

#[test]
fn a_breach_is_told_counted_and_noted_and_only_while_the_channel_keeps_its_part() {
    let mut world = World::new();
    let (app, other, watcher) = (world.connect(1), world.connect(2), world.connect(3));
    world.ask(watcher, Request::Watch(Watch { on: true }));
    let live = OpenChannel {
        deadline_us: 5_000,
        ..wish(320, 192, 25, Class::Live)
    };
    let channel = world.open(app, live).channel;
    let slow = world.open(other, small()).channel;
    let source = world.lease(app, channel, 1).buffers[0].address;
    let other_source = world.lease(other, slow, 1).buffers[0].address;
    let breaches = |world: &mut World, session| {
        let events = world.other_events(session).into_iter();
        let breaches = events.filter_map(|event| match event {
            Event::TicketBreached(breach) => Some(breach),
            _ => None,
        });
        breaches.collect::<Vec<_>>()
    };
    // A picture of the other channel takes ten times what the device states.
    world.pass(100_000);
    world.submit(other, slow, other_source);
    world.pass(6_000);
    world.submit(app, channel, source);
    world.finish(4_999, 100);
    world.finish(1_000, 100);
    assert!(breaches(&mut world, app).is_empty());
    world.pass(100_000);
    world.submit(other, slow, other_source);
    world.submit(app, channel, source);
    world.finish(5_000, 100);
    world.finish(1_000, 100);
    assert!(breaches(&mut world, app).is_empty());
    // The deadline would drop a frame that is later: so the ticket is shorter from here on.
    world
        .broker
        .channels
        .iter_mut()
        .flatten()
        .for_each(|c| c.parameters.deadline_us = 0);
    world.pass(100_000);
    world.submit(other, slow, other_source);
    world.submit(app, channel, source);
    world.finish(5_001, 100);
    world.finish(1_000, 100);
    let told = breaches(&mut world, app);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].wait_us, told[0].ticket_us, told[0].breaches),
        (5_001, 5_000, 1)
    );
    assert_eq!(breaches(&mut world, watcher), told);
    assert!(breaches(&mut world, other).is_empty());
    let noted = |note: &&Note| matches!(note, Note::TicketBreached { wait_us: 5_001, .. });
    assert_eq!(world.notes.iter().filter(noted).count(), 1);
    // Three at once: the second and third wait for their own.
    world.pass(100_000);
    for _ in 0..3 {
        world.submit(app, channel, source);
    }
    for _ in 0..3 {
        world.finish(50_000, 100);
    }
    assert!(breaches(&mut world, app).is_empty());
    // One that comes when it should waits behind one that should not have come.
    world.pass(100_000);
    for _ in 0..2 {
        world.submit(app, channel, source);
    }
    world.pass(40_000);
    world.submit(app, channel, source);
    for took_us in [10_000, 60_000, 1_000] {
        world.finish(took_us, 100);
    }
    assert!(breaches(&mut world, app).is_empty());
}

#[test]
fn a_shorter_ticket_for_the_same_pictures_is_tested_like_a_new_one() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, wish(640, 352, 25, Class::Live)).channel;
    world.open(app, wish(1280, 720, 1, Class::BestEffort));
    // A picture of the other channel takes 14.5 ms.
    let hurry = |deadline_us| {
        Request::Reconfigure(Reconfigure {
            channel,
            deadline_us: Some(deadline_us),
            ..Reconfigure::default()
        })
    };
    assert_eq!(world.refused(app, hurry(10_000)), ErrorCode::NO_SCHEDULE);
    let changed = world.ask(app, hurry(20_000));
    assert!(matches!(changed, Reply::Reconfigured(_)), "{changed:?}");
}

#[test]
fn alone_a_channel_has_the_memory_of_all_channels_that_are_open() {
    let mut world = World::new();
    let app = world.connect(1);
    let large = wish(1920, 1088, 1, Class::BestEffort);
    for _ in 0..2 {
        world.open(app, large.clone());
    }
    let large = [large];
    assert!(!fits(&mut world, app, &large, false).fits);
    assert!(fits(&mut world, app, &large, true).fits);
}
