//! The macroblock being coded and the picture around it; residual coding common to intra and inter prediction.
//!
//! Prediction modes are decided in `intra` and `inter`. Both leave levels and flags in [`Coder::mb`] and
//! [`Coder::levels`] and the unfiltered reconstruction in the frame, which later macroblocks predict from.

use super::frame::Nv12View;
use super::mb::{CODED_CHROMA, CODED_CHROMA_DC, Levels, MbInfo, MbKind, MbMap, Mv, Neighbours};
use super::params::PictureParams;
use super::quant::{
    quantise_4x4, quantise_8x8, quantise_chroma_dc, restore_4x4, restore_8x8, restore_chroma_dc,
    worth,
};
use super::scaling::{ListKind, Multipliers};
use super::tables::{LAMBDA, ZIGZAG_4X4, ZIGZAG_8X8, chroma_qp};
use super::transform::{forward_4x4, forward_8x8};

/// Samples of one macroblock.
#[derive(Clone)]
pub(super) struct Samples {
    pub(super) luma: [[u8; 16]; 16],
    pub(super) chroma: [[[u8; 8]; 8]; 2],
}

impl Samples {
    pub(super) const ZERO: Self = Self {
        luma: [[0; 16]; 16],
        chroma: [[[0; 8]; 8]; 2],
    };

    /// Copies a macroblock out of NV12 planes.
    pub(super) fn load(&mut self, view: &Nv12View<'_>, column: usize, row: usize) {
        let rows = view.luma[row * 16 * view.luma_stride + column * 16..].chunks(view.luma_stride);
        for (to, from) in self.luma.iter_mut().zip(rows) {
            to.copy_from_slice(&from[..16]);
        }
        let at = row * 8 * view.chroma_stride + column * 16;
        let [cb, cr] = &mut self.chroma;
        let rows = view.chroma[at..].chunks(view.chroma_stride);
        for ((cb, cr), from) in cb.iter_mut().zip(cr).zip(rows) {
            for x in 0..8 {
                cb[x] = from[2 * x];
                cr[x] = from[2 * x + 1];
            }
        }
    }
}

/// The reconstruction while it is written; both planes have the same stride.
pub(super) struct Planes<'a> {
    pub(super) luma: &'a mut [u8],
    pub(super) chroma: &'a mut [u8],
    pub(super) stride: usize,
}

/// A picture in the middle of its macroblock loop.
pub(super) struct Coder<'a> {
    pub(super) params: &'a PictureParams,
    pub(super) tables: &'a Multipliers,
    pub(super) map: &'a mut MbMap,
    pub(super) recon: Planes<'a>,
    pub(super) column: usize,
    pub(super) row: usize,
    pub(super) around: Neighbours,
    pub(super) source: Samples,
    pub(super) mb: MbInfo,
    pub(super) levels: Levels,
    /// Predicted vector of each partition of [`Coder::mb`], in coding order.
    pub(super) predictions: [Mv; 4],
    pub(super) qp: u8,
    pub(super) chroma_qp: [u8; 2],
    pub(super) lambda: u32,
}

