//! Contents of the parameter buffers that software fills once per channel.
//!
//! EP1 holds lambdas and scaling lists, EP2 the quantiser control, EP3 the tables of the rate control
//! inside a picture. The numbers are the vendor's, recovered by third parties; the checksums of one
//! recorded set are compared in the tests of the whole project. Every function makes bytes as they lie
//! in memory, from offset 0 of the buffer; what follows them in the buffer is zero.

use super::layout::{EP3_BANK_STRIDE_BYTES, Ep3Bank};
use crate::picture::{BitRate, QpRange, RateControl};

/// Bytes of EP1 that are not zero at the end.
pub const EP1_FILLED_BYTES: usize = SCALING_OFFSET + SCALING_LEN_BYTES;
/// Bytes of EP2 that software fills.
pub const EP2_FILLED_BYTES: usize = 20;
/// Bytes of a bank of EP3 that are not zero at the end.
pub const EP3_FILLED_BYTES: usize = 0x3a0;

const SCALING_OFFSET: usize = 0x100;
const SCALING_LEN_BYTES: usize = INVERSE_LEN_BYTES + FORWARD_LEN_WORDS * 4;
const INVERSE_LEN_BYTES: usize = 2 * 64 + 6 * 16;
const FORWARD_LEN_WORDS: usize = 6 * (2 * 64 + 6 * 16);
const SIZE_SCALE_OFFSET: usize = 0x200;
const _: () = assert!(SIZE_SCALE_OFFSET + SIZE_SCALE.len() * 4 <= EP3_FILLED_BYTES);
const _: () = assert!(EP3_FILLED_BYTES < EP3_BANK_STRIDE_BYTES as usize);

/// EP1: lambdas by quantiser, then the default scaling lists, inverse and forward.
///
/// The lists are there whatever the profile; a command list says whether they are used.
pub fn ep1(rate_control: RateControl) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(EP1_FILLED_BYTES);
    for qp in 0..LAMBDA_P.len() {
        let (b, p, i) = if rate_control.uses_hardware() {
            (LAMBDA_B[qp], LAMBDA_P[qp], LAMBDA_I[qp])
        } else {
            (0, LAMBDA_FIXED_P[qp], LAMBDA_FIXED_I[qp])
        };
        bytes.extend([b, p, i, p]);
    }
    bytes.resize(SCALING_OFFSET, 0);
    for list in [&SCALING_8X8_INTRA, &SCALING_8X8_INTER] {
        bytes.extend(ORDER_8X8.map(|place| list[place]));
    }
    for list in [&SCALING_4X4_INTRA, &SCALING_4X4_INTER] {
        for _ in 0..3 {
            bytes.extend(list);
        }
    }
    for multipliers in &QUANT_8X8 {
        for list in [&SCALING_8X8_INTRA, &SCALING_8X8_INTER] {
            for place in ORDER_8X8 {
                let multiplier = multipliers[class_8x8(place % 8, place / 8)];
                bytes.extend(forward(multiplier, list[place]));
            }
        }
    }
    for multipliers in &QUANT_4X4 {
        for list in [&SCALING_4X4_INTRA, &SCALING_4X4_INTER] {
            for _ in 0..3 {
                for (place, &scale) in list.iter().enumerate() {
                    let multiplier = multipliers[class_4x4(place % 4, place / 4)];
                    bytes.extend(forward(multiplier, scale));
                }
            }
        }
    }
    bytes
}

