//! The daemon's program: arguments, log, then the server; nothing else.

use avpud::config::{self, Arguments, Command, Config, ConfigError, LogFormat};
use avpud::plan::Plan;
use avpud::probe::{self, Findings};
use avpud::server::{self, End};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

const USAGE: u8 = 2;
const RESTART: u8 = 75;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(OsStr::to_str) {
        #[cfg(feature = "tools")]
        Some("avpuctl") => avpu_client::tools::avpuctl::main(words),
        #[cfg(feature = "tools")]
        Some("avpucat") => avpu_client::tools::avpucat::main(words),
        _ => daemon(words),
    }
}

fn daemon(words: impl Iterator<Item = OsString>) -> ExitCode {
    let command = words
        .map(|word| word.into_string())
        .collect::<Result<Vec<String>, _>>()
        .map_err(|word| format!("expected arguments in UTF-8, found {word:?}"))
        .and_then(|words| config::parse(words).map_err(|error| error.to_string()));
    match command {
        Ok(Command::Serve(arguments)) => match config::load(&arguments) {
            Ok(config) => serve(&config),
            Err(error) => usage(&error),
        },
        Ok(Command::CheckConfig(arguments)) => check(&arguments),
        Ok(Command::Help) => {
            print!("{}", config::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            println!("avpud {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        #[cfg(feature = "demo")]
        Ok(Command::Demo(words)) => avpud::demo::run(&words),
        #[cfg(feature = "demo")]
        Ok(Command::DemoPart(words)) => avpud::demo::run_part(&words),
        Ok(Command::Probe(arguments)) => match config::load(&arguments) {
            Ok(config) => probe(&config),
            Err(error) => usage(&error),
        },
        Ok(Command::Plan(words)) => plan(&words),
        Err(message) => {
            eprintln!("avpud: {message}");
            ExitCode::from(USAGE)
        }
    }
}

fn serve(config: &Config) -> ExitCode {
    let (log, lines_lost) = server::logger(config.log_format, config.log_level);
    match server::run(config, log.clone(), lines_lost) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Cut) => ExitCode::FAILURE,
        Ok(End::Restart) => ExitCode::from(RESTART),
        Err(error) => {
            eprintln!("avpud: {error}");
            // Whoever chose the system's log may not see the standard error stream.
            if config.log_format == LogFormat::Syslog {
                slog::error!(log, "{error}");
            }
            ExitCode::from(error.exit_status())
        }
    }
}

fn check(arguments: &Arguments) -> ExitCode {
    match config::load(arguments) {
        Ok(_) => {
            println!("the settings are good");
            ExitCode::SUCCESS
        }
        Err(error) => usage(&error),
    }
}

fn probe(config: &Config) -> ExitCode {
    let (text, verdict) = probe::report(&Findings::gather(config), config);
    print!("{text}");
    ExitCode::from(verdict.exit_status())
}

fn plan(words: &[String]) -> ExitCode {
    match Plan::parse(words) {
        Ok(plan) => {
            let (text, fits) = plan.report();
            print!("{text}");
            if fits {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("avpud: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn usage(error: &ConfigError) -> ExitCode {
    eprintln!("avpud: {error}");
    ExitCode::from(USAGE)
}
