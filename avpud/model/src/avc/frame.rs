//! Pictures: a borrowed NV12 source and an owned NV12 frame of whole macroblocks.

use super::params::EncodeError;

/// A borrowed NV12 picture that covers at least whole macroblocks.
#[derive(Clone, Copy, Debug)]
pub struct Nv12View<'a> {
    /// Luma rows.
    pub luma: &'a [u8],
    /// Bytes from one luma row to the next.
    pub luma_stride: usize,
    /// Interleaved chroma rows, Cb first.
    pub chroma: &'a [u8],
    /// Bytes from one chroma row to the next.
    pub chroma_stride: usize,
}

impl Nv12View<'_> {
    /// Checks that both planes hold `width` by `height` luma samples (both even).
    ///
    /// # Errors
    /// [`EncodeError::PlaneTooSmall`] naming the plane.
    pub fn check(&self, width: usize, height: usize) -> Result<(), EncodeError> {
        let plane = |plane, bytes: &[u8], stride: usize, rows: usize| {
            let needed_bytes = stride.max(width) * (rows - 1) + width;
            if stride < width || bytes.len() < needed_bytes {
                return Err(EncodeError::PlaneTooSmall {
                    plane,
                    needed_bytes,
                    found_bytes: bytes.len(),
                });
            }
            Ok(())
        };
        plane("luma", self.luma, self.luma_stride, height)?;
        plane("chroma", self.chroma, self.chroma_stride, height / 2)
    }
}

/// An owned NV12 picture of whole macroblocks without padding; both strides are the width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    mb_width: u16,
    mb_height: u16,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl Frame {
    /// A frame of mid-grey samples.
    #[must_use]
    pub fn new(mb_width: u16, mb_height: u16) -> Self {
        let samples = usize::from(mb_width) * usize::from(mb_height) * 256;
        Self {
            mb_width,
            mb_height,
            luma: vec![128; samples],
            chroma: vec![128; samples / 2],
        }
    }

    /// Macroblock columns and rows.
    #[must_use]
    pub fn geometry(&self) -> (u16, u16) {
        (self.mb_width, self.mb_height)
    }

    /// Bytes from one row to the next, in both planes.
    #[must_use]
    pub fn stride(&self) -> usize {
        usize::from(self.mb_width) * 16
    }

    /// Luma samples, `stride()` a row.
    #[must_use]
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// Interleaved chroma samples, `stride()` a row, Cb first.
    #[must_use]
    pub fn chroma(&self) -> &[u8] {
        &self.chroma
    }

    /// Both planes for writing: luma, chroma.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.luma, &mut self.chroma)
    }

    /// The frame as a view.
    #[must_use]
    pub fn view(&self) -> Nv12View<'_> {
        let stride = self.stride();
        Nv12View {
            luma: &self.luma,
            luma_stride: stride,
            chroma: &self.chroma,
            chroma_stride: stride,
        }
    }
}
