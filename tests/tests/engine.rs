//! The driver on the model that really encodes: what is delivered is what a decoder sees, whatever the hardware does.

use avpu_tests::bench::{Bench, BenchChannel, fixed_quality, moving_picture};
use avpu_tests::process::Finish;
use avpu_tests::skip::{ffmpeg_or_skip, shared_or_skip};
use avpud::codec::avc::Headers;
use avpud::codec::gop::Gop;
use avpud::device::error::WaitError;
use avpud::device::{Device, Export, IrqCanceller, IrqSource, model};
use avpud::driver::{Engine, IrqVerdict};
use avpud::hw::layout::ChannelLayout;
use avpud::job::{ChannelKey, EncodeJob, EngineId, JobId};
use avpud::mem::{ByteLen, PhysRange, RegionOffset};
use avpud::picture::{BitRate, ChannelSetup, Qp, QpRange, RateControl};
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

/// Decodes a stream and compares every picture with the model's reconstruction.
fn check(name: &str, channel: &BenchChannel) {
    if !ffmpeg_or_skip(name) {
        return;
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.h264"));
    fs::write(&path, &channel.stream).expect("written");
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-f", "h264", "-i"])
        .arg(&path)
        .args([
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-fps_mode",
            "passthrough",
            "-",
        ])
        .stdin(Stdio::null())
        .finish();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaints, "", "{name}");
    let (expected, found) = (&channel.reconstructed, &output.stdout);
    let difference = expected.iter().zip(found).position(|(a, b)| a != b);
    assert_eq!(difference, None, "{name}: first byte that differs");
    assert_eq!(expected.len(), found.len(), "{name}");
    fs::remove_file(&path).expect("removed");
}

fn run(bench: &mut Bench, setups: &[ChannelSetup], pictures: u32) {
    for setup in setups {
        bench.open(*setup);
    }
    for n in 0..pictures {
        for (channel, setup) in setups.iter().enumerate() {
            bench.encode(channel, &moving_picture(setup, n));
        }
    }
}

#[test]
fn streams_decode_to_the_reconstruction_at_any_size_and_quality() {
    for (width, height, qp) in [(176, 144, 26), (130, 98, 10), (320, 192, 51), (16, 16, 30)] {
        let setup = fixed_quality(width, height, 5, qp);
        let mut bench = Bench::new("pace=free");
        bench.open(setup);
        for n in 0..12 {
            if n == 7 {
                bench.force_idr(0);
            }
            bench.encode(0, &moving_picture(&setup, n));
        }
        let (channels, mut engine) = bench.close();
        assert_eq!(engine.device().machine().faults(), []);
        check(&format!("size-{width}x{height}"), &channels[0]);
    }
}

#[test]
fn frames_of_a_camera_decode_to_the_reconstruction() {
    let name = "frames_of_a_camera_decode_to_the_reconstruction";
    let Some(path) = shared_or_skip(name, "clips/office-320x192p12.i420") else {
        return;
    };
    let clip = fs::read(path).expect("a clip");
    let setup = fixed_quality(320, 192, 25, 28);
    let mut bench = Bench::new("pace=free");
    bench.open(setup);
    for frame in clip.chunks_exact(320 * 192 * 3 / 2).take(30) {
        let (luma, chroma) = frame.split_at(320 * 192);
        let (cb, cr) = chroma.split_at(160 * 96);
        let mut picture = luma.to_vec();
        picture.extend(cb.iter().zip(cr).flat_map(|(b, r)| [*b, *r]));
        bench.encode(0, &picture);
    }
    let (channels, mut engine) = bench.close();
    assert_eq!(engine.device().machine().faults(), []);
    check("camera", &channels[0]);
}

