//! Buffers of other drivers as sources of frames.

use super::world::{ARENA, ARENA_LEN, WINDOW, World, range, small};
use crate::core::event::{Input, NotImported, SessionKey};
use crate::mem::addr::PhysRange;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::{RegionRegistered, Reply};
use avpu_proto::request::{ImportBuffer, Request, UnregisterRegion};
use avpu_proto::types::{Address, FrameEnd};

/// The only peer with the raw right in this world.
const ROOT: u32 = 0;
const LEN: u32 = 0x4_0000;

fn wish() -> Request {
    Request::ImportBuffer(ImportBuffer { len_bytes: LEN })
}

fn import(world: &mut World, session: SessionKey, at: u32) -> RegionRegistered {
    world.import = Ok(range(at, LEN));
    match world.ask(session, wish()) {
        Reply::RegionRegistered(registered) => registered,
        other => panic!("expected a region, found {other:?}"),
    }
}

fn import_works(world: &mut World, session: SessionKey) -> bool {
    match world.ask(session, Request::Capabilities) {
        Reply::Capabilities(capabilities) => capabilities.dma_buf_import,
        other => panic!("expected capabilities, found {other:?}"),
    }
}

#[test]
fn a_buffer_is_named_by_where_the_kernel_says_that_it_lies_and_kept_while_it_is_read() {
    let mut world = World::new();
    let root = world.connect(ROOT);
    assert!(!import_works(&mut world, root));
    let channel = world.open(root, small()).channel;
    let imported = import(&mut world, root, 0x4000_0000);
    assert_eq!(imported.address, Address::new(0x4000_0000));
    assert!(import_works(&mut world, root), "one was taken");
    world.submit(root, channel, imported.address);
    let region = imported.region;
    let unregister = Request::UnregisterRegion(UnregisterRegion { region });
    assert_eq!(world.refused(root, unregister.clone()), ErrorCode::IN_USE);
    let job = world.finish(1000, 100);
    assert_eq!(job.source.start().value(), 0x4000_0000);
    assert!(matches!(world.ends(root)[..], [FrameEnd::Encoded { .. }]));
    assert!(world.released_imports.is_empty());
    assert_eq!(world.ask(root, unregister), Reply::Done);
    assert_eq!(world.released_imports.len(), 1);
    let refused = Request::Submit(super::world::frame(channel, imported.address));
    assert_eq!(world.refused(root, refused), ErrorCode::ADDRESS_FOREIGN);
}

#[test]
fn a_buffer_whose_owner_leaves_is_released_when_the_encoder_is_through_with_it() {
    let mut world = World::new();
    let root = world.connect(ROOT);
    let channel = world.open(root, small()).channel;
    let (read, idle) = (
        import(&mut world, root, 0x4000_0000),
        import(&mut world, root, 0x5000_0000),
    );
    assert_ne!(read.region, idle.region);
    world.submit(root, channel, read.address);
    world.feed(Input::Closed { session: root });
    assert_eq!(
        world.released_imports.len(),
        1,
        "only the one that is not read"
    );
    world.finish(1000, 100);
    assert_eq!(world.released_imports.len(), 2);
    world.assert_quiet();
}

#[test]
fn a_buffer_in_memory_of_others_is_refused_and_released() {
    let mut world = World::new();
    let root = world.connect(ROOT);
    let places: [(PhysRange, ErrorCode); 3] = [
        (
            range(ARENA + ARENA_LEN - 0x1000, LEN),
            ErrorCode::ADDRESS_OVERLAP,
        ),
        (range(0x4000_0001, LEN), ErrorCode::ADDRESS_UNALIGNED),
        (range(0, LEN), ErrorCode::ADDRESS_UNALIGNED),
    ];
    for (count, (place, code)) in (1..).zip(places) {
        world.import = Ok(place);
        assert_eq!(world.refused(root, wish()), code, "{place}");
        assert_eq!(world.released_imports.len(), count);
    }
}

#[test]
fn only_the_super_user_may_import_from_the_systems_memory() {
    let mut world = World::new();
    // The first page of the window is the system's here.
    let root = world.connect(ROOT);
    import(&mut world, root, WINDOW);
    world.feed(Input::Closed { session: root });
    let group = world.connect_as(7, 44);
    world.import = Ok(range(WINDOW, LEN));
    assert_eq!(world.refused(group, wish()), ErrorCode::ADDRESS_OVERLAP);
    import(&mut world, group, WINDOW + 0x1000);
}

#[test]
fn a_device_that_does_not_take_it_is_told_apart_from_one_that_fails() {
    let mut world = World::new();
    let root = world.connect(ROOT);
    assert_eq!(world.refused(root, wish()), ErrorCode::UNSUPPORTED);
    world.import = Err(NotImported::Failed("no descriptor left".to_owned()));
    assert_eq!(world.refused(root, wish()), ErrorCode::INTERNAL);
    let nothing = Request::ImportBuffer(ImportBuffer { len_bytes: 0 });
    assert_eq!(world.refused(root, nothing), ErrorCode::INVALID_PARAMETER);
    assert!(!import_works(&mut world, root) && world.released_imports.is_empty());
}

#[test]
fn importing_needs_the_raw_right_because_nobody_says_how_long_a_piece_is() {
    let mut world = World::new();
    let app = world.connect(1);
    world.import = Ok(range(0x4000_0000, LEN));
    assert_eq!(world.refused(app, wish()), ErrorCode::NOT_PERMITTED);
}
