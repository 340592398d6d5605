//! Variable-length codes (9.1, 9.2): values in, bits out.

use super::cavlc_tables::{
    COEFF_TOKEN, COEFF_TOKEN_CHROMA_DC, Code, RUN_BEFORE, TOTAL_ZEROS, TOTAL_ZEROS_CHROMA_DC,
    coeff_token_wide,
};
use super::params::HeaderTail;

/// One slice being written.
#[derive(Clone)]
pub(super) struct Cavlc {
    out: Vec<u8>,
    /// Bits that do not fill a byte yet, in the low end.
    rest: u64,
    rest_len: u32,
    /// mb_skip_run so far.
    pub(super) skipped: u32,
    /// A level was met that has no code in the profiles without High's tools.
    too_large: bool,
}

/// Enough to undo everything written since; the output may only have grown.
#[derive(Clone)]
pub(super) struct Mark {
    len: usize,
    rest: u64,
    rest_len: u32,
}

/// What decides the code table of a block's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenTable {
    /// Mean of the level counts of the blocks beside: nC.
    Near(u8),
    ChromaDc,
}

impl Cavlc {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::new(),
            rest: 0,
            rest_len: 0,
            skipped: 0,
            too_large: false,
        }
    }

    /// Begins a slice with the last bits of its header.
    pub(super) fn start(&mut self, tail: HeaderTail) {
        self.out.clear();
        (self.rest, self.rest_len) = (0, 0);
        self.skipped = 0;
        self.too_large = false;
        let count = u32::from(tail.count);
        if count > 0 {
            self.bits(tail.bits & (u32::MAX >> (32 - count)), count);
        }
    }

    /// Writes the low `count` bits of `bits`, at most 32; the bits above must be 0.
    #[inline]
    pub(super) fn bits(&mut self, bits: u32, count: u32) {
        debug_assert!(count == 32 || bits >> count == 0);
        self.rest = self.rest << count | u64::from(bits);
        self.rest_len += count;
        while self.rest_len >= 8 {
            self.rest_len -= 8;
            self.out.push((self.rest >> self.rest_len) as u8);
        }
        self.rest &= (1 << self.rest_len) - 1;
    }

    #[inline]
    fn code(&mut self, (len, bits): Code) {
        self.bits(bits.into(), len.into());
    }

    /// Writes an unsigned Exp-Golomb code; values below 65535 occur.
    #[inline]
    pub(super) fn ue(&mut self, value: u32) {
        let code = value + 1;
        let len = 31 - code.leading_zeros();
        self.bits(0, len);
        self.bits(code, len + 1);
    }

    /// Writes a signed Exp-Golomb code.
    #[inline]
    pub(super) fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 {
            2 * magnitude - 1
        } else {
            2 * magnitude
        });
    }

    /// Zero bits up to the next byte.
    pub(super) fn align(&mut self) {
        let count = (8 - self.rest_len) % 8;
        self.bits(0, count);
    }

    /// Writes raw bytes at a byte boundary.
    pub(super) fn raw(&mut self, bytes: impl Iterator<Item = u8>) {
        debug_assert_eq!(self.rest_len, 0);
        self.out.extend(bytes);
    }

    /// Bits written so far; only differences mean anything.
    #[inline]
    pub(super) fn position_bits(&self) -> u32 {
        (self.out.len() as u32)
            .wrapping_mul(8)
            .wrapping_add(self.rest_len)
    }

    /// Bytes written; complete after an alignment.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Takes a snapshot for [`Cavlc::roll_back`].
    pub(super) fn mark(&self) -> Mark {
        Mark {
            len: self.out.len(),
            rest: self.rest,
            rest_len: self.rest_len,
        }
    }

    /// Forgets everything written since `mark`.
    pub(super) fn roll_back(&mut self, mark: &Mark) {
        self.out.truncate(mark.len);
        self.rest = mark.rest;
        self.rest_len = mark.rest_len;
        self.too_large = false;
    }

    /// Whether a level without a code was met since the start or the last roll-back.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// Writes a block of levels in scan order (residual_block_cavlc) and returns how many are not zero.
    pub(super) fn block(&mut self, levels: &[i16], table: TokenTable) -> u8 {
        // Non-zero levels and the zeros before each, highest frequency first.
        let mut values = [0i16; 16];
        let mut runs = [0u8; 16];
        let mut total = 0;
        let mut zeros = 0;
        let mut run = 0;
        for &level in levels.iter().rev() {
            if level == 0 {
                if total > 0 {
                    run += 1;
                    zeros += 1;
                }
                continue;
            }
            if total > 0 {
                runs[total - 1] = run;
            }
            run = 0;
            values[total] = level;
            total += 1;
        }
        if total > 0 {
            runs[total - 1] = run;
        }
        let values = &values[..total];
        let ones = values
            .iter()
            .take(3)
            .take_while(|level| level.unsigned_abs() == 1)
            .count();
        self.code(match table {
            TokenTable::ChromaDc => COEFF_TOKEN_CHROMA_DC[total][ones],
            TokenTable::Near(0..=1) => COEFF_TOKEN[0][total][ones],
            TokenTable::Near(2..=3) => COEFF_TOKEN[1][total][ones],
            TokenTable::Near(4..=7) => COEFF_TOKEN[2][total][ones],
            TokenTable::Near(_) => coeff_token_wide(total, ones),
        });
        if total == 0 {
            return 0;
        }
        for &level in &values[..ones] {
            self.bits(u32::from(level < 0), 1);
        }
        self.levels(&values[ones..], ones, total);
        if total < levels.len() {
            self.code(match table {
                TokenTable::ChromaDc => TOTAL_ZEROS_CHROMA_DC[total - 1][zeros],
                TokenTable::Near(_) => TOTAL_ZEROS[total - 1][zeros],
            });
        }
        let mut left = zeros;
        for &run in &runs[..total - 1] {
            if left == 0 {
                break;
            }
            self.code(RUN_BEFORE[left.min(7) - 1][usize::from(run)]);
            left -= usize::from(run);
        }
        total as u8
    }

    /// Writes the levels behind the trailing ones.
    fn levels(&mut self, values: &[i16], ones: usize, total: usize) {
        let mut suffix_len = u32::from(total > 10 && ones < 3);
        for (index, &level) in values.iter().enumerate() {
            let magnitude = u32::from(level.unsigned_abs());
            let mut code = 2 * magnitude - if level < 0 { 1 } else { 2 };
            if index == 0 && ones < 3 {
                // It cannot be one, or it would be a trailing one.
                code -= 2;
            }
            self.level(code, suffix_len);
            suffix_len = suffix_len.max(1);
            if magnitude > 3 << (suffix_len - 1) && suffix_len < 6 {
                suffix_len += 1;
            }
        }
    }

    /// Writes level_prefix and level_suffix.
    fn level(&mut self, code: u32, suffix_len: u32) {
        let escape = match suffix_len {
            0 => 30,
            len => 15 << len,
        };
        if code >= escape {
            // Twelve bits behind prefix 15: longer prefixes belong to the High profiles.
            self.too_large |= code - escape > 0xFFF;
            self.bits(1, 16);
            self.bits((code - escape) & 0xFFF, 12);
        } else if suffix_len > 0 {
            self.bits(1, (code >> suffix_len) + 1);
            self.bits(code & ((1 << suffix_len) - 1), suffix_len);
        } else if code < 14 {
            self.bits(1, code + 1);
        } else {
            self.bits(1, 15);
            self.bits(code - 14, 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cavlc, HeaderTail, TokenTable};

    fn written(write: impl FnOnce(&mut Cavlc)) -> String {
        let mut cavlc = Cavlc::new();
        cavlc.start(HeaderTail::NONE);
        write(&mut cavlc);
        let len = cavlc.position_bits() as usize;
        cavlc.align();
        let bits: String = cavlc.bytes().iter().map(|b| format!("{b:08b}")).collect();
        bits[..len].to_owned()
    }

    #[test]
    fn blocks_are_coded_as_worked_out_by_hand() {
        let mut levels = [0; 16];
        levels[..8].copy_from_slice(&[0, 3, 0, 1, -1, -1, 0, 1]);
        let near = |n| TokenTable::Near(n);
        assert_eq!(
            written(|cavlc| assert_eq!(cavlc.block(&levels, near(0)), 5)),
            "000010001110010111101101"
        );
        levels[..8].copy_from_slice(&[-2, 4, 3, -3, 0, 0, -1, 0]);
        assert_eq!(
            written(|cavlc| assert_eq!(cavlc.block(&levels, near(0)), 5)),
            "000000011010001001000010111001100"
        );
        assert_eq!(
            written(|cavlc| _ = cavlc.block(&[0; 16], near(9))),
            "000011"
        );
    }

    #[test]
    fn the_last_bits_of_a_header_come_first() {
        let mut cavlc = Cavlc::new();
        cavlc.start(HeaderTail {
            bits: 0xFFFF_F5A3,
            count: 10,
        });
        cavlc.bits(1, 1);
        cavlc.align();
        assert_eq!(cavlc.bytes(), [0b0110_1000, 0b1110_0000]);
    }

    #[test]
    fn a_level_without_a_code_is_told_until_it_is_rolled_back() {
        let mut cavlc = Cavlc::new();
        cavlc.start(HeaderTail::NONE);
        let mark = cavlc.mark();
        cavlc.block(&[2063, 0, 0, 0], TokenTable::ChromaDc);
        assert!(!cavlc.is_too_large());
        cavlc.block(&[2065, 0, 0, 0], TokenTable::ChromaDc);
        assert!(cavlc.is_too_large());
        cavlc.roll_back(&mark);
        assert!(!cavlc.is_too_large());
        assert_eq!(cavlc.position_bits(), 0);
    }
}
