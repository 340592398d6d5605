//! Key frames: who may ask, what is promised, what one request costs.

use super::world::{World, config, frame, small};
use crate::core::event::{Input, SessionKey};
use crate::picture::PictureKind;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::{IdrPromised, Reply};
use avpu_proto::report::ClientReport;
use avpu_proto::request::{OpenChannel, Page, Request, RequestIdr, Submit};
use avpu_proto::types::{Address, ChannelId, Join, Sequence};

type Source = (SessionKey, ChannelId, Address);

/// A channel of 25 pictures a second whose own IDRs are far apart.
fn long_groups(world: &mut World) -> Source {
    let wish = OpenChannel {
        gop_length: 10_000,
        ring_bytes: 1 << 20,
        ..small()
    };
    world.ready_with(1, wish)
}

fn ask(world: &mut World, session: SessionKey, channel: ChannelId) -> IdrPromised {
    let name = String::new();
    match world.ask(session, Request::RequestIdr(RequestIdr { channel, name })) {
        Reply::IdrPromised(promised) => promised,
        other => panic!("expected a promise, found {other:?}"),
    }
}

/// One picture; the next is due 40 ms after it.
fn encode(world: &mut World, (app, channel, address): Source) -> PictureKind {
    assert!(matches!(
        world.submit(app, channel, address),
        Reply::Submitted(_)
    ));
    let kind = world.finish(1000, 100).kind;
    world.pass(39_000);
    kind
}

fn clients(world: &mut World, asking: SessionKey) -> Vec<ClientReport> {
    match world.ask(asking, Request::Clients(Page::default())) {
        Reply::Clients(listing) => listing.entries.into_iter().map(|entry| entry.0).collect(),
        other => panic!("expected clients, found {other:?}"),
    }
}

#[test]
fn an_idr_is_requested_by_owners_and_readers_only() {
    let mut world = World::new();
    let source = world.ready_channel(1);
    let reader = world.connect(2);
    let idr = Request::RequestIdr(RequestIdr {
        channel: source.1,
        name: String::new(),
    });
    assert_eq!(world.refused(reader, idr), ErrorCode::NOT_OWNER);
    world.subscribe(reader, source.1, Join::NextIdr, 1);
    ask(&mut world, reader, source.1);
    ask(&mut world, source.0, source.1);
}

#[test]
fn a_request_lives_until_an_idr_was_delivered() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    ask(&mut world, app, channel);
    for _ in 0..3 {
        world.submit(app, channel, address);
        world.delivery_fails = true;
        assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    }
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    world.submit(app, channel, address);
    assert_eq!(world.finish(1000, 100).kind, PictureKind::P);
}

#[test]
fn the_promised_packet_carries_the_idr_whatever_is_under_way() {
    let mut world = World::new();
    let source = long_groups(&mut world);
    let (app, channel, address) = source;
    world.subscribe(app, channel, Join::NextIdr, 0);
    // Nothing was encoded yet: the first packet is an IDR.
    assert_eq!(ask(&mut world, app, channel).sequence, Sequence::new(0));
    encode(&mut world, source);
    // A P picture is in the encoder and another frame waits: the one that waits.
    world.pass(1_000_000);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let promised = ask(&mut world, app, channel);
    assert_eq!((promised.sequence, promised.wait_us), (Sequence::new(2), 0));
    world.finish(1000, 100);
    // Now the IDR itself is in the encoder: it answers whoever asks meanwhile, also one that had one lately.
    let promised = ask(&mut world, app, channel);
    assert_eq!((promised.sequence, promised.wait_us), (Sequence::new(2), 0));
    world.finish(1000, 100);
    world.submit(app, channel, address);
    world.finish(1000, 100);
    let packets = world.packets(app);
    let idrs: Vec<u32> = packets
        .iter()
        .filter(|packet| packet.kind == avpu_proto::types::PictureKind::Idr)
        .map(|packet| packet.sequence.value())
        .collect();
    assert_eq!((packets.len(), idrs), (4, vec![0, 2]));
}

#[test]
fn readers_that_join_in_one_group_cost_one_idr() {
    let mut world = World::new();
    let source = long_groups(&mut world);
    for _ in 0..5 {
        encode(&mut world, source);
    }
    let mut readers = Vec::new();
    let mut idrs = 0;
    for number in 2..34 {
        let reader = world.connect(number);
        world.subscribe(reader, source.1, Join::DemandIdr, 64);
        readers.push(reader);
        // Some of them come between the same two pictures.
        if number % 3 == 0 {
            idrs += u32::from(encode(&mut world, source) == PictureKind::Idr);
        }
    }
    encode(&mut world, source);
    assert_eq!(idrs, 1);
    for reader in readers {
        let packets = world.packets(reader);
        let first = packets.first().expect("everybody has something to show");
        assert_eq!(first.kind, avpu_proto::types::PictureKind::Idr);
        assert_eq!(first.sequence, Sequence::new(5));
    }
    let report = world.report(source.0, source.1);
    assert_eq!((report.idr_out, report.idr_demanded), (2, 1));
    // Those that found the IDR there asked for none.
    let asked: u32 = clients(&mut world, source.0)
        .iter()
        .map(|client| client.idr_requests)
        .sum();
    assert_eq!(asked, 2, "two came before the IDR");
}

