//! Readers: where they join, how they are bounded, what they miss.

use super::world::{World, small};
use crate::core::event::{Input, SessionKey};
use crate::job::JobFailure;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::{EndOfStream, Event, Gap, GapReason, Packet};
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, OpenChannel, Page, ReleasePackets, Request, Subscribe, Unsubscribe,
};
use avpu_proto::types::{Address, ChannelId, Join, PictureKind, Sequence, SubscriptionId};

/// A channel with a ring of 4096 bytes and an IDR every ten pictures.
fn small_ring(world: &mut World) -> (SessionKey, ChannelId, Address) {
    let wish = OpenChannel {
        ring_bytes: 4096,
        gop_length: 10,
        ..small()
    };
    world.ready_with(1, wish)
}

/// Encodes pictures that take about 200 bytes of the ring each, an IDR some more.
fn encode(
    world: &mut World,
    (app, channel, address): (SessionKey, ChannelId, Address),
    count: u32,
) {
    for _ in 0..count {
        assert!(matches!(
            world.submit(app, channel, address),
            Reply::Submitted(_)
        ));
        world.finish(1000, 100);
    }
}

fn release(world: &mut World, session: SessionKey, subscription: SubscriptionId, sequence: u32) {
    let sequence = Sequence::new(sequence);
    let which = ReleasePackets {
        subscription,
        sequence,
    };
    assert_eq!(
        world.ask(session, Request::ReleasePackets(which)),
        Reply::Done
    );
}

fn numbers(packets: &[Packet]) -> Vec<u32> {
    packets.iter().map(|p| p.sequence.value()).collect()
}

fn gaps(events: &[Event]) -> Vec<(u32, u32, GapReason)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Gap(Gap {
                first,
                count,
                reason,
                ..
            }) => Some((first.value(), *count, *reason)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_late_reader_starts_at_the_last_idr_in_the_ring() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    encode(&mut world, source, 53);
    let late = world.connect(2);
    let reader = world.subscribe(late, source.1, Join::LastIdr, 0);
    assert_eq!(reader.first, Sequence::new(50));
    assert_eq!(reader.credits, 64);
    let packets = world.packets(late);
    assert_eq!(numbers(&packets), [50, 51, 52]);
    assert_eq!(packets[0].kind, PictureKind::Idr);
}

#[test]
fn a_reader_may_wait_for_the_next_idr_or_demand_one() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    encode(&mut world, source, 5);
    let (patient, eager) = (world.connect(2), world.connect(3));
    world.subscribe(patient, source.1, Join::NextIdr, 0);
    encode(&mut world, source, 2);
    assert!(world.packets(patient).is_empty());
    world.subscribe(eager, source.1, Join::DemandIdr, 0);
    encode(&mut world, source, 2);
    for session in [patient, eager] {
        let packets = world.packets(session);
        assert_eq!(numbers(&packets), [7, 8]);
        assert_eq!(packets[0].kind, PictureKind::Idr);
    }
}

#[test]
fn a_reader_without_credits_catches_up_while_the_ring_still_holds_what_it_needs() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    let slow = world.connect(2);
    let reader = world
        .subscribe(slow, source.1, Join::LastIdr, 2)
        .subscription;
    encode(&mut world, source, 6);
    assert_eq!(numbers(&world.packets(slow)), [0, 1]);
    release(&mut world, slow, reader, 0);
    assert_eq!(numbers(&world.packets(slow)), [2]);
    release(&mut world, slow, reader, 2);
    assert_eq!(numbers(&world.packets(slow)), [3, 4]);
    assert!(gaps(&world.other_events(slow)).is_empty());
}

