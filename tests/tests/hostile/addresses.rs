//! Addresses and numbers that are not the client's own: each check has its own code, and nothing is touched.

use crate::peer::{Peer, open_small};
use crate::scene::{Scene, memory};
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::reply::{Reply, Submitted};
use avpu_proto::report::Purpose;
use avpu_proto::request::{
    CloseChannel, Drain, LeaseBuffers, RegisterRegion, ReleasePackets, Request, RequestIdr,
    ReturnLease, Submit, UnregisterRegion, Unsubscribe,
};
use avpu_proto::types::{
    Address, ChannelId, FrameEnd, LeaseId, RegionId, Sequence, SubscriptionId,
};
use avpu_tests::daemon::{Daemon, Scratch};
use nix::unistd::getegid;
use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Addresses are multiples of this.
const STEP: u32 = 256;
const WINDOW: u32 = 0x0b00_0000;
const WINDOW_LEN: u32 = 1 << 20;

fn submit(channel: ChannelId, address: u32) -> Request {
    Request::Submit(Submit {
        channel,
        address: Address::new(address),
        ..Submit::default()
    })
}

fn register(address: u32, len_bytes: u32) -> Request {
    Request::RegisterRegion(RegisterRegion {
        address: Address::new(address),
        len_bytes,
    })
}

/// Submits a picture and waits for both its packet's worth of work and its end.
fn encode(peer: &mut Peer, channel: ChannelId, address: u32) {
    let reply = peer.ask(&submit(channel, address));
    assert!(
        matches!(reply, Reply::Submitted(Submitted { .. })),
        "{reply:?}"
    );
    loop {
        if let Event::SourceReleased(released) = peer.event() {
            assert!(
                matches!(released.end, FrameEnd::Encoded { .. }),
                "{released:?}"
            );
            return;
        }
    }
}

