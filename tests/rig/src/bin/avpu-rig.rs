//! Runs programs on a modelled camera: `avpu-rig [model,OPTIONS] PROGRAM [ARGUMENT]...`.
//!
//! What the program starts runs there too: `avpu-rig model,pace=free sh` is a shell on a camera. At the end it says what
//! the encoder counted and which rules were broken; then it fails.

use std::process::ExitCode;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("avpu-rig: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn main() -> ExitCode {
    eprintln!("avpu-rig: expected Linux on x86-64, found something else");
    ExitCode::from(2)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    use avpu_model::ModelConfig;
    use avpu_rig::supervisor::{Settings, Supervisor};
    use std::process::Command;

    let mut words = std::env::args_os().skip(1).peekable();
    let options = words
        .peek()
        .and_then(|word| word.to_str()?.strip_prefix("model"))
        .map(|options| options.trim_start_matches(',').to_owned());
    if options.is_some() {
        words.next();
    }
    let program = words
        .next()
        .ok_or("expected [model,OPTIONS] PROGRAM, found no program")?;
    let mut command = Command::new(program);
    command.args(words);
    let mut supervisor = Supervisor::new(Settings {
        model: ModelConfig::parse(&options.unwrap_or_default())?,
        ..Settings::default()
    })?;
    let status = supervisor.start(command)?.wait()?;
    eprintln!("avpu-rig: {}", supervisor.counters());
    let faults = supervisor.take_faults()?;
    for fault in &faults {
        eprintln!("avpu-rig: {fault}");
    }
    let succeeded = status.success() && faults.is_empty();
    Ok(if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
