//! One picture at a time: the macroblock loop.

use super::cabac::Cabac;
use super::escape::escape_into;
use super::frame::{Frame, Nv12View};
use super::params::{EncodeError, PictureParams, SliceKind};
use super::stats::PictureStats;

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
    cabac: Cabac,
}

impl Encoder {
    /// An encoder for pictures of this many macroblocks.
    #[must_use]
    pub fn new(mb_width: u16, mb_height: u16) -> Self {
        Self {
            mb_width,
            mb_height,
            cabac: Cabac::new(),
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
        match (params.kind, reference) {
            (SliceKind::I, _) => {}
            (SliceKind::P, Some(frame)) => geometry("reference", frame.geometry())?,
            (SliceKind::P, None) => return Err(EncodeError::NoReference),
        }
        source.check(
            usize::from(self.mb_width) * 16,
            usize::from(self.mb_height) * 16,
        )?;

        recon.copy_from(source)?;
        self.cabac
            .start(params.kind, params.cabac_init_idc, params.qp);
        let start_bits = self.cabac.position_bits();
        for row in 0..self.mb_height {
            for column in 0..self.mb_width {
                let bits = self.cabac.position_bits().wrapping_sub(start_bits);
                qp(MbProgress { column, row, bits });
                self.pcm(params.kind, column, row, recon);
                if (row + 1, column + 1) == (self.mb_height, self.mb_width) {
                    self.cabac.terminate();
                } else {
                    self.cabac.go_on();
                }
            }
        }
        let before = out.len();
        escape_into(self.cabac.bytes(), None, out);
        let count = u32::from(self.mb_width) * u32::from(self.mb_height);
        Ok(PictureStats {
            payload_bytes: (out.len() - before) as u32,
            bins: self.cabac.bins(),
            intra_8x8: 4 * count,
            cu_16x16: count,
            pcm: count,
            ..PictureStats::default()
        })
    }

    /// The slice data of the last picture without emulation prevention.
    #[must_use]
    pub fn rbsp(&self) -> &[u8] {
        self.cabac.bytes()
    }

    fn pcm(&mut self, kind: SliceKind, column: u16, row: u16, recon: &Frame) {
        let (column, row) = (usize::from(column), usize::from(row));
        match kind {
            SliceKind::I => {
                self.cabac
                    .bin(3 + usize::from(column > 0) + usize::from(row > 0), true);
            }
            SliceKind::P => {
                self.cabac
                    .bin(11 + usize::from(column > 0) + usize::from(row > 0), false);
                self.cabac.bin(14, true);
                self.cabac.bin(17, true);
            }
        }
        self.cabac.terminate();
        let stride = recon.stride();
        let (luma, chroma) = (recon.luma(), recon.chroma());
        let luma = (0..16).flat_map(|y| luma[(row * 16 + y) * stride + column * 16..][..16].iter());
        let cb = (0..64).map(|i| &chroma[(row * 8 + i / 8) * stride + column * 16 + i % 8 * 2]);
        let cr = (0..64).map(|i| &chroma[(row * 8 + i / 8) * stride + column * 16 + i % 8 * 2 + 1]);
        self.cabac.pcm_samples(luma.chain(cb).chain(cr).copied());
    }
}
