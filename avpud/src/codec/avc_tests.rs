//! Headers against golden bytes, recorded slice headers and the rules of emulation prevention.

use core::num::NonZeroU32;

use super::avc::{Headers, slice_header};
use super::gop::{Gop, IdrPicId, Place};
use crate::picture::{
    BitRate, ChannelSetup, Coding, Entropy, FrameRate, Geometry, PictureKind, PictureSize, Profile,
    Qp, QpRange, RateControl, StreamCount,
};

fn qp(value: u32) -> Qp {
    Qp::new(value).expect("a quantiser")
}

fn place(index: u32, idr_pic_id: IdrPicId) -> Place {
    let kind = if index == 0 {
        PictureKind::Idr
    } else {
        PictureKind::P
    };
    Place {
        kind,
        index,
        idr_pic_id,
        gop_qp: qp(30),
    }
}

fn setup(width: u32, height: u32, coding: Coding) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(PictureSize::new(width, height).expect("a size")),
        frame_rate: FrameRate::new(25, 1).expect("a frame rate"),
        coding,
        rate_control: RateControl::Cbr {
            target: BitRate::new(2_000_000).expect("a rate"),
            range: QpRange::ALL,
        },
        gop_length: NonZeroU32::new(50).expect("a length"),
        stream_count: StreamCount::TWO,
    }
}

#[test]
fn cavlc_slice_headers_are_those_of_the_camera() {
    // Index, quantiser, bytes, length in bits.
    let table: [(u32, u32, &[u8], u8); 8] = [
        (0, 30, &[0xb8, 0x40, 0x00, 0x45, 0xb0], 36),
        (1, 34, &[0xe2, 0x01, 0x00, 0x85, 0xb0], 36),
        (2, 34, &[0xe4, 0x02, 0x00, 0x85, 0xb0], 36),
        (18, 34, &[0xe4, 0x12, 0x00, 0x85, 0xb0], 36),
        (28, 32, &[0xf8, 0x1c, 0x01, 0x96, 0xc0], 34),
        (32, 26, &[0xe0, 0x20, 0x0d, 0xb0], 28),
        (41, 23, &[0xf2, 0x29, 0x03, 0xdb], 32),
        (42, 22, &[0xf4, 0x2a, 0x01, 0x36, 0xc0], 34),
    ];
    for (index, quantiser, bytes, len_bits) in table {
        let header = slice_header(place(index, IdrPicId::Zero), qp(quantiser), Entropy::Cavlc)
            .expect("a header");
        assert_eq!(
            (header.bytes(), header.len_bits()),
            (bytes, len_bits),
            "picture {index}"
        );
    }
}

#[test]
fn cabac_slice_headers_are_those_of_the_simulated_recording() {
    for (index, bytes) in [
        (0, [0xb8, 0x40, 0x00, 0x45, 0xbf]),
        (1, [0xe2, 0x01, 0x04, 0x22, 0xdf]),
        (2, [0xe4, 0x02, 0x04, 0x22, 0xdf]),
    ] {
        let header =
            slice_header(place(index, IdrPicId::Zero), qp(30), Entropy::Cabac).expect("a header");
        assert_eq!(header.bytes(), bytes, "picture {index}");
    }
}

#[test]
fn parameter_sets_of_two_channels_are_these_bytes() {
    let high = Headers::new(&setup(1920, 1080, Coding::HIGH_CABAC), 0).expect("headers");
    assert_eq!(high.parameter_sets().expect("bytes"), GOLDEN_HIGH);
    let baseline = Headers::new(&setup(640, 360, Coding::BASELINE), 0).expect("headers");
    assert_eq!(baseline.parameter_sets().expect("bytes"), GOLDEN_BASELINE);
}

#[test]
fn an_idr_carries_both_parameter_sets_and_a_p_picture_none() {
    let headers = Headers::new(&setup(640, 360, Coding::HIGH_CABAC), 0).expect("headers");
    let sets = headers.parameter_sets().expect("bytes").len();
    let idr = headers
        .picture(place(0, IdrPicId::Zero), qp(30))
        .expect("a header");
    assert_eq!(
        idr.bytes()[sets..],
        [0, 0, 0, 1, 0x25, 0xb8, 0x40, 0x00, 0x45, 0xbf]
    );
    assert_eq!(idr.slice_nal_len(), 10);
    let p = headers
        .picture(place(1, IdrPicId::Zero), qp(30))
        .expect("a header");
    assert_eq!(p.bytes(), [0, 0, 0, 1, 0x21, 0xe2, 0x01, 0x04, 0x22, 0xdf]);
}

#[test]
fn no_header_of_a_long_group_holds_a_start_code_by_accident() {
    let codings = [
        Coding::HIGH_CABAC,
        Coding::BASELINE,
        Coding::new(Profile::Main, Entropy::Cabac).expect("allowed"),
        Coding::new(Profile::High, Entropy::Cavlc).expect("allowed"),
    ];
    for coding in codings {
        let headers = Headers::new(&setup(176, 144, coding), 0).expect("headers");
        let mut gop = Gop::new(NonZeroU32::new(1100).expect("a length"));
        for count in 0..1101 {
            let quantiser = qp(count * 7 % 52);
            let place = gop.start(quantiser);
            gop.handle_encoded();
            let header = headers.picture(place, quantiser).expect("a header");
            let units = header
                .bytes()
                .windows(4)
                .filter(|four| *four == [0, 0, 0, 1])
                .count();
            let expected = if place.kind == PictureKind::Idr { 3 } else { 1 };
            assert_eq!(units, expected, "{coding:?}, picture {count}");
            let zeros = header
                .bytes()
                .windows(3)
                .filter(|three| *three == [0; 3])
                .count();
            assert_eq!(zeros, expected, "{coding:?}, picture {count}");
        }
    }
}

#[test]
fn two_idr_pictures_in_a_row_differ_in_their_headers() {
    let first = slice_header(place(0, IdrPicId::Zero), qp(30), Entropy::Cabac);
    let second = slice_header(place(0, IdrPicId::One), qp(30), Entropy::Cabac);
    assert_ne!(
        first.expect("a header").bytes(),
        second.expect("a header").bytes()
    );
}

const GOLDEN_HIGH: &[u8] = &[
    0x00, 0x00, 0x00, 0x01, 0x27, 0x64, 0x00, 0x28, 0xad, 0x00, 0xce, 0x80, 0x78, 0x02, 0x27, 0xe5,
    0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x70, 0xba, 0x80, 0x00,
    0x00, 0x00, 0x01, 0x28, 0xee, 0x3c, 0xb0,
];
const GOLDEN_BASELINE: &[u8] = &[
    0x00, 0x00, 0x00, 0x01, 0x27, 0x42, 0xc0, 0x1e, 0xe7, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x80, 0x00,
    0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x07, 0x8e, 0x17, 0x50, 0x00, 0x00, 0x00, 0x01, 0x28,
    0xce, 0x3c, 0x80,
];
