//! What two addresses mean together. Direction follows from what each end can do; `-u` and `-U` narrow it.

use super::address::{Address, ChannelKeys, Endpoint, Format, Pattern, WatchKeys};
use super::options::{Direction, Options, UsageError};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Frames go to an encode channel; its bitstream goes on, or is left to other readers.
    Encode {
        /// The daemon's socket, if the address names one.
        socket: Option<String>,
        /// The channel.
        keys: ChannelKeys,
        /// Where frames come from.
        frames: Frames,
        /// Where the bitstream goes.
        stream: Option<Sink>,
    },
    /// A channel's bitstream goes somewhere.
    Watch {
        /// The daemon's socket, if the address names one.
        socket: Option<String>,
        /// The channel.
        keys: WatchKeys,
        /// Where the bitstream goes.
        stream: Sink,
    },
    /// Lines of JSON to and from the daemon.
    Json {
        /// The daemon's socket, if the address names one.
        socket: Option<String>,
    },
    /// Shows what a client and a daemon say to each other.
    Proxy {
        /// Where the client connects.
        listen: String,
        /// Where the daemon listens.
        connect: Upstream,
    },
    /// Bytes as they are.
    Relay {
        /// From the first address to the second.
        right: Option<(Input, Sink)>,
        /// From the second address to the first.
        left: Option<(Input, Sink)>,
    },
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    /// The test pattern.
    Test(Pattern),
    /// Bytes to be parsed.
    Bytes(Input, Format),
}

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Standard input.
    Stdio,
    /// A file.
    File(String),
    /// A socket.
    Socket(Socket),
}

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Standard output.
    Stdio,
    /// A file, made or emptied.
    File(String),
    /// A socket; the one that the input comes from, when it is the same address.
    Socket(Socket),
}

/// A stream socket by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// Somebody listens there.
    Connect(String),
    /// We listen there, for one peer.
    Listen(String),
}

/// Where a proxy connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// A path.
    Path(String),
    /// The daemon's socket by the usual rule.
    Daemon(Option<String>),
}

impl Plan {
    /// Joins the addresses of a command line.
    pub(crate) fn new(options: &Options) -> Result<Self, UsageError> {
        let stdio = Address::One(Endpoint::Stdio(Format::default()));
        let left = options.left.clone();
        let right = options.right.clone().unwrap_or(stdio);
        if is_daemon(&right) {
            return with_daemon(right, left, options.direction, Side::Right);
        }
        if is_daemon(&left) {
            return with_daemon(left, right, options.direction, Side::Left);
        }
        bytes_only(left, right, options.direction)
    }
}

/// On which side of the other address the daemon stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn is_daemon(address: &Address) -> bool {
    matches!(
        address,
        Address::One(Endpoint::Avpu(..) | Endpoint::AvpuSub(..) | Endpoint::AvpuRaw(_))
    )
}

fn with_daemon(
    daemon: Address,
    other: Address,
    direction: Direction,
    side: Side,
) -> Result<Plan, UsageError> {
    let (towards, away) = match (direction, side) {
        (Direction::Both, _) => (true, true),
        (Direction::LeftToRight, Side::Right) | (Direction::RightToLeft, Side::Left) => {
            (true, false)
        }
        _ => (false, true),
    };
    match (daemon, other) {
        (Address::One(Endpoint::Avpu(socket, keys)), other) => {
            if !towards {
                return pair(
                    "AVPU: needs frames, and -u or -U keeps them away from it; \
                    to read a channel of another client use AVPU-SUB:",
                );
            }
            let (frames, stream) = encode_ends(other)?;
            let stream = stream.filter(|_| away);
            Ok(Plan::Encode {
                socket,
                keys,
                frames,
                stream,
            })
        }
        (Address::One(Endpoint::AvpuSub(socket, keys)), Address::One(other)) => {
            if !away {
                return pair("AVPU-SUB: only gives, and -u or -U lets nothing out of it");
            }
            let stream = sink(other)?;
            Ok(Plan::Watch {
                socket,
                keys,
                stream,
            })
        }
        (Address::One(Endpoint::AvpuRaw(socket)), Address::One(Endpoint::Json)) => {
            both_ways(direction, Plan::Json { socket })
        }
        (
            Address::One(Endpoint::AvpuRaw(socket)),
            Address::One(Endpoint::UnixListen(listen, format)),
        ) => {
            no_pictures(&[format])?;
            let connect = Upstream::Daemon(socket);
            both_ways(direction, Plan::Proxy { listen, connect })
        }
        (Address::One(Endpoint::AvpuRaw(_)), _) => {
            pair("AVPU-RAW: goes with JSON:- or UNIX-LISTEN:path")
        }
        (_, _) => pair("AVPU-SUB: only gives: expected one address to write to, found READ!!WRITE"),
    }
}

