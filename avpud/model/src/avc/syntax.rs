//! macroblock_layer (7.3.5) into bins.

use super::cabac::Cabac;
use super::mb::{
    CODED_CHROMA, CODED_CHROMA_DC, CODED_LUMA_DC, Levels, MODE_OUTSIDE, MbInfo, MbKind, Mv,
    Neighbours,
};
use super::params::SliceKind;
use super::residual::{self, BlockKind};
use super::tables::{BLOCK_X, BLOCK_Y};

/// What the syntax of a macroblock depends on besides itself.
pub(super) struct Context<'a> {
    pub(super) kind: SliceKind,
    pub(super) transform_8x8: bool,
    pub(super) around: &'a Neighbours,
}

/// Codes mb_skip_flag.
pub(super) fn skip_flag(cabac: &mut Cabac, around: &Neighbours, skip: bool) {
    let coded = |mb: &MbInfo| usize::from(!matches!(mb.kind, MbKind::Outside | MbKind::Skip));
    cabac.bin(11 + coded(&around.left) + coded(&around.top), skip);
}

/// Codes mb_type of an I_PCM macroblock; its terminate bin follows.
pub(super) fn pcm_type(cabac: &mut Cabac, context: &Context<'_>) {
    intra_prefix(cabac, context, true);
}

/// Codes the first bins of an intra mb_type: `large` for anything but I_NxN.
fn intra_prefix(cabac: &mut Cabac, context: &Context<'_>, large: bool) {
    match context.kind {
        SliceKind::I => {
            let other =
                |mb: &MbInfo| usize::from(mb.kind != MbKind::Outside && !mb.kind.is_intra_blocks());
            cabac.bin(
                3 + other(&context.around.left) + other(&context.around.top),
                large,
            );
        }
        SliceKind::P => {
            cabac.bin(14, true);
            cabac.bin(17, large);
        }
    }
}

/// Codes mb_type of an Intra16x16 macroblock.
fn intra_16x16_type(cabac: &mut Cabac, context: &Context<'_>, mb: &MbInfo) {
    intra_prefix(cabac, context, true);
    cabac.go_on();
    // Contexts of: luma coded, chroma coded, chroma AC coded, the two bits of the mode.
    let contexts: [usize; 5] = match context.kind {
        SliceKind::I => [6, 7, 8, 9, 10],
        SliceKind::P => [18, 19, 19, 20, 20],
    };
    let chroma = mb.cbp >> 4;
    cabac.bin(contexts[0], mb.cbp & 15 != 0);
    cabac.bin(contexts[1], chroma != 0);
    if chroma != 0 {
        cabac.bin(contexts[2], chroma == 2);
    }
    cabac.bin(contexts[3], mb.luma_mode & 2 != 0);
    cabac.bin(contexts[4], mb.luma_mode & 1 != 0);
}

/// Prediction of the mode of a 4x4 block from the modes to its left and above.
#[inline]
pub(super) fn predicted_mode(left: u8, top: u8) -> u8 {
    if left == MODE_OUTSIDE || top == MODE_OUTSIDE {
        2
    } else {
        left.min(top)
    }
}

/// Mode to the left of and above the 4x4 block at (`x`, `y`) of a macroblock with these `modes`.
#[inline]
pub(super) fn modes_beside(modes: &[u8; 16], around: &Neighbours, x: usize, y: usize) -> (u8, u8) {
    let left = if x > 0 {
        modes[y * 4 + x - 1]
    } else {
        around.left.modes[y * 4 + 3]
    };
    let top = if y > 0 {
        modes[y * 4 + x - 4]
    } else {
        around.top.modes[12 + x]
    };
    (left, top)
}

