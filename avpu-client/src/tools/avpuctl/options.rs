//! The command line: a command, options anywhere.

use super::set::{self, Change};
use super::{fits, reclaim};
use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Address, LeaseId};
use std::fmt;
use std::time::Duration;

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
    /// A change of a channel.
    Set(Box<Change>),
    /// Drops what a channel has queued.
    Flush(String),
    /// Begins a channel's stream anew.
    Reset(String),
    /// The parameter sets of a channel.
    ParameterSets(String),
    /// Whether channels would fit.
    Fits {
        /// Which.
        channels: Vec<OpenChannel>,
        /// As if no other channel were open.
        alone: bool,
    },
    /// What became of a frame.
    Explain {
        /// Its channel, by name or id.
        channel: String,
        /// The sequence number of its packet, or its own.
        number: u32,
        /// Its own.
        by_frame: bool,
    },
    /// The frames of some time, as a file for a trace viewer.
    Trace {
        /// How long.
        seconds: u32,
        /// Path of the file; `None`: standard output.
        out: Option<String>,
    },
    /// A lease is taken back, by default within a second.
    Revoke(LeaseId, Option<Duration>),
    /// The memory in quarantine.
    Quarantine,
    /// Nothing writes to a piece in quarantine any more.
    ReleaseQuarantine(Address),
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
    /// What cannot be read as a number.
    Number(&'static str, String),
    /// An option that the command has no use for.
    Useless(&'static str, String),
    /// What cannot be read as a change.
    Change {
        /// The word.
        found: String,
        /// What was expected.
        sentence: String,
    },
    /// A word too many.
    TooMany(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commands = "status, channels, clients, memory, idr, set, flush, reset, parameter-sets, fits, explain, trace, revoke or quarantine";
        match self {
            Self::CommandMissing => write!(f, "expected {commands}, found no command"),
            Self::Command(found) => write!(f, "expected {commands}, found {found}"),
            Self::Option(found) => write!(f, "expected an option that -h lists, found {found}"),
            Self::Number(what, found) => write!(f, "expected {what}, found {found:?}"),
            Self::Useless(option, command) => {
                write!(f, "expected no {option} with {command}, found it")
            }
            Self::ValueMissing(option) => write!(f, "expected a value after {option}, found none"),
            Self::Channel(found) => write!(
                f,
                "expected a channel like 1920x1080@25 or 640x360@15:live, found {found:?}"
            ),
            Self::Change { found, sentence } => write!(f, "{found}: {sentence}"),
            Self::TooMany(found) => write!(f, "expected nothing more, found {found}"),
        }
    }
}

/// What `-h` prints.
pub(crate) const HELP: &str = "\
Usage: avpuctl [OPTIONS] COMMAND

Commands:
  status          the daemon and its encoder
  channels        every channel: settings, counters, times
  clients         every connection and what it holds
  memory          the reserved memory and who holds it
  idr [CHANNEL]   ask for an IDR of a channel, by name or id; of all channels without one
  set CHANNEL KEY=VALUE...
                  change a running channel: mode=fixqp|cbr|vbr|capped-vbr|capped-quality bitrate=800k max=1.2M
                  qp=20-40 or qp=30 psnr=38.5 gop=50|2s fps=25 fps-out=10|all ip-delta=3 picture-max=BYTES class=
                  weight= overload=reject|drop-oldest|drop-newest|latest-only|wait deadline-ms=; on a drained
                  channel size=640x360 profile=high|main|baseline
  flush CHANNEL   drop the frames that wait
  reset CHANNEL   drop the frames that wait and begin a stream that stands on its own
  parameter-sets CHANNEL
                  SPS and PPS with start codes, and as the record that MP4 and SDP want, in hexadecimal digits
  fits CHANNEL... would these channels fit, opened one after the other? WIDTHxHEIGHT@FPS[:CLASS] each, as in
                  1920x1080@25:live 640x360@15; classes: live, record, snapshot, best-effort. Opens nothing
  explain CHANNEL NUMBER
                  what became of a frame: for whom it waited, how long each step took, or why it was dropped;
                  NUMBER is the sequence number of its packet. The last 1024 frames are remembered
  trace           write the frames of the next seconds as a file for chrome://tracing and ui.perfetto.dev
  revoke LEASE [MS]
                  take a lease back, by its number in memory; its holder has MS milliseconds, else a second, to
                  return it
  quarantine      memory that was not given back and that something may still write to
  quarantine release ADDRESS
                  nothing writes to that piece any more: it may be used again

Options:
  --json          JSON instead of tables; keys end in their unit: _us, _bytes, _bps
  --alone         for fits: as if no other channel were open
  --frame         for explain: NUMBER is the frame's own, as a dropped one has no packet
  --seconds N     for trace: how long, 1 to 3600; 5 without it
  --out FILE      for trace: the file; standard output without it
  --socket PATH   the daemon's socket; otherwise $AVPUD_SOCKET, /run/avpud/avpud.sock as root,
                  $XDG_RUNTIME_DIR/avpud.sock
  -V, -h          version; this text

Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon or disconnected, 4 refused or does not fit.
";

/// Parses the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Options, UsageError> {
    let mut words = words.into_iter();
    let (mut json, mut socket) = (false, None);
    let mut special = Special::default();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => plain = vec!["-h".to_owned()],
            "-V" | "--version" => plain = vec!["-V".to_owned()],
            "--json" => json = true,
            "--alone" => special.give("--alone", String::new()),
            "--frame" => special.give("--frame", String::new()),
            other => match valued(other, &mut words)? {
                Some(("--socket", path)) => socket = Some(path),
                Some((option, value)) => special.give(option, value),
                None if other.starts_with('-') => return Err(UsageError::Option(word)),
                None => plain.push(word),
            },
        }
        if matches!(plain.first().map(String::as_str), Some("-h" | "-V")) {
            break;
        }
    }
    let mut plain = plain.into_iter();
    let name = plain.next().ok_or(UsageError::CommandMissing)?;
    let command = match name.as_str() {
        "status" => Command::Status,
        "channels" => Command::Channels,
        "clients" => Command::Clients,
        "memory" => Command::Memory,
        "idr" => Command::Idr(plain.next()),
        "set" => {
            let channel = plain.next().ok_or(UsageError::ValueMissing("set"))?;
            let words: Vec<String> = plain.by_ref().collect();
            if words.is_empty() {
                return Err(UsageError::ValueMissing("set CHANNEL"));
            }
            Command::Set(Box::new(set::change(&channel, &words)?))
        }
        "flush" => Command::Flush(plain.next().ok_or(UsageError::ValueMissing("flush"))?),
        "reset" => Command::Reset(plain.next().ok_or(UsageError::ValueMissing("reset"))?),
        "parameter-sets" => {
            let channel = plain.next();
            Command::ParameterSets(channel.ok_or(UsageError::ValueMissing("parameter-sets"))?)
        }
        "fits" => {
            let channels: Result<Vec<_>, _> =
                plain.by_ref().map(|word| fits::channel(&word)).collect();
            let channels = channels?;
            if channels.is_empty() {
                return Err(UsageError::ValueMissing("fits"));
            }
            let alone = special.take("--alone").is_some();
            Command::Fits { channels, alone }
        }
        "explain" => Command::Explain {
            channel: plain.next().ok_or(UsageError::ValueMissing("explain"))?,
            number: {
                let word = plain
                    .next()
                    .ok_or(UsageError::ValueMissing("explain CHANNEL"))?;
                let number = word.parse();
                number.map_err(|_| UsageError::Number("the number of a packet or frame", word))?
            },
            by_frame: special.take("--frame").is_some(),
        },
        "trace" => Command::Trace {
            seconds: match special.take("--seconds") {
                None => TRACE_SECONDS,
                Some(word) => {
                    let seconds = word.parse().ok();
                    let seconds = seconds.filter(|s| (1..=TRACE_SECONDS_MAX).contains(s));
                    seconds.ok_or(UsageError::Number("1 to 3600 seconds", word))?
                }
            },
            out: special.take("--out"),
        },
        "revoke" => reclaim::revoke(&mut plain)?,
        "quarantine" => reclaim::quarantine(&mut plain)?,
        "-h" => Command::Help,
        "-V" => Command::Version,
        _ => return Err(UsageError::Command(name)),
    };
    if let Some((option, _)) = special.0.first() {
        return Err(UsageError::Useless(option, name));
    }
    match plain.next() {
        Some(word) => Err(UsageError::TooMany(word)),
        None => Ok(Options {
            command,
            json,
            socket,
        }),
    }
}

