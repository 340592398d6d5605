//! Buffers that clients bring: those that the model takes are encoded from, all others are refused or end their sender.

use crate::peer::Peer;
use crate::scene::Scene;
use avpu_proto::error::ErrorCode;
use avpu_proto::event::Event;
use avpu_proto::limits::REGIONS_MAX;
use avpu_proto::reply::{RegionRegistered, Reply};
use avpu_proto::request::{ImportBuffer, Request, Submit, UnregisterRegion};
use avpu_proto::types::{Address, ChannelId, FrameEnd};
use avpu_tests::daemon::Daemon;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// A 64x64 picture.
const LEN: u32 = 64 * 64 * 3 / 2;

fn memory_file(len: u32, seals: SealFlag) -> OwnedFd {
    let file = memfd_create("buffer", MFdFlags::MFD_ALLOW_SEALING).expect("memory");
    let file = File::from(file);
    file.set_len(len.into()).expect("room");
    file.write_all_at(&vec![0x60; 64 * 64], 0).expect("room");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("sealed");
    file.into()
}

fn import(peer: &mut Peer, buffer: &OwnedFd, len_bytes: u32) -> Reply {
    let request = Request::ImportBuffer(ImportBuffer { len_bytes });
    peer.ask_with(&request, buffer.as_fd())
}

fn imported(peer: &mut Peer) -> RegionRegistered {
    let buffer = memory_file(LEN, SealFlag::F_SEAL_SHRINK);
    match import(peer, &buffer, LEN) {
        Reply::RegionRegistered(registered) => registered,
        other => panic!("expected a region, found {other:?}"),
    }
}

fn submit(channel: ChannelId, address: Address) -> Request {
    Request::Submit(Submit {
        channel,
        address,
        ..Submit::default()
    })
}

fn encode(peer: &mut Peer, channel: ChannelId, address: Address) {
    let accepted = peer.ask(&submit(channel, address));
    assert!(matches!(accepted, Reply::Submitted(_)), "{accepted:?}");
    loop {
        if let Event::SourceReleased(released) = peer.event() {
            assert!(matches!(released.end, FrameEnd::Encoded { .. }));
            return;
        }
    }
}

/// A daemon that lets this test's user name raw addresses.
fn scene() -> Scene {
    let group = nix::unistd::getegid().to_string();
    let arguments = ["--raw-groups", &group].map(OsStr::new);
    Scene::over(Daemon::start_with("pace=free", &arguments))
}

#[test]
fn a_buffer_that_a_client_brings_is_encoded_from_until_it_is_unregistered_or_its_owner_leaves() {
    let mut scene = scene();
    for leaves in [true, false] {
        scene.beside("a client with a buffer", |daemon| {
            let mut peer = Peer::connect(&daemon.socket());
            let Reply::Capabilities(can) = peer.ask(&Request::Capabilities) else {
                panic!("expected capabilities");
            };
            assert!(can.dma_buf_import);
            let channel = peer.open().channel;
            let first = imported(&mut peer);
            let second = imported(&mut peer);
            assert_ne!(first.address, second.address);
            for buffer in [first, second, first] {
                encode(&mut peer, channel, buffer.address);
            }
            if leaves {
                return;
            }
            let region = first.region;
            let gone = peer.ask(&Request::UnregisterRegion(UnregisterRegion { region }));
            assert_eq!(gone, Reply::Done);
            let refused = peer.refused(&submit(channel, first.address));
            assert_eq!(refused, ErrorCode::ADDRESS_FOREIGN);
            encode(&mut peer, channel, second.address);
        });
    }
    assert!(!scene.daemon.log().contains("the device noticed something"));
    scene.finish();
}

#[test]
fn what_a_client_may_cut_short_or_is_no_memory_is_refused_and_closed() {
    let mut scene = scene();
    scene.beside("buffers that are none", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let (end, _other) = nix::unistd::pipe().expect("a pipe");
        let buffers = [
            memory_file(LEN, SealFlag::empty()),
            memory_file(LEN - 1, SealFlag::F_SEAL_SHRINK),
            end,
            peer.stream.try_clone().expect("a descriptor").into(),
        ];
        for buffer in buffers {
            let Reply::Refused(refusal) = import(&mut peer, &buffer, LEN) else {
                panic!("expected a refusal");
            };
            assert_eq!(refusal.code, ErrorCode::UNSUPPORTED);
            assert!(refusal.recoverable, "{refusal}");
        }
        let good = memory_file(LEN, SealFlag::F_SEAL_SHRINK);
        let Reply::Refused(refusal) = import(&mut peer, &good, 0) else {
            panic!("expected a refusal");
        };
        assert_eq!(refusal.code, ErrorCode::INVALID_PARAMETER);
    });
    scene.finish();
}

#[test]
fn a_client_cannot_make_the_daemon_hold_more_than_its_share_of_descriptors() {
    let mut scene = scene();
    scene.beside("many buffers", |daemon| {
        let mut peer = Peer::connect(&daemon.socket());
        let buffer = memory_file(LEN, SealFlag::F_SEAL_SHRINK);
        for _ in 0..REGIONS_MAX {
            let taken = import(&mut peer, &buffer, LEN);
            assert!(matches!(taken, Reply::RegionRegistered(_)), "{taken:?}");
        }
        for _ in 0..20 {
            let Reply::Refused(refusal) = import(&mut peer, &buffer, LEN) else {
                panic!("expected a refusal");
            };
            assert_eq!(refusal.code, ErrorCode::LIMIT_REACHED);
        }
    });
    scene.finish();
}

#[test]
fn a_buffer_is_its_owners_alone() {
    let mut scene = scene();
    scene.beside("the buffer of another client", |daemon| {
        let mut owner = Peer::connect(&daemon.socket());
        let theirs = imported(&mut owner);
        let mut peer = Peer::connect(&daemon.socket());
        let channel = peer.open().channel;
        let refused = peer.refused(&submit(channel, theirs.address));
        assert_eq!(refused, ErrorCode::ADDRESS_FOREIGN);
        let region = theirs.region;
        let foreign = Request::UnregisterRegion(UnregisterRegion { region });
        assert_eq!(peer.refused(&foreign), ErrorCode::NOT_OWNER);
    });
    scene.finish();
}
