//! One command list: 128 words that describe a picture, read and checked.
//!
//! The layout is the one recorded on a T31: word k of the list mirrors core register 0x8200 + 4k. Most words follow
//! from a few facts (size, slice type, QP, entropy coder, order count), and the core was only ever seen to work when
//! they agree. So the facts are read from one place each and every other word is checked against them.
//! [`read`] knows nothing of memory or of other pictures; see [`crate::dma`] and `history`
//! for those.

mod rules;

use crate::avc::{Deblock, Entropy, HeaderTail, SearchRange, SliceKind};
use crate::violation::Violation;
use rules::{
    Checker, check_entropy, check_geometry, check_header_tail, check_order_counts, check_picture,
    check_places, check_rate_control, check_stream,
};

/// Words in a command list.
pub const WORDS: usize = 128;
/// Bytes of a command list, and its alignment.
pub const LEN_BYTES: u32 = 512;
/// First status word: bytes of slice data.
pub const STATUS_WORD: usize = 0x41;
/// Status words, from [`STATUS_WORD`] on.
pub const STATUS_WORDS: usize = 29;
/// Where slice data starts in a stream buffer.
pub const PAYLOAD_OFFSET_BYTES: u32 = 0x220;

/// The words of a command list.
pub type Words = [u32; WORDS];

/// A command list as the picture it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandList {
    /// Physical address of the list itself; status words are written there.
    pub address: u32,
    /// Coded width in pixels, a multiple of 8.
    pub width: u16,
    /// Coded height in pixels, a multiple of 8.
    pub height: u16,
    /// Macroblock columns.
    pub mb_width: u16,
    /// Macroblock rows.
    pub mb_height: u16,
    /// Slice type.
    pub kind: SliceKind,
    /// Slice QP.
    pub qp: u8,
    /// Entropy coder.
    pub entropy: Entropy,
    /// Last bits of the slice header, which come again in front of the slice data; none with CABAC.
    pub header_tail: HeaderTail,
    /// The 8x8 transform is allowed.
    pub transform_8x8: bool,
    /// Scaling lists are in force and taken from EP1.
    pub scaling_lists: bool,
    /// CABAC initialisation of P slices.
    pub cabac_init_idc: u8,
    /// Loop filter.
    pub deblock: Deblock,
    /// QP offsets of Cb and Cr.
    pub chroma_qp_offset: [i8; 2],
    /// Most bits a macroblock may take before it is sent as samples.
    pub max_mb_bits: u32,
    /// Motion range.
    pub search: SearchRange,
    /// Order count.
    pub poc: u32,
    /// Order count of the reference.
    pub reference_poc: u32,
    /// Order count of the reference's own reference, all ones if it has none.
    pub reference_reference_poc: u32,
    /// Rate control inside the picture, if it is on.
    pub hwrc: Option<Hwrc>,
    /// Addresses.
    pub at: Addresses,
}

/// Rate control inside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hwrc {
    /// Macroblocks of a group; groups tile each row.
    pub group_macroblocks: u16,
    /// Bits aimed at in a group.
    pub group_bits: u32,
    /// Groups over which an error is made good.
    pub window_groups: u16,
    /// What the groups of the picture before took is forgotten.
    pub restart: bool,
    /// Least QP.
    pub qp_min: u8,
    /// Greatest QP.
    pub qp_max: u8,
}

/// The address words, and what belongs to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Source luma (word 0x20).
    pub source_luma: u32,
    /// Source chroma (0x21).
    pub source_chroma: u32,
    /// Source pitch in bytes (0x22).
    pub source_pitch_bytes: u32,
    /// QP control (0x23).
    pub ep2: u32,
    /// Reconstructed luma (0x24).
    pub rec_luma: u32,
    /// Reconstructed chroma (0x25).
    pub rec_chroma: u32,
    /// Lambda and scaling lists (0x27).
    pub ep1: u32,
    /// Reference luma (0x28), 0 in intra pictures.
    pub ref_luma: u32,
    /// Reference chroma (0x29), 0 in intra pictures.
    pub ref_chroma: u32,
    /// Vectors of the reference (0x2c), 0 in intra pictures.
    pub ref_vectors: u32,
    /// Rate control tables (0x2d), 0 without rate control in the picture.
    pub ep3: u32,
    /// Vectors written (0x2e).
    pub rec_vectors: u32,
    /// Stream buffer (0x30).
    pub stream: u32,
    /// Bytes of it that may be used (0x31).
    pub stream_usable_bytes: u32,
    /// Most bytes of slice data (0x33).
    pub budget_bytes: u32,
    /// Luma map written (0x37); the chroma map follows it.
    pub rec_map: u32,
    /// Luma map of the reference (0x38), 0 in intra pictures.
    pub ref_map: u32,
}

impl CommandList {
    /// Macroblocks of the picture.
    #[must_use]
    pub fn macroblocks(&self) -> u32 {
        u32::from(self.mb_width) * u32::from(self.mb_height)
    }

    /// Width and height rounded up to 64, the unit that picture buffers are made of.
    #[must_use]
    pub fn size_64(&self) -> (u32, u32) {
        (
            u32::from(self.width).next_multiple_of(64),
            u32::from(self.height).next_multiple_of(64),
        )
    }

