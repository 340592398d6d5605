//! What sharing costs on this machine: idle time between pictures, frames a second of many clients, time to a packet,
//! and what floods do to live channels, with real processes.
//!
//! `cargo bench -p avpu-tests --bench sharing`. The daemon is the real one on the model with the pattern body, which
//! takes a T31's time for each picture; for the frames a second a device that has finished at once. Times are printed
//! and only counts are asserted: what a machine with other work on it does to a time says nothing about the daemon.
//! Every process at the other end is the daemon's program or this one again.

mod clock;
mod contention;
mod delivery;
mod idle;
#[path = "../round_trip/instant.rs"]
mod instant;
mod rate;
mod stopped;

use avpu_tests::processors::Processors;
use std::path::Path;
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["--role", "echo", socket, bytes] => rate::echo(Path::new(socket), number(bytes)),
        ["--role", "instant", socket] => rate::serve(Path::new(socket)),
        ["--role", "live", socket, width, height, seconds] => {
            let size = (number(width), number(height));
            contention::live(Path::new(socket), size, number(seconds));
        }
        ["--role", "flood", socket, seconds] => {
            contention::flood(Path::new(socket), number(seconds));
        }
        // Cargo says that this is a bench behind whatever else it is told.
        ["stopped", ..] => stopped::run(),
        _ => measure(),
    }
}

fn measure() {
    let processors = Processors::allowed();
    println!("idle time of the encoder between pictures that wait for it, of a picture's time");
    processors.use_one();
    idle::run("all on one processor");
    processors.use_all();
    idle::run("on any processor");
    rate::announce();
    processors.use_one();
    rate::run("all on one processor");
    processors.use_all();
    rate::run("on any processor");
    delivery::run();
    contention::run();
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    let Ok(number) = text.parse() else {
        panic!("expected a number, found {text}");
    };
    number
}

/// A quantile in thousandths.
fn quantile<T: Copy + Ord>(samples: &mut [T], permille: usize) -> T {
    samples.sort_unstable();
    let index = (samples.len() * permille / 1000).min(samples.len() - 1);
    *samples.get(index).expect("there are samples")
}
