//! Whole command lists as cameras had them, and what the other configurations change.

use core::num::NonZeroU32;

use super::build::{Addresses, BuildError, ListBuilder, ListSettings, PictureWords, Role};
use crate::hw::cmdlist::{AddressWord, ListError, fields};
use crate::hw::layout::StreamLayout;
use crate::job::CavlcHandover;
use crate::mem::{ByteLen, PhysAddr};
use crate::picture::{
    BitRate, Coding, Entropy, FrameRate, PictureSize, Profile, Qp, QpRange, RateControl,
};

fn qp(value: u32) -> Qp {
    Qp::new(value).expect("a quantiser")
}

fn vbr(target: u32, max: u32) -> RateControl {
    RateControl::Vbr {
        target: BitRate::new(target).expect("a rate"),
        max: BitRate::new(max).expect("a rate"),
        range: QpRange::new(qp(16), qp(45)).expect("a range"),
    }
}

fn builder(width: u32, height: u32, coding: Coding, stream_len: u32) -> ListBuilder {
    let size = PictureSize::new(width, height).expect("a size");
    ListBuilder::new(ListSettings {
        size,
        coding,
        frame_rate: FrameRate::new(25, 1).expect("a frame rate"),
        gop_length: NonZeroU32::new(50).expect("a length"),
        stream: StreamLayout::of_len(size, ByteLen::new(stream_len)).expect("a layout"),
    })
    .expect("a builder")
}

fn main_channel() -> ListBuilder {
    builder(1920, 1080, Coding::HIGH_CABAC, 0xe_7c00)
}

/// The third picture of a camera's main channel: 1920x1080, 25 pictures and 2 Mbit a second.
fn main_picture_2() -> PictureWords {
    PictureWords {
        role: Role::P {
            index: NonZeroU32::new(2).expect("not the first"),
            reference: PhysAddr::new(0x06b4_5100),
        },
        qp: qp(45),
        gop_qp: qp(38),
        rate_control: vbr(2_000_000, 2_666_666),
        budget: None,
        addresses: Addresses {
            source_luma: PhysAddr::new(0x0779_ff00),
            source_chroma: PhysAddr::new(0x0799_df00),
            reconstruction: PhysAddr::new(0x0680_5100),
            ep1: PhysAddr::new(0x06e8_5100),
            ep2: PhysAddr::new(0x06e8_b680),
            ep3: PhysAddr::new(0x0680_0000),
            stream: PhysAddr::new(0x06e8_d700),
        },
        written_bytes: 11,
        handover: CavlcHandover::default(),
    }
}

/// The first picture of the same camera's second channel: 640x360, 25 pictures and 0.5 Mbit a second.
fn sub_picture_0() -> PictureWords {
    PictureWords {
        role: Role::Idr {
            group_target_bits: Some(0x664),
        },
        qp: qp(30),
        gop_qp: qp(30),
        rate_control: vbr(500_000, 500_000),
        budget: None,
        addresses: Addresses {
            source_luma: PhysAddr::new(0x07a9_cf00),
            source_chroma: PhysAddr::new(0x07ad_6700),
            reconstruction: PhysAddr::new(0x0706_a100),
            ep1: PhysAddr::new(0x0712_ed00),
            ep2: PhysAddr::new(0x0713_5180),
            ep3: PhysAddr::new(0x0706_6500),
            stream: PhysAddr::new(0x0713_5600),
        },
        written_bytes: 7,
        handover: CavlcHandover {
            bit_count: 0x14,
            bits: 0x0400_045b,
        },
    }
}

/// A recorded list: rows of eight words by the number of their first word; the others are zero.
fn list_of(rows: &[(usize, [u32; 8])]) -> [u32; 128] {
    let mut words = [0; 128];
    for (first, row) in rows {
        words[*first..first + 8].copy_from_slice(row);
    }
    words
}

#[test]
fn a_p_picture_of_a_high_profile_channel_is_the_cameras() {
    let recorded = list_of(&[
        (
            0x00,
            [
                0x80700411, 0x880860ef, 0x4010ad50, 0x112d0000, 0x00083f1f, 0, 0x00043477,
                0x80043077,
            ],
        ),
        (0x08, [0x11000000, 0xfc010000, 0xc80, 0x77000, 4, 2, 0, 2]),
        (
            0x10,
            [
                0, 0xffffffff, 0x0001b01d, 0, 0xf40001ce, 0x42, 0x3f000068, 0x10262d2d,
            ],
        ),
        (
            0x18,
            [0x43d00000, 0, 0, 0x000b0c80, 0x112d0d06, 0x77000, 0x1fdf, 0],
        ),
        (
            0x20,
            [
                0x0779ff00, 0x0799df00, 0x780, 0x06e8b680, 0x06805100, 0x06a03100, 0x21001e00,
                0x06e85100,
            ],
        ),
        (
            0x28,
            [
                0x06b45100, 0x06d43100, 0, 0, 0x06e45500, 0x06800000, 0x06b05500, 0,
            ],
        ),
        (
            0x30,
            [0x06e8d700, 0xe7680, 0x220, 0xe7460, 0, 0, 0, 0x06b02100],
        ),
        (0x38, [0x06e42100, 0, 0, 0, 0, 0, 0, 0]),
        (0x60, [0, 0, 0, 0, 0, 0, 0, 0x06b04300]),
        (0x68, [0x06e44300, 0x2200, 0, 0, 0, 0, 0, 0]),
    ]);
    let list = main_channel().build(&main_picture_2()).expect("a list");
    assert_eq!(*list.words(), recorded);
}

