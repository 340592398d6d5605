//! The init script of the device image, run by busybox as on a camera.

use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip, workspace_root};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A camera's root as far as the script knows it: busybox's programs, paths of its own, and a daemon.
struct Camera {
    scratch: Scratch,
}

impl Camera {
    /// With the real daemon and the model.
    fn with_daemon() -> Option<Self> {
        let camera = Self::new()?;
        for name in ["avpud", "avpuctl"] {
            symlink(program(name), camera.path(name)).expect("a link");
        }
        let socket = camera.path("socket");
        let text = format!(
            "[daemon]\nsocket = {}\n[device]\ndevice = model\n",
            socket.display()
        );
        fs::write(camera.path("avpud.conf"), text).expect("settings");
        Some(camera)
    }

    /// With a daemon that notes each start and goes on as `behaviour` says.
    fn with_fake(behaviour: &str) -> Option<Self> {
        let camera = Self::new()?;
        fs::write(camera.path("avpud.conf"), "").expect("settings");
        let text = format!(
            "#!{}\n[ \"$1\" != --check-config ] || exit 0\necho start >>{}\n{behaviour}\n",
            camera.path("bin/sh").display(),
            camera.path("starts").display(),
        );
        camera.write_program("avpud", &text);
        // Its socket is never asked.
        camera.write_program(
            "avpuctl",
            &format!("#!{}\nexit 1\n", camera.path("bin/sh").display()),
        );
        Some(camera)
    }

