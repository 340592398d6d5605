//! One picture at a time: the macroblock loop.

use super::coder::{Coder, Planes, Samples};
use super::deblock;
use super::entropy::{Coders, EntropyCoder};
use super::escape::escape_into;
use super::frame::{Frame, Nv12View};
use super::mb::{Levels, MbInfo, MbKind, MbMap, Mv, Neighbours};
use super::params::{EncodeError, Entropy, PictureParams, Scaling, SliceKind};
use super::reference::Reference;
use super::scaling::Multipliers;
use super::stats::PictureStats;
use super::syntax::{Context, QpChain};

/// Where the macroblock loop stands when it asks for a QP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MbProgress {
    /// Macroblock column.
    pub column: u16,
    /// Macroblock row.
    pub row: u16,
    /// Bits written in this slice so far.
    pub bits: u32,
}

/// The encoder of one geometry; holds scratch memory only.
pub struct Encoder {
    mb_width: u16,
    mb_height: u16,
    coders: Coders,
    map: MbMap,
    reference: Reference,
    /// By [`Scaling`].
    multipliers: [Multipliers; 2],
}

impl Encoder {
    /// An encoder for pictures of this many macroblocks.
    #[must_use]
    pub fn new(mb_width: u16, mb_height: u16) -> Self {
        Self {
            mb_width,
            mb_height,
            coders: Coders::new(),
            map: MbMap::new(mb_width.into(), mb_height.into()),
            reference: Reference::new(mb_width, mb_height),
            multipliers: [Scaling::Flat, Scaling::Default].map(Multipliers::new),
        }
    }

    /// Encodes one picture at the slice QP.
    ///
    /// `recon` becomes the decoded picture; `out` receives the slice data with emulation prevention.
    ///
    /// # Errors
    /// See [`EncodeError`]; nothing is written then.
    pub fn encode(
        &mut self,
        params: &PictureParams,
        source: &Nv12View<'_>,
        reference: Option<&Frame>,
        recon: &mut Frame,
        out: &mut Vec<u8>,
    ) -> Result<PictureStats, EncodeError> {
        let qp = params.qp;
        self.encode_with(params, source, reference, recon, out, &mut |_| qp)
    }

    /// As [`Encoder::encode`], asking `qp` for the QP of each macroblock; the answer is clamped to the picture's
    /// bounds. A macroblock without residual keeps the QP of the one before it, as the syntax demands.
    ///
    /// # Errors
    /// See [`EncodeError`]; nothing is written then.
    pub fn encode_with(
        &mut self,
        params: &PictureParams,
        source: &Nv12View<'_>,
        reference: Option<&Frame>,
        recon: &mut Frame,
        out: &mut Vec<u8>,
        qp: &mut dyn FnMut(MbProgress) -> u8,
    ) -> Result<PictureStats, EncodeError> {
        params.check()?;
        let expected = (self.mb_width, self.mb_height);
        let geometry = |frame, found| {
            if found == expected {
                Ok(())
            } else {
                Err(EncodeError::Geometry {
                    frame,
                    expected,
                    found,
                })
            }
        };
        geometry("picture", (params.mb_width, params.mb_height))?;
        geometry("reconstruction", recon.geometry())?;
        let predictor = match (params.kind, reference) {
            (SliceKind::I, _) => None,
            (SliceKind::P, Some(frame)) => {
                geometry("reference", frame.geometry())?;
                Some(frame)
            }
            (SliceKind::P, None) => return Err(EncodeError::NoReference),
        };
        source.check(
            usize::from(self.mb_width) * 16,
            usize::from(self.mb_height) * 16,
        )?;

        let predictor = predictor.map(|frame| {
            self.reference.prepare(frame);
            &self.reference
        });
        let tables = &self.multipliers[params.scaling as usize];
        let stride = recon.stride();
        let (luma, chroma) = recon.planes_mut();
        let mut coder = Coder {
            params,
            tables,
            map: &mut self.map,
            recon: Planes {
                luma,
                chroma,
                stride,
            },
            column: 0,
            row: 0,
            around: Neighbours::NONE,
            source: Samples::ZERO,
            mb: MbInfo::OUTSIDE,
            levels: Levels::ZERO,
            predictions: [Mv::default(); 4],
            qp: params.qp,
            chroma_qp: [0; 2],
            lambda: 0,
        };
        self.coders.last = params.entropy;
        let mut counts = match params.entropy {
            Entropy::Cabac => slice(&mut self.coders.cabac, &mut coder, source, predictor, qp),
            Entropy::Cavlc => slice(&mut self.coders.cavlc, &mut coder, source, predictor, qp),
        };
        if !params.deblock.disabled {
            deblock::picture(params, coder.map, &mut coder.recon);
        }
        let before = out.len();
        escape_into(self.coders.bytes(), None, out);
        counts.payload_bytes = (out.len() - before) as u32;
        counts.sse_luma = squared_error(params, source, recon);
        Ok(counts)
    }

