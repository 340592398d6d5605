//! One NV12 picture in the memory layout that an encoder asks for.

use super::FormatError;
use avpu_proto::types::SourceLayout;
use std::fmt;
use std::str::FromStr;

/// Largest picture buffer that is believed, in bytes: an 8192x8192 picture has 96 MiB.
const PICTURE_LEN_MAX: u32 = 128 * 1024 * 1024;

/// Visible size of a picture in pixels: both even, neither zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    width: u16,
    height: u16,
}

impl PictureSize {
    /// Checks a size.
    ///
    /// # Errors
    /// When width or height is odd, zero, or above 65534.
    pub fn new(width: u32, height: u32) -> Result<Self, FormatError> {
        if width == 0 || height == 0 || !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(FormatError::SizeOdd { width, height });
        }
        match (u16::try_from(width), u16::try_from(height)) {
            (Ok(width), Ok(height)) => Ok(Self { width, height }),
            _ => Err(FormatError::SizeLarge { width, height }),
        }
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(self) -> u16 {
        self.height
    }

    /// Pixels of the luma plane.
    #[must_use]
    pub fn luma_len(self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }

    /// Bytes of the picture without any padding, I420 or NV12.
    #[must_use]
    pub fn packed_len(self) -> usize {
        self.luma_len() / 2 * 3
    }
}

impl fmt::Display for PictureSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for PictureSize {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::SizeText(text.to_owned());
        let (width, height) = text.split_once(['x', 'X']).ok_or_else(wrong)?;
        let width = width.parse().map_err(|_| wrong())?;
        let height = height.parse().map_err(|_| wrong())?;
        Self::new(width, height)
    }
}

/// A picture in ordinary memory: luma lines, then lines of interleaved Cb and Cr, with padding to the right and
/// below as the layout says. Its bytes can be copied into a source buffer as they are.
#[derive(Clone, Debug)]
pub struct Nv12Picture {
    size: PictureSize,
    stride: usize,
    stored_lines: usize,
    chroma_offset: usize,
    bytes: Vec<u8>,
}

impl Nv12Picture {
    /// A picture without padding, all zero.
    #[must_use]
    pub fn packed(size: PictureSize) -> Self {
        Self {
            size,
            stride: usize::from(size.width),
            stored_lines: usize::from(size.height),
            chroma_offset: size.luma_len(),
            bytes: vec![0; size.packed_len()],
        }
    }

    /// A picture in the layout of a channel's source buffers, all zero.
    ///
    /// # Errors
    /// When the layout has no room for `size` or is out of all proportion.
    pub fn with_layout(size: PictureSize, layout: &SourceLayout) -> Result<Self, FormatError> {
        let rule = |rule| FormatError::Layout { rule };
        if layout.len_bytes > PICTURE_LEN_MAX {
            return Err(rule("a picture has at most 128 MiB"));
        }
        if layout.stride_bytes < u32::from(size.width) || !layout.stride_bytes.is_multiple_of(2) {
            return Err(rule("the stride is even and at least the visible width"));
        }
        if layout.stored_lines < u32::from(size.height) || !layout.stored_lines.is_multiple_of(2) {
            return Err(rule(
                "the stored lines are even and at least the visible height",
            ));
        }
        let luma = u64::from(layout.stride_bytes) * u64::from(layout.stored_lines);
        let chroma_end = u64::from(layout.chroma_offset_bytes) + luma / 2;
        if u64::from(layout.chroma_offset_bytes) < luma || chroma_end > u64::from(layout.len_bytes)
        {
            return Err(rule(
                "the planes follow each other and end inside the picture",
            ));
        }
        let length = |value: u32| usize::try_from(value).map_err(|_| rule("it fits memory"));
        Ok(Self {
            size,
            stride: length(layout.stride_bytes)?,
            stored_lines: length(layout.stored_lines)?,
            chroma_offset: length(layout.chroma_offset_bytes)?,
            bytes: vec![0; length(layout.len_bytes)?],
        })
    }

