//! avpuctl: what the avpud daemon does, for its operator.

mod fits;
mod json;
mod options;
mod show;
mod table;

use self::options::{Command, HELP, Options};
use crate::{Client, ClientError, exit, socket_path};
use avpu_proto::report::{LeaseReport, MemoryTotals};
use avpu_proto::request::Page;
use avpu_proto::types::{ChannelId, Join};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

/// Runs the program with its arguments, without its name.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned());
    let options = match options::parse(words) {
        Ok(options) => options,
        Err(error) => {
            complain(&format!("{error}\navpuctl: -h lists commands and options"));
            return ExitCode::from(exit::USAGE);
        }
    };
    let done = |text: &str| Ok((text.to_owned(), ExitCode::SUCCESS));
    let text = match options.command {
        Command::Help => done(HELP),
        Command::Version => done(concat!("avpuctl ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => run(&options),
    };
    match text {
        Ok((text, code)) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => code,
            Err(error) => {
                complain(&format!("cannot write standard output: {error}"));
                ExitCode::from(exit::FAILED)
            }
        },
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn complain(sentence: &str) {
    // Where nobody reads standard error the exit code is all there is to say.
    let _ = writeln!(std::io::stderr(), "avpuctl: {sentence}");
}

/// Asks the daemon; answers what to print and how to end.
fn run(options: &Options) -> Result<(String, ExitCode), ClientError> {
    let mut code = ExitCode::SUCCESS;
    let client = Client::connect(socket_path(options.socket.as_deref().map(OsStr::new))?)?;
    let (value, text) = match &options.command {
        Command::Channels => {
            let channels = client.channels().collect::<Result<Vec<_>, _>>()?;
            (value(&channels)?, show::channels(&channels))
        }
        Command::Clients => {
            let clients = client.clients().collect::<Result<Vec<_>, _>>()?;
            (value(&clients)?, show::clients(&clients))
        }
        Command::Memory => {
            let (totals, leases) = memory(&client)?;
            let value = json!({ "totals": value(totals)?, "leases": value(&leases)? });
            (value, show::memory(&totals, &leases))
        }
        Command::Idr(channel) => {
            let asked = idr(&client, channel.as_deref())?;
            let lines = asked
                .iter()
                .map(|name| format!("asked {name} for an IDR\n"));
            (json!({ "channels": asked }), lines.collect())
        }
        Command::Fits(channels) => {
            let fit = client.fits(channels, options.alone)?;
            if !fit.fits {
                code = ExitCode::from(exit::REFUSED);
            }
            (value(&fit)?, fits::show(channels, &fit))
        }
        Command::Status | Command::Help | Command::Version => {
            let status = client.status()?;
            (value(&status)?, show::status(&status))
        }
    };
    let text = if options.json {
        format!("{value:#}\n")
    } else {
        text
    };
    Ok((text, code))
}

fn value(report: impl serde::Serialize) -> Result<Value, ClientError> {
    json::value(report).map_err(|error| ClientError::Io(error.into()))
}

/// Every page, with the sums of the last.
fn memory(client: &Client) -> Result<(MemoryTotals, Vec<LeaseReport>), ClientError> {
    let (mut cursor, mut leases) = (0, Vec::new());
    loop {
        let page = client.memory(Page { cursor })?;
        leases.extend(page.leases.entries.into_iter().map(|record| record.0));
        match page.leases.next {
            // A cursor that does not grow would make an endless list.
            Some(next) if next > cursor => cursor = next,
            _ => return Ok((page.totals, leases)),
        }
    }
}

/// Asks one channel or all for an IDR; answers their names. Only a reader may ask, so it becomes one.
fn idr(client: &Client, channel: Option<&str>) -> Result<Vec<String>, ClientError> {
    let readers = match channel {
        Some(channel) => vec![match channel.parse() {
            Ok(id) => client.subscribe_id(ChannelId::new(id), Join::NextIdr)?,
            Err(_) => client.subscribe(channel, Join::NextIdr)?,
        }],
        None => {
            let channels = client.channels().collect::<Result<Vec<_>, _>>()?;
            let readers = channels
                .iter()
                .map(|channel| client.subscribe_id(channel.channel, Join::NextIdr));
            readers.collect::<Result<Vec<_>, _>>()?
        }
    };
    let mut asked = Vec::new();
    for reader in readers {
        reader.request_idr()?;
        asked.push(reader.subscribed()?.name);
    }
    Ok(asked)
}
