//! The tables that a command list points at: lambda and scaling lists in EP1, QP control in EP2, scales in EP3.
//!
//! The picture body knows the Default scaling lists of the standard and no others, so the lists are compared with
//! them entry by entry: 5600 bytes from 0x100 on, plain lists first (8x8 intra and inter, then 4x4 intra Y, Cb, Cr and
//! inter Y, Cb, Cr), then for each QP remainder the quantiser multipliers divided by the list. 8x8 lists are stored
//! two rows at a time, in halves of four columns.

use crate::cmdlist::CommandList;
use crate::memory::Memory;
use crate::violation::Violation;

/// Offset of the scaling lists in EP1.
pub const LISTS_OFFSET_BYTES: u32 = 0x100;
/// Bytes of all scaling lists.
const LISTS_LEN: usize = 5600;
/// Bytes of the plain lists among them.
const PLAIN_LEN: usize = 2 * 64 + 6 * 16;

/// Default_4x4_Intra and Default_4x4_Inter in zig-zag order.
const DEFAULT_4X4: [[u8; 16]; 2] = [
    [
        6, 13, 13, 20, 20, 20, 28, 28, 28, 28, 32, 32, 32, 37, 37, 42,
    ],
    [
        10, 14, 14, 20, 20, 20, 24, 24, 24, 24, 27, 27, 27, 30, 30, 34,
    ],
];

/// Default_8x8_Intra and Default_8x8_Inter in zig-zag order.
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

/// Quantiser multipliers of 4x4 blocks: both coordinates even, one odd, both odd.
const MULTIPLIER_4X4: [[u32; 3]; 6] = [
    [13107, 8066, 5243],
    [11916, 7490, 4660],
    [10082, 6554, 4194],
    [9362, 5825, 3647],
    [8192, 5243, 3355],
    [7282, 4559, 2893],
];

/// Quantiser multipliers of 8x8 blocks for coordinate classes (0,0) (0,1) (0,2) (1,1) (1,2) (2,2); see [`class_8x8`].
const MULTIPLIER_8X8: [[u32; 6]; 6] = [
    [13107, 12222, 16777, 11428, 15481, 20972],
    [11916, 11058, 14980, 10826, 14290, 19174],
    [10082, 9675, 12710, 8943, 11985, 15978],
    [9362, 8931, 11984, 8228, 11259, 14913],
    [8192, 7740, 10486, 7346, 9777, 13159],
    [7282, 6830, 9118, 6428, 8640, 11570],
];

/// Offset of the QP scales in EP3.
pub const SCALES_OFFSET_BYTES: u32 = 0x200;
/// QP scales in EP3: 32768 x 2^((i - 51) / 6).
const SCALES: usize = 103;

/// 2^(n/6) in units of 2^-44.
const SIXTH_POWERS: [u64; 6] = [
    0x1000_0000_0000,
    0x11f5_9ac3_c7d6,
    0x1428_a2f9_8d72,
    0x16a0_9e66_7f3b,
    0x1965_fea5_3d6e,
    0x1c82_3e07_4ec1,
];