#[test]
fn an_idr_of_a_baseline_channel_is_the_cameras() {
    let recorded = list_of(&[
        (
            0x00,
            [
                0x80700011, 0x8802c04f, 0x4010a950, 0x211e0000, 0x00083f1f, 0, 0x00016027,
                0x80016027,
            ],
        ),
        (0x08, [0x77000000, 0x3c010000, 0xc80, 0x27000, 0, 0, 0, 0]),
        (
            0x10,
            [
                0xffffffff, 0xffffffff, 0x003ff3ff, 0, 0xf4000107, 0x664, 0x3f00006c, 0x101e2d1e,
            ],
        ),
        (
            0x18,
            [
                0xc210000c, 0, 0, 0x00070c80, 0x211e0904, 0x27000, 0x14000397, 0x0400045b,
            ],
        ),
        (
            0x20,
            [
                0x07a9cf00, 0x07ad6700, 0x280, 0x07135180, 0x0706a100, 0x070a6100, 0x21000a00,
                0x0712ed00,
            ],
        ),
        (0x28, [0, 0, 0, 0, 0, 0x07066500, 0x070c5400, 0]),
        (
            0x30,
            [0x07135600, 0x27780, 0x220, 0x27560, 0, 0, 0, 0x070c4100],
        ),
        (0x60, [0, 0, 0, 0, 0, 0, 0, 0x070c4c80]),
        (0x68, [0xb80, 0xb80, 0, 0, 0, 0, 0, 0]),
    ]);
    let list = builder(640, 360, Coding::BASELINE, 0x2_7a00)
        .build(&sub_picture_0())
        .expect("a list");
    assert_eq!(*list.words(), recorded);
}

#[test]
fn a_fixed_quantiser_turns_rate_control_in_the_picture_off() {
    let picture = PictureWords {
        rate_control: RateControl::FixQp { qp: qp(24) },
        qp: qp(24),
        ..main_picture_2()
    };
    let list = main_channel().build(&picture).expect("a list");
    let words = list.words();
    assert_eq!(words[0x14..=0x18], [0; 5]);
    assert_eq!(words[0x09], 0xfc00_0000);
    assert_eq!(words[usize::from(AddressWord::EP3.word())], 0);
}

#[test]
fn main_profile_has_cabac_and_none_of_the_tools_of_high() {
    let coding = Coding::new(Profile::Main, Entropy::Cabac).expect("allowed");
    let list = builder(1920, 1080, coding, 0xe_7c00)
        .build(&main_picture_2())
        .expect("a list");
    let words = list.words();
    assert_eq!(words[0x00], 0x8070_0011);
    assert_eq!(words[0x02], 0x4010_ad50);
    assert_eq!(words[0x09], 0x3c01_0000);
    assert_eq!(words[0x1c], 0x112d_0d04);
}

#[test]
fn only_the_first_two_pictures_of_a_group_restart_rate_control() {
    for (index, restart) in [(1, 1), (2, 0), (49, 0)] {
        let mut picture = main_picture_2();
        let index = NonZeroU32::new(index).expect("not the first");
        picture.role = Role::P {
            index,
            reference: PhysAddr::new(0x06b4_5100),
        };
        let list = main_channel().build(&picture).expect("a list");
        assert_eq!(list.value(fields::HWRC_RESTART), restart);
    }
}

#[test]
fn an_address_of_zero_or_past_the_top_makes_no_list() {
    let mut picture = main_picture_2();
    picture.addresses.stream = PhysAddr::new(0);
    let zero = BuildError::List(ListError::ZeroAddress { word: 0x30 });
    assert_eq!(main_channel().build(&picture), Err(zero));
    let mut picture = main_picture_2();
    picture.addresses.reconstruction = PhysAddr::new(0xffff_0000);
    assert!(matches!(
        main_channel().build(&picture),
        Err(BuildError::Address(_))
    ));
}

#[test]
fn an_order_count_beyond_32_bits_makes_no_list() {
    let mut picture = main_picture_2();
    let index = NonZeroU32::new(1 << 31).expect("large");
    picture.role = Role::P {
        index,
        reference: PhysAddr::new(0x06b4_5100),
    };
    let refused = BuildError::OrderCount { index: 1 << 31 };
    assert_eq!(main_channel().build(&picture), Err(refused));
}
