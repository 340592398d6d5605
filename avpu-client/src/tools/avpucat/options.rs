//! The command line: options, then one or two addresses.

use super::address::{self, Address};
use super::grammar::AddressError;
use super::nearest::nearest;
use super::units::{self, ValueError};
use std::fmt;
use std::time::Duration;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `-h`
    Help,
    /// `-V`
    Version,
    /// Anything else.
    Run(Box<Options>),
}

/// Options and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which way bytes may go.
    pub(crate) direction: Direction,
    /// Longest time without any byte or event.
    pub(crate) inactivity: Option<Duration>,
    /// Show the protocol.
    pub(crate) verbose: Verbose,
    /// The daemon's socket where an address does not name one.
    pub(crate) socket: Option<String>,
    /// The first address.
    pub(crate) left: Address,
    /// The second one; standard input and output without it.
    pub(crate) right: Option<Address>,
}

/// Which way bytes may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// As the addresses can.
    Both,
    /// `-u`: from the first address to the second.
    LeftToRight,
    /// `-U`: from the second address to the first.
    RightToLeft,
}

/// How much of the protocol is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbose {
    /// Nothing.
    Off,
    /// `-v`: messages.
    Messages,
    /// `-x`: messages and their bytes.
    Hex,
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsageError {
    /// An option that there is not.
    Option {
        /// What was found.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// An option without its value.
    ValueMissing(&'static str),
    /// A value that is not understood.
    Value(&'static str, ValueError),
    /// Two options that exclude each other.
    Exclusive(&'static str),
    /// No address.
    AddressMissing,
    /// A third address.
    AddressTooMany(String),
    /// An address that is not understood.
    Address(AddressError),
    /// Addresses that cannot be joined, said in a sentence.
    Pair(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option {
                found,
                nearest: None,
            } => write!(f, "unknown option {found}"),
            Self::Option {
                found,
                nearest: Some(word),
            } => {
                write!(f, "unknown option {found}: did you mean {word}?")
            }
            Self::ValueMissing(option) => write!(f, "expected a value after {option}, found none"),
            Self::Value(option, error) => write!(f, "{option}: {error}"),
            Self::Exclusive(sentence) => f.write_str(sentence),
            Self::AddressMissing => f.write_str("expected one or two addresses, found none"),
            Self::AddressTooMany(found) => {
                write!(f, "expected one or two addresses, found a third: {found}")
            }
            Self::Address(error) => write!(f, "{error}"),
            Self::Pair(sentence) => f.write_str(sentence),
        }
    }
}

const OPTIONS: &[&str] = &[
    "-u",
    "-U",
    "-T",
    "-v",
    "-x",
    "-V",
    "-h",
    "--socket",
    "--help",
    "--version",
];

/// Parses the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let mut words = words.into_iter();
    let (mut direction, mut verbose) = (Direction::Both, Verbose::Off);
    let (mut inactivity, mut socket) = (None, None);
    let mut addresses = Vec::new();
    let mut options_over = false;
    while let Some(word) = words.next() {
        let is_address = options_over || !word.starts_with('-') || word == "-";
        if is_address || word.starts_with("-,") || word.starts_with("-!!") {
            if addresses.len() == 2 {
                return Err(UsageError::AddressTooMany(word));
            }
            addresses.push(address::parse(&word).map_err(UsageError::Address)?);
            continue;
        }
        match word.as_str() {
            "--" => options_over = true,
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            "-v" => verbose = verbose.max(Verbose::Messages),
            "-x" => verbose = Verbose::Hex,
            "-u" | "-U" => {
                if direction != Direction::Both {
                    return Err(UsageError::Exclusive("-u and -U exclude each other"));
                }
                direction = match word.as_str() {
                    "-u" => Direction::LeftToRight,
                    _ => Direction::RightToLeft,
                };
            }
            "-T" => {
                let value = words.next().ok_or(UsageError::ValueMissing("-T"))?;
                let seconds = units::seconds(&value);
                inactivity = Some(seconds.map_err(|error| UsageError::Value("-T", error))?);
            }
            "--socket" => {
                socket = Some(words.next().ok_or(UsageError::ValueMissing("--socket"))?);
            }
            other => match other.strip_prefix("--socket=") {
                Some(path) => socket = Some(path.to_owned()),
                None => {
                    return Err(UsageError::Option {
                        nearest: nearest(other, OPTIONS).filter(|_| other.starts_with("--")),
                        found: word,
                    });
                }
            },
        }
    }
    let mut addresses = addresses.into_iter();
    Ok(Command::Run(Box::new(Options {
        direction,
        inactivity,
        verbose,
        socket,
        left: addresses.next().ok_or(UsageError::AddressMissing)?,
        right: addresses.next(),
    })))
}

/// What `-h` prints.
pub(crate) const HELP: &str = "\
Usage: avpucat [options] ADDRESS [ADDRESS]

Moves pictures and bitstreams between files, pipes, sockets and the avpud daemon, in the manner of socat.
A second address that is left out is standard input and output.

Addresses (READ!!WRITE joins two; a backslash takes the next character as it is):
  - or STDIO             standard input and output: Y4M, or raw NV12 with size=WxH[,fps=25][,pace]
  FILE:path              a file: Y4M, or raw NV12 with size=WxH[,fps=25]; keys loop, pace
  Y4M:path               Y4M pictures; keys loop, pace
  NV12:path,size=WxH     raw NV12 pictures; keys fps=25, loop, pace
  TEST:size=WxH          a moving pattern with frame counter and clock; keys fps=25, frames=N, pace
  H264:path              a bitstream
  UNIX-CONNECT:path      a socket somebody listens on; keys size, fps for raw NV12
  UNIX-LISTEN:path       a socket of our own, for one peer; keys size, fps for raw NV12
  AVPU:[socket]          the encoder: pictures in, bitstream out; keys name=, bitrate=2M, qp=30,
                         gop=50 or 2s, rc=cbr|fixqp|vbr|capped-vbr|capped-quality, max=3M, psnr=38.5,
                         qpmin=, qpmax=, profile=high|main|baseline,
                         class=live|record|snapshot|besteffort, weight=, deadline=MS,
                         overload=reject|oldest|newest|latest|wait, preroll=BYTES,
                         fpsout=10, ipdelta=3, picturemax=BYTES, ring=BYTES, delimiters, fullrange, filler
  AVPU-SUB:[socket]      the bitstream of a channel: channel=NAME or ID, join=last|next|demand
  AVPU-RAW:[socket]      the daemon's protocol, for JSON:- or UNIX-LISTEN:
  JSON:-                 requests as lines of JSON on standard input, replies and events on standard output

Options:
  -u, -U                 only from the first address to the second; only from the second to the first
  -T SECONDS             give up after so long without any byte or event
  -v, -x                 show the protocol both ways as lines of JSON on standard error; with hex
  --socket PATH          the daemon's socket where an address names none; otherwise $AVPUD_SOCKET,
                         /run/avpud/avpud.sock as root, $XDG_RUNTIME_DIR/avpud.sock
  -V, -h                 version; this text

bit/s: k and M are 1000 and 1000000. With a bitrate the default is rc=cbr, otherwise rc=fixqp,qp=30; a GOP
has 2 s; the class is besteffort. The first Ctrl-C ends the input and waits for the rest, the second aborts.
Two sockets, UNIX-LISTEN: against UNIX-CONNECT: or AVPU-RAW:, make a proxy that shows the protocol as -v does
and passes descriptors on.

Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon or disconnected, 4 refused.

  ffmpeg -i any.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - | avpucat - AVPU:,bitrate=2M > out.h264
  avpucat 'Y4M:clip.y4m!!H264:out.h264' AVPU:,bitrate=2M
  avpucat AVPU-SUB:,channel=main - | ffplay -
";

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command, UsageError> {
        parse(
            text.split(' ')
                .filter(|word| !word.is_empty())
                .map(str::to_owned),
        )
    }

    fn options(text: &str) -> Options {
        match words(text) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn options_stand_anywhere_before_or_between_the_addresses() {
        let found = options("-u -T 2.5 - --socket /s -x AVPU:");
        assert_eq!(found.direction, Direction::LeftToRight);
        assert_eq!(found.inactivity, Some(Duration::from_millis(2500)));
        assert_eq!(found.verbose, Verbose::Hex);
        assert_eq!(found.socket.as_deref(), Some("/s"));
        assert!(found.right.is_some());
        assert_eq!(options("-x -v -").verbose, Verbose::Hex);
        assert_eq!(options("--socket=/s -").socket.as_deref(), Some("/s"));
    }

    #[test]
    fn a_dash_with_keys_or_a_second_half_is_an_address() {
        assert!(options("-,size=4x4 AVPU:").right.is_some());
        assert!(options("-!!H264:o AVPU:").right.is_some());
    }

    #[test]
    fn help_and_version_win() {
        assert_eq!(words("-h"), Ok(Command::Help));
        assert_eq!(words("- AVPU: --help"), Ok(Command::Help));
        assert_eq!(words("-V"), Ok(Command::Version));
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for text in [
            "",
            "-q -",
            "-T",
            "-T 0 -",
            "-u -U -",
            "- - -",
            "--sock /x -",
            "AVPUU:",
        ] {
            assert!(words(text).is_err(), "{text}");
        }
        let error = words("--sockt /x -").unwrap_err().to_string();
        assert_eq!(error, "unknown option --sockt: did you mean --socket?");
    }

    #[test]
    fn the_help_text_names_every_option_and_fits_a_terminal() {
        for option in OPTIONS
            .iter()
            .filter(|option| !["--help", "--version"].contains(option))
        {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(HELP.lines().all(|line| line.chars().count() <= 112));
    }
}
