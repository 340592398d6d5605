//! The command line: a command, options anywhere.

use super::fits;
use avpu_proto::request::OpenChannel;
use std::fmt;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The daemon as a whole.
    Status,
    /// Its channels.
    Channels,
    /// Its connections.
    Clients,
    /// Who holds which memory.
    Memory,
    /// An IDR of one channel, or of all.
    Idr(Option<String>),
    /// Whether channels would fit, all of them or as if no other were open.
    Fits(Vec<OpenChannel>),
    /// `-h`
    Help,
    /// `-V`
    Version,
}

/// A command and how to carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The command.
    pub(crate) command: Command,
    /// JSON instead of a table.
    pub(crate) json: bool,
    /// As if no other channel were open.
    pub(crate) alone: bool,
    /// The daemon's socket.
    pub(crate) socket: Option<String>,
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsageError {
    /// No command.
    CommandMissing,
    /// A command that there is not.
    Command(String),
    /// An option that there is not.
    Option(String),
    /// An option without its value.
    ValueMissing(&'static str),
    /// What cannot be read as a channel.
    Channel(String),
    /// A word too many.
    TooMany(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commands = "status, channels, clients, memory, idr or fits";
        match self {
            Self::CommandMissing => write!(f, "expected {commands}, found no command"),
            Self::Command(found) => write!(f, "expected {commands}, found {found}"),
            Self::Option(found) => write!(f, "expected --json or --socket, found {found}"),
            Self::ValueMissing(option) => write!(f, "expected a value after {option}, found none"),
            Self::Channel(found) => write!(
                f,
                "expected a channel like 1920x1080@25 or 640x360@15:live, found {found:?}"
            ),
            Self::TooMany(found) => write!(f, "expected nothing more, found {found}"),
        }
    }
}

/// What `-h` prints.
pub(crate) const HELP: &str = "\
Usage: avpuctl [--json] [--socket PATH] COMMAND

Commands:
  status          the daemon and its encoder
  channels        every channel: settings, counters, times
  clients         every connection and what it holds
  memory          the reserved memory and who holds it
  idr [CHANNEL]   ask for an IDR of a channel, by name or id; of all channels without one
  fits CHANNEL... would these channels fit, opened one after the other? WIDTHxHEIGHT@FPS[:CLASS] each, as in
                  1920x1080@25:live 640x360@15; classes: live, record, snapshot, best-effort. Opens nothing

Options:
  --json          JSON instead of tables; keys end in their unit: _us, _bytes, _bps
  --alone         for fits: as if no other channel were open
  --socket PATH   the daemon's socket; otherwise $AVPUD_SOCKET, /run/avpud/avpud.sock as root,
                  $XDG_RUNTIME_DIR/avpud.sock
  -V, -h          version; this text

Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon or disconnected, 4 refused or does not fit.
";

/// Parses the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Options, UsageError> {
    let mut words = words.into_iter();
    let (mut json, mut alone, mut socket) = (false, false, None);
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => plain = vec!["-h".to_owned()],
            "-V" | "--version" => plain = vec!["-V".to_owned()],
            "--json" => json = true,
            "--alone" => alone = true,
            "--socket" => {
                socket = Some(words.next().ok_or(UsageError::ValueMissing("--socket"))?);
            }
            other => match other.strip_prefix("--socket=") {
                Some(path) => socket = Some(path.to_owned()),
                None if other.starts_with('-') => return Err(UsageError::Option(word)),
                None => plain.push(word),
            },
        }
        if matches!(plain.first().map(String::as_str), Some("-h" | "-V")) {
            break;
        }
    }
    let mut plain = plain.into_iter();
    let command = match plain.next().as_deref() {
        None => return Err(UsageError::CommandMissing),
        Some("status") => Command::Status,
        Some("channels") => Command::Channels,
        Some("clients") => Command::Clients,
        Some("memory") => Command::Memory,
        Some("idr") => Command::Idr(plain.next()),
        Some("fits") => {
            let channels: Result<Vec<_>, _> =
                plain.by_ref().map(|word| fits::channel(&word)).collect();
            let channels = channels?;
            if channels.is_empty() {
                return Err(UsageError::ValueMissing("fits"));
            }
            Command::Fits(channels)
        }
        Some("-h") => Command::Help,
        Some("-V") => Command::Version,
        Some(other) => return Err(UsageError::Command(other.to_owned())),
    };
    match plain.next() {
        Some(word) => Err(UsageError::TooMany(word)),
        None => Ok(Options {
            command,
            json,
            alone,
            socket,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Options, UsageError> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_stand_before_and_behind_the_command() {
        let expected = Options {
            command: Command::Channels,
            json: true,
            alone: false,
            socket: Some("/s".to_owned()),
        };
        assert_eq!(words("--json --socket /s channels"), Ok(expected.clone()));
        assert_eq!(words("channels --socket=/s --json"), Ok(expected));
    }

    #[test]
    fn an_idr_is_for_one_channel_or_all() {
        assert_eq!(words("idr").unwrap().command, Command::Idr(None));
        let one = Command::Idr(Some("main".to_owned()));
        assert_eq!(words("idr main").unwrap().command, one);
    }

    #[test]
    fn channels_that_may_fit_stand_behind_the_command() {
        let options = words("fits --alone 1920x1080@25 640x360@15").unwrap();
        assert!(options.alone);
        let Command::Fits(channels) = options.command else {
            panic!("expected fits, found {:?}", options.command);
        };
        assert_eq!(channels.len(), 2);
        assert!(words("fits").is_err() && words("fits big").is_err());
    }

    #[test]
    fn help_and_version_win() {
        assert_eq!(words("status -h").unwrap().command, Command::Help);
        assert_eq!(words("-V --bogus").unwrap().command, Command::Version);
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for text in [
            "",
            "--json",
            "top",
            "status now",
            "idr a b",
            "--socket",
            "--jsno status",
        ] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
