//! The one table of settings: section, name, what its value looks like, what it means, and how it is applied.

use super::value;
use super::{Config, DeviceChoice};
use avpu_proto::limits::{
    CHANNELS_PER_CLIENT_MAX, PACKET_CREDITS_MAX, SESSIONS_MAX, SUBMIT_CREDITS,
};
use std::path::PathBuf;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `[daemon] socket`.
    Socket,
    /// `[daemon] socket-group`.
    SocketGroup,
    /// `[daemon] log-format`.
    LogFormat,
    /// `[daemon] log-level`.
    LogLevel,
    /// `[device] device`.
    Device,
    /// `[device] cost-base-ns`.
    CostBase,
    /// `[device] cost-macroblock-ns`.
    CostMacroblock,
    /// `[device] cost-idr-base-ns`.
    CostIdrBase,
    /// `[device] cost-idr-macroblock-ns`.
    CostIdrMacroblock,
    /// `[device] prepare-ahead`.
    PrepareAhead,
    /// `[memory] arena`.
    Arena,
    /// `[memory] source-windows`.
    SourceWindows,
    /// `[memory] quarantine-ms`.
    Quarantine,
    /// `[rights] publish-users`.
    PublishUsers,
    /// `[rights] publish-groups`.
    PublishGroups,
    /// `[rights] raw-users`.
    RawUsers,
    /// `[rights] raw-groups`.
    RawGroups,
    /// `[limits] channels-max`.
    ChannelsMax,
    /// `[limits] ring-bytes`.
    RingBytes,
    /// `[limits] load-max-permille`.
    LoadMax,
    /// `[limits] user-connections-max`.
    UserConnectionsMax,
    /// `[limits] client-channels-max`.
    ClientChannelsMax,
    /// `[limits] client-lease-bytes-max`.
    ClientLeaseBytesMax,
    /// `[limits] client-frames-max`.
    ClientFramesMax,
    /// `[limits] client-packets-max`.
    ClientPacketsMax,
    /// `[limits] client-idr-ms`.
    ClientIdr,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Which setting.
    pub(super) setting: Setting,
    /// Section of the file.
    pub section: &'static str,
    /// Name in the file and, after `--`, on the command line.
    pub name: &'static str,
    /// What the value looks like.
    pub value: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
}

/// All settings, in the order of the help.
pub(super) const KEYS: &[Key] = &[
    Key {
        setting: Setting::Socket,
        section: "daemon",
        name: "socket",
        value: "PATH",
        help: "where clients connect",
    },
    Key {
        setting: Setting::SocketGroup,
        section: "daemon",
        name: "socket-group",
        value: "GROUP",
        help: "group that may connect, by name or number",
    },
    Key {
        setting: Setting::LogFormat,
        section: "daemon",
        name: "log-format",
        value: "text|json|syslog",
        help: "shape of log lines",
    },
    Key {
        setting: Setting::LogLevel,
        section: "daemon",
        name: "log-level",
        value: "LEVEL",
        help: "error, warning, info, debug or trace",
    },
    Key {
        setting: Setting::Device,
        section: "device",
        name: "device",
        value: "PATH|model[,OPTION=VALUE]...",
        help: "the encoder, or its software model",
    },
    Key {
        setting: Setting::CostBase,
        section: "device",
        name: "cost-base-ns",
        value: "NS",
        help: "encoder time of a picture, fixed part",
    },
    Key {
        setting: Setting::CostMacroblock,
        section: "device",
        name: "cost-macroblock-ns",
        value: "NS",
        help: "encoder time of a macroblock",
    },
    Key {
        setting: Setting::CostIdrBase,
        section: "device",
        name: "cost-idr-base-ns",
        value: "NS",
        help: "the same of an IDR, fixed part",
    },
    Key {
        setting: Setting::CostIdrMacroblock,
        section: "device",
        name: "cost-idr-macroblock-ns",
        value: "NS",
        help: "the same of a macroblock in an IDR",
    },
    Key {
        setting: Setting::PrepareAhead,
        section: "device",
        name: "prepare-ahead",
        value: "yes|no",
        help: "write the next picture's command list while another channel's is encoded",
    },
    Key {
        setting: Setting::Arena,
        section: "memory",
        name: "arena",
        value: "avpumem|rmem",
        help: "parameter of the kernel's command line that names the encoder's memory",
    },
    Key {
        setting: Setting::SourceWindows,
        section: "memory",
        name: "source-windows",
        value: "SIZE@BASE[,...]",
        help: "memory of other allocators that frames may lie in",
    },
    Key {
        setting: Setting::Quarantine,
        section: "memory",
        name: "quarantine-ms",
        value: "MS|never",
        help: "time until memory that was not given back is used again",
    },
    Key {
        setting: Setting::PublishUsers,
        section: "rights",
        name: "publish-users",
        value: "USER[,...]",
        help: "users that may open channels; with publish-groups nobody else",
    },
    Key {
        setting: Setting::PublishGroups,
        section: "rights",
        name: "publish-groups",
        value: "GROUP[,...]",
        help: "groups that may open channels; with publish-users nobody else",
    },
    Key {
        setting: Setting::RawUsers,
        section: "rights",
        name: "raw-users",
        value: "USER[,...]",
        help: "users that may submit raw addresses",
    },
    Key {
        setting: Setting::RawGroups,
        section: "rights",
        name: "raw-groups",
        value: "GROUP[,...]",
        help: "groups that may submit raw addresses",
    },
    Key {
        setting: Setting::ChannelsMax,
        section: "limits",
        name: "channels-max",
        value: "COUNT",
        help: "most channels at once",
    },
    Key {
        setting: Setting::RingBytes,
        section: "limits",
        name: "ring-bytes",
        value: "SIZE",
        help: "ring of a channel whose client does not ask for one",
    },
    Key {
        setting: Setting::LoadMax,
        section: "limits",
        name: "load-max-permille",
        value: "COUNT",
        help: "encoder time that channels may be promised, in thousandths",
    },
    Key {
        setting: Setting::UserConnectionsMax,
        section: "limits",
        name: "user-connections-max",
        value: "COUNT",
        help: "most connections of one user, but for the super-user and the daemon's own",
    },
    Key {
        setting: Setting::ClientChannelsMax,
        section: "limits",
        name: "client-channels-max",
        value: "COUNT",
        help: "most channels of one connection",
    },
    Key {
        setting: Setting::ClientLeaseBytesMax,
        section: "limits",
        name: "client-lease-bytes-max",
        value: "SIZE",
        help: "most reserved memory in leases of one connection",
    },
    Key {
        setting: Setting::ClientFramesMax,
        section: "limits",
        name: "client-frames-max",
        value: "COUNT",
        help: "most frames under way on one connection",
    },
    Key {
        setting: Setting::ClientPacketsMax,
        section: "limits",
        name: "client-packets-max",
        value: "COUNT",
        help: "most packets outstanding on one subscription",
    },
    Key {
        setting: Setting::ClientIdr,
        section: "limits",
        name: "client-idr-ms",
        value: "MS",
        help: "least time between IDRs that one connection asks for",
    },
];

