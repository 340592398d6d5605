//! What distributions install beside the programs: a service, and the rights of the device files.

use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip, workspace_root};
use std::fs;
use std::process::{Command, Stdio};

fn packaged(name: &str) -> String {
    let path = workspace_root().join("packaging").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Complaints of systemd's own check about a service.
fn complaints(text: &str) -> String {
    let folder = Scratch::new("service");
    let path = folder.path().join("avpud.service");
    fs::write(&path, text).expect("a service can be written");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .stdin(Stdio::null())
        .finish();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Other services of this machine are none of ours.
    said.lines()
        .filter(|line| line.contains("avpud"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_service_is_one_that_systemd_understands() {
    if !has_program("systemd-analyze", "--version") {
        return skip("the service", "systemd-analyze is not installed");
    }
    let installed = "ExecStart=/usr/bin/avpud ";
    let text = packaged("systemd/avpud.service");
    assert!(text.contains(installed));
    let built = format!("ExecStart={} ", program("avpud").display());
    let text = text.replace(installed, &built);
    assert_eq!(complaints(&text), "");
    // It would have seen a mistake.
    let mistaken = text.replace("DevicePolicy=", "DevicePolici=");
    assert!(complaints(&mistaken).contains("DevicePolici"));
}

#[test]
fn service_and_init_script_agree_after_which_ends_another_start_is_useless() {
    let service = packaged("systemd/avpud.service");
    let numbers = |text: &str, separator: &str| -> Vec<u8> {
        let words = text.split(separator).map(str::trim);
        words.map(|word| word.parse().expect(word)).collect()
    };
    let prevented = service
        .lines()
        .find_map(|line| line.strip_prefix("RestartPreventExitStatus="))
        .expect("the service lists them");
    let script = packaged("init/S29avpud");
    let case = script
        .lines()
        .find_map(|line| line.trim().strip_prefix("0 | ")?.strip_suffix(")"))
        .expect("the script lists them, and 0");
    assert_eq!(numbers(prevented, " "), numbers(case, "|"));

    let setting = |text: &str, name: &str| -> u32 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).parse().expect(name)
    };
    // The service counts the first start as well.
    let starts = setting(&service, "StartLimitBurst=");
    assert_eq!(starts, setting(&script, "RESPAWNS_MAX=") + 1);
    for (ours, theirs) in [
        ("StartLimitIntervalSec=", "RESPAWN_WINDOW_S="),
        ("TimeoutStopSec=", "STOP_S="),
        ("RestartSec=", "RESPAWN_PAUSE_S="),
    ] {
        assert_eq!(setting(&service, ours), setting(&script, theirs), "{ours}");
    }
}

#[test]
fn the_encoder_and_its_memory_are_for_the_super_user_alone() {
    for node in ["avpu", "rmem"] {
        let mdev = format!("{node} root:root 0600");
        for file in ["mdev/avpud.conf", "mips/README"] {
            let text = packaged(file);
            let found = text.lines().any(|line| line.trim() == mdev);
            assert!(found, "{file}: expected \"{mdev}\"");
        }
        let udev = format!("KERNEL==\"{node}\", OWNER=\"root\", GROUP=\"root\", MODE=\"0600\"");
        let text = packaged("udev/60-avpud.rules");
        assert!(text.lines().any(|line| line == udev), "expected {udev}");
        let allowed = format!("DeviceAllow=/dev/{node} rw");
        let text = packaged("systemd/avpud.service");
        assert!(text.lines().any(|line| line == allowed), "{allowed}");
    }
}
