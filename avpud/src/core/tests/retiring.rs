//! Memory that comes back with or without signs that something wrote beyond it.

use super::world::{World, small};
use crate::core::event::Guards;
use crate::core::note::Note;
use avpu_proto::reply::Reply;
use avpu_proto::report::{LeaseReport, Purpose};
use avpu_proto::request::{CloseChannel, Page, Request, ReturnLease};

fn pieces(world: &mut World, session: crate::core::event::SessionKey) -> Vec<LeaseReport> {
    let Reply::Memory(memory) = world.ask(session, Request::Memory(Page::default())) else {
        panic!("expected memory");
    };
    memory.leases.entries.into_iter().map(|e| e.0).collect()
}

#[test]
fn a_lease_that_comes_back_intact_is_leased_again() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    let first = world.lease(app, channel, 1);
    let lease = first.lease;
    let done = world.ask(app, Request::ReturnLease(ReturnLease { lease }));
    assert_eq!(done, Reply::Done);
    let again = world.lease(app, channel, 1);
    assert_eq!(again.buffers, first.buffers);
    assert_eq!(world.status(app).quarantined_bytes, 0);
}

#[test]
fn memory_whose_guards_were_overwritten_or_not_seen_is_never_given_out_again() {
    for (guards, counted) in [(Guards::Broken(2), 2), (Guards::Unseen, 0)] {
        let mut world = World::new();
        let app = world.connect(1);
        let channel = world.open(app, small()).channel;
        let first = world.lease(app, channel, 1);
        world.guards = guards;
        let lease = first.lease;
        let done = world.ask(app, Request::ReturnLease(ReturnLease { lease }));
        assert_eq!(
            done,
            Reply::Done,
            "its client did nothing wrong that is known"
        );
        let again = world.lease(app, channel, 1);
        assert_ne!(again.buffers, first.buffers);
        world.guards = guards;
        world.ask(app, Request::CloseChannel(CloseChannel { channel }));

        let condemned = |note: &&Note| matches!(note, Note::MemoryCondemned { .. });
        assert_eq!(world.notes.iter().filter(condemned).count(), 2);
        let left = pieces(&mut world, app);
        let quarantined = left.iter().filter(|p| p.purpose == Purpose::Quarantine);
        let bytes: u64 = quarantined.map(|p| u64::from(p.len_bytes)).sum();
        let told = world.status(app);
        assert_eq!(
            (told.quarantined_bytes, told.guards_broken),
            (bytes, 2 * counted)
        );
        assert!(bytes > 0);
    }
}

#[test]
fn a_channel_that_lost_its_memory_leaves_room_for_another_one() {
    let mut world = World::new();
    let app = world.connect(1);
    let channel = world.open(app, small()).channel;
    world.guards = Guards::Broken(1);
    world.ask(app, Request::CloseChannel(CloseChannel { channel }));
    let next = world.open(app, small()).channel;
    assert_ne!(next, channel);
    let pieces = pieces(&mut world, app);
    let [old, new] = pieces.as_slice() else {
        panic!("expected two pieces, found {pieces:?}");
    };
    assert_eq!(
        (old.purpose, new.purpose),
        (Purpose::Quarantine, Purpose::Channel)
    );
}