#[test]
fn every_address_that_is_not_the_clients_own_is_refused_with_its_code() {
    let mut scene = Scene::new("");
    let (totals, leases) = memory(&scene.victim.client);
    let of_victim = |purpose| {
        let lease = leases.iter().find(|lease| lease.purpose == purpose);
        lease.expect("it has one").address.value()
    };
    let (source, own) = (of_victim(Purpose::Source), of_victim(Purpose::Channel));
    let first = leases.iter().map(|lease| lease.address.value()).min();
    let arena_end = first.expect("some") + u32::try_from(totals.total_bytes).expect("32 bits");
    scene.beside("foreign addresses", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let opened = peer.open();
        let (channel, len) = (opened.channel, opened.source.len_bytes);
        let leased = peer.lease(channel, 2);
        let [at, next] = [0, 1].map(|index: usize| leased.buffers[index].address.value());
        let released = peer.lease(channel, 1);
        let gone = released.buffers[0].address.value();
        let lease = released.lease;
        let returned = peer.ask(&Request::ReturnLease(ReturnLease { lease }));
        assert_eq!(returned, Reply::Done);
        let last = u32::MAX - (STEP - 1);
        let exact = (u32::MAX - len) + 1;
        let cases = [
            (0, ErrorCode::ADDRESS_UNALIGNED),
            (at + 1, ErrorCode::ADDRESS_UNALIGNED),
            (at + STEP / 2, ErrorCode::ADDRESS_UNALIGNED),
            (u32::MAX, ErrorCode::ADDRESS_UNALIGNED),
            (last, ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (exact + STEP, ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (exact, ErrorCode::ADDRESS_FOREIGN),
            (0x8000_0000, ErrorCode::ADDRESS_FOREIGN),
            (STEP, ErrorCode::ADDRESS_FOREIGN),
            (at + STEP, ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (next - STEP, ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (next + STEP, ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (gone, ErrorCode::ADDRESS_FOREIGN),
            (source, ErrorCode::ADDRESS_FOREIGN),
            (source - STEP, ErrorCode::ADDRESS_FOREIGN),
            (own, ErrorCode::ADDRESS_FOREIGN),
            (arena_end - STEP, ErrorCode::ADDRESS_FOREIGN),
            (arena_end, ErrorCode::ADDRESS_FOREIGN),
        ];
        for (address, code) in cases {
            let found = peer.refused(&submit(channel, address));
            assert_eq!(
                found, code,
                "{address:#010x} beside buffers at {at:#x} {next:#x}"
            );
        }
        encode(&mut peer, channel, at);
        assert_eq!(peer.events.len(), 0, "a refused submit has no end");
    });
    scene.finish();
}

#[test]
fn nothing_of_another_client_can_be_used_or_ended() {
    let mut scene = Scene::new("");
    let theirs = scene.victim.channel.opened().channel;
    scene.beside("requests about the victim", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let opened = peer.open();
        let own = peer.lease(opened.channel, 1).buffers[0].address.value();
        let channel = theirs;
        let not_owner = [
            submit(theirs, own),
            Request::CloseChannel(CloseChannel { channel }),
            Request::Drain(Drain {
                channel,
                keep: false,
            }),
            Request::LeaseBuffers(LeaseBuffers { channel, count: 1 }),
            Request::RequestIdr(RequestIdr {
                channel,
                name: String::new(),
            }),
            Request::ReturnLease(ReturnLease {
                lease: LeaseId::new(1),
            }),
            Request::Unsubscribe(Unsubscribe {
                subscription: SubscriptionId::new(1),
            }),
            Request::ReleasePackets(ReleasePackets {
                subscription: SubscriptionId::new(1),
                sequence: Sequence::new(u32::MAX),
            }),
        ];
        for request in &not_owner {
            assert_eq!(peer.refused(request), ErrorCode::NOT_OWNER, "{request:?}");
        }
        let nobody = ChannelId::new(u32::MAX);
        let unknown = [
            (submit(nobody, own), ErrorCode::NO_SUCH_CHANNEL),
            (
                Request::CloseChannel(CloseChannel { channel: nobody }),
                ErrorCode::NO_SUCH_CHANNEL,
            ),
            (
                Request::ReturnLease(ReturnLease {
                    lease: LeaseId::new(u32::MAX),
                }),
                ErrorCode::NO_SUCH_OBJECT,
            ),
            (
                Request::UnregisterRegion(UnregisterRegion {
                    region: RegionId::new(0),
                }),
                ErrorCode::NO_SUCH_OBJECT,
            ),
            (
                Request::Unsubscribe(Unsubscribe {
                    subscription: SubscriptionId::new(u32::MAX),
                }),
                ErrorCode::NO_SUCH_OBJECT,
            ),
        ];
        for (request, code) in &unknown {
            assert_eq!(peer.refused(request), *code, "{request:?}");
        }
    });
    scene.finish();
}

#[test]
fn a_lease_with_a_picture_in_it_stays_until_that_ended() {
    let mut scene = Scene::new("");
    scene.beside("a lease given back too early", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let channel = peer.open().channel;
        let leased = peer.lease(channel, 1);
        let (lease, at) = (leased.lease, leased.buffers[0].address.value());
        let give_back = Request::ReturnLease(ReturnLease { lease });
        peer.send(&[&submit(channel, at), &give_back]);
        assert!(matches!(peer.reply(), Reply::Submitted(_)));
        let Reply::Refused(refusal) = peer.reply() else {
            panic!("expected a refusal while the picture is under way");
        };
        assert_eq!(refusal.code, ErrorCode::IN_USE);
        while !matches!(peer.event(), Event::SourceReleased(_)) {}
        assert_eq!(peer.ask(&give_back), Reply::Done);
        assert_eq!(peer.refused(&give_back), ErrorCode::NO_SUCH_OBJECT);
        let stale = peer.refused(&submit(channel, at));
        assert_eq!(stale, ErrorCode::ADDRESS_FOREIGN);
    });
    scene.finish();
}

#[test]
fn a_descriptor_of_a_lease_given_back_reaches_nobody() {
    let mut scene = Scene::new("");
    scene.beside("a descriptor that is kept", |daemon| {
        let mut after = Peer::connect(&daemon.socket());
        let channel_after = after.open().channel;
        let mut before = Peer::connect(&daemon.socket());
        let channel = before.open().channel;
        let leased = before.lease(channel, 1);
        let kept = File::from(before.descriptors.pop().expect("it came"));
        let len = kept.metadata().expect("it is a file").len();
        let whole = u64::from(leased.layout.len_bytes).next_multiple_of(4096);
        assert_eq!(len, whole, "it reaches the lease and nothing else");
        assert!(kept.set_len(0).is_err(), "it cannot be taken away");
        let secret = vec![0x5a; usize::try_from(len).expect("it is small")];
        kept.write_all_at(&secret, 0).expect("it is the client's");
        let lease = leased.lease;
        let returned = before.ask(&Request::ReturnLease(ReturnLease { lease }));
        assert_eq!(returned, Reply::Done);

        let again = after.lease(channel_after, 1);
        let at = leased.buffers[0].address;
        assert_eq!(again.buffers[0].address, at, "the same memory again");
        let file = File::from(after.descriptors.pop().expect("it came"));
        kept.write_all_at(&secret, 0).expect("it is still there");
        let mut found = vec![1; secret.len()];
        file.read_exact_at(&mut found, 0)
            .expect("it is the client's");
        assert!(found.iter().all(|byte| *byte == 0), "expected zeros");
        encode(&mut after, channel_after, at.value());
    });
    scene.finish();
}

#[test]
fn windows_and_regions_are_bounded_and_their_owners_own() {
    let scratch = Scratch::new("window");
    let memory = scratch.path().join("memory");
    let file = File::create(&memory).expect("a file can be made");
    file.set_len(u64::from(WINDOW_LEN)).expect("it can be long");
    let options = format!("pace=free,source-file={}", memory.display());
    let window = format!("{}K@{WINDOW:#x}", WINDOW_LEN >> 10);
    let group = getegid().to_string();
    let arguments = ["--source-windows", &window, "--raw-groups", &group].map(OsStr::new);
    let mut scene = Scene::over(Daemon::start_with(&options, &arguments));
    scene.beside("regions", |daemon| {
        let mut owner = Peer::connect(&daemon.socket());
        let mut peer = Peer::connect(&daemon.socket());
        let opened = peer.open();
        let (channel, len) = (opened.channel, opened.source.len_bytes);
        let Reply::RegionRegistered(theirs) = owner.ask(&register(WINDOW, len)) else {
            panic!("expected a region");
        };
        let (second, end) = (WINDOW + 16 * STEP + len, WINDOW + WINDOW_LEN);
        let Reply::RegionRegistered(own) = peer.ask(&register(second, len)) else {
            panic!("expected a region");
        };
        let unregister = |region| Request::UnregisterRegion(UnregisterRegion { region });
        let cases = [
            (submit(channel, WINDOW), ErrorCode::ADDRESS_OVERLAP),
            (
                submit(channel, WINDOW + len - STEP),
                ErrorCode::ADDRESS_OVERLAP,
            ),
            (
                submit(channel, second + STEP),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (
                submit(channel, end - STEP),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (
                submit(channel, end - len + STEP),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (submit(channel, end), ErrorCode::ADDRESS_FOREIGN),
            (submit(channel, WINDOW - STEP), ErrorCode::ADDRESS_FOREIGN),
            (submit(channel, second + 8), ErrorCode::ADDRESS_UNALIGNED),
            (register(WINDOW, STEP), ErrorCode::ADDRESS_OVERLAP),
            (
                register(WINDOW, WINDOW_LEN + 1),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (
                register(end - STEP, u32::MAX),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (
                register(u32::MAX - 255, 512),
                ErrorCode::ADDRESS_OUT_OF_BOUNDS,
            ),
            (register(second, 0), ErrorCode::ADDRESS_OUT_OF_BOUNDS),
            (register(WINDOW + 1, STEP), ErrorCode::ADDRESS_UNALIGNED),
            (register(0x0700_0000, STEP), ErrorCode::ADDRESS_FOREIGN),
            (unregister(theirs.region), ErrorCode::NOT_OWNER),
        ];
        for (request, code) in &cases {
            assert_eq!(peer.refused(request), *code, "{request:x?}");
        }
        encode(&mut peer, channel, second);
        encode(&mut peer, channel, end - len);
        assert_eq!(peer.ask(&unregister(own.region)), Reply::Done);
        assert_eq!(
            peer.refused(&unregister(own.region)),
            ErrorCode::NO_SUCH_OBJECT
        );
        assert_eq!(owner.ask(&unregister(theirs.region)), Reply::Done);
    });
    scene.finish();
    drop(fs::remove_file(memory));
}

#[test]
fn a_client_that_takes_all_it_can_get_is_stopped_at_each_limit_and_leaves_nothing() {
    let mut scene = Scene::new("");
    scene.beside("a greedy client", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let mut channels = Vec::new();
        let full = loop {
            match peer.ask(&open_small()) {
                Reply::ChannelOpened(opened) => channels.push(opened.channel),
                Reply::Refused(refusal) => break refusal.code,
                other => panic!("{other:?}"),
            }
        };
        assert!([ErrorCode::LIMIT_REACHED, ErrorCode::NO_CAPACITY].contains(&full));
        let channel = channels[0];
        let mut leases = Vec::new();
        let full = loop {
            match peer.ask(&Request::LeaseBuffers(LeaseBuffers { channel, count: 16 })) {
                Reply::BuffersLeased(leased) => leases.push(leased),
                Reply::Refused(refusal) => break refusal.code,
                other => panic!("{other:?}"),
            }
        };
        assert!([ErrorCode::LIMIT_REACHED, ErrorCode::NO_MEMORY].contains(&full));
        assert!(channels.len() > 1 && leases.len() > 1);
        let at = leases[0].buffers[0].address.value();
        for channel in &channels {
            for _ in 0..8 {
                peer.send(&[&submit(*channel, at)]);
            }
        }
    });
    scene.finish();
}