    /// The slice data of the last picture without emulation prevention.
    #[must_use]
    pub fn rbsp(&self) -> &[u8] {
        self.coders.bytes()
    }
}

/// Codes all macroblocks of the picture.
fn slice<E: EntropyCoder>(
    entropy: &mut E,
    coder: &mut Coder<'_>,
    source: &Nv12View<'_>,
    reference: Option<&Reference>,
    qp: &mut dyn FnMut(MbProgress) -> u8,
) -> PictureStats {
    let params = coder.params;
    let mut counts = PictureStats {
        qp_min: 51,
        ..PictureStats::default()
    };
    let mut chain = QpChain {
        previous: params.qp,
        moved: false,
    };
    entropy.start(params);
    let start_bits = entropy.position_bits();
    for row in 0..params.mb_height {
        for column in 0..params.mb_width {
            let bits = entropy.position_bits().wrapping_sub(start_bits);
            let qp = qp(MbProgress { column, row, bits }).clamp(params.qp_min, params.qp_max);
            coder.begin(source, column.into(), row.into(), qp);
            match reference {
                Some(reference) => coder.code_predicted(reference),
                None => {
                    let large = coder.best_large();
                    coder.code_intra(&large);
                }
            }
            write(entropy, coder, &mut chain, &mut counts);
            entropy.end((row + 1, column + 1) == (params.mb_height, params.mb_width));
        }
    }
    counts.bins = entropy.bins();
    counts
}

/// Writes the current macroblock, as I_PCM if it takes more than its bits or cannot be written otherwise, and enters it
/// into the map and the counts.
fn write<E: EntropyCoder>(
    entropy: &mut E,
    coder: &mut Coder<'_>,
    chain: &mut QpChain,
    counts: &mut PictureStats,
) {
    let around = coder.around;
    let context = Context {
        kind: coder.params.kind,
        transform_8x8: coder.params.transform_8x8,
        around: &around,
    };
    entropy.skip(&context, coder.mb.kind == MbKind::Skip);
    if coder.mb.kind == MbKind::Skip {
        chain.moved = false;
        coder.mb.qp = chain.previous;
    } else {
        if coder.mb.cbp == 0 && coder.mb.kind != MbKind::Intra16x16 {
            coder.mb.qp = chain.previous;
        }
        let mark = entropy.mark();
        let held = (chain.previous, chain.moved);
        let start = entropy.position_bits();
        let residual_bits = entropy.macroblock(
            &context,
            &mut coder.mb,
            &coder.predictions,
            &coder.levels,
            chain,
        );
        let is_long = entropy.position_bits().wrapping_sub(start) > coder.params.max_mb_bits;
        match residual_bits {
            Some(residual_bits) if !is_long => counts.residual_bits += residual_bits,
            _ => {
                entropy.roll_back(&mark);
                (chain.previous, chain.moved) = (held.0, false);
                coder.become_pcm();
                let luma = coder.source.luma.as_flattened().iter();
                let chroma = coder.source.chroma.as_flattened().as_flattened().iter();
                entropy.pcm(&context, luma.chain(chroma).copied());
                counts.lcu_overflow |= is_long;
                counts.pcm += 1;
            }
        }
    }
    coder.map.set(coder.column, coder.row, &coder.mb);
    count(counts, &coder.mb, chain.previous);
}

fn count(counts: &mut PictureStats, mb: &MbInfo, qp: u8) {
    if mb.kind.is_intra() {
        counts.intra_8x8 += 4;
    } else {
        counts.inter_8x8 += 4;
    }
    match mb.kind {
        MbKind::Skip => {
            counts.skipped_8x8 += 4;
            counts.cu_16x16 += 1;
        }
        MbKind::Pcm | MbKind::Intra16x16 | MbKind::Inter16x16 => counts.cu_16x16 += 1,
        _ => counts.cu_8x8 += 4,
    }
    counts.blocks_with_residual += (mb.coded & 0x00FF_FFFF).count_ones();
    counts.qp_sum += u32::from(qp);
    counts.qp_min = counts.qp_min.min(qp);
    counts.qp_max = counts.qp_max.max(qp);
}

fn squared_error(params: &PictureParams, source: &Nv12View<'_>, recon: &Frame) -> u64 {
    let width = usize::from(params.display_width);
    let height = usize::from(params.display_height);
    let rows = source
        .luma
        .chunks(source.luma_stride)
        .zip(recon.luma().chunks(recon.stride()));
    let row_error = |(a, b): (&[u8], &[u8])| {
        let pairs = a[..width].iter().zip(&b[..width]);
        u64::from(
            pairs
                .map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2))
                .sum::<u32>(),
        )
    };
    rows.take(height).map(row_error).sum()
}
