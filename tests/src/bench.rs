//! A driver on the model with channels, in virtual time: pictures in, access units and reconstructions out.
//!
//! It stands where core and shell stand in the daemon, with the simplest policy there is: what is lost is encoded
//! again as an IDR.

use avpu_model::avc::Frame;
use avpu_model::dump::ReconstructionSink;
use avpu_model::engine::PictureInfo;
use avpud::codec::avc::Headers;
use avpud::codec::filler;
use avpud::codec::gop::Gop;
use avpud::codec::join::join;
use avpud::codec::rate_control::{Controller, PictureCost, RateController};
use avpud::device::model::VirtualModel;
use avpud::device::{Device, Export};
use avpud::driver::{Completion, Engine, IrqVerdict, SpuriousCause};
use avpud::hw::layout::ChannelLayout;
use avpud::job::PictureStats;
use avpud::job::{ChannelKey, EncodeJob, EngineId, JobFailure, JobId, JobOutcome};
use avpud::mem::{ByteLen, PhysAddr, PhysRange};
use avpud::picture::{
    ChannelSetup, Coding, FrameRate, Geometry, PictureKind, PictureSize, Qp, RateControl,
    RateTuning, StreamCount,
};
use std::convert::Infallible;
use std::fs::File;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// A driver with channels.
pub struct Bench {
    engine: Engine<VirtualModel>,
    reconstruction: Arc<Mutex<Vec<u8>>>,
    channels: Vec<BenchChannel>,
    next_job: JobId,
    keeps_pictures: bool,
    /// Memory that is not given out, from here to the end of the arena.
    free: PhysAddr,
}

/// What went in and came out of a channel.
pub struct BenchChannel {
    key: ChannelKey,
    setup: ChannelSetup,
    gop: Gop,
    rate: Controller,
    headers: Headers,
    source: (PhysRange, File),
    /// The access units delivered.
    pub stream: Vec<u8>,
    /// The visible parts of their reconstructions, I420.
    pub reconstructed: Vec<u8>,
    lost: u32,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug)]
pub struct BenchPicture {
    /// IDR or P.
    pub kind: PictureKind,
    /// Slice quantiser.
    pub qp: Qp,
    /// Bytes in the stream, headers included.
    pub len_bytes: u32,
    /// What the device says of it.
    pub stats: PictureStats,
}

/// Keeps the last reconstruction as I420, whole macroblocks.
struct LastPicture(Arc<Mutex<Vec<u8>>>);

/// A channel with a fixed quantiser and High profile.
///
/// # Panics
/// When the values are none of a channel.
#[must_use]
pub fn fixed_quality(width: u32, height: u32, gop_length: u32, qp: u32) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(PictureSize::new(width, height).expect("a size")),
        frame_rate: FrameRate::new(25, 1).expect("a rate"),
        coding: Coding::HIGH_CABAC,
        rate_control: RateControl::FixQp {
            qp: Qp::new(qp).expect("a quantiser"),
        },
        rate_tuning: RateTuning::default(),
        gop_length: NonZeroU32::new(gop_length).expect("not zero"),
        stream_count: StreamCount::TWO,
    }
}

/// Picture `index` of something that moves, as NV12 of a channel's source; nothing in it repeats.
#[must_use]
pub fn moving_picture(setup: &ChannelSetup, index: u32) -> Vec<u8> {
    let size = setup.geometry.coded();
    let (pitch, rows) = (size.source_pitch_bytes(), size.mb_rows() * 16);
    let mut noise = index.wrapping_mul(0x9e37_79b9) | 1;
    let mut bytes = Vec::new();
    for y in 0..rows {
        for x in 0..pitch {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = ((x + 3 * index) ^ (y + index)) & 0x7f;
            let square = u32::from((x / 16 + y / 16 + index / 4).is_multiple_of(3)) * 60;
            bytes.push((wave + square + (noise >> 28)).to_le_bytes()[0]);
        }
    }
    for y in 0..rows / 2 {
        for x in 0..pitch {
            let value = 96 + (x / 4 + y / 2 + 2 * index) % 64;
            bytes.push(value.to_le_bytes()[0]);
        }
    }
    bytes
}

impl Bench {
    /// A driver on a model with these options.
    ///
    /// # Panics
    /// When the model cannot be made or does not answer.
    #[must_use]
    pub fn new(options: &str) -> Self {
        Self::with(options, true)
    }

    /// As [`Bench::new`], but streams and reconstructions are forgotten: for long runs.
    ///
    /// # Panics
    /// When the model cannot be made or does not answer.
    #[must_use]
    pub fn forgetful(options: &str) -> Self {
        Self::with(options, false)
    }

