//! Controllers against pictures whose cost follows a rule that the controllers do not know.

use core::num::NonZeroU32;

use super::property_tests::bytes_at;
use super::{Controller, PictureCost, RateController};
use crate::codec::gop::Gop;
use crate::picture::{
    BitRate, ChannelSetup, Coding, FrameRate, Geometry, PictureKind, PictureSize, Qp, QpRange,
    RateControl, RateTuning, StreamCount,
};

pub(super) fn qp(value: u32) -> Qp {
    Qp::new(value).expect("a quantiser")
}

pub(super) fn rate(bps: u32) -> BitRate {
    BitRate::new(bps).expect("a rate")
}

pub(super) fn setup(rate_control: RateControl, fps: u32, gop_length: u32) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(PictureSize::new(1280, 720).expect("a size")),
        frame_rate: FrameRate::new(fps, 1).expect("a frame rate"),
        coding: Coding::HIGH_CABAC,
        rate_control,
        rate_tuning: RateTuning::default(),
        gop_length: NonZeroU32::new(gop_length).expect("a length"),
        stream_count: StreamCount::TWO,
    }
}

pub(super) fn cbr(bps: u32) -> RateControl {
    let range = QpRange::new(qp(16), qp(48)).expect("a range");
    RateControl::Cbr {
        target: rate(bps),
        range,
    }
}

/// A camera picture: bits fall by half every five steps instead of six, and vary by a fifth.
struct Scene {
    idr_bits_at_30: u64,
    p_bits_at_30: u64,
    seed: u32,
}

impl Scene {
    fn new(idr_bits_at_30: u64, p_bits_at_30: u64) -> Self {
        Self {
            idr_bits_at_30,
            p_bits_at_30,
            seed: 0x9e37_79b9,
        }
    }

    fn len_bytes(&mut self, kind: PictureKind, qp: Qp) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        let at_30 = match kind {
            PictureKind::Idr => self.idr_bits_at_30,
            PictureKind::P => self.p_bits_at_30,
        };
        let noisy = at_30 * (900 + u64::from(self.seed % 200)) / 1000;
        // 2^(1/5) is 1.1487.
        let steps = i32::from(qp.value()) - 30;
        let bits = (0..steps.abs()).fold(noisy, |bits, _| {
            if steps > 0 {
                bits * 10_000 / 11_487
            } else {
                bits * 11_487 / 10_000
            }
        });
        u32::try_from(bits / 8).expect("a picture") + 10
    }
}

/// Encodes pictures and answers what each cost, in bits.
fn encode(
    controller: &mut Controller,
    gop: &mut Gop,
    scene: &mut Scene,
    count: u32,
) -> Vec<(PictureKind, Qp, u64)> {
    (0..count)
        .map(|_| {
            let kind = gop.next_kind();
            let chosen = controller.choose(kind);
            gop.start(chosen);
            gop.handle_encoded();
            let len_bytes = scene.len_bytes(kind, chosen);
            let cost = PictureCost {
                len_bytes,
                ..PictureCost::default()
            };
            controller.handle_encoded(kind, chosen, &cost);
            (kind, chosen, u64::from(len_bytes) * 8)
        })
        .collect()
}

fn total_bits(pictures: &[(PictureKind, Qp, u64)]) -> u64 {
    pictures.iter().map(|picture| picture.2).sum()
}

#[test]
fn a_fixed_quantiser_stays_whatever_pictures_cost() {
    let mut controller = Controller::new(&setup(RateControl::FixQp { qp: qp(33) }, 25, 50));
    let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
    let pictures = encode(
        &mut controller,
        &mut gop,
        &mut Scene::new(900_000, 90_000),
        200,
    );
    assert!(pictures.iter().all(|picture| picture.1 == qp(33)));
}

#[test]
fn the_rate_is_kept_within_three_percent_over_twenty_seconds() {
    for (fps, gop_length) in [
        (25, 1),
        (25, 10),
        (25, 25),
        (25, 50),
        (25, 100),
        (15, 30),
        (30, 600),
    ] {
        for bps in [500_000, 2_000_000, 6_000_000] {
            for (idr, p) in [(200_000, 20_000), (900_000, 90_000), (700_000, 250_000)] {
                let mut controller = Controller::new(&setup(cbr(bps), fps, gop_length));
                let mut gop = Gop::new(NonZeroU32::new(gop_length).expect("a length"));
                let mut scene = Scene::new(idr, p);
                // The first seconds find out what pictures cost.
                encode(&mut controller, &mut gop, &mut scene, fps * 8);
                let pictures = encode(&mut controller, &mut gop, &mut scene, fps * 20);
                let is_reachable = pictures
                    .iter()
                    .any(|picture| (qp(19)..qp(46)).contains(&picture.1));
                if !is_reachable {
                    continue;
                }
                let kept = total_bits(&pictures) / 20;
                let place = format!("{fps} fps, gop {gop_length}, {bps} bit/s: {kept}");
                assert!(
                    kept.abs_diff(u64::from(bps)) * 100 <= u64::from(bps) * 3,
                    "{place}"
                );
            }
        }
    }
}

