//! Quantiser multipliers, forward and inverse, for the scaling matrices in force.

use super::params::Scaling;
use super::tables::{ZIGZAG_4X4, ZIGZAG_8X8};

/// Which lists a block uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    Intra = 0,
    Inter = 1,
}

/// Lists by kind, and multipliers by list kind and QP % 6, in raster order.
pub(crate) struct Multipliers {
    /// Weights of 4x4 blocks.
    pub(crate) weight_4x4: [[u8; 16]; 2],
    /// Weights of 8x8 blocks.
    pub(crate) weight_8x8: [[u8; 64]; 2],
    /// Forward 4x4, for a shift of 15 + QP / 6.
    pub(crate) forward_4x4: [[[u32; 16]; 6]; 2],
    /// LevelScale4x4.
    pub(super) inverse_4x4: [[[i32; 16]; 6]; 2],
    /// Forward 8x8, for a shift of 16 + QP / 6.
    pub(crate) forward_8x8: [[[u32; 64]; 6]; 2],
    /// LevelScale8x8.
    pub(super) inverse_8x8: [[[i32; 64]; 6]; 2],
}

impl Multipliers {
    pub(crate) fn new(scaling: Scaling) -> Self {
        let mut all = Self {
            weight_4x4: [[0; 16]; 2],
            weight_8x8: [[0; 64]; 2],
            forward_4x4: [[[0; 16]; 6]; 2],
            inverse_4x4: [[[0; 16]; 6]; 2],
            forward_8x8: [[[0; 64]; 6]; 2],
            inverse_8x8: [[[0; 64]; 6]; 2],
        };
        for kind in 0..2 {
            for (scan, &raster) in ZIGZAG_4X4.iter().enumerate() {
                let at = usize::from(raster);
                let weight = match scaling {
                    Scaling::Flat => 16,
                    Scaling::Default => DEFAULT_4X4[kind][scan],
                };
                all.weight_4x4[kind][at] = weight;
                let (weight, class) = (u32::from(weight), class_4x4(at));
                for rem in 0..6 {
                    all.inverse_4x4[kind][rem][at] =
                        weight as i32 * i32::from(INVERSE_4X4[rem][class]);
                    all.forward_4x4[kind][rem][at] =
                        (u32::from(FORWARD_4X4[rem][class]) * 16 + weight / 2) / weight;
                }
            }
            for (scan, &raster) in ZIGZAG_8X8.iter().enumerate() {
                let at = usize::from(raster);
                let weight = match scaling {
                    Scaling::Flat => 16,
                    Scaling::Default => DEFAULT_8X8[kind][scan],
                };
                all.weight_8x8[kind][at] = weight;
                let (weight, class) = (u32::from(weight), class_8x8(at));
                for rem in 0..6 {
                    all.inverse_8x8[kind][rem][at] =
                        weight as i32 * i32::from(INVERSE_8X8[rem][class]);
                    all.forward_8x8[kind][rem][at] =
                        (u32::from(FORWARD_8X8[rem][class]) * 16 + weight / 2) / weight;
                }
            }
        }
        all
    }
}

/// Class of a 4x4 position: both even, both odd, mixed.
fn class_4x4(raster: usize) -> usize {
    match (raster % 2, raster / 4 % 2) {
        (0, 0) => 0,
        (1, 1) => 1,
        _ => 2,
    }
}

/// Class of an 8x8 position in the order of the standard's normAdjust8x8.
fn class_8x8(raster: usize) -> usize {
    let (x, y) = (raster % 4, raster / 8 % 4);
    match (x, y) {
        (0, 0) => 0,
        (1 | 3, 1 | 3) => 1,
        (2, 2) => 2,
        (0, 1 | 3) | (1 | 3, 0) => 3,
        (0, 2) | (2, 0) => 4,
        _ => 5,
    }
}

/// Default_4x4_Intra and Default_4x4_Inter in scan order (table 7-3).
const DEFAULT_4X4: [[u8; 16]; 2] = [
    [
        6, 13, 13, 20, 20, 20, 28, 28, 28, 28, 32, 32, 32, 37, 37, 42,
    ],
    [
        10, 14, 14, 20, 20, 20, 24, 24, 24, 24, 27, 27, 27, 30, 30, 34,
    ],
];