    /// Bytes from a luma map to its chroma map.
    #[must_use]
    pub fn map_step_bytes(&self) -> u32 {
        map_step_bytes(self.mb_width.into(), self.mb_height.into())
    }
}

/// Bytes from a luma map to its chroma map: 32 for each 4096 pixels of width and 4 rows.
fn map_step_bytes(mb_width: u32, mb_height: u32) -> u32 {
    32 * (mb_width * 16).div_ceil(4096) * (mb_height * 4)
}

/// The low `width` bits of `word` from bit `shift` on.
fn bits(word: u32, shift: u32, width: u32) -> u32 {
    (word >> shift) & ((1 << width) - 1)
}

/// `value` as a two's-complement number of `width` bits.
fn signed(value: u32, width: u32) -> i8 {
    let value = i64::from(value);
    let value = if value >> (width - 1) == 0 {
        value
    } else {
        value - (1 << width)
    };
    i8::try_from(value).unwrap_or(i8::MIN)
}

fn u8_of(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn u16_of(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Reads the list at `address`, reporting each rule that it breaks. `None` when it is no H.264 picture at all.
pub fn read(address: u32, words: &Words, report: &mut dyn FnMut(Violation)) -> Option<CommandList> {
    let mut check = Checker { words, report };
    let codec = bits(check.word(0x00), 28, 2);
    if codec != 0 {
        (check.report)(Violation::Unsupported {
            what: if codec == 1 {
                "h.265"
            } else {
                "a codec other than h.264"
            },
        });
        return None;
    }
    let size = check.word(0x01);
    let (columns_8, rows_8) = (bits(size, 0, 11) + 1, bits(size, 12, 11) + 1);
    let (mb_width, mb_height) = (columns_8.div_ceil(2), rows_8.div_ceil(2));
    let kind = match bits(check.word(0x03), 28, 2) {
        2 => SliceKind::I,
        1 => SliceKind::P,
        other => {
            check.holds(false, 0x03, 1 << 28, "slice type 1 (P) or 2 (I)");
            if other == 0 {
                SliceKind::P
            } else {
                SliceKind::I
            }
        }
    };
    let qp = bits(check.word(0x03), 16, 8);
    let transform_8x8 = bits(check.word(0x00), 10, 1) == 1;
    let cabac = bits(check.word(0x02), 10, 1) == 1;

    check_picture(&mut check, kind, qp, transform_8x8);
    check_geometry(&mut check, kind, mb_width, mb_height);
    check_order_counts(&mut check, kind);
    check_entropy(&mut check, kind, qp, cabac, transform_8x8);
    let header_tail = if cabac {
        HeaderTail::NONE
    } else {
        check_header_tail(&mut check, qp)
    };
    let hwrc = check_rate_control(&mut check, kind, qp, mb_width, mb_height);
    check_places(&mut check, kind, columns_8 * 8, mb_width, mb_height);
    check_stream(&mut check, mb_width * mb_height);

    let deblock = check.word(0x04);
    let range = check.word(0x12);
    Some(CommandList {
        address,
        width: u16_of(columns_8 * 8),
        height: u16_of(rows_8 * 8),
        mb_width: u16_of(mb_width),
        mb_height: u16_of(mb_height),
        kind,
        qp: u8_of(qp),
        entropy: if cabac {
            Entropy::Cabac
        } else {
            Entropy::Cavlc
        },
        header_tail,
        transform_8x8,
        scaling_lists: bits(check.word(0x09), 30, 2) != 0,
        cabac_init_idc: u8_of(bits(check.word(0x02), 8, 2)),
        deblock: Deblock {
            disabled: bits(deblock, 18, 1) == 1,
            alpha_offset: 2 * signed(bits(deblock, 8, 6), 6),
            beta_offset: 2 * signed(bits(deblock, 0, 5), 5),
        },
        chroma_qp_offset: [
            signed(bits(check.word(0x03), 0, 5), 5),
            signed(bits(check.word(0x03), 8, 5), 5),
        ],
        max_mb_bits: bits(check.word(0x0a), 0, 16),
        search: SearchRange {
            horizontal: u16_of((bits(range, 0, 10) + 1) << 6),
            vertical: u16_of((bits(range, 12, 10) + 1) << 3),
        },
        poc: check.word(0x0c),
        reference_poc: check.word(0x0d),
        reference_reference_poc: check.word(0x10),
        hwrc,
        at: addresses(&check),
    })
}

fn addresses(check: &Checker<'_>) -> Addresses {
    Addresses {
        source_luma: check.word(0x20),
        source_chroma: check.word(0x21),
        source_pitch_bytes: bits(check.word(0x22), 0, 18),
        ep2: check.word(0x23),
        rec_luma: check.word(0x24),
        rec_chroma: check.word(0x25),
        ep1: check.word(0x27),
        ref_luma: check.word(0x28),
        ref_chroma: check.word(0x29),
        ref_vectors: check.word(0x2c),
        ep3: check.word(0x2d),
        rec_vectors: check.word(0x2e),
        stream: check.word(0x30),
        stream_usable_bytes: check.word(0x31),
        budget_bytes: check.word(0x33),
        rec_map: check.word(0x37),
        ref_map: check.word(0x38),
    }
}