/// The tables by the rules.
#[derive(Debug)]
pub(crate) struct Tables {
    lists: Vec<u8>,
    scales: Vec<u8>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            lists: default_lists(),
            scales: qp_scales(),
        }
    }

    /// Compares the tables of a list with the rules. False when scaling lists are in force that are not the Default
    /// ones: such a picture comes out as if all entries were 16, which no decoder expects.
    pub(crate) fn check(
        &self,
        list: &CommandList,
        memory: &dyn Memory,
        report: &mut dyn FnMut(Violation),
    ) -> bool {
        check_lambda(list, memory, report);
        check_control(list, memory, report);
        if list.hwrc.is_some() {
            self.check_scales(list.at.ep3, memory, report);
        }
        !list.scaling_lists || self.check_lists(list.at.ep1, memory, report)
    }

    fn check_scales(&self, ep3: u32, memory: &dyn Memory, report: &mut dyn FnMut(Violation)) {
        let start = ep3.wrapping_add(SCALES_OFFSET_BYTES);
        let mut found = [0; 4 * SCALES];
        if memory.read(start, &mut found).is_err() {
            return;
        }
        let mut address = start;
        for (expected, found) in self.scales.chunks_exact(4).zip(found.chunks_exact(4)) {
            if expected != found {
                let value = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
                report(Violation::Table {
                    address,
                    expected: value(expected),
                    found: value(found),
                    rule: "qp scales in ep3",
                });
                return;
            }
            address = address.wrapping_add(4);
        }
    }

    fn check_lists(
        &self,
        ep1: u32,
        memory: &dyn Memory,
        report: &mut dyn FnMut(Violation),
    ) -> bool {
        let start = ep1.wrapping_add(LISTS_OFFSET_BYTES);
        let mut found = [0; LISTS_LEN];
        if memory.read(start, &mut found).is_err() {
            return false;
        }
        if found[..] == self.lists[..] {
            return true;
        }
        let differs = self.lists.iter().zip(found).position(|(a, b)| *a != b);
        if let Some(at) = differs {
            let wide = if at < PLAIN_LEN { at } else { at & !3 };
            let entry = |bytes: &[u8]| match bytes.get(wide..) {
                Some([a, b, c, d, ..]) if wide >= PLAIN_LEN => u32::from_le_bytes([*a, *b, *c, *d]),
                Some([a, ..]) => u32::from(*a),
                _ => 0,
            };
            report(Violation::Table {
                address: start.wrapping_add(u32::try_from(wide).unwrap_or(0)),
                expected: entry(&self.lists),
                found: entry(&found),
                rule: "default scaling lists in ep1",
            });
        }
        false
    }
}

/// A lambda of 0 for the slice QP would make every mode free.
fn check_lambda(list: &CommandList, memory: &dyn Memory, report: &mut dyn FnMut(Violation)) {
    let address = list.at.ep1.wrapping_add(4 * u32::from(list.qp));
    let mut lanes = [0; 4];
    if memory.read(address, &mut lanes).is_ok() {
        let [_, p, i, _] = lanes;
        for (lane, value) in [(1, p), (2, i)] {
            if value == 0 {
                report(Violation::Table {
                    address: address.wrapping_add(lane),
                    expected: 1,
                    found: 0,
                    rule: "lambda of the slice qp in ep1",
                });
            }
        }
    }
}

/// The constants and the QP range of EP2.
fn check_control(list: &CommandList, memory: &dyn Memory, report: &mut dyn FnMut(Violation)) {
    let range = list.hwrc.map_or(0x3300_0000, |hwrc| {
        u32::from(hwrc.qp_max) << 24 | u32::from(hwrc.qp_min) << 16
    });
    let expected = [
        0x03e8_09c4,
        0x1388_0100,
        0x2328_1b58,
        0x010a_0301,
        range | 0x0302,
    ];
    let mut address = list.at.ep2;
    for expected in expected {
        let mut bytes = [0; 4];
        if memory.read(address, &mut bytes).is_err() {
            return;
        }
        let found = u32::from_le_bytes(bytes);
        if found != expected {
            report(Violation::Table {
                address,
                expected,
                found,
                rule: "qp control in ep2",
            });
        }
        address = address.wrapping_add(4);
    }
}

/// The Default scaling lists as EP1 holds them, from [`LISTS_OFFSET_BYTES`] on.
#[must_use]
pub fn default_lists() -> Vec<u8> {
    let lists_8x8 = DEFAULT_8X8.map(|list| raster::<8>(&list));
    let lists_4x4 = DEFAULT_4X4.map(|list| raster::<4>(&list));
    let mut bytes = Vec::with_capacity(LISTS_LEN);
    for list in &lists_8x8 {
        bytes.extend(order_8x8().map(|(row, column)| list[row][column]));
    }
    for list in &lists_4x4 {
        for _component in 0..3 {
            bytes.extend(list.as_flattened());
        }
    }
    let forward = |multiplier: u32, entry: u8| {
        let entry = u32::from(entry);
        (((multiplier << 4) + (entry >> 1)) / entry).to_le_bytes()
    };
    for multipliers in MULTIPLIER_8X8 {
        for list in &lists_8x8 {
            for (row, column) in order_8x8() {
                let multiplier = multipliers[class_8x8(row, column)];
                bytes.extend(forward(multiplier, list[row][column]));
            }
        }
    }
    for multipliers in MULTIPLIER_4X4 {
        for list in &lists_4x4 {
            for _component in 0..3 {
                for (row, entries) in list.iter().enumerate() {
                    for (column, &entry) in entries.iter().enumerate() {
                        bytes.extend(forward(multipliers[row % 2 + column % 2], entry));
                    }
                }
            }
        }
    }
    bytes
}

