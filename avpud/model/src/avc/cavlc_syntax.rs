//! macroblock_layer (7.3.5) into variable-length codes, without the 8x8 transform.

use super::cavlc::{Cavlc, TokenTable};
use super::cavlc_tables::PATTERN_CODE;
use super::mb::{Levels, MbInfo, MbKind, Mv, Neighbours};
use super::params::SliceKind;
use super::syntax::{Context, QpChain, modes_beside, predicted_mode};
use super::tables::{BLOCK_X, BLOCK_Y};

/// First entry of the Cb blocks in [`MbInfo::level_counts`]; Cr follows.
const CHROMA: usize = 16;

/// Writes the mb_type of an I_PCM macroblock and goes on to the next byte.
pub(super) fn pcm_type(cavlc: &mut Cavlc, kind: SliceKind) {
    intra_type(cavlc, kind, 25);
    cavlc.align();
}

/// Writes an mb_type of the I slice's table; in P slices it follows the five inter types.
fn intra_type(cavlc: &mut Cavlc, kind: SliceKind, number: u32) {
    cavlc.ue(match kind {
        SliceKind::I => number,
        SliceKind::P => number + 5,
    });
}

/// Writes everything of a macroblock but mb_skip_run and I_PCM samples, and enters the level counts into `mb`; returns
/// the bits that its residual took.
pub(super) fn macroblock(
    cavlc: &mut Cavlc,
    context: &Context<'_>,
    mb: &mut MbInfo,
    predictions: &[Mv; 4],
    levels: &Levels,
    qp: &mut QpChain,
) -> u32 {
    match mb.kind {
        MbKind::Intra16x16 => {
            let coded = u32::from(mb.cbp & 15 != 0);
            let number = 1 + u32::from(mb.luma_mode) + 4 * u32::from(mb.cbp >> 4) + 12 * coded;
            intra_type(cavlc, context.kind, number);
            cavlc.ue(mb.chroma_mode.into());
        }
        kind if kind.is_intra() => {
            intra_type(cavlc, context.kind, 0);
            intra_modes(cavlc, context.around, mb);
            cavlc.ue(mb.chroma_mode.into());
        }
        kind => {
            cavlc.ue(match kind {
                MbKind::Inter16x8 => 1,
                MbKind::Inter8x16 => 2,
                MbKind::Inter8x8 => 3,
                _ => 0,
            });
            if kind == MbKind::Inter8x8 {
                for _ in 0..4 {
                    cavlc.ue(0);
                }
            }
            vectors(cavlc, mb, predictions);
        }
    }
    if mb.kind != MbKind::Intra16x16 {
        let table = usize::from(mb.kind.is_inter());
        cavlc.ue(PATTERN_CODE[table][usize::from(mb.cbp)].into());
        if mb.cbp == 0 {
            qp.moved = false;
            return 0;
        }
    }
    cavlc.se(qp.move_to(mb.qp));
    let start = cavlc.position_bits();
    residual(cavlc, context.around, mb, levels);
    cavlc.position_bits().wrapping_sub(start)
}

fn intra_modes(cavlc: &mut Cavlc, around: &Neighbours, mb: &MbInfo) {
    for block in 0..16 {
        let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
        let (left, top) = modes_beside(&mb.modes, around, x, y);
        let predicted = predicted_mode(left, top);
        let mode = mb.modes[y * 4 + x];
        if mode == predicted {
            cavlc.bits(1, 1);
        } else {
            cavlc.bits(u32::from(mode - u8::from(mode > predicted)), 4);
        }
    }
}

fn vectors(cavlc: &mut Cavlc, mb: &MbInfo, predictions: &[Mv; 4]) {
    // First quarter of each partition.
    let quarters: &[usize] = match mb.kind {
        MbKind::Inter16x8 => &[0, 2],
        MbKind::Inter8x16 => &[0, 1],
        MbKind::Inter8x8 => &[0, 1, 2, 3],
        _ => &[0],
    };
    for (&quarter, prediction) in quarters.iter().zip(predictions) {
        cavlc.se(i32::from(mb.mv[quarter].x) - i32::from(prediction.x));
        cavlc.se(i32::from(mb.mv[quarter].y) - i32::from(prediction.y));
    }
}

/// nC of a block from the level counts to its left and above, where there are macroblocks.
fn near(left: Option<u8>, top: Option<u8>) -> TokenTable {
    TokenTable::Near(match (left, top) {
        (Some(left), Some(top)) => (left + top).div_ceil(2),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => 0,
    })
}

/// The level count of a block of a neighbouring macroblock.
fn count_of(mb: &MbInfo, block: usize) -> Option<u8> {
    (mb.kind != MbKind::Outside).then(|| mb.level_counts[block])
}

/// nC of the 4x4 luma block at (`x`, `y`).
fn near_luma(around: &Neighbours, mb: &MbInfo, x: usize, y: usize) -> TokenTable {
    let raster = y * 4 + x;
    let left = if x > 0 {
        Some(mb.level_counts[raster - 1])
    } else {
        count_of(&around.left, raster + 3)
    };
    let top = if y > 0 {
        Some(mb.level_counts[raster - 4])
    } else {
        count_of(&around.top, raster + 12)
    };
    near(left, top)
}

/// nC of chroma block `block` whose plane begins at entry `first`.
fn near_chroma(around: &Neighbours, mb: &MbInfo, first: usize, block: usize) -> TokenTable {
    let entry = first + block;
    let left = if block & 1 != 0 {
        Some(mb.level_counts[entry - 1])
    } else {
        count_of(&around.left, entry + 1)
    };
    let top = if block & 2 != 0 {
        Some(mb.level_counts[entry - 2])
    } else {
        count_of(&around.top, entry + 2)
    };
    near(left, top)
}

fn residual(cavlc: &mut Cavlc, around: &Neighbours, mb: &mut MbInfo, levels: &Levels) {
    let large = mb.kind == MbKind::Intra16x16;
    if large {
        let table = near_luma(around, mb, 0, 0);
        cavlc.block(&levels.luma_dc, table);
    }
    for block in 0..16 {
        if mb.cbp >> (block / 4) & 1 == 0 {
            continue;
        }
        let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
        let table = near_luma(around, mb, x, y);
        let all = &levels.luma[16 * block..16 * block + 16];
        let block = if large { &all[1..] } else { all };
        mb.level_counts[y * 4 + x] = cavlc.block(block, table);
    }
    let chroma = mb.cbp >> 4;
    if chroma == 0 {
        return;
    }
    for dc in &levels.chroma_dc {
        cavlc.block(dc, TokenTable::ChromaDc);
    }
    if chroma != 2 {
        return;
    }
    for plane in 0..2 {
        let first = CHROMA + 4 * plane;
        for block in 0..4 {
            let table = near_chroma(around, mb, first, block);
            // Levels of a block that is not coded are left over from another macroblock.
            let coded = mb.coded >> (first + block) & 1 != 0;
            let none = [0; 15];
            let block_levels = if coded {
                &levels.chroma[plane][block][1..]
            } else {
                &none[..]
            };
            mb.level_counts[first + block] = cavlc.block(block_levels, table);
        }
    }
}
