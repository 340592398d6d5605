//! `avpud demo`: the whole path in one command, on the software model.
//!
//! The service and each of its clients is a process of its own, running this same binary: `main` and `sub` encode,
//! `watch` reads `main` from the middle on, `intruder` opens a channel and is killed while its picture is in the
//! encoder. What must hold is checked here (`verdict`) and not only shown. Whatever happens, the processes end and the
//! private socket goes.

mod camera;
mod clip;
mod encode;
mod message;
mod options;
mod part;
mod process;
mod report;
mod stage;
mod verdict;
mod watch;

pub use part::run as run_part;

use options::Options;
use stage::Stage;
use std::process::ExitCode;

/// Runs the demo with its own arguments. The exit status is 0 only when everything that it shows is as it must be.
#[must_use]
pub fn run(words: &[String]) -> ExitCode {
    let options = match Options::parse(words) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("avpud demo: {message}");
            return ExitCode::from(2);
        }
    };
    if let Some(device) = &options.device {
        return match camera::run(&options, device) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("avpud demo: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let shown = Stage::set(&options).and_then(|stage| stage.play(&options));
    match shown {
        Ok(report) => {
            print!("{}", report.table());
            println!("\n{}", options.player_line());
            if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("avpud demo: {error}");
            ExitCode::FAILURE
        }
    }
}
