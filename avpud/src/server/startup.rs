//! From settings to a running daemon: lock, device, core, signals, and the socket last, because who sees it may connect.

use super::hands::Holdings;
use super::irq::Interrupts;
use super::listener::{ListenError, SocketLock};
use super::log::{LinesLost, RateLimit};
use super::peers::Peers;
use super::plan::LayoutPlanner;
use super::signal::Signals;
use super::{
    End, Server, TOKEN_HANGUP, TOKEN_INTERRUPT, TOKEN_LISTENER, TOKEN_STOP, clock, connection,
};
use crate::config::{Config, DeviceChoice};
use crate::core::Broker;
use crate::core::config::BrokerConfig;
use crate::device::error::DeviceError;
use crate::device::{Capabilities, Device, IrqCanceller, IrqSource};
use crate::driver::Engine;
use crate::driver::error::DriverError;
use crate::job::JobCost;
use crate::mem::addr::{Alignment, ByteLen};
use crate::sys;
use avpu_proto::socket::{self, NoSocketPath};
use avpu_proto::types::{Epoch, Profile};
use core::fmt;
use mio::{Interest, Poll, Waker};
use slog::{Logger, debug, info};
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Channels where the settings do not say: what the model and a developer's machine can hold.
const CHANNELS_MAX: u16 = 64;
/// Largest ring that a client may ask for.
const RING_BYTES_MAX: u32 = 16 << 20;
/// Smallest picture side that the command list can describe.
const PICTURE_MIN: (u16, u16) = (16, 16);
/// Largest picture: what the sensors that this SoC is sold with deliver.
const PICTURE_MAX: (u16, u16) = (2592, 2048);
/// All buffers of the vendor's software are aligned so; less is untested.
const SOURCE_ALIGNMENT: Alignment = Alignment::constant(256);

/// Why the daemon did not start, or could not go on.
#[derive(Debug)]
pub enum StartError {
    /// Nothing says where the socket is.
    NoSocket(NoSocketPath),
    /// The socket cannot be had.
    Listen(ListenError),
    /// There is no such device, or no way to it.
    NoDevice {
        /// The device file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The model could not be started.
    Device(DeviceError),
    /// The encoder does not behave.
    Driver(DriverError),
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
            Self::Listen(ListenError::Held { .. }) => 5,
            _ => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::NoDevice { path, found } => write!(
                f,
                "expected a video encoder at {}, found {found}; try --device model",
                path.display()
            ),
            Self::Device(error) => write!(f, "the model cannot be started: {error}"),
            Self::Driver(error) => write!(f, "the encoder cannot be used: {error}"),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSocket(error) => Some(error),
            Self::Listen(error) => Some(error),
            Self::NoDevice { .. } => None,
            Self::Device(error) => Some(error),
            Self::Driver(error) => Some(error),
            Self::Io { source, .. } => Some(source),
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
    match &config.device {
        DeviceChoice::Hardware { path } => Err(no_device(path)),
        #[cfg(feature = "model")]
        DeviceChoice::Model { options } => {
            let opened = crate::device::model::open(options, &config.source_windows, None);
            let (device, source, canceller) = opened.map_err(StartError::Device)?;
            serve(config, log, lines_lost, lock, device, source, canceller)
        }
        #[cfg(not(feature = "model"))]
        DeviceChoice::Model { .. } => {
            drop((log, lines_lost, lock));
            let what = "expected a build with the model, found one without";
            Err(StartError::Device(DeviceError::Unusable {
                reason: what.to_owned(),
            }))
        }
    }
}

fn no_device(path: &Path) -> StartError {
    let found = match path.symlink_metadata() {
        Err(error) => error.to_string(),
        Ok(_) => "something that this build has no driver for".to_owned(),
    };
    StartError::NoDevice {
        path: path.to_path_buf(),
        found,
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

/// Serves with a device that is open and a socket path that is ours.
///
/// # Errors
/// When the daemon cannot start or cannot go on.
pub fn serve<D: Device>(
    config: &Config,
    log: Logger,
    lines_lost: LinesLost,
    lock: SocketLock,
    device: D,
    source: impl IrqSource + 'static,
    canceller: impl IrqCanceller + 'static,
) -> Result<End, StartError> {
    let broker_config = broker_config(config, device.capabilities());
    let (epoch, channels_max) = (broker_config.epoch, broker_config.channels_max);
    let name = broker_config.device.clone();
    let engine = Engine::bring_up(device).map_err(StartError::Driver)?;

    let poll = Poll::new().map_err(io_error("making the event queue"))?;
    let registry = poll.registry();
    let mut signals = Signals::new().map_err(io_error("listening to signals"))?;
    registry
        .register(&mut signals.stop, TOKEN_STOP, Interest::READABLE)
        .and_then(|()| registry.register(&mut signals.hangup, TOKEN_HANGUP, Interest::READABLE))
        .map_err(io_error("watching for signals"))?;
    let waker = Waker::new(registry, TOKEN_INTERRUPT).map_err(io_error("making the waker"))?;
    let interrupts = Interrupts::start(source, canceller, waker)
        .map_err(io_error("starting the interrupt thread"))?;
    if !sys::request_realtime(sys::Urgency::Loop) {
        debug!(
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
        peers: Peers::new(),
        control: connection::ControlBuffer::new(),
        log,
        lines_lost,
        rate: RateLimit::default(),
        expelled: 0,
        departed: Vec::with_capacity(crate::limits::CONNECTIONS_MAX),
        now,
        recheck: None,
        stops: 0,
        end: None,
    };
    server.serve().map_err(io_error("waiting for events"))
}

fn broker_config(config: &Config, device: &Capabilities) -> BrokerConfig {
    BrokerConfig {
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.name.clone(),
        synthetic: device.synthetic,
        epoch: epoch(),
        pid: std::process::id(),
        cost: JobCost {
            base_ns: config.cost_base_ns.unwrap_or(device.cost.base_ns),
            macroblock_ns: config
                .cost_macroblock_ns
                .unwrap_or(device.cost.macroblock_ns),
        },
        patience_us: device.patience_us,
        load_max_permille: config.load_max_permille,
        arena: device.arena,
        source_windows: config.source_windows.clone(),
        system_memory: Vec::new(),
        raw_gids: config.raw_gids.clone(),
        source_alignment: SOURCE_ALIGNMENT,
        channels_max: config.channels_max.unwrap_or(CHANNELS_MAX),
        picture_min: PICTURE_MIN,
        picture_max: PICTURE_MAX,
        profiles: vec![Profile::High],
        ring_bytes: config.ring,
        ring_bytes_max: ByteLen::new(RING_BYTES_MAX),
        planner: &LayoutPlanner,
    }
}

/// Another value than that of the run before: the time of the start, and the process where two starts share a second.
fn epoch() -> Epoch {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let [.., a, b, c, d] = since.unwrap_or_default().as_secs().to_be_bytes();
    Epoch::new(u32::from_be_bytes([a, b, c, d]) ^ std::process::id().rotate_left(20))
}

fn io_error(operation: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Io { operation, source }
}