/// A protocol goes through, and not pictures.
fn no_pictures(formats: &[Format]) -> Result<(), UsageError> {
    if formats.iter().all(|format| *format == Format::default()) {
        return Ok(());
    }
    pair("the protocol goes through a proxy: size and fps belong to an address that gives pictures")
}

fn both_ways(direction: Direction, plan: Plan) -> Result<Plan, UsageError> {
    match direction {
        Direction::Both => Ok(plan),
        _ => pair("a protocol needs both directions: leave -u and -U out"),
    }
}

/// Frames and, where the address has a way for it, the bitstream.
fn encode_ends(other: Address) -> Result<(Frames, Option<Sink>), UsageError> {
    match other {
        Address::Dual(read, write) => Ok((frames(read)?, Some(sink(write)?))),
        Address::One(endpoint) => {
            let stream = match &endpoint {
                Endpoint::Stdio(_) => Some(Sink::Stdio),
                Endpoint::UnixConnect(path, _) => Some(Sink::Socket(Socket::Connect(path.clone()))),
                Endpoint::UnixListen(path, _) => Some(Sink::Socket(Socket::Listen(path.clone()))),
                // A file is read here; the bitstream is left to those who subscribe.
                _ => None,
            };
            Ok((frames(endpoint)?, stream))
        }
    }
}

fn frames(endpoint: Endpoint) -> Result<Frames, UsageError> {
    match endpoint {
        Endpoint::Test(pattern) => Ok(Frames::Test(pattern)),
        Endpoint::Stdio(format) => Ok(Frames::Bytes(Input::Stdio, format)),
        Endpoint::File(path, format) => Ok(Frames::Bytes(Input::File(path), format)),
        Endpoint::UnixConnect(path, format) => {
            Ok(Frames::Bytes(Input::Socket(Socket::Connect(path)), format))
        }
        Endpoint::UnixListen(path, format) => {
            Ok(Frames::Bytes(Input::Socket(Socket::Listen(path)), format))
        }
        Endpoint::H264(_) => pair(
            "AVPU: takes pictures: H264: is a bitstream already; \
            'Y4M:clip.y4m!!H264:out.h264' reads one and writes the other",
        ),
        Endpoint::Avpu(..) | Endpoint::AvpuSub(..) | Endpoint::AvpuRaw(_) | Endpoint::Json => pair(
            "expected an address that gives pictures: -, FILE:, Y4M:, NV12:, TEST: or a socket",
        ),
    }
}

fn sink(endpoint: Endpoint) -> Result<Sink, UsageError> {
    let plain = |format: Format| {
        if format == Format::default() {
            Ok(())
        } else {
            pair(
                "a bitstream goes out there: size, fps, loop and pace belong to an address that is read",
            )
        }
    };
    match endpoint {
        Endpoint::Stdio(format) => plain(format).map(|()| Sink::Stdio),
        Endpoint::File(path, format) => plain(format).map(|()| Sink::File(path)),
        Endpoint::H264(path) => Ok(Sink::File(path)),
        Endpoint::UnixConnect(path, format) => {
            plain(format).map(|()| Sink::Socket(Socket::Connect(path)))
        }
        Endpoint::UnixListen(path, format) => {
            plain(format).map(|()| Sink::Socket(Socket::Listen(path)))
        }
        _ => pair("expected an address that takes a bitstream: -, FILE:, H264: or a socket"),
    }
}

