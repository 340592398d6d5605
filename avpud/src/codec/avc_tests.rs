//! Headers against golden bytes, recorded slice headers and the rules of emulation prevention.

use core::convert::Infallible;
use core::num::NonZeroU32;

use super::avc::{Headers, Prefix, slice_header};
use super::gop::{Gop, IdrPicId, Place};
use super::join::join;
use super::level::BUFFER_S;
use super::rate_control::{Controller, Fullness};
use super::sei::UserData;
use crate::job::{HEADER_LEN_MAX, PictureHeader};
use crate::picture::{
    BitRate, ChannelSetup, Coding, Entropy, FrameRate, Geometry, PictureKind, PictureSize, Profile,
    Qp, QpRange, RateControl, RateTuning, StreamCount,
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
        rate_tuning: RateTuning::default(),
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

/// Type and bytes without start code of each unit that a header tells of.
fn units(header: &PictureHeader) -> Vec<(u8, Vec<u8>)> {
    let starts: Vec<(u8, usize)> = header
        .nal_units()
        .map(|(kind, offset)| (kind, usize::from(offset)))
        .collect();
    let ends = starts.iter().skip(1).map(|(_, offset)| *offset);
    let ends = ends.chain([header.bytes().len()]);
    let unit = |((kind, start), end): (&(u8, usize), usize)| {
        assert_eq!(header.bytes()[*start..start + 4], [0, 0, 0, 1]);
        (*kind, header.bytes()[start + 4..end].to_vec())
    };
    starts.iter().zip(ends).map(unit).collect()
}

#[test]
fn delimiter_parameter_sets_and_user_data_stand_before_the_slice_in_this_order() {
    let headers = Headers::new(&setup(640, 360, Coding::HIGH_CABAC), 0).expect("headers");
    let data = |text: &[u8]| UserData::new(&[7; 16], text);
    let prefix = Prefix {
        delimiter: true,
        user_data: [data(b"every"), data(b"once")],
    };
    let idr = headers.picture_behind(&prefix, place(0, IdrPicId::Zero), qp(30));
    let units_of_idr = units(&idr.expect("a header"));
    let kinds: Vec<u8> = units_of_idr.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [9, 7, 8, 6, 5]);
    assert_eq!(units_of_idr[0].1, [0x09, 0x10]);
    let mut both = vec![0x06];
    for text in [b"every".as_slice(), b"once"] {
        both.extend([5, 16 + u8::try_from(text.len()).expect("short")]);
        both.extend([7; 16]);
        both.extend(text);
    }
    both.push(0x80);
    assert_eq!(units_of_idr[3].1, both);
    let plain = headers.picture(place(0, IdrPicId::Zero), qp(30));
    assert_eq!(units_of_idr[4], units(&plain.expect("a header"))[2]);

    let prefix = Prefix {
        delimiter: true,
        user_data: [None; 2],
    };
    let p = headers.picture_behind(&prefix, place(1, IdrPicId::Zero), qp(30));
    let units_of_p = units(&p.expect("a header"));
    let kinds: Vec<u8> = units_of_p.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [9, 1]);
    assert_eq!(units_of_p[0].1, [0x09, 0x30]);
}

#[test]
fn the_longest_header_there_can_be_fits() {
    let longest = UserData::new(&[0; 16], &[0; UserData::PAYLOAD_LEN_MAX_BYTES]);
    let prefix = Prefix {
        delimiter: true,
        user_data: [longest; 2],
    };
    for coding in [Coding::HIGH_CABAC, Coding::BASELINE] {
        let headers = Headers::new(&setup(1922, 1082, coding), 0).expect("headers");
        for quantiser in 1..52 {
            let header = headers.picture_behind(&prefix, place(0, IdrPicId::One), qp(quantiser));
            assert_eq!(units(&header.expect("room")).len(), 5);
        }
    }
    // Parameter sets of any size and rate have a bound of their own, and so has a slice header.
    let spare = 128 - GOLDEN_HIGH.len() + 15;
    let headers = Headers::new(&setup(1920, 1080, Coding::HIGH_CABAC), 0).expect("headers");
    let header = headers.picture_behind(&prefix, place(0, IdrPicId::One), qp(51));
    assert!(header.expect("room").bytes().len() + spare <= HEADER_LEN_MAX);
}

