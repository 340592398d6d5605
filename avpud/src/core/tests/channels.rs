//! Opening, naming, admitting, closing and draining channels.

use super::requests::drain;
use super::world::{World, config, fixqp, frame, small};
use crate::core::event::{Input, SessionKey};
use crate::core::note::Note;
use crate::mem::addr::ByteLen;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{CloseChannel, LeaseBuffers, OpenChannel, Page, Request};
use avpu_proto::types::{
    ChannelId, ChannelState, Codec, DropReason, FrameEnd, FrameRate, Join, Profile, RateControl,
    Sequence,
};

fn refused(world: &mut World, session: SessionKey, wish: OpenChannel) -> ErrorCode {
    world.refused(session, Request::OpenChannel(wish))
}

#[test]
fn unnamed_channels_get_the_first_free_number() {
    let mut world = World::new();
    let app = world.connect(1);
    assert_eq!(world.open(app, small()).name, "ch0");
    let second = world.open(app, small());
    assert_eq!(second.name, "ch1");
    assert_eq!(world.open(app, small()).name, "ch2");
    let close = CloseChannel {
        channel: second.channel,
    };
    assert_eq!(world.ask(app, Request::CloseChannel(close)), Reply::Done);
    assert_eq!(world.open(app, small()).name, "ch1");
}