#[test]
fn a_channel_with_rate_control_inside_the_picture_decodes_too() {
    let range = QpRange::new(Qp::new(24).expect("a qp"), Qp::new(40).expect("a qp"));
    let setup = ChannelSetup {
        rate_control: RateControl::Cbr {
            target: BitRate::new(400_000).expect("a rate"),
            range: range.expect("a range"),
        },
        ..fixed_quality(176, 144, 6, 24)
    };
    let mut bench = Bench::new("pace=t31");
    run(&mut bench, &[setup], 14);
    let (channels, mut engine) = bench.close();
    assert_eq!(engine.device().machine().faults(), []);
    check("rate-control", &channels[0]);
}

#[test]
fn interleaved_channels_are_what_each_is_alone() {
    let setups = [
        fixed_quality(176, 144, 10, 26),
        fixed_quality(64, 48, 3, 20),
        fixed_quality(320, 192, 50, 35),
    ];
    let mut together = Bench::new("pace=t31");
    run(&mut together, &setups, 8);
    let (channels, mut engine) = together.close();
    assert_eq!(engine.device().machine().faults(), []);
    for (index, setup) in setups.iter().enumerate() {
        let mut alone = Bench::new("pace=t31");
        run(&mut alone, &[*setup], 8);
        let (expected, _) = alone.close();
        assert!(
            expected[0].stream == channels[index].stream,
            "channel {index}"
        );
        check(&format!("interleaved-{index}"), &channels[index]);
    }
}

#[test]
fn every_fault_of_the_hardware_costs_at_most_its_picture() {
    // What strikes picture 6, which is one of channel 0, and whether that picture is lost.
    let faults = [
        ("lost", false),
        ("late", false),
        ("early", false),
        ("duplicate", false),
        ("spurious", false),
        ("wake", false),
        ("eintr", false),
        ("latched", false),
        ("unescaped", false),
        ("stuck", true),
        ("axi:1", true),
        ("overflow", true),
        ("fill", true),
    ];
    let setups = [
        fixed_quality(176, 144, 10, 26),
        fixed_quality(64, 48, 10, 20),
    ];
    let mut quiet = Bench::new("pace=t31");
    run(&mut quiet, &setups, 8);
    let (expected, _) = quiet.close();
    for (fault, lost) in faults {
        let (kind, argument) = fault.split_once(':').unwrap_or((fault, ""));
        let argument = if argument.is_empty() {
            String::new()
        } else {
            format!(":{argument}")
        };
        let mut bench = Bench::new(&format!("pace=t31,fault={kind}@6{argument}"));
        run(&mut bench, &setups, 8);
        assert_eq!(bench.lost(0), u32::from(lost), "{fault}");
        assert_eq!(bench.lost(1), 0, "{fault}");
        let (channels, _) = bench.close();
        assert!(
            channels[1].stream == expected[1].stream,
            "{fault} reached the other channel"
        );
        // A picture that was not lost is the same; one that was comes again as an IDR.
        assert_eq!(channels[0].stream == expected[0].stream, !lost, "{fault}");
        check(&format!("fault-{kind}"), &channels[0]);
    }
}

#[test]
fn streams_decode_whatever_faults_come_in_whatever_order() {
    let setups = [fixed_quality(64, 48, 7, 24), fixed_quality(48, 64, 12, 36)];
    let faults = "lost/9,late/9:3000,early/11,duplicate/7,spurious/5,wake/6,eintr/8,latched/9,\
                  unescaped/3,stuck/13:3,axi/17:2,overflow/11,fill/11";
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut bench = Bench::new(&format!("pace=t31,seed={seed},fault={faults}"));
        run(&mut bench, &setups, 40);
        let lost: u32 = (0..2).map(|channel| bench.lost(channel)).sum();
        assert!(lost > 0, "expected the faults to strike");
        let counters = bench.engine().counters();
        assert_eq!(counters.encoded, 80);
        let (channels, _) = bench.close();
        for (index, channel) in channels.iter().enumerate() {
            check(&format!("seed-{seed}-{index}"), channel);
        }
    }
}

