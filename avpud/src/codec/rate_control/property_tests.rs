//! What holds whatever pictures cost: adversarial sizes, recorded sizes, changes while it runs.

use core::num::NonZeroU32;

use super::tests::{cbr, qp, rate, setup};
use super::{Controller, PictureCost, RateController};
use crate::codec::gop::Gop;
use crate::picture::{ChannelSetup, PictureKind, Psnr, Qp, QpRange, RateControl};

/// What a picture costs, by its number, kind and quantiser.
type Sizes<'a> = &'a mut dyn FnMut(u32, PictureKind, Qp) -> u32;

/// A picture as it went.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: PictureKind,
    qp: Qp,
    bits: u64,
}

fn feed(
    controller: &mut Controller,
    gop: &mut Gop,
    numbers: core::ops::Range<u32>,
    sizes: Sizes<'_>,
) -> Vec<Step> {
    numbers
        .map(|number| {
            let kind = gop.next_kind();
            let qp = controller.choose(kind);
            gop.start(qp);
            gop.handle_encoded();
            let len_bytes = sizes(number, kind, qp);
            let cost = PictureCost {
                len_bytes,
                ..PictureCost::default()
            };
            controller.handle_encoded(kind, qp, &cost);
            Step {
                kind,
                qp,
                bits: u64::from(len_bytes) * 8,
            }
        })
        .collect()
}

fn gop(length: u32) -> Gop {
    Gop::new(NonZeroU32::new(length).expect("a length"))
}

fn random(seed: &mut u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    *seed
}

/// Every mode that has a rate.
fn modes(bps: u32) -> [RateControl; 4] {
    let range = QpRange::new(qp(16), qp(48)).expect("a range");
    let (target, max) = (rate(bps), rate(bps.saturating_mul(2)));
    let psnr = Psnr::new(4000).expect("40 dB");
    [
        RateControl::Cbr { target, range },
        RateControl::Vbr { target, max, range },
        RateControl::CappedVbr {
            target,
            max,
            range,
            psnr_max: psnr,
        },
        RateControl::CappedQuality { max, range, psnr },
    ]
}

/// A picture whose bits halve every `halving` steps, in tenths; `at_30` bits at quantiser 30.
fn bits_at(at_30: u64, halving_tenths: i32, qp: Qp) -> u64 {
    let steps = (30 - i32::from(qp.value())) * 10;
    let (whole, part) = (
        steps.div_euclid(halving_tenths),
        steps.rem_euclid(halving_tenths),
    );
    // Between powers of two a straight line is near enough.
    let line = u64::from((halving_tenths + part).unsigned_abs());
    let scaled = at_30 * line / u64::from(halving_tenths.unsigned_abs());
    match whole {
        0.. => scaled << whole.min(20),
        _ => scaled >> (-whole).min(40),
    }
}

pub(super) fn bytes_at(at_30: u64, halving_tenths: i32, qp: Qp) -> u32 {
    u32::try_from(bits_at(at_30, halving_tenths, qp) / 8 + 12).expect("a picture")
}

