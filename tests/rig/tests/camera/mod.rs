//! A camera with the real programs on it, as the super-user or as an ordinary user.

use avpu_model::ModelConfig;
use avpu_rig::supervisor::{Settings, Supervisor};
use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::{Finish, Process};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// An ordinary user's number, and its group's.
pub(crate) const NOBODY: u32 = 65_534;

/// What the daemon is told that a picture takes: so much that no picture is taken for lost on a busy machine.
const COST_BASE_NS: &str = "2000000000";

/// The camera.
pub(crate) struct Camera {
    pub(crate) supervisor: Supervisor,
    scratch: Scratch,
    /// Where programs are that any user may start.
    programs: PathBuf,
    user: Option<u32>,
}

/// A daemon on it, killed when this value goes.
pub(crate) struct Daemon {
    process: Process,
    log: JoinHandle<String>,
}

/// An encoding client.
pub(crate) struct Channel {
    process: Process,
    stream: PathBuf,
}

/// A file with a stream.
pub(crate) struct Stream(PathBuf);

impl Camera {
    /// A camera whose programs run as `user`; `None`: as whoever runs this test.
    pub(crate) fn new(user: Option<u32>, model_options: &str) -> Self {
        let scratch = Scratch::new("rig");
        let open_to_all = Permissions::from_mode(0o777);
        fs::set_permissions(scratch.path(), open_to_all).expect("the folder is ours");
        let programs = scratch.path().join("programs");
        fs::create_dir(&programs).expect("a folder");
        for name in ["avpud", "avpucat"] {
            fs::copy(program(name), programs.join(name)).expect("a copy");
        }
        let dump = scratch.path().join("dump");
        let options = format!("{model_options},dump={}", dump.display());
        let supervisor = Supervisor::new(Settings {
            model: ModelConfig::parse(&options).expect("options of the model"),
            ..Settings::default()
        });
        Self {
            supervisor: supervisor.expect("a camera"),
            scratch,
            programs,
            user,
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
            .stdin(Stdio::null())
            .current_dir(self.scratch.path());
        command
    }

    /// Starts a daemon; it ends by itself when it cannot have the device.
    pub(crate) fn start(&mut self, socket: &str) -> Process {
        let mut command = self.command("avpud");
        command
            .args(["--socket", socket, "--cost-base-ns", COST_BASE_NS])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let group;
        if let Some(user) = self.user {
            group = user.to_string();
            command.args(["--raw-groups", &group]);
        }
        Process::of(self.supervisor.start(command).expect("the daemon starts"))
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn daemon(&mut self) -> Daemon {
        let mut process = self.start("socket");
        let log = process.stderr_until(" ready ");
        Daemon { process, log }
    }

    /// Starts a client that encodes a moving pattern.
    pub(crate) fn encode(&mut self, name: &str, size: &str, frames: u32, keys: &str) -> Channel {
        let stream = self.scratch.path().join(format!("{name}.h264"));
        let mut command = self.command("avpucat");
        command
            .args(["-T", "20"])
            .arg(format!(
                "TEST:size={size},fps=1/5,frames={frames}!!H264:{}",
                stream.display()
            ))
            .arg(format!("AVPU:socket,name={name},gop=10,{keys}"))
            .stdout(Stdio::null());
        let child = self.supervisor.start(command).expect("the client starts");
        let process = Process::of(child);
        Channel { process, stream }
    }

    /// Where its daemon listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    /// Everything that the model reconstructed in this size.
    pub(crate) fn reconstructed(&self, size: &str) -> Vec<u8> {
        let ending = format!("-{size}.i420");
        let entries = fs::read_dir(self.scratch.path().join("dump")).expect("a folder");
        let found: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with(&ending))
            .collect();
        let [path] = found.as_slice() else {
            panic!("expected one file of {size}, found {found:?}");
        };
        fs::read(path).expect("it can be read")
    }

    /// Asserts that nothing was done that must not be.
    pub(crate) fn assert_no_faults(&self) {
        let faults = self.supervisor.take_faults();
        assert_eq!(
            faults.expect("memory can be looked at"),
            Vec::<String>::new()
        );
    }
}

impl Daemon {
    /// Ends it without a word.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    /// Asks it to end, and says how it did and what it told.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.wait();
        (status, self.log.join().expect("the reader does not panic"))
    }

    /// A line of its `/proc/PID/status`.
    pub(crate) fn status_line(&self, name: &str) -> String {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the kernel says it")
            .trim_start_matches(':')
            .trim()
            .to_owned()
    }
}

impl Channel {
    /// Waits for the end of a client that must succeed; answers its stream.
    pub(crate) fn finish(mut self) -> Stream {
        let status = self.process.wait();
        assert!(status.success(), "the client ended with {status}");
        Stream(self.stream)
    }

    /// Ends it without a word.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    /// Waits for the end of a client whose daemon went away.
    pub(crate) fn abandon(mut self) {
        self.process.wait();
    }
}

impl Stream {
    /// The profile that its first parameter set names: 66 Baseline, 77 Main, 100 High.
    pub(crate) fn profile_idc(&self) -> u8 {
        let bytes = fs::read(&self.0).expect("a stream");
        let mut starts = bytes.windows(5);
        let found = starts.find(|at| matches!(at, [0, 0, 1, header, _] if header & 0x1f == 7));
        found.expect("a parameter set")[4]
    }

    /// Its pictures as planes of luma, Cb and Cr. Anything that the decoder says is an error.
    pub(crate) fn decode(&self) -> Vec<u8> {
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-xerror", "-f", "h264", "-i"])
            .arg(&self.0)
            .args([
                "-fps_mode",
                "passthrough",
                "-pix_fmt",
                "yuv420p",
                "-f",
                "rawvideo",
                "pipe:1",
            ])
            .stdin(Stdio::null())
            .finish();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "ffmpeg: {said}");
        output.stdout
    }
}

/// Who the programs can run as: the user of this test, and where that is the super-user an ordinary one besides.
pub(crate) fn users() -> Vec<Option<u32>> {
    if Uid::effective().is_root() {
        vec![None, Some(NOBODY)]
    } else {
        avpu_tests::skip::skip("the daemon as the super-user", "this test is not run by it");
        vec![None]
    }
}
