//! Channels that become ones of another size.

use super::requests::{drain, resume};
use super::world::{ARENA_LEN, World, frame, small};
use crate::core::event::SessionKey;
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, Reconfigure, Request};
use avpu_proto::types::{ChannelId, Join, Profile, Sequence};

fn size(channel: ChannelId, width: u16, height: u16) -> Reconfigure {
    Reconfigure {
        channel,
        width,
        height,
        ..Reconfigure::default()
    }
}

fn pause(world: &mut World, session: SessionKey, channel: ChannelId) {
    assert_eq!(world.ask(session, drain(channel, true)), Reply::Done);
}

#[test]
fn a_drained_channel_takes_another_size_and_goes_on_for_its_readers() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let viewer = world.connect(2);
    let reader = world.subscribe(viewer, channel, Join::LastIdr, 8);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    pause(&mut world, app, channel);
    world.packets(viewer);
    world.other_events(viewer);
    let before = world.broker.pool.used_bytes();
    let changed = world.change(app, size(channel, 640, 368));
    assert_eq!((changed.width, changed.height), (640, 368));
    assert_eq!(changed.effective.source.stored_lines, 368);
    assert_eq!(changed.effective.ring_bytes, reader.ring_bytes);
    assert_eq!(world.rebuilt.len(), 1);
    assert!(world.broker.pool.used_bytes() > before);

    assert_eq!(world.ask(app, resume(channel)), Reply::Done);
    // What was leased for small pictures does not hold a large one.
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::ADDRESS_OUT_OF_BOUNDS);
    let large = world.lease(app, channel, 1).buffers[0].address;
    world.submit(app, channel, large);
    let job = world.finish(1000, 100);
    assert_eq!(job.kind, PictureKind::Idr);
    assert_eq!(job.source.len().get(), changed.effective.source.len_bytes);
    let events = world.other_events(viewer);
    let told = events.iter().find_map(|event| match event {
        Event::FormatChanged(format) => Some(*format),
        _ => None,
    });
    let told = told.expect("readers are told");
    assert_eq!(told.subscription, reader.subscription);
    assert_eq!((told.width, told.height), (640, 368));
    let packets = world.packets(viewer);
    assert_eq!(packets[0].sequence, told.first);
    assert_eq!(changed.first, told.first);
    assert_eq!(told.first, Sequence::new(2));

    let close = Request::CloseChannel(CloseChannel { channel });
    assert_eq!(world.ask(app, close), Reply::Done);
    for session in [app, viewer] {
        world.feed(crate::core::event::Input::Closed { session });
    }
    world.assert_quiet();
}

#[test]
fn a_running_channel_keeps_its_size() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let larger = Request::Reconfigure(size(channel, 640, 368));
    let Reply::Refused(refusal) = world.ask(app, larger.clone()) else {
        panic!("expected a refusal");
    };
    assert_eq!(refusal.code, ErrorCode::WRONG_STATE);
    assert_eq!(
        refusal.sentence,
        "expected a channel that was drained with keep and has finished, found channel 1 configured"
    );
    world.submit(app, channel, address);
    pause(&mut world, app, channel);
    assert_eq!(world.refused(app, larger), ErrorCode::WRONG_STATE);
    world.finish(1000, 100);
    // The size that it has is no change.
    world.change(app, size(channel, 320, 192));
    assert!(world.rebuilt.is_empty());
}

#[test]
fn a_size_or_profile_that_cannot_be_had_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    pause(&mut world, app, channel);
    let used = world.broker.pool.used_bytes();
    let hog = world.connect(9);
    let count = ARENA_LEN / 1_600_000;
    for _ in 0..count.min(3) {
        let wish = avpu_proto::request::OpenChannel {
            width: 1280,
            height: 720,
            fps: avpu_proto::types::FrameRate { num: 1, den: 1 },
            ..small()
        };
        world.open(hog, wish);
    }
    let mut slow = size(channel, 1920, 1080);
    slow.fps = Some(avpu_proto::types::FrameRate { num: 1, den: 1 });
    let refused = world.ask(app, Request::Reconfigure(slow));
    let Reply::Refused(refusal) = refused else {
        panic!("expected a refusal, found {refused:?}");
    };
    assert_eq!(refusal.code, ErrorCode::NO_MEMORY);
    for part in ["bytes too much", "would fit", "process 109 has"] {
        assert!(refusal.sentence.contains(part), "{part}: {refusal}");
    }
    let fast = size(channel, 1920, 1080);
    let mut fast = Request::Reconfigure(fast);
    if let Request::Reconfigure(wish) = &mut fast {
        wish.fps = Some(avpu_proto::types::FrameRate { num: 60, den: 1 });
    }
    assert_eq!(world.refused(app, fast), ErrorCode::NO_CAPACITY);
    let profile = Reconfigure {
        profile: Some(Profile::Baseline),
        ..size(channel, 0, 0)
    };
    let code = world.refused(app, Request::Reconfigure(profile));
    assert_eq!(code, ErrorCode::UNSUPPORTED);
    world.setup_fails = true;
    let code = world.refused(app, Request::Reconfigure(size(channel, 640, 368)));
    assert_eq!(code, ErrorCode::INTERNAL);
    world.feed(crate::core::event::Input::Closed { session: hog });
    assert_eq!(world.broker.pool.used_bytes(), used);
    world.ask(app, resume(channel));
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
}
