//! How large pictures are: what is shown, what is encoded, how a source stores it.

use super::PictureError;

/// A picture size in pixels, even in both directions and inside what the encoder's fields can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureSize {
    width: u16,
    height: u16,
}

/// The size that is shown and the size that is stored, encoded and cropped to it.
///
/// The stored width is a multiple of 16 and the stored height of 8; the difference is less than
/// one such unit and disappears by cropping in the sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    visible: PictureSize,
    coded: PictureSize,
}

impl PictureSize {
    /// The smallest side, in pixels: one macroblock.
    pub const SIDE_MIN: u32 = 16;
    /// The largest side, in pixels.
    pub const SIDE_MAX: u32 = 4096;

    /// A size of `width` by `height` pixels, both even.
    pub fn new(width: u32, height: u32) -> Result<Self, PictureError> {
        let fits =
            |side: u32| (Self::SIDE_MIN..=Self::SIDE_MAX).contains(&side) && side.is_multiple_of(2);
        match (u16::try_from(width), u16::try_from(height)) {
            (Ok(w), Ok(h)) if fits(width) && fits(height) => Ok(Self {
                width: w,
                height: h,
            }),
            _ => Err(PictureError::Size { width, height }),
        }
    }

    /// Width in pixels.
    pub fn width(self) -> u32 {
        u32::from(self.width)
    }

    /// Height in pixels.
    pub fn height(self) -> u32 {
        u32::from(self.height)
    }

    /// Columns of macroblocks, the last one possibly partial.
    pub fn mb_columns(self) -> u32 {
        self.width().div_ceil(16)
    }

    /// Rows of macroblocks, the last one possibly partial.
    pub fn mb_rows(self) -> u32 {
        self.height().div_ceil(16)
    }

    /// Macroblocks in a picture.
    pub fn macroblocks(self) -> u32 {
        self.mb_columns() * self.mb_rows()
    }

    /// Bytes from one source line to the next: the width rounded up to a macroblock.
    pub fn source_pitch_bytes(self) -> u32 {
        self.mb_columns() * 16
    }

    /// Bytes from the first luma sample of a source picture to its first chroma sample. The luma
    /// plane is stored in whole macroblock rows.
    pub fn source_chroma_offset_bytes(self) -> u32 {
        self.source_pitch_bytes() * self.mb_rows() * 16
    }

    /// Bytes of one NV12 source picture.
    pub fn source_len_bytes(self) -> u32 {
        self.source_chroma_offset_bytes() / 2 * 3
    }
}

impl Geometry {
    /// The geometry that shows `visible`: the coded width is the next multiple of 16, the coded
    /// height the next multiple of 8.
    pub fn new(visible: PictureSize) -> Self {
        // Both limits are multiples of 16, so rounding up stays inside them.
        let coded = PictureSize {
            width: visible.width.next_multiple_of(16),
            height: visible.height.next_multiple_of(8),
        };
        Self { visible, coded }
    }

    /// What a player shows.
    pub fn visible(self) -> PictureSize {
        self.visible
    }

    /// What the encoder is told.
    pub fn coded(self) -> PictureSize {
        self.coded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_even_visible_size_lies_inside_its_coded_size() {
        for width in (16..=4096).step_by(2) {
            let visible = PictureSize::new(width, 4098 - width.max(16)).ok();
            let Some(visible) = visible else { continue };
            let coded = Geometry::new(visible).coded();
            assert_eq!(coded.width() % 16, 0);
            assert_eq!(coded.height() % 8, 0);
            assert!((0..16).contains(&(coded.width() - visible.width())));
            assert!((0..8).contains(&(coded.height() - visible.height())));
            assert_eq!(PictureSize::new(coded.width(), coded.height()), Ok(coded));
        }
    }

    #[test]
    fn odd_small_and_huge_sizes_are_refused() {
        for (width, height) in [
            (15, 16),
            (16, 0),
            (641, 360),
            (640, 361),
            (4098, 16),
            (65536, 64),
        ] {
            assert_eq!(
                PictureSize::new(width, height),
                Err(PictureError::Size { width, height })
            );
        }
    }

    #[test]
    fn source_planes_are_stored_in_whole_macroblocks() {
        let size = PictureSize::new(1920, 1080).expect("full hd");
        assert_eq!(size.source_pitch_bytes(), 1920);
        assert_eq!(size.source_chroma_offset_bytes(), 0x1f_e000);
        assert_eq!(size.source_len_bytes(), 0x2f_d000);
        let small = PictureSize::new(640, 360).expect("nhd");
        assert_eq!(small.source_chroma_offset_bytes(), 0x3_9800);
        assert_eq!(small.source_len_bytes(), 0x5_6400);
    }
}
