//! How the real daemon refuses to start, and how it plans: what it says and with which status it ends.

use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::Finish;
use avpu_tests::skip::skip;
use std::fs;
use std::process::{Command, Output, Stdio};

fn avpud(words: &[&str]) -> Output {
    Command::new(program("avpud"))
        .args(words)
        .stdin(Stdio::null())
        .finish()
}

fn serve(device: &str) -> (Option<i32>, String) {
    let scratch = Scratch::new("start");
    let socket = scratch.path().join("socket");
    let run = avpud(&["--device", device, "--socket", &socket.to_string_lossy()]);
    assert!(
        !socket.exists(),
        "expected no socket of a daemon that did not start"
    );
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    (run.status.code(), said)
}

#[test]
fn a_missing_encoder_is_named_and_the_model_is_offered_but_not_taken() {
    let (status, said) = serve("/dev/no-such-encoder");
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.starts_with("avpud: expected a video encoder at /dev/no-such-encoder, found "),
        "{said}"
    );
    assert!(said.ends_with("; try --device model\n"), "{said}");
}

#[test]
fn no_memory_for_the_encoder_is_a_state_of_its_own() {
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if cmdline.contains("avpumem=") {
        skip("starting without memory", "this machine has some");
        return;
    }
    // A device that is there: it must not be opened before there is memory for it.
    let (status, said) = serve("/dev/null");
    assert_eq!(status, Some(6), "{said}");
    assert!(
        said.starts_with("avpud: expected memory for the encoder as avpumem=SIZE@BASE"),
        "{said}"
    );
}

#[test]
fn a_plan_says_by_its_status_whether_it_fits() {
    let plan = |arena| avpud(&["plan", "--ram", "64M", "--arena", arena, "1920x1080@25"]);
    let (fits, not) = (plan("12M"), plan("4M"));
    assert_eq!(fits.status.code(), Some(0));
    assert_eq!(not.status.code(), Some(1));
    let told = String::from_utf8_lossy(&not.stdout).into_owned();
    assert!(told.contains("\ndoes not fit; nearest: "), "{told}");
    let wrong = avpud(&["plan", "--ram", "64M"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("usage: avpud plan"));
}

#[test]
fn too_few_open_files_are_told_at_the_start_and_not_to_the_first_client_that_lacks_one() {
    let scratch = Scratch::new("files");
    let socket = scratch.path().join("socket");
    let run = Command::new("/bin/sh")
        .args([
            "-c",
            "ulimit -n 100 && exec \"$0\" --device model --socket \"$1\"",
        ])
        .arg(program("avpud"))
        .arg(&socket)
        .stdin(Stdio::null())
        .finish();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(
        said.contains("avpud: expected the right to ") && said.contains(", found 100\n"),
        "{said}"
    );
    assert!(!socket.exists());
}