/// EP2: quantiser control. With a fixed quantiser the range is everything; the quantiser itself is in
/// the command list.
pub fn ep2(rate_control: RateControl) -> [u8; EP2_FILLED_BYTES] {
    let range = if rate_control.uses_hardware() {
        rate_control.range()
    } else {
        QpRange::ALL
    };
    let bounds =
        u32::from(range.max().value()) << 24 | u32::from(range.min().value()) << 16 | 0x0302;
    // The first words look like thresholds of picture complexity.
    let words = [0x03e8_09c4, 0x1388_0100, 0x2328_1b58, 0x010a_0301, bounds];
    let mut bytes = [0; EP2_FILLED_BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// EP3: one bank of the tables by which the core changes the quantiser inside a picture.
pub fn ep3(bank: Ep3Bank, target: BitRate) -> [u8; EP3_FILLED_BYTES] {
    let idr = u64::from(target.bps());
    let p = idr * 5 / 7;
    let bank_target = match bank {
        Ep3Bank::Idr => idr,
        Ep3Bank::P => p,
        Ep3Bank::Spare => p * 10 / 13,
    };
    let base = bank_target * 95 / 100;
    let mut bytes = [0; EP3_FILLED_BYTES];
    for (row, &(percent, small, middle, large)) in bytes.chunks_exact_mut(32).zip(&DELTA_ROWS) {
        let threshold = match percent {
            0 => 1,
            percent => base * percent / 100,
        };
        // Above 2.8 Gbit/s the thresholds of the top rows no longer fit their words.
        let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
        for (word, value) in [(0, threshold), (1, small), (3, middle), (5, large)] {
            row[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    let scale = bytes[SIZE_SCALE_OFFSET..].chunks_exact_mut(4);
    for (chunk, value) in scale.zip(SIZE_SCALE) {
        chunk.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn forward(multiplier: u32, scale: u8) -> [u8; 4] {
    let scale = u32::from(scale);
    (((multiplier << 4) + (scale >> 1)) / scale).to_le_bytes()
}

/// Which of the three 4x4 multipliers belongs to a coefficient.
fn class_4x4(column: usize, row: usize) -> usize {
    match (column % 2, row % 2) {
        (0, 0) => 0,
        (1, 1) => 2,
        _ => 1,
    }
}

/// Which of the six 8x8 multipliers belongs to a coefficient.
fn class_8x8(column: usize, row: usize) -> usize {
    match (column % 4, row % 4) {
        (0, 0) => 0,
        (0, 1 | 3) | (1 | 3, 0) => 1,
        (0, 2) | (2, 0) => 2,
        (1 | 3, 1 | 3) => 3,
        (2, 2) => 5,
        _ => 4,
    }
}

/// 8x8 lists are stored by pairs of rows: left halves of both, then right halves of both.
const ORDER_8X8: [usize; 64] = {
    let mut order = [0; 64];
    let mut index = 0;
    while index < 64 {
        let (pair, half, row, column) = (index / 16, index / 8 % 2, index / 4 % 2, index % 4);
        order[index] = (pair * 2 + row) * 8 + half * 4 + column;
        index += 1;
    }
    order
};

/// Forward multipliers of the 4x4 transform, by quantiser modulo 6 and class (H.264 reference encoders).
const QUANT_4X4: [[u32; 3]; 6] = [
    [13107, 8066, 5243],
    [11916, 7490, 4660],
    [10082, 6554, 4194],
    [9362, 5825, 3647],
    [8192, 5243, 3355],
    [7282, 4559, 2893],
];

/// Forward multipliers of the 8x8 transform, by quantiser modulo 6 and class.
const QUANT_8X8: [[u32; 6]; 6] = [
    [13107, 12222, 16777, 11428, 15481, 20972],
    [11916, 11058, 14980, 10826, 14290, 19174],
    [10082, 9675, 12710, 8943, 11985, 15978],
    [9362, 8931, 11984, 8228, 11259, 14913],
    [8192, 7740, 10486, 7346, 9777, 13159],
    [7282, 6830, 9118, 6428, 8640, 11570],
];

/// Threshold in percent of the base (0: literally 1), then three words of quantiser deltas, each byte
/// a signed number.
const DELTA_ROWS: [(u64, u32, u32, u32); 12] = [
    (150, 0x0c09_0706, 0x0806_0504, 0x130e_0a08),
    (130, 0x0806_0504, 0x0605_0403, 0x0e0a_0806),
    (120, 0x0605_0403, 0x0504_0302, 0x0a07_0504),
    (110, 0x0403_0202, 0x0403_0201, 0x0705_0403),
    (105, 0x0302_0101, 0x0302_0101, 0x0504_0302),
    (100, 0x0201_0101, 0x0201_0101, 0x0302_0101),
    (95, 0, 0x0101_0101, 0),
    (90, 0xffff_ffff, 0, 0),
    (80, 0xfdfe_ffff, 0, 0),
    (70, 0xfcfd_fefe, 0, 0),
    (50, 0xfafb_fcfd, 0, 0),
    (0, 0xf8fa_fbfc, 0, 0),
];

/// Lambda of B pictures with rate control, by quantiser: 2^((qp-12)/6), rounded, at least 1.
const LAMBDA_B: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8, 9,
    10, 11, 13, 14, 16, 18, 20, 23, 25, 29, 32, 36, 40, 45, 51, 57, 64, 72, 81, 91,
];

/// Lambda of P pictures with rate control: sqrt(0.42) times that, rounded up, but 13 at 37.
const LAMBDA_P: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6,
    7, 8, 9, 10, 11, 13, 14, 15, 17, 19, 21, 24, 27, 30, 33, 37, 42, 47, 53, 59,
];

/// Lambda of I pictures with rate control: sqrt(0.54) times that, rounded up.
const LAMBDA_I: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7,
    8, 9, 10, 11, 12, 14, 15, 17, 19, 21, 24, 27, 30, 34, 38, 42, 48, 53, 60, 67,
];

/// Lambda of P pictures with a fixed quantiser.
const LAMBDA_FIXED_P: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9,
    10, 12, 14, 16, 18, 21, 23, 26, 30, 33, 37, 42, 47, 53, 60, 67, 75, 85, 95, 107,
];

/// Lambda of I pictures with a fixed quantiser.
const LAMBDA_FIXED_I: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4,
    4, 5, 5, 6, 7, 8, 8, 10, 11, 12, 14, 16, 17, 20, 22, 25, 28, 32, 35, 40,
];

/// Default 8x8 scaling list, intra, raster order (H.264, table 7-4).
const SCALING_8X8_INTRA: [u8; 64] = [
    6, 10, 13, 16, 18, 23, 25, 27, 10, 11, 16, 18, 23, 25, 27, 29, 13, 16, 18, 23, 25, 27, 29, 31,
    16, 18, 23, 25, 27, 29, 31, 33, 18, 23, 25, 27, 29, 31, 33, 36, 23, 25, 27, 29, 31, 33, 36, 38,
    25, 27, 29, 31, 33, 36, 38, 40, 27, 29, 31, 33, 36, 38, 40, 42,
];

/// Default 8x8 scaling list, inter, raster order (H.264, table 7-4).
const SCALING_8X8_INTER: [u8; 64] = [
    9, 13, 15, 17, 19, 21, 22, 24, 13, 13, 17, 19, 21, 22, 24, 25, 15, 17, 19, 21, 22, 24, 25, 27,
    17, 19, 21, 22, 24, 25, 27, 28, 19, 21, 22, 24, 25, 27, 28, 30, 21, 22, 24, 25, 27, 28, 30, 32,
    22, 24, 25, 27, 28, 30, 32, 33, 24, 25, 27, 28, 30, 32, 33, 35,
];

/// Default 4x4 scaling list, intra, raster order (H.264, table 7-3).
const SCALING_4X4_INTRA: [u8; 16] = [
    6, 13, 20, 28, 13, 20, 28, 32, 20, 28, 32, 37, 28, 32, 37, 42,
];

/// Default 4x4 scaling list, inter, raster order (H.264, table 7-3).
const SCALING_4X4_INTER: [u8; 16] = [
    10, 14, 20, 24, 14, 20, 24, 27, 20, 24, 27, 30, 24, 27, 30, 34,
];

/// Size of a picture by quantiser step: 32768 * 2^((i - 51) / 6), rounded.
const SIZE_SCALE: [u32; 103] = [
    91, 102, 114, 128, 144, 161, 181, 203, 228, 256, 287, 323, 362, 406, 456, 512, 575, 645, 724,
    813, 912, 1024, 1149, 1290, 1448, 1625, 1825, 2048, 2299, 2580, 2896, 3251, 3649, 4096, 4598,
    5161, 5793, 6502, 7298, 8192, 9195, 10321, 11585, 13004, 14596, 16384, 18390, 20643, 23170,
    26008, 29193, 32768, 36781, 41285, 46341, 52016, 58386, 65536, 73562, 82570, 92682, 104032,
    116772, 131072, 147123, 165140, 185364, 208064, 233544, 262144, 294247, 330281, 370728, 416128,
    467088, 524288, 588493, 660561, 741455, 832255, 934175, 1048576, 1176987, 1321123, 1482910,
    1664511, 1868350, 2097152, 2353974, 2642246, 2965821, 3329021, 3736700, 4194304, 4707947,
    5284492, 5931642, 6658043, 7473400, 8388608, 9415894, 10568984, 11863283,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Qp;

    fn cbr(bps: u32) -> RateControl {
        let range = QpRange::new(Qp::new(15).expect("15"), Qp::new(45).expect("45"));
        RateControl::Cbr {
            target: BitRate::new(bps).expect("a rate"),
            range: range.expect("a range"),
        }
    }

    #[test]
    fn the_first_buffer_is_filled_to_its_documented_length() {
        let bytes = ep1(cbr(1_000_000));
        assert_eq!(bytes.len(), EP1_FILLED_BYTES);
        assert_eq!(bytes.len(), 5856);
        assert!(bytes[0xd0..0x100].iter().all(|&byte| byte == 0));
        // Quantiser 37 has the one lambda that is off its formula.
        assert_eq!(bytes[37 * 4..38 * 4], [18, 13, 14, 13]);
    }

    #[test]
    fn lists_for_8x8_are_stored_by_pairs_of_rows() {
        assert_eq!(
            ORDER_8X8[..16],
            [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]
        );
        let mut sorted = ORDER_8X8;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..64));
    }

    #[test]
    fn quantiser_control_holds_the_range_of_rate_control_and_all_of_it_when_fixed() {
        assert_eq!(ep2(cbr(1))[16..], [0x02, 0x03, 0x0f, 0x2d]);
        let fixed = RateControl::FixQp {
            qp: Qp::new(30).expect("30"),
        };
        assert_eq!(ep2(fixed)[16..], [0x02, 0x03, 0x00, 0x33]);
        assert_eq!(ep2(fixed)[..4], [0xc4, 0x09, 0xe8, 0x03]);
    }

    #[test]
    fn the_highest_rate_there_is_does_not_overflow_the_tables() {
        for bank in Ep3Bank::ALL {
            let bytes = ep3(bank, BitRate::new(u32::MAX).expect("a rate"));
            assert_eq!(bytes[32 * 11..32 * 11 + 4], [1, 0, 0, 0]);
        }
    }
}
