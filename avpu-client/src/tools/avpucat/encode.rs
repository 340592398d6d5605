//! Frames into a channel of our own, its bitstream out of it.
//!
//! One loop waits for everything: the input, the daemon, the output, signals. Nothing is read from the input while
//! a picture waits for a free buffer, and nothing is submitted while the output has bytes to write: so memory is
//! bounded and a slow output slows the input down instead of losing pictures.

use super::address::ChannelKeys;
use super::endpoint::{Output, Source, refuse_terminal};
use super::failure::Failure;
use super::frames::{Frames, Step, Stream};
use super::link;
use super::options::Options;
use super::plan::{self, Input, Sink};
use super::progress::Progress;
use super::wait::Patience;
use crate::source::{FrameRate, Nv12Picture, PictureSize, SourceError, TestPattern};
use crate::{Buffer, Channel, ChannelConfig, Client, ClientError, Frame, Next, Outcome, Reader};
use avpu_proto::types::{DropReason, FrameEnd};
use nix::poll::PollFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Source buffers: one in the encoder, one that waits, one that is filled.
const BUFFERS: u8 = 3;

/// Encodes until the input ends or the user asks to stop, then drains.
pub(crate) fn run(
    options: &Options,
    socket: Option<&str>,
    keys: &ChannelKeys,
    frames: &plan::Frames,
    sink: Option<&Sink>,
    patience: &mut Patience,
) -> Result<(), Failure> {
    if let Some(sink) = sink {
        refuse_terminal(sink)?;
    }
    let (client, tap) = link::connect(options, socket)?;
    let result = with_client(&client, keys, frames, sink, patience);
    drop(client);
    tap.finish();
    result
}

fn with_client(
    client: &Client,
    keys: &ChannelKeys,
    frames: &plan::Frames,
    sink: Option<&Sink>,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let pace = match frames {
        plan::Frames::Test(pattern) => pattern.pace,
        plan::Frames::Bytes(_, format) => format.pace,
    };
    let mut opened = open_frames(frames, patience)?;
    let mut input = InputState::default();
    let (size, fps) = match find_geometry(&mut opened, &mut input, patience)? {
        Some(geometry) => geometry,
        // Interrupted before there was anything to encode.
        None => return Ok(()),
    };
    let channel = client.open_channel(&config(keys, size, fps))?;
    let reader = sink.map(|_| channel.subscribe()).transpose()?;
    let buffers = channel.lease(BUFFERS)?;
    let layout = channel.opened().source;
    let picture = Nv12Picture::with_layout(size, &layout).map_err(SourceError::from)?;
    let output = match sink {
        None => None,
        Some(sink) => Some(open_output(sink, frames, &opened, patience)?),
    };
    let mut encode = Encode {
        descriptor: client.as_fd()?,
        channel,
        reader,
        output,
        frames: opened,
        input,
        picture,
        picture_waits: false,
        buffers,
        submitted: 0,
        fps,
        pace: pace.then(Instant::now),
        draining: false,
        stream_ended: false,
        progress: Progress::new(fps),
    };
    let result = encode.run(patience);
    encode.progress.finish();
    result
}

/// A pattern is there at once; an input is opened, a socket of our own waits for its peer.
fn open_frames(frames: &plan::Frames, patience: &mut Patience) -> Result<Frames, Failure> {
    match frames {
        plan::Frames::Test(pattern) => Ok(Frames::Pattern {
            pattern: Box::new(TestPattern::new(pattern.size, pattern.fps)),
            next: 0,
            end: pattern.frames,
        }),
        plan::Frames::Bytes(input, format) => {
            let source = Source::open(input, patience)?;
            Ok(Frames::Bytes(Box::new(Stream::new(source, *format))))
        }
    }
}

/// The bitstream goes back over the socket that the frames come from, where it is the same address.
fn open_output(
    sink: &Sink,
    frames: &plan::Frames,
    opened: &Frames,
    patience: &mut Patience,
) -> Result<Output, Failure> {
    if let (Sink::Socket(one), plan::Frames::Bytes(Input::Socket(other), _)) = (sink, frames)
        && one == other
        && let Some(source) = opened.source()
    {
        return source.writing_half();
    }
    Output::open(sink, true, patience)
}