/// The QP scales as EP3 holds them, from [`SCALES_OFFSET_BYTES`] on.
#[must_use]
pub fn qp_scales() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * SCALES);
    let mut octave_shift = 38;
    // Entry 51 is 2^15, so entry 0 is 3 sixths into octave 6.
    let mut sixth = 3;
    for _entry in 0..SCALES {
        let scale = (SIXTH_POWERS[sixth] + (1 << (octave_shift - 1))) >> octave_shift;
        bytes.extend(u32::try_from(scale).unwrap_or(u32::MAX).to_le_bytes());
        sixth += 1;
        if sixth == SIXTH_POWERS.len() {
            sixth = 0;
            octave_shift -= 1;
        }
    }
    bytes
}

/// Row and column of 8x8 entries in the order they are stored in.
fn order_8x8() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|pair| {
        (0..2).flat_map(move |half| {
            (0..2)
                .flat_map(move |row| (0..4).map(move |column| (2 * pair + row, 4 * half + column)))
        })
    })
}

/// Which of the six multipliers of an 8x8 block stands at a position.
fn class_8x8(row: usize, column: usize) -> usize {
    let fold = |position: usize| [0, 1, 2, 1][position % 4];
    let (a, b) = (fold(row), fold(column));
    [[0, 1, 2], [1, 3, 4], [2, 4, 5]][a][b]
}

/// A list in zig-zag order as rows.
fn raster<const N: usize>(list: &[u8]) -> [[u8; N]; N] {
    let mut rows = [[0; N]; N];
    let diagonals = (0..2 * N - 1).flat_map(|sum| {
        let first = sum.saturating_sub(N - 1);
        let last = sum.min(N - 1);
        (first..=last).map(move |step| {
            // Odd diagonals run down, even ones up.
            let row = if sum % 2 == 1 {
                step
            } else {
                first + last - step
            };
            (row, sum - row)
        })
    });
    for ((row, column), &entry) in diagonals.zip(list) {
        rows[row][column] = entry;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_stored_as_the_core_reads_them() {
        let lists = default_lists();
        assert_eq!(lists.len(), LISTS_LEN);
        // First two rows of the intra 8x8 list: left halves, then right halves.
        assert_eq!(
            lists[..16],
            [
                6, 10, 13, 16, 10, 11, 16, 18, 18, 23, 25, 27, 23, 25, 27, 29
            ]
        );
        assert_eq!(lists[128..132], [6, 13, 20, 28]);
        // 13107 x 16 / 6 rounded, then 12222 x 16 / 10 rounded.
        assert_eq!(lists[PLAIN_LEN..PLAIN_LEN + 4], 34952_u32.to_le_bytes());
        assert_eq!(lists[PLAIN_LEN + 4..PLAIN_LEN + 8], 19555_u32.to_le_bytes());
    }

    #[test]
    fn the_qp_scales_double_every_six_entries() {
        let bytes = qp_scales();
        let scale = |entry: usize| {
            let bytes = bytes[4 * entry..4 * entry + 4].try_into();
            u32::from_le_bytes(bytes.expect("four bytes"))
        };
        assert_eq!(
            [scale(0), scale(1), scale(51), scale(102)],
            [91, 102, 32768, 11_863_283]
        );
        assert_eq!(bytes.len(), 412);
    }
}
