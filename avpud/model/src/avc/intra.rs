//! Choice and coding of intra macroblocks.

use super::coder::{Coder, add_4x4, store};
use super::intra_pred::{Available, Beside, Contour, Side};
use super::mb::{CODED_LUMA_DC, Levels, MbInfo, MbKind};
use super::metric::{quarter, satd, tile};
use super::quant::{quantise_4x4, quantise_luma_dc, restore_4x4, restore_luma_dc};
use super::scaling::ListKind;
use super::syntax::{modes_beside, predicted_mode};
use super::tables::{BLOCK_X, BLOCK_Y, ZIGZAG_4X4};
use super::transform::forward_4x4;

/// Blocks of a macroblock, by raster number, whose upper right neighbour inside the macroblock is coded before them.
const UPPER_RIGHT_CODED: u16 = 0b0101_0111_0101_0000;

/// An Intra16x16 candidate.
pub(super) struct Large {
    pub(super) cost: u32,
    mode: u8,
    prediction: [[u8; 16]; 16],
}

/// The mode of a block of 4x4 or 8x8 that costs least.
struct Small<const N: usize> {
    cost: u32,
    mode: u8,
    prediction: [[u8; N]; N],
}

impl<const N: usize> Small<N> {
    /// Of the modes that the contour allows; `predicted` is the one that takes least bits to say.
    #[inline]
    fn best(contour: &Contour, source: &[[u8; N]; N], predicted: u8, lambda: u32) -> Self {
        let mut best = Self {
            cost: u32::MAX,
            mode: 0,
            prediction: [[0; N]; N],
        };
        let mut prediction = [[0; N]; N];
        for mode in (0..9).filter(|&mode| contour.allows(mode)) {
            contour.predict(mode, &mut prediction);
            let bits = if mode == predicted { 1 } else { 4 };
            let cost = satd(source, &prediction) + lambda * bits;
            if cost < best.cost {
                best = Self {
                    cost,
                    mode,
                    prediction,
                };
            }
        }
        best
    }
}

