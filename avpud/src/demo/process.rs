//! The demo's processes and what they tell, as one queue that the demo waits at.

use super::message::Message;
use super::part::Wish;
use avpu_client::proto::event::Event;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, mkdtemp};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

/// Something that the demo waits for.
#[derive(Debug)]
pub(super) enum Told {
    /// The service takes connections.
    Ready,
    /// A process says something.
    Says(String, Message),
    /// A process ended.
    Ended(String),
    /// The service says something.
    Daemon(Event),
    /// The demo is told to stop.
    Interrupted,
}

/// A process of the demo; killed when this value goes.
#[derive(Debug)]
pub(super) struct Part {
    child: Child,
}

impl Part {
    /// Starts a process whose lines go to `queue` under this name.
    pub(super) fn start(name: &str, wish: &Wish, queue: &Sender<Told>) -> io::Result<Self> {
        let mut child = command(wish)?.stdout(Stdio::piped()).spawn()?;
        if let Some(lines) = child.stdout.take() {
            let (name, queue) = (name.to_owned(), queue.clone());
            thread::spawn(move || {
                for line in BufReader::new(lines).lines().map_while(Result::ok) {
                    let said = serde_json::from_str(&line);
                    let message = said.unwrap_or(Message::Failed(line));
                    // Nobody waits any more: the demo is ending.
                    let _ = queue.send(Told::Says(name.clone(), message));
                }
                let _ = queue.send(Told::Ended(name));
            });
        }
        Ok(Self { child })
    }

    /// Starts the service, whose log goes to a file; the queue hears when it is ready.
    pub(super) fn start_service(wish: &Wish, log: &Path, queue: &Sender<Told>) -> io::Result<Self> {
        let mut file = File::create(log)?;
        let mut command = command(wish)?;
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(lines) = child.stderr.take() {
            let (name, queue) = (wish.name.clone(), queue.clone());
            thread::spawn(move || {
                for line in BufReader::new(lines).lines().map_while(Result::ok) {
                    // A log that cannot be written is no reason to stop.
                    let _ = writeln!(file, "{line}");
                    if line.contains(" info: ready ") {
                        let _ = queue.send(Told::Ready);
                    }
                }
                let _ = queue.send(Told::Ended(name));
            });
        }
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without a warning.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Asks it to end and waits for that.
    pub(super) fn stop(&mut self) -> io::Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        self.child.wait()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself, and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(wish: &Wish) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(wish.words()).stdin(Stdio::null());
    Ok(command)
}

/// Lets the queue hear of signals that stop the demo.
pub(super) fn hear_signals(queue: &Sender<Told>) -> io::Result<()> {
    let (mut read, write) = UnixStream::pair()?;
    pipe::register(SIGINT, write.try_clone()?)?;
    pipe::register(SIGTERM, write)?;
    let queue = queue.clone();
    thread::spawn(move || {
        let mut byte = [0];
        while read.read_exact(&mut byte).is_ok() {
            let _ = queue.send(Told::Interrupted);
        }
    });
    Ok(())
}

/// A folder for the private socket; removed with what is in it when this value goes.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        let template = std::env::temp_dir().join("avpud-demo-XXXXXX");
        Ok(Self(mkdtemp(&template)?))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("avpud.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.0);
    }
}