#[test]
fn the_configuration_record_of_two_channels_is_these_bytes() {
    for (coding, golden, tail) in [
        (
            Coding::HIGH_CABAC,
            GOLDEN_HIGH,
            [0xfd, 0xf8, 0xf8, 0].as_slice(),
        ),
        (Coding::BASELINE, GOLDEN_BASELINE, &[]),
    ] {
        let (width, height) = if coding == Coding::BASELINE {
            (640, 360)
        } else {
            (1920, 1080)
        };
        let headers = Headers::new(&setup(width, height, coding), 0).expect("headers");
        let record = headers.configuration_record().expect("a record");
        let (sps, pps) = (&golden[4..golden.len() - 8], &golden[golden.len() - 4..]);
        let mut expected = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0];
        expected.push(u8::try_from(sps.len()).expect("short"));
        expected.extend(sps);
        expected.extend([1, 0, 4]);
        expected.extend(pps);
        expected.extend(tail);
        assert_eq!(record, expected);
    }
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

/// Slice data as the encoder writes it: escaped from its own first byte on, some escapes before 0, 1 and 2 missing.
fn as_the_encoder_writes(raw: &[u8], mut leaves_out: impl FnMut() -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut zeros = 0;
    for &byte in raw {
        if zeros == 2 && byte <= 3 {
            zeros = 0;
            if byte == 3 || !leaves_out() {
                out.push(3);
            }
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        zeros = zeros.min(2);
        out.push(byte);
    }
    out
}

/// What a decoder reads of a NAL unit; panics where a start code could be seen in it.
fn as_a_decoder_reads(unit: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 {
            assert!(byte >= 3, "a start code in {unit:02x?}");
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        raw.push(byte);
    }
    raw
}

#[test]
fn whatever_slice_data_follows_a_decoder_reads_header_and_data_as_they_were() {
    let mut seed = 0x2545_f491_u32;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed >> 5
    };
    for coding in [Coding::BASELINE, Coding::HIGH_CABAC] {
        let headers = Headers::new(&setup(176, 144, coding), 0).expect("headers");
        let sets = headers.parameter_sets().expect("bytes").len();
        // Every QP at every order count that the header tells apart.
        for quantiser in 0..52 {
            let mut gop = Gop::new(NonZeroU32::new(513).expect("a length"));
            for index in 0..514 {
                let place = gop.start(qp(quantiser));
                gop.handle_encoded();
                let whole = slice_header(place, qp(quantiser), coding.entropy()).expect("a header");
                let header = headers.picture(place, qp(quantiser)).expect("a header");
                let handed = header.handover();
                // The bits handed over, then data that is full of zeros and escapes.
                let mut bits = u64::from(handed.bits) & ((1 << handed.bit_count) - 1);
                let mut count = usize::from(handed.bit_count);
                while count % 8 != 0 {
                    bits = bits << 1 | u64::from(next() & 1);
                    count += 1;
                }
                let mut data = bits.to_be_bytes()[8 - count / 8..].to_vec();
                data.extend((0..10).map(|_| [0, 0, 0, 1, 2, 3, 3, 4][(next() & 7) as usize]));
                let payload = as_the_encoder_writes(&data, || next() & 1 == 0);
                let mut unit = Vec::new();
                let len = u32::try_from(payload.len()).expect("short");
                let joined = join::<Infallible>(
                    header.bytes(),
                    len,
                    |offset, piece| {
                        let start = usize::try_from(offset).expect("short");
                        piece.copy_from_slice(&payload[start..start + piece.len()]);
                        Ok(())
                    },
                    |bytes| {
                        unit.extend_from_slice(bytes);
                        Ok(())
                    },
                );
                assert_eq!(joined, Ok(unit.len()));
                let start = match place.kind {
                    PictureKind::Idr => sets + 5,
                    PictureKind::P => 5,
                };
                let kept = usize::from(header.slice_nal_len()) - 5;
                let expected = [&whole.bytes()[..kept], &data].concat();
                let read = as_a_decoder_reads(&unit[start..]);
                assert_eq!(read, expected, "{coding:?} qp {quantiser} picture {index}");
            }
        }
    }
}

/// The level is chosen for the buffer that rate control keeps.
#[test]
fn the_buffer_that_the_level_is_chosen_for_is_that_of_rate_control() {
    let setup = setup(640, 360, Coding::HIGH_CABAC);
    let size_bits = |fullness: Fullness| fullness.size_bits;
    let kept = Controller::new(&setup).fullness().map(size_bits);
    let rate = setup.rate_control.max().expect("a rate");
    assert_eq!(kept, Some(u64::from(rate.bps()) * BUFFER_S));
}