#[test]
fn quantisers_and_buffer_stay_in_bounds_whatever_pictures_cost() {
    for seed in 1..=200u32 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9) | 1;
        let bps = 4_000 << (random(&mut dice) % 16);
        for control in modes(bps) {
            let length = 1 + random(&mut dice) % 120;
            let fps = 1 + random(&mut dice) % 60;
            let mut controller = Controller::new(&setup(control, fps, length));
            let mut gop = gop(length);
            for _ in 0..300 {
                if random(&mut dice).is_multiple_of(40) {
                    gop.force_idr();
                }
                let kind = gop.next_kind();
                let chosen = controller.choose(kind);
                let range = control.range();
                assert!(
                    (range.min()..=range.max()).contains(&chosen),
                    "seed {seed}: {chosen:?} in {control:?}"
                );
                gop.start(chosen);
                let len_bytes = match random(&mut dice) % 5 {
                    0 => 0,
                    1 => random(&mut dice),
                    2 => u32::MAX,
                    _ => random(&mut dice) % 100_000,
                };
                if random(&mut dice).is_multiple_of(7) {
                    gop.handle_lost();
                    let claimed = random(&mut dice).is_multiple_of(2).then_some(len_bytes);
                    controller.handle_lost(kind, chosen, claimed);
                } else {
                    gop.handle_encoded();
                    let cost = PictureCost {
                        len_bytes,
                        filler_bytes: 0,
                        qp_sum: random(&mut dice),
                        sse_luma: u64::from(random(&mut dice)) << (random(&mut dice) % 30),
                    };
                    controller.handle_encoded(kind, chosen, &cost);
                }
                let full = controller.fullness().expect("it has a rate");
                assert!(full.level_bits <= full.size_bits, "seed {seed}: {full:?}");
                let budget = controller.budget().expect("it has a rate");
                assert!(budget.aim_bits > 0 && budget.mean_bits > 0, "seed {seed}");
            }
        }
    }
}

#[test]
fn pictures_that_always_cost_the_same_do_not_make_the_quantiser_swing() {
    // Slopes from those of noise in little light to those of pictures that are hardly there.
    for halving in [16, 30, 60, 90] {
        for control in modes(1_000_000).into_iter().take(2) {
            let mut controller = Controller::new(&setup(control, 25, 50));
            let mut gop = gop(50);
            let mut sizes = |_, kind, qp| match kind {
                PictureKind::Idr => bytes_at(300_000, 60, qp),
                PictureKind::P => bytes_at(30_000, halving, qp),
            };
            feed(&mut controller, &mut gop, 0..250, &mut sizes);
            let steps = feed(&mut controller, &mut gop, 250..1250, &mut sizes);
            let p: Vec<u8> = steps
                .iter()
                .filter(|step| step.kind == PictureKind::P)
                .map(|step| step.qp.value())
                .collect();
            let (least, most) = (p.iter().min(), p.iter().max());
            let (least, most) = (least.expect("some"), most.expect("some"));
            assert!(
                most - least <= 3,
                "{control:?}, {halving}: {least} to {most}"
            );
            let bits: u64 = steps.iter().map(|step| step.bits).sum();
            assert!(
                (bits / 40).abs_diff(1_000_000) < 20_000,
                "{control:?}, {halving}: {}",
                bits / 40
            );
        }
    }
}

/// Sizes in bytes of the first 50 pictures of a hand-held street clip at 640 by 360, an IDR and then P pictures, as
/// recorded from the encoder of the model at quantisers 24, 30 and 36.
const STREET: [[u32; 50]; 3] = [
    [
        27_497, 8_720, 9_485, 9_141, 9_160, 9_368, 9_602, 9_675, 9_640, 9_804, 9_909, 10_234,
        10_001, 10_419, 9_731, 10_554, 10_631, 11_607, 11_507, 11_232, 11_249, 11_922, 11_210,
        11_508, 11_450, 11_355, 11_926, 11_866, 12_175, 12_499, 13_241, 11_998, 11_662, 12_324,
        12_734, 13_137, 13_059, 12_760, 13_061, 13_469, 13_000, 13_657, 12_750, 12_058, 11_751,
        13_274, 12_398, 12_196, 13_620, 13_092,
    ],
    [
        16_757, 3_471, 3_864, 4_003, 4_053, 4_253, 4_132, 4_440, 4_204, 4_365, 4_404, 4_712, 4_566,
        4_721, 4_262, 4_776, 4_861, 5_458, 5_126, 5_332, 5_399, 5_176, 5_050, 5_079, 5_008, 4_927,
        5_322, 5_183, 5_200, 5_453, 5_782, 5_312, 5_165, 5_360, 5_396, 6_028, 5_920, 5_578, 5_638,
        6_166, 5_887, 6_010, 5_749, 5_482, 5_422, 6_285, 6_061, 6_044, 6_444, 5_891,
    ],
    [
        9_720, 1_221, 1_567, 1_553, 1_579, 1_663, 1_749, 1_923, 1_875, 1_820, 1_825, 1_833, 2_019,
        1_940, 1_839, 2_006, 2_038, 2_348, 2_123, 2_308, 2_301, 2_062, 2_044, 2_129, 2_100, 2_015,
        2_190, 2_150, 2_119, 2_175, 2_378, 2_313, 2_048, 2_212, 2_148, 2_375, 2_423, 2_278, 2_250,
        2_514, 2_476, 2_506, 2_409, 2_461, 2_176, 3_103, 2_897, 2_716, 3_169, 2_587,
    ],
];