#[test]
fn no_two_seconds_take_much_more_than_their_share() {
    let mut controller = Controller::new(&setup(cbr(2_000_000), 25, 50));
    let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
    let mut scene = Scene::new(900_000, 90_000);
    encode(&mut controller, &mut gop, &mut scene, 100);
    let pictures = encode(&mut controller, &mut gop, &mut scene, 1000);
    for (start, two_seconds) in pictures.windows(50).enumerate() {
        let bits = total_bits(two_seconds);
        assert!(bits < 4_600_000, "{bits} bits from picture {start} on");
    }
}

/// The first IDR is guessed and small, so its group's P pictures are large, and the IDR behind them would be too.
#[test]
fn a_group_with_large_p_pictures_has_no_large_idr_behind_it() {
    for (idr, p) in [(1_200_000, 12_000), (2_000_000, 20_000), (900_000, 30_000)] {
        let mut controller = Controller::new(&setup(cbr(300_000), 25, 50));
        let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
        let pictures = encode(&mut controller, &mut gop, &mut Scene::new(idr, p), 1000);
        for (start, two_seconds) in pictures.windows(50).enumerate().skip(1) {
            let percent = total_bits(two_seconds) / 6_000;
            let place = format!("{idr} and {p} bits, from picture {start} on: {percent} %");
            assert!(percent <= if start <= 50 { 140 } else { 120 }, "{place}");
        }
    }
}

/// The first P picture of every second half of a group costs what an IDR does.
#[test]
fn cuts_that_come_again_and_again_are_in_the_plan_of_a_group() {
    let (period, bps) = (50, 1_000_000);
    let mut controller = Controller::new(&setup(cbr(bps), 25, period));
    let mut gop = Gop::new(NonZeroU32::new(period).expect("a length"));
    let mut usual = Scene::new(1_000_000, 20_000);
    let mut cut = Scene::new(1_000_000, 800_000);
    let mut pictures = Vec::new();
    for _ in 0..20 {
        pictures.extend(encode(&mut controller, &mut gop, &mut usual, period / 2));
        pictures.extend(encode(&mut controller, &mut gop, &mut cut, 1));
        pictures.extend(encode(
            &mut controller,
            &mut gop,
            &mut usual,
            period / 2 - 1,
        ));
    }
    let told = |start: usize| {
        format!(
            "from picture {start} on: {:?}",
            &pictures[start..start + 50]
        )
    };
    for start in (250..950).step_by(50) {
        let mean = |from: usize| {
            let half = &pictures[start + from..start + from + 20];
            half.iter()
                .map(|picture| u32::from(picture.1.value()))
                .sum::<u32>()
                / 20
        };
        // Who does not expect a cut has fine pictures before it and pays behind it.
        assert!(mean(30) <= mean(5) + 2, "{}", told(start));
    }
    for (start, two_seconds) in pictures.windows(50).enumerate().skip(50) {
        let bits = total_bits(two_seconds);
        assert!(bits < 2_500_000, "{bits} bits {}", told(start.min(949)));
    }
}

#[test]
fn a_scene_that_costs_four_times_as_much_is_caught_within_three_seconds() {
    let mut controller = Controller::new(&setup(cbr(2_000_000), 25, 50));
    let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
    encode(
        &mut controller,
        &mut gop,
        &mut Scene::new(400_000, 40_000),
        200,
    );
    let mut busy = Scene::new(1_600_000, 160_000);
    encode(&mut controller, &mut gop, &mut busy, 75);
    let pictures = encode(&mut controller, &mut gop, &mut busy, 100);
    let kept = total_bits(&pictures) / 4;
    assert!(kept < 2_200_000, "{kept}");
}

#[test]
fn quantisers_stay_in_their_range_and_move_by_few_steps() {
    for bps in [1, 10_000, 2_000_000, u32::MAX] {
        let mut controller = Controller::new(&setup(cbr(bps), 25, 50));
        let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
        let mut last: Option<Qp> = None;
        for (kind, chosen, _) in encode(
            &mut controller,
            &mut gop,
            &mut Scene::new(900_000, 90_000),
            500,
        ) {
            assert!(
                (qp(16)..=qp(48)).contains(&chosen),
                "{chosen:?} at {bps} bit/s"
            );
            if kind == PictureKind::P {
                // At absurd rates no picture fits, and then it is as coarse as may be at once.
                if let Some(last) = last.filter(|_| bps > 10_000) {
                    assert!(chosen.value().abs_diff(last.value()) <= 4, "{bps} bit/s");
                }
                last = Some(chosen);
            }
        }
    }
}

