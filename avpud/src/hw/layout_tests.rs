//! Buffer sizes against recorded addresses, and no two objects of a layout in each other's way.

use core::num::NonZeroU32;

use super::layout::{ChannelLayout, Ep3Bank, LayoutError, Parity, StreamLayout};
use super::layout::{ReconstructionLayout, Span};
use crate::mem::{ByteLen, PhysAddr, PhysRange};
use crate::picture::{
    BitRate, ChannelSetup, Coding, FrameRate, Geometry, PictureSize, Qp, QpRange, RateControl,
    RateTuning, StreamCount,
};

fn size(width: u32, height: u32) -> PictureSize {
    PictureSize::new(width, height).expect("a size")
}

fn qp(value: u32) -> Qp {
    Qp::new(value).expect("a quantiser")
}

fn cbr(bps: u32, min: u32, max: u32) -> RateControl {
    let range = QpRange::new(qp(min), qp(max)).expect("a range");
    RateControl::Cbr {
        target: BitRate::new(bps).expect("a rate"),
        range,
    }
}

fn setup(width: u32, height: u32, rate_control: RateControl, streams: u32) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(size(width, height)),
        frame_rate: FrameRate::new(25, 1).expect("a frame rate"),
        coding: Coding::HIGH_CABAC,
        rate_control,
        rate_tuning: RateTuning::default(),
        gop_length: NonZeroU32::MIN,
        stream_count: StreamCount::new(streams).expect("a count"),
    }
}

#[test]
fn reconstructed_pictures_have_the_recorded_sizes() {
    // Width, height, luma, luma and chroma, map step, maps, vectors, whole picture.
    let table = [
        (
            640, 360, 0x3_c000, 0x5_a000, 0xb80, 0x1200, 0x7400, 0x6_2600,
        ),
        (
            1280, 720, 0xf_0000, 0x16_8000, 0x1680, 0x2400, 0x1_c300, 0x18_6700,
        ),
        (
            1920, 1080, 0x1f_e000, 0x2f_d000, 0x2200, 0x3300, 0x3_fd00, 0x34_0000,
        ),
        (
            2304, 1296, 0x2f_4000, 0x46_e000, 0x2880, 0x3f00, 0x5_b300, 0x4c_d200,
        ),
        (
            2560, 1440, 0x39_8000, 0x56_4000, 0x2d00, 0x4500, 0x7_0900, 0x5d_8e00,
        ),
        (
            2592, 1944, 0x4f_7000, 0x77_2800, 0x3d00, 0x5d00, 0x9_a780, 0x81_2c80,
        ),
    ];
    for (width, height, luma, planes, step, maps, vectors, len) in table {
        let layout = ReconstructionLayout::new(size(width, height)).expect("a layout");
        assert_eq!(layout.chroma.value(), luma, "{width}x{height}");
        assert_eq!(layout.luma_map.value(), planes, "{width}x{height}");
        assert_eq!(layout.map_step.value(), step, "{width}x{height}");
        assert_eq!(
            layout.vectors.value(),
            planes + maps + 0x100,
            "{width}x{height}"
        );
        assert_eq!(
            layout.len.value(),
            planes + maps + vectors,
            "{width}x{height}"
        );
        assert_eq!(layout.len.value(), len, "{width}x{height}");
    }
}

#[test]
fn stream_buffers_have_the_recorded_sizes() {
    // Width, height, bit rate, size, usable part.
    let table = [
        (1920, 1080, 2_000_000, 0xe_7c00, 0xe_7680),
        (640, 360, 700_000, 0x2_30c0, 0x2_2e40),
        (640, 360, 800_000, 0x2_7a00, 0x2_7780),
        (640, 360, 1_000_000, 0x3_0c80, 0x3_0a00),
    ];
    for (width, height, bps, len, usable) in table {
        let stream = StreamLayout::new(size(width, height), cbr(bps, 20, 45)).expect("a layout");
        assert_eq!(stream.len.value(), len, "{width}x{height} at {bps}");
        assert_eq!(stream.usable.value(), usable, "{width}x{height} at {bps}");
    }
    let stream = StreamLayout::of_len(size(1920, 1080), ByteLen::new(0xe_7c00)).expect("a layout");
    assert_eq!(stream.budget.value(), 0xe_7460);
}

#[test]
fn a_fixed_or_fine_quantiser_makes_room_for_416_bytes_a_macroblock() {
    for (width, height) in [(176, 144), (640, 360), (1920, 1080)] {
        let size = size(width, height);
        let largest = size.macroblocks() * 416;
        for rate_control in [RateControl::FixQp { qp: qp(51) }, cbr(500_000, 19, 51)] {
            let stream = StreamLayout::new(size, rate_control).expect("a layout");
            assert_eq!(stream.budget.value(), largest, "{width}x{height}");
        }
        let coarse = StreamLayout::new(size, cbr(10_000, 20, 51)).expect("a layout");
        assert!(coarse.budget.value() < largest, "{width}x{height}");
        // A rate beyond all reason does not make the buffer larger than a picture can need.
        let absurd = StreamLayout::new(size, cbr(u32::MAX, 20, 51)).expect("a layout");
        assert_eq!(absurd.budget.value(), largest, "{width}x{height}");
    }
}

