//! Quantisation and its inverse.

use super::scaling::{ListKind, Multipliers};
use super::transform::{hadamard_2x2, hadamard_4x4, inverse_4x4, inverse_8x8};

/// Rounding towards zero: a fraction of the step in 1/64.
const ROUND_64THS: [u32; 2] = [21, 11];

/// Quantises a 4x4 block of coefficients in place; true if a level is not zero.
#[inline]
pub(super) fn quantise_4x4(
    coefs: &mut [i16; 16],
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> bool {
    let scale = &tables.forward_4x4[list as usize][usize::from(qp % 6)];
    let shift = 15 + u32::from(qp / 6);
    let bias = (ROUND_64THS[list as usize] << shift) >> 6;
    let mut any = 0;
    for (coef, &mf) in coefs.iter_mut().zip(scale) {
        let level = ((u32::from(coef.unsigned_abs()) * mf + bias) >> shift) as i16;
        any |= level;
        *coef = if *coef < 0 { -level } else { level };
    }
    any != 0
}

/// A sum of absolute differences below which no coefficient of a 4x4 luma or chroma block can reach a level.
pub(super) fn quiet_4x4(tables: &Multipliers, list: ListKind, qp: u8) -> u16 {
    let scale = &tables.forward_4x4[list as usize][usize::from(qp % 6)];
    let shift = 15 + u32::from(qp / 6);
    let bias = (ROUND_64THS[list as usize] << shift) >> 6;
    // A coefficient is at most this many times the sum of absolute differences: one in even rows and columns of the
    // transform, two in odd ones, multiplied.
    let gain = |raster: usize| (1 << (raster % 2)) << (raster / 4 % 2);
    let bounds = scale.iter().enumerate().map(|(raster, &mf)| {
        let least = ((1 << shift) - bias).div_ceil(mf);
        least.div_ceil(gain(raster))
    });
    bounds
        .min()
        .map_or(0, |bound| bound.min(u32::from(u16::MAX)) as u16)
}

/// Quantises an 8x8 block of coefficients in place; true if a level is not zero.
#[inline]
pub(super) fn quantise_8x8(
    coefs: &mut [[i16; 8]; 8],
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> bool {
    let scale = &tables.forward_8x8[list as usize][usize::from(qp % 6)];
    let shift = 16 + u32::from(qp / 6);
    let bias = (ROUND_64THS[list as usize] << shift) >> 6;
    let mut any = 0;
    for (coef, &mf) in coefs.as_flattened_mut().iter_mut().zip(scale) {
        let level = ((u32::from(coef.unsigned_abs()) * mf + bias) >> shift) as i16;
        any |= level;
        *coef = if *coef < 0 { -level } else { level };
    }
    any != 0
}

/// One DC coefficient after a Hadamard transform, which doubles (chroma) its scale.
#[inline]
fn quantise_dc(coef: i32, mf: u32, list: ListKind, shift: u32) -> i16 {
    let bias = (u64::from(ROUND_64THS[list as usize]) << shift) >> 6;
    let level = ((u64::from(coef.unsigned_abs()) * u64::from(mf) + bias) >> shift) as i16;
    if coef < 0 { -level } else { level }
}

/// Transforms and quantises the 16 luma DC coefficients (raster of blocks); returns levels in raster order.
pub(super) fn quantise_luma_dc(dc: &[i16; 16], tables: &Multipliers, qp: u8) -> [i16; 16] {
    let mut block = dc.map(i32::from);
    hadamard_4x4(&mut block);
    let mf = tables.forward_4x4[ListKind::Intra as usize][usize::from(qp % 6)][0];
    // The transform's gain of four is half taken back here, half by the shift.
    block.map(|c| quantise_dc((c + 1) >> 1, mf, ListKind::Intra, 16 + u32::from(qp / 6)))
}

/// The DC coefficients that a decoder derives from luma DC levels (raster of blocks).
pub(super) fn restore_luma_dc(levels: &[i16; 16], tables: &Multipliers, qp: u8) -> [i32; 16] {
    let mut block = levels.map(i32::from);
    hadamard_4x4(&mut block);
    let scale = tables.inverse_4x4[ListKind::Intra as usize][usize::from(qp % 6)][0];
    let step = u32::from(qp / 6);
    block.map(|c| {
        if step >= 6 {
            (c * scale) << (step - 6)
        } else {
            (c * scale + (1 << (5 - step))) >> (6 - step)
        }
    })
}

/// Transforms and quantises the four DC coefficients of a chroma plane.
pub(super) fn quantise_chroma_dc(
    dc: [i16; 4],
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> [i16; 4] {
    let mf = tables.forward_4x4[list as usize][usize::from(qp % 6)][0];
    hadamard_2x2(dc.map(i32::from)).map(|c| quantise_dc(c, mf, list, 16 + u32::from(qp / 6)))
}

/// The DC coefficients that a decoder derives from chroma DC levels.
pub(super) fn restore_chroma_dc(
    levels: [i16; 4],
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> [i32; 4] {
    let scale = tables.inverse_4x4[list as usize][usize::from(qp % 6)][0];
    hadamard_2x2(levels.map(i32::from)).map(|c| ((c * scale) << (qp / 6)) >> 5)
}

/// The residual that a decoder derives from the levels of a 4x4 block (raster); `dc` replaces the first coefficient.
#[inline]
pub(super) fn restore_4x4(
    levels: &[i16; 16],
    dc: Option<i32>,
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> [i32; 16] {
    let scale = &tables.inverse_4x4[list as usize][usize::from(qp % 6)];
    let step = u32::from(qp / 6);
    let mut block = [0; 16];
    if step >= 4 {
        for i in 0..16 {
            block[i] = (i32::from(levels[i]) * scale[i]) << (step - 4);
        }
    } else {
        for i in 0..16 {
            block[i] = (i32::from(levels[i]) * scale[i] + (1 << (3 - step))) >> (4 - step);
        }
    }
    if let Some(dc) = dc {
        block[0] = dc;
    }
    inverse_4x4(&mut block);
    block
}

/// The residual that a decoder derives from the levels of an 8x8 block (raster).
#[inline]
pub(super) fn restore_8x8(
    levels: &[[i16; 8]; 8],
    tables: &Multipliers,
    list: ListKind,
    qp: u8,
) -> [[i32; 8]; 8] {
    let scale = &tables.inverse_8x8[list as usize][usize::from(qp % 6)];
    let step = u32::from(qp / 6);
    let mut block = [[0; 8]; 8];
    let pairs = levels.as_flattened().iter().zip(scale);
    if step >= 6 {
        for (value, (&level, &scale)) in block.as_flattened_mut().iter_mut().zip(pairs) {
            *value = (i32::from(level) * scale) << (step - 6);
        }
    } else {
        for (value, (&level, &scale)) in block.as_flattened_mut().iter_mut().zip(pairs) {
            *value = (i32::from(level) * scale + (1 << (5 - step))) >> (6 - step);
        }
    }
    inverse_8x8(&mut block);
    block
}

/// Says whether the few small levels of a block are worth their bits: 9 or more means keep. `levels` are in scan
/// order.
pub(super) fn worth(levels: &[i16]) -> u32 {
    const BY_RUN_4X4: [u8; 16] = [3, 2, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const BY_RUN_8X8: [u8; 64] = [
        3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0,
    ];
    let by_run: &[u8] = if levels.len() > 16 {
        &BY_RUN_8X8
    } else {
        &BY_RUN_4X4
    };
    let mut score = 0;
    let mut run = 0;
    for &level in levels {
        if level == 0 {
            run += 1;
            continue;
        }
        if level.unsigned_abs() > 1 {
            return 9;
        }
        score += u32::from(by_run[run]);
        run = 0;
    }
    score
}

#[cfg(test)]
mod tests {
    use super::super::params::Scaling;
    use super::{ListKind, Multipliers, quantise_4x4, quiet_4x4};
    use crate::avc::transform::forward_4x4;

    #[test]
    fn a_quiet_block_has_no_levels() {
        let mut state = 3u32;
        let mut nearly = 0;
        for scaling in [Scaling::Flat, Scaling::Default] {
            let tables = Multipliers::new(scaling);
            for qp in 0..52 {
                let bound = i32::from(quiet_4x4(&tables, ListKind::Inter, qp));
                for pattern in 0..400 {
                    // Everything that is just below the bound, spread over one to sixteen samples.
                    let mut block = [0i16; 16];
                    let mut left = bound - 1;
                    while left > 0 {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let step = (left.min(255) / (1 + pattern % 16)).max(1);
                        let sign = if state >> 20 & 1 == 0 { 1 } else { -1 };
                        block[(state >> 28) as usize] += (sign * step) as i16;
                        left -= step;
                    }
                    forward_4x4(&mut block);
                    assert!(
                        !quantise_4x4(&mut block, &tables, ListKind::Inter, qp),
                        "qp {qp}"
                    );
                }
                let mut block = [0; 16];
                block[5] = bound.min(255) as i16;
                forward_4x4(&mut block);
                nearly += u32::from(quantise_4x4(&mut block, &tables, ListKind::Inter, qp));
            }
        }
        assert!(
            nearly > 20,
            "the bound is not far below what is needed: {nearly}"
        );
    }
}
