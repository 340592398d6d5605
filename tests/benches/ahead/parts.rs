//! Core and driver alone: a completion and the start behind it, and what making ready takes out of them.

use avpu_proto::types::{Class, RateControl};
use avpu_tests::bench::fixed_quality;
use avpu_tests::schedule::{Daemon, Discipline as _, Load};
use avpud::codec::avc::Headers;
use avpud::codec::gop::Gop;
use avpud::core::time::Micros;
use avpud::device::Device;
use avpud::device::model::VirtualModel;
use avpud::driver::{Engine, IrqVerdict};
use avpud::hw::layout::ChannelLayout;
use avpud::job::{ChannelKey, EncodeJob, EngineId, JobId};
use avpud::mem::{ByteLen, RegionOffset};
use avpud::picture::{BitRate, QpRange};
use avpud::picture::{ChannelSetup, Qp};
use std::time::{Duration, Instant};

/// Channels at once.
const CHANNELS: [usize; 3] = [2, 8, 64];
const PICTURES: u32 = 20_000;
/// Runs of which the fastest counts.
const RUNS: u32 = 5;

/// What each picture of a run took.
#[derive(Default)]
struct Took {
    /// From the end of the one before it until it was started.
    between: Vec<Duration>,
    /// Making it ready, where it was.
    making: Vec<Duration>,
}

pub(crate) fn run() {
    println!("from the end of a picture until the next one is started, in the core alone");
    for channels in CHANNELS {
        tell(&format!("{channels} channels"), |ahead| {
            core(channels, ahead)
        });
    }
    println!("starting a picture, in the driver alone, the model's part included");
    tell("2 channels", driver);
}

fn tell(what: &str, measure: impl Fn(bool) -> Took) {
    let mut best = [Duration::MAX; 3];
    let mut made = 0;
    for _ in 0..RUNS {
        let (mut without, mut with) = (measure(false), measure(true));
        let medians = [
            median(&mut without.between),
            median(&mut with.between),
            median(&mut with.making),
        ];
        made = with.making.len();
        best = [0, 1, 2].map(|index| best[index].min(medians[index]));
    }
    let [without, with, making] = best.map(|took| took.as_nanos());
    let percent = made * 100 / usize::try_from(PICTURES).expect("few");
    println!(
        "  {what:>11} {without:>5} ns, with the next picture made ready {with:>5} ns; making it takes {making:>5} ns and was done for {percent} % of them"
    );
}

/// What was in the way of one picture is not in the way of most.
fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

fn core(channels: usize, ahead: bool) -> Took {
    let loads: Vec<Load> = (0..channels)
        .map(|index| {
            let mut load = Load::flood(64, 64, 1);
            load.wish.rate_control = RateControl::Cbr {
                bitrate_bps: 300_000,
                qp_min: 0,
                qp_max: 0,
            };
            if index % 2 == 0 {
                load.wish.class = Class::Live;
            }
            load
        })
        .collect();
    let mut daemon = Daemon::new(&loads).unwrap_or_else(|(index, refusal)| {
        panic!("channel {index} is refused: {}", refusal.sentence);
    });
    let mut now_us = 0;
    for index in 0..channels {
        for _ in 0..3 {
            assert!(daemon.arrive(now_us, index));
        }
    }
    let mut took = Took::default();
    for _ in 0..PICTURES {
        let index = daemon.start(now_us).expect("frames wait");
        if ahead {
            let start = Instant::now();
            let made = daemon.look_ahead(Micros::new(now_us));
            took.making.extend(made.then(|| start.elapsed()));
        }
        now_us += 150;
        let start = Instant::now();
        daemon.done(now_us, index);
        took.between.push(start.elapsed());
        assert!(daemon.arrive(now_us, index));
    }
    took
}

/// Two channels in turn.
fn driver(ahead: bool) -> Took {
    let range = QpRange::new(Qp::new(20).expect("a qp"), Qp::MAX).expect("a range");
    let setup = ChannelSetup {
        rate_control: avpud::picture::RateControl::Cbr {
            target: BitRate::new(400_000).expect("a rate"),
            range,
        },
        ..fixed_quality(64, 64, 50, 30)
    };
    let device = VirtualModel::new("body=pattern,pace=free", &[], None).expect("a model");
    let arena = device.capabilities().arena;
    let mut engine = Engine::bring_up(device).expect("the model answers");
    let layout = ChannelLayout::new(&setup).expect("a layout");
    let part_len = layout.len_bytes().value().next_multiple_of(4096);
    let part = |index: u32, len| {
        let offset = RegionOffset::new(index * part_len);
        arena.sub(offset, ByteLen::new(len)).expect("inside")
    };
    let source = part(2, setup.geometry.coded().source_len_bytes());
    let mut channels: Vec<(ChannelKey, Gop, Headers)> = Vec::new();
    for index in 0..2_u16 {
        let key = ChannelKey::new(index);
        let memory = part(u32::from(index), layout.len_bytes().value());
        engine.open_channel(key, &setup, memory).expect("opened");
        let headers = Headers::new(&setup, layout.stream_layout().budget.value());
        channels.push((key, Gop::new(setup.gop_length), headers.expect("headers")));
    }
    let qp = Qp::new(30).expect("a qp");
    let mut id = JobId::FIRST;
    let mut took = Took::default();
    for turn in 0..PICTURES {
        let index = usize::try_from(turn % 2).expect("small");
        let (key, gop, headers) = &mut channels[index];
        let place = gop.start(qp);
        let job = EncodeJob {
            id,
            engine: EngineId::VIDEO,
            channel: *key,
            kind: place.kind,
            gop_index: place.index,
            qp,
            gop_qp: place.gop_qp,
            rate_control: setup.rate_control,
            budget: None,
            source,
            header: headers.picture(place, qp).expect("a header"),
        };
        id = id.next();
        if ahead {
            let start = Instant::now();
            engine.prepare(&job).expect("written");
            took.making.push(start.elapsed());
        }
        let start = Instant::now();
        engine.start(&job).expect("started");
        took.between.push(start.elapsed());
        let device = engine.device();
        device.advance_to(device.now_us() + 1000);
        let line = device.take_irq().expect("an interrupt");
        let verdict = engine.on_irq(line);
        assert!(matches!(verdict, IrqVerdict::Completed(_)));
        engine.release_payload(*key, job.id).expect("held");
        gop.handle_encoded();
    }
    let used = usize::try_from(engine.counters().lists_ahead);
    assert_eq!(used, Ok(took.making.len()));
    took
}
