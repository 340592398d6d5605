//! One command list: 128 words that describe a picture, read and checked.
//!
//! The layout is the one recorded on a T31: word k of the list mirrors core register 0x8200 + 4k. Most words follow
//! from a few facts (size, slice type, QP, entropy coder, order count), and the core was only ever seen to work when
//! they agree. So the facts are read from one place each and every other word is checked against them.
//! [`read`] knows nothing of memory or of other pictures; see [`crate::dma`] and [`crate::history`] for those.

use crate::avc::{Deblock, Entropy, SearchRange, SliceKind};
use crate::violation::Violation;

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

/// Compares words with what they must be.
struct Checker<'a> {
    words: &'a Words,
    report: &'a mut dyn FnMut(Violation),
}

impl Checker<'_> {
    fn word(&self, word: u8) -> u32 {
        self.words.get(usize::from(word)).copied().unwrap_or(0)
    }

    /// All bits of a word.
    fn whole(&mut self, word: u8, expected: u32, rule: &'static str) {
        self.part(word, u32::MAX, expected, rule);
    }

    /// The bits of a word that are 1 in `mask`.
    fn part(&mut self, word: u8, mask: u32, expected: u32, rule: &'static str) {
        let found = self.word(word) & mask;
        if found != expected {
            (self.report)(Violation::Word {
                word,
                expected,
                found,
                rule,
            });
        }
    }

    /// A condition that no single value expresses; `expected` is a value that would do.
    fn holds(&mut self, condition: bool, word: u8, expected: u32, rule: &'static str) {
        if !condition {
            let found = self.word(word);
            (self.report)(Violation::Word {
                word,
                expected,
                found,
                rule,
            });
        }
    }

    fn zero(&mut self, words: impl Iterator<Item = u8>) {
        for word in words {
            self.whole(word, 0, "a word that must be 0");
        }
    }
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
        at: Addresses {
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
        },
    })
}

/// Words 0x00 to 0x04, 0x08 to 0x0a: tools, slice type, QP, loop filter.
fn check_picture(check: &mut Checker<'_>, kind: SliceKind, qp: u32, transform_8x8: bool) {
    check.part(0x00, !(1 << 10), 0x8070_0011, "constants of an avc picture");
    check.part(
        0x01,
        0xff80_0800,
        0x8800_0000,
        "bit depth 8 and reserved bits 0",
    );
    check.part(
        0x02,
        !(3 << 8 | 1 << 10),
        0x4010_a850,
        "constants of 4:2:0 with inline entropy coding",
    );
    check.part(
        0x02,
        3 << 8,
        1 << 8,
        "cabac_init_idc 1, which the slice headers say",
    );
    check.part(0x03, 0xcf00_e0e0, 0x0100_0000, "constants of a slice");
    check.holds(qp <= 51, 0x03, 51 << 16, "slice qp up to 51");
    for shift in [0, 8] {
        let offset = signed(bits(check.word(0x03), shift, 5), 5);
        check.holds(
            (-12..=12).contains(&offset),
            0x03,
            0,
            "chroma qp offsets from -12 to 12",
        );
    }
    check.part(
        0x04,
        !(0x1f | 0x3f << 8 | 1 << 18),
        0x0008_0000,
        "constants of the loop filter",
    );
    let deblock = check.word(0x04);
    let offsets = [
        signed(bits(deblock, 0, 5), 5),
        signed(bits(deblock, 8, 6), 6),
    ];
    check.holds(
        offsets.iter().all(|offset| (-6..=6).contains(offset)),
        0x04,
        0x0008_3f1f,
        "loop filter offsets from -6 to 6",
    );
    let window = match kind {
        SliceKind::I => 0x7700_0000,
        SliceKind::P => 0x1100_0000,
    };
    check.whole(0x08, window, "search window of the slice type");
    check.part(
        0x09,
        !(3 << 30 | 1 << 16),
        0x3c00_0000,
        "constants of rate control and statistics",
    );
    let lists = bits(check.word(0x09), 30, 2);
    check.holds(
        lists == 0 || lists == 3,
        0x09,
        3 << 30,
        "scaling lists present and loaded go together",
    );
    check.holds(
        lists == 0 || transform_8x8,
        0x09,
        0,
        "scaling lists only with the 8x8 transform",
    );
    check.whole(
        0x0a,
        0x0000_0c80,
        "3200 bits a macroblock and nothing above",
    );
}