/// The recorded size at a quantiser: the one next to it, at the slope between two recordings.
fn recorded(number: u32, qp: Qp) -> u32 {
    let place = usize::try_from(number % 50).expect("small");
    let at = |index: usize| i64::from(STREET[index][place]);
    let steps = i64::from(qp.value()) - 30;
    // A straight line in the logarithm, to the nearest sixth of what six steps change.
    let (from, to) = match steps {
        ..0 => (at(1), at(0)),
        _ => (at(1), at(2)),
    };
    let (whole, part) = (steps.abs() / 6, steps.abs() % 6);
    let mut size = from;
    for _ in 0..whole {
        size = size * to / from;
    }
    size += (size * to / from - size) * part / 6;
    u32::try_from(size).expect("a size") + 12
}

#[test]
fn a_recorded_clip_keeps_its_rate_and_its_decoders_buffer() {
    let mut controller = Controller::new(&setup(cbr(600_000), 25, 50));
    let mut gop = gop(50);
    let mut sizes = |number: u32, _, qp| recorded(number, qp);
    let steps = feed(&mut controller, &mut gop, 0..1500, &mut sizes);
    let bits: u64 = steps.iter().map(|step| step.bits).sum();
    assert!((bits / 60).abs_diff(600_000) < 12_000, "{}", bits / 60);
    for (start, window) in steps.windows(50).enumerate().skip(50) {
        let bits: u64 = window.iter().map(|step| step.bits).sum();
        assert!(
            (bits / 2).abs_diff(600_000) < 60_000,
            "{} from picture {start} on",
            bits / 2
        );
    }
    // A decoder that begins after 2.4 seconds and holds three, by counting.
    let (mut level, size) = (1_440_000u64, 1_800_000u64);
    for (number, step) in steps.iter().enumerate() {
        assert!(level <= size, "full before picture {number}");
        level = level.checked_sub(step.bits).expect("not late") + 24_000;
    }
}

#[test]
fn a_rate_that_changes_by_four_settles_in_a_group_without_large_steps() {
    for (before, after) in [(2_000_000, 500_000), (500_000, 2_000_000)] {
        for at in [1, 10, 25, 49] {
            let old = setup(cbr(before), 25, 50);
            let mut controller = Controller::new(&old);
            let mut gop = gop(50);
            let mut sizes = |_, kind, qp| match kind {
                PictureKind::Idr => bytes_at(250_000, 60, qp),
                PictureKind::P => bytes_at(30_000, 55, qp),
            };
            feed(&mut controller, &mut gop, 0..200 + at, &mut sizes);
            let new = ChannelSetup {
                rate_control: cbr(after),
                ..old
            };
            controller.change(&new);
            let steps = feed(&mut controller, &mut gop, 200 + at..500, &mut sizes);
            let place = format!("{before} to {after} at {at}");
            let first_idr = steps.iter().position(|step| step.kind == PictureKind::Idr);
            let left = usize::try_from(50 - at).expect("small");
            assert_eq!(first_idr, Some(left), "{place}: no IDR but the usual one");
            let p = steps.iter().filter(|step| step.kind == PictureKind::P);
            let p: Vec<u8> = p.map(|step| step.qp.value()).collect();
            for pair in p.windows(2) {
                assert!(pair[0].abs_diff(pair[1]) <= 6, "{place}: {pair:?}");
            }
            // The group right after the change may be off by what its first pictures take on their way.
            for (start, window) in steps.windows(50).enumerate() {
                let bits: u64 = window.iter().map(|step| step.bits).sum();
                let kept = bits / 2;
                let percent = if start < 50 { 25 } else { 10 };
                assert!(
                    kept.abs_diff(u64::from(after)) * 100 <= u64::from(after) * percent,
                    "{place}: {kept} from picture {start} on"
                );
            }
        }
    }
}

