//! What later macroblocks, the entropy coder and the loop filter need to know of a macroblock.

/// How a macroblock is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MbKind {
    /// Not part of the picture or not coded yet.
    Outside,
    Intra4x4,
    Intra8x8,
    Intra16x16,
    Pcm,
    Inter16x16,
    Inter16x8,
    Inter8x16,
    Inter8x8,
    Skip,
}

impl MbKind {
    #[inline]
    pub(super) fn is_intra(self) -> bool {
        matches!(
            self,
            Self::Intra4x4 | Self::Intra8x8 | Self::Intra16x16 | Self::Pcm
        )
    }

    #[inline]
    pub(super) fn is_inter(self) -> bool {
        !self.is_intra() && self != Self::Outside
    }

    /// I_NxN of the syntax.
    #[inline]
    pub(super) fn is_intra_blocks(self) -> bool {
        matches!(self, Self::Intra4x4 | Self::Intra8x8)
    }
}

/// A motion vector in quarter luma samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mv {
    pub(super) x: i16,
    pub(super) y: i16,
}

/// Bit of the luma DC block of an Intra16x16 macroblock in [`MbInfo::coded`].
pub(super) const CODED_LUMA_DC: u32 = 24;
/// Bit of the Cb DC block in [`MbInfo::coded`]; Cr follows.
pub(super) const CODED_CHROMA_DC: u32 = 25;
/// First bit of the four Cb blocks in [`MbInfo::coded`]; Cr follows.
pub(super) const CODED_CHROMA: u32 = 16;

/// Mode of a 4x4 block outside the picture.
pub(super) const MODE_OUTSIDE: u8 = 255;

/// One coded macroblock.
#[derive(Clone, Copy, Debug)]
pub(super) struct MbInfo {
    pub(super) kind: MbKind,
    pub(super) transform_8x8: bool,
    /// QPY for the loop filter: 0 for I_PCM.
    pub(super) qp: u8,
    /// Coded block pattern: luma in bits 0..=3, chroma above.
    pub(super) cbp: u8,
    /// intra_chroma_pred_mode.
    pub(super) chroma_mode: u8,
    /// Intra16x16 prediction mode.
    pub(super) luma_mode: u8,
    /// coded_block_flag of each block: luma 0..=15 in raster order, Cb 16..=19, Cr 20..=23, then the DC blocks.
    pub(super) coded: u32,
    /// With CAVLC the number of levels of each 4x4 block, in the order of [`MbInfo::coded`]; DC levels that have a
    /// block of their own are not among them.
    pub(super) level_counts: [u8; 24],
    /// Intra prediction mode of each 4x4 block in raster order; 2 where there is none.
    pub(super) modes: [u8; 16],
    /// Motion vector of each 8x8 quarter.
    pub(super) mv: [Mv; 4],
    /// Size of the vector differences of each quarter, x and y, saturated.
    pub(super) mvd: [[u8; 2]; 4],
}

impl MbInfo {
    pub(super) const OUTSIDE: Self = Self {
        kind: MbKind::Outside,
        transform_8x8: false,
        qp: 0,
        cbp: 0x0F,
        chroma_mode: 0,
        luma_mode: 0,
        coded: 0,
        level_counts: [0; 24],
        modes: [MODE_OUTSIDE; 16],
        mv: [Mv { x: 0, y: 0 }; 4],
        mvd: [[0; 2]; 4],
    };

    /// A macroblock of `kind` with nothing coded yet.
    #[inline]
    pub(super) fn new(kind: MbKind, qp: u8) -> Self {
        Self {
            kind,
            qp,
            cbp: 0,
            modes: [2; 16],
            ..Self::OUTSIDE
        }
    }

    /// The flag word as a neighbour sees it: blocks outside count as coded for intra macroblocks.
    #[inline]
    pub(super) fn coded_for(&self, current_is_intra: bool) -> u32 {
        if self.kind == MbKind::Outside && current_is_intra {
            u32::MAX
        } else {
            self.coded
        }
    }
}

/// The macroblocks around the current one.
#[derive(Clone, Copy)]
pub(super) struct Neighbours {
    pub(super) left: MbInfo,
    pub(super) top: MbInfo,
    pub(super) top_right: MbInfo,
    pub(super) top_left: MbInfo,
}

impl Neighbours {
    /// A macroblock alone in the world.
    pub(super) const NONE: Self = Self {
        left: MbInfo::OUTSIDE,
        top: MbInfo::OUTSIDE,
        top_right: MbInfo::OUTSIDE,
        top_left: MbInfo::OUTSIDE,
    };
}

/// All macroblocks of a picture inside a border of [`MbInfo::OUTSIDE`].
pub(super) struct MbMap {
    stride: usize,
    cells: Vec<MbInfo>,
}

impl MbMap {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let stride = columns + 2;
        Self {
            stride,
            cells: vec![MbInfo::OUTSIDE; stride * (rows + 1)],
        }
    }

    #[inline]
    fn index(&self, column: usize, row: usize) -> usize {
        (row + 1) * self.stride + column + 1
    }

    #[inline]
    pub(super) fn at(&self, column: usize, row: usize) -> &MbInfo {
        &self.cells[self.index(column, row)]
    }

    /// The macroblock to the left, or the border.
    #[inline]
    pub(super) fn left_of(&self, column: usize, row: usize) -> &MbInfo {
        &self.cells[self.index(column, row) - 1]
    }

    /// The macroblock above, or the border.
    #[inline]
    pub(super) fn above(&self, column: usize, row: usize) -> &MbInfo {
        &self.cells[self.index(column, row) - self.stride]
    }

    #[inline]
    pub(super) fn set(&mut self, column: usize, row: usize, info: &MbInfo) {
        let index = self.index(column, row);
        self.cells[index] = *info;
    }

    #[inline]
    pub(super) fn neighbours(&self, column: usize, row: usize) -> Neighbours {
        let index = self.index(column, row);
        Neighbours {
            left: self.cells[index - 1],
            top: self.cells[index - self.stride],
            top_right: self.cells[index - self.stride + 1],
            top_left: self.cells[index - self.stride - 1],
        }
    }
}

/// Levels of a macroblock as the entropy coder reads them.
#[derive(Clone)]
pub(super) struct Levels {
    /// Sixteen levels for each 4x4 block in coding order, or 64 for each 8x8 block; scan order inside.
    pub(super) luma: [i16; 256],
    /// Intra16x16 DC levels in scan order.
    pub(super) luma_dc: [i16; 16],
    /// Cb and Cr DC levels.
    pub(super) chroma_dc: [[i16; 4]; 2],
    /// Cb and Cr blocks in scan order; entry 0 of each is unused.
    pub(super) chroma: [[[i16; 16]; 4]; 2],
}

impl Levels {
    pub(super) const ZERO: Self = Self {
        luma: [0; 256],
        luma_dc: [0; 16],
        chroma_dc: [[0; 4]; 2],
        chroma: [[[0; 16]; 4]; 2],
    };
}