/// Words 0x05 to 0x07, 0x0b, 0x1d, and the low part of 0x1e: the macroblock grid.
fn check_geometry(check: &mut Checker<'_>, kind: SliceKind, mb_width: u32, mb_height: u32) {
    let last = (mb_width - 1) | (mb_height - 1) << 12;
    let has_list = match kind {
        SliceKind::I => 0,
        SliceKind::P => 1 << 10,
    };
    check.whole(0x05, 0, "slice starts at macroblock 0");
    check.whole(
        0x06,
        last | has_list,
        "last macroblock and reference list by size and slice type",
    );
    check.whole(
        0x07,
        1 << 31 | last,
        "last macroblock of the picture by size",
    );
    check.whole(0x0b, (mb_width - 1) << 12, "macroblock columns by size");
    check.whole(0x1d, (mb_width - 1) << 12, "macroblock columns by size");
    check.part(
        0x1e,
        0xe0ff_ffff,
        mb_width * mb_height - 1,
        "macroblock count by size",
    );
}

/// Words 0x0c to 0x13: order counts and search range.
fn check_order_counts(check: &mut Checker<'_>, kind: SliceKind) {
    const NONE: u32 = u32::MAX;
    let poc = check.word(0x0c);
    match kind {
        SliceKind::I => {
            check.whole(0x0c, 0, "order count 0 of an idr picture");
            check.zero(0x0d..=0x0f);
            check.whole(0x10, NONE, "no reference of a reference");
            check.whole(0x12, 0x003f_f3ff, "no search range in an intra picture");
        }
        SliceKind::P => {
            check.holds(
                poc >= 2 && poc.is_multiple_of(2),
                0x0c,
                2,
                "even order count above 0 of a p picture",
            );
            let before = poc.saturating_sub(2);
            check.whole(0x0d, before, "reference is the picture before");
            check.whole(0x0e, 0, "no second reference list");
            check.whole(0x0f, before, "collocated picture is the reference");
            let before_that = if poc <= 2 { NONE } else { poc - 4 };
            check.whole(0x10, before_that, "reference of the collocated picture");
            check.part(0x12, 0xffc0_0c00, 0, "reserved bits of the search range");
        }
    }
    check.whole(0x11, NONE, "no second reference of the collocated picture");
    check.zero(0x13..=0x13);
}

/// Words 0x1b, 0x1c, 0x1e's upper part and 0x1f: inline entropy coding.
fn check_entropy(
    check: &mut Checker<'_>,
    kind: SliceKind,
    qp: u32,
    cabac: bool,
    transform_8x8: bool,
) {
    check.part(
        0x1b,
        0xfc00_ffff,
        0x0000_0c80,
        "3200 bits a macroblock in the entropy stage",
    );
    let slice = match kind {
        SliceKind::I => 0x2100_0904,
        SliceKind::P => 0x1100_0904,
    };
    check.whole(
        0x1c,
        slice | qp << 16 | u32::from(cabac) << 10 | u32::from(transform_8x8) << 1,
        "entropy stage agrees with slice type, qp, entropy coder and transform",
    );
    if cabac {
        check.part(
            0x1e,
            0x1f00_0000,
            0,
            "no header bits handed over with cabac",
        );
        check.whole(0x1f, 0, "no header bits handed over with cabac");
    }
    check.holds(
        cabac || !transform_8x8,
        0x00,
        0x8070_0011,
        "no 8x8 transform with cavlc",
    );
}

