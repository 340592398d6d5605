//! Whole files: what is equal, what differs, what was left out.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

use avpud::picture::Entropy;

use super::compare::compare;
use super::rebuild::Rebuilder;
use super::record::{Config, Frame, Line, parse};
use super::tables::{compare_tables, ends_with_slice_header};
use super::trace::{compare_picture, compare_power_up};

/// Counts over all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Words compared.
    pub words: u32,
    /// Words that are equal.
    pub words_equal: u32,
    /// Pictures compared.
    pub frames: u32,
    /// Pictures of which everything compared is equal.
    pub frames_equal: u32,
    /// Pictures that could not be rebuilt and lines that could not be read.
    pub skipped: u32,
    /// Register sequences outside pictures that differ.
    pub sequences_different: u32,
}

/// The state of going through one file.
struct Pass<'a, W> {
    tally: &'a mut Tally,
    out: &'a mut W,
    name: &'a str,
    channel: Option<Channel>,
    /// What of the tables and headers was compared.
    extras_equal: u32,
    extras_different: u32,
}

struct Channel {
    config: Config,
    rebuilder: Result<Rebuilder, String>,
}

impl Tally {
    /// Whether something was compared and everything was equal.
    #[must_use]
    pub fn is_all_equal(&self) -> bool {
        self.frames > 0
            && self.frames == self.frames_equal
            && self.words == self.words_equal
            && self.skipped == 0
            && self.sequences_different == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "words equal {} of {}, frames equal {} of {}, skipped {}",
            self.words_equal, self.words, self.frames_equal, self.frames, self.skipped
        )
    }
}

/// Checks the text of one file, adds to `tally` and writes what differs to `out`.
pub fn check(name: &str, text: &str, tally: &mut Tally, out: &mut impl Write) -> io::Result<()> {
    let mut unknown = BTreeSet::new();
    let mut pass = Pass {
        tally,
        out,
        name,
        channel: None,
        extras_equal: 0,
        extras_different: 0,
    };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        match parse(line, &mut unknown) {
            Err(error) => {
                pass.say(number, &format!("error: {error}"))?;
                pass.tally.skipped += 1;
                pass.lose(error.loses_config);
            }
            Ok(Line::Config(config)) => pass.config(number, *config)?,
            Ok(Line::Frame(frame)) => pass.frame(number, &frame)?,
        }
    }
    let (equal, different) = (pass.extras_equal, pass.extras_different);
    if equal + different > 0 {
        writeln!(
            out,
            "{name}: parameter buffers and slice headers (not counted): {equal} equal, {different} different"
        )?;
    }
    for key in unknown {
        writeln!(out, "{name}: unknown key: {key}")?;
    }
    Ok(())
}

impl<W: Write> Pass<'_, W> {
    fn say(&mut self, number: usize, what: &str) -> io::Result<()> {
        writeln!(self.out, "{}:{number}: {what}", self.name)
    }

    /// A line that could not be read was the next picture, or the next channel.
    fn lose(&mut self, loses_config: bool) {
        if loses_config {
            self.channel = None;
        } else if let Some(Channel {
            rebuilder: Ok(rebuilder),
            ..
        }) = &mut self.channel
        {
            rebuilder.lose_count();
        }
    }

    fn config(&mut self, number: usize, config: Config) -> io::Result<()> {
        let rebuilder = Rebuilder::new(&config);
        if let Err(reason) = &rebuilder {
            self.say(
                number,
                &format!("{} cannot be rebuilt: {reason}", config.name),
            )?;
        }
        if let Some(recorded) = &config.init_writes {
            let differences = compare_power_up(recorded);
            for difference in &differences {
                self.say(number, &format!("{} init {difference}", config.name))?;
            }
            self.tally.sequences_different += u32::from(!differences.is_empty());
        }
        if let Ok(rebuilder) = &rebuilder {
            for (table, equal) in compare_tables(&config.tables, rebuilder.rate_control()) {
                self.extra(number, &format!("{} {table}", config.name), equal)?;
            }
        }
        self.channel = Some(Channel { config, rebuilder });
        Ok(())
    }

    fn frame(&mut self, number: usize, frame: &Frame) -> io::Result<()> {
        let Some(mut channel) = self.channel.take() else {
            self.say(
                number,
                "error: expected a config line before the first frame",
            )?;
            self.tally.skipped += 1;
            return Ok(());
        };
        let result = self.rebuilt_frame(number, frame, &mut channel);
        self.channel = Some(channel);
        if let Err(reason) = result? {
            self.say(number, &format!("skipped: {reason}"))?;
            self.tally.skipped += 1;
        }
        Ok(())
    }

    /// Compares a picture; the inner error says why it was skipped.
    fn rebuilt_frame(
        &mut self,
        number: usize,
        frame: &Frame,
        channel: &mut Channel,
    ) -> io::Result<Result<(), String>> {
        let config = &channel.config;
        let rebuilder = match &mut channel.rebuilder {
            Ok(rebuilder) => rebuilder,
            Err(reason) => return Ok(Err(reason.clone())),
        };
        let compared = rebuilder.inputs(frame).and_then(|inputs| {
            compare(config, rebuilder, &inputs, frame).map(|verdict| (inputs, verdict))
        });
        let (inputs, verdict) = match compared {
            Ok(compared) => compared,
            Err(reason) => {
                rebuilder.lose_count();
                return Ok(Err(reason));
            }
        };
        rebuilder.advance(&inputs, verdict.qp);
        let entropy = rebuilder.entropy();
        let place = format!("{} n {}", config.name, inputs.place.index);
        for mismatch in &verdict.mismatches {
            let (word, rebuilt) = (mismatch.word, mismatch.rebuilt);
            let (recorded, bits) = (mismatch.recorded, mismatch.bits);
            let masked = if bits == u32::MAX {
                String::new()
            } else {
                format!(" in 0x{bits:08x}")
            };
            self.say(
                number,
                &format!("{place} word 0x{word:02x}: rebuilt 0x{rebuilt:08x}, recorded 0x{recorded:08x}{masked}"),
            )?;
        }
        let writes = match &frame.writes {
            Some(recorded) => compare_picture(frame.buffers.list, recorded),
            None => Vec::new(),
        };
        for difference in &writes {
            self.say(number, &format!("{place} register {difference}"))?;
        }
        if let (Some(header), Entropy::Cabac) = (&frame.header_hex, entropy)
            && let Some(equal) = ends_with_slice_header(header, inputs.place, verdict.qp)
        {
            self.extra(number, &format!("{place} slice header"), equal)?;
        }
        let different = u32::try_from(verdict.mismatches.len()).unwrap_or(u32::MAX);
        self.tally.words += verdict.compared;
        self.tally.words_equal += verdict.compared - different;
        self.tally.frames += 1;
        self.tally.frames_equal += u32::from(different == 0 && writes.is_empty());
        Ok(Ok(()))
    }

    fn extra(&mut self, number: usize, what: &str, equal: bool) -> io::Result<()> {
        if equal {
            self.extras_equal += 1;
            return Ok(());
        }
        self.extras_different += 1;
        self.say(number, &format!("{what} differs (not counted)"))
    }
}
