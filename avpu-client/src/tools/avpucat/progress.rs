//! The line that tells a person at a terminal how it goes.

use crate::source::FrameRate;
use avpu_proto::event::FormatChanged;
use avpu_proto::types::Profile;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time from one line to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// Counts what went through. Silent where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    counts: Counts,
    fps: FrameRate,
    shown: Option<Instant>,
    started: Instant,
    terminal: bool,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Frames encoded or packets read.
    pub(crate) frames: u64,
    /// Bytes of bitstream.
    pub(crate) bytes: u64,
    /// Frames lost or packets missed.
    pub(crate) dropped: u64,
}

impl Progress {
    /// Nothing yet, of a stream of `fps`.
    pub(crate) fn new(fps: FrameRate) -> Self {
        Self {
            counts: Counts::default(),
            fps,
            shown: None,
            started: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// So far.
    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts a frame with its bytes.
    pub(crate) fn add_frame(&mut self, bytes: usize) {
        self.counts.frames += 1;
        self.counts.bytes += u64::try_from(bytes).unwrap_or(0);
        self.show();
    }

    /// Counts frames that are missing.
    pub(crate) fn add_dropped(&mut self, count: u64) {
        self.counts.dropped += count;
        self.show();
    }

    /// The stream goes on in another format. What is written needs no help: its parameter sets are in the next packet.
    pub(crate) fn change_format(&mut self, format: &FormatChanged) {
        self.fps = format.fps;
        if self.terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
        eprintln!("avpucat: {}", format_sentence(format));
    }

    fn show(&mut self) {
        if !self.terminal {
            return;
        }
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now < shown + INTERVAL) {
            return;
        }
        self.shown = Some(now);
        eprint!(
            "\r{}\x1b[K",
            line(self.counts, self.fps, now - self.started)
        );
        let _ = std::io::stderr().flush();
    }

    /// The last line.
    pub(crate) fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            eprintln!(
                "\r{}\x1b[K",
                line(self.counts, self.fps, self.started.elapsed())
            );
        }
    }
}

fn format_sentence(format: &FormatChanged) -> String {
    let profile = match format.profile {
        Profile::High => "high",
        Profile::Main => "main",
        Profile::Baseline => "baseline",
    };
    let FrameRate { num, den } = format.fps;
    format!(
        "from packet {} on the stream is {}x{}, profile {profile}, {num}/{den} pictures a second",
        format.first, format.width, format.height
    )
}

/// Frames, frames a second of real time, kbit in a second of the stream's time, dropped.
fn line(counts: Counts, fps: FrameRate, elapsed: Duration) -> String {
    let ms = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let deci = counts.frames.saturating_mul(10_000) / ms;
    let span = counts
        .frames
        .saturating_mul(u64::from(fps.den))
        .saturating_mul(1000)
        .max(1);
    let bits = u128::from(counts.bytes) * 8 * u128::from(fps.num);
    let kbps = bits / u128::from(span);
    let (whole, tenth) = (deci / 10, deci % 10);
    format!(
        "frames {}  fps {whole}.{tenth}  {kbps} kbit/s  dropped {}",
        counts.frames, counts.dropped
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitrate_is_that_of_the_stream_and_the_rate_that_of_the_clock() {
        let counts = Counts {
            frames: 50,
            bytes: 500_000,
            dropped: 3,
        };
        let fps = FrameRate { num: 25, den: 1 };
        let shown = line(counts, fps, Duration::from_millis(1000));
        assert_eq!(shown, "frames 50  fps 50.0  2000 kbit/s  dropped 3");
    }

    #[test]
    fn nothing_yet_is_shown_as_nothing() {
        let fps = FrameRate {
            num: 30_000,
            den: 1001,
        };
        let shown = line(Counts::default(), fps, Duration::ZERO);
        assert_eq!(shown, "frames 0  fps 0.0  0 kbit/s  dropped 0");
    }
}
