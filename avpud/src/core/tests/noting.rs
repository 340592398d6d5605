//! What an operator finds in the log about rights: who wanted what, and every phase of taking memory back.

use super::world::{World, config, frame, small};
use crate::core::event::{Input, LeaseKey, Peer, SessionKey};
use crate::core::note::{Ending, Note};
use crate::core::role::Members;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, LeaseBuffers, RegisterRegion, Request, ReturnLease, Revoke,
};
use avpu_proto::types::{Address, LeaseId};

fn peer(number: u32) -> Peer {
    Peer {
        pid: 100 + number,
        uid: number,
        gid: 1000,
    }
}

/// What was noted since about rights, and about nothing else.
fn noted(world: &mut World) -> Vec<Note> {
    let notes = core::mem::take(&mut world.notes);
    let told = |note: &Note| {
        !matches!(
            note,
            Note::ChannelOpened { .. } | Note::ChannelClosed { .. }
        )
    };
    notes.into_iter().filter(told).collect()
}

fn refused(world: &mut World, session: SessionKey, body: Request) -> ErrorCode {
    let code = world.refused(session, body);
    let notes = noted(world);
    let [
        Note::Refused {
            peer: who,
            code: told,
            sentence,
        },
    ] = &notes[..]
    else {
        panic!("expected that {code} is noted, found {notes:?}");
    };
    assert_eq!((*who, *told), (peer(session.value()), code));
    assert!(sentence.starts_with("expected "), "{sentence}");
    code
}

#[test]
fn who_wants_what_is_not_its_own_or_more_than_it_may_have_is_noted() {
    let mut config = config();
    config.rights.publish = Some(Members {
        uids: vec![1, 2],
        gids: Vec::new(),
    });
    config.client_limits.channels = 1;
    let mut world = World::with(config);
    let (app, channel, address) = world.ready_channel(1);
    let (other, foreign, theirs) = world.ready_channel(2);
    let viewer = world.connect(3);
    noted(&mut world);
    let open = Request::OpenChannel(small());
    let lease = |count| Request::LeaseBuffers(LeaseBuffers { channel, count });
    let revoke = Request::Revoke(Revoke {
        lease: LeaseId::new(1),
        grace_us: 0,
    });
    let raw = Request::RegisterRegion(RegisterRegion {
        address: Address::new(4096),
        len_bytes: 4096,
    });
    let close = Request::CloseChannel(CloseChannel { channel: foreign });
    let cases = [
        (viewer, open.clone(), ErrorCode::NOT_PERMITTED),
        (app, open, ErrorCode::LIMIT_REACHED),
        (app, lease(200), ErrorCode::LIMIT_REACHED),
        (other, revoke, ErrorCode::NOT_PERMITTED),
        (app, raw, ErrorCode::NOT_PERMITTED),
        (app, close, ErrorCode::NOT_OWNER),
        (
            app,
            Request::Submit(frame(channel, theirs)),
            ErrorCode::ADDRESS_FOREIGN,
        ),
        (
            app,
            Request::Submit(frame(channel, Address::new(address.value() + 256))),
            ErrorCode::ADDRESS_OUT_OF_BOUNDS,
        ),
    ];
    for (session, body, code) in cases {
        assert_eq!(refused(&mut world, session, body), code);
    }
}

#[test]
fn a_client_that_only_submits_too_fast_is_not_noted() {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    noted(&mut world);
    let submit = || Request::Submit(frame(channel, address));
    let full = (0..20).find_map(|_| match world.ask(app, submit()) {
        Reply::Refused(refusal) => Some(refusal.code),
        _ => None,
    });
    assert_eq!(full, Some(ErrorCode::QUEUE_FULL));
    assert_eq!(noted(&mut world), []);
}

struct Scene {
    world: World,
    app: SessionKey,
    lease: LeaseId,
}

/// A client whose lease is read by the encoder and by one more frame that waits, just told to return it in 5 ms.
fn scene() -> Scene {
    let mut world = World::new();
    let (app, channel, address) = world.ready_channel(1);
    world.submit(app, channel, address);
    world.submit(app, channel, address);
    let lease = LeaseId::new(1);
    let operator = world.connect(0);
    let revoke = Request::Revoke(Revoke {
        lease,
        grace_us: 5_000,
    });
    noted(&mut world);
    assert_eq!(world.ask(operator, revoke), Reply::Done);
    let told = Note::LeaseRevoking {
        lease: LeaseKey::new(1),
        holder: peer(1),
        by: peer(0),
        grace_us: 5_000,
    };
    assert_eq!(noted(&mut world), [told]);
    Scene { world, app, lease }
}

fn gone(how: Ending, after_us: u64, fenced_us: Option<u64>) -> Note {
    Note::LeaseRevoked {
        lease: LeaseKey::new(1),
        holder: peer(1),
        how,
        after_us,
        fenced_us,
    }
}

#[test]
fn a_revocation_is_noted_when_it_is_told_when_it_is_fenced_and_when_it_is_over() {
    let Scene { mut world, .. } = scene();
    world.pass(5_000);
    let fenced = Note::LeaseFenced {
        lease: LeaseKey::new(1),
        holder: peer(1),
        after_us: 5_000,
        dropped: 1,
        frames: 1,
    };
    assert_eq!(noted(&mut world), [fenced]);
    world.finish(2_000, 100);
    let over = gone(Ending::Fenced, 7_000, Some(2_000));
    assert_eq!(noted(&mut world), [over]);
}

#[test]
fn a_revoked_lease_that_is_returned_or_whose_holder_leaves_is_noted_as_such() {
    for leaves in [false, true] {
        let Scene {
            mut world,
            app,
            lease,
        } = scene();
        world.finish(1_000, 100);
        world.finish(1_000, 100);
        let how = if leaves {
            world.feed(Input::Closed { session: app });
            Ending::Left
        } else {
            let give_back = Request::ReturnLease(ReturnLease { lease });
            assert_eq!(world.ask(app, give_back), Reply::Done);
            Ending::Returned
        };
        assert_eq!(noted(&mut world), [gone(how, 2_000, None)]);
    }
}