#[test]
fn a_reader_that_does_not_read_gets_no_more_than_its_credits_and_then_one_gap_and_an_idr() {
    let mut world = World::new();
    let source = small_ring(&mut world);
    let slow = world.connect(2);
    let reader = world
        .subscribe(slow, source.1, Join::LastIdr, 3)
        .subscription;
    encode(&mut world, source, 1);
    world.other_events(slow);
    encode(&mut world, source, 204);
    let sent = world.events.iter().filter(|(to, _)| *to == slow).count();
    assert_eq!(sent, 3);
    assert_eq!(numbers(&world.packets(slow)), [0, 1, 2]);
    release(&mut world, slow, reader, 2);
    let gap = gaps(&world.other_events(slow));
    let packets = world.packets(slow);
    assert_eq!(packets[0].kind, PictureKind::Idr);
    let rejoined = packets[0].sequence.value();
    assert_eq!(gap, [(0, rejoined, GapReason::Overrun)]);
    assert_eq!(numbers(&packets), [rejoined, rejoined + 1, rejoined + 2]);
}

#[test]
fn a_claim_is_bounded_to_half_the_ring() {
    let mut world = World::new();
    let source = small_ring(&mut world);
    let hoarder = world.connect(2);
    world.subscribe(hoarder, source.1, Join::LastIdr, 64);
    encode(&mut world, source, 20);
    let packets = world.packets(hoarder);
    let claimed: u32 = packets.iter().map(|p| p.len_bytes).sum();
    assert!(claimed <= 2048, "{claimed}");
    assert!(claimed > 1500, "{claimed}");
}

#[test]
fn a_slow_reader_costs_others_nothing() {
    let mut world = World::new();
    let source = small_ring(&mut world);
    let (slow, quick) = (world.connect(2), world.connect(3));
    world.subscribe(slow, source.1, Join::LastIdr, 64);
    let reader = world
        .subscribe(quick, source.1, Join::LastIdr, 64)
        .subscription;
    let mut seen = Vec::new();
    for _ in 0..100 {
        encode(&mut world, source, 1);
        let packets = world.packets(quick);
        seen.extend(numbers(&packets));
        let last = packets.last().expect("one each").sequence.value();
        release(&mut world, quick, reader, last);
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert!(gaps(&world.other_events(quick)).is_empty());
}

#[test]
fn packets_lie_inside_the_ring_and_never_wrap() {
    let mut world = World::new();
    let source = small_ring(&mut world);
    let reader = world
        .subscribe(source.0, source.1, Join::LastIdr, 64)
        .subscription;
    for _ in 0..200 {
        encode(&mut world, source, 1);
        for packet in world.packets(source.0) {
            assert_eq!(packet.offset_bytes, packet.position % 4096);
            assert!(packet.offset_bytes + packet.len_bytes <= 4096);
            release(&mut world, source.0, reader, packet.sequence.value());
        }
    }
}

#[test]
fn absurd_releases_are_harmless() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    let app = source.0;
    let reader = world
        .subscribe(app, source.1, Join::LastIdr, 4)
        .subscription;
    release(&mut world, app, reader, u32::MAX);
    encode(&mut world, source, 6);
    assert_eq!(world.packets(app).len(), 4);
    release(&mut world, app, reader, u32::MAX);
    assert!(world.packets(app).is_empty(), "u32::MAX comes before 0");
    release(&mut world, app, reader, 1_000_000);
    assert_eq!(numbers(&world.packets(app)), [4, 5]);
}

#[test]
fn subscriptions_are_their_sessions_own() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    let stranger = world.connect(2);
    let subscription = world
        .subscribe(source.0, source.1, Join::LastIdr, 4)
        .subscription;
    let theirs = Request::Unsubscribe(Unsubscribe { subscription });
    assert_eq!(
        world.refused(stranger, theirs.clone()),
        ErrorCode::NOT_OWNER
    );
    assert_eq!(world.ask(source.0, theirs.clone()), Reply::Done);
    assert_eq!(world.refused(source.0, theirs), ErrorCode::NO_SUCH_OBJECT);
    encode(&mut world, source, 1);
    assert!(world.packets(source.0).is_empty());
}

#[test]
fn channels_are_found_by_name_and_unknown_ones_refused() {
    let mut world = World::new();
    world.ready_channel(1);
    let reader = world.connect(2);
    let named = |name: &str| {
        Request::Subscribe(Subscribe {
            name: name.into(),
            ..Subscribe::default()
        })
    };
    assert!(matches!(
        world.ask(reader, named("ch0")),
        Reply::Subscribed(_)
    ));
    assert_eq!(
        world.refused(reader, named("ch1")),
        ErrorCode::NO_SUCH_CHANNEL
    );
}

