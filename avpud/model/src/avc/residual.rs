//! residual_block_cabac (7.3.5.3.3): one block of levels into bins.

use super::cabac::Cabac;

/// ctxBlockCat of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    LumaDc = 0,
    LumaAc = 1,
    Luma4x4 = 2,
    ChromaDc = 3,
    ChromaAc = 4,
    Luma8x8 = 5,
}

/// coded_block_flag contexts by block kind; 8x8 blocks have none in 4:2:0.
const CODED_BASE: [usize; 5] = [85, 89, 93, 97, 101];
const SIGNIFICANT_BASE: [usize; 6] = [105, 120, 134, 149, 152, 402];
const LAST_BASE: [usize; 6] = [166, 181, 195, 210, 213, 417];
const LEVEL_BASE: [usize; 6] = [227, 237, 247, 257, 266, 426];

/// Context increments of significant_coeff_flag by position in an 8x8 block (table 9-43, frame).
const SIGNIFICANT_8X8: [u8; 63] = [
    0, 1, 2, 3, 4, 5, 5, 4, 4, 3, 3, 4, 4, 4, 5, 5, 4, 4, 4, 4, 3, 3, 6, 7, 7, 7, 8, 9, 10, 9, 8,
    7, 7, 6, 11, 12, 13, 11, 6, 7, 8, 9, 14, 10, 9, 8, 6, 11, 12, 13, 11, 6, 9, 14, 10, 9, 11, 12,
    13, 11, 14, 10, 12,
];
/// Context increments of last_significant_coeff_flag by position in an 8x8 block (table 9-43).
const LAST_8X8: [u8; 63] = [
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8, 8,
];
/// Increments of both maps for the other kinds.
const BY_POSITION: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
/// Increments of both maps for the four chroma DC levels.
const BY_POSITION_CHROMA_DC: [u8; 3] = [0, 1, 2];

/// Codes the coded_block_flag of a block; `left` and `top` say whether the neighbouring blocks are coded.
#[inline]
pub(super) fn coded_flag(cabac: &mut Cabac, kind: BlockKind, left: bool, top: bool, coded: bool) {
    let context = CODED_BASE[kind as usize] + usize::from(left) + 2 * usize::from(top);
    cabac.bin(context, coded);
}

/// Codes the levels of a block in scan order, of which at least one is not zero.
pub(super) fn levels(cabac: &mut Cabac, kind: BlockKind, levels: &[i16]) {
    let (significant_map, last_map): (&[u8], &[u8]) = match kind {
        BlockKind::Luma8x8 => (&SIGNIFICANT_8X8, &LAST_8X8),
        BlockKind::ChromaDc => (&BY_POSITION_CHROMA_DC, &BY_POSITION_CHROMA_DC),
        _ => (&BY_POSITION, &BY_POSITION),
    };
    let significant_base = SIGNIFICANT_BASE[kind as usize];
    let last_base = LAST_BASE[kind as usize];
    let last = levels.iter().rposition(|&level| level != 0).unwrap_or(0);
    let mut present = [0i16; 64];
    let mut count = 0;
    let maps = significant_map.iter().zip(last_map);
    for (index, (&level, (&significant, &at_end))) in levels
        .iter()
        .zip(maps)
        .enumerate()
        .take((last + 1).min(levels.len() - 1))
    {
        cabac.bin(significant_base + usize::from(significant), level != 0);
        if level != 0 {
            cabac.bin(last_base + usize::from(at_end), index == last);
            present[count & 63] = level;
            count += 1;
        }
    }
    if last + 1 == levels.len() {
        // The last position is significant by implication.
        present[count & 63] = levels[last];
        count += 1;
    }

    let base = LEVEL_BASE[kind as usize];
    let larger_max = if kind == BlockKind::ChromaDc { 3 } else { 4 };
    let (mut ones, mut larger) = (0, 0);
    for &level in present[..count.min(64)].iter().rev() {
        let magnitude = u32::from(level.unsigned_abs()) - 1;
        let first = if larger > 0 { 0 } else { (ones + 1).min(4) };
        cabac.bin(base + first, magnitude > 0);
        if magnitude > 0 {
            let context = base + 5 + larger.min(larger_max);
            for _ in 1..magnitude.min(14) {
                cabac.bin(context, true);
            }
            if magnitude < 14 {
                cabac.bin(context, false);
            } else {
                cabac.bypass_exp_golomb(magnitude - 14, 0);
            }
            larger += 1;
        } else {
            ones += 1;
        }
        cabac.bypass(level < 0);
    }
}