    /// Visible size.
    #[must_use]
    pub const fn size(&self) -> PictureSize {
        self.size
    }

    /// The whole buffer, padding included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Visible part of the luma line `line`.
    ///
    /// # Panics
    /// When `line` is not a visible line.
    #[must_use]
    pub fn luma_line(&self, line: usize) -> &[u8] {
        assert!(line < usize::from(self.size.height));
        &self.bytes[line * self.stride..][..usize::from(self.size.width)]
    }

    /// Visible part of the luma line `line`, to be drawn.
    ///
    /// # Panics
    /// When `line` is not a visible line.
    pub fn luma_line_mut(&mut self, line: usize) -> &mut [u8] {
        assert!(line < usize::from(self.size.height));
        &mut self.bytes[line * self.stride..][..usize::from(self.size.width)]
    }

    /// Visible part of the chroma line `line`: Cb, Cr, Cb, Cr, ...
    ///
    /// # Panics
    /// When `line` is not a visible chroma line (there are half as many as luma lines).
    #[must_use]
    pub fn chroma_line(&self, line: usize) -> &[u8] {
        assert!(line < usize::from(self.size.height) / 2);
        let start = self.chroma_offset + line * self.stride;
        &self.bytes[start..][..usize::from(self.size.width)]
    }

    /// Visible part of the chroma line `line`, to be drawn.
    ///
    /// # Panics
    /// When `line` is not a visible chroma line.
    pub fn chroma_line_mut(&mut self, line: usize) -> &mut [u8] {
        assert!(line < usize::from(self.size.height) / 2);
        let start = self.chroma_offset + line * self.stride;
        &mut self.bytes[start..][..usize::from(self.size.width)]
    }

    /// Takes a picture of packed I420 planes and repeats its edges.
    ///
    /// # Panics
    /// When `planes` is not [`PictureSize::packed_len`] bytes long.
    pub fn fill_from_i420(&mut self, planes: &[u8]) {
        assert_eq!(planes.len(), self.size.packed_len());
        let width = usize::from(self.size.width);
        let (luma, chroma) = planes.split_at(self.size.luma_len());
        let (cb, cr) = chroma.split_at(chroma.len() / 2);
        self.fill_luma(luma);
        let lines = cb.chunks_exact(width / 2).zip(cr.chunks_exact(width / 2));
        for (line, (cb, cr)) in lines.enumerate() {
            let into = self.chroma_line_mut(line).chunks_exact_mut(2);
            for (pair, (cb, cr)) in into.zip(cb.iter().zip(cr)) {
                pair[0] = *cb;
                pair[1] = *cr;
            }
        }
        self.repeat_edges();
    }

    /// Takes a picture of packed NV12 planes and repeats its edges.
    ///
    /// # Panics
    /// When `planes` is not [`PictureSize::packed_len`] bytes long.
    pub fn fill_from_nv12(&mut self, planes: &[u8]) {
        assert_eq!(planes.len(), self.size.packed_len());
        let width = usize::from(self.size.width);
        let (luma, chroma) = planes.split_at(self.size.luma_len());
        self.fill_luma(luma);
        for (line, from) in chroma.chunks_exact(width).enumerate() {
            self.chroma_line_mut(line).copy_from_slice(from);
        }
        self.repeat_edges();
    }

    fn fill_luma(&mut self, luma: &[u8]) {
        for (line, from) in luma.chunks_exact(usize::from(self.size.width)).enumerate() {
            self.luma_line_mut(line).copy_from_slice(from);
        }
    }

    /// Fills the padding: the encoder codes whole macroblocks, and what continues the picture costs it least.
    pub fn repeat_edges(&mut self) {
        let (width, height) = (usize::from(self.size.width), usize::from(self.size.height));
        let (stride, stored) = (self.stride, self.stored_lines);
        let luma = &mut self.bytes[..stride * stored];
        repeat_plane(luma, stride, width, height, 1);
        let chroma = &mut self.bytes[self.chroma_offset..][..stride * stored / 2];
        repeat_plane(chroma, stride, width, height / 2, 2);
    }
}