impl Coder<'_> {
    /// Moves to a macroblock: fetches its neighbours and source samples and sets its QP.
    pub(super) fn begin(&mut self, source: &Nv12View<'_>, column: usize, row: usize, qp: u8) {
        self.column = column;
        self.row = row;
        self.around = self.map.neighbours(column, row);
        self.source.load(source, column, row);
        self.qp = qp;
        self.chroma_qp = self
            .params
            .chroma_qp_offset
            .map(|offset| chroma_qp(qp, offset));
        self.lambda = u32::from(LAMBDA[usize::from(qp)]);
    }

    /// Index of the macroblock's first luma sample in the reconstruction.
    #[inline]
    pub(super) fn luma_at(&self) -> usize {
        (self.row * self.recon.stride + self.column) * 16
    }

    /// Index of the macroblock's first chroma pair in the reconstruction.
    #[inline]
    pub(super) fn chroma_at(&self) -> usize {
        self.row * 8 * self.recon.stride + self.column * 16
    }

    /// Codes the residual of a 4x4 luma block at (`x`, `y`) in blocks, number `block` in coding order, and reconstructs
    /// it. Returns whether a level is not zero.
    pub(super) fn code_luma_4x4(
        &mut self,
        block: usize,
        (x, y): (usize, usize),
        prediction: &[[u8; 4]; 4],
        list: ListKind,
    ) -> bool {
        let mut coefs = self.difference_4x4(x, y, prediction);
        forward_4x4(&mut coefs);
        let coded = quantise_4x4(&mut coefs, self.tables, list, self.qp);
        let at = self.luma_at() + y * 4 * self.recon.stride + x * 4;
        let levels = &mut self.levels.luma[16 * block..][..16];
        if coded {
            for (level, &raster) in levels.iter_mut().zip(&ZIGZAG_4X4) {
                *level = coefs[usize::from(raster)];
            }
            let residual = restore_4x4(&coefs, None, self.tables, list, self.qp);
            add_4x4(
                self.recon.luma,
                at,
                self.recon.stride,
                prediction,
                &residual,
            );
        } else {
            levels.fill(0);
            store(self.recon.luma, at, self.recon.stride, prediction);
        }
        coded
    }

    /// Difference of source and prediction of a 4x4 luma block.
    #[inline]
    pub(super) fn difference_4x4(
        &self,
        x: usize,
        y: usize,
        prediction: &[[u8; 4]; 4],
    ) -> [i16; 16] {
        let mut coefs = [0; 16];
        for (dy, row) in prediction.iter().enumerate() {
            for (dx, &sample) in row.iter().enumerate() {
                coefs[dy * 4 + dx] =
                    i16::from(self.source.luma[y * 4 + dy][x * 4 + dx]) - i16::from(sample);
            }
        }
        coefs
    }

    /// Codes the residual of an 8x8 luma block and reconstructs it. Returns whether a level is not zero.
    pub(super) fn code_luma_8x8(
        &mut self,
        block: usize,
        prediction: &[[u8; 8]; 8],
        list: ListKind,
    ) -> bool {
        let (x, y) = (block % 2 * 8, block / 2 * 8);
        let mut coefs = [[0i16; 8]; 8];
        for (dy, row) in coefs.iter_mut().enumerate() {
            for (dx, coef) in row.iter_mut().enumerate() {
                *coef = i16::from(self.source.luma[y + dy][x + dx]) - i16::from(prediction[dy][dx]);
            }
        }
        forward_8x8(&mut coefs);
        let mut coded = quantise_8x8(&mut coefs, self.tables, list, self.qp);
        let at = self.luma_at() + y * self.recon.stride + x;
        let levels = &mut self.levels.luma[64 * block..][..64];
        if coded {
            let flat = coefs.as_flattened();
            for (level, &raster) in levels.iter_mut().zip(&ZIGZAG_8X8) {
                *level = flat[usize::from(raster)];
            }
            coded = list == ListKind::Intra || worth(levels) >= 4;
        }
        if coded {
            let residual = restore_8x8(&coefs, self.tables, list, self.qp);
            add_8x8(
                self.recon.luma,
                at,
                self.recon.stride,
                prediction,
                &residual,
            );
        } else {
            levels.fill(0);
            store(self.recon.luma, at, self.recon.stride, prediction);
        }
        coded
    }

    /// Codes the residual of both chroma planes against `prediction`, reconstructs them and sets the chroma part of
    /// the coded block pattern.
    pub(super) fn code_chroma(&mut self, prediction: &[[[u8; 8]; 8]; 2], list: ListKind) {
        let (mut any_dc, mut any_ac) = (false, false);
        let mut coefs = [[[0i16; 16]; 4]; 2];
        let mut dc_levels = [[0i16; 4]; 2];
        for plane in 0..2 {
            let qp = self.chroma_qp[plane];
            let mut dc = [0; 4];
            for (block, coefs) in coefs[plane].iter_mut().enumerate() {
                let (x, y) = (block % 2 * 4, block / 2 * 4);
                for (i, coef) in coefs.iter_mut().enumerate() {
                    let (dx, dy) = (x + i % 4, y + i / 4);
                    *coef = i16::from(self.source.chroma[plane][dy][dx])
                        - i16::from(prediction[plane][dy][dx]);
                }
                forward_4x4(coefs);
                dc[block] = std::mem::take(&mut coefs[0]);
            }
            dc_levels[plane] = quantise_chroma_dc(dc, self.tables, list, qp);
            if dc_levels[plane] != [0; 4] {
                any_dc = true;
                self.mb.coded |= 1 << (CODED_CHROMA_DC + plane as u32);
            }
            let mut score = 0;
            let mut flags = 0;
            for (block, coefs) in coefs[plane].iter_mut().enumerate() {
                let levels = &mut self.levels.chroma[plane][block];
                if quantise_4x4(coefs, self.tables, list, qp) {
                    for (level, &raster) in levels.iter_mut().zip(&ZIGZAG_4X4) {
                        *level = coefs[usize::from(raster)];
                    }
                    flags |= 1 << block;
                    score += worth(&levels[1..]);
                }
            }
            if score < 7 {
                coefs[plane] = [[0; 16]; 4];
            } else {
                any_ac = true;
                self.mb.coded |= flags << (CODED_CHROMA + 4 * plane as u32);
            }
        }
        self.levels.chroma_dc = dc_levels;
        self.mb.cbp = (self.mb.cbp & 15) | if any_ac { 0x20 } else { u8::from(any_dc) << 4 };

        let mut out = *prediction;
        for plane in 0..2 {
            let qp = self.chroma_qp[plane];
            let coded = self.mb.coded >> (CODED_CHROMA + 4 * plane as u32) & 15;
            if dc_levels[plane] == [0; 4] && coded == 0 {
                continue;
            }
            let dc = restore_chroma_dc(dc_levels[plane], self.tables, list, qp);
            for (block, coefs) in coefs[plane].iter().enumerate() {
                let (x, y) = (block % 2 * 4, block / 2 * 4);
                let residual = restore_4x4(coefs, Some(dc[block]), self.tables, list, qp);
                for (i, &residual) in residual.iter().enumerate() {
                    let sample = &mut out[plane][y + i / 4][x + i % 4];
                    *sample = clip(i32::from(*sample) + residual);
                }
            }
        }
        self.store_chroma(&out);
    }

    /// Writes both chroma planes of the macroblock into the reconstruction.
    pub(super) fn store_chroma(&mut self, samples: &[[[u8; 8]; 8]; 2]) {
        let at = self.chroma_at();
        let rows = self.recon.chroma[at..].chunks_mut(self.recon.stride);
        let [cb, cr] = samples;
        for ((cb, cr), row) in cb.iter().zip(cr).zip(rows) {
            for x in 0..8 {
                row[2 * x] = cb[x];
                row[2 * x + 1] = cr[x];
            }
        }
    }

    /// Turns the macroblock into I_PCM: the reconstruction is the source.
    pub(super) fn become_pcm(&mut self) {
        self.mb = MbInfo {
            cbp: 0x2F,
            coded: u32::MAX,
            level_counts: [16; 24],
            ..MbInfo::new(MbKind::Pcm, 0)
        };
        let at = self.luma_at();
        let luma = self.source.luma;
        store(self.recon.luma, at, self.recon.stride, &luma);
        let chroma = self.source.chroma;
        self.store_chroma(&chroma);
    }
}

