//! Figures of one encoded picture, as the core's status words want them.

/// What one picture cost and what it consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureStats {
    /// Bytes appended to the output, emulation prevention included.
    pub payload_bytes: u32,
    /// Arithmetic-coded bins, bypass bins and terminate bins included; 0 with CAVLC.
    pub bins: u32,
    /// Bits spent on residual syntax.
    pub residual_bits: u32,
    /// 4x4 blocks (luma and chroma) with a non-zero coefficient.
    pub blocks_with_residual: u32,
    /// 8x8 luma blocks of intra macroblocks.
    pub intra_8x8: u32,
    /// 8x8 luma blocks of inter macroblocks, skipped ones included.
    pub inter_8x8: u32,
    /// 8x8 luma blocks of skipped macroblocks.
    pub skipped_8x8: u32,
    /// Coding units of 8x8: four for each macroblock that is split below 16x16.
    pub cu_8x8: u32,
    /// Coding units of 16x16.
    pub cu_16x16: u32,
    /// Macroblocks sent as I_PCM.
    pub pcm: u32,
    /// Sum of the macroblocks' QP.
    pub qp_sum: u32,
    /// Least QP of a macroblock.
    pub qp_min: u8,
    /// Greatest QP of a macroblock.
    pub qp_max: u8,
    /// Squared error of the visible luma after the loop filter.
    pub sse_luma: u64,
    /// Some macroblock exceeded `max_mb_bits` and was replaced by I_PCM.
    pub lcu_overflow: bool,
}