#[test]
fn a_core_that_needs_several_resets_comes_back() {
    let setup = fixed_quality(64, 48, 10, 30);
    let mut bench = Bench::new("pace=t31,fault=stuck@2:4");
    bench.open(setup);
    bench.encode(0, &moving_picture(&setup, 0));
    bench.encode(0, &moving_picture(&setup, 1));
    // The first report says that the core is still stuck; the job has ended all the same.
    bench.encode(0, &moving_picture(&setup, 2));
    let counters = bench.engine().counters();
    assert_eq!(counters.encoded, 3);
    assert!(counters.resets_failed >= 1, "found {counters:?}");
}

#[test]
fn the_model_with_threads_makes_what_it_makes_in_virtual_time() {
    let setup = fixed_quality(64, 48, 10, 30);
    let picture = moving_picture(&setup, 0);
    let mut bench = Bench::new("pace=free");
    bench.open(setup);
    bench.encode(0, &picture);
    let (expected, _) = bench.close();

    let (model, mut interrupts, cancel) = model::open("pace=free", &[], None).expect("a model");
    let arena = model.capabilities().arena;
    let mut engine = Engine::bring_up(model).expect("the model answers");
    let half = arena.len().get() / 2;
    let part = |offset, len| {
        arena
            .sub(RegionOffset::new(offset), ByteLen::new(len))
            .expect("inside")
    };
    let source = part(half, setup.geometry.coded().source_len_bytes());
    let key = ChannelKey::new(7);
    engine
        .open_channel(key, &setup, part(0, half))
        .expect("opened");
    let Export::Descriptor { fd, .. } = engine.device().export(source).expect("exported") else {
        panic!("expected a descriptor");
    };
    let file = fs::File::from(fd.try_clone_to_owned().expect("a descriptor"));
    file.write_all_at(&picture, 0).expect("written");
    let job = first_job(&setup, key, source);
    engine.start(&job).expect("started");
    let line = interrupts.wait().expect("an interrupt");
    assert!(matches!(engine.on_irq(line), IrqVerdict::Completed(end) if end.job == job.id));
    let payload = engine.payload(key, job.id).expect("held");
    let mut bytes = vec![0; usize::try_from(payload.len_bytes()).expect("a length")];
    payload.read(0, &mut bytes).expect("inside");
    assert!(expected[0].stream.ends_with(&bytes));
    assert_eq!(engine.device().model().take_faults(), []);
    assert_eq!(engine.close_channel(key).expect("idle"), []);
    engine.device().withdraw(source).expect("exported");
    engine.shut_down().result.expect("the model answers");
    cancel.cancel();
    assert!(matches!(interrupts.wait(), Err(WaitError::Cancelled)));
}

#[test]
fn a_cancelled_wait_ends_for_good() {
    let (_model, mut interrupts, cancel) = model::open("", &[], None).expect("a model");
    let waiter = std::thread::spawn(move || [interrupts.wait(), interrupts.wait()]);
    cancel.cancel();
    for end in waiter.join().expect("no panic") {
        assert!(matches!(end, Err(WaitError::Cancelled)));
    }
}

fn first_job(setup: &ChannelSetup, channel: ChannelKey, source: PhysRange) -> EncodeJob {
    let qp = setup.rate_control.range().min();
    let layout = ChannelLayout::new(setup).expect("a layout");
    let budget = layout.stream_layout().budget.value();
    let place = Gop::new(setup.gop_length).start(qp);
    let headers = Headers::new(setup, budget).expect("headers");
    EncodeJob {
        id: JobId::FIRST,
        engine: EngineId::VIDEO,
        channel,
        kind: place.kind,
        gop_index: place.index,
        qp,
        gop_qp: place.gop_qp,
        rate_control: setup.rate_control,
        budget: None,
        source,
        header: headers.picture(place, qp).expect("a header"),
    }
}