#[test]
fn a_stream_buffer_without_room_for_data_is_refused() {
    let size = size(1920, 1080);
    for len in [0, 0x220, 0x580, 0x580 + 0x220 + 31] {
        assert_eq!(
            StreamLayout::of_len(size, ByteLen::new(len)),
            Err(LayoutError::StreamTooSmall {
                len_bytes: len,
                needed_bytes: 0x580 + 0x220 + 32
            })
        );
    }
}

fn spans(layout: &ChannelLayout) -> Vec<(String, Span)> {
    let mut all = vec![
        ("picture A".to_owned(), layout.picture(Parity::A)),
        ("picture B".to_owned(), layout.picture(Parity::B)),
        ("ep1".to_owned(), layout.ep1()),
        ("ep2".to_owned(), layout.ep2()),
    ];
    for bank in Ep3Bank::ALL {
        all.push((
            format!("ep3 {bank:?}"),
            layout.ep3_bank(bank).expect("a bank"),
        ));
    }
    all.push(("command lists".to_owned(), layout.ring()));
    for index in 0..layout.stream_count() {
        all.push((
            format!("stream {index}"),
            layout.stream(index).expect("a stream"),
        ));
    }
    all
}

#[test]
fn no_two_objects_of_any_channel_overlap_and_all_lie_inside_its_memory() {
    let mut seed = 0x2545_f491u32;
    let mut next = |below: u32| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed % below
    };
    for round in 0..400 {
        let (width, height) = (16 + 2 * next(2041), 16 + 2 * next(2041));
        let rate_control = match next(3) {
            0 => RateControl::FixQp { qp: qp(next(52)) },
            1 => cbr(1 + next(100_000_000), 20 + next(10), 30 + next(22)),
            _ => cbr(1 + next(100_000_000), next(20), 30 + next(22)),
        };
        let layout =
            ChannelLayout::new(&setup(width, height, rate_control, 1 + next(8))).expect("a layout");
        let start = PhysAddr::new(512 * (1 + next(0x40_0000)));
        let Ok(range) = PhysRange::new(start, layout.len_bytes()) else {
            continue;
        };
        let memory = layout.place(range).expect("it fits exactly");
        let placed: Vec<_> = spans(&layout)
            .into_iter()
            .map(|(name, span)| (name, memory.range_of(span).expect("inside")))
            .collect();
        for (index, (name, object)) in placed.iter().enumerate() {
            let place = format!("round {round}: {name} of {width}x{height}");
            assert!(range.contains_range(*object), "{place} lies outside");
            let alignment = if name.starts_with("slot") { 512 } else { 64 };
            assert_eq!(
                object.start().value() % alignment,
                0,
                "{place} is not aligned"
            );
            for (other_name, other) in &placed[..index] {
                assert!(!object.overlaps(*other), "{place} overlaps {other_name}");
            }
        }
    }
}

#[test]
fn a_lease_that_is_short_or_misaligned_is_refused() {
    let layout = ChannelLayout::new(&setup(640, 360, cbr(1_000_000, 20, 45), 2)).expect("a layout");
    let len = layout.len_bytes().value();
    let short = PhysRange::new(PhysAddr::new(0x600_0000), ByteLen::new(len - 1)).expect("a range");
    assert!(matches!(layout.place(short), Err(LayoutError::Address(_))));
    let odd = PhysRange::new(PhysAddr::new(0x600_0100), ByteLen::new(len)).expect("a range");
    assert_eq!(
        layout.place(odd),
        Err(LayoutError::Misaligned {
            start: PhysAddr::new(0x600_0100)
        })
    );
    assert!(layout.stream(2).is_err());
}

#[test]
fn the_parameter_buffers_lie_as_far_apart_as_on_the_camera() {
    for (width, height, distance, ep2_len) in [
        (1920, 1080, 0x6400 + 0x180, 0x2040),
        (640, 360, 0x6400 + 0x80, 0x440),
    ] {
        let layout =
            ChannelLayout::new(&setup(width, height, cbr(1_000_000, 20, 45), 2)).expect("a layout");
        let between = layout.ep2().offset.value() - layout.ep1().offset.value();
        assert_eq!(between, distance, "{width}x{height}");
        assert_eq!(layout.ep2().len.value(), ep2_len, "{width}x{height}");
    }
}
