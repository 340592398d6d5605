//! The engine on a scripted device: order of accesses, and every way in which a picture can end.

mod ahead;
mod failures;
mod fake;
mod pictures;
mod random;
mod tuning;
mod unstopped;

use super::{Completion, Engine, IrqVerdict, SpuriousCause};
use crate::hw::irq::IrqLine;
use crate::job::{
    CavlcHandover, ChannelKey, EncodeJob, EngineId, JobFailure, JobId, JobOutcome, PictureHeader,
};
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange};
use crate::picture::{
    BitRate, ChannelSetup, Coding, FrameRate, Geometry, PictureKind, PictureSize, Qp, QpRange,
    RateControl, RateTuning, StreamCount,
};
use core::num::NonZeroU32;
use fake::Fake;

/// Memory of the two channels: their command lists then lie where a camera's did.
const MAIN_MEMORY: u32 = 0x067f_ea00;
const SUB_MEMORY: u32 = 0x0786_3a00;
const SOURCE: u32 = 0x0600_0000;
const MAIN: ChannelKey = ChannelKey::new(0);
const SUB: ChannelKey = ChannelKey::new(1);

fn setup(width: u32, height: u32) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(PictureSize::new(width, height).expect("a size")),
        frame_rate: FrameRate::new(25, 1).expect("a rate"),
        coding: Coding::HIGH_CABAC,
        rate_control: RateControl::Cbr {
            target: BitRate::new(2_000_000).expect("a rate"),
            range: QpRange::new(Qp::new(20).expect("a qp"), Qp::MAX).expect("a range"),
        },
        rate_tuning: RateTuning::default(),
        gop_length: NonZeroU32::new(50).expect("not zero"),
        stream_count: StreamCount::TWO,
    }
}

fn range(start: u32, len: u32) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
}

/// An engine with the channels of a camera open: 1920x1080 and 640x360.
fn engine() -> Engine<Fake> {
    let mut engine = Engine::bring_up(Fake::new()).expect("the scripted device");
    let main = range(MAIN_MEMORY, SUB_MEMORY - MAIN_MEMORY);
    engine
        .open_channel(MAIN, &setup(1920, 1080), main)
        .expect("main");
    let sub = range(SUB_MEMORY, 0x0020_0000);
    engine
        .open_channel(SUB, &setup(640, 360), sub)
        .expect("sub");
    engine.device().take_log();
    engine
}

fn job(number: u32, channel: ChannelKey, gop_index: u32) -> EncodeJob {
    let size = if channel == MAIN {
        setup(1920, 1080)
    } else {
        setup(640, 360)
    };
    let id = (0..number).fold(JobId::FIRST, |id, _| id.next());
    EncodeJob {
        id,
        engine: EngineId::VIDEO,
        channel,
        kind: if gop_index == 0 {
            PictureKind::Idr
        } else {
            PictureKind::P
        },
        gop_index,
        qp: Qp::new(30).expect("a qp"),
        gop_qp: Qp::new(28).expect("a qp"),
        rate_control: size.rate_control,
        budget: None,
        source: range(SOURCE, size.geometry.coded().source_len_bytes()),
        header: PictureHeader::new(&[0, 0, 0, 1, 0x65, 0x88], 10, CavlcHandover::default())
            .expect("a short header"),
    }
}

/// The end that an interrupt brought.
fn completion(verdict: IrqVerdict) -> Completion {
    match verdict {
        IrqVerdict::Completed(completion) => completion,
        other => panic!("expected a completion, found {other:?}"),
    }
}

/// Starts a picture and lets the hardware finish it with `payload`.
fn encode(engine: &mut Engine<Fake>, job: &EncodeJob, payload: &[u8]) -> JobOutcome {
    engine.start(job).expect("started");
    engine.device().encode(payload);
    let end = completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    assert_eq!((end.job, end.channel), (job.id, job.channel));
    end.outcome
}

fn is_spurious(verdict: &IrqVerdict, expected: SpuriousCause) -> bool {
    matches!(verdict, IrqVerdict::Spurious(cause) if *cause == expected)
}

fn failed(outcome: JobOutcome) -> JobFailure {
    match outcome {
        JobOutcome::Failed(failure) => failure,
        JobOutcome::Encoded(picture) => panic!("expected a failure, found {picture:?}"),
    }
}
