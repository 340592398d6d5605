use super::*;
use crate::job::JobCost;

/// Of 1000 macroblocks an IDR takes 6.1 ms, a P picture 4.1 ms.
const STATED: CodecCost = CodecCost {
    idr: JobCost {
        base_ns: 100_000,
        macroblock_ns: 6_000,
    },
    p: JobCost {
        base_ns: 100_000,
        macroblock_ns: 4_000,
    },
};

fn group(pictures: u32) -> NonZeroU32 {
    NonZeroU32::new(pictures).expect("some")
}

#[test]
fn tickets_go_by_the_costlier_kind_and_utilisation_by_the_mix_of_a_group() {
    let cost = PictureCost::new(STATED, 1000);
    assert_eq!(cost.worst_ns(), 6_100_000);
    assert_eq!(cost.mean_ns(group(1)), 6_100_000);
    assert_eq!(cost.mean_ns(group(2)), 5_100_000);
    assert_eq!(cost.mean_ns(group(50)), 4_140_000);
    let swapped = CodecCost {
        idr: STATED.p,
        p: STATED.idr,
    };
    let cost = PictureCost::new(swapped, 1000);
    assert_eq!(cost.worst_ns(), 6_100_000);
    assert_eq!(cost.mean_ns(group(1)), 4_100_000);
    assert_eq!(cost.mean_ns(group(u32::MAX)), 6_100_000);
}

#[test]
fn each_kind_is_measured_by_itself() {
    let mut cost = PictureCost::new(STATED, 1000);
    assert_eq!(cost.measured_us(PictureKind::Idr), 0);
    for _ in 0..200 {
        cost.measure(PictureKind::P, 5_000);
    }
    assert!(cost.measured_us(PictureKind::P).abs_diff(5_000) <= 1);
    assert_eq!(cost.measured_macroblock_ns(), 4_900);
    assert_eq!(cost.measured_us(PictureKind::Idr), 0);
    assert_eq!(cost.expected_us(PictureKind::Idr), 6_100);
    assert_eq!(cost.stated_us(PictureKind::P), 4_100);
}

#[test]
fn fast_pictures_lower_the_expectation_to_half_of_what_was_stated() {
    let mut cost = PictureCost::new(STATED, 1000);
    assert_eq!(cost.expected_us(PictureKind::P), 4_100);
    for _ in 0..100 {
        cost.measure(PictureKind::P, 200);
    }
    assert_eq!(cost.expected_us(PictureKind::P), 2_050);
    assert_eq!(cost.worst_ns(), 6_100_000);
}

#[test]
fn slow_pictures_raise_the_expectation_within_a_bound() {
    let mut cost = PictureCost::new(STATED, 1000);
    for _ in 0..31 {
        assert!(!cost.measure(PictureKind::P, 60_000_000));
    }
    assert_eq!(cost.expected_us(PictureKind::P), 16_400);
    assert_eq!(cost.worst_ns(), 6_100_000);
}

#[test]
fn what_is_counted_rises_only_when_pictures_take_longer_persistently_and_falls_when_they_no_longer_do()
 {
    let mut cost = PictureCost::new(STATED, 1000);
    // An eighth more is on the way from the encoder to here.
    for _ in 0..1000 {
        assert!(!cost.measure(PictureKind::Idr, 6_862));
    }
    for _ in 0..31 {
        assert!(!cost.measure(PictureKind::Idr, 9_000));
    }
    assert!(!cost.is_raised());
    assert!(cost.measure(PictureKind::Idr, 9_000));
    assert!(cost.is_raised());
    assert!((8_900_000..=9_000_001).contains(&cost.worst_ns()));
    assert_eq!(cost.stated_worst_ns(), 6_100_000);
    assert!(cost.mean_ns(group(2)) > 6_400_000);
    // The same again changes nothing; much more does.
    for _ in 0..100 {
        assert!(!cost.measure(PictureKind::Idr, 9_000));
    }
    let rises = (0..100).filter(|_| cost.measure(PictureKind::Idr, 100_000));
    assert!((1..=12).contains(&rises.count()));
    let most_ns = 4 * 6_100_000;
    assert!((most_ns * 8 / 9..=most_ns).contains(&cost.worst_ns()));
    // As many that are fast end it.
    for _ in 0..31 {
        assert!(!cost.measure(PictureKind::Idr, 6_000));
    }
    assert!(cost.measure(PictureKind::Idr, 6_000));
    assert_eq!(cost.worst_ns(), 6_100_000);
    assert!(!cost.is_raised());
}

#[test]
fn every_second_picture_that_is_slow_is_not_persistent() {
    let mut cost = PictureCost::new(STATED, 1000);
    for picture in 0..10_000 {
        let us = if picture % 2 == 0 { 60_000 } else { 4_000 };
        assert!(!cost.measure(PictureKind::P, us), "{picture}");
    }
}

#[test]
fn one_stalled_picture_moves_the_expectation_by_an_eighth() {
    let mut cost = PictureCost::new(STATED, 1000);
    for _ in 0..100 {
        cost.measure(PictureKind::P, 4_100);
    }
    cost.measure(PictureKind::P, 60_000_000);
    assert_eq!(cost.expected_us(PictureKind::P), 4_100 * 9 / 8 + 1);
    for _ in 0..40 {
        cost.measure(PictureKind::P, 4_100);
    }
    assert!(cost.expected_us(PictureKind::P) <= 4_105);
}

#[test]
fn absurd_figures_do_not_overflow() {
    let dearest = JobCost {
        base_ns: u32::MAX,
        macroblock_ns: u32::MAX,
    };
    let stated = CodecCost {
        idr: dearest,
        p: dearest,
    };
    for macroblocks in [0, 1, u32::MAX] {
        let mut cost = PictureCost::new(stated, macroblocks);
        for us in [u64::MAX, 0, u64::MAX] {
            cost.measure(PictureKind::Idr, us);
            assert!(cost.measured_us(PictureKind::Idr) > 0);
        }
        assert!(cost.mean_ns(group(u32::MAX)) <= cost.worst_ns());
    }
    let free = JobCost {
        base_ns: 0,
        macroblock_ns: 0,
    };
    let mut cost = PictureCost::new(CodecCost { idr: free, p: free }, 0);
    cost.measure(PictureKind::P, 0);
    assert_eq!(cost.worst_ns(), 1);
}

#[test]
fn the_time_between_two_pictures_is_promised_but_not_waited_for() {
    let cost = PictureCost::new(STATED, 1000);
    let apart = cost.apart(250_000);
    assert_eq!(apart.worst_ns(), cost.worst_ns() + 250_000);
    assert_eq!(apart.mean_ns(group(50)), cost.mean_ns(group(50)) + 250_000);
    for kind in [PictureKind::Idr, PictureKind::P] {
        assert_eq!(apart.expected_us(kind), cost.expected_us(kind));
        assert_eq!(apart.stated_us(kind), cost.stated_us(kind));
    }
}
