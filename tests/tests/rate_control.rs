//! Rate control with pictures that are really encoded: changes while it runs, and channels beside each other.

use avpu_tests::bench::Bench;
use avpu_tests::rc::case::setup;
use avpu_tests::rc::film::{Film, Scene};
use avpu_tests::rc::run::encode_with;
use avpud::picture::{BitRate, ChannelSetup, PictureKind, Psnr, Qp, QpRange, RateControl};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 192;
/// One group.
const GOP: usize = 50;

fn rate(bps: u32) -> BitRate {
    BitRate::new(bps).expect("a rate")
}

fn range() -> QpRange {
    let qp = |value| Qp::new(value).expect("a quantiser");
    QpRange::new(qp(16), qp(48)).expect("a range")
}

fn cbr(bps: u32) -> RateControl {
    RateControl::Cbr {
        target: rate(bps),
        range: range(),
    }
}

fn film(scene: Scene) -> Film {
    Film::new(scene, WIDTH, HEIGHT).expect("made of nothing but numbers")
}

/// The five modes.
fn modes() -> [RateControl; 5] {
    let (target, max, range) = (rate(200_000), rate(400_000), range());
    let psnr = Psnr::new(3600).expect("36 dB");
    [
        cbr(150_000),
        RateControl::Vbr { target, max, range },
        RateControl::CappedVbr {
            target,
            max,
            range,
            psnr_max: psnr,
        },
        RateControl::CappedQuality { max, range, psnr },
        RateControl::FixQp {
            qp: Qp::new(33).expect("a quantiser"),
        },
    ]
}

#[test]
fn a_rate_that_changes_by_four_settles_in_one_group_without_an_idr_of_its_own() {
    for (before, after) in [(400_000, 100_000), (100_000, 400_000)] {
        let at = 110;
        let first = setup(WIDTH, HEIGHT, cbr(before));
        let changes = [(110, cbr(after))];
        let trace = encode_with(&mut film(Scene::Pan), &first, 260, &changes);
        let place = format!("{before} to {after}");
        assert_eq!(trace.lost, 0, "{place}");
        for (index, picture) in trace.pictures.iter().enumerate() {
            let is_idr = picture.kind == PictureKind::Idr;
            assert_eq!(is_idr, index % GOP == 0, "{place}: picture {index}");
        }
        let p = trace.pictures[at - 1..].iter();
        let p = p.filter(|picture| picture.kind == PictureKind::P);
        let qps: Vec<u8> = p.map(|picture| picture.qp).collect();
        for pair in qps.windows(2) {
            assert!(pair[0].abs_diff(pair[1]) <= 6, "{place}: {qps:?}");
        }
        // The group right after the change may be off by what its first pictures take on their way.
        for (start, window) in trace.pictures.windows(GOP).enumerate().skip(at) {
            let bits: u64 = window.iter().map(|picture| picture.bits).sum();
            let kept = bits / 2;
            let percent = if start < at + GOP { 25 } else { 10 };
            assert!(
                kept.abs_diff(u64::from(after)) * 100 <= u64::from(after) * percent,
                "{place}: {kept} from picture {start} on"
            );
        }
    }
}

#[test]
fn channels_of_different_modes_are_bit_by_bit_what_each_is_alone() {
    let setups: Vec<ChannelSetup> = modes().map(|mode| setup(WIDTH, HEIGHT, mode)).into();
    let run = |setups: &[ChannelSetup]| {
        let mut bench = Bench::new("pace=t31");
        for setup in setups {
            bench.open(*setup);
        }
        let mut film = film(Scene::Cuts);
        for index in 0..60 {
            let picture = film.picture(index).to_vec();
            for channel in 0..setups.len() {
                bench.encode(channel, &picture);
            }
        }
        let (channels, mut engine) = bench.close();
        assert_eq!(engine.device().machine().faults(), []);
        channels
    };
    let together = run(&setups);
    for (channel, setup) in together.iter().zip(&setups) {
        let alone = run(&[*setup]);
        assert!(
            alone[0].stream == channel.stream,
            "{:?} beside others",
            setup.rate_control
        );
    }
}

/// Every mode beside every other and beside itself, with the pictures of the two in an order that has no pattern.
#[test]
fn two_channels_of_any_two_modes_are_bit_by_bit_what_each_is_alone() {
    let small = |mode| setup(160, 96, mode);
    let mut film = Film::new(Scene::Cuts, 160, 96).expect("made of nothing but numbers");
    let pictures: Vec<Vec<u8>> = (0..12)
        .map(|index| film.picture(index * 5).to_vec())
        .collect();
    let alone = modes().map(|mode| {
        let mut bench = Bench::new("pace=t31");
        bench.open(small(mode));
        for picture in &pictures {
            bench.encode(0, picture);
        }
        let (mut channels, _) = bench.close();
        channels.remove(0).stream
    });
    let mut order = 0x9e37_79b9_u32;
    for (first, one) in modes().into_iter().enumerate() {
        for (second, other) in modes().into_iter().enumerate() {
            let mut bench = Bench::new("pace=t31");
            bench.open(small(one));
            bench.open(small(other));
            let mut next = [0, 0];
            while next.iter().any(|next| *next < pictures.len()) {
                order ^= order << 13;
                order ^= order >> 17;
                order ^= order << 5;
                let channel = usize::from(order & 1 == 1);
                if let Some(picture) = pictures.get(next[channel]) {
                    bench.encode(channel, picture);
                    next[channel] += 1;
                }
            }
            let (channels, _) = bench.close();
            assert!(
                channels[0].stream == alone[first] && channels[1].stream == alone[second],
                "{one:?} beside {other:?}"
            );
        }
    }
}

#[test]
fn a_quality_that_is_good_enough_is_met_and_not_exceeded_by_much() {
    let capped = RateControl::CappedQuality {
        max: rate(2_000_000),
        range: range(),
        psnr: Psnr::new(3600).expect("36 dB"),
    };
    let capped = setup(WIDTH, HEIGHT, capped);
    let trace = encode_with(&mut film(Scene::Pan), &capped, 120, &[]);
    let late = &trace.pictures[25..];
    let count = f64::from(u32::try_from(late.len()).expect("few"));
    let mean = late.iter().map(|picture| picture.psnr).sum::<f64>() / count;
    assert!((mean - 36.0).abs() < 0.6, "{mean:.2} dB");
    assert!(trace.bps() < 1_500_000.0, "{:.0}", trace.bps());
}
