//! The play itself: who starts when, who is killed when, and what is waited for.

use super::message::{Encoded, Message, Watched};
use super::options::Options;
use super::part::Wish;
use super::process::{Part, Scratch, Told, hear_signals};
use super::report::Report;
use super::verdict::{Facts, Intrusion};
use avpu_client::Client;
use avpu_client::proto::event::Event;
use avpu_client::proto::report::{MemoryTotals, StatusReport};
use avpu_client::proto::request::Page;
use avpu_client::proto::types::ChannelState;
use std::error::Error;
use std::fs;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the play may last beyond its own length.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names of the clients, in the order in which they start.
const NAMES: [&str; 4] = ["main", "sub", "watch", "intruder"];

type Failure = Box<dyn Error>;

/// The service and everybody on it. Fields are dropped in this order: clients first, their folder last.
pub(super) struct Stage {
    parts: Vec<(&'static str, Part)>,
    client: Arc<Client>,
    service: Part,
    queue: Receiver<Told>,
    sender: Sender<Told>,
    scratch: Scratch,
}

/// What is known so far.
#[derive(Default)]
struct Known {
    counts: [u32; 4],
    main: Option<Encoded>,
    sub: Option<Encoded>,
    watch: Option<Watched>,
    /// The intruder was killed, at this time.
    killed: Option<Instant>,
    intrusion: Option<Intrusion>,
    memory_before: MemoryTotals,
}

impl Stage {
    /// Starts the service and connects to it.
    pub(super) fn set(options: &Options) -> Result<Self, Failure> {
        let (sender, queue) = channel();
        hear_signals(&sender)?;
        fs::create_dir_all(&options.out)
            .map_err(|error| format!("{}: {error}", options.out.display()))?;
        for name in ["main.h264", "sub.h264", "watch.h264", "report.json"] {
            println!("{}", options.file(name).display());
        }
        println!();
        let scratch = Scratch::new()?;
        let wish = Wish {
            kind: "service".to_owned(),
            name: "service".to_owned(),
            socket: scratch.socket(),
            ..Wish::default()
        };
        let log = options.file("avpud.log");
        let service = Part::start_service(&wish, &log, &sender)?;
        match queue.recv_timeout(PATIENCE)? {
            Told::Ready => {}
            Told::Interrupted => return Err("interrupted".into()),
            _ => return Err(format!("the service did not start, see {}", log.display()).into()),
        }
        let client = Arc::new(Client::connect(scratch.socket())?);
        client.watch(true)?;
        let (listener, events) = (Arc::clone(&client), sender.clone());
        thread::spawn(move || {
            while let Ok(event) = listener.next_event(None) {
                if events.send(Told::Daemon(event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            parts: Vec::new(),
            client,
            service,
            queue,
            sender,
            scratch,
        })
    }

    /// Plays to the end and reports.
    pub(super) fn play(mut self, options: &Options) -> Result<Report, Failure> {
        let length = Duration::from_secs(options.seconds.into());
        let mut known = Known::default();
        let before = self.client.status()?;
        let start = Instant::now();
        // Who starts when, soonest first.
        let mut entries = vec![
            (
                Duration::ZERO,
                self.encoder(options, "main", 1280, 720, 25, 2_000_000),
            ),
            (
                Duration::ZERO,
                self.encoder(options, "sub", 640, 360, 15, 500_000),
            ),
            (length / 3, self.watcher(options)),
            (length / 2, self.intruder()),
        ]
        .into_iter()
        .peekable();
        while !known.is_complete() {
            while let Some((_, wish)) = entries.next_if(|(at, _)| start.elapsed() >= *at) {
                if wish.kind == "intruder" {
                    known.memory_before = self.memory()?;
                }
                self.enter(&wish)?;
            }
            let next = entries.peek().map_or(length + PATIENCE, |(at, _)| *at);
            match self
                .queue
                .recv_timeout(next.saturating_sub(start.elapsed()))
            {
                Ok(told) => self.take(&mut known, told)?,
                Err(RecvTimeoutError::Timeout) if entries.peek().is_some() => {}
                Err(_) => return Err("the demo did not come to its end in time".into()),
            }
            known.show(options);
        }
        let played = start.elapsed();
        println!();
        let after = self.client.status()?;
        let facts = self.facts(known, options, (before, after), played)?;
        let report = Report::new(facts);
        fs::write(options.file("report.json"), report.json()?)?;
        Ok(report)
    }

    fn encoder(
        &self,
        options: &Options,
        name: &str,
        width: u16,
        height: u16,
        fps: u32,
        bitrate_bps: u32,
    ) -> Wish {
        Wish {
            kind: "encode".to_owned(),
            socket: self.scratch.socket(),
            name: name.to_owned(),
            width,
            height,
            fps,
            bitrate_bps,
            frames: options.seconds * fps,
            input: options.input.clone(),
            out: Some(options.file(&format!("{name}.h264"))),
            device: None,
        }
    }

    /// It reads what `main` encodes.
    fn watcher(&self, options: &Options) -> Wish {
        Wish {
            kind: "watch".to_owned(),
            socket: self.scratch.socket(),
            name: "main".to_owned(),
            out: Some(options.file("watch.h264")),
            ..Wish::default()
        }
    }

    fn intruder(&self) -> Wish {
        Wish {
            kind: "intruder".to_owned(),
            socket: self.scratch.socket(),
            name: "intruder".to_owned(),
            width: 320,
            height: 192,
            fps: 10,
            bitrate_bps: 200_000,
            ..Wish::default()
        }
    }

    fn enter(&mut self, wish: &Wish) -> Result<(), Failure> {
        let name = NAMES
            .into_iter()
            .find(|name| *name == wish.kind || (wish.kind == "encode" && *name == wish.name))
            .ok_or("expected one of the demo's clients")?;
        let part = Part::start(name, wish, &self.sender)?;
        self.parts.push((name, part));
        Ok(())
    }

    fn take(&mut self, known: &mut Known, told: Told) -> Result<(), Failure> {
        match told {
            Told::Ready => {}
            Told::Interrupted => return Err("interrupted".into()),
            Told::Says(name, message) => match message {
                Message::Progress(count) => known.count(&name, count),
                Message::Encoding => self.strike(known)?,
                Message::Encoded(encoded) if name == "main" => known.main = Some(encoded),
                Message::Encoded(encoded) => known.sub = Some(encoded),
                Message::Watched(watched) => known.watch = Some(watched),
                Message::Failed(reason) => return Err(format!("{name}: {reason}").into()),
            },
            Told::Ended(name) => {
                if !known.may_end(&name) {
                    return Err(format!("{name} ended before it had a result").into());
                }
            }
            Told::Daemon(Event::ChannelChanged(change)) => {
                let gone = change.name == "intruder" && change.state == ChannelState::Closed;
                if gone && let Some(killed) = known.killed {
                    known.intrusion = Some(Intrusion {
                        back_after_us: micros(killed.elapsed()),
                        before: known.memory_before,
                        after: self.memory()?,
                    });
                }
            }
            Told::Daemon(_) => {}
        }
        Ok(())
    }

    /// The intruder's pictures are in the encoder: this is the moment.
    fn strike(&mut self, known: &mut Known) -> Result<(), Failure> {
        for (name, part) in &mut self.parts {
            if *name == "intruder" {
                part.kill()?;
                known.killed = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn memory(&self) -> Result<MemoryTotals, Failure> {
        Ok(self.client.memory(Page::default())?.totals)
    }

    fn facts(
        mut self,
        known: Known,
        options: &Options,
        status: (StatusReport, StatusReport),
        played: Duration,
    ) -> Result<Facts, Failure> {
        let pid = |parts: &[(&str, Part)], name| {
            let part = parts.iter().find(|(of, _)| *of == name);
            part.map_or(0, |(_, part)| part.pid())
        };
        let pids = NAMES.map(|name| pid(&self.parts, name));
        let (main, watch) = (
            fs::read(options.file("main.h264"))?,
            fs::read(options.file("watch.h264"))?,
        );
        let (Some(main_result), Some(sub_result), Some(watch_result), Some(intrusion)) =
            (known.main, known.sub, known.watch, known.intrusion)
        else {
            return Err("expected a result of every process".into());
        };
        self.parts.clear();
        let service_ended_well = self.service.stop()?.success();
        Ok(Facts {
            pids,
            main: main_result,
            sub: sub_result,
            watch: watch_result,
            watch_is_tail: !watch.is_empty() && main.ends_with(&watch),
            intrusion,
            busy_us: status.1.engine_busy_us - status.0.engine_busy_us,
            played_us: micros(played),
            resets: status.1.resets,
            pictures_failed: status.1.pictures_failed,
            service_ended_well,
        })
    }
}

impl Known {
    fn is_complete(&self) -> bool {
        self.main.is_some()
            && self.sub.is_some()
            && self.watch.is_some()
            && self.intrusion.is_some()
    }

    fn count(&mut self, name: &str, count: u32) {
        if let Some(index) = NAMES.iter().position(|of| *of == name) {
            self.counts[index] = count;
        }
    }

    fn may_end(&self, name: &str) -> bool {
        match name {
            "main" => self.main.is_some(),
            "sub" => self.sub.is_some(),
            "watch" => self.watch.is_some(),
            "intruder" => self.killed.is_some(),
            _ => false,
        }
    }

    /// One line that changes, on a terminal.
    fn show(&self, options: &Options) {
        let mut out = std::io::stdout();
        if !out.is_terminal() {
            return;
        }
        let [main, sub, watch, _] = self.counts;
        let intruder = match (self.killed, &self.intrusion) {
            (None, _) => "not yet there",
            (Some(_), None) => "killed",
            (Some(_), Some(_)) => "gone",
        };
        let (of_main, of_sub) = (options.seconds * 25, options.seconds * 15);
        // Progress that cannot be shown is no failure.
        let _ = write!(
            out,
            "\rmain {main}/{of_main}  sub {sub}/{of_sub}  watch {watch}  intruder {intruder}   "
        );
        let _ = out.flush();
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