/// Default_8x8_Intra and Default_8x8_Inter in scan order (table 7-4).
const DEFAULT_8X8: [[u8; 64]; 2] = [
    [
        6, 10, 10, 13, 11, 13, 16, 16, 16, 16, 18, 18, 18, 18, 18, 23, 23, 23, 23, 23, 23, 25, 25,
        25, 25, 25, 25, 25, 27, 27, 27, 27, 27, 27, 27, 27, 29, 29, 29, 29, 29, 29, 29, 31, 31, 31,
        31, 31, 31, 33, 33, 33, 33, 33, 36, 36, 36, 36, 38, 38, 38, 40, 40, 42,
    ],
    [
        9, 13, 13, 15, 13, 15, 17, 17, 17, 17, 19, 19, 19, 19, 19, 21, 21, 21, 21, 21, 21, 22, 22,
        22, 22, 22, 22, 22, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 27, 27, 27,
        27, 27, 27, 28, 28, 28, 28, 28, 30, 30, 30, 30, 32, 32, 32, 33, 33, 35,
    ],
];

/// normAdjust4x4 by QP % 6 and class.
const INVERSE_4X4: [[u8; 3]; 6] = [
    [10, 16, 13],
    [11, 18, 14],
    [13, 20, 16],
    [14, 23, 18],
    [16, 25, 20],
    [18, 29, 23],
];

/// normAdjust8x8 by QP % 6 and class.
const INVERSE_8X8: [[u8; 6]; 6] = [
    [20, 18, 32, 19, 25, 24],
    [22, 19, 35, 21, 28, 26],
    [26, 23, 42, 24, 33, 31],
    [28, 25, 45, 26, 35, 33],
    [32, 28, 51, 30, 40, 38],
    [36, 32, 58, 34, 46, 43],
];

/// Forward multipliers of 4x4 blocks by QP % 6 and class, as the encoder parameter buffer states them.
const FORWARD_4X4: [[u16; 3]; 6] = [
    [13107, 5243, 8066],
    [11916, 4660, 7490],
    [10082, 4194, 6554],
    [9362, 3647, 5825],
    [8192, 3355, 5243],
    [7282, 2893, 4559],
];

/// Forward multipliers of 8x8 blocks by QP % 6 and class, as the encoder parameter buffer states them.
const FORWARD_8X8: [[u16; 6]; 6] = [
    [13107, 11428, 20972, 12222, 16777, 15481],
    [11916, 10826, 19174, 11058, 14980, 14290],
    [10082, 8943, 15978, 9675, 12710, 11985],
    [9362, 8228, 14913, 8931, 11984, 11259],
    [8192, 7346, 13159, 7740, 10486, 9777],
    [7282, 6428, 11570, 6830, 9118, 8640],
];

#[cfg(test)]
mod tests {
    use super::{FORWARD_4X4, FORWARD_8X8, INVERSE_4X4, INVERSE_8X8, Multipliers, Scaling};

    #[test]
    fn forward_times_inverse_is_the_same_power_of_two_for_every_class() {
        // Product of the gains of both transforms by class, 4x4, in a common unit.
        let norm_4x4 = [16, 25, 20];
        for rem in 0..6 {
            for class in 0..3 {
                let gain = u64::from(FORWARD_4X4[rem][class])
                    * u64::from(INVERSE_4X4[rem][class])
                    * norm_4x4[class];
                let expected = 1 << 21;
                assert!(
                    gain.abs_diff(expected) < expected / 200,
                    "{rem} {class}: {gain}"
                );
            }
            for class in 0..6 {
                let (forward, inverse) = (FORWARD_8X8[rem][class], INVERSE_8X8[rem][class]);
                let zero = u64::from(FORWARD_8X8[0][class]) * u64::from(INVERSE_8X8[0][class]);
                let gain = u64::from(forward) * u64::from(inverse);
                assert!(
                    gain.abs_diff(zero) < zero / 50,
                    "{rem} {class}: {gain} {zero}"
                );
            }
        }
    }

    #[test]
    fn flat_lists_leave_the_multipliers_as_they_are() {
        let flat = Multipliers::new(Scaling::Flat);
        assert_eq!(flat.forward_4x4[0][0][0], 13107);
        assert_eq!(flat.inverse_8x8[1][5][9], 16 * 32);
    }
}