fn config(keys: &ChannelKeys, size: PictureSize, fps: FrameRate) -> ChannelConfig {
    let mut config = ChannelConfig::new(size.width(), size.height())
        .fps(fps.num, fps.den)
        .rate_control(keys.rate_control)
        .profile(keys.profile)
        .class(keys.class)
        .weight(keys.weight)
        .overload(keys.overload)
        .deadline_us(keys.deadline_us)
        .preroll_bytes(keys.preroll_bytes)
        .picture_bytes_max(keys.picture_bytes_max)
        .ring_bytes(keys.ring_bytes)
        .access_unit_delimiters(keys.delimiters)
        .full_range(keys.full_range)
        .filler(keys.filler)
        .name(keys.name.as_str());
    if let Some(rate) = keys.fps_out {
        config = config.fps_out(rate.num, rate.den);
    }
    if let Some(steps) = keys.ip_qp_delta {
        config = config.ip_qp_delta(steps);
    }
    if let Some(gop) = keys.gop {
        config = config.gop_length(gop.pictures(fps));
    }
    config
}

/// What is known about the input.
#[derive(Clone, Copy, Debug, Default)]
struct InputState {
    /// The last wait found it readable.
    readable: bool,
    /// The last read found its end.
    ended: bool,
}

fn find_geometry(
    frames: &mut Frames,
    input: &mut InputState,
    patience: &mut Patience,
) -> Result<Option<(PictureSize, FrameRate)>, Failure> {
    loop {
        if let Step::Header = frames.find_header(input.ended)?
            && let Some(geometry) = frames.geometry()
        {
            return Ok(Some(geometry));
        }
        let Some(fd) = frames.as_fd() else {
            return Ok(None);
        };
        let ready = patience.wait(&[(fd, PollFlags::POLLIN)], None)?;
        if patience.interrupts()? > 0 {
            return Ok(None);
        }
        if !ready[0].is_empty() {
            input.ended = frames.read()?;
            patience.touch();
        }
    }
}

struct Encode {
    descriptor: OwnedFd,
    channel: Channel,
    reader: Option<Reader>,
    output: Option<Output>,
    frames: Frames,
    input: InputState,
    /// The picture that goes into the next free buffer.
    picture: Nv12Picture,
    picture_waits: bool,
    buffers: Vec<Buffer>,
    submitted: u64,
    fps: FrameRate,
    /// When the first picture was due, where pictures keep to the clock.
    pace: Option<Instant>,
    draining: bool,
    stream_ended: bool,
    progress: Progress,
}

impl Encode {
    fn run(&mut self, patience: &mut Patience) -> Result<(), Failure> {
        while !(self.stream_ended && self.output_is_idle()) {
            let mut moved = self.take_released()?;
            moved |= self.take_packets()?;
            moved |= match &mut self.output {
                Some(output) => output.flush()?,
                None => false,
            };
            if !self.draining {
                moved |= self.feed(patience.interrupts()? > 0)?;
            }
            if moved {
                patience.touch();
                // Also while there is always something to do a second Ctrl-C counts.
                patience.interrupts()?;
            } else if !self.stream_ended {
                self.wait(patience)?;
            } else {
                self.wait_for_output(patience)?;
            }
        }
        let dropped = self.progress.counts().dropped;
        if dropped > 0 {
            let frames = self.submitted;
            let sentence = format!("{dropped} of {frames} frames were not encoded");
            return Err(Failure::Failed(sentence));
        }
        Ok(())
    }

    fn output_is_idle(&self) -> bool {
        self.output.as_ref().is_none_or(Output::is_idle)
    }

    /// Buffers that the encoder is done with.
    fn take_released(&mut self) -> Result<bool, Failure> {
        let mut moved = false;
        while let Some(released) = self.channel.try_next_released()? {
            moved = true;
            match released.outcome {
                Outcome::Ended {
                    end: FrameEnd::Encoded { .. },
                    ..
                } => {
                    if self.reader.is_none() {
                        self.progress.add_frame(0);
                    }
                }
                // That is what fpsout asks for.
                Outcome::Ended {
                    end: FrameEnd::Dropped(DropReason::Decimated),
                    ..
                } => {}
                Outcome::Ended { frame, end } => {
                    eprintln!("avpucat: frame {frame} was not encoded: {end:?}");
                    self.progress.add_dropped(1);
                }
                Outcome::Refused(refusal) => return Err(ClientError::Refused(refusal).into()),
                Outcome::Lost => return Err(ClientError::Disconnected.into()),
            }
            self.buffers.extend(released.source.into_buffer());
        }
        Ok(moved)
    }

