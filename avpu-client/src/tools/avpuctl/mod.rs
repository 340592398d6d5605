//! avpuctl: what the avpud daemon does, for its operator.

mod explain;
mod fits;
mod idr;
mod json;
mod options;
mod reclaim;
mod set;
mod show;
mod table;
mod trace;

use self::options::{Command, HELP, Options};
use self::trace::Collected;
use crate::{Client, ClientError, exit, naming, socket_path};
use avpu_proto::report::{LeaseReport, MemoryTotals};
use avpu_proto::request::{Page, Reconfigure};
use avpu_proto::types::ChannelId;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
            let asked = idr::ask(&client, channel.as_deref())?;
            for refusal in asked.iter().filter_map(idr::Asked::refusal) {
                complain(&refusal);
                code = ExitCode::from(exit::REFUSED);
            }
            (idr::value(&asked), idr::lines(&asked))
        }
        Command::Explain {
            channel,
            number,
            by_frame,
        } => {
            let record = client.explain(channel, *number, *by_frame)?;
            let channels = client.channels().collect::<Result<Vec<_>, _>>()?;
            (value(&record)?, explain::text(&record, &channels))
        }
        Command::Trace { seconds, out } => {
            let frames = collect(&client, *seconds)?;
            return Ok((written(&frames, out.as_deref(), options.json)?, code));
        }
        Command::Set(change) => {
            let channels = if change.needs_report() {
                client.channels().collect::<Result<Vec<_>, _>>()?
            } else {
                Vec::new()
            };
            let request = match change.request(naming::find(&channels, change.channel())) {
                Ok(request) => request,
                Err(error) => {
                    complain(&error.to_string());
                    return Ok((String::new(), ExitCode::from(exit::REFUSED)));
                }
            };
            let changed = naming::ask(change.channel(), |channel, name| {
                client.reconfigure(Reconfigure {
                    channel,
                    name,
                    ..request.clone()
                })
            })?;
            let mut told = value(&changed)?;
            told["asked"] = change.asked().into();
            (told, set::show(change.asked(), &changed))
        }
        Command::Flush(channel) => {
            client.flush(id_of(&client, channel)?)?;
            (
                json!({ "channel": channel }),
                format!("flushed {channel}\n"),
            )
        }
        Command::Reset(channel) => {
            client.reset(id_of(&client, channel)?)?;
            (json!({ "channel": channel }), format!("reset {channel}\n"))
        }
        Command::ParameterSets(channel) => {
            let sets = naming::ask(channel, |channel, name| {
                client.parameter_sets(channel, &name)
            })?;
            let (annex_b, avcc) = (digits(&sets.annex_b.0), digits(&sets.avcc.0));
            let text = format!("annex-b {annex_b}\navcc {avcc}\n");
            (json!({ "annex_b": annex_b, "avcc": avcc }), text)
        }
        Command::Fits { channels, alone } => {
            let fit = client.fits(channels, *alone)?;
            if !fit.fits {
                code = ExitCode::from(exit::REFUSED);
            }
            (value(&fit)?, fits::show(channels, &fit))
        }
        Command::Revoke(lease, grace) => {
            let text = reclaim::take(&client, *lease, *grace)?;
            (json!({ "lease": value(lease)? }), text)
        }
        Command::Quarantine => {
            let (held, text) = reclaim::show(&memory(&client)?.1);
            (value(&held)?, text)
        }
        Command::ReleaseQuarantine(address) => {
            client.release_quarantine(*address)?;
            let text = format!(
                "the memory at {:#010x} may be used again\n",
                address.value()
            );
            (json!({ "address": value(address)? }), text)
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

/// The id of a channel, for requests that take nothing else.
fn id_of(client: &Client, channel: &str) -> Result<ChannelId, ClientError> {
    let channels = client.channels().collect::<Result<Vec<_>, _>>()?;
    // 0 is never the id of a channel: the daemon says so in its own words.
    Ok(naming::find(&channels, channel).map_or(ChannelId::default(), |report| report.channel))
}

/// Two hexadecimal digits a byte.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

/// Follows all frames for some seconds, and those that were under way then until they ended.
fn collect(client: &Client, seconds: u32) -> Result<Collected, ClientError> {
    let mut newest = 0;
    for record in client.trace(0) {
        newest = record?.number;
    }
    let mut frames = Collected::starting_at(newest.wrapping_add(1).max(1));
    let end = Instant::now() + Duration::from_secs(u64::from(seconds));
    while Instant::now() < end {
        // The daemon remembers seconds of frames: a few looks a second miss none. Nothing was asked to be told, so
        // what comes before the time is over is the daemon's end.
        let left = end.saturating_duration_since(Instant::now());
        match client.next_event(Some(left.min(TRACE_PERIOD))) {
            Ok(_) | Err(ClientError::Timeout) => {}
            Err(error) => return Err(error),
        }
        for record in client.trace(frames.cursor()) {
            frames.take(record?);
        }
    }
    Ok(frames)
}

/// Writes a trace; answers what to print beside it.
fn written(frames: &Collected, out: Option<&str>, json: bool) -> Result<String, ClientError> {
    let text = format!("{}\n", frames.json());
    let Some(path) = out else {
        return Ok(text);
    };
    std::fs::write(path, text).map_err(|error| {
        let kind = error.kind();
        ClientError::Io(std::io::Error::new(
            kind,
            format!("{path} cannot be written: {error}"),
        ))
    })?;
    if json {
        let told = json!({ "frames": frames.len(), "missed": frames.missed, "out": path });
        return Ok(format!("{told:#}\n"));
    }
    let missed = match frames.missed {
        0 => String::new(),
        missed => format!("; {missed} were forgotten before they were asked for"),
    };
    Ok(format!("wrote {} frames to {path}{missed}\n", frames.len()))
}

/// Time between two looks at the daemon's records.
const TRACE_PERIOD: Duration = Duration::from_millis(200);