impl Setting {
    /// Its argument.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.name())
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        let key = KEYS.iter().find(|key| key.setting == self);
        key.map_or("", |key| key.name)
    }
}

/// Finds the setting with this name.
///
/// # Errors
/// When there is none; names the nearest.
pub(super) fn find(name: &str) -> Result<Setting, String> {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => Ok(key.setting),
        None => Err(unknown("key", name, KEYS.iter().map(|key| key.name))),
    }
}

/// Says that a word is not among the known ones, and which is nearest.
pub(super) fn unknown<'a>(what: &str, found: &str, known: impl Iterator<Item = &'a str>) -> String {
    match known.min_by_key(|word| value::distance(word, found)) {
        Some(nearest) => format!("unknown {what} \"{found}\", nearest is \"{nearest}\""),
        None => format!("unknown {what} \"{found}\""),
    }
}

/// Applies a setting.
///
/// # Errors
/// What was expected and what was found.
pub(super) fn apply(config: &mut Config, setting: Setting, text: &str) -> Result<(), String> {
    match setting {
        Setting::Socket => config.socket = Some(PathBuf::from(value::present(text)?)),
        Setting::SocketGroup => config.socket_group = Some(value::group(text)?),
        Setting::LogFormat => config.log_format = value::log_format(text)?,
        Setting::LogLevel => config.log_level = value::log_level(text)?,
        Setting::Device => config.device = DeviceChoice::parse(text)?,
        Setting::CostBase => config.cost.base_ns = Some(value::number(text, u32::MAX)?),
        Setting::CostMacroblock => {
            config.cost.macroblock_ns = Some(value::at_most(text, u32::MAX)?);
        }
        Setting::CostIdrBase => config.cost.idr_base_ns = Some(value::number(text, u32::MAX)?),
        Setting::CostIdrMacroblock => {
            config.cost.idr_macroblock_ns = Some(value::at_most(text, u32::MAX)?);
        }
        Setting::PrepareAhead => config.prepares_ahead = value::yes_or_no(text)?,
        Setting::Arena => config.arena = value::arena(text)?,
        Setting::SourceWindows => config.source_windows = value::list(text, value::range)?,
        Setting::Quarantine => config.quarantine_us = value::time_ms(text)?,
        Setting::PublishUsers => {
            config.publish.get_or_insert_default().uids = value::list(text, value::user)?;
        }
        Setting::PublishGroups => {
            config.publish.get_or_insert_default().gids = value::list(text, value::group)?;
        }
        Setting::RawUsers => config.raw.uids = value::list(text, value::user)?,
        Setting::RawGroups => config.raw.gids = value::list(text, value::group)?,
        Setting::ChannelsMax => {
            config.channels_max = Some(value::at_most(text, u16::MAX)?);
        }
        Setting::RingBytes => config.ring = Some(value::ring_size(text)?),
        Setting::LoadMax => config.load_max_permille = value::at_most(text, 1000)?,
        Setting::UserConnectionsMax => {
            config.user_connections_max = usize::from(value::at_most(text, SESSIONS_MAX)?);
        }
        Setting::ClientChannelsMax => {
            config.client_limits.channels = value::at_most(text, CHANNELS_PER_CLIENT_MAX)?;
        }
        Setting::ClientLeaseBytesMax => config.client_limits.lease_bytes = value::size(text)?,
        Setting::ClientFramesMax => {
            config.client_limits.frames = value::at_most(text, SUBMIT_CREDITS)?;
        }
        Setting::ClientPacketsMax => {
            config.client_limits.packets = value::at_most(text, PACKET_CREDITS_MAX)?;
        }
        Setting::ClientIdr => {
            config.client_limits.idr_period_us = u64::from(value::number(text, u32::MAX)?) * 1000;
        }
    }
    Ok(())
}