fn intra_modes(cabac: &mut Cabac, around: &Neighbours, mb: &MbInfo, step: usize) {
    for block in (0..16).step_by(step) {
        let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
        let (left, top) = modes_beside(&mb.modes, around, x, y);
        let predicted = predicted_mode(left, top);
        let mode = mb.modes[y * 4 + x];
        cabac.bin(68, mode == predicted);
        if mode != predicted {
            let rest = if mode > predicted { mode - 1 } else { mode };
            for bit in 0..3 {
                cabac.bin(69, rest >> bit & 1 != 0);
            }
        }
    }
}

fn chroma_mode(cabac: &mut Cabac, around: &Neighbours, mode: u8) {
    let other = |mb: &MbInfo| usize::from(mb.chroma_mode != 0);
    cabac.bin(64 + other(&around.left) + other(&around.top), mode > 0);
    if mode > 0 {
        cabac.bin(67, mode > 1);
        if mode > 1 {
            cabac.bin(67, mode > 2);
        }
    }
}

/// Codes one component of a vector difference; `base` is 40 or 47, `beside` the sum of the neighbours' sizes.
fn vector_difference(cabac: &mut Cabac, base: usize, beside: u32, value: i32) {
    let first = usize::from(beside > 2) + usize::from(beside > 32);
    let magnitude = value.unsigned_abs();
    cabac.bin(base + first, magnitude > 0);
    if magnitude == 0 {
        return;
    }
    for index in 1..magnitude.min(9) {
        cabac.bin(base + 2 + (index as usize).min(4), true);
    }
    if magnitude < 9 {
        cabac.bin(base + 2 + (magnitude as usize).min(4), false);
    } else {
        cabac.bypass_exp_golomb(magnitude - 9, 3);
    }
    cabac.bypass(value < 0);
}

/// Codes the vector differences of an inter macroblock and stores their sizes in `mb`. `predictions` holds the
/// predicted vector of each partition, in coding order.
fn vectors(cabac: &mut Cabac, around: &Neighbours, mb: &mut MbInfo, predictions: &[Mv; 4]) {
    // First quarter and covered quarters of each partition.
    let partitions: &[(usize, &[usize])] = match mb.kind {
        MbKind::Inter16x8 => &[(0, &[0, 1]), (2, &[2, 3])],
        MbKind::Inter8x16 => &[(0, &[0, 2]), (1, &[1, 3])],
        MbKind::Inter8x8 => &[(0, &[0]), (1, &[1]), (2, &[2]), (3, &[3])],
        _ => &[(0, &[0, 1, 2, 3])],
    };
    for (&(quarter, covered), prediction) in partitions.iter().zip(predictions) {
        let left = if quarter & 1 != 0 {
            mb.mvd[quarter - 1]
        } else {
            around.left.mvd[quarter + 1]
        };
        let top = if quarter & 2 != 0 {
            mb.mvd[quarter - 2]
        } else {
            around.top.mvd[quarter + 2]
        };
        let beside = |c: usize| u32::from(left[c]) + u32::from(top[c]);
        let x = i32::from(mb.mv[quarter].x) - i32::from(prediction.x);
        let y = i32::from(mb.mv[quarter].y) - i32::from(prediction.y);
        vector_difference(cabac, 40, beside(0), x);
        vector_difference(cabac, 47, beside(1), y);
        let size = [
            x.unsigned_abs().min(255) as u8,
            y.unsigned_abs().min(255) as u8,
        ];
        for &index in covered {
            mb.mvd[index] = size;
        }
    }
}

fn coded_block_pattern(cabac: &mut Cabac, around: &Neighbours, cbp: u8) {
    let (left, top) = (around.left.cbp, around.top.cbp);
    let clear = |bits: u8, bit: u8| usize::from(bits >> bit & 1 == 0);
    cabac.bin(73 + clear(left, 1) + 2 * clear(top, 2), cbp & 1 != 0);
    cabac.bin(73 + clear(cbp, 0) + 2 * clear(top, 3), cbp & 2 != 0);
    cabac.bin(73 + clear(left, 3) + 2 * clear(cbp, 0), cbp & 4 != 0);
    cabac.bin(73 + clear(cbp, 2) + 2 * clear(cbp, 1), cbp & 8 != 0);
    let (left, top, chroma) = (left >> 4, top >> 4, cbp >> 4);
    cabac.bin(
        77 + usize::from(left != 0) + 2 * usize::from(top != 0),
        chroma != 0,
    );
    if chroma != 0 {
        cabac.bin(
            81 + usize::from(left == 2) + 2 * usize::from(top == 2),
            chroma == 2,
        );
    }
}