    fn take_packets(&mut self) -> Result<bool, Failure> {
        let (Some(reader), Some(output)) = (&mut self.reader, &mut self.output) else {
            return self.look_for_end();
        };
        let mut moved = false;
        while output.is_idle() && !self.stream_ended {
            match reader.try_next_packet()? {
                None => break,
                Some(Next::Packet(packet)) => {
                    output.push(packet.bytes);
                    self.progress.add_frame(packet.bytes.len());
                    output.flush()?;
                }
                // What was lost in the encoder is counted where its buffer comes back.
                Some(Next::Gap { cause, count }) => {
                    eprintln!("avpucat: {count} packets are missing: {cause:?}");
                }
                Some(Next::FormatChanged(format)) => self.progress.change_format(&format),
                Some(Next::EndOfStream(_)) => self.stream_ended = true,
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Without a reader the channel itself says when it has ended.
    fn look_for_end(&mut self) -> Result<bool, Failure> {
        if !self.draining || self.stream_ended {
            return Ok(false);
        }
        match self.channel.finish(Some(Duration::ZERO)) {
            Ok(_) => self.stream_ended = true,
            Err(ClientError::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.stream_ended)
    }

    /// Gets the next picture and submits it when there is a buffer, or drains at the end.
    fn feed(&mut self, stop: bool) -> Result<bool, Failure> {
        let mut moved = false;
        if !stop && !self.picture_waits {
            if self.input.readable {
                self.input.readable = false;
                self.input.ended = self.frames.read()?;
                moved = true;
            }
            match self.frames.next(self.input.ended, &mut self.picture)? {
                Step::Picture => self.picture_waits = true,
                Step::End => return self.drain(),
                Step::Wait => self.input.ended = false,
                Step::Header => {}
            }
        }
        if stop && !self.picture_waits {
            return self.drain();
        }
        if self.picture_waits && self.output_is_idle() && self.is_due() {
            moved |= self.submit()?;
        }
        Ok(moved)
    }

    fn submit(&mut self) -> Result<bool, Failure> {
        let Some(mut buffer) = self.buffers.pop() else {
            return Ok(false);
        };
        buffer.write_at(0, self.picture.bytes())?;
        let frame = Frame {
            timestamp: self.time_us(self.submitted),
            cookie: self.submitted,
            force_idr: false,
        };
        self.channel
            .submit_unwaited(buffer, frame)
            .map_err(|refused| Failure::Client(refused.error))?;
        self.submitted += 1;
        self.picture_waits = false;
        Ok(true)
    }

    fn drain(&mut self) -> Result<bool, Failure> {
        self.draining = true;
        self.channel.drain()?;
        Ok(true)
    }

    /// When a picture is shown, counted from the first.
    fn time_us(&self, index: u64) -> u64 {
        let time = u128::from(index) * u128::from(self.fps.den) * 1_000_000;
        u64::try_from(time / u128::from(self.fps.num.max(1))).unwrap_or(u64::MAX)
    }

    fn due(&self) -> Option<Instant> {
        let start = self.pace?;
        start.checked_add(Duration::from_micros(self.time_us(self.submitted)))
    }

    fn is_due(&self) -> bool {
        self.due().is_none_or(|due| due <= Instant::now())
    }

    fn wait(&mut self, patience: &mut Patience) -> Result<(), Failure> {
        let mut wanted = Vec::with_capacity(3);
        // Packets stay where they are while the output is busy: their daemon would only say so again and again.
        let output = self.output.as_ref();
        let output_at = output.map(|output| {
            wanted.push(output.interest());
            wanted.len() - 1
        });
        if self.output_is_idle() {
            wanted.push((self.descriptor.as_fd(), PollFlags::POLLIN));
        }
        let reads = !self.draining && !self.picture_waits;
        let input_at = self.frames.as_fd().filter(|_| reads).map(|fd| {
            wanted.push((fd, PollFlags::POLLIN));
            wanted.len() - 1
        });
        let paced = self.picture_waits && !self.buffers.is_empty() && self.output_is_idle();
        let until = self.due().filter(|_| paced && !self.draining);
        let ready = patience.wait(&wanted, until)?;
        if let (Some(output), Some(at)) = (output, output_at) {
            output.check(ready[at])?;
        }
        self.input.readable = input_at.is_some_and(|at| !ready[at].is_empty());
        patience.interrupts()?;
        Ok(())
    }

    fn wait_for_output(&self, patience: &mut Patience) -> Result<(), Failure> {
        if let Some(output) = &self.output {
            patience.wait(&[output.interest()], None)?;
            patience.interrupts()?;
        }
        Ok(())
    }
}
