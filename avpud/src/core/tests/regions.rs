//! What raw clients registered, after they are gone.

use super::world::{WINDOW, World, config, frame, small};
use crate::core::event::{Input, SessionKey};
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::Reply;
use avpu_proto::report::{LeaseReport, Purpose};
use avpu_proto::request::{Page, RegisterRegion, ReleaseQuarantine, Request, UnregisterRegion};
use avpu_proto::types::{Address, FrameEnd, RegionId};

const BASE: u32 = WINDOW + 0x10_0000;
const LEN: u32 = 0x4_0000;
/// Its group has the raw right.
const RAW_GID: u32 = 44;
const STREAMER: u32 = 1000;

fn world(quarantine_us: Option<u64>) -> World {
    let mut config = config();
    config.quarantine_us = quarantine_us;
    World::with(config)
}

/// A client of this user that may use raw addresses.
fn streamer(world: &mut World, uid: u32) -> SessionKey {
    world.connect_as(uid, RAW_GID)
}

fn wish(at: u32, len_bytes: u32) -> Request {
    Request::RegisterRegion(RegisterRegion {
        address: Address::new(at),
        len_bytes,
    })
}

fn register(world: &mut World, session: SessionKey, at: u32, len_bytes: u32) -> RegionId {
    match world.ask(session, wish(at, len_bytes)) {
        Reply::RegionRegistered(registered) => registered.region,
        other => panic!("expected a region, found {other:?}"),
    }
}