#[test]
fn forced_idr_pictures_do_not_break_the_rate() {
    let mut controller = Controller::new(&setup(cbr(2_000_000), 25, 50));
    let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
    let mut scene = Scene::new(600_000, 60_000);
    encode(&mut controller, &mut gop, &mut scene, 100);
    let mut bits = 0;
    for _ in 0..50 {
        gop.force_idr();
        bits += total_bits(&encode(&mut controller, &mut gop, &mut scene, 10));
    }
    let kept = bits / 20;
    assert!(kept.abs_diff(2_000_000) < 160_000, "{kept}");
}

#[test]
fn a_picture_that_did_not_fit_makes_the_next_one_coarser() {
    let mut controller = Controller::new(&setup(cbr(6_000_000), 25, 50));
    let first = controller.choose(PictureKind::Idr);
    controller.handle_lost(PictureKind::Idr, first, Some(1_500_000));
    let second = controller.choose(PictureKind::Idr);
    assert!(second > first, "{second:?} after {first:?}");
}

#[test]
fn an_average_rate_may_be_exceeded_for_a_while_and_is_kept_in_the_end() {
    let range = QpRange::new(qp(16), qp(48)).expect("a range");
    let vbr = RateControl::Vbr {
        target: rate(2_000_000),
        max: rate(2_666_666),
        range,
    };
    let mut controller = Controller::new(&setup(vbr, 25, 50));
    let mut gop = Gop::new(NonZeroU32::new(50).expect("a length"));
    let mut scene = Scene::new(700_000, 70_000);
    encode(&mut controller, &mut gop, &mut scene, 25 * 20);
    let pictures = encode(&mut controller, &mut gop, &mut scene, 25 * 60);
    let kept = total_bits(&pictures) / 60;
    assert!(kept.abs_diff(2_000_000) < 100_000, "{kept}");
    for minute in pictures.chunks(250) {
        assert!(total_bits(minute) / 10 < 2_666_666);
    }
}

/// A picture that stands still: a P picture costs next to nothing, but for each step by which it is finer than any
/// picture since the IDR a part of what an IDR would.
#[test]
fn a_scene_that_stands_still_gets_its_rate_from_the_first_group_on_and_has_it_in_its_idrs_later() {
    let setup = setup(cbr(300_000), 25, 50);
    let mut controller = Controller::new(&setup);
    let mut gop = Gop::new(setup.gop_length);
    let mut finest = 51;
    let mut sizes = Vec::new();
    for _ in 0..1500 {
        let kind = gop.next_kind();
        let chosen = controller.choose(kind);
        gop.start(chosen);
        gop.handle_encoded();
        let steps = u32::from(finest).saturating_sub(chosen.value().into());
        let whole = bytes_at(840_000, 55, chosen);
        let len_bytes = match kind {
            PictureKind::Idr => whole,
            PictureKind::P => 40 + whole * steps / 14,
        };
        finest = match kind {
            PictureKind::Idr => chosen.value(),
            PictureKind::P => finest.min(chosen.value()),
        };
        let cost = PictureCost {
            len_bytes,
            ..PictureCost::default()
        };
        controller.handle_encoded(kind, chosen, &cost);
        sizes.push(i64::from(len_bytes) * 8);
    }
    for (start, window) in sizes.windows(50).enumerate() {
        let off = window.iter().sum::<i64>() - 600_000;
        let most = if start < 400 { 30 } else { 12 };
        let percent = off / 6_000;
        assert!(percent.abs() <= most, "{percent} % from picture {start} on");
    }
    let all: i64 = sizes.iter().sum();
    assert!((all - 18_000_000).abs() < 360_000, "{all} bits");
    let late: Vec<&[i64]> = sizes.chunks(50).skip(12).collect();
    assert_eq!(late.len(), 18);
    for group in late {
        let percent = group[0] * 100 / group.iter().sum::<i64>();
        assert!(percent >= 85, "{percent} % in the IDR");
    }
    let mut level = 720_000;
    for (number, bits) in sizes.iter().enumerate() {
        assert!(
            level <= 900_000,
            "the decoder's buffer is full before {number}"
        );
        level -= bits;
        assert!(level >= 0, "the decoder's buffer runs dry at {number}");
        level += 12_000;
    }
}