#[test]
fn a_requester_that_keeps_asking_gets_one_idr_a_second_and_is_told_how_long_it_waits() {
    let mut world = World::new();
    let source = long_groups(&mut world);
    let greedy = world.connect(2);
    world.subscribe(greedy, source.1, Join::NextIdr, 0);
    encode(&mut world, source);
    let mut idrs = 0;
    for _ in 0..75 {
        let promised = ask(&mut world, greedy, source.1);
        assert!(promised.wait_us < 1_000_000);
        let kind = encode(&mut world, source);
        assert_eq!(promised.wait_us == 0, kind == PictureKind::Idr);
        idrs += u32::from(kind == PictureKind::Idr);
    }
    assert_eq!(idrs, 3, "IDRs in three seconds");
    // Another requester waits for none of that, and the owner as little.
    world.pass(500_000);
    ask(&mut world, greedy, source.1);
    let other = world.connect(3);
    world.subscribe(other, source.1, Join::NextIdr, 0);
    assert_eq!(ask(&mut world, other, source.1).wait_us, 0);
    assert_eq!(encode(&mut world, source), PictureKind::Idr);
    assert_eq!(encode(&mut world, source), PictureKind::P);
    assert_eq!(ask(&mut world, source.0, source.1).wait_us, 0);
    assert_eq!(encode(&mut world, source), PictureKind::Idr);
    // What the owner forces is its own affair.
    for _ in 0..3 {
        let forced = Submit {
            force_idr: true,
            ..frame(source.1, source.2)
        };
        world.ask(source.0, Request::Submit(forced));
        assert_eq!(world.finish(1000, 100).kind, PictureKind::Idr);
    }
}

#[test]
fn a_reader_that_connects_anew_for_every_request_gets_four_idrs_a_second() {
    let mut world = World::new();
    let source = long_groups(&mut world);
    encode(&mut world, source);
    let mut idrs = 0;
    for number in 0..50 {
        let reader = world.connect(100 + number);
        world.subscribe(reader, source.1, Join::NextIdr, 1);
        ask(&mut world, reader, source.1);
        world.feed(Input::Closed { session: reader });
        idrs += u32::from(encode(&mut world, source) == PictureKind::Idr);
    }
    assert!((7..=8).contains(&idrs), "{idrs} IDRs in two seconds");
}

/// Lets cameras deliver a picture each at the same moment, for so many periods. Answers for each moment which cameras'
/// pictures became IDRs.
fn run(world: &mut World, cameras: &[Source], moments: u32) -> Vec<Vec<usize>> {
    let mut idrs = Vec::new();
    for _ in 0..moments {
        for (app, channel, address) in cameras {
            world.submit(*app, *channel, *address);
        }
        let mut now = Vec::new();
        for _ in cameras {
            let job = world.finish(2000, 100);
            if job.kind == PictureKind::Idr {
                let source = job.source.start().value();
                let mut all = cameras.iter();
                now.extend(all.position(|camera| camera.2.value() == source));
            }
        }
        idrs.push(now);
        world.pass(40_000 - 2000 * u64::try_from(cameras.len()).expect("few"));
    }
    idrs
}

#[test]
fn periodic_idrs_of_channels_that_start_together_never_fall_into_one_window() {
    let mut world = World::new();
    let cameras: Vec<Source> = (1..=4).map(|number| world.ready_channel(number)).collect();
    let idrs = run(&mut world, &cameras, 400);
    assert_eq!(idrs[0].len(), 4, "a stream begins with an IDR");
    assert!(idrs.iter().skip(1).all(|now| now.len() <= 1), "{idrs:?}");
    for camera in 0..cameras.len() {
        let moments: Vec<usize> = (0..idrs.len())
            .filter(|moment| idrs[*moment].contains(&camera))
            .collect();
        let groups: Vec<usize> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((47..=50).contains(&groups[0]), "{groups:?}");
        assert!(
            groups.iter().skip(1).all(|group| *group == 50),
            "{groups:?}"
        );
    }
    let mut shown: Vec<u32> = Vec::new();
    if let Reply::Channels(listing) = world.ask(cameras[0].0, Request::Channels(Page::default())) {
        shown.extend(listing.entries.iter().map(|entry| entry.0.gop_length_now));
    }
    assert_eq!(shown, [50; 4]);
}

#[test]
fn an_idr_on_demand_does_not_bring_the_periodic_ones_together() {
    let mut world = World::new();
    let cameras: Vec<Source> = (1..=3).map(|number| world.ready_channel(number)).collect();
    run(&mut world, &cameras, 30);
    for moment in 0..120 {
        // At some moment it would be another camera's.
        let (app, channel, _) = cameras[moment % 3];
        ask(&mut world, app, channel);
        let asked = run(&mut world, &cameras, 1);
        assert!(asked[0].contains(&(moment % 3)), "{moment}: {asked:?}");
        let after = run(&mut world, &cameras, 60);
        assert!(
            after.iter().all(|now| now.len() <= 1),
            "{moment}: {after:?}"
        );
    }
}

#[test]
fn the_settings_say_how_often_a_client_gets_an_idr() {
    for (idr_period_us, expected) in [(0, 25), (200_000, 5), (10_000_000, 1)] {
        let mut config = config();
        config.client_limits.idr_period_us = idr_period_us;
        let mut world = World::with(config);
        let source = long_groups(&mut world);
        encode(&mut world, source);
        let mut idrs = 0;
        for _ in 0..25 {
            ask(&mut world, source.0, source.1);
            idrs += u32::from(encode(&mut world, source) == PictureKind::Idr);
        }
        assert_eq!(idrs, expected, "{idr_period_us}");
    }
}

#[test]
fn a_connection_that_takes_the_place_of_another_is_not_bound_by_what_that_had() {
    let mut world = World::new();
    let source = long_groups(&mut world);
    for _ in 0..2 {
        let reader = world.connect(2);
        world.subscribe(reader, source.1, Join::NextIdr, 64);
        // Its own period has not begun; that of all readers together is a quarter of a second.
        assert!(ask(&mut world, reader, source.1).wait_us <= 250_000);
        for _ in 0..8 {
            encode(&mut world, source);
        }
        world.feed(Input::Closed { session: reader });
    }
}
