//! Log lines: one an entry, to the standard error stream or the system's log, without ever holding up the loop.
//!
//! A line that its sink does not take at once is lost and counted; the next line that is taken is preceded by one that
//! says how many were. What peers choose (names, bytes) is escaped, so a line is always one line.

mod line;
mod rate;
mod sink;

pub(super) use rate::RateLimit;

use crate::config::LogFormat;
use line::Line;
use sink::Sink;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines were lost so far.
#[derive(Clone, Debug, Default)]
pub struct LinesLost(Arc<AtomicU32>);

impl LinesLost {
    /// The number; it wraps.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A logger that writes entries of at least `level`.
pub fn logger(format: LogFormat, level: Level) -> (Logger, LinesLost) {
    let sink = match format {
        LogFormat::Text | LogFormat::Json => Sink::stderr(),
        LogFormat::Syslog => Sink::syslog(),
    };
    to_sink(sink, format, level)
}

fn to_sink(sink: Sink, format: LogFormat, level: Level) -> (Logger, LinesLost) {
    let lost = LinesLost::default();
    let drain = LineDrain {
        level,
        lost: lost.clone(),
        writer: Mutex::new(Writer {
            line: Line::new(format),
            sink,
            told: 0,
        }),
    };
    (Logger::root(drain, o!()), lost)
}

struct LineDrain {
    level: Level,
    lost: LinesLost,
    writer: Mutex<Writer>,
}

struct Writer {
    line: Line,
    sink: Sink,
    /// Lost lines that a line told of.
    told: u32,
}

impl Drain for LineDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !record.level().is_at_least(self.level) {
            return Ok(());
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if !writer.write(record, values, self.lost.count()) {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(self.level)
    }
}

impl Writer {
    /// Says whether the sink took the line.
    fn write(&mut self, record: &Record<'_>, values: &OwnedKVList, lost: u32) -> bool {
        let untold = lost.wrapping_sub(self.told);
        if untold > 0 {
            let bytes = self.line.format_loss(untold);
            if !self.sink.write(bytes) {
                return false;
            }
            self.told = lost;
        }
        let bytes = self.line.format(record, values);
        self.sink.write(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use slog::{debug, info};
    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    fn pipe(format: LogFormat) -> (io::PipeReader, Logger, LinesLost) {
        let (read, write) = io::pipe().unwrap();
        let (log, lost) = to_sink(Sink::of(OwnedFd::from(write)), format, Level::Info);
        (read, log, lost)
    }

    fn text(mut read: io::PipeReader, log: Logger) -> String {
        drop(log);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_text_line_names_level_message_and_values() {
        let (read, log, _) = pipe(LogFormat::Text);
        info!(log, "opened"; "pid" => 7, "name" => "a\nb");
        debug!(log, "unseen");
        let text = text(read, log);
        assert!(
            text.ends_with(" info: opened pid=7 name=a\\nb\n"),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_json_line_is_one_object() {
        let (read, log, _) = pipe(LogFormat::Json);
        info!(log, "said \"{}\"", "\u{1}x"; "pid" => 7, "name" => "a\\b");
        let text = text(read, log);
        let (time, rest) = text.split_once(',').unwrap();
        assert!(time.starts_with("{\"time_us\":"), "{text}");
        let expected = "\"level\":\"info\",\"message\":\"said \\\"\\u0001x\\\"\",\"pid\":7,\"name\":\"a\\\\b\"}\n";
        assert_eq!(rest, expected);
    }

    #[test]
    fn an_endless_value_is_cut_and_the_line_stays_whole() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let (read, log, _) = pipe(format);
            let endless = "x".repeat(5000);
            info!(log, "a"; "a" => &endless, "b" => &endless, "c" => &endless, "d" => &endless, "e" => &endless);
            let text = text(read, log);
            assert!(
                text.len() <= crate::limits::LOG_LINE_BYTES_MAX,
                "{}",
                text.len()
            );
            assert!(text.ends_with('\n') && text.lines().count() == 1);
            if format == LogFormat::Json {
                assert!(text.ends_with("}\n"), "{text}");
            }
        }
    }

    #[test]
    fn a_sink_that_blocks_loses_lines_that_are_counted_and_told_later() {
        let (mut read, log, lost) = pipe(LogFormat::Text);
        let mut written = 0;
        while lost.count() < 3 {
            info!(log, "filling the pipe until nobody takes more"; "line" => written);
            written += 1;
            assert!(written < 100_000, "a pipe has an end");
        }
        let taken = written - 3;
        let mut bytes = vec![0; 1 << 20];
        let count = read.read(&mut bytes).unwrap();
        assert!(count > 0);
        info!(log, "after");
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned() + &text(read, log);
        assert_eq!(text.matches("filling").count(), taken);
        assert!(text.contains("log lines were lost count=3\n"), "{text}");
        assert!(text.trim_end().ends_with("info: after"));
        assert_eq!(lost.count(), 3);
    }

    #[test]
    fn the_systems_log_gets_datagrams_also_after_it_was_restarted() {
        let folder = Scratch::new();
        let path = folder.path().join("log");
        let sink = Sink::datagrams(&path);
        let (log, lost) = to_sink(sink, LogFormat::Syslog, Level::Info);
        info!(log, "nobody listens");
        assert_eq!(lost.count(), 1);
        let prefix = format!("avpud[{}]: ", std::process::id());
        for run in 0..2 {
            let system = UnixDatagram::bind(&path).unwrap();
            info!(log, "opened"; "run" => run);
            let mut lines = Vec::new();
            let mut bytes = [0; 1000];
            while lines
                .last()
                .is_none_or(|line: &String| !line.contains("opened"))
            {
                let count = system.recv(&mut bytes).unwrap();
                lines.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
            assert_eq!(lines.pop(), Some(format!("<30>{prefix}opened run={run}")));
            let told = (run == 0).then(|| format!("<28>{prefix}log lines were lost count=1"));
            assert_eq!(lines.pop(), told);
            drop(system);
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(lost.count(), 1);
    }

    #[test]
    fn a_file_takes_every_line() {
        let folder = Scratch::new();
        let path = folder.path().join("log");
        let file = File::create(&path).unwrap();
        let (log, lost) = to_sink(Sink::of(OwnedFd::from(file)), LogFormat::Text, Level::Info);
        for line in 0..1000 {
            info!(log, "a"; "line" => line);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.lines().count(), lost.count()), (1000, 0));
    }
}