#[test]
fn a_reader_joins_at_the_last_idr_only_while_that_costs_no_more_than_the_budget() {
    for (wish, effective) in [(0, 2048), (500, 500), (4096, 4096), (u32::MAX, 4096)] {
        let mut world = World::new();
        let app = world.connect(1);
        let opened = world.open(
            app,
            OpenChannel {
                ring_bytes: 4096,
                gop_length: 100,
                preroll_bytes: wish,
                ..small()
            },
        );
        assert_eq!(opened.preroll_bytes, effective);
        let address = world.lease(app, opened.channel, 1).buffers[0].address;
        let source = (app, opened.channel, address);
        world.subscribe(app, opened.channel, Join::NextIdr, 64);
        let mut past = 0;
        for number in 0..16 {
            encode(&mut world, source, 1);
            past += world.packets(app).iter().map(|p| p.len_bytes).sum::<u32>();
            release(&mut world, app, SubscriptionId::new(1), number);
            let reader = world.connect(2 + number);
            let subscribed = world.subscribe(reader, opened.channel, Join::LastIdr, 64);
            let joins_now = past <= effective;
            let expected = if joins_now { 0 } else { number + 1 };
            assert_eq!(subscribed.first, Sequence::new(expected), "{wish}: {past}");
            assert_eq!(!world.packets(reader).is_empty(), joins_now);
        }
        assert!(past > 2048, "{past}: the budget of half a ring was reached");
        let Reply::Channels(listing) = world.ask(app, Request::Channels(Page::default())) else {
            panic!("expected channels");
        };
        assert_eq!(listing.entries[0].0.preroll_bytes, effective);
    }
}

#[test]
fn a_channel_that_fails_with_a_picture_under_way_still_ends_its_readers_streams() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let reader = world.connect(2);
    let subscription = world
        .subscribe(reader, channel, Join::NextIdr, 4)
        .subscription;
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let ends = |world: &mut World, session| -> Vec<EndOfStream> {
        let events = world.other_events(session).into_iter();
        let ends = events.filter_map(|event| match event {
            Event::EndOfStream(end) => Some(end),
            _ => None,
        });
        ends.collect()
    };
    for _ in 0..31 {
        world.submit(app, channel, address);
        world.fail(JobFailure::Device);
    }
    // The last straw comes while the next picture is in the encoder.
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    world.delivery_fails = true;
    world.finish(1000, 100);
    assert_eq!(world.jobs.len(), 1);
    assert_eq!(ends(&mut world, reader), []);
    world.finish(1000, 100);
    let end = |subscription| EndOfStream {
        channel,
        subscription,
        packets: 1,
    };
    assert_eq!(ends(&mut world, reader), [end(Some(subscription))]);
    assert_eq!(ends(&mut world, app), [end(None)]);
    let again = Request::Subscribe(Subscribe {
        channel,
        ..Subscribe::default()
    });
    assert_eq!(world.refused(reader, again), ErrorCode::WRONG_STATE);
}

#[test]
fn a_channel_that_is_closed_leaves_a_reader_its_packets_and_one_gap_for_the_rest() {
    let mut world = World::new();
    let source = small_ring(&mut world);
    let (slow, quick) = (world.connect(2), world.connect(3));
    for (reader, credits) in [(slow, 3), (quick, 64)] {
        world.subscribe(reader, source.1, Join::NextIdr, credits);
    }
    encode(&mut world, source, 8);
    let close = Request::CloseChannel(CloseChannel { channel: source.1 });
    world.ask_later(source.0, close);
    assert_eq!(numbers(&world.packets(slow)), [0, 1, 2]);
    assert_eq!(numbers(&world.packets(quick)).len(), 8);
    let told = world.other_events(slow);
    assert_eq!(gaps(&told), [(3, 5, GapReason::NoCredits)]);
    let ends = |event: &Event| matches!(event, Event::EndOfStream(end) if end.packets == 8);
    let gap_at = told.iter().position(|event| matches!(event, Event::Gap(_)));
    let end_at = told.iter().position(ends);
    assert!(gap_at < end_at, "{told:?}");
    let told = world.other_events(quick);
    assert_eq!(gaps(&told), []);
    assert!(told.iter().any(ends));
}