#[test]
fn a_taken_name_is_refused_with_its_holders_process() {
    let mut world = World::new();
    let (a, b) = (world.connect(1), world.connect(2));
    let named = OpenChannel {
        name: "main".into(),
        ..small()
    };
    world.open(a, named.clone());
    match world.ask(b, Request::OpenChannel(named)) {
        Reply::Refused(refusal) => {
            assert_eq!(refusal.code, ErrorCode::NAME_TAKEN);
            assert!(refusal.sentence.contains("101"), "{refusal}");
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn what_is_not_supported_or_out_of_range_is_refused_by_name() {
    let mut world = World::new();
    let app = world.connect(1);
    let cbr = |bitrate_bps, qp_min, qp_max| RateControl::Cbr {
        bitrate_bps,
        qp_min,
        qp_max,
    };
    let unsupported = [
        OpenChannel {
            codec: Codec::Hevc,
            ..small()
        },
        OpenChannel {
            codec: Codec::Jpeg,
            ..small()
        },
        OpenChannel {
            profile: Profile::Baseline,
            ..small()
        },
    ];
    for wish in unsupported {
        assert_eq!(refused(&mut world, app, wish), ErrorCode::UNSUPPORTED);
    }
    let fps = |num, den| OpenChannel {
        fps: FrameRate { num, den },
        ..small()
    };
    let rate = |rate_control| OpenChannel {
        rate_control,
        ..small()
    };
    let size = |width, height| OpenChannel {
        width,
        height,
        ..small()
    };
    let name = |name: &str| OpenChannel {
        name: name.into(),
        ..small()
    };
    let invalid = [
        size(0, 0),
        size(321, 192),
        size(1922, 1080),
        size(640, 14),
        fps(25, 0),
        fps(0, 1),
        fps(241, 1),
        fps(u32::MAX, u32::MAX),
        rate(fixqp(52)),
        rate(cbr(0, 0, 0)),
        rate(cbr(u32::MAX, 0, 0)),
        rate(cbr(1_000_000, 40, 30)),
        rate(cbr(1_000_000, 20, 99)),
        rate(RateControl::Vbr {
            bitrate_bps: 1_000_000,
            bitrate_max_bps: 999_999,
            qp_min: 0,
            qp_max: 0,
        }),
        rate(RateControl::CappedQuality {
            bitrate_max_bps: 1_000_000,
            qp_min: 0,
            qp_max: 0,
            psnr_cdb: 6001,
        }),
        OpenChannel {
            ip_qp_delta: Some(11),
            ..small()
        },
        OpenChannel {
            picture_bytes_max: 1023,
            ..small()
        },
        name(&"x".repeat(33)),
        name("a\nb"),
        name(" main"),
        OpenChannel {
            gop_length: u32::MAX,
            ..small()
        },
        OpenChannel {
            weight: 101,
            ..small()
        },
        OpenChannel {
            ring_bytes: u32::MAX,
            ..small()
        },
    ];
    for wish in invalid {
        let code = refused(&mut world, app, wish.clone());
        assert_eq!(code, ErrorCode::INVALID_PARAMETER, "{wish:?}");
    }
    assert_eq!(world.broker.pool.used_bytes(), 0);
}

#[test]
fn defaults_are_filled_in_and_told() {
    let mut world = World::new();
    let app = world.connect(1);
    let opened = world.open(app, small());
    assert_eq!(opened.fps, FrameRate { num: 25, den: 1 });
    assert_eq!(opened.gop_length, 50);
    assert_eq!(opened.rate_control, fixqp(30));
    assert!(opened.level_idc >= 21);
    assert_eq!(opened.epoch.value(), 9);
    assert_eq!(opened.source.stored_lines, 192);
    assert!(opened.ring_bytes.is_power_of_two());
}

#[test]
fn every_mode_of_rate_control_is_told_with_its_defaults() {
    let mut world = World::new();
    let app = world.connect(1);
    let capped = world.open(
        app,
        OpenChannel {
            rate_control: RateControl::CappedVbr {
                bitrate_bps: 800_000,
                bitrate_max_bps: 0,
                qp_min: 0,
                qp_max: 15,
                psnr_max_cdb: 0,
            },
            ip_qp_delta: Some(3),
            picture_bytes_max: 40_000,
            ..small()
        },
    );
    let expected = RateControl::CappedVbr {
        bitrate_bps: 800_000,
        bitrate_max_bps: 1_600_000,
        qp_min: 15,
        qp_max: 15,
        psnr_max_cdb: 4200,
    };
    assert_eq!(capped.rate_control, expected);
    assert_eq!(capped.ip_qp_delta, 3);
    assert_eq!(capped.picture_bytes_max, 40_000);
    let quality = RateControl::CappedQuality {
        bitrate_max_bps: 800_000,
        qp_min: 22,
        qp_max: 0,
        psnr_cdb: 0,
    };
    let wish = OpenChannel {
        rate_control: quality,
        ..small()
    };
    let expected = RateControl::CappedQuality {
        bitrate_max_bps: 800_000,
        qp_min: 22,
        qp_max: 48,
        psnr_cdb: 3800,
    };
    let opened = world.open(app, wish);
    assert_eq!(opened.rate_control, expected);
    assert_eq!(opened.ip_qp_delta, 2, "what the controller chooses");
    assert_eq!(world.open(app, small()).ip_qp_delta, 0);
}

#[test]
fn admission_says_which_resource_is_missing() {
    let mut world = World::new();
    let app = world.connect(1);
    let hd = OpenChannel {
        width: 1920,
        height: 1080,
        ..small()
    };
    // 8160 macroblocks x 4 us x 25 = 818 ms a second: one fits, two do not.
    let first = world.open(app, hd.clone()).channel;
    assert_eq!(refused(&mut world, app, hd.clone()), ErrorCode::NO_CAPACITY);
    let close = Request::CloseChannel(CloseChannel { channel: first });
    world.ask(app, close);
    let slow = OpenChannel {
        fps: FrameRate { num: 1, den: 1 },
        ..hd
    };
    world.open(app, slow.clone());
    world.open(app, slow.clone());
    assert_eq!(refused(&mut world, app, slow), ErrorCode::NO_MEMORY);
}

#[test]
fn channels_are_limited_for_one_client_and_for_all() {
    let mut config = config();
    config.channels_max = 9;
    let mut world = World::with(config);
    let (a, b) = (world.connect(1), world.connect(2));
    let slow = OpenChannel {
        fps: FrameRate { num: 1, den: 1 },
        ..small()
    };
    for _ in 0..8 {
        world.open(a, slow.clone());
    }
    assert_eq!(
        refused(&mut world, a, slow.clone()),
        ErrorCode::LIMIT_REACHED
    );
    world.open(b, slow.clone());
    let Reply::Refused(refusal) = world.ask(b, Request::OpenChannel(slow)) else {
        panic!("expected a refusal");
    };
    assert_eq!(refusal.code, ErrorCode::LIMIT_REACHED);
    let told = "expected at most 9 channels, found one more; process 101 has 8; process 102 has 1";
    assert_eq!(refusal.sentence, told);
    let is_noted = |note: &Note| matches!(note, Note::Refused { peer, .. } if peer.pid == 102);
    assert!(world.notes.iter().any(is_noted));
}

#[test]
fn a_lease_that_finds_no_memory_is_told_who_has_it() {
    let mut world = World::new();
    let (app, other) = (world.connect(1), world.connect(2));
    let large = OpenChannel {
        width: 1920,
        height: 1080,
        fps: FrameRate { num: 1, den: 1 },
        ..small()
    };
    let channel = world.open(app, large).channel;
    world.open(other, small());
    let wish = LeaseBuffers { channel, count: 16 };
    let Reply::Refused(refusal) = world.ask(app, Request::LeaseBuffers(wish)) else {
        panic!("expected a refusal");
    };
    assert_eq!(refusal.code, ErrorCode::NO_MEMORY);
    let holders = ["process 101 has ", "process 102 has "];
    assert!(
        holders.iter().all(|h| refusal.sentence.contains(h)),
        "{refusal}"
    );
}

#[test]
fn a_channel_that_the_shell_cannot_make_leaves_nothing_behind() {
    let mut world = World::new();
    let app = world.connect(1);
    world.setup_fails = true;
    assert_eq!(refused(&mut world, app, small()), ErrorCode::INTERNAL);
    assert_eq!(world.broker.pool.used_bytes(), 0);
    assert_eq!(world.open(app, small()).name, "ch0");
}

#[test]
fn closing_drops_the_queue_and_is_answered_when_the_picture_in_flight_ended() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let watcher = world.connect(2);
    world.subscribe(watcher, channel, Join::LastIdr, 8);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    let id = world.ask_later(app, Request::CloseChannel(CloseChannel { channel }));
    assert_eq!(world.answer_to(app, id), None);
    let dropped = FrameEnd::Dropped(DropReason::ChannelClosed);
    assert_eq!(world.ends(app), [dropped, dropped]);
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::NO_SUCH_CHANNEL);
    assert!(world.destroyed.is_empty());

    world.finish(1000, 100);
    assert_eq!(world.answer_to(app, id), Some(Reply::Done));
    let sequence = Sequence::new(0);
    assert_eq!(world.ends(app), [FrameEnd::Encoded { sequence }]);
    assert_eq!(world.destroyed.len(), 1);
    assert_eq!(world.packets(watcher).len(), 1);
    let events = world.other_events(watcher);
    let over = |e: &Event| matches!(e, Event::EndOfStream(end) if end.packets == 1);
    assert!(events.iter().any(over), "{events:?}");
    assert!(world.broker.sessions[&watcher].subscriptions.is_empty());
}

#[test]
fn draining_finishes_what_was_accepted_then_ends_the_stream() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let watcher = world.connect(2);
    let reader = world.subscribe(watcher, channel, Join::NextIdr, 8);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let drain = drain(channel, false);
    assert_eq!(world.ask(app, drain.clone()), Reply::Done);
    let code = world.refused(app, Request::Submit(frame(channel, address)));
    assert_eq!(code, ErrorCode::WRONG_STATE);
    assert_eq!(world.refused(app, drain), ErrorCode::WRONG_STATE);
    world.finish(1000, 100);
    assert!(!ended(&world.other_events(watcher)));
    world.finish(1000, 100);
    assert_eq!(world.packets(watcher).len(), 2);
    assert!(ended(&world.other_events(watcher)));
    let own = world.other_events(app);
    let own_copy = |e: &Event| matches!(e, Event::EndOfStream(end) if end.subscription.is_none() && end.packets == 2);
    assert!(own.iter().any(own_copy), "{own:?}");
    let late = world.refused(
        watcher,
        Request::Unsubscribe(avpu_proto::request::Unsubscribe {
            subscription: reader.subscription,
        }),
    );
    assert_eq!(late, ErrorCode::NO_SUCH_OBJECT);
}

