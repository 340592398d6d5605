//! Connections that end at any moment, and the daemon's own end.

use super::world::{SMALL_BYTES, World, encoded, frame, small};
use crate::core::event::{Input, Output, Peer, SessionKey};
use crate::job::EngineId;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::report::Purpose;
use avpu_proto::request::{Page, Request};
use avpu_proto::types::{DropReason, FrameEnd, Join, Sequence};

#[test]
fn disconnect_while_encoding_keeps_buffers_until_completion() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let watcher = world.connect(2);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.feed(Input::Closed { session: app });
    assert!(world.destroyed.is_empty(), "the encoder still works on it");
    let Reply::Memory(memory) = world.ask(watcher, Request::Memory(Page::default())) else {
        panic!("expected memory");
    };
    let quarantined = |purpose| purpose == Purpose::Quarantine;
    let entries = &memory.leases.entries;
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|e| quarantined(e.0.purpose) && e.0.pid == 0)
    );

    world.finish(1000, 100);
    assert_eq!(world.destroyed.len(), 1);
    assert!(world.jobs.is_empty(), "its queue was dropped");
    world.feed(Input::Closed { session: watcher });
    world.assert_quiet();
}

#[test]
fn disconnect_while_encoding_keeps_buffers_until_a_reset_too() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.feed(Input::Closed { session: app });
    assert!(world.broker.pool.used_bytes() > 0);
    world.hang_and_reset(true);
    world.assert_quiet();
}

#[test]
fn a_reader_of_a_vanished_owner_gets_the_last_picture_and_the_end() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let watcher = world.connect(2);
    world.subscribe(watcher, channel, Join::LastIdr, 4);
    world.submit(app, channel, address);
    world.feed(Input::Closed { session: app });
    world.finish(1000, 100);
    assert_eq!(world.packets(watcher).len(), 1);
    let events = world.other_events(watcher);
    assert!(events.iter().any(|e| matches!(e, Event::EndOfStream(_))));
    assert!(world.ends(app).is_empty(), "nobody is there to be told");
}

#[test]
fn a_name_is_free_as_soon_as_its_owner_is_gone() {
    let mut world = World::new();
    let named = avpu_proto::request::OpenChannel {
        name: "main".into(),
        ..small()
    };
    let (app, channel, address) = world.ready_with(1, named.clone());
    world.submit(app, channel, address);
    world.feed(Input::Closed { session: app });
    let again = world.connect(2);
    assert_eq!(world.open(again, named).name, "main");
}

#[test]
fn a_slot_of_the_shell_may_be_used_again_while_a_picture_of_its_last_user_is_in_flight() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.feed(Input::Closed { session: app });
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    assert!(world.ends(app).is_empty(), "that was the other one's frame");
    world.finish(1000, 100);
    assert_eq!(world.ends(app).len(), 1);
}

#[test]
fn owners_that_leave_while_the_shell_prepares_leave_nothing_behind() {
    let mut world = World::new();
    let app = world.connect(1);
    let now = world.now;
    let ask = |world: &mut World, body| {
        let id = 900;
        let body = Some(body);
        let session = app;
        world
            .broker
            .handle(now, Input::Request { session, id, body });
    };
    ask(&mut world, Request::OpenChannel(small()));
    let Some(Output::CreateChannel { channel, .. }) = world.broker.poll_output() else {
        panic!("expected a channel to be made");
    };
    world.broker.handle(now, Input::Closed { session: app });
    let result = Ok(());
    world.feed(Input::ChannelCreated { channel, result });
    assert_eq!(world.destroyed, [channel]);
    world.assert_quiet();
}

#[test]
fn requests_and_closings_of_unknown_sessions_are_nothing() {
    let mut world = World::new();
    let session = SessionKey::new(5);
    let body = Some(Request::Status);
    world.feed(Input::Request {
        session,
        id: 1,
        body,
    });
    world.feed(Input::Closed { session });
    assert!(world.trace.is_empty());
}

#[test]
fn an_unknown_request_is_refused_and_the_session_goes_on() {
    let mut world = World::new();
    let session = world.connect(1);
    let (id, body) = (3, None);
    world.feed(Input::Request { session, id, body });
    let reply = world.answer_to(session, 3);
    let code = match reply {
        Some(Reply::Refused(refusal)) => refusal.code,
        other => panic!("expected a refusal, found {other:?}"),
    };
    assert_eq!(code, ErrorCode::UNKNOWN_REQUEST);
    assert!(matches!(
        world.ask(session, Request::Status),
        Reply::Status(_)
    ));
}

#[test]
fn one_session_too_many_is_closed() {
    let mut world = World::new();
    for number in 0..64 {
        world.connect(number);
    }
    assert!(!world.trace.contains(&"close".to_owned()));
    world.connect(64);
    assert_eq!(world.trace, ["close"]);
    assert_eq!(world.broker.sessions.len(), 64);
}

#[test]
fn shutdown_drops_the_queue_finishes_the_picture_in_flight_and_says_goodbye() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let idle = world.connect(2);
    world.subscribe(idle, channel, Join::LastIdr, 4);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.feed(Input::Shutdown);
    let dropped = FrameEnd::Dropped(DropReason::Shutdown);
    assert_eq!(world.ends(app), [dropped, dropped]);
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::SHUTTING_DOWN);
    assert_eq!(world.finished, None);
    world.finish(1000, 100);
    let sequence = Sequence::new(0);
    assert_eq!(world.ends(app), [FrameEnd::Encoded { sequence }]);
    assert_eq!(world.packets(idle).len(), 1);
    for session in [app, idle] {
        let events = world.other_events(session);
        assert!(events.contains(&Event::Shutdown), "{events:?}");
    }
    assert_eq!(world.finished, Some(false));
    world.assert_quiet();
    let peer = Peer {
        pid: 1,
        uid: 1,
        gid: 1,
    };
    let session = SessionKey::new(9);
    world.feed(Input::Opened { session, peer });
    assert!(world.broker.sessions.is_empty());
}

#[test]
fn shutdown_of_an_idle_daemon_is_immediate_and_happens_once() {
    let mut world = World::new();
    world.ready_channel(1);
    world.feed(Input::Shutdown);
    assert_eq!(world.finished.take(), Some(false));
    world.feed(Input::Shutdown);
    assert_eq!(world.finished, None);
    world.assert_quiet();
}

#[test]
fn shutdown_does_not_wait_for_ever_for_a_hung_engine() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.feed(Input::Shutdown);
    for _ in 0..3 {
        world.hang_and_reset(false);
    }
    assert_eq!(world.finished, Some(false), "it was told to stop");
    world.assert_quiet_but_for(SMALL_BYTES);
}

#[test]
fn a_job_that_nobody_started_is_ignored() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    let job = world.jobs.front().expect("in flight").id;
    world.trace.clear();
    world.done(job.next(), encoded(10));
    world.feed(Input::EngineReset {
        engine: EngineId::VIDEO,
        ok: true,
    });
    assert!(world.trace.is_empty());
    world.finish(1000, 10);
    assert_eq!(world.ends(app).len(), 1);
}