/// Repeats the last `unit` bytes of every visible line to the right and the last visible line downwards.
fn repeat_plane(plane: &mut [u8], stride: usize, width: usize, height: usize, unit: usize) {
    if width < stride {
        for line in plane.chunks_exact_mut(stride).take(height) {
            let (visible, padding) = line.split_at_mut(width);
            let edge = &visible[width - unit..];
            for pixel in padding.chunks_exact_mut(unit) {
                pixel.copy_from_slice(edge);
            }
        }
    }
    let (visible, below) = plane.split_at_mut(stride * height);
    let last = &visible[stride * (height - 1)..];
    for line in below.chunks_exact_mut(stride) {
        line.copy_from_slice(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(stride: u32, lines: u32, gap: u32) -> SourceLayout {
        SourceLayout {
            stride_bytes: stride,
            stored_lines: lines,
            chroma_offset_bytes: stride * lines + gap,
            len_bytes: stride * lines / 2 * 3 + gap,
            alignment_bytes: 256,
        }
    }

    #[test]
    fn a_size_is_even_and_fits_sixteen_bits() {
        assert_eq!("6x4".parse::<PictureSize>().unwrap().to_string(), "6x4");
        for wrong in ["5x4", "4x0", "65536x2", "x", "4", "4x4x4", "-4x4", " 4x4"] {
            assert!(wrong.parse::<PictureSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn planes_of_i420_become_interleaved_chroma() {
        let size = PictureSize::new(4, 2).unwrap();
        let mut picture = Nv12Picture::packed(size);
        picture.fill_from_i420(&[1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 30, 31]);
        assert_eq!(picture.bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 20, 30, 21, 31]);
    }

    #[test]
    fn edges_repeat_to_the_right_and_downwards_in_both_planes() {
        let size = PictureSize::new(2, 2).unwrap();
        let mut picture = Nv12Picture::with_layout(size, &layout(4, 4, 3)).unwrap();
        picture.fill_from_nv12(&[1, 2, 3, 4, 20, 30]);
        let luma = [1, 2, 2, 2, 3, 4, 4, 4, 3, 4, 4, 4, 3, 4, 4, 4];
        let chroma = [20, 30, 20, 30, 20, 30, 20, 30];
        assert_eq!(picture.bytes()[..16], luma);
        assert_eq!(picture.bytes()[16..19], [0, 0, 0], "the gap is not touched");
        assert_eq!(picture.bytes()[19..], chroma);
    }

    #[test]
    fn a_picture_that_needs_no_padding_is_copied_as_it_is() {
        let size = PictureSize::new(2, 2).unwrap();
        let mut picture = Nv12Picture::packed(size);
        picture.fill_from_nv12(&[1, 2, 3, 4, 20, 30]);
        picture.repeat_edges();
        assert_eq!(picture.bytes(), [1, 2, 3, 4, 20, 30]);
    }

    #[test]
    fn a_layout_without_room_for_the_picture_is_refused() {
        let size = PictureSize::new(16, 16).unwrap();
        let good = layout(16, 16, 0);
        assert!(Nv12Picture::with_layout(size, &good).is_ok());
        let mut bad = Vec::new();
        bad.push(layout(14, 16, 0));
        bad.push(layout(17, 16, 0));
        bad.push(layout(16, 14, 0));
        bad.push(SourceLayout {
            chroma_offset_bytes: 255,
            ..good
        });
        bad.push(SourceLayout {
            len_bytes: good.len_bytes - 1,
            ..good
        });
        bad.push(SourceLayout {
            len_bytes: u32::MAX,
            ..good
        });
        bad.push(SourceLayout {
            stride_bytes: u32::MAX - 1,
            ..good
        });
        for layout in bad {
            let refused = Nv12Picture::with_layout(size, &layout);
            assert!(
                matches!(refused, Err(FormatError::Layout { .. })),
                "{layout:?}"
            );
        }
    }
}
