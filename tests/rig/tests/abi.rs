//! The kernel's interface as the supervisor imitates it, asked by a program that only knows the documentation.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use avpu_rig::supervisor::{Settings, Supervisor};
use avpu_tests::process::Process;
use std::process::{Command, Output, Stdio};

const BASE: &str = "0x5300000";

fn probe(arguments: &[&str]) -> (Output, Vec<String>) {
    let mut supervisor = Supervisor::new(Settings::default()).expect("a camera");
    let mut command = Command::new(env!("CARGO_BIN_EXE_avpu-abi-probe"));
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = supervisor.start(command).expect("the probe starts");
    let output = Process::of(child).output();
    (
        output,
        supervisor.take_faults().expect("memory can be looked at"),
    )
}

#[test]
fn every_rule_of_the_drivers_is_as_documented() {
    let (output, faults) = probe(&["rules", BASE]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn what_a_kernel_does_not_survive_ends_the_program_and_is_told() {
    for (case, told) in [
        ("empty", "a cache operation on nothing"),
        ("direction", "a cache operation without a direction"),
        ("unmapped", "a cache operation on memory that is not mapped"),
        ("uncached", "a cache operation on an uncached mapping"),
        ("waiters", "a second waiter for interrupts"),
    ] {
        let (output, faults) = probe(&["oops", case, BASE]);
        assert!(!output.status.success());
        assert_eq!(
            faults,
            [format!(
                "expected nothing that stops a kernel, found {told}"
            )],
            "{case}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn memory_of_the_kernel_that_was_written_is_told() {
    let (output, faults) = probe(&["rules", "0x100000"]);
    assert!(output.status.success());
    // Both views of the page.
    let told = "expected the kernel's memory untouched, found bytes at 0x00100000 to 0x00101000";
    assert_eq!(faults, [told, told]);
}