fn qp_delta(cabac: &mut Cabac, last_was_not_zero: bool, delta: i32) {
    let mapped = if delta > 0 { 2 * delta - 1 } else { -2 * delta };
    let mut context = 60 + usize::from(last_was_not_zero);
    for index in 0..mapped {
        cabac.bin(context, true);
        context = if index == 0 { 62 } else { 63 };
    }
    cabac.bin(context, false);
}

/// QP of the macroblock before, as the syntax sees it.
pub(super) struct QpChain {
    /// QPY of the previous macroblock in coding order.
    pub(super) previous: u8,
    /// Whether that macroblock sent a difference other than zero.
    pub(super) moved: bool,
}

impl QpChain {
    /// Goes on to a macroblock with residual and returns its mb_qp_delta.
    pub(super) fn move_to(&mut self, qp: u8) -> i32 {
        let delta = i32::from(qp) - i32::from(self.previous);
        self.moved = delta != 0;
        self.previous = qp;
        // The difference is defined modulo 52 and must lie in -26..=25.
        if delta > 25 {
            delta - 52
        } else if delta < -26 {
            delta + 52
        } else {
            delta
        }
    }
}

/// Codes everything of a macroblock but mb_skip_flag, I_PCM samples and end_of_slice_flag; returns the bits that its
/// residual took.
pub(super) fn macroblock(
    cabac: &mut Cabac,
    context: &Context<'_>,
    mb: &mut MbInfo,
    predictions: &[Mv; 4],
    levels: &Levels,
    qp: &mut QpChain,
) -> u32 {
    let around = context.around;
    let flag_context =
        399 + usize::from(around.left.transform_8x8) + usize::from(around.top.transform_8x8);
    match mb.kind {
        MbKind::Intra4x4 | MbKind::Intra8x8 => {
            intra_prefix(cabac, context, false);
            if context.transform_8x8 {
                cabac.bin(flag_context, mb.transform_8x8);
            }
            intra_modes(cabac, around, mb, if mb.transform_8x8 { 4 } else { 1 });
            chroma_mode(cabac, around, mb.chroma_mode);
        }
        MbKind::Intra16x16 => {
            intra_16x16_type(cabac, context, mb);
            chroma_mode(cabac, around, mb.chroma_mode);
        }
        kind => {
            let bins: [(usize, bool); 3] = match kind {
                MbKind::Inter8x8 => [(14, false), (15, false), (16, true)],
                MbKind::Inter8x16 => [(14, false), (15, true), (17, false)],
                MbKind::Inter16x8 => [(14, false), (15, true), (17, true)],
                _ => [(14, false), (15, false), (16, false)],
            };
            for (context, value) in bins {
                cabac.bin(context, value);
            }
            if kind == MbKind::Inter8x8 {
                for _ in 0..4 {
                    cabac.bin(21, true);
                }
            }
            vectors(cabac, around, mb, predictions);
        }
    }
    if mb.kind != MbKind::Intra16x16 {
        coded_block_pattern(cabac, around, mb.cbp);
        if mb.cbp & 15 != 0 && context.transform_8x8 && mb.kind.is_inter() {
            cabac.bin(flag_context, mb.transform_8x8);
        }
    }
    if mb.cbp == 0 && mb.kind != MbKind::Intra16x16 {
        qp.moved = false;
        return 0;
    }
    let moved = qp.moved;
    qp_delta(cabac, moved, qp.move_to(mb.qp));
    let start = cabac.position_bits();
    residual(cabac, around, mb, levels);
    cabac.position_bits().wrapping_sub(start)
}

