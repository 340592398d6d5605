//! What the caller says about a picture, and why it can be refused.

use std::fmt;

/// Slice type of the whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceKind {
    /// Intra only.
    I,
    /// Predicted from one earlier picture.
    P,
}

/// Entropy coder of the picture parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entropy {
    /// Context-adaptive arithmetic coding.
    Cabac,
    /// Variable-length coding; not with the 8x8 transform.
    Cavlc,
}

/// The end of a slice header that is not a whole byte: the encoder writes it in front of its slice data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTail {
    /// The bits, in the low end; those above are not looked at.
    pub bits: u32,
    /// How many, 0..=32.
    pub count: u8,
}

impl HeaderTail {
    /// No bits.
    pub const NONE: Self = Self { bits: 0, count: 0 };
}

/// Scaling matrices in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// All entries 16.
    Flat,
    /// The Default lists of the standard (fall-back rule A with no list sent).
    Default,
}

/// Loop filter fields of the slice header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deblock {
    /// `disable_deblocking_filter_idc` is 1.
    pub disabled: bool,
    /// FilterOffsetA: twice `slice_alpha_c0_offset_div2`, -12..=12, even.
    pub alpha_offset: i8,
    /// FilterOffsetB: twice `slice_beta_offset_div2`, -12..=12, even.
    pub beta_offset: i8,
}

/// Largest motion vector components, in luma samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchRange {
    /// Largest horizontal displacement.
    pub horizontal: u16,
    /// Largest vertical displacement.
    pub vertical: u16,
}

/// One picture as the host's headers describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureParams {
    /// Coded width in macroblocks.
    pub mb_width: u16,
    /// Coded height in macroblocks.
    pub mb_height: u16,
    /// Visible width in luma samples; bounds the squared error only.
    pub display_width: u16,
    /// Visible height in luma samples; bounds the squared error only.
    pub display_height: u16,
    /// Slice type.
    pub kind: SliceKind,
    /// SliceQPY, 0..=51.
    pub qp: u8,
    /// Least QP a macroblock may take.
    pub qp_min: u8,
    /// Greatest QP a macroblock may take.
    pub qp_max: u8,
    /// Entropy coder.
    pub entropy: Entropy,
    /// Last bits of the slice header; none with CABAC, whose headers end with a byte.
    pub header_tail: HeaderTail,
    /// `transform_8x8_mode_flag`.
    pub transform_8x8: bool,
    /// Scaling matrices.
    pub scaling: Scaling,
    /// `cabac_init_idc`, 0..=2; not used by intra pictures.
    pub cabac_init_idc: u8,
    /// Loop filter.
    pub deblock: Deblock,
    /// `chroma_qp_index_offset` and `second_chroma_qp_index_offset`, -12..=12.
    pub chroma_qp_offset: [i8; 2],
    /// A macroblock that needs more bits than this is sent as I_PCM.
    pub max_mb_bits: u32,
    /// Motion range.
    pub search: SearchRange,
}

impl PictureParams {
    /// The settings of the product for a geometry: High profile, CABAC, default lists, 3200 bits a macroblock.
    #[must_use]
    pub fn product(mb_width: u16, mb_height: u16, kind: SliceKind, qp: u8) -> Self {
        Self {
            mb_width,
            mb_height,
            display_width: mb_width.saturating_mul(16),
            display_height: mb_height.saturating_mul(16),
            kind,
            qp,
            qp_min: 0,
            qp_max: 51,
            entropy: Entropy::Cabac,
            header_tail: HeaderTail::NONE,
            transform_8x8: true,
            scaling: Scaling::Default,
            cabac_init_idc: 1,
            deblock: Deblock {
                disabled: false,
                alpha_offset: -2,
                beta_offset: -2,
            },
            chroma_qp_offset: [0, 0],
            max_mb_bits: 3200,
            search: SearchRange {
                horizontal: 1920,
                vertical: 224,
            },
        }
    }