fn ended(events: &[Event]) -> bool {
    events.iter().any(|e| matches!(e, Event::EndOfStream(_)))
}

#[test]
fn liveness_is_told_once_for_each_change() {
    let mut world = World::new();
    let watcher = world.connect(7);
    let watch = avpu_proto::request::Watch { on: true };
    world.ask(watcher, Request::Watch(watch));
    let (app, channel, address) = world.ready_channel(1);
    for _ in 0..3 {
        world.submit(app, channel, address);
    }
    world.ask(app, drain(channel, false));
    for _ in 0..3 {
        world.finish(1000, 100);
    }
    world.feed(Input::Closed { session: app });
    let states: Vec<ChannelState> = world
        .other_events(watcher)
        .iter()
        .filter_map(|event| match event {
            Event::ChannelChanged(changed) => Some(changed.state),
            _ => None,
        })
        .collect();
    use ChannelState::{Closed, Configured, Drained, Draining, Running};
    assert_eq!(states, [Configured, Running, Draining, Drained, Closed]);
}

#[test]
fn lists_are_paged_and_bounded() {
    let mut config = config();
    config.channels_max = 64;
    let mut world = World::with(config);
    let tiny = OpenChannel {
        width: 64,
        height: 64,
        fps: FrameRate { num: 1, den: 1 },
        ..small()
    };
    for number in 1..=5 {
        let app = world.connect(number);
        for _ in 0..8 {
            world.open(app, tiny.clone());
        }
    }
    let app = SessionKey::new(1);
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        let Reply::Channels(page) = world.ask(app, Request::Channels(Page { cursor })) else {
            panic!("expected channels");
        };
        assert!(page.entries.len() <= 16);
        seen.extend(page.entries.iter().map(|entry| entry.0.channel));
        let Some(next) = page.next else { break };
        cursor = next;
    }
    let expected: Vec<_> = (1..=40).map(ChannelId::new).collect();
    assert_eq!(seen, expected);
    let Reply::Memory(memory) = world.ask(app, Request::Memory(Page { cursor: 0 })) else {
        panic!("expected memory");
    };
    assert_eq!(memory.leases.entries.len(), 16);
    assert!(memory.totals.used_bytes > 0 && memory.totals.ring_bytes > 0);
    let Reply::Clients(clients) = world.ask(app, Request::Clients(Page { cursor: 2 })) else {
        panic!("expected clients");
    };
    assert_eq!(clients.entries.len(), 4);
    assert_eq!(clients.entries[0].0.channels, 8);
    let absurd = Page { cursor: u32::MAX };
    for request in [Request::Channels(absurd), Request::Clients(absurd)] {
        world.ask(app, request);
    }
}

