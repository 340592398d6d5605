//! What the daemon was told: arguments and a file, checked once, as one value that cannot be wrong.
//!
//! Every setting exists under one name in three places that this module keeps equal: as `key = value` in a section of
//! the file, as `--key value` on the command line (which wins), and in the help. `keys` is the one table of them.

mod arguments;
mod cost;
mod device;
mod error;
mod file;
mod keys;
mod value;

pub use arguments::{Arguments, Command, help, parse};
pub use cost::CostSettings;
pub use device::DeviceChoice;
pub use error::{ConfigError, Origin};
pub use keys::Setting;

use crate::core::role::{ClientLimits, Members};
use crate::device::linux::arena::ArenaSource;
use crate::limits::{CAMERA_RING_BYTES_MAX, DEVELOPER_RING_BYTES_MAX};
use crate::mem::addr::{ByteLen, PhysRange};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is read when `--config` does not name another.
pub const CONFIG_PATH: &str = "/etc/avpud.conf";

/// Shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line an entry, on the standard error stream.
    Text,
    /// One JSON object a line, on the standard error stream.
    Json,
    /// Datagrams to the system's log.
    Syslog,
}

/// Everything the daemon was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect; `None` leaves it to the rule that all tools share.
    pub socket: Option<PathBuf>,
    /// Group that the socket is given to.
    pub socket_group: Option<u32>,
    /// Shape of log lines.
    pub log_format: LogFormat,
    /// Least important level that is logged.
    pub log_level: slog::Level,
    /// The encoder.
    pub device: DeviceChoice,
    /// Expected encoder times other than those that the device states.
    pub cost: CostSettings,
    /// Where the encoder's memory comes from.
    pub arena: ArenaSource,
    /// Where other allocators keep pictures that privileged clients may submit by address.
    pub source_windows: Vec<PhysRange>,
    /// Who may open channels; `None`: whoever may connect.
    pub publish: Option<Members>,
    /// Who may submit raw addresses besides the super-user.
    pub raw: Members,
    /// What one connection may have.
    pub client_limits: ClientLimits,
    /// Most connections of one user besides the super-user and the daemon's own.
    pub user_connections_max: usize,
    /// How long memory that was not given back is kept; `None`: until an operator releases it.
    pub quarantine_us: Option<u64>,
    /// Most channels at once.
    pub channels_max: Option<u16>,
    /// Size of a channel's ring where the client does not say; a power of two.
    pub ring: Option<ByteLen>,
    /// Encoder time that channels may be promised, in thousandths of all there is.
    pub load_max_permille: u32,
    /// The next picture is made ready while another channel's is encoded.
    pub prepares_ahead: bool,
}

/// Three quarters of all sessions.
const USER_CONNECTIONS_MAX: usize = 48;
/// Many periods of any camera: what filled a buffer for a process has been stopped by then.
const QUARANTINE_US: u64 = 1_000_000;
/// The rest is for pictures that take longer than they should.
const LOAD_MAX_PERMILLE: u32 = 950;

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: None,
            socket_group: None,
            log_format: LogFormat::Text,
            log_level: slog::Level::Info,
            device: DeviceChoice::default(),
            cost: CostSettings::default(),
            arena: ArenaSource::default(),
            source_windows: Vec::new(),
            publish: None,
            raw: Members::default(),
            client_limits: ClientLimits::default(),
            user_connections_max: USER_CONNECTIONS_MAX,
            quarantine_us: Some(QUARANTINE_US),
            channels_max: None,
            ring: None,
            load_max_permille: LOAD_MAX_PERMILLE,
            prepares_ahead: true,
        }
    }
}

impl Config {
    /// What one setting alone cannot say.
    fn check_together(&self) -> Result<(), ConfigError> {
        let max = match self.device {
            DeviceChoice::Hardware { .. } => CAMERA_RING_BYTES_MAX,
            DeviceChoice::Model { .. } => DEVELOPER_RING_BYTES_MAX,
        };
        match self.ring {
            Some(ring) if ring.value() > max => Err(ConfigError {
                origin: Origin::Setting(Setting::RingBytes),
                message: format!("expected at most {max} bytes with this device, found {ring}"),
            }),
            _ => Ok(()),
        }
    }
}

