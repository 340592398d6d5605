//! What a client may do by its role, and how much of it.

use super::world::{World, config, frame, small};
use crate::core::role::Members;
use crate::mem::addr::ByteLen;
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::Reply;
use avpu_proto::report::ClientReport;
use avpu_proto::request::{
    LeaseBuffers, Page, ReleaseQuarantine, Request, RequestIdr, Revoke, Subscribe,
};
use avpu_proto::types::{Address, Join, LeaseId, Role};

/// Users other than 0 and 1 may only observe, user 2 may use raw addresses.
fn strict() -> World {
    let mut config = config();
    config.rights.publish = Some(Members {
        uids: vec![1],
        gids: Vec::new(),
    });
    config.rights.raw.uids = vec![2];
    World::with(config)
}

fn role(world: &mut World, session: crate::core::event::SessionKey) -> Role {
    match world.ask(session, Request::Capabilities) {
        Reply::Capabilities(capabilities) => capabilities.role,
        other => panic!("expected capabilities, found {other:?}"),
    }
}

#[test]
fn every_client_is_told_its_role_and_so_is_whoever_lists_them() {
    let mut world = strict();
    let roles = [Role::Raw, Role::Publish, Role::Raw, Role::Observe];
    let sessions: Vec<_> = (0..4).map(|number| world.connect(number)).collect();
    for (session, expected) in sessions.iter().zip(roles) {
        assert_eq!(role(&mut world, *session), expected);
    }
    let reply = world.ask(sessions[3], Request::Clients(Page::default()));
    let Reply::Clients(page) = reply else {
        panic!("expected clients, found {reply:?}");
    };
    let listed: Vec<ClientReport> = page.entries.into_iter().map(|e| e.0).collect();
    assert!(listed.iter().map(|client| client.role).eq(roles));
}

#[test]
fn an_observer_reads_and_asks_for_idrs_and_opens_nothing() {
    let mut world = strict();
    let (app, channel, address) = world.ready_channel(1);
    let viewer = world.connect(3);
    world.subscribe(viewer, channel, Join::LastIdr, 4);
    let idr = RequestIdr {
        channel,
        name: String::new(),
    };
    let asked = world.ask(viewer, Request::RequestIdr(idr));
    assert!(!matches!(asked, Reply::Refused(_)), "{asked:?}");
    world.submit(app, channel, address);
    world.finish(1000, 100);
    assert_eq!(world.packets(viewer).len(), 1);

    let refused = world.ask(viewer, Request::OpenChannel(small()));
    let Reply::Refused(refusal) = refused else {
        panic!("expected a refusal, found {refused:?}");
    };
    assert_eq!(refusal.code, ErrorCode::NOT_PERMITTED);
    let told = "expected a client that may open channels, found user 3, group 1000, which may only read channels and reports";
    assert_eq!(refusal.sentence, told);
    for body in [
        Request::LeaseBuffers(LeaseBuffers { channel, count: 1 }),
        Request::Submit(frame(channel, address)),
    ] {
        assert_eq!(world.refused(viewer, body), ErrorCode::NOT_PERMITTED);
    }
}

#[test]
fn only_the_super_user_and_the_daemons_own_take_memory_from_others() {
    let mut config = config();
    config.rights.own_uid = 5;
    let mut world = World::with(config);
    let app = world.connect(1);
    let (lease, address) = (LeaseId::new(77), Address::new(4096));
    let revoke = Request::Revoke(Revoke { lease, grace_us: 0 });
    let release = Request::ReleaseQuarantine(ReleaseQuarantine { address });
    for body in [&revoke, &release] {
        assert_eq!(world.refused(app, body.clone()), ErrorCode::NOT_PERMITTED);
    }
    for number in [0, 5] {
        let operator = world.connect(number);
        for body in [&revoke, &release] {
            let code = world.refused(operator, body.clone());
            assert_ne!(code, ErrorCode::NOT_PERMITTED);
        }
    }
}

#[test]
fn the_settings_bound_channels_leases_frames_and_packets_of_one_client() {
    let mut config = config();
    let limits = &mut config.client_limits;
    limits.channels = 1;
    limits.frames = 1;
    limits.packets = 2;
    limits.lease_bytes = ByteLen::new(200 * 1024);
    let mut world = World::with(config);
    let (app, channel, address) = world.ready_channel(1);
    let refusal = |world: &mut World, body| match world.ask(app, body) {
        Reply::Refused(refusal) => (refusal.code, refusal.sentence),
        other => panic!("expected a refusal, found {other:?}"),
    };
    let (code, _) = refusal(&mut world, Request::OpenChannel(small()));
    assert_eq!(code, ErrorCode::LIMIT_REACHED);
    // A picture of 320x192 takes 92160 bytes, in whole pages 94208.
    let wish = LeaseBuffers { channel, count: 2 };
    let (code, sentence) = refusal(&mut world, Request::LeaseBuffers(wish));
    assert_eq!(code, ErrorCode::LIMIT_REACHED);
    let too_much = 3 * 94_208 - 200 * 1024;
    assert!(
        sentence.ends_with(&format!(", {too_much} too much")),
        "{sentence}"
    );
    world.submit(app, channel, address);
    let again = Request::Submit(frame(channel, address));
    assert_eq!(refusal(&mut world, again).0, ErrorCode::NO_CREDIT);
    for credits in [0, 64] {
        let subscribed = world.subscribe(app, channel, Join::LastIdr, credits);
        assert_eq!(subscribed.credits, 2);
    }
    let Reply::Capabilities(told) = world.ask(app, Request::Capabilities) else {
        panic!("expected capabilities");
    };
    assert_eq!((told.submit_credits, told.packet_credits_max), (1, 2));
    let other = world.connect(2);
    let wish = Subscribe {
        channel,
        ..Subscribe::default()
    };
    assert!(matches!(
        world.ask(other, Request::Subscribe(wish)),
        Reply::Subscribed(_)
    ));
}

#[test]
fn leases_of_everybody_end_where_the_daemons_open_files_do() {
    let mut config = config();
    config.leases_max = 2;
    let mut world = World::with(config);
    let (first, one, _) = world.ready_channel(1);
    world.ready_channel(2);
    let wish = LeaseBuffers {
        channel: one,
        count: 1,
    };
    let refused = world.ask(first, Request::LeaseBuffers(wish));
    let Reply::Refused(refusal) = refused else {
        panic!("expected a refusal, found {refused:?}");
    };
    assert_eq!(refusal.code, ErrorCode::LIMIT_REACHED);
    assert!(refusal.transient && refusal.sentence.contains("files open"));
    let session = first;
    world.feed(crate::core::event::Input::Closed { session });
    let (third, three, _) = world.ready_channel(3);
    assert_eq!(
        world.refused(
            third,
            Request::LeaseBuffers(LeaseBuffers {
                channel: three,
                count: 1
            })
        ),
        ErrorCode::LIMIT_REACHED
    );
}
