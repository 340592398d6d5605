//! From settings to a running daemon: lock, device, core, signals, and the socket last, because who sees it may connect.

use super::files::{self, Files, Shortage};
use super::hands::Holdings;
use super::imports::Imports;
use super::irq::Interrupts;
use super::listener::{ListenError, SocketLock};
use super::log::{LinesLost, RateLimit};
use super::peers::{Peers, Quota};
use super::policy::{Machine, broker_config};
use super::recheck::Recheck;
use super::signal::Signals;
use super::summary;
use super::turn::Order;
use super::{
    End, Server, TOKEN_HANGUP, TOKEN_INTERRUPT, TOKEN_LISTENER, TOKEN_RECHECK, TOKEN_STOP, clock,
    connection,
};
use crate::config::{Config, DeviceChoice};
use crate::core::Broker;
use crate::device::error::DeviceError;
use crate::device::linux::{self, OpenError};
use crate::device::{Device, IrqCanceller, IrqSource};
use crate::driver::Engine;
use crate::driver::error::DriverError;
use crate::mem::shm;
use crate::sys;
use avpu_proto::socket::{self, NoSocketPath};
use core::fmt;
use mio::{Interest, Poll, Waker};
use slog::{Logger, info};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Why the daemon did not start, or could not go on.
#[derive(Debug)]
pub enum StartError {
    /// Nothing says where the socket is.
    NoSocket(NoSocketPath),
    /// The socket cannot be had.
    Listen(ListenError),
    /// The encoder or its memory cannot be had.
    Hardware(OpenError),
    /// The model could not be started.
    Device(DeviceError),
    /// The encoder does not behave.
    Driver(DriverError),
    /// The process may not have as many files open as the daemon needs.
    Files(Shortage),
    /// The system says no.
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl StartError {
    /// The process's exit status.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Listen(ListenError::Held { .. }) | Self::Hardware(OpenError::Held { .. }) => 5,
            Self::Hardware(OpenError::NoArena(_)) => 6,
            _ => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::Hardware(error) => error.fmt(f),
            Self::Device(error) => write!(f, "the model cannot be started: {error}"),
            Self::Driver(error) => write!(f, "the encoder cannot be used: {error}"),
            Self::Files(error) => error.fmt(f),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSocket(error) => Some(error),
            Self::Listen(error) => Some(error),
            Self::Hardware(error) => Some(error),
            Self::Device(error) => Some(error),
            Self::Driver(error) => Some(error),
            Self::Files(error) => Some(error),
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// What the daemon has before it has a device.
pub struct Shell {
    /// Where it tells what it does.
    pub log: Logger,
    /// Lines that could not be told.
    pub lines_lost: LinesLost,
    /// The right to its socket.
    pub lock: SocketLock,
}

/// An encoder that was opened.
pub struct Encoder<D, S, C> {
    /// Registers and memory.
    pub device: D,
    /// Where its interrupts come from.
    pub interrupts: S,
    /// Ends the wait for them.
    pub canceller: C,
    /// What it is part of.
    pub machine: Machine,
}

impl Shell {
    /// On a camera: the process whose end costs all streams is the last to be killed for memory.
    fn settle_in(&self) {
        if let Err(cause) = fs::write("/proc/self/oom_score_adj", "-1000") {
            info!(self.log, "may be killed when memory runs out"; "cause" => %cause);
        }
    }
}

/// Starts the daemon and serves until it ends.
///
/// # Errors
/// When it cannot start or cannot go on.
pub fn run(config: &Config, log: Logger, lines_lost: LinesLost) -> Result<End, StartError> {
    let path = socket_path(config)?;
    let lock = SocketLock::take(&path).map_err(StartError::Listen)?;
    // Better no daemon than one that refuses every channel.
    shm::source().map_err(io_error("making memory for streams"))?;
    let shell = Shell {
        log,
        lines_lost,
        lock,
    };
    match &config.device {
        DeviceChoice::Hardware { path } => {
            let opened = linux::open(path, config.arena).map_err(StartError::Hardware)?;
            shell.settle_in();
            let encoder = Encoder {
                machine: Machine::camera(&opened.memory),
                device: opened.device,
                interrupts: opened.interrupts,
                canceller: opened.canceller,
            };
            summary::memory(&shell.log, &opened.memory);
            serve(config, shell, encoder)
        }
        #[cfg(feature = "model")]
        DeviceChoice::Model { options } => {
            let opened = crate::device::model::open(options, &config.source_windows, None);
            let (device, interrupts, canceller) = opened.map_err(StartError::Device)?;
            let encoder = Encoder {
                device,
                interrupts,
                canceller,
                machine: Machine::developer(),
            };
            serve(config, shell, encoder)
        }
        #[cfg(not(feature = "model"))]
        DeviceChoice::Model { .. } => {
            drop(shell);
            let what = "expected a build with the model, found one without";
            Err(StartError::Device(DeviceError::Unusable {
                reason: what.to_owned(),
            }))
        }
    }
}

fn socket_path(config: &Config) -> Result<PathBuf, StartError> {
    let flag = config
        .socket
        .as_ref()
        .map(|path| path.as_os_str().as_bytes());
    let variable = env::var_os(socket::SOCKET_VARIABLE);
    let runtime = env::var_os(socket::RUNTIME_DIR_VARIABLE);
    let path = socket::path(
        flag,
        variable.as_deref().map(OsStrExt::as_bytes),
        runtime.as_deref().map(OsStrExt::as_bytes),
        nix::unistd::geteuid().is_root(),
    );
    path.map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
        .map_err(StartError::NoSocket)
}

/// Serves with an encoder that is open and a socket path that is ours.
///
/// # Errors
/// When the daemon cannot start or cannot go on.
pub fn serve<D, S, C>(
    config: &Config,
    shell: Shell,
    encoder: Encoder<D, S, C>,
) -> Result<End, StartError>
where
    D: Device,
    S: IrqSource + 'static,
    C: IrqCanceller + 'static,
{
    let Shell {
        log,
        lines_lost,
        lock,
    } = shell;
    let device = encoder.device;
    let mut broker_config = broker_config(config, device.capabilities(), &encoder.machine);
    let files = files::raise().map_err(io_error("asking for open files"))?;
    broker_config.leases_max = Files {
        channels_max: broker_config.channels_max,
        per_lease: encoder.machine.files_per_lease,
    }
    .leases(files)
    .map_err(StartError::Files)?;
    let (epoch, channels_max) = (broker_config.epoch, broker_config.channels_max);
    let name = broker_config.device.clone();
    let own_uid = broker_config.rights.own_uid;
    let engine = Engine::bring_up(device).map_err(StartError::Driver)?;

    let poll = Poll::new().map_err(io_error("making the event queue"))?;
    let registry = poll.registry();
    let mut signals = Signals::new().map_err(io_error("listening to signals"))?;
    registry
        .register(&mut signals.stop, TOKEN_STOP, Interest::READABLE)
        .and_then(|()| registry.register(&mut signals.hangup, TOKEN_HANGUP, Interest::READABLE))
        .map_err(io_error("watching for signals"))?;
    let waker = Waker::new(registry, TOKEN_INTERRUPT).map_err(io_error("making the waker"))?;
    let recheck = Recheck::new(registry, TOKEN_RECHECK).map_err(io_error("making a timer"))?;
    let interrupts = Interrupts::start(encoder.interrupts, encoder.canceller, waker)
        .map_err(io_error("starting the interrupt thread"))?;
    if !sys::request_realtime(sys::Urgency::Loop) {
        info!(
            log,
            "no right to run before other processes: going on without"
        );
    }
    let mut listener = lock
        .listen(config.socket_group)
        .map_err(StartError::Listen)?;
    registry
        .register(&mut listener.socket, TOKEN_LISTENER, Interest::READABLE)
        .map_err(io_error("watching the socket"))?;
    summary::limits(&log, &broker_config);
    info!(log, "ready"; "socket" => %listener.path().display(), "device" => name);

    let now = clock::now();
    let server = Server {
        poll,
        listener,
        signals,
        interrupts,
        broker: Broker::new(broker_config, now),
        engine,
        holdings: Holdings::new(epoch, channels_max),
        imports: Imports::default(),
        peers: Peers::new(Quota {
            connections_max: config.user_connections_max,
            exempt_uids: [0, own_uid],
        }),
        order: Order::default(),
        control: connection::ControlBuffer::new(),
        log,
        lines_lost,
        rate: RateLimit::default(),
        chatter: RateLimit::default(),
        refusals: RateLimit::default(),
        expelled: 0,
        departed: Vec::with_capacity(crate::limits::CONNECTIONS_MAX),
        now,
        recheck,
        stops: 0,
        end: None,
    };
    server.serve().map_err(io_error("waiting for events"))
}

fn io_error(operation: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Io { operation, source }
}