impl Coder<'_> {
    fn available(&self) -> Available {
        let inside = |mb: &MbInfo| mb.kind != MbKind::Outside;
        Available {
            left: inside(&self.around.left),
            top: inside(&self.around.top),
            top_left: inside(&self.around.top_left),
            top_right: inside(&self.around.top_right),
        }
    }

    /// The best Intra16x16 mode by transformed difference.
    pub(super) fn best_large(&self) -> Large {
        let (at, stride) = (self.luma_at(), self.recon.stride);
        let beside = Beside::<16>::new(self.recon.luma, at, stride, 1, self.available());
        let mut best = Large {
            cost: u32::MAX,
            mode: 2,
            prediction: [[0; 16]; 16],
        };
        let mut prediction = [[0; 16]; 16];
        for (mode, bits) in [(2, 2), (0, 3), (1, 3), (3, 4)] {
            if !beside.allows(mode) {
                continue;
            }
            beside.predict(mode, &mut prediction);
            let cost = satd(&self.source.luma, &prediction) + self.lambda * bits;
            if cost < best.cost {
                best = Large {
                    cost,
                    mode,
                    prediction,
                };
            }
        }
        best
    }

    /// Codes the macroblock as the best of the intra kinds, given the Intra16x16 candidate.
    pub(super) fn code_intra(&mut self, large: &Large) {
        self.code_intra_below(large, u32::MAX);
    }

    /// Codes the macroblock as the best of the intra kinds unless that costs `limit` or more; says whether it did.
    pub(super) fn code_intra_below(&mut self, large: &Large, limit: u32) -> bool {
        let mut best = large.cost.min(limit);
        let mut kept: Option<(MbInfo, Levels, [[u8; 16]; 16])> = None;
        if self.params.transform_8x8
            && let Some(cost) = self.code_blocks_8x8(best)
        {
            best = cost;
            kept = Some((self.mb, self.levels.clone(), self.recon_luma()));
        }
        if self.code_blocks_4x4(best).is_none() {
            if let Some((mb, levels, luma)) = kept {
                self.mb = mb;
                self.levels = levels;
                let at = self.luma_at();
                store(self.recon.luma, at, self.recon.stride, &luma);
            } else if large.cost < limit {
                self.code_large(large);
            } else {
                return false;
            }
        }
        self.code_intra_chroma();
        true
    }

    fn recon_luma(&self) -> [[u8; 16]; 16] {
        let (at, stride) = (self.luma_at(), self.recon.stride);
        let mut luma = [[0; 16]; 16];
        for (to, from) in luma.iter_mut().zip(self.recon.luma[at..].chunks(stride)) {
            to.copy_from_slice(&from[..16]);
        }
        luma
    }

    /// Codes the luma as Intra8x8 if that costs less than `limit`, and says what it costs.
    fn code_blocks_8x8(&mut self, limit: u32) -> Option<u32> {
        self.mb = MbInfo::new(MbKind::Intra8x8, self.qp);
        self.mb.transform_8x8 = true;
        let mut cost = 4 * self.lambda;
        let around_mb = self.available();
        for block in 0..4 {
            let (x, y) = (block % 2, block / 2);
            let top_right = match block {
                0 => around_mb.top,
                1 => around_mb.top_right,
                2 => true,
                _ => false,
            };
            let available = around_mb.inside((x, y), top_right);
            let at = self.luma_at() + y * 8 * self.recon.stride + x * 8;
            let contour = Contour::new(
                self.recon.luma,
                at,
                self.recon.stride,
                Side::Eight,
                available,
            );
            let source = quarter(&self.source.luma, x * 8, y * 8);
            let (left, top) = modes_beside(&self.mb.modes, &self.around, 2 * x, 2 * y);
            let best = Small::best(&contour, &source, predicted_mode(left, top), self.lambda);
            cost += best.cost;
            if cost >= limit {
                return None;
            }
            for index in [0, 1, 4, 5] {
                self.mb.modes[y * 8 + x * 2 + index] = best.mode;
            }
            if self.code_luma_8x8(block, &best.prediction, ListKind::Intra) {
                self.mb.cbp |= 1 << block;
                self.mb.coded |= 0x33 << (y * 8 + x * 2);
            }
        }
        Some(cost)
    }

    /// Codes the luma as Intra4x4 if that costs less than `limit`, and says what it costs.
    fn code_blocks_4x4(&mut self, limit: u32) -> Option<u32> {
        self.mb = MbInfo::new(MbKind::Intra4x4, self.qp);
        let mut cost = 12 * self.lambda;
        let around_mb = self.available();
        for block in 0..16 {
            let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
            let top_right = match (x, y) {
                (3, 0) => around_mb.top_right,
                (_, 0) => around_mb.top,
                _ => UPPER_RIGHT_CODED >> (y * 4 + x) & 1 != 0,
            };
            let available = around_mb.inside((x, y), top_right);
            let at = self.luma_at() + y * 4 * self.recon.stride + x * 4;
            let contour = Contour::new(
                self.recon.luma,
                at,
                self.recon.stride,
                Side::Four,
                available,
            );
            let source = tile(&self.source.luma, x * 4, y * 4);
            let (left, top) = modes_beside(&self.mb.modes, &self.around, x, y);
            let best = Small::best(&contour, &source, predicted_mode(left, top), self.lambda);
            cost += best.cost;
            if cost >= limit {
                return None;
            }
            self.mb.modes[y * 4 + x] = best.mode;
            if self.code_luma_4x4(block, (x, y), &best.prediction, ListKind::Intra) {
                self.mb.cbp |= 1 << (block / 4);
                self.mb.coded |= 1 << (y * 4 + x);
            }
        }
        Some(cost)
    }

    fn code_large(&mut self, large: &Large) {
        self.mb = MbInfo::new(MbKind::Intra16x16, self.qp);
        self.mb.luma_mode = large.mode;
        let mut dc = [0; 16];
        let mut blocks = [[0; 16]; 16];
        let mut any = false;
        for (raster, coefs) in blocks.iter_mut().enumerate() {
            let (x, y) = (raster % 4, raster / 4);
            *coefs = self.difference_4x4(x, y, &tile(&large.prediction, x * 4, y * 4));
            forward_4x4(coefs);
            dc[raster] = std::mem::take(&mut coefs[0]);
            if quantise_4x4(coefs, self.tables, ListKind::Intra, self.qp) {
                any = true;
                self.mb.coded |= 1 << raster;
            }
        }
        let dc_levels = quantise_luma_dc(&dc, self.tables, self.qp);
        if dc_levels != [0; 16] {
            self.mb.coded |= 1 << CODED_LUMA_DC;
        }
        for (level, &raster) in self.levels.luma_dc.iter_mut().zip(&ZIGZAG_4X4) {
            *level = dc_levels[usize::from(raster)];
        }
        if any {
            self.mb.cbp = 15;
        }
        let dc = restore_luma_dc(&dc_levels, self.tables, self.qp);
        for block in 0..16 {
            let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
            let coefs = &blocks[y * 4 + x];
            for (level, &raster) in self.levels.luma[16 * block..].iter_mut().zip(&ZIGZAG_4X4) {
                *level = coefs[usize::from(raster)];
            }
            let residual = restore_4x4(
                coefs,
                Some(dc[y * 4 + x]),
                self.tables,
                ListKind::Intra,
                self.qp,
            );
            let at = self.luma_at() + y * 4 * self.recon.stride + x * 4;
            let prediction = tile(&large.prediction, x * 4, y * 4);
            add_4x4(
                self.recon.luma,
                at,
                self.recon.stride,
                &prediction,
                &residual,
            );
        }
    }

    fn code_intra_chroma(&mut self) {
        let (at, stride) = (self.chroma_at(), self.recon.stride);
        let available = self.available();
        let beside = [0, 1].map(|plane| {
            let shifted = &self.recon.chroma[plane..];
            Beside::<8>::new(shifted, at, stride, 2, available)
        });
        let mut best = (u32::MAX, 0);
        let mut prediction = [[[0; 8]; 8]; 2];
        let mut candidate = [[[0; 8]; 8]; 2];
        for (mode, bits) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            if !beside[0].allows(mode) {
                continue;
            }
            let mut cost = self.lambda * bits;
            for plane in 0..2 {
                beside[plane].predict(mode, &mut candidate[plane]);
                cost += satd(&self.source.chroma[plane], &candidate[plane]);
            }
            if cost < best.0 {
                best = (cost, mode);
                prediction = candidate;
            }
        }
        self.mb.chroma_mode = best.1;
        self.code_chroma(&prediction, ListKind::Intra);
    }
}
