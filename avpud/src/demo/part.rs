//! `avpud demo-part`: one of the demo's processes. Not for people: its arguments are those that [`Wish::words`] makes.

use super::message::Message;
use super::{encode, watch};
use crate::config::{self, Arguments, Config, DeviceChoice, LogFormat};
use crate::server::{self, End};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use std::path::PathBuf;
use std::process::ExitCode;

/// What one process is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kind: String,
    pub(super) socket: PathBuf,
    pub(super) name: String,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) fps: u32,
    pub(super) bitrate_bps: u32,
    pub(super) frames: u32,
    pub(super) input: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
    /// The service's device; without one the model at a camera's pace.
    pub(super) device: Option<String>,
}

impl Wish {
    /// As arguments.
    pub(super) fn words(&self) -> Vec<std::ffi::OsString> {
        let mut words = vec!["demo-part".into(), self.kind.clone().into()];
        let mut add = |flag: &str, value: std::ffi::OsString| {
            words.push(flag.into());
            words.push(value);
        };
        add("--socket", self.socket.clone().into());
        add("--name", self.name.clone().into());
        add("--width", self.width.to_string().into());
        add("--height", self.height.to_string().into());
        add("--fps", self.fps.to_string().into());
        add("--bitrate", self.bitrate_bps.to_string().into());
        add("--frames", self.frames.to_string().into());
        if let Some(input) = &self.input {
            add("--input", input.clone().into());
        }
        if let Some(out) = &self.out {
            add("--out", out.clone().into());
        }
        if let Some(device) = &self.device {
            add("--device", device.into());
        }
        words
    }

    /// From arguments.
    fn parse(words: &[String]) -> Result<Self, String> {
        let (kind, rest) = words.split_first().ok_or("expected what to be")?;
        let mut wish = Self {
            kind: kind.clone(),
            ..Self::default()
        };
        for pair in rest.chunks(2) {
            let [flag, value] = pair else {
                return Err(format!("expected a value for {pair:?}"));
            };
            match flag.as_str() {
                "--socket" => wish.socket = PathBuf::from(value),
                "--name" => wish.name.clone_from(value),
                "--width" => wish.width = number(value)?,
                "--height" => wish.height = number(value)?,
                "--fps" => wish.fps = number(value)?,
                "--bitrate" => wish.bitrate_bps = number(value)?,
                "--frames" => wish.frames = number(value)?,
                "--input" => wish.input = Some(PathBuf::from(value)),
                "--device" => wish.device = Some(value.clone()),
                "--out" => wish.out = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown argument \"{flag}\"")),
            }
        }
        Ok(wish)
    }
}

fn number<T: core::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("expected a number, found \"{text}\""))
}

/// Is the process that the arguments name.
#[must_use]
pub fn run(words: &[String]) -> ExitCode {
    // Without it the process would outlive a demo that was killed; with it, or where it fails, nothing else changes.
    let _ = set_pdeathsig(Signal::SIGKILL);
    // Ctrl-C goes to every process of a terminal: what it means is up to the demo, which ends the others itself.
    let _ = SigSet::from(Signal::SIGINT).thread_block();
    let wish = match Wish::parse(words) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("avpud demo-part: {message}");
            return ExitCode::from(2);
        }
    };
    let done = match wish.kind.as_str() {
        "service" => return serve(&wish),
        "encode" => encode::run(&wish),
        "intruder" => encode::intrude(&wish),
        "watch" => watch::run(&wish),
        other => Err(format!("expected a part of the demo, found \"{other}\"").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Message::Failed(error.to_string()).tell();
            ExitCode::FAILURE
        }
    }
}

fn serve(wish: &Wish) -> ExitCode {
    let config = match &wish.device {
        None => Ok(Config {
            device: DeviceChoice::Model {
                options: "body=picture,pace=t31".to_owned(),
            },
            ..Config::default()
        }),
        Some(device) => device_config(device),
    };
    let config = match config {
        Ok(config) => Config {
            socket: Some(wish.socket.clone()),
            log_format: LogFormat::Text,
            ..config
        },
        Err(message) => {
            eprintln!("avpud: {message}");
            return ExitCode::from(2);
        }
    };
    let (log, lines_lost) = server::logger(config.log_format, config.log_level);
    match server::run(&config, log, lines_lost) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("avpud: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

/// The machine's own settings, for this device.
pub(super) fn device_config(device: &str) -> Result<Config, String> {
    let settings = config::load(&Arguments::default()).map_err(|error| error.to_string())?;
    Ok(Config {
        device: DeviceChoice::parse(device)?,
        ..settings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_a_process_is_what_it_understands() {
        let wish = Wish {
            kind: "encode".to_owned(),
            socket: PathBuf::from("/a b/s"),
            name: "main".to_owned(),
            width: 1280,
            height: 720,
            fps: 25,
            bitrate_bps: 2_000_000,
            frames: 250,
            input: Some(PathBuf::from("clip.y4m")),
            out: Some(PathBuf::from("main.h264")),
            device: Some("/dev/avpu".to_owned()),
        };
        let words: Vec<String> = wish
            .words()
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        assert_eq!(words[0], "demo-part");
        assert_eq!(Wish::parse(&words[1..]), Ok(wish));
    }
}
