//! The unmodified daemon and its clients on a camera that is a supervisor.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod camera;

use avpu_client::proto::error::ErrorCode;
use avpu_client::{Client, ClientError};
use avpu_tests::skip::ffmpeg_or_skip;
use avpu_tests::vectors::session;
use camera::{Camera, Stream, users};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fs::File;
use std::os::fd::OwnedFd;

const MAIN: &str = "320x192";
const SUB: &str = "176x144";

/// Asserts that a stream decodes to the last pictures that the model reconstructed in that size.
fn assert_same(stream: &Stream, reconstructed: &[u8], what: &str) {
    if !ffmpeg_or_skip(what) {
        return;
    }
    let decoded = stream.decode();
    let pictures = reconstructed.len().checked_sub(decoded.len());
    let first = pictures.expect("no more is decoded than was reconstructed");
    assert!(!decoded.is_empty(), "{what}");
    let mut pairs = decoded.iter().zip(&reconstructed[first..]);
    let different = pairs.position(|(found, expected)| found != expected);
    assert_eq!(different, None, "{what}: first byte that differs");
}

/// Asserts that the requests that reached the driver are those of a session recorded on a camera, for 60 pictures of
/// two channels in any order.
fn assert_as_recorded(camera: &Camera) {
    let accesses = camera.supervisor.take_accesses();
    let parsed = accesses.iter().map(|access| access.to_string().parse());
    let done: Result<Vec<_>, _> = parsed.collect();
    let driven = session::compare(&done.expect("registers that are known"), 0);
    let driven = driven.unwrap_or_else(|difference| panic!("{difference}"));
    let of = |channel| {
        driven
            .iter()
            .filter(move |picture| picture.channel == channel)
    };
    assert_eq!((of(0).count(), of(1).count()), (30, 30));
}

#[test]
fn two_channels_of_different_size_and_profile_decode_to_the_models_reconstruction_as_any_user() {
    for user in users() {
        let mut camera = Camera::new(user, "pace=free");
        let daemon = camera.daemon();
        let main = camera.encode("main", MAIN, 30, "bitrate=40k");
        let sub = camera.encode("sub", SUB, 30, "bitrate=12k,profile=baseline");
        assert_eq!(daemon.status_line("Threads"), "2");
        for (channel, size, profile_idc) in [(main, MAIN, 100), (sub, SUB, 66)] {
            let stream = channel.finish();
            assert_eq!(stream.profile_idc(), profile_idc);
            let reconstructed = camera.reconstructed(size);
            assert_same(&stream, &reconstructed, &format!("{size} as {user:?}"));
        }
        let (status, log) = daemon.stop();
        assert!(status.success(), "{log}");
        assert_eq!(camera.supervisor.counters().completed, 60);
        assert_as_recorded(&camera);
        camera.assert_no_faults();
    }
}

#[test]
fn a_second_daemon_is_refused_with_a_reason_and_never_opens_the_device() {
    let mut camera = Camera::new(None, "pace=free");
    let daemon = camera.daemon();
    let second = camera.start("other-socket").output();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(5), "{said}");
    assert!(
        said.contains("expected a free /dev/avpu, found it in use"),
        "{said}"
    );
    assert_eq!(camera.supervisor.counters().refused_opens, 0);
    assert!(daemon.stop().0.success());
    camera.assert_no_faults();
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_picture_leaves_a_device_that_the_next_one_can_use() {
    // A picture that never ends, and one whose interrupt comes when nobody waits for it.
    for (fault, never_ends) in [("fault=stuck@7", true), ("fault=late@7:200000", false)] {
        let mut camera = Camera::new(None, &format!("pace=t31,{fault}"));
        let daemon = camera.daemon();
        let abandoned = camera.encode("first", MAIN, 1000, "bitrate=40k");
        camera.supervisor.wait_for_pushes(8);
        daemon.kill();
        abandoned.abandon();
        let before = camera.supervisor.counters();
        assert!(!never_ends || before.completed < before.pushed, "{before}");

        let daemon = camera.daemon();
        let stream = camera.encode("second", MAIN, 20, "bitrate=40k").finish();
        let (status, log) = daemon.stop();
        assert!(status.success(), "{log}");
        let after = camera.supervisor.counters();
        assert_eq!(after.pushed - before.pushed, 20, "{before}; {after}");
        assert_eq!(after.completed + after.aborted, after.pushed, "{after}");
        assert_same(&stream, &camera.reconstructed(MAIN), fault);
        camera.assert_no_faults();
    }
}

#[test]
fn a_buffer_that_the_kernels_driver_does_not_take_is_refused_with_its_reason() {
    if !nix::unistd::Uid::effective().is_root() {
        avpu_tests::skip::skip(
            "importing a buffer",
            "this test is not run by the super-user",
        );
        return;
    }
    let mut camera = Camera::new(None, "pace=free");
    let daemon = camera.daemon();
    let client = Client::connect(camera.socket()).expect("it takes connections");
    assert!(!client.capabilities().expect("it serves").dma_buf_import);
    // As little as a buffer of another driver is this one, and as little of a file.
    let foreign = EventFd::from_flags(EfdFlags::empty()).expect("an event");
    let file = File::open("/dev/null").expect("every system has it");
    let refused = [
        (
            OwnedFd::from(foreign),
            "expected a buffer that the kernel's driver takes",
        ),
        (file.into(), "expected a dma-buf"),
    ];
    for (buffer, reason) in refused {
        match client.import_buffer(buffer, 4096) {
            Err(ClientError::Refused(refusal)) => {
                assert_eq!(refusal.code, ErrorCode::UNSUPPORTED);
                assert!(refusal.sentence.starts_with(reason), "{refusal}");
            }
            other => panic!("expected a refusal, found {other:?}"),
        }
    }
    drop(client);
    assert!(daemon.stop().0.success());
    camera.assert_no_faults();
}

#[test]
fn a_client_killed_while_it_fills_a_picture_disturbs_nobody() {
    let mut camera = Camera::new(None, "pace=free");
    let daemon = camera.daemon();
    let endless = camera.encode("endless", SUB, 1_000_000, "bitrate=12k");
    camera.supervisor.wait_for_pushes(5);
    let main = camera.encode("main", MAIN, 20, "bitrate=40k");
    endless.kill();
    let stream = main.finish();
    assert_same(&stream, &camera.reconstructed(MAIN), "the other channel");
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    camera.assert_no_faults();
}