fn residual(cabac: &mut Cabac, around: &Neighbours, mb: &MbInfo, levels: &Levels) {
    let intra = mb.kind.is_intra();
    let left = around.left.coded_for(intra);
    let top = around.top.coded_for(intra);
    residual_luma(cabac, (left, top), mb, levels);
    residual_chroma(cabac, (left, top), mb, levels);
}

/// A bit of a mask of coded blocks.
#[inline]
fn is_set(mask: u32, bit: u32) -> bool {
    mask >> bit & 1 != 0
}

/// `left` and `top` say which blocks of the neighbours are coded.
fn residual_luma(cabac: &mut Cabac, (left, top): (u32, u32), mb: &MbInfo, levels: &Levels) {
    let (kind, skip) = if mb.kind == MbKind::Intra16x16 {
        let beside = (is_set(left, CODED_LUMA_DC), is_set(top, CODED_LUMA_DC));
        let coded = is_set(mb.coded, CODED_LUMA_DC);
        residual::coded_flag(cabac, BlockKind::LumaDc, beside.0, beside.1, coded);
        if coded {
            residual::levels(cabac, BlockKind::LumaDc, &levels.luma_dc);
        }
        (BlockKind::LumaAc, 1)
    } else {
        (BlockKind::Luma4x4, 0)
    };
    for block in 0..16 {
        if mb.cbp >> (block / 4) & 1 == 0 {
            continue;
        }
        if mb.transform_8x8 {
            if block % 4 == 0 {
                residual::levels(cabac, BlockKind::Luma8x8, &levels.luma[16 * block..][..64]);
            }
            continue;
        }
        let (x, y) = (BLOCK_X[block] as u32, BLOCK_Y[block] as u32);
        let bit = y * 4 + x;
        let beside = (
            if x > 0 {
                is_set(mb.coded, bit - 1)
            } else {
                is_set(left, bit + 3)
            },
            if y > 0 {
                is_set(mb.coded, bit - 4)
            } else {
                is_set(top, bit + 12)
            },
        );
        let coded = is_set(mb.coded, bit);
        residual::coded_flag(cabac, kind, beside.0, beside.1, coded);
        if coded {
            let levels = &levels.luma[16 * block + skip..16 * block + 16];
            residual::levels(cabac, kind, levels);
        }
    }
}

/// As [`residual_luma`].
fn residual_chroma(cabac: &mut Cabac, (left, top): (u32, u32), mb: &MbInfo, levels: &Levels) {
    if mb.cbp >> 4 == 0 {
        return;
    }
    for plane in 0..2 {
        let bit = CODED_CHROMA_DC + plane as u32;
        let beside = (is_set(left, bit), is_set(top, bit));
        let coded = is_set(mb.coded, bit);
        residual::coded_flag(cabac, BlockKind::ChromaDc, beside.0, beside.1, coded);
        if coded {
            residual::levels(cabac, BlockKind::ChromaDc, &levels.chroma_dc[plane]);
        }
    }
    if mb.cbp >> 4 != 2 {
        return;
    }
    for plane in 0..2 {
        for block in 0..4u32 {
            let bit = CODED_CHROMA + 4 * plane as u32 + block;
            let beside = (
                if block & 1 != 0 {
                    is_set(mb.coded, bit - 1)
                } else {
                    is_set(left, bit + 1)
                },
                if block & 2 != 0 {
                    is_set(mb.coded, bit - 2)
                } else {
                    is_set(top, bit + 2)
                },
            );
            let coded = is_set(mb.coded, bit);
            residual::coded_flag(cabac, BlockKind::ChromaAc, beside.0, beside.1, coded);
            if coded {
                let levels = &levels.chroma[plane][block as usize][1..];
                residual::levels(cabac, BlockKind::ChromaAc, levels);
            }
        }
    }
}
