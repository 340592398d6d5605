//! The rules that the words of a command list obey, group by group.

use super::{Hwrc, PAYLOAD_OFFSET_BYTES, Words, bits, map_step_bytes, signed, u8_of, u16_of};
use crate::avc::{HeaderTail, SliceKind};
use crate::violation::Violation;

/// Compares words with what they must be.
pub(super) struct Checker<'a> {
    pub(super) words: &'a Words,
    pub(super) report: &'a mut dyn FnMut(Violation),
}

impl Checker<'_> {
    pub(super) fn word(&self, word: u8) -> u32 {
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
    pub(super) fn holds(&mut self, condition: bool, word: u8, expected: u32, rule: &'static str) {
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

/// Words 0x00 to 0x04, 0x08 to 0x0a: tools, slice type, QP, loop filter.
pub(super) fn check_picture(
    check: &mut Checker<'_>,
    kind: SliceKind,
    qp: u32,
    transform_8x8: bool,
) {
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
pub(super) fn check_geometry(
    check: &mut Checker<'_>,
    kind: SliceKind,
    mb_width: u32,
    mb_height: u32,
) {
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
pub(super) fn check_order_counts(check: &mut Checker<'_>, kind: SliceKind) {
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
            let before_that = if poc <= 2 {
                NONE
            } else {
                before.saturating_sub(2)
            };
            check.whole(0x10, before_that, "reference of the collocated picture");
            check.part(0x12, 0xffc0_0c00, 0, "reserved bits of the search range");
        }
    }
    check.whole(0x11, NONE, "no second reference of the collocated picture");
    check.zero(0x13..=0x13);
}

/// Words 0x1b, 0x1c, 0x1e's upper part and 0x1f: inline entropy coding.
pub(super) fn check_entropy(
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
        check.holds(
            bits(check.word(0x1b), 16, 10) > 5,
            0x1b,
            0x000a_0c80,
            "start code, nal byte and slice header written with cabac",
        );
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

/// Words 0x1b, 0x1e and 0x1f with CAVLC: the last bits of the slice header, which the core writes again in front of
/// its data. Software keeps the whole bytes before them; of a header below 24 bits it keeps none.
pub(super) fn check_header_tail(check: &mut Checker<'_>, qp: u32) -> HeaderTail {
    let count = bits(check.word(0x1e), 24, 5);
    let written = bits(check.word(0x1b), 16, 10);
    check.holds(
        (1..24).contains(&count),
        0x1e,
        16 << 24,
        "1 to 23 header bits handed over with cavlc",
    );
    check.holds(
        written == 5 || (written > 5 && count >= 16),
        0x1b,
        5 << 16 | 0x0c80,
        "start code, nal byte and whole header bytes written before the header bits handed over",
    );
    let (end, len) = header_end(check.word(0x04), qp);
    let compared = (1 << len.min(count)) - 1;
    let tail = check.word(0x1f);
    check.holds(
        tail & compared == end & compared,
        0x1f,
        tail & !compared | end & compared,
        "header bits handed over end with slice qp and loop filter",
    );
    HeaderTail {
        bits: tail,
        count: u8_of(count),
    }
}

/// What a slice header ends with, and how many bits that is: slice_qp_delta and the loop filter's fields, as word 0x04
/// says them. Picture parameter sets start from QP 26 and have no other fields behind.
fn header_end(deblock: u32, qp: u32) -> (u32, u32) {
    let mut end = (0, 0);
    let mut append = |code: u32| {
        let len = 2 * code.ilog2() + 1;
        end = (end.0 << len | code, end.1 + len);
    };
    // An Exp-Golomb code is its number plus one behind as many zeros as that has further bits.
    let signed_code = |value: i32| {
        let magnitude = value.unsigned_abs();
        1 + if value > 0 {
            2 * magnitude - 1
        } else {
            2 * magnitude
        }
    };
    append(signed_code(i32::try_from(qp).unwrap_or(0) - 26));
    let disabled = bits(deblock, 18, 1);
    append(1 + disabled);
    if disabled == 0 {
        append(signed_code(signed(bits(deblock, 8, 6), 6).into()));
        append(signed_code(signed(bits(deblock, 0, 5), 5).into()));
    }
    end
}

/// Words 0x14 to 0x1a and 0x2d: rate control inside the picture.
pub(super) fn check_rate_control(
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
        window_groups: u16_of(bits(check.word(0x18), 20, 8)),
        restart: bits(check.word(0x18), 31, 1) == 1,
        qp_min: u8_of(qp_min),
        qp_max: u8_of(qp_max),
    })
}

/// Pitches, map distances, and words that must be 0. Addresses are checked against memory elsewhere.
pub(super) fn check_places(
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
pub(super) fn check_stream(check: &mut Checker<'_>, macroblocks: u32) {
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
