//! Addresses that clients name.

use super::world::{ARENA, ARENA_LEN, WINDOW, WINDOW_LEN, World, frame, small};
use crate::core::event::SessionKey;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::Reply;
use avpu_proto::request::{RegisterRegion, Request, ReturnLease, UnregisterRegion};
use avpu_proto::types::{Address, BufferAccess, ChannelId, RegionId};

const PICTURE: u32 = 320 * 192 * 3 / 2;

fn submit_refused(
    world: &mut World,
    session: SessionKey,
    channel: ChannelId,
    at: u32,
) -> ErrorCode {
    world.refused(session, Request::Submit(frame(channel, Address::new(at))))
}

fn register(world: &mut World, session: SessionKey, at: u32, len_bytes: u32) -> Reply {
    let address = Address::new(at);
    world.ask(
        session,
        Request::RegisterRegion(RegisterRegion { address, len_bytes }),
    )
}

fn region(reply: &Reply) -> RegionId {
    match reply {
        Reply::RegionRegistered(registered) => registered.region,
        other => panic!("expected a region, found {other:?}"),
    }
}

fn code(reply: &Reply) -> ErrorCode {
    match reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn leased_buffers_are_aligned_separate_and_reachable() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    let leased = world.lease(app, channel, 3);
    assert!(leased.write_back, "the scripted export is cached");
    assert_eq!(leased.layout.len_bytes, PICTURE);
    let first = leased.buffers[0].address.value();
    for (index, buffer) in (0_u32..).zip(&leased.buffers) {
        let step = PICTURE.next_multiple_of(4096);
        assert_eq!(buffer.address.value(), first + index * step);
        let offset_bytes = u64::from(index * step);
        let cached = true;
        assert_eq!(
            buffer.access,
            BufferAccess::Descriptor {
                offset_bytes,
                cached
            }
        );
    }
}

#[test]
fn each_failed_check_of_an_address_has_its_own_code() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let (other, _, foreign) = world.ready_channel(2);
    let at = address.value();
    let mut code = |at| submit_refused(&mut world, app, channel, at);
    assert_eq!(code(0), ErrorCode::ADDRESS_UNALIGNED);
    assert_eq!(code(at + 4), ErrorCode::ADDRESS_UNALIGNED);
    assert_eq!(code(0xffff_ff00), ErrorCode::ADDRESS_OUT_OF_BOUNDS);
    assert_eq!(code(at + 256), ErrorCode::ADDRESS_OUT_OF_BOUNDS);
    assert_eq!(code(foreign.value()), ErrorCode::ADDRESS_FOREIGN);
    assert_eq!(code(ARENA), ErrorCode::ADDRESS_FOREIGN, "channel memory");
    assert_eq!(code(ARENA + ARENA_LEN), ErrorCode::ADDRESS_FOREIGN);
    assert_eq!(code(0x8000_0000), ErrorCode::ADDRESS_FOREIGN);
    assert_eq!(code(WINDOW + 0x2000), ErrorCode::NOT_PERMITTED);
    let theirs = world.refused(other, Request::Submit(frame(channel, foreign)));
    assert_eq!(theirs, ErrorCode::NOT_OWNER);
    let unknown = frame(ChannelId::new(77), address);
    assert_eq!(
        world.refused(app, Request::Submit(unknown)),
        ErrorCode::NO_SUCH_CHANNEL
    );
}

#[test]
fn a_picture_may_not_reach_from_one_leased_buffer_into_the_next() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    let first = world.lease(app, channel, 2).buffers[0].address.value();
    let inside = first + 256;
    assert_eq!(
        submit_refused(&mut world, app, channel, inside),
        ErrorCode::ADDRESS_OUT_OF_BOUNDS
    );
}

#[test]
fn a_privileged_peer_may_submit_bare_addresses_inside_a_window_only() {
    let mut world = World::new();
    let root = world.connect(0);
    let channel = world.open(root, small()).channel;
    let ok = Address::new(WINDOW + 0x2000);
    assert!(matches!(
        world.submit(root, channel, ok),
        Reply::Submitted(_)
    ));
    let mut code = |at| submit_refused(&mut world, root, channel, at);
    assert_eq!(
        code(WINDOW),
        ErrorCode::ADDRESS_OVERLAP,
        "the system's memory"
    );
    let crossing = WINDOW + WINDOW_LEN - 0x1000;
    assert_eq!(code(crossing), ErrorCode::ADDRESS_OUT_OF_BOUNDS);
    assert_eq!(code(WINDOW - 0x10_0000), ErrorCode::ADDRESS_FOREIGN);
}