    fn with(options: &str, keeps_pictures: bool) -> Self {
        let reconstruction = Arc::new(Mutex::new(Vec::new()));
        let sink: Option<Box<dyn ReconstructionSink>> = match keeps_pictures {
            true => Some(Box::new(LastPicture(Arc::clone(&reconstruction)))),
            false => None,
        };
        let model = VirtualModel::new(options, &[], sink).expect("a model");
        let free = model.capabilities().arena.start();
        Self {
            engine: Engine::bring_up(model).expect("the model answers"),
            reconstruction,
            channels: Vec::new(),
            next_job: JobId::FIRST,
            keeps_pictures,
            free,
        }
    }

    /// Opens a channel; they are numbered from 0.
    ///
    /// # Panics
    /// When there is no memory for it.
    pub fn open(&mut self, setup: ChannelSetup) {
        let layout = ChannelLayout::new(&setup).expect("a layout");
        let index = u16::try_from(self.channels.len()).expect("few channels");
        let key = ChannelKey::new(index);
        let memory = self.take(layout.len_bytes().value());
        self.engine
            .open_channel(key, &setup, memory)
            .expect("opened");
        let size = setup.geometry.coded();
        let range = self.take(size.source_len_bytes());
        let device = self.engine.device();
        let Export::Descriptor { fd, .. } = device.export(range).expect("exported") else {
            panic!("expected a descriptor");
        };
        let file = File::from(fd.try_clone_to_owned().expect("a descriptor"));
        let budget = layout.stream_layout().budget.value();
        self.channels.push(BenchChannel {
            key,
            setup,
            gop: Gop::new(setup.gop_length),
            rate: Controller::new(&setup),
            headers: Headers::new(&setup, budget).expect("headers"),
            source: (range, file),
            stream: Vec::new(),
            reconstructed: Vec::new(),
            lost: 0,
        });
    }

    /// Makes a channel's next picture an IDR.
    pub fn force_idr(&mut self, channel: usize) {
        self.channels[channel].gop.force_idr();
    }

    /// Pictures of a channel that were lost and encoded again.
    #[must_use]
    pub fn lost(&self, channel: usize) -> u32 {
        self.channels[channel].lost
    }

    /// Encodes a picture on a channel until it is delivered.
    ///
    /// # Panics
    /// When it is lost again and again.
    pub fn encode(&mut self, channel: usize, picture: &[u8]) -> BenchPicture {
        let source = &self.channels[channel].source.1;
        source.write_all_at(picture, 0).expect("written");
        for _ in 0..16 {
            if let Some(picture) = self.attempt(channel) {
                return picture;
            }
            self.channels[channel].lost += 1;
        }
        panic!("expected a picture after a few attempts, found none");
    }

    /// Goes on with another setup of a channel's rate.
    ///
    /// # Panics
    /// When the setup has other pictures.
    pub fn change(&mut self, channel: usize, setup: ChannelSetup) {
        let channel = &mut self.channels[channel];
        channel.setup = setup;
        channel.rate.change(&setup);
        let tuned = self.engine.tune_channel(channel.key, &setup);
        tuned.expect("the same pictures");
    }

    /// Closes all channels and gives back what they did, the engine and how often the model's rules were broken.
    ///
    /// # Panics
    /// When a guard was overwritten.
    #[must_use]
    pub fn close(mut self) -> (Vec<BenchChannel>, Engine<VirtualModel>) {
        for channel in &self.channels {
            let violations = self.engine.close_channel(channel.key).expect("idle");
            assert_eq!(violations, [], "channel {}", channel.key.index());
        }
        (self.channels, self.engine)
    }

    /// The driver.
    pub fn engine(&mut self) -> &mut Engine<VirtualModel> {
        &mut self.engine
    }