/// Options that some command has a use for, until it takes them.
#[derive(Debug, Default)]
struct Special(Vec<(&'static str, String)>);

impl Special {
    fn give(&mut self, option: &'static str, value: String) {
        self.0.retain(|(given, _)| *given != option);
        self.0.push((option, value));
    }

    fn take(&mut self, option: &str) -> Option<String> {
        let at = self.0.iter().position(|(given, _)| *given == option)?;
        Some(self.0.remove(at).1)
    }
}

/// The option that has a value which `word` is, with its value: behind `=` or in the next word.
fn valued(
    word: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<Option<(&'static str, String)>, UsageError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let Some(option) = VALUED.into_iter().find(|option| *option == name) else {
        return Ok(None);
    };
    let value = value.or_else(|| words.next());
    let value = value.ok_or(UsageError::ValueMissing(option))?;
    Ok(Some((option, value)))
}

/// Options with a value.
const VALUED: [&str; 3] = ["--socket", "--seconds", "--out"];
/// How long a trace is.
const TRACE_SECONDS: u32 = 5;
const TRACE_SECONDS_MAX: u32 = 3600;

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
        let Command::Fits {
            channels,
            alone: true,
        } = options.command
        else {
            panic!("expected fits, found {:?}", options.command);
        };
        assert_eq!(channels.len(), 2);
        assert!(words("fits").is_err() && words("fits big").is_err());
    }

    #[test]
    fn a_frame_is_explained_by_its_packet_or_its_own_number() {
        let explain = |number, by_frame| {
            Ok(Command::Explain {
                channel: "main".to_owned(),
                number,
                by_frame,
            })
        };
        let command = |text| words(text).map(|options| options.command);
        assert_eq!(command("explain main 812"), explain(812, false));
        assert_eq!(command("explain --frame main 7"), explain(7, true));
        for text in [
            "explain",
            "explain main",
            "explain main x",
            "explain main -1",
        ] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_trace_has_a_length_and_a_file() {
        let command = |text| words(text).map(|options| options.command);
        let trace = |seconds, out: Option<&str>| {
            Ok(Command::Trace {
                seconds,
                out: out.map(str::to_owned),
            })
        };
        assert_eq!(command("trace"), trace(5, None));
        assert_eq!(
            command("trace --seconds=1 --out t.json"),
            trace(1, Some("t.json"))
        );
        for text in ["trace --seconds 0", "trace --seconds 3601", "trace --out"] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_option_of_another_command_is_refused() {
        for text in ["status --alone", "trace --frame", "idr --out x"] {
            assert!(
                matches!(words(text), Err(UsageError::Useless(..))),
                "{text}"
            );
        }
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
            "set",
            "set main",
            "set main bitrate",
            "flush",
            "reset a b",
            "parameter-sets",
        ] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
