//! Choice and coding of macroblocks of P pictures.

use super::coder::{Coder, Samples, store};
use super::mb::{MbInfo, MbKind};
use super::metric::{quarter, sad_tiles, satd, tile};
use super::motion::Search;
use super::partition::Choice;
use super::quant::{quantise_4x4, quantise_chroma_dc, quiet_4x4, worth};
use super::reference::Reference;
use super::scaling::ListKind;
use super::tables::{BLOCK_X, BLOCK_Y, ZIGZAG_4X4};
use super::transform::forward_4x4;
use super::vectors::VectorField;

/// Transformed difference below which an inter macroblock is not compared with an intra one.
const INTRA_COST: u32 = 800;

impl Coder<'_> {
    /// Chooses how to code a macroblock of a P picture and codes it.
    pub(super) fn code_predicted(&mut self, reference: &Reference) {
        let (x, y) = (self.column * 16, self.row * 16);
        let limits = reference.limits(x, y).within(self.params.search);
        let field = VectorField::new(&self.around);
        let skip = field.skip();
        let mut prediction = Samples::ZERO;
        let may_skip = limits.hold(skip);
        if may_skip {
            reference.predict_luma(x, y, skip, &mut prediction.luma);
            let nothing = self.leaves_no_luma(&prediction.luma) && {
                reference.predict_chroma::<16>((x, y), skip, (0, 0), &mut prediction.chroma);
                self.leaves_no_chroma(&prediction.chroma)
            };
            if nothing {
                self.mb = MbInfo::new(MbKind::Skip, self.qp);
                self.mb.mv = [skip; 4];
                self.store_prediction(&prediction);
                return;
            }
        }

        let source = self.source.luma;
        let search = Search {
            reference,
            source: &source,
            at: (x, y),
            limits,
            prediction: field.median(0, 2),
            lambda: self.lambda,
        };
        let whole = search.run(&field.candidates());
        let mut choice = Choice {
            kind: MbKind::Inter16x16,
            cost: whole.cost,
            mv: [whole.mv; 4],
            predictions: [search.prediction; 4],
        };
        self.try_split(reference, limits, &mut choice);
        choice.predict_luma(reference, (x, y), &mut prediction.luma);
        let bits = self.lambda * choice.vector_bits();
        let cost = satd(&self.source.luma, &prediction.luma) + bits;

        if cost > INTRA_COST {
            let large = self.best_large();
            if large.cost < cost && self.code_intra_below(&large, cost * 5 / 8) {
                return;
            }
        }

        choice.predict_chroma(reference, (x, y), &mut prediction.chroma);
        self.mb = MbInfo::new(choice.kind, self.qp);
        self.mb.mv = choice.mv;
        self.predictions = choice.predictions;
        self.code_inter_luma(&prediction.luma);
        self.code_chroma(&prediction.chroma, ListKind::Inter);
        if self.mb.cbp == 0 && may_skip && choice.kind == MbKind::Inter16x16 && choice.mv[0] == skip
        {
            self.mb.kind = MbKind::Skip;
        }
    }

    fn store_prediction(&mut self, prediction: &Samples) {
        let at = self.luma_at();
        store(self.recon.luma, at, self.recon.stride, &prediction.luma);
        self.store_chroma(&prediction.chroma);
    }

    /// Whether no luma coefficient would be worth sending on top of `prediction`.
    fn leaves_no_luma(&self, prediction: &[[u8; 16]; 16]) -> bool {
        let quiet = quiet_4x4(self.tables, ListKind::Inter, self.qp);
        let mut score = 0;
        let mut scanned = [0; 16];
        for y in 0..4 {
            let rows = 4 * y..4 * y + 4;
            let sums = sad_tiles(&self.source.luma[rows.clone()], &prediction[rows]);
            for (x, sum) in sums.into_iter().enumerate() {
                if sum < quiet {
                    continue;
                }
                let mut coefs = self.difference_4x4(x, y, &tile(prediction, x * 4, y * 4));
                forward_4x4(&mut coefs);
                if quantise_4x4(&mut coefs, self.tables, ListKind::Inter, self.qp) {
                    for (level, &raster) in scanned.iter_mut().zip(&ZIGZAG_4X4) {
                        *level = coefs[usize::from(raster)];
                    }
                    score += worth(&scanned);
                    if score >= 6 {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Whether no chroma coefficient would be worth sending on top of `prediction`.
    fn leaves_no_chroma(&self, prediction: &[[[u8; 8]; 8]; 2]) -> bool {
        let mut scanned = [0; 16];
        for plane in 0..2 {
            let qp = self.chroma_qp[plane];
            let mut dc = [0; 4];
            let mut score = 0;
            for (block, dc) in dc.iter_mut().enumerate() {
                let (x, y) = (block % 2 * 4, block / 2 * 4);
                let mut coefs: [i16; 16] = std::array::from_fn(|i| {
                    let (dx, dy) = (x + i % 4, y + i / 4);
                    i16::from(self.source.chroma[plane][dy][dx])
                        - i16::from(prediction[plane][dy][dx])
                });
                forward_4x4(&mut coefs);
                *dc = std::mem::take(&mut coefs[0]);
                if quantise_4x4(&mut coefs, self.tables, ListKind::Inter, qp) {
                    for (level, &raster) in scanned.iter_mut().zip(&ZIGZAG_4X4) {
                        *level = coefs[usize::from(raster)];
                    }
                    score += worth(&scanned[1..]);
                    if score >= 7 {
                        return false;
                    }
                }
            }
            if quantise_chroma_dc(dc, self.tables, ListKind::Inter, qp) != [0; 4] {
                return false;
            }
        }
        true
    }

    /// Codes the luma residual of an inter macroblock and sets the luma part of its coded block pattern.
    fn code_inter_luma(&mut self, prediction: &[[u8; 16]; 16]) {
        if self.params.transform_8x8 {
            self.mb.transform_8x8 = true;
            for block in 0..4 {
                let (x, y) = (block % 2 * 8, block / 2 * 8);
                let prediction = quarter(prediction, x, y);
                if self.code_luma_8x8(block, &prediction, ListKind::Inter) {
                    self.mb.cbp |= 1 << block;
                    self.mb.coded |= 0x33 << (y / 8 * 8 + x / 8 * 2);
                }
            }
        } else {
            for block in 0..16 {
                let (x, y) = (BLOCK_X[block], BLOCK_Y[block]);
                let prediction = tile(prediction, x * 4, y * 4);
                if self.code_luma_4x4(block, (x, y), &prediction, ListKind::Inter) {
                    self.mb.cbp |= 1 << (block / 4);
                    self.mb.coded |= 1 << (y * 4 + x);
                }
            }
        }
        if self.mb.cbp & 15 == 0 {
            self.mb.transform_8x8 = false;
        }
    }
}