#[test]
fn any_number_of_readers_is_one_delivery_for_each_picture() {
    let mut deliveries = Vec::new();
    for count in [0, 1, 32] {
        let mut world = World::new();
        let source = world.ready_channel(1);
        let readers: Vec<SessionKey> = (0..count).map(|n| world.connect(2 + n)).collect();
        for reader in &readers {
            world.subscribe(*reader, source.1, Join::NextIdr, 64);
        }
        encode(&mut world, source, 20);
        for reader in readers {
            assert_eq!(world.packets(reader).len(), 20);
        }
        let copies = world.trace.iter().filter(|output| *output == "deliver");
        deliveries.push(copies.count());
    }
    assert_eq!(deliveries, [20; 3]);
}

#[test]
fn subscriptions_of_one_connection_are_limited() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    for _ in 0..16 {
        world.subscribe(source.0, source.1, Join::LastIdr, 1);
    }
    let wish = Subscribe {
        channel: source.1,
        ..Subscribe::default()
    };
    assert_eq!(
        world.refused(source.0, Request::Subscribe(wish)),
        ErrorCode::LIMIT_REACHED
    );
}

/// Subscribes as often as it may; answers how often that was, and what it was told then.
fn subscribe_to_all(world: &mut World, session: SessionKey, channel: ChannelId) -> (u32, String) {
    for count in 0..=64 {
        let wish = Subscribe {
            channel,
            ..Subscribe::default()
        };
        match world.ask(session, Request::Subscribe(wish)) {
            Reply::Subscribed(_) => {}
            Reply::Refused(refusal) => {
                assert_eq!(refusal.code, ErrorCode::LIMIT_REACHED);
                return (count, refusal.sentence);
            }
            other => panic!("expected a reader or a refusal, found {other:?}"),
        }
    }
    panic!("expected a limit");
}

#[test]
fn one_user_has_half_of_a_channels_readers_and_leaves_the_rest_to_others() {
    let mut world = World::new();
    let (_, channel, _) = world.ready_channel(1);
    let greedy = [2, 3, 4].map(|number| world.connect_of(number, 1000, 44));
    assert_eq!(subscribe_to_all(&mut world, greedy[0], channel).0, 16);
    assert_eq!(subscribe_to_all(&mut world, greedy[1], channel).0, 16);
    let (count, told) = subscribe_to_all(&mut world, greedy[2], channel);
    assert_eq!(count, 0);
    let expected = "expected at most 32 readers of one channel by one user, found one more: user 1000 has 32, most of them process 103";
    assert_eq!(told, expected);
    let other = world.connect_of(5, 1001, 44);
    assert_eq!(subscribe_to_all(&mut world, other, channel).0, 16);
    // What it gives up it may have again.
    world.feed(Input::Closed { session: greedy[0] });
    assert_eq!(subscribe_to_all(&mut world, greedy[2], channel).0, 16);
}

#[test]
fn whoever_finds_all_readers_of_a_channel_taken_is_told_who_has_most() {
    let mut world = World::new();
    let (_, channel, _) = world.ready_channel(1);
    for (number, uid) in [(2, 1000), (3, 1000), (4, 0), (5, 0)] {
        let session = world.connect_of(number, uid, 44);
        assert_eq!(subscribe_to_all(&mut world, session, channel).0, 16);
    }
    // The super-user is not bounded but by what there is.
    let last = world.connect_of(6, 0, 44);
    let (count, told) = subscribe_to_all(&mut world, last, channel);
    assert_eq!(count, 0);
    let expected = "expected at most 64 readers of one channel, found one more: user 0 has 32, most of them process 105";
    assert_eq!(told, expected);
}
