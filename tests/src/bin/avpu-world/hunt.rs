//! Runs worlds in another process, and cuts a failing one down.

use crate::{Options, script};
use avpu_tests::world::{Seen, Subject, shrink};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Begins the line that tells the sum of a world that failed.
pub(crate) const MARK: &str = "world failed with sum";
/// Worlds of one process.
const BATCH: u64 = 500;
/// Attempts to make a script shorter.
const TRIES_MAX: u32 = 3000;

/// How a world failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// Sum of what the daemon had done.
    hash: String,
    /// Where in the sources.
    place: String,
    /// All that was said.
    text: String,
}

/// Lives through all worlds that are wanted.
pub(crate) fn run(options: &Options) -> ExitCode {
    let start = Instant::now();
    let mut seen = Seen::default();
    let mut worlds = 0;
    let last = options.start.saturating_add(options.seeds);
    let mut next = options.start;
    let time = Duration::from_secs(options.seconds);
    // What is rare is waited for, on a slow machine too.
    let patience = match options.wants_everything {
        true => time.saturating_mul(4),
        false => time,
    };
    while next < last
        && (start.elapsed() < time
            || (start.elapsed() < patience && seen.missing().next().is_some()))
    {
        let batch = Options {
            start: next,
            seeds: BATCH.min(last - next),
            ..options.clone()
        };
        let (lived, failure) = live_elsewhere(&batch, Some(&mut seen));
        worlds += lived;
        next += lived;
        if let Some(failure) = failure {
            show(options, next, &failure);
            return ExitCode::FAILURE;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(worlds).unwrap_or(u32::MAX)) / seconds;
    println!("{worlds} worlds in {seconds:.1} s, {rate:.0} a second");
    tell(&seen);
    let missing: Vec<String> = seen
        .missing()
        .map(|(subject, kind)| format!("{}: {kind}", subject.name()))
        .collect();
    if options.wants_everything && !missing.is_empty() {
        println!(
            "expected everything to happen, did not find {}",
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// How often what happened, a line for each subject.
fn tell(seen: &Seen) {
    for subject in Subject::ALL {
        let words: Vec<String> = seen
            .all()
            .filter(|(of, ..)| *of == subject)
            .map(|(_, kind, count)| format!("{kind} {count}"))
            .collect();
        println!("{}: {}", subject.name(), words.join(", "));
    }
}

/// Lives through worlds in a process of their own; answers how many were survived, and how the one after them failed.
fn live_elsewhere(options: &Options, seen: Option<&mut Seen>) -> (u64, Option<Failure>) {
    let mut child = spawn(options);
    let (Some(output), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both are pipes");
    };
    let mut sums = Seen::default();
    let mut lived = 0;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let counts: Vec<u32> = line
            .split_whitespace()
            .skip(1)
            .filter_map(|word| word.parse().ok())
            .collect();
        sums.add_counts(&counts);
        lived += 1;
    }
    if let Some(seen) = seen {
        seen.add(&sums);
    }
    let mut text = String::new();
    // What was said before the end is all there is.
    let _ = errors.read_to_string(&mut text);
    let ended = child.wait().is_ok_and(|status| status.success());
    if ended {
        return (lived, None);
    }
    let hash = text
        .lines()
        .find_map(|line| line.strip_prefix(MARK))
        .unwrap_or(" not told");
    let place = text
        .lines()
        .find_map(|line| line.split_once("panicked at "))
        .map_or("nowhere that was told", |(_, place)| place);
    let failure = Failure {
        hash: hash.trim().to_owned(),
        place: place.to_owned(),
        text: text.clone(),
    };
    (lived, Some(failure))
}

fn spawn(options: &Options) -> Child {
    let program = std::env::current_exe().expect("a program knows its path");
    let mut command = Command::new(program);
    command.arg("--report");
    command.args(["--start", &options.start.to_string()]);
    command.args(["--seeds", &options.seeds.to_string()]);
    command.args(["--ops", &options.ops.to_string()]);
    if let Some(only) = &options.only {
        command.args(["--only", &format_ranges(only)]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program starts again")
}

/// Tells all about the failing world of a seed.
fn show(options: &Options, seed: u64, failure: &Failure) {
    println!("the world of seed {seed} failed:\n{}", failure.text.trim());
    let one = Options {
        start: seed,
        seeds: 1,
        ..options.clone()
    };
    let fails = |only: Option<Vec<usize>>| {
        let options = Options {
            only,
            ..one.clone()
        };
        live_elsewhere(&options, None).1
    };
    let again = fails(options.only.clone());
    match again {
        Some(again) if again.hash == failure.hash => {
            println!("it fails again with the same sum, {}", failure.hash);
        }
        other => println!(
            "it does not fail again with the same sum: expected {}, found {:?}",
            failure.hash,
            other.map(|again| again.hash)
        ),
    }
    let all = script(&one, seed);
    let numbers = options
        .only
        .clone()
        .unwrap_or_else(|| (0..all.ops.len()).collect());
    let chosen = |kept: &[usize]| -> Vec<usize> {
        let positions = kept.iter().filter_map(|&index| numbers.get(index));
        positions.copied().collect()
    };
    let kept = shrink(numbers.len(), TRIES_MAX, |kept| {
        fails(Some(chosen(kept))).is_some_and(|found| found.place == failure.place)
    });
    let only = chosen(&kept);
    println!(
        "cut down from {} operations to {}; hardware faults: {:?}, tight limits: {}",
        numbers.len(),
        only.len(),
        all.faults,
        all.is_tight
    );
    let whole = script(&Options { only: None, ..one }, seed);
    for &number in &only {
        if let Some(op) = whole.ops.get(number) {
            println!("  {number:>5} {op:?}");
        }
    }
    println!(
        "run it alone: avpu-world --seeds 1 --start {seed} --ops {} --only {}",
        options.ops,
        format_ranges(&only)
    );
}

/// `3,17-20` as numbers.
pub(crate) fn parse_ranges(text: &str) -> Result<Vec<usize>, String> {
    let number = |digits: &str| {
        digits
            .parse::<usize>()
            .map_err(|_| format!("expected a number, found {digits}"))
    };
    let mut found = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        found.extend(number(first)?..=number(last)?);
    }
    Ok(found)
}

/// Numbers in order as `3,17-20`.
fn format_ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let words: Vec<String> = parts
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    words.join(",")
}
