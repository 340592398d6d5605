//! Formats one entry as one line, in storage that is reused.

use super::super::clock;
use crate::config::LogFormat;
use crate::limits::LOG_LINE_BYTES_MAX;
use core::fmt::{self, Write as _};
use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

/// Longest part of a line that one value may take.
const VALUE_BYTES_MAX: usize = 240;
/// What the end of a line may take after the last value that fits.
const END_BYTES: usize = 8;

/// A line in the making.
pub(super) struct Line {
    format: LogFormat,
    text: String,
    /// One key and value in the making.
    pair: String,
    /// Where keys and values start: they come last first, so each goes there.
    pairs_start: usize,
}

impl Line {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            text: String::with_capacity(LOG_LINE_BYTES_MAX),
            pair: String::with_capacity(LOG_LINE_BYTES_MAX),
            pairs_start: 0,
        }
    }

    /// The line of an entry.
    pub(super) fn format(&mut self, record: &Record<'_>, values: &OwnedKVList) -> &[u8] {
        self.begin(record.level());
        self.message(record.msg());
        // Serializing into a line cannot fail: what does not fit is left out.
        let _ = record.kv().serialize(record, self);
        let _ = values.serialize(record, self);
        self.end()
    }

    /// The line that tells of lost ones.
    pub(super) fn format_loss(&mut self, count: u32) -> &[u8] {
        self.begin(Level::Warning);
        self.message(&format_args!("log lines were lost"));
        let _ = self.emit_u32("count", count);
        self.end()
    }

    fn begin(&mut self, level: Level) {
        self.text.clear();
        let priority = syslog_priority(level);
        let level = word(level);
        let now = clock::now().value();
        let _ = match self.format {
            LogFormat::Text => {
                let (seconds, us) = (now / 1_000_000, now % 1_000_000);
                write!(self.text, "{seconds}.{us:06} {level}: ")
            }
            LogFormat::Json => write!(
                self.text,
                "{{\"time_us\":{now},\"level\":\"{level}\",\"message\":"
            ),
            LogFormat::Syslog => write!(self.text, "<{priority}>avpud[{}]: ", std::process::id()),
        };
    }

    fn message(&mut self, message: &fmt::Arguments<'_>) {
        let json = self.format == LogFormat::Json;
        value(&mut self.text, message, json, json);
        self.pairs_start = self.text.len();
    }

    fn end(&mut self) -> &[u8] {
        match self.format {
            LogFormat::Text => self.text.push('\n'),
            LogFormat::Json => self.text.push_str("}\n"),
            LogFormat::Syslog => {}
        }
        self.text.as_bytes()
    }

    fn pair(&mut self, key: Key, text: &fmt::Arguments<'_>, quoted: bool) -> slog::Result {
        let json = self.format == LogFormat::Json;
        self.pair.clear();
        let _ = match json {
            true => write!(self.pair, ",\"{key}\":"),
            false => write!(self.pair, " {key}="),
        };
        value(&mut self.pair, text, quoted && json, json);
        if self.text.len() + self.pair.len() + END_BYTES <= LOG_LINE_BYTES_MAX {
            self.text.insert_str(self.pairs_start, &self.pair);
        }
        Ok(())
    }
}

fn value(into: &mut String, text: &fmt::Arguments<'_>, quoted: bool, json: bool) {
    if quoted {
        into.push('"');
    }
    let mut escaped = Escaped {
        room: VALUE_BYTES_MAX,
        json,
        text: into,
    };
    // The only error is that there is no more room: the value is cut.
    let _ = escaped.write_fmt(*text);
    if quoted {
        into.push('"');
    }
}

macro_rules! emit_plain {
    ($($name:ident: $type:ty;)*) => {
        $(fn $name(&mut self, key: Key, value: $type) -> slog::Result {
            self.pair(key, &format_args!("{value}"), false)
        })*
    };
}

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.pair(key, value, true)
    }

    emit_plain! {
        emit_bool: bool;
        emit_u8: u8;
        emit_i8: i8;
        emit_u16: u16;
        emit_i16: i16;
        emit_u32: u32;
        emit_i32: i32;
        emit_u64: u64;
        emit_i64: i64;
        emit_usize: usize;
        emit_isize: isize;
    }
}

/// Lets no control character through, and no more than there is room for.
struct Escaped<'a> {
    room: usize,
    json: bool,
    text: &'a mut String,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let before = self.text.len();
            match letter {
                '"' | '\\' if self.json => {
                    self.text.push('\\');
                    self.text.push(letter);
                }
                '\n' => self.text.push_str("\\n"),
                _ if letter.is_control() => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(letter));
                }
                _ => self.text.push(letter),
            }
            match self.room.checked_sub(self.text.len() - before) {
                Some(room) => self.room = room,
                None => {
                    self.text.truncate(before);
                    self.room = 0;
                    return Err(fmt::Error);
                }
            }
        }
        Ok(())
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Facility daemon and the level's severity, as in RFC 3164.
const fn syslog_priority(level: Level) -> u8 {
    const DAEMON: u8 = 3 << 3;
    DAEMON
        | match level {
            Level::Critical => 2,
            Level::Error => 3,
            Level::Warning => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        }
}
