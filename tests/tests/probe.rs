//! `avpud probe` looks and does not touch.

use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn the_encoders_device_is_never_opened() {
    if !has_program("strace", "-V") {
        skip("avpud probe under strace", "strace is not installed");
        return;
    }
    let scratch = Scratch::new("probe");
    let trace = scratch.path().join("trace");
    let run = Command::new("strace")
        .args(["-f", "-e", "trace=?open,openat,?creat,?openat2", "-o"])
        .arg(&trace)
        .arg(program("avpud"))
        .arg("probe")
        .stdin(Stdio::null())
        .finish();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(told.contains("\nverdict "), "{told}");
    let calls = fs::read_to_string(&trace).expect("strace writes its trace");
    if !calls.contains("/proc/cmdline") {
        skip(
            "avpud probe under strace",
            "processes cannot be traced here",
        );
        return;
    }
    for call in calls.lines() {
        assert!(
            !call.contains("\"/dev/"),
            "expected no device to be opened, found {call}"
        );
    }
}
