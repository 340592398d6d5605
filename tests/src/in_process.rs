//! The daemon as a thread of a test, with a device that the test looks into or disturbs.
//!
//! One at a time in a process, others wait: it ends by a signal, which everyone in the process would get.

use crate::scratch::Scratch;
use avpud::config::Config;
use avpud::device::{Device, IrqCanceller, IrqSource};
use avpud::server::{self, Encoder, End, Machine, Shell, SocketLock};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, raise};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A daemon that serves.
#[derive(Debug)]
pub struct InProcess {
    thread: JoinHandle<End>,
    socket: PathBuf,
    _scratch: Scratch,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());
/// Longer than a start takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Is the daemon, on the device that `open` makes and on a machine of a developer.
///
/// # Panics
/// When it cannot start.
pub fn serve<D, S, C>(config: &Config, socket: &Path, open: impl FnOnce() -> (D, S, C)) -> End
where
    D: Device,
    S: IrqSource + 'static,
    C: IrqCanceller + 'static,
{
    let (log, lines_lost) = server::logger(config.log_format, config.log_level);
    let lock = SocketLock::take(socket).expect("the socket is free");
    let (device, interrupts, canceller) = open();
    let encoder = Encoder {
        device,
        interrupts,
        canceller,
        machine: Machine::developer(),
    };
    let shell = Shell {
        log,
        lines_lost,
        lock,
    };
    server::serve(config, shell, encoder).expect("the daemon serves")
}

impl InProcess {
    /// Starts a daemon on the device that `open` makes, and waits until it serves.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start<D, S, C>(open: impl FnOnce() -> (D, S, C) + Send + 'static) -> Self
    where
        D: Device,
        S: IrqSource + 'static,
        C: IrqCanceller + 'static,
    {
        Self::start_with(Config::default(), open)
    }

    /// As [`Self::start`], with settings.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_with<D, S, C>(
        config: Config,
        open: impl FnOnce() -> (D, S, C) + Send + 'static,
    ) -> Self
    where
        D: Device,
        S: IrqSource + 'static,
        C: IrqCanceller + 'static,
    {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = Scratch::new("in-process");
        let socket = scratch.path().join("socket");
        let folder = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify starts");
        folder
            .add_watch(scratch.path(), AddWatchFlags::IN_MOVED_TO)
            .expect("the scratch folder can be watched");
        let path = socket.clone();
        let thread = thread::spawn(move || serve(&config, &path, open));
        // The socket gets its place by a rename, when it is ready.
        let timeout = PollTimeout::try_from(PATIENCE).expect("it is short");
        let mut wanted = [PollFd::new(folder.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut wanted, timeout).expect("it can be waited for");
        assert_eq!(ready, 1, "expected a daemon that serves, found none");
        Self {
            thread,
            socket,
            _scratch: scratch,
            _turn: turn,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Tells it to end, and says how it did.
    ///
    /// # Panics
    /// When it panicked.
    #[must_use]
    pub fn stop(self) -> End {
        raise(Signal::SIGTERM).expect("a process may signal itself");
        self.join()
    }

    /// Waits until it ends by itself, and says how it did.
    ///
    /// # Panics
    /// When it panicked.
    #[must_use]
    pub fn join(self) -> End {
        let Self {
            thread,
            _scratch,
            _turn,
            ..
        } = self;
        thread.join().expect("the daemon ends")
    }
}