    /// The product's Main profile: CABAC, flat lists and no 8x8 transform.
    #[must_use]
    pub fn main(mb_width: u16, mb_height: u16, kind: SliceKind, qp: u8) -> Self {
        Self {
            transform_8x8: false,
            scaling: Scaling::Flat,
            ..Self::product(mb_width, mb_height, kind, qp)
        }
    }

    /// The product's Baseline profile: as Main, with CAVLC and no header bits yet.
    #[must_use]
    pub fn baseline(mb_width: u16, mb_height: u16, kind: SliceKind, qp: u8) -> Self {
        Self {
            entropy: Entropy::Cavlc,
            ..Self::main(mb_width, mb_height, kind, qp)
        }
    }

    /// Checks every field against the limits of the standard and of this encoder.
    ///
    /// # Errors
    /// [`EncodeError::Unsupported`] or [`EncodeError::OutOfRange`] naming the field.
    pub fn check(&self) -> Result<(), EncodeError> {
        if self.entropy == Entropy::Cavlc && self.transform_8x8 {
            return Err(EncodeError::Unsupported("the 8x8 transform with CAVLC"));
        }
        let out = |field, found: i64| Err(EncodeError::OutOfRange { field, found });
        let tail_max = match self.entropy {
            Entropy::Cabac => 0,
            Entropy::Cavlc => 32,
        };
        if self.header_tail.count > tail_max {
            return out("header_tail.count", self.header_tail.count.into());
        }
        if self.mb_width == 0 || self.mb_width > 1024 {
            return out("mb_width", self.mb_width.into());
        }
        if self.mb_height == 0 || self.mb_height > 1024 {
            return out("mb_height", self.mb_height.into());
        }
        if u32::from(self.display_width) > u32::from(self.mb_width) * 16 {
            return out("display_width", self.display_width.into());
        }
        if u32::from(self.display_height) > u32::from(self.mb_height) * 16 {
            return out("display_height", self.display_height.into());
        }
        if self.qp > 51 {
            return out("qp", self.qp.into());
        }
        if self.qp_max > 51 {
            return out("qp_max", self.qp_max.into());
        }
        if self.qp_min > self.qp_max {
            return out("qp_min", self.qp_min.into());
        }
        if self.cabac_init_idc > 2 {
            return out("cabac_init_idc", self.cabac_init_idc.into());
        }
        for offset in [self.deblock.alpha_offset, self.deblock.beta_offset] {
            if !(-12..=12).contains(&offset) || offset % 2 != 0 {
                return out("deblocking offset", offset.into());
            }
        }
        for offset in self.chroma_qp_offset {
            if !(-12..=12).contains(&offset) {
                return out("chroma_qp_offset", offset.into());
            }
        }
        Ok(())
    }
}

/// Why a picture was not encoded. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A mode that this encoder does not have.
    Unsupported(&'static str),
    /// A field outside its legal range.
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: i64,
    },
    /// A plane holds fewer bytes than its geometry and stride need.
    PlaneTooSmall {
        /// Which plane.
        plane: &'static str,
        /// Bytes needed.
        needed_bytes: usize,
        /// Bytes found.
        found_bytes: usize,
    },
    /// A frame's geometry is not the picture's.
    Geometry {
        /// Which frame.
        frame: &'static str,
        /// Macroblock columns and rows of the picture.
        expected: (u16, u16),
        /// Macroblock columns and rows of the frame.
        found: (u16, u16),
    },
    /// A P picture without a reference.
    NoReference,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "expected a supported mode, found {what}"),
            Self::OutOfRange { field, found } => {
                write!(f, "expected {field} within its legal range, found {found}")
            }
            Self::PlaneTooSmall {
                plane,
                needed_bytes,
                found_bytes,
            } => {
                write!(
                    f,
                    "expected {needed_bytes} bytes of {plane}, found {found_bytes}"
                )
            }
            Self::Geometry {
                frame,
                expected,
                found,
            } => write!(
                f,
                "expected a {frame} of {}x{} macroblocks, found {}x{}",
                expected.0, expected.1, found.0, found.1
            ),
            Self::NoReference => write!(f, "expected a reference for a P picture, found none"),
        }
    }
}

impl std::error::Error for EncodeError {}