#[test]
fn a_ring_is_a_power_of_two_that_holds_what_was_asked_for() {
    let mut world = World::new();
    let app = world.connect(1);
    for (wish, expected) in [(1, 4096), (5000, 8192), (1 << 20, 1 << 20)] {
        let opened = world.open(
            app,
            OpenChannel {
                ring_bytes: wish,
                ..small()
            },
        );
        assert_eq!(opened.ring_bytes, expected);
    }
    let hd = |rate_control| OpenChannel {
        width: 1280,
        height: 720,
        fps: FrameRate { num: 5, den: 1 },
        rate_control,
        ..small()
    };
    let cbr = RateControl::Cbr {
        bitrate_bps: 2_000_000,
        qp_min: 0,
        qp_max: 0,
    };
    // A megabyte holds four seconds; two pictures of 416 bytes a macroblock need three.
    assert_eq!(world.open(app, hd(cbr)).ring_bytes, 1 << 20);
    assert_eq!(world.open(app, hd(fixqp(30))).ring_bytes, 1 << 22);
    let mut config = config();
    config.ring_bytes = Some(ByteLen::new(1 << 16));
    let mut world = World::with(config);
    let app = world.connect(1);
    assert_eq!(world.open(app, small()).ring_bytes, 1 << 16);
}

#[test]
fn closing_one_channel_leaves_the_picture_of_another_in_flight() {
    let mut world = World::new();
    let (main, main_channel, main_address) = world.ready_channel(1);
    let (sub, sub_channel, sub_address) = world.ready_channel(2);
    world.submit(main, main_channel, main_address);
    world.submit(sub, sub_channel, sub_address);
    let close = CloseChannel {
        channel: sub_channel,
    };
    assert_eq!(world.ask(sub, Request::CloseChannel(close)), Reply::Done);
    assert_eq!(world.resets_asked, 0);
    assert_eq!(world.destroyed.len(), 1, "nothing of it was in flight");
    world.finish(1000, 100);
    let sequence = Sequence::new(0);
    assert_eq!(world.ends(main), [FrameEnd::Encoded { sequence }]);
}
