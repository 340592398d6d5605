//! Lives through seeded worlds of clients, core, driver and model, as many as wanted; shows a failing one short.
//!
//! `avpu-world --seeds N [--start S] [--ops N]` runs the worlds of N seeds and prints worlds a second, and how often
//! what happened in them; with `--everything` a run in which something never happened fails. A world that fails ends
//! the run: it is lived through again, which must give the same sum of everything that the daemon did, then its script
//! is cut down to what it needs to fail, and printed with the command that runs just that (`--only 3,17-20`). Worlds
//! run in a process of their own, so a failure may be of any kind.
//!
//! `avpu-world --corpus FOLDER [--seeds N] [--start S] [--ops N]` writes inputs for the fuzz target of sessions.
//!
//! `avpu-world --table` prints how long frames of eight channels wait under the daemon's arbiter, and under two simpler
//! disciplines.

mod corpus;
mod hunt;
mod table;

use avpu_tests::world::{Script, latest_hash, live};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str =
    "usage: avpu-world [--seeds N] [--start S] [--ops N] [--seconds N] [--everything] [--only 3,17-20]
       avpu-world --corpus FOLDER [--seeds N] [--start S] [--ops N]
       avpu-world --table";

/// What the command line says.
#[derive(Clone, Debug)]
struct Options {
    start: u64,
    seeds: u64,
    /// Operations of a script, about.
    ops: usize,
    /// No world begins later than this.
    seconds: u64,
    only: Option<Vec<usize>>,
    /// A run in which something never happened fails.
    wants_everything: bool,
    /// Inputs for fuzzing are to be written here.
    corpus: Option<PathBuf>,
    /// This process lives through worlds and reports each on a line.
    reports: bool,
    /// Not worlds are wanted, but the table.
    prints_table: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.prints_table {
        table::print();
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = &options.corpus {
        return corpus::write(&options, folder);
    }
    if options.reports {
        live_and_report(&options);
        return ExitCode::SUCCESS;
    }
    hunt::run(&options)
}

/// Lives through worlds, a line of standard output for each.
fn live_and_report(options: &Options) {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{} {:#018x}\n{panic}", hunt::MARK, latest_hash());
    }));
    let mut out = std::io::stdout().lock();
    for seed in options.start..options.start.saturating_add(options.seeds) {
        let script = script(options, seed);
        let outcome = live(&script);
        let mut line = format!("{seed}");
        for count in outcome.seen.counts() {
            line.push_str(&format!(" {count}"));
        }
        // Whoever started this may have ended.
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
}

fn script(options: &Options, seed: u64) -> Script {
    let script = Script::draw(seed, options.ops);
    match &options.only {
        Some(keep) => script.only(keep),
        None => script,
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        start: 1,
        seeds: 100,
        ops: 500,
        seconds: u64::MAX,
        only: None,
        wants_everything: false,
        corpus: None,
        reports: false,
        prints_table: false,
    };
    while let Some(name) = arguments.next() {
        if name == "--table" {
            options.prints_table = true;
            continue;
        }
        if name == "--report" {
            options.reports = true;
            continue;
        }
        if name == "--everything" {
            options.wants_everything = true;
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("expected a value after {name}, found nothing"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("expected a number after {name}, found {value}"))
        };
        match name.as_str() {
            "--corpus" => options.corpus = Some(PathBuf::from(&value)),
            "--seeds" => options.seeds = number()?,
            "--start" => options.start = number()?,
            "--seconds" => options.seconds = number()?,
            "--ops" => options.ops = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--only" => options.only = Some(hunt::parse_ranges(&value)?),
            _ => return Err(format!("expected an option, found {name}")),
        }
    }
    Ok(options)
}
