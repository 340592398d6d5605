//! Bytes as they are, one way or both, until every way has ended.

use super::endpoint::{Output, Source};
use super::failure::Failure;
use super::plan::{Input, Sink};
use super::wait::Patience;
use nix::poll::PollFlags;
use std::os::fd::BorrowedFd;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Passes bytes on.
pub(crate) fn run(
    right: Option<(Input, Sink)>,
    left: Option<(Input, Sink)>,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let mut lanes = open(right, left, patience)?;
    while !lanes.is_empty() {
        let wanted: Vec<_> = lanes.iter().map(Lane::interest).collect();
        let ready = patience.wait(&wanted, None)?;
        let stop = patience.interrupts()? > 0;
        for (lane, ready) in lanes.iter_mut().zip(ready) {
            if lane.pass(ready, stop)? {
                patience.touch();
            }
        }
        // What has ended is closed, so that its reader learns it while the other way goes on.
        lanes.retain(|lane| !lane.over);
    }
    Ok(())
}

/// A socket that is read and written is one connection.
fn open(
    right: Option<(Input, Sink)>,
    left: Option<(Input, Sink)>,
    patience: &mut Patience,
) -> Result<Vec<Lane>, Failure> {
    let mut lanes: Vec<Lane> = Vec::new();
    match (right, left) {
        (Some((right_in, right_out)), Some((left_in, left_out))) => {
            let left_source = Source::open(&left_in, patience)?;
            let right_source = Source::open(&right_in, patience)?;
            let right_output = output(&right_out, (&left_in, &left_source), patience)?;
            let left_output = output(&left_out, (&right_in, &right_source), patience)?;
            lanes.push(Lane::new(right_source, right_output));
            lanes.push(Lane::new(left_source, left_output));
        }
        (Some((input, sink)), None) | (None, Some((input, sink))) => {
            let source = Source::open(&input, patience)?;
            let output = output(&sink, (&input, &source), patience)?;
            lanes.push(Lane::new(source, output));
        }
        (None, None) => {}
    }
    Ok(lanes)
}

fn output(
    sink: &Sink,
    (input, source): (&Input, &Source),
    patience: &mut Patience,
) -> Result<Output, Failure> {
    match (sink, input) {
        (Sink::Socket(one), Input::Socket(other)) if one == other => source.writing_half(),
        _ => Output::open(sink, false, patience),
    }
}

struct Lane {
    source: Source,
    output: Output,
    buffer: Vec<u8>,
    ended: bool,
    over: bool,
}

impl Lane {
    fn new(source: Source, output: Output) -> Self {
        Self {
            source,
            output,
            buffer: vec![0; READ_BYTES],
            ended: false,
            over: false,
        }
    }

    /// Reads only when everything was written.
    fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        if !self.output.is_idle() {
            return self.output.interest();
        }
        (self.source.as_fd(), PollFlags::POLLIN)
    }

    fn pass(&mut self, ready: PollFlags, stop: bool) -> Result<bool, Failure> {
        let mut moved = false;
        if self.output.is_idle() && !self.ended && !stop && !ready.is_empty() {
            let count = self.source.read(&mut self.buffer)?;
            self.output.push(&self.buffer[..count]);
            self.ended = count == 0;
            moved = true;
        }
        moved |= self.output.flush()?;
        if (self.ended || stop) && self.output.is_idle() {
            self.output.finish();
            self.over = true;
        }
        Ok(moved)
    }
}