    fn new() -> Option<Self> {
        if !has_program("busybox", "--list") {
            skip("the init script", "busybox is not installed");
            return None;
        }
        let camera = Self {
            scratch: Scratch::new("init"),
        };
        fs::create_dir(camera.path("bin")).expect("a folder");
        let installed = Command::new("busybox")
            .args(["--install", "-s"])
            .arg(camera.path("bin"))
            .status()
            .expect("busybox starts");
        assert!(installed.success());
        let logger = format!(
            "#!{}\n[ $# -gt 4 ] && echo \"$5\" >>{log} || cat >>{log}\n",
            camera.path("bin/sh").display(),
            log = camera.path("log").display(),
        );
        camera.write_program("logger", &logger);
        let mut script = fs::read_to_string(workspace_root().join("packaging/init/S29avpud"))
            .expect("the init script");
        for (from, to) in [
            (
                "#!/bin/sh",
                format!("#!{}", camera.path("bin/sh").display()),
            ),
            ("DAEMON=/usr/bin/avpud", camera.setting("DAEMON", "avpud")),
            ("CTL=/usr/bin/avpuctl", camera.setting("CTL", "avpuctl")),
            ("SH=/bin/sh", camera.setting("SH", "bin/sh")),
            (
                "CONFIG=/etc/avpud.conf",
                camera.setting("CONFIG", "avpud.conf"),
            ),
            ("RUN=/run", camera.setting("RUN", "")),
            ("START_S=5", "START_S=30".to_owned()),
            ("STOP_S=10", "STOP_S=1".to_owned()),
            ("RESPAWN_PAUSE_S=1", "RESPAWN_PAUSE_S=0".to_owned()),
        ] {
            let line = format!("{from}\n");
            assert!(script.contains(&line), "the script has no line {from}");
            script = script.replace(&line, &format!("{to}\n"));
        }
        // What the script says to the system's log comes into a file. By path: busybox prefers its own programs.
        let logger = format!("{} -t", camera.path("logger").display());
        assert!(script.contains("logger -t"));
        let script = script.replace("logger -t", &logger);
        camera.write_program("S29avpud", &script);
        Some(camera)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn setting(&self, name: &str, file: &str) -> String {
        format!("{name}={}", self.path(file).display())
    }

    fn write_program(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a script");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(name), mode).expect("its mode");
    }

    fn run(&self, command: &str) -> Output {
        Command::new(self.path("S29avpud"))
            .arg(command)
            .env_clear()
            .env("PATH", self.path("bin"))
            .stdin(Stdio::null())
            .finish()
    }

    /// Runs a command that succeeds; what it printed.
    fn succeed(&self, command: &str) -> String {
        let output = self.run(command);
        let text = said(&output);
        assert!(
            output.status.success(),
            "{command}: {}: {text}, log: {}",
            output.status,
            self.log()
        );
        text
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The file in which the script notes the daemon's process.
    fn pid(&self) -> String {
        fs::read_to_string(self.path("avpud.pid")).expect("a process is noted")
    }

    fn starts(&self) -> usize {
        let text = fs::read_to_string(self.path("starts")).unwrap_or_default();
        text.lines().count()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // A test that failed may have left a loop and its daemon behind.
        let _ = self.run("stop");
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn lives(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn the_daemon_is_ready_after_start_and_gone_after_stop() {
    let Some(camera) = Camera::with_daemon() else {
        return;
    };
    assert_eq!(camera.run("status").status.code(), Some(3));
    assert_eq!(camera.succeed("start"), "Starting avpud: OK\n");
    let first = camera.pid();
    assert!(lives(&first));
    assert!(camera.succeed("status").contains(first.trim()));
    assert_eq!(camera.succeed("start"), "Starting avpud: already running\n");
    assert_eq!(camera.pid(), first);

    let text = camera.succeed("restart");
    assert_eq!(text, "Stopping avpud: OK\nStarting avpud: OK\n");
    assert!(!lives(&first) && lives(&camera.pid()));

    let second = camera.pid();
    assert_eq!(camera.succeed("stop"), "Stopping avpud: OK\n");
    assert!(!lives(&second) && !camera.path("avpud.pid").exists());
    assert!(!camera.path("socket").exists());
    assert_eq!(camera.succeed("stop"), "Stopping avpud: not running\n");
}

#[test]
fn wrong_settings_are_told_at_once_and_nothing_is_started() {
    let Some(camera) = Camera::with_daemon() else {
        return;
    };
    fs::write(camera.path("avpud.conf"), "[daemon]\nsoket = x\n").expect("settings");
    let output = camera.run("start");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("FAIL") && text.contains("nearest is"),
        "{text}"
    );
    assert_eq!(camera.run("status").status.code(), Some(3));
}

#[test]
fn a_start_without_an_encoder_says_why() {
    let Some(camera) = Camera::with_daemon() else {
        return;
    };
    let text = "[device]\ndevice = /nonexistent/avpu\n";
    fs::write(camera.path("avpud.conf"), text).expect("settings");
    let output = camera.run("start");
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("FAIL") && text.contains("/nonexistent/avpu"),
        "{text}"
    );
    assert_eq!(camera.run("status").status.code(), Some(3));
}

#[test]
fn a_daemon_that_fails_is_started_five_times_more_in_a_minute() {
    for code in ["1", "75", "134"] {
        let Some(camera) = Camera::with_fake(&format!("exit {code}")) else {
            return;
        };
        let output = camera.run("respawn");
        assert_eq!(output.status.code(), code.parse().ok());
        assert_eq!(camera.starts(), 6, "status {code}");
        let log = camera.log();
        assert!(
            log.contains("5 times before that in 60 s: not started again"),
            "{log}"
        );
    }
}

#[test]
fn an_end_that_another_start_would_not_change_is_final() {
    for code in ["0", "2", "5", "6"] {
        let Some(camera) = Camera::with_fake(&format!("exit {code}")) else {
            return;
        };
        let output = camera.run("respawn");
        assert_eq!(output.status.code(), code.parse().ok());
        assert_eq!(camera.starts(), 1, "status {code}");
    }
}

#[test]
fn what_the_daemon_said_before_it_ended_comes_into_the_system_s_log() {
    let Some(camera) = Camera::with_fake("echo 'avpud: no memory' >&2; exit 6") else {
        return;
    };
    camera.run("respawn");
    let log = camera.log();
    assert!(log.contains("avpud: no memory"), "{log}");
}

#[test]
fn a_daemon_that_does_not_end_when_asked_is_killed() {
    let stubborn = "trap '' TERM\necho up >\"${0%/*}/up\"\nwhile true; do sleep 1; done";
    let Some(camera) = Camera::with_fake(stubborn) else {
        return;
    };
    let made = Command::new(camera.path("bin/mkfifo"))
        .arg(camera.path("up"))
        .status()
        .expect("it starts");
    assert!(made.success());
    // It never gets ready, which start waits for; so the loop is started as start does it.
    let started = Command::new(camera.path("bin/start-stop-daemon"))
        .args(["-S", "-q", "-b", "-m", "-p"])
        .arg(camera.path("avpud-loop.pid"))
        .arg("-x")
        .arg(camera.path("bin/sh"))
        .arg("--")
        .arg(camera.path("S29avpud"))
        .arg("respawn")
        .env_clear()
        .env("PATH", camera.path("bin"))
        .status()
        .expect("it starts");
    assert!(started.success());
    let up = fs::read_to_string(camera.path("up")).expect("the daemon opens it as well");
    assert_eq!(up, "up\n");
    let text = camera.succeed("stop");
    assert_eq!(text, "Stopping avpud: KILLED after 1 s\n");
    assert_eq!(camera.run("status").status.code(), Some(3));
}
