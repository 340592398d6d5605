//! avpucat: pictures and bitstreams between files, pipes, sockets and the avpud daemon, in socat's manner.
//!
//! The command line becomes a `plan::Plan` without touching anything; then one file does each kind of plan.

mod address;
mod encode;
mod endpoint;
mod failure;
mod frames;
mod grammar;
mod json;
mod lines;
mod link;
mod nearest;
mod options;
mod plan;
mod progress;
mod proxy;
mod relay;
mod sniff;
pub(super) mod units;
mod wait;
mod watch;

use self::failure::Failure;
use self::options::{Command, HELP, Options};
use self::plan::Plan;
use self::wait::Patience;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs the program with its arguments, without its name.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned());
    match run(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody reads standard error the exit code is all there is to say.
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "avpucat: {failure}");
            if matches!(failure, Failure::Usage(_)) {
                let _ = writeln!(stderr, "avpucat: -h lists addresses and options");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(words: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    match options::parse(words)? {
        Command::Help => print(HELP),
        Command::Version => print(concat!("avpucat ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Run(options) => execute(&options),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failure::io("write standard output", &error))
}

fn execute(options: &Options) -> Result<(), Failure> {
    let plan = Plan::new(options)?;
    let patience = &mut Patience::new(options.inactivity)?;
    match plan {
        Plan::Encode {
            socket,
            keys,
            frames,
            stream,
        } => encode::run(
            options,
            socket.as_deref(),
            &keys,
            &frames,
            stream.as_ref(),
            patience,
        ),
        Plan::Watch {
            socket,
            keys,
            stream,
        } => watch::run(options, socket.as_deref(), &keys, &stream, patience),
        Plan::Json { socket } => json::run(options, socket.as_deref(), patience),
        Plan::Proxy { listen, connect } => proxy::run(options, &listen, &connect, patience),
        Plan::Relay { right, left } => relay::run(right, left, patience),
    }
}