    /// One job from start to delivery; `None` when the picture was lost.
    fn attempt(&mut self, index: usize) -> Option<BenchPicture> {
        let channel = &mut self.channels[index];
        let qp = channel.rate.choose(channel.gop.next_kind());
        let place = channel.gop.start(qp);
        let job = EncodeJob {
            id: self.next_job,
            engine: EngineId::VIDEO,
            channel: channel.key,
            kind: place.kind,
            gop_index: place.index,
            qp,
            gop_qp: place.gop_qp,
            rate_control: channel.setup.rate_control,
            budget: channel.rate.budget(),
            source: channel.source.0,
            header: channel.headers.picture(place, qp).expect("a header"),
        };
        self.next_job = self.next_job.next();
        if self.engine.start(&job).is_err() {
            // The core did not stop after the last reset: the job has ended, and it is reset once more.
            self.channels[index].handle_lost(place.kind, qp, None);
            assert!(self.engine.reset().lost.is_none());
            return None;
        }
        let end = self.wait();
        assert_eq!((end.job, end.channel), (job.id, job.channel));
        let channel = &mut self.channels[index];
        let picture = match end.outcome {
            JobOutcome::Encoded(picture) => picture,
            JobOutcome::Failed(JobFailure::Overflow { bytes, .. }) => {
                channel.handle_lost(place.kind, qp, Some(bytes));
                return None;
            }
            JobOutcome::Failed(_) => {
                channel.handle_lost(place.kind, qp, None);
                return None;
            }
        };
        channel.gop.handle_encoded();
        let start = channel.stream.len();
        let payload = self.engine.payload(job.channel, job.id).expect("held");
        assert_eq!(payload.len_bytes(), picture.payload_len.value());
        join(
            job.header.bytes(),
            payload.len_bytes(),
            |offset, bytes| payload.read(offset, bytes),
            |bytes| {
                channel.stream.extend_from_slice(bytes);
                Ok(())
            },
        )
        .expect("read");
        self.engine
            .release_payload(job.channel, job.id)
            .expect("held");
        let len_bytes = u32::try_from(channel.stream.len() - start).expect("a picture");
        let filler_bytes = channel.rate.filler_bytes(len_bytes);
        filler::write::<Infallible>(filler_bytes, |bytes| {
            channel.stream.extend_from_slice(bytes);
            Ok(())
        })
        .expect("cannot fail");
        let cost = PictureCost {
            len_bytes,
            filler_bytes,
            qp_sum: picture.stats.qp_sum,
            sse_luma: picture.stats.sse_luma,
        };
        channel.rate.handle_encoded(place.kind, qp, &cost);
        if self.keeps_pictures {
            let last = self.reconstruction.lock();
            let last = last.unwrap_or_else(PoisonError::into_inner);
            crop(&channel.setup, &last, &mut channel.reconstructed);
        } else {
            channel.stream.clear();
        }
        Some(BenchPicture {
            kind: place.kind,
            qp,
            len_bytes: len_bytes + filler_bytes,
            stats: picture.stats,
        })
    }

    /// Lets time pass until the job in the core has ended; resets the core when nothing will happen any more.
    fn wait(&mut self) -> Completion {
        loop {
            if let Some(line) = self.engine.device().take_irq() {
                match self.engine.on_irq(line) {
                    IrqVerdict::Completed(completion) => return completion,
                    IrqVerdict::Spurious(SpuriousCause::NotWritten | SpuriousCause::NoJob)
                    | IrqVerdict::Foreign(_) => {}
                }
            } else if let Some(at) = self.engine.device().next_event_us() {
                self.engine.device().advance_to(at);
            } else if let Some(completion) = self.late() {
                return completion;
            }
        }
    }

    /// What is left to do when no interrupt comes any more.
    fn late(&mut self) -> Option<Completion> {
        // Well past the time in which the core does not bear being read.
        let now_us = self.engine.device().now_us() + 100_000;
        self.engine.device().advance_to(now_us);
        let found = self.engine.poll_completion();
        found.or_else(|| self.engine.reset().lost)
    }

    /// Memory that nothing else uses.
    fn take(&mut self, len_bytes: u32) -> PhysRange {
        let range = PhysRange::new(self.free, ByteLen::new(len_bytes)).expect("room");
        let next = range.end().next_multiple_of(4096);
        self.free = PhysAddr::new(u32::try_from(next).expect("below 4 GiB"));
        range
    }
}

impl BenchChannel {
    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>) {
        self.gop.handle_lost();
        self.rate.handle_lost(kind, qp, claimed_bytes);
    }
}

impl ReconstructionSink for LastPicture {
    fn picture(&mut self, _info: &PictureInfo, frame: &Frame) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clear();
        last.extend_from_slice(frame.luma());
        for plane in 0..2 {
            last.extend(frame.chroma().iter().skip(plane).step_by(2));
        }
    }
}

/// Appends the visible part of a picture of whole macroblocks.
fn crop(setup: &ChannelSetup, picture: &[u8], into: &mut Vec<u8>) {
    let index = |value: u32| usize::try_from(value).expect("small");
    let (coded, visible) = (setup.geometry.coded(), setup.geometry.visible());
    let (pitch, rows) = (
        index(coded.source_pitch_bytes()),
        index(coded.mb_rows()) * 16,
    );
    let (width, height) = (index(visible.width()), index(visible.height()));
    let (luma, chroma) = picture.split_at(pitch * rows);
    for line in luma.chunks(pitch).take(height) {
        into.extend_from_slice(&line[..width]);
    }
    for plane in chroma.chunks(pitch / 2 * (rows / 2)) {
        for line in plane.chunks(pitch / 2).take(height / 2) {
            into.extend_from_slice(&line[..width / 2]);
        }
    }
}
