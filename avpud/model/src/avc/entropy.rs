//! What the macroblock loop wants of an entropy coder, and the two that there are.

use super::cabac::{self, Cabac};
use super::cavlc::{self, Cavlc};
use super::mb::{Levels, MbInfo, Mv};
use super::params::{PictureParams, SliceKind};
use super::syntax::{self, Context, QpChain};
use super::{cavlc_syntax, params::Entropy};

/// Writes the slice data of one picture, macroblock by macroblock.
pub(super) trait EntropyCoder {
    /// Enough to undo everything written since.
    type Mark;

    /// Begins a slice.
    fn start(&mut self, params: &PictureParams);
    /// Bits written so far; only differences mean anything.
    fn position_bits(&self) -> u32;
    /// Takes a snapshot for [`EntropyCoder::roll_back`].
    fn mark(&self) -> Self::Mark;
    /// Forgets everything written since `mark`.
    fn roll_back(&mut self, mark: &Self::Mark);
    /// Says whether the macroblock is skipped; comes first of every macroblock.
    fn skip(&mut self, context: &Context<'_>, skip: bool);
    /// Writes a macroblock that is neither skipped nor I_PCM and returns the bits that its residual took, or `None`
    /// when it cannot be written and has to be rolled back.
    fn macroblock(
        &mut self,
        context: &Context<'_>,
        mb: &mut MbInfo,
        predictions: &[Mv; 4],
        levels: &Levels,
        qp: &mut QpChain,
    ) -> Option<u32>;
    /// Writes an I_PCM macroblock.
    fn pcm(&mut self, context: &Context<'_>, samples: impl Iterator<Item = u8>);
    /// Ends a macroblock, and the slice if it was the last one.
    fn end(&mut self, is_last: bool);
    /// Arithmetic-coded bins of this slice.
    fn bins(&self) -> u32;
}

impl EntropyCoder for Cabac {
    type Mark = cabac::Mark;

    fn start(&mut self, params: &PictureParams) {
        self.start(params.kind, params.cabac_init_idc, params.qp);
    }

    fn position_bits(&self) -> u32 {
        self.position_bits()
    }

    fn mark(&self) -> Self::Mark {
        self.mark()
    }

    fn roll_back(&mut self, mark: &Self::Mark) {
        self.roll_back(mark);
    }

    fn skip(&mut self, context: &Context<'_>, skip: bool) {
        if context.kind == SliceKind::P {
            syntax::skip_flag(self, context.around, skip);
        }
    }

    fn macroblock(
        &mut self,
        context: &Context<'_>,
        mb: &mut MbInfo,
        predictions: &[Mv; 4],
        levels: &Levels,
        qp: &mut QpChain,
    ) -> Option<u32> {
        Some(syntax::macroblock(
            self,
            context,
            mb,
            predictions,
            levels,
            qp,
        ))
    }

    fn pcm(&mut self, context: &Context<'_>, samples: impl Iterator<Item = u8>) {
        syntax::pcm_type(self, context);
        self.terminate();
        self.pcm_samples(samples);
    }

    fn end(&mut self, is_last: bool) {
        if is_last {
            self.terminate();
        } else {
            self.go_on();
        }
    }

    fn bins(&self) -> u32 {
        self.bins()
    }
}

impl EntropyCoder for Cavlc {
    type Mark = cavlc::Mark;

    fn start(&mut self, params: &PictureParams) {
        self.start(params.header_tail);
    }

    fn position_bits(&self) -> u32 {
        self.position_bits()
    }

    fn mark(&self) -> Self::Mark {
        self.mark()
    }

    fn roll_back(&mut self, mark: &Self::Mark) {
        self.roll_back(mark);
    }

    fn skip(&mut self, context: &Context<'_>, skip: bool) {
        if skip {
            self.skipped += 1;
        } else if context.kind == SliceKind::P {
            let run = std::mem::take(&mut self.skipped);
            self.ue(run);
        }
    }

    fn macroblock(
        &mut self,
        context: &Context<'_>,
        mb: &mut MbInfo,
        predictions: &[Mv; 4],
        levels: &Levels,
        qp: &mut QpChain,
    ) -> Option<u32> {
        let bits = cavlc_syntax::macroblock(self, context, mb, predictions, levels, qp);
        (!self.is_too_large()).then_some(bits)
    }

    fn pcm(&mut self, context: &Context<'_>, samples: impl Iterator<Item = u8>) {
        cavlc_syntax::pcm_type(self, context.kind);
        self.raw(samples);
    }

    fn end(&mut self, is_last: bool) {
        if !is_last {
            return;
        }
        let run = std::mem::take(&mut self.skipped);
        if run > 0 {
            self.ue(run);
        }
        self.bits(1, 1);
        self.align();
    }

    fn bins(&self) -> u32 {
        0
    }
}

/// One coder of each kind, of which a picture uses one.
pub(super) struct Coders {
    pub(super) cabac: Cabac,
    pub(super) cavlc: Cavlc,
    /// The one that the last picture used.
    pub(super) last: Entropy,
}

impl Coders {
    pub(super) fn new() -> Self {
        Self {
            cabac: Cabac::new(),
            cavlc: Cavlc::new(),
            last: Entropy::Cabac,
        }
    }

    /// The slice data of the last picture without emulation prevention.
    pub(super) fn bytes(&self) -> &[u8] {
        match self.last {
            Entropy::Cabac => self.cabac.bytes(),
            Entropy::Cavlc => self.cavlc.bytes(),
        }
    }
}