fn bytes_only(left: Address, right: Address, direction: Direction) -> Result<Plan, UsageError> {
    let (left, right) = match (left, right) {
        (
            Address::One(Endpoint::UnixListen(listen, from)),
            Address::One(Endpoint::UnixConnect(connect, to)),
        )
        | (
            Address::One(Endpoint::UnixConnect(connect, to)),
            Address::One(Endpoint::UnixListen(listen, from)),
        ) => {
            no_pictures(&[from, to])?;
            let connect = Upstream::Path(connect);
            return both_ways(direction, Plan::Proxy { listen, connect });
        }
        other => other,
    };
    let (left_in, left_out) = ends(left)?;
    let (right_in, right_out) = ends(right)?;
    let joined = |input: Option<Input>, output: Option<Sink>, wanted| match (input, output) {
        (Some(input), Some(output)) if wanted => Some((input, output)),
        _ => None,
    };
    // A file against a file can only mean a copy to the right.
    let file_pair = matches!(
        (&left_in, &right_in),
        (Some(Input::File(_)), Some(Input::File(_)))
    );
    let towards_right = joined(left_in, right_out, direction != Direction::RightToLeft);
    let leftwards = match direction {
        Direction::Both => !file_pair,
        Direction::LeftToRight => false,
        Direction::RightToLeft => true,
    };
    let towards_left = joined(right_in, left_out, leftwards);
    if towards_right.is_none() && towards_left.is_none() {
        return pair("nothing can go between these addresses");
    }
    if touches_file_both_ways(&towards_right, &towards_left) {
        return pair("a file is read or written, not both: say which with -u, -U or READ!!WRITE");
    }
    Ok(Plan::Relay {
        right: towards_right,
        left: towards_left,
    })
}

fn touches_file_both_ways(right: &Option<(Input, Sink)>, left: &Option<(Input, Sink)>) -> bool {
    let same = |input: &Input, sink: &Sink| matches!((input, sink), (Input::File(read), Sink::File(write)) if read == write);
    match (right, left) {
        (Some((right_in, right_out)), Some((left_in, left_out))) => {
            same(right_in, left_out) || same(left_in, right_out)
        }
        _ => false,
    }
}

/// What can be read and written at an address, as bytes.
fn ends(address: Address) -> Result<(Option<Input>, Option<Sink>), UsageError> {
    let (read, write) = match address {
        Address::One(endpoint) => (Some(endpoint.clone()), Some(endpoint)),
        Address::Dual(read, write) => (Some(read), Some(write)),
    };
    let input = read.map(input).transpose()?;
    let output = write.map(sink).transpose()?;
    Ok((input, output))
}

fn input(endpoint: Endpoint) -> Result<Input, UsageError> {
    match endpoint {
        Endpoint::Stdio(format) | Endpoint::File(_, format) if format != Format::default() => {
            pair("pictures go to AVPU: only; without it bytes are passed on as they are")
        }
        Endpoint::Stdio(_) => Ok(Input::Stdio),
        Endpoint::File(path, _) | Endpoint::H264(path) => Ok(Input::File(path)),
        Endpoint::UnixConnect(path, _) => Ok(Input::Socket(Socket::Connect(path))),
        Endpoint::UnixListen(path, _) => Ok(Input::Socket(Socket::Listen(path))),
        Endpoint::Test(_) => pair("pictures go to AVPU: only: TEST: has no other use"),
        Endpoint::Json => pair("JSON:- goes with AVPU-RAW:"),
        Endpoint::Avpu(..) | Endpoint::AvpuSub(..) | Endpoint::AvpuRaw(_) => {
            pair("the daemon's addresses stand alone, not in READ!!WRITE")
        }
    }
}

fn pair<T>(sentence: &str) -> Result<T, UsageError> {
    Err(UsageError::Pair(sentence.to_owned()))
}

#[cfg(test)]
mod tests;