/// Words 0x14 to 0x1a and 0x2d: rate control inside the picture.
fn check_rate_control(
    check: &mut Checker<'_>,
    kind: SliceKind,
    qp: u32,
    mb_width: u32,
    mb_height: u32,
) -> Option<Hwrc> {
    check.zero(0x19..=0x1a);
    if bits(check.word(0x09), 16, 1) == 0 {
        check.zero(0x14..=0x18);
        check.zero(0x2d..=0x2d);
        return None;
    }
    check.part(0x14, 0xffff_0000, 0xf400_0000, "constants of rate control");
    let columns = bits(check.word(0x14), 0, 6) + 1;
    let group = bits(check.word(0x14), 6, 10) + 1;
    if columns * group != mb_width || columns * mb_height >= 1024 {
        (check.report)(Violation::Grid {
            mb_width,
            columns,
            group,
        });
    }
    let group_bits = check.word(0x15);
    check.part(
        0x15,
        0xff00_0000,
        0,
        "reserved bits of the picture's target",
    );
    check.part(
        0x16,
        0xff00_0000,
        0x3f00_0000,
        "constant above the long-term target",
    );
    let limits = check.word(0x17);
    check.part(0x17, 0xc0c0_c0c0, 0, "reserved bits of the qp range");
    check.part(0x17, 0x3f, qp, "slice qp in the rate control");
    let (qp_max, qp_min) = (bits(limits, 8, 6), bits(limits, 24, 6));
    check.holds(
        (qp_min..=qp_max).contains(&qp) && qp_max <= 51,
        0x17,
        qp | qp << 8 | qp << 16 | qp << 24,
        "slice qp within the qp range",
    );
    check.holds(
        bits(limits, 16, 6) <= 51,
        0x17,
        qp << 16,
        "base qp up to 51",
    );
    let first = kind == SliceKind::I || check.word(0x0c) <= 2;
    let columns_code = ((4 * columns + 1) & 0xff) << 20;
    check.whole(
        0x18,
        u32::from(first) << 31 | 1 << 30 | columns_code | (group_bits >> 7 & 0xffff),
        "restart flag, group columns and target of the rate control",
    );
    check.holds(
        check.word(0x2d) != 0,
        0x2d,
        0x20,
        "rate control tables with rate control on",
    );
    Some(Hwrc {
        group_macroblocks: u16_of(group),
        group_bits: group_bits & 0x00ff_ffff,
        qp_min: u8_of(qp_min),
        qp_max: u8_of(qp_max),
    })
}

/// Pitches, map distances, and words that must be 0. Addresses are checked against memory elsewhere.
fn check_places(
    check: &mut Checker<'_>,
    kind: SliceKind,
    width: u32,
    mb_width: u32,
    mb_height: u32,
) {
    check.whole(0x22, mb_width * 16, "source pitch of whole macroblocks");
    let rec_pitch = (width.div_ceil(64) * 256) | ((32 * width.div_ceil(4096)) << 19) | (2 << 28);
    check.whole(
        0x26,
        rec_pitch,
        "pitch and storage mode of the reconstruction",
    );
    if kind == SliceKind::I {
        check.zero([0x28, 0x29, 0x2c, 0x38].into_iter());
    }
    check.zero([0x2a, 0x2b, 0x2f].into_iter());
    check.zero(0x34..=0x36);
    check.zero(0x39..=0x40);
    check.holds(
        check.word(0x41) == 0,
        0x41,
        0,
        "size 0, which marks a picture that is not done",
    );
    check.zero(0x42..=0x66);
    check.zero(0x6a..=0x7f);
    let step = map_step_bytes(mb_width, mb_height);
    for (map, luma) in [(0x67, Some(0x37)), (0x68, Some(0x38)), (0x69, None)] {
        let base = luma.map_or(0, |word| check.word(word));
        check.whole(
            map,
            base.wrapping_add(step),
            "chroma map at its distance from the luma map",
        );
    }
}

/// Words 0x31 to 0x33: the stream buffer.
fn check_stream(check: &mut Checker<'_>, macroblocks: u32) {
    check.whole(
        0x32,
        PAYLOAD_OFFSET_BYTES,
        "slice data 0x220 bytes into the stream buffer",
    );
    let usable = check.word(0x31);
    check.holds(
        usable > PAYLOAD_OFFSET_BYTES,
        0x31,
        PAYLOAD_OFFSET_BYTES + 32,
        "stream buffer with room for slice data",
    );
    let room = usable.saturating_sub(PAYLOAD_OFFSET_BYTES);
    let budget = room.min(macroblocks * 416) & !31;
    check.whole(
        0x33,
        budget,
        "byte budget by stream buffer and macroblock count",
    );
}