#[test]
fn what_was_learned_stays_when_the_mode_changes() {
    let modes = modes(1_000_000);
    for from in modes {
        for to in modes {
            let old = setup(from, 25, 50);
            let mut controller = Controller::new(&old);
            let mut gop = gop(50);
            let mut sizes = |_, kind, qp| match kind {
                PictureKind::Idr => bytes_at(250_000, 60, qp),
                PictureKind::P => bytes_at(30_000, 60, qp),
            };
            let before = feed(&mut controller, &mut gop, 0..225, &mut sizes);
            let full = controller.fullness().expect("a rate").permille();
            let new = ChannelSetup {
                rate_control: to,
                ..old
            };
            controller.change(&new);
            let now = controller.fullness().expect("a rate").permille();
            assert!(
                full.abs_diff(now) <= 1,
                "{from:?} to {to:?}: {full} and {now}"
            );
            let after = feed(&mut controller, &mut gop, 225..226, &mut sizes);
            let last = before.last().expect("some").qp.value();
            assert!(
                last.abs_diff(after[0].qp.value()) <= 4,
                "{from:?} to {to:?}"
            );
        }
    }
}

#[test]
fn no_picture_is_much_better_than_good_enough() {
    let [_, _, capped_vbr, capped_quality] = modes(4_000_000);
    for control in [capped_vbr, capped_quality] {
        let mut controller = Controller::new(&setup(control, 25, 50));
        let mut gop = gop(50);
        let mut used = Vec::new();
        for _ in 0..300 {
            let kind = gop.next_kind();
            let chosen = controller.choose(kind);
            gop.start(chosen);
            gop.handle_encoded();
            let at_30 = match kind {
                PictureKind::Idr => 250_000,
                PictureKind::P => 20_000,
            };
            // 40 dB of 921,600 samples at quantiser 30; twice the error every six steps.
            let sse_luma = bits_at(5_992_704, 60, qp(60 - u32::from(chosen.value()).min(51)));
            let cost = PictureCost {
                len_bytes: bytes_at(at_30, 60, chosen),
                sse_luma,
                ..PictureCost::default()
            };
            controller.handle_encoded(kind, chosen, &cost);
            if kind == PictureKind::P {
                used.push(chosen.value());
            }
        }
        let late = &used[100..];
        assert!(
            late.iter().all(|qp| (29..=32).contains(qp)),
            "{control:?}: {late:?}"
        );
    }
}

#[test]
fn pictures_stay_below_a_largest_one_as_well_as_can_be_foreseen() {
    let mut setup = setup(cbr(2_000_000), 25, 50);
    setup.rate_tuning.picture_max_bytes = NonZeroU32::new(30_000);
    let mut controller = Controller::new(&setup);
    let mut gop = gop(50);
    let mut sizes = |_, kind, qp| match kind {
        PictureKind::Idr => bytes_at(900_000, 60, qp),
        PictureKind::P => bytes_at(60_000, 60, qp),
    };
    feed(&mut controller, &mut gop, 0..50, &mut sizes);
    let steps = feed(&mut controller, &mut gop, 50..500, &mut sizes);
    for (number, step) in steps.iter().enumerate() {
        assert!(step.bits <= 240_000, "picture {number}: {step:?}");
    }
}