/// Reads the file that `arguments` name, or the default one where it exists, and lays the arguments over it.
///
/// # Errors
/// When a file that was named cannot be read, or a line or an argument is wrong.
pub fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    if let Some((path, text)) = read(arguments.config.as_deref())? {
        file::apply(&mut config, &path, &text)?;
    }
    for (setting, value) in &arguments.settings {
        keys::apply(&mut config, *setting, value).map_err(|message| ConfigError {
            origin: Origin::Argument(setting.flag()),
            message,
        })?;
    }
    config.check_together()?;
    Ok(config)
}

fn read(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let path = named.unwrap_or(Path::new(CONFIG_PATH));
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_path_buf(), text))),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError {
            origin: Origin::File(path.to_path_buf()),
            message: format!("cannot be read: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../packaging/avpud.conf");

    #[test]
    fn the_shipped_file_changes_nothing() {
        let mut config = Config::default();
        file::apply(&mut config, Path::new("avpud.conf"), SHIPPED).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_shipped_file_shows_every_key_in_its_section() {
        let mut section = String::new();
        let mut shown = Vec::new();
        for line in SHIPPED.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, _)) = line.strip_prefix('#').and_then(|l| l.split_once(" = "))
            {
                shown.push((section.clone(), key.to_owned()));
            }
        }
        for key in keys::KEYS {
            let wanted = (key.section.to_owned(), key.name.to_owned());
            assert!(shown.contains(&wanted), "{wanted:?} is missing");
        }
        assert_eq!(shown.len(), keys::KEYS.len(), "{shown:?}");
    }

    #[test]
    fn the_values_that_the_shipped_file_shows_are_valid() {
        let uncommented: String = SHIPPED
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.contains(" = ") && !rest.starts_with(' ') => rest,
                _ => line,
            })
            .filter(|line| !line.starts_with("socket-group"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut config = Config::default();
        file::apply(&mut config, Path::new("avpud.conf"), &uncommented).unwrap();
        assert_ne!(config, Config::default());
    }

    #[test]
    fn an_argument_wins_over_the_file() {
        let words = ["--log-level", "debug"].map(str::to_owned);
        let Ok(Command::Serve(arguments)) = parse(words) else {
            panic!("the arguments are good");
        };
        let mut config = Config::default();
        file::apply(&mut config, Path::new("f"), "[daemon]\nlog-level = error\n").unwrap();
        assert_eq!(config.log_level, slog::Level::Error);
        let (setting, value) = &arguments.settings[0];
        keys::apply(&mut config, *setting, value).unwrap();
        assert_eq!(config.log_level, slog::Level::Debug);
    }

    #[test]
    fn a_ring_is_held_to_what_the_machine_has_room_for() {
        let load_with = |device: &str, ring: &str| {
            let settings = vec![
                (Setting::Device, device.to_owned()),
                (Setting::RingBytes, ring.to_owned()),
            ];
            let config = None;
            load(&Arguments { config, settings })
        };
        assert!(load_with("/dev/avpu", "1M").is_ok() && load_with("model", "16M").is_ok());
        let error = load_with("/dev/avpu", "2M").unwrap_err().to_string();
        assert!(
            error.starts_with("ring-bytes: expected at most 1048576 bytes with this device"),
            "{error}"
        );
        assert!(load_with("model", "32M").is_err());
    }

    #[test]
    fn a_named_file_that_is_missing_is_an_error() {
        let arguments = Arguments {
            config: Some(PathBuf::from("/nonexistent/avpud.conf")),
            settings: Vec::new(),
        };
        let error = load(&arguments).unwrap_err().to_string();
        assert!(
            error.starts_with("/nonexistent/avpud.conf: cannot be read"),
            "{error}"
        );
    }
}
