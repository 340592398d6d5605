//! The tables that a command list points at: lambda and scaling lists in EP1, QP control in EP2, scales in EP3.
//!
//! The picture body knows the Default scaling lists of the standard and no others, so the lists are compared with
//! them entry by entry: 5600 bytes from 0x100 on, plain lists first (8x8 intra and inter, then 4x4 intra Y, Cb, Cr and
//! inter Y, Cb, Cr), then for each QP remainder the quantiser multipliers divided by the list. 8x8 lists are stored
//! two rows at a time, in halves of four columns.

use crate::avc::{Multipliers, Scaling};
use crate::cmdlist::CommandList;
use crate::memory::Memory;
use crate::violation::Violation;

/// Offset of the scaling lists in EP1.
pub const LISTS_OFFSET_BYTES: u32 = 0x100;
/// Bytes of all scaling lists.
const LISTS_LEN: usize = 5600;
/// Bytes of the plain lists among them.
const PLAIN_LEN: usize = 2 * 64 + 6 * 16;

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
    let default = Multipliers::new(Scaling::Default);
    let mut bytes = Vec::with_capacity(LISTS_LEN);
    for list in &default.weight_8x8 {
        bytes.extend(order_8x8().map(|at| list[at]));
    }
    for list in &default.weight_4x4 {
        for _component in 0..3 {
            bytes.extend(list);
        }
    }
    for rem in 0..6 {
        for multipliers in &default.forward_8x8 {
            bytes.extend(order_8x8().flat_map(|at| multipliers[rem][at].to_le_bytes()));
        }
    }
    for rem in 0..6 {
        for multipliers in &default.forward_4x4 {
            for _component in 0..3 {
                bytes.extend(
                    multipliers[rem]
                        .iter()
                        .flat_map(|entry| entry.to_le_bytes()),
                );
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

/// Entries of an 8x8 block, in the order they are stored in.
fn order_8x8() -> impl Iterator<Item = usize> {
    (0..4).flat_map(|pair| {
        (0..2).flat_map(move |half| {
            (0..2).flat_map(move |row| {
                (0..4).map(move |column| 8 * (2 * pair + row) + 4 * half + column)
            })
        })
    })
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