fn refusal(world: &mut World, session: SessionKey, body: Request) -> (ErrorCode, String) {
    match world.ask(session, body) {
        Reply::Refused(refusal) => (refusal.code, refusal.sentence),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn leave(world: &mut World, session: SessionKey) {
    world.feed(Input::Closed { session });
}

/// Address, length and user of each region in quarantine.
fn left(world: &mut World, session: SessionKey) -> Vec<(u32, u32, u32)> {
    let Reply::Memory(memory) = world.ask(session, Request::Memory(Page::default())) else {
        panic!("expected memory");
    };
    let pieces = memory.leases.entries.into_iter().map(|entry| entry.0);
    let left = pieces.filter_map(|piece: LeaseReport| {
        let uid = piece.uid?;
        assert_eq!((piece.purpose, piece.pid), (Purpose::Quarantine, 0));
        Some((piece.address.value(), piece.len_bytes, uid))
    });
    left.collect()
}

#[test]
fn what_a_dead_client_registered_is_its_users_until_the_quarantine_is_over() {
    let mut world = world(Some(1_000_000));
    let first = streamer(&mut world, STREAMER);
    register(&mut world, first, BASE, LEN);
    leave(&mut world, first);
    let other = streamer(&mut world, 7);
    assert_eq!(left(&mut world, other), [(BASE, LEN, STREAMER)]);
    let channel = world.open(other, small()).channel;
    let inside = Request::Submit(frame(channel, Address::new(BASE + 0x1000)));
    for body in [
        wish(BASE, LEN),
        wish(BASE + LEN - 0x1000, 0x2000),
        inside.clone(),
    ] {
        let (code, sentence) = refusal(&mut world, other, body);
        assert_eq!(code, ErrorCode::ADDRESS_OVERLAP);
        let told = "overlap what a client of user 1000 left in quarantine";
        assert!(sentence.ends_with(told), "{sentence}");
    }
    let root = world.connect(0);
    let (code, _) = refusal(&mut world, root, wish(BASE, LEN));
    assert_eq!(code, ErrorCode::ADDRESS_OVERLAP, "whoever it is");

    let Reply::Status(status) = world.ask(other, Request::Status) else {
        panic!("expected the status");
    };
    assert_eq!(status.quarantined_bytes, u64::from(LEN));
    world.pass(999_999);
    assert_eq!(left(&mut world, other).len(), 1);
    world.pass(1);
    assert_eq!(left(&mut world, other), []);
    assert!(matches!(world.ask(other, inside), Reply::Submitted(_)));
    world.finish(1_000, 100);
    register(&mut world, other, BASE, LEN);
    assert_eq!(world.broker.sources.regions.next_release(), None);
}

#[test]
fn the_next_client_of_the_same_user_takes_its_addresses_over() {
    let mut world = world(None);
    let first = streamer(&mut world, STREAMER);
    register(&mut world, first, BASE, LEN);
    leave(&mut world, first);
    let second = streamer(&mut world, STREAMER);
    let channel = world.open(second, small()).channel;
    let region = register(&mut world, second, BASE, LEN);
    assert_eq!(left(&mut world, second), [], "it is somebody's again");
    world.submit(second, channel, Address::new(BASE));
    world.finish(1_000, 100);
    assert!(matches!(world.ends(second)[..], [FrameEnd::Encoded { .. }]));
    let give_back = Request::UnregisterRegion(UnregisterRegion { region });
    assert_eq!(world.ask(second, give_back), Reply::Done);
    assert_eq!(left(&mut world, second), [], "who gives back is believed");
}

#[test]
fn what_is_taken_over_in_part_stays_in_quarantine_for_everybody_else() {
    let mut world = world(None);
    let first = streamer(&mut world, STREAMER);
    register(&mut world, first, BASE, LEN);
    leave(&mut world, first);
    let second = streamer(&mut world, STREAMER);
    register(&mut world, second, BASE, LEN / 2);
    assert_eq!(left(&mut world, second), [(BASE, LEN, STREAMER)]);
    let other = streamer(&mut world, 7);
    let (code, _) = refusal(&mut world, other, wish(BASE + LEN / 2, 0x1000));
    assert_eq!(code, ErrorCode::ADDRESS_OVERLAP);
    leave(&mut world, second);
    assert_eq!(
        left(&mut world, other),
        [(BASE, LEN, STREAMER)],
        "as before"
    );
    let third = streamer(&mut world, STREAMER);
    register(&mut world, third, BASE - LEN, 2 * LEN);
    assert_eq!(left(&mut world, other), [], "all of it is somebody's");
    leave(&mut world, third);
    assert_eq!(left(&mut world, other), [(BASE - LEN, 2 * LEN, STREAMER)]);
}

#[test]
fn a_user_that_lost_the_raw_right_takes_nothing_over() {
    let mut world = world(None);
    let first = streamer(&mut world, STREAMER);
    register(&mut world, first, BASE, LEN);
    leave(&mut world, first);
    let second = world.connect_as(STREAMER, STREAMER);
    let (code, _) = refusal(&mut world, second, wish(BASE, LEN));
    assert_eq!(code, ErrorCode::NOT_PERMITTED);
    assert_eq!(left(&mut world, second).len(), 1);
}

#[test]
fn the_quarantine_begins_when_the_encoder_has_read_the_last_picture() {
    let mut world = world(Some(1_000));
    let first = streamer(&mut world, STREAMER);
    let channel = world.open(first, small()).channel;
    register(&mut world, first, BASE, LEN);
    world.submit(first, channel, Address::new(BASE));
    leave(&mut world, first);
    let root = world.connect(0);
    let release = Request::ReleaseQuarantine(ReleaseQuarantine {
        address: Address::new(BASE),
    });
    let other = streamer(&mut world, 7);
    assert_eq!(world.refused(root, release.clone()), ErrorCode::IN_USE);
    assert_eq!(
        world.refused(other, wish(BASE, LEN)),
        ErrorCode::ADDRESS_OVERLAP
    );
    world.finish(5_000, 100);
    assert_eq!(left(&mut world, root).len(), 1);
    world.pass(1_000);
    assert_eq!(left(&mut world, root), []);
    assert_eq!(world.refused(root, release), ErrorCode::NO_SUCH_OBJECT);
}

#[test]
fn quarantine_without_end_ends_when_an_operator_vouches_for_the_region() {
    let mut world = world(None);
    let first = streamer(&mut world, STREAMER);
    register(&mut world, first, BASE, LEN);
    leave(&mut world, first);
    let root = world.connect(0);
    world.pass(3_600_000_000);
    let mut release = |address| {
        let address = Address::new(address);
        world.ask(
            root,
            Request::ReleaseQuarantine(ReleaseQuarantine { address }),
        )
    };
    assert!(matches!(release(BASE + 0x1000), Reply::Refused(_)));
    assert_eq!(release(BASE), Reply::Done);
    assert!(matches!(release(BASE), Reply::Refused(_)));
    let other = streamer(&mut world, 7);
    register(&mut world, other, BASE, LEN);
}

#[test]
fn a_client_that_dies_again_and_again_is_not_remembered_without_end() {
    let mut world = world(None);
    for round in 0..64 {
        let again = streamer(&mut world, STREAMER);
        register(&mut world, again, BASE, LEN);
        register(&mut world, again, BASE + LEN + round * 0x1000, 0x1000);
        leave(&mut world, again);
    }
    let last = streamer(&mut world, STREAMER);
    assert_eq!(left(&mut world, last).len(), 16, "a page of them");
    // 65 pieces: taking one over leaves 64.
    let (code, sentence) = refusal(&mut world, last, wish(BASE, LEN));
    assert_eq!(code, ErrorCode::LIMIT_REACHED);
    let told = "expected fewer than 64 regions in quarantine for user 1000, found 64";
    assert_eq!(sentence, told);
    register(&mut world, last, BASE, 3 * LEN);
    let other = streamer(&mut world, 7);
    register(&mut world, other, BASE - LEN, LEN);
}

#[test]
fn a_picture_is_found_in_whichever_of_overlapping_regions_holds_it() {
    let mut world = world(None);
    let app = streamer(&mut world, STREAMER);
    let channel = world.open(app, small()).channel;
    let picture = 320 * 192 * 3 / 2;
    register(&mut world, app, BASE, picture);
    let later = register(&mut world, app, BASE + picture / 2, 2 * picture);
    let reply = world.submit(app, channel, Address::new(BASE + picture / 2));
    assert!(matches!(reply, Reply::Submitted(_)), "{reply:?}");
    let unregister = Request::UnregisterRegion(UnregisterRegion { region: later });
    assert_eq!(refusal(&mut world, app, unregister).0, ErrorCode::IN_USE);
    let beyond = Request::Submit(frame(channel, Address::new(BASE + 2 * picture)));
    let (code, _) = refusal(&mut world, app, beyond);
    assert_eq!(code, ErrorCode::ADDRESS_OUT_OF_BOUNDS);
}