#[inline]
pub(super) fn clip(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

/// Writes a block of samples into a plane.
#[inline]
pub(super) fn store<const N: usize>(
    plane: &mut [u8],
    at: usize,
    stride: usize,
    samples: &[[u8; N]; N],
) {
    for (row, from) in plane[at..].chunks_mut(stride).zip(samples) {
        row[..N].copy_from_slice(from);
    }
}

/// Writes the sum of a prediction and a residual into a plane.
#[inline]
pub(super) fn add_4x4(
    plane: &mut [u8],
    at: usize,
    stride: usize,
    prediction: &[[u8; 4]; 4],
    residual: &[i32; 16],
) {
    let rows = plane[at..]
        .chunks_mut(stride)
        .zip(prediction)
        .zip(residual.chunks_exact(4));
    for ((row, prediction), residual) in rows {
        for x in 0..4 {
            row[x] = clip(i32::from(prediction[x]) + residual[x]);
        }
    }
}

/// Writes the sum of a prediction and a residual into a plane.
#[inline]
pub(super) fn add_8x8(
    plane: &mut [u8],
    at: usize,
    stride: usize,
    prediction: &[[u8; 8]; 8],
    residual: &[[i32; 8]; 8],
) {
    for ((row, prediction), residual) in
        plane[at..].chunks_mut(stride).zip(prediction).zip(residual)
    {
        for x in 0..8 {
            row[x] = clip(i32::from(prediction[x]) + residual[x]);
        }
    }
}
