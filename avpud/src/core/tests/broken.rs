//! An engine that fails for everybody, one that fails for somebody, and one that does not stop.

use super::world::{SMALL_BYTES, World, small};
use crate::core::event::{Input, SessionKey};
use crate::core::note::Note;
use crate::job::{EngineId, JobFailure};
use avpu_proto::reply::Reply;
use avpu_proto::report::Purpose;
use avpu_proto::request::{CloseChannel, Page, Request};
use avpu_proto::types::{Address, ChannelId, FailReason, FrameEnd};

const ENGINE: EngineId = EngineId::VIDEO;

/// How a picture fails.
#[derive(Clone, Copy, Debug)]
enum Way {
    Hangs,
    FailsToBeReached,
}

impl Way {
    fn strike(self, world: &mut World) {
        match self {
            Self::Hangs => world.hang_and_reset(true),
            Self::FailsToBeReached => {
                world.fail(JobFailure::Device);
            }
        }
    }
}

#[test]
fn a_client_whose_pictures_always_fail_does_not_end_the_daemon() {
    for way in [Way::Hangs, Way::FailsToBeReached] {
        let mut world = World::new();
        let bad = world.connect(1);
        for _ in 0..4 {
            let channel = world.open(bad, small()).channel;
            let leased = world.lease(bad, channel, 1);
            let address = leased.buffers.first().expect("one").address;
            while let Reply::Submitted(_) = world.submit(bad, channel, address) {
                way.strike(&mut world);
            }
            world.ask(bad, Request::CloseChannel(CloseChannel { channel }));
        }
        assert_eq!(world.finished, None, "{way:?}");
        let (good, channel, address) = world.ready_channel(2);
        world.submit(good, channel, address);
        world.finish(1000, 100);
        assert!(matches!(world.ends(good)[..], [FrameEnd::Encoded { .. }]));
    }
}

#[test]
fn two_processes_of_one_user_do_not_end_the_daemon_either() {
    for way in [Way::Hangs, Way::FailsToBeReached] {
        let mut world = World::new();
        let user = 1000;
        let clients = [1, 2].map(|number| {
            let session = world.connect_of(number, user, 44);
            world.ready_for(session, small())
        });
        for (session, channel, address) in clients.into_iter().cycle().take(40) {
            world.submit(session, channel, address);
            way.strike(&mut world);
        }
        assert_eq!(world.finished, None, "{way:?}");
    }
}

/// Two users submit in turn; every picture fails. Answers how many did before the daemon gave the engine up.
fn failures_of_two(way: Way) -> (World, u32) {
    let mut world = World::new();
    let clients: [(SessionKey, ChannelId, Address); 2] =
        [world.ready_channel(1), world.ready_channel(2)];
    let mut count = 0;
    for (session, channel, address) in clients.into_iter().cycle() {
        world.submit(session, channel, address);
        way.strike(&mut world);
        count += 1;
        if world.finished.is_some() {
            return (world, count);
        }
        assert!(count < 100, "expected the daemon to give up");
    }
    unreachable!("a cycle has no end");
}

#[test]
fn an_engine_that_fails_for_several_users_ends_the_daemon_with_a_wish_for_a_restart() {
    for way in [Way::Hangs, Way::FailsToBeReached] {
        let (world, count) = failures_of_two(way);
        assert_eq!((world.finished, count), (Some(true), 12), "{way:?}");
        let offline = |note: &Note| matches!(note, Note::EngineOffline { .. });
        assert!(world.notes.iter().any(offline));
        // The engine was stopped each time: nothing can still be written.
        world.assert_quiet();
    }
}

#[test]
fn an_encoded_picture_of_anybody_shows_that_the_engine_works() {
    let mut world = World::new();
    let clients = [world.ready_channel(1), world.ready_channel(2)];
    for _ in 0..20 {
        for (session, channel, address) in clients {
            world.submit(session, channel, address);
            world.fail(JobFailure::Device);
        }
        let (session, channel, address) = clients[0];
        for _ in 0..5 {
            world.submit(session, channel, address);
            world.finish(1000, 100);
        }
    }
    assert_eq!(world.finished, None);
}

#[test]
fn a_job_that_does_not_fit_says_nothing_about_the_engine() {
    let mut world = World::new();
    let clients = [world.ready_channel(1), world.ready_channel(2)];
    for (session, channel, address) in clients.into_iter().cycle().take(40) {
        world.submit(session, channel, address);
        world.fail(JobFailure::Unfit);
    }
    assert_eq!(world.finished, None);
}

#[test]
fn a_picture_that_could_not_be_stopped_ends_only_when_a_reset_worked() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let (other, other_channel, other_address) = world.ready_channel(2);
    world.submit(app, channel, address);
    world.submit(other, other_channel, other_address);
    world.fail(JobFailure::Unstopped);
    assert_eq!(world.resets_asked, 1);
    assert!(world.ends(app).is_empty() && world.jobs.is_empty());
    world.feed(Input::EngineReset {
        engine: ENGINE,
        ok: true,
    });
    assert_eq!(world.ends(app), [FrameEnd::Failed(FailReason::Device)]);
    world.finish(1000, 100);
    assert!(matches!(world.ends(other)[..], [FrameEnd::Encoded { .. }]));
}

#[test]
fn what_an_engine_may_still_write_to_is_nobodys_until_it_was_reset() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.fail(JobFailure::Unstopped);
    world.feed(Input::Closed { session: app });
    let watcher = world.connect(2);
    let Reply::Memory(memory) = world.ask(watcher, Request::Memory(Page::default())) else {
        panic!("expected memory");
    };
    let pieces = &memory.leases.entries;
    assert_eq!(pieces.len(), 2, "the channel's memory and the source");
    assert!(pieces.iter().all(|p| p.0.purpose == Purpose::Quarantine));
    // Neither is given to anybody else meanwhile.
    let (_, _, elsewhere) = world.ready_channel(3);
    assert_ne!(elsewhere, address);
    world.feed(Input::EngineReset {
        engine: ENGINE,
        ok: false,
    });
    assert!(world.destroyed.is_empty());
    world.pass(20_000);
    assert_eq!(world.resets_asked, 2);
    world.feed(Input::EngineReset {
        engine: ENGINE,
        ok: true,
    });
    assert_eq!(world.destroyed.len(), 1);
    assert_eq!(world.broker.pool.quarantined_bytes(), 0);
}

#[test]
fn what_no_reset_stopped_leaves_its_memory_out_of_use_for_good() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.fail(JobFailure::Unstopped);
    for _ in 0..3 {
        world.feed(Input::EngineReset {
            engine: ENGINE,
            ok: false,
        });
        world.pass(20_000);
    }
    assert_eq!(world.ends(app), [FrameEnd::Failed(FailReason::Device)]);
    assert_eq!(world.finished, Some(true));
    let condemned = |note: &Note| matches!(note, Note::MemoryCondemned { .. });
    assert!(world.notes.iter().any(condemned));
    world.assert_quiet_but_for(SMALL_BYTES);
}
