//! `avpud demo --device PATH`: the smoke test on a camera. One step after the other, and what to do where one fails.
//!
//! The daemon and two encoding clients run as in the demo on the model, smaller and without the play around them:
//! drawing pictures costs a camera's processor more than encoding them costs its encoder.

use super::message::{Encoded, Message};
use super::options::Options;
use super::part::{Wish, device_config};
use super::process::{Part, Scratch, Told, hear_signals};
use super::verdict::milliseconds;
use crate::config::DeviceChoice;
use crate::probe::{self, Findings};
use avpu_client::Client;
use avpu_client::proto::report::StatusReport;
use core::fmt::Write as _;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    what: String,
    pass: bool,
    /// What to do when it fails.
    advice: &'static str,
}

/// What the clients and the daemon said at the end.
struct Played {
    /// It was not a camera.
    model: bool,
    main: Encoded,
    sub: Encoded,
    status: StatusReport,
    ended_well: bool,
    /// Lines of the daemon's log that tell of an error.
    errors: Vec<String>,
}

/// How long a step may take beyond the length of the test.
const PATIENCE: Duration = Duration::from_secs(30);

const PLATFORM: &str = "\"avpud probe\" says more; BRINGUP.md has the command line of the kernel";
const START: &str = "avpud.log says why; a wrong id means another encoder than that of a T31";
const PICTURES: &str = "no picture at all: is the encoder's line in /proc/interrupts counting? Some lost: \"avpuctl status\" \
                        and avpud.log";
const TIME: &str = "slower than expected: compare the module's avpu_clk; cost-base-ns and cost-macroblock-ns can be set";
const HEALTH: &str = "resets or failed pictures: keep avpud.log, then try once more after a reboot";
const END: &str =
    "avpud.log names what was overwritten or not left quiet; reboot before the next try";

/// Runs the test and says whether everything passed.
pub(super) fn run(options: &Options, device: &str) -> Result<bool, Box<dyn Error>> {
    let mut steps = Vec::new();
    let played = play(options, device, &mut steps);
    if let Ok(played) = &played {
        steps.extend(judge(played));
    }
    print!("{}", table(&steps));
    played?;
    Ok(steps.iter().all(|step| step.pass))
}

fn play(options: &Options, device: &str, steps: &mut Vec<Step>) -> Result<Played, Box<dyn Error>> {
    check_platform(device, steps)?;
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let (sender, queue) = channel();
    hear_signals(&sender)?;
    let scratch = Scratch::new()?;
    let log = options.file("avpud.log");
    let wish = Wish {
        kind: "service".to_owned(),
        name: "service".to_owned(),
        socket: scratch.socket(),
        device: Some(device.to_owned()),
        ..Wish::default()
    };
    let mut service = Part::start_service(&wish, &log, &sender)?;
    let ready = matches!(queue.recv_timeout(PATIENCE)?, Told::Ready);
    steps.push(Step {
        what: "the daemon starts".to_owned(),
        pass: ready,
        advice: START,
    });
    if !ready {
        return Err(last_line(&log).into());
    }
    let client = Client::connect(scratch.socket())?;
    let encoder = |name: &str, width, height, fps, bitrate_bps| Wish {
        kind: "encode".to_owned(),
        socket: scratch.socket(),
        name: name.to_owned(),
        width,
        height,
        fps,
        bitrate_bps,
        frames: options.seconds * fps,
        out: Some(options.file(&format!("{name}.h264"))),
        ..Wish::default()
    };
    let wishes = [
        encoder("main", 640, 360, 15, 500_000),
        encoder("sub", 320, 192, 10, 200_000),
    ];
    let parts = [
        Part::start("main", &wishes[0], &sender)?,
        Part::start("sub", &wishes[1], &sender)?,
    ];
    let limit = PATIENCE + Duration::from_secs(options.seconds.into());
    let (main, sub) = results(&queue, limit)?;
    let status = client.status()?;
    drop(parts);
    let ended_well = service.stop()?.success();
    Ok(Played {
        model: device.starts_with("model"),
        main,
        sub,
        status,
        ended_well,
        errors: errors(&fs::read_to_string(&log)?),
    })
}

/// Before anything is started: is there memory, is the encoder free?
fn check_platform(device: &str, steps: &mut Vec<Step>) -> Result<(), Box<dyn Error>> {
    let config = device_config(device)?;
    if let DeviceChoice::Model { .. } = config.device {
        return Ok(());
    }
    let (text, verdict) = probe::report(&Findings::gather(&config), &config);
    // A device that cannot be looked at may still be there to be opened; the daemon's start tells.
    let pass = matches!(verdict, probe::Verdict::Ready | probe::Verdict::Missing);
    steps.push(Step {
        what: "memory is reserved and the encoder is free".to_owned(),
        pass,
        advice: PLATFORM,
    });
    if pass {
        return Ok(());
    }
    let last = text.lines().last().unwrap_or_default();
    Err(last.trim_start_matches("verdict").trim_start().into())
}