#[test]
fn a_region_is_its_owners_until_it_is_given_back() {
    let mut world = World::new();
    let root = world.connect(0);
    let channel = world.open(root, small()).channel;
    let base = WINDOW + 0x10_0000;
    let id = region(&register(&mut world, root, base, 2 * 0x2_0000));
    let crossing = base + 2 * 0x2_0000 - 0x1000;
    assert_eq!(
        submit_refused(&mut world, root, channel, crossing),
        ErrorCode::ADDRESS_OUT_OF_BOUNDS
    );
    world.submit(root, channel, Address::new(base));
    let give_back = Request::UnregisterRegion(UnregisterRegion { region: id });
    assert_eq!(world.refused(root, give_back.clone()), ErrorCode::IN_USE);
    world.finish(1000, 100);
    assert_eq!(world.ask(root, give_back.clone()), Reply::Done);
    assert_eq!(world.refused(root, give_back), ErrorCode::NO_SUCH_OBJECT);
}

#[test]
fn regions_are_checked_when_they_are_registered() {
    let mut config = super::world::config();
    config.rights.raw.gids = vec![1000];
    let mut world = World::with(config);
    let a = world.connect(1);
    let b = world.connect(2);
    let base = WINDOW + 0x10_0000;
    let id = region(&register(&mut world, a, base, 0x1_0000));
    let mut refused = |at, len| code(&register(&mut world, b, at, len));
    assert_eq!(refused(base + 0xff00, 0x1000), ErrorCode::ADDRESS_OVERLAP);
    assert_eq!(refused(base + 1, 0x1000), ErrorCode::ADDRESS_UNALIGNED);
    assert_eq!(refused(base, 0), ErrorCode::ADDRESS_OUT_OF_BOUNDS);
    assert_eq!(
        refused(0xffff_f000, 0x2000),
        ErrorCode::ADDRESS_OUT_OF_BOUNDS
    );
    assert_eq!(refused(ARENA, 0x1000), ErrorCode::ADDRESS_FOREIGN);
    assert_eq!(refused(WINDOW, 0x1000), ErrorCode::ADDRESS_OVERLAP);
    let theirs = Request::UnregisterRegion(UnregisterRegion { region: id });
    assert_eq!(world.refused(b, theirs), ErrorCode::NOT_OWNER);
    let channel = world.open(b, small()).channel;
    assert_eq!(
        submit_refused(&mut world, b, channel, base),
        ErrorCode::ADDRESS_OVERLAP
    );
}

#[test]
fn registering_needs_the_right() {
    let mut world = World::new();
    let app = world.connect(1);
    let reply = register(&mut world, app, WINDOW + 0x10_0000, 0x1000);
    assert_eq!(code(&reply), ErrorCode::NOT_PERMITTED);
}

#[test]
fn a_lease_goes_back_once_and_not_while_a_frame_is_in_it() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    let stranger = world.connect(2);
    let lease = avpu_proto::types::LeaseId::new(1);
    let give_back = Request::ReturnLease(ReturnLease { lease });
    world.submit(app, channel, address);
    assert_eq!(world.refused(app, give_back.clone()), ErrorCode::IN_USE);
    assert_eq!(
        world.refused(stranger, give_back.clone()),
        ErrorCode::NOT_OWNER
    );
    world.finish(1000, 100);
    world.trace.clear();
    assert_eq!(world.ask(app, give_back.clone()), Reply::Done);
    assert_eq!(world.trace, ["revoke", "reply Done"]);
    assert_eq!(world.refused(app, give_back), ErrorCode::NO_SUCH_OBJECT);
    assert_eq!(
        submit_refused(&mut world, app, channel, address.value()),
        ErrorCode::ADDRESS_FOREIGN,
        "a released address is nobody's"
    );
}

#[test]
fn a_lease_that_the_shell_cannot_export_leaves_nothing_behind() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    let used = world.broker.pool.used_bytes();
    world.setup_fails = true;
    let wish = avpu_proto::request::LeaseBuffers { channel, count: 2 };
    assert_eq!(
        world.refused(app, Request::LeaseBuffers(wish)),
        ErrorCode::INTERNAL
    );
    assert_eq!(world.broker.pool.used_bytes(), used);
    assert!(world.broker.sources.is_empty());
}