fn results(queue: &Receiver<Told>, limit: Duration) -> Result<(Encoded, Encoded), Box<dyn Error>> {
    let (mut main, mut sub) = (None, None);
    loop {
        match queue.recv_timeout(limit)? {
            Told::Says(name, Message::Encoded(encoded)) if name == "main" => main = Some(encoded),
            Told::Says(_, Message::Encoded(encoded)) => sub = Some(encoded),
            Told::Says(name, Message::Failed(reason)) => {
                return Err(format!("{name}: {reason}").into());
            }
            Told::Interrupted => return Err("interrupted".into()),
            Told::Ended(name) if name == "service" => return Err("the daemon ended".into()),
            _ => {}
        }
        if let (Some(main), Some(sub)) = (&main, &sub) {
            return Ok((main.clone(), sub.clone()));
        }
    }
}

fn judge(played: &Played) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |pass, what, advice| steps.push(Step { what, pass, advice });
    for (name, channel) in [("main", &played.main), ("sub", &played.sub)] {
        add(
            channel.frames_in > 0 && channel.packets_out == channel.frames_in && channel.lost == 0,
            format!(
                "{name} {}x{}: {} pictures in, {} out, {} lost, {} of them idr",
                channel.width,
                channel.height,
                channel.frames_in,
                channel.packets_out,
                channel.lost,
                channel.idr_out
            ),
            PICTURES,
        );
    }
    let slowest = played.main.hardware.p99_us;
    // A model's time is that of the host: it says nothing.
    if !played.model {
        add(
            (1..=MAIN_US_MAX).contains(&slowest),
            format!(
                "main takes {} ms in the encoder",
                milliseconds(slowest.into())
            ),
            TIME,
        );
    }
    let status = &played.status;
    add(
        status.resets == 0 && status.pictures_failed == 0,
        format!(
            "{} pictures failed, {} resets, {} interrupts without a picture",
            status.pictures_failed, status.resets, status.interrupts_spurious
        ),
        HEALTH,
    );
    add(
        played.ended_well && played.errors.is_empty(),
        match played.errors.first() {
            Some(first) => format!("the daemon ends in order; it said: {first}"),
            None => "the daemon ends in order, and nothing was written beyond a buffer".to_owned(),
        },
        END,
    );
    steps
}

/// Three times the 1.65 ms that 640x360 took on a T31 at 550 MHz.
const MAIN_US_MAX: u32 = 5_000;

fn table(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let word = if step.pass { "PASS" } else { "FAIL" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {}", step.what);
        if !step.pass {
            let _ = writeln!(text, "      what to do: {}", step.advice);
        }
    }
    text
}

fn errors(log: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains(" error: "));
    lines.map(str::to_owned).collect()
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last();
    last.unwrap_or("expected a word of the daemon, found none")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played() -> Played {
        let mut main = Encoded {
            width: 640,
            height: 360,
            frames_in: 75,
            packets_out: 75,
            idr_out: 3,
            ..Encoded::default()
        };
        main.hardware.p99_us = 1_700;
        Played {
            model: false,
            sub: main.clone(),
            main,
            status: StatusReport::default(),
            ended_well: true,
            errors: Vec::new(),
        }
    }

    #[test]
    fn a_camera_on_which_everything_works_passes() {
        let text = table(&judge(&played()));
        assert!(!text.contains("FAIL"), "{text}");
        assert!(
            text.contains("PASS  main 640x360: 75 pictures in, 75 out, 0 lost, 3 of them idr\n"),
            "{text}"
        );
        assert!(
            text.contains("PASS  main takes 1.7 ms in the encoder\n"),
            "{text}"
        );
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let mut bad = played();
        bad.main.packets_out = 74;
        bad.main.hardware.p99_us = 0;
        bad.status.resets = 1;
        bad.errors = errors("1.0 info: ready\n1.1 error: the encoder wrote beyond a buffer\n");
        let steps = judge(&bad);
        let failed = steps.iter().filter(|step| !step.pass).count();
        let text = table(&steps);
        assert_eq!(failed, 4, "{text}");
        assert_eq!(text.matches("      what to do: ").count(), 4, "{text}");
        assert!(
            text.contains("it said: 1.1 error: the encoder wrote beyond"),
            "{text}"
        );
    }
}
