//! Variable-length codes of residual blocks and coded block patterns (tables 9-4, 9-5, 9-7, 9-8, 9-9, 9-10).
//!
//! A code is its length in bits and its value; a length of 0 marks a combination that does not exist.

/// Length in bits and value.
pub(super) type Code = (u8, u8);

const NONE: Code = (0, 0);

/// coeff_token by class of nC (0..2, 2..4, 4..8), total_coeff and trailing ones. From nC 8 on the code is six bits of
/// fixed length; see [`coeff_token_wide`].
pub(super) const COEFF_TOKEN: [[[Code; 4]; 17]; 3] = [
    [
        [(1, 1), NONE, NONE, NONE],
        [(6, 5), (2, 1), NONE, NONE],
        [(8, 7), (6, 4), (3, 1), NONE],
        [(9, 7), (8, 6), (7, 5), (5, 3)],
        [(10, 7), (9, 6), (8, 5), (6, 3)],
        [(11, 7), (10, 6), (9, 5), (7, 4)],
        [(13, 15), (11, 6), (10, 5), (8, 4)],
        [(13, 11), (13, 14), (11, 5), (9, 4)],
        [(13, 8), (13, 10), (13, 13), (10, 4)],
        [(14, 15), (14, 14), (13, 9), (11, 4)],
        [(14, 11), (14, 10), (14, 13), (13, 12)],
        [(15, 15), (15, 14), (14, 9), (14, 12)],
        [(15, 11), (15, 10), (15, 13), (14, 8)],
        [(16, 15), (15, 1), (15, 9), (15, 12)],
        [(16, 11), (16, 14), (16, 13), (15, 8)],
        [(16, 7), (16, 10), (16, 9), (16, 12)],
        [(16, 4), (16, 6), (16, 5), (16, 8)],
    ],
    [
        [(2, 3), NONE, NONE, NONE],
        [(6, 11), (2, 2), NONE, NONE],
        [(6, 7), (5, 7), (3, 3), NONE],
        [(7, 7), (6, 10), (6, 9), (4, 5)],
        [(8, 7), (6, 6), (6, 5), (4, 4)],
        [(8, 4), (7, 6), (7, 5), (5, 6)],
        [(9, 7), (8, 6), (8, 5), (6, 8)],
        [(11, 15), (9, 6), (9, 5), (6, 4)],
        [(11, 11), (11, 14), (11, 13), (7, 4)],
        [(12, 15), (11, 10), (11, 9), (9, 4)],
        [(12, 11), (12, 14), (12, 13), (11, 12)],
        [(12, 8), (12, 10), (12, 9), (11, 8)],
        [(13, 15), (13, 14), (13, 13), (12, 12)],
        [(13, 11), (13, 10), (13, 9), (13, 12)],
        [(13, 7), (14, 11), (13, 6), (13, 8)],
        [(14, 9), (14, 8), (14, 10), (13, 1)],
        [(14, 7), (14, 6), (14, 5), (14, 4)],
    ],
    [
        [(4, 15), NONE, NONE, NONE],
        [(6, 15), (4, 14), NONE, NONE],
        [(6, 11), (5, 15), (4, 13), NONE],
        [(6, 8), (5, 12), (5, 14), (4, 12)],
        [(7, 15), (5, 10), (5, 11), (4, 11)],
        [(7, 11), (5, 8), (5, 9), (4, 10)],
        [(7, 9), (6, 14), (6, 13), (4, 9)],
        [(7, 8), (6, 10), (6, 9), (4, 8)],
        [(8, 15), (7, 14), (7, 13), (5, 13)],
        [(8, 11), (8, 14), (7, 10), (6, 12)],
        [(9, 15), (8, 10), (8, 13), (7, 12)],
        [(9, 11), (9, 14), (8, 9), (8, 12)],
        [(9, 8), (9, 10), (9, 13), (8, 8)],
        [(10, 13), (9, 7), (9, 9), (9, 12)],
        [(10, 9), (10, 12), (10, 11), (10, 10)],
        [(10, 5), (10, 8), (10, 7), (10, 6)],
        [(10, 1), (10, 4), (10, 3), (10, 2)],
    ],
];

/// coeff_token of a chroma DC block by total_coeff and trailing ones.
pub(super) const COEFF_TOKEN_CHROMA_DC: [[Code; 4]; 5] = [
    [(2, 1), NONE, NONE, NONE],
    [(6, 7), (1, 1), NONE, NONE],
    [(6, 4), (6, 6), (3, 1), NONE],
    [(6, 3), (7, 3), (7, 2), (6, 5)],
    [(6, 2), (8, 3), (8, 2), (7, 0)],
];

/// coeff_token from nC 8 on.
pub(super) fn coeff_token_wide(total: usize, ones: usize) -> Code {
    match total {
        0 => (6, 3),
        _ => (6, ((total - 1) << 2 | ones) as u8),
    }
}

/// total_zeros by total_coeff - 1 and zeros.
pub(super) const TOTAL_ZEROS: [&[Code]; 15] = [
    &[
        (1, 1),
        (3, 3),
        (3, 2),
        (4, 3),
        (4, 2),
        (5, 3),
        (5, 2),
        (6, 3),
        (6, 2),
        (7, 3),
        (7, 2),
        (8, 3),
        (8, 2),
        (9, 3),
        (9, 2),
        (9, 1),
    ],
    &[
        (3, 7),
        (3, 6),
        (3, 5),
        (3, 4),
        (3, 3),
        (4, 5),
        (4, 4),
        (4, 3),
        (4, 2),
        (5, 3),
        (5, 2),
        (6, 3),
        (6, 2),
        (6, 1),
        (6, 0),
    ],
    &[
        (4, 5),
        (3, 7),
        (3, 6),
        (3, 5),
        (4, 4),
        (4, 3),
        (3, 4),
        (3, 3),
        (4, 2),
        (5, 3),
        (5, 2),
        (6, 1),
        (5, 1),
        (6, 0),
    ],
    &[
        (5, 3),
        (3, 7),
        (4, 5),
        (4, 4),
        (3, 6),
        (3, 5),
        (3, 4),
        (4, 3),
        (3, 3),
        (4, 2),
        (5, 2),
        (5, 1),
        (5, 0),
    ],
    &[
        (4, 5),
        (4, 4),
        (4, 3),
        (3, 7),
        (3, 6),
        (3, 5),
        (3, 4),
        (3, 3),
        (4, 2),
        (5, 1),
        (4, 1),
        (5, 0),
    ],
    &[
        (6, 1),
        (5, 1),
        (3, 7),
        (3, 6),
        (3, 5),
        (3, 4),
        (3, 3),
        (3, 2),
        (4, 1),
        (3, 1),
        (6, 0),
    ],
    &[
        (6, 1),
        (5, 1),
        (3, 5),
        (3, 4),
        (3, 3),
        (2, 3),
        (3, 2),
        (4, 1),
        (3, 1),
        (6, 0),
    ],
    &[
        (6, 1),
        (4, 1),
        (5, 1),
        (3, 3),
        (2, 3),
        (2, 2),
        (3, 2),
        (3, 1),
        (6, 0),
    ],
    &[
        (6, 1),
        (6, 0),
        (4, 1),
        (2, 3),
        (2, 2),
        (3, 1),
        (2, 1),
        (5, 1),
    ],
    &[(5, 1), (5, 0), (3, 1), (2, 3), (2, 2), (2, 1), (4, 1)],
    &[(4, 0), (4, 1), (3, 1), (3, 2), (1, 1), (3, 3)],
    &[(4, 0), (4, 1), (2, 1), (1, 1), (3, 1)],
    &[(3, 0), (3, 1), (1, 1), (2, 1)],
    &[(2, 0), (2, 1), (1, 1)],
    &[(1, 0), (1, 1)],
];

/// total_zeros of a chroma DC block by total_coeff - 1 and zeros.
pub(super) const TOTAL_ZEROS_CHROMA_DC: [&[Code]; 3] = [
    &[(1, 1), (2, 1), (3, 1), (3, 0)],
    &[(1, 1), (2, 1), (2, 0)],
    &[(1, 1), (1, 0)],
];

/// run_before by zeros left - 1, of which all above 6 are alike, and run.
pub(super) const RUN_BEFORE: [&[Code]; 7] = [
    &[(1, 1), (1, 0)],
    &[(1, 1), (2, 1), (2, 0)],
    &[(2, 3), (2, 2), (2, 1), (2, 0)],
    &[(2, 3), (2, 2), (2, 1), (3, 1), (3, 0)],
    &[(2, 3), (2, 2), (3, 3), (3, 2), (3, 1), (3, 0)],
    &[(2, 3), (3, 0), (3, 1), (3, 3), (3, 2), (3, 5), (3, 4)],
    &[
        (3, 7),
        (3, 6),
        (3, 5),
        (3, 4),
        (3, 3),
        (3, 2),
        (3, 1),
        (4, 1),
        (5, 1),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 1),
        (10, 1),
        (11, 1),
    ],
];

/// coded_block_pattern of intra blocks by codeNum.
const PATTERN_INTRA: [u8; 48] = [
    47, 31, 15, 0, 23, 27, 29, 30, 7, 11, 13, 14, 39, 43, 45, 46, 16, 3, 5, 10, 12, 19, 21, 26, 28,
    35, 37, 42, 44, 1, 2, 4, 8, 17, 18, 20, 24, 6, 9, 22, 25, 32, 33, 34, 36, 40, 38, 41,
];
/// coded_block_pattern of inter macroblocks by codeNum.
const PATTERN_INTER: [u8; 48] = [
    0, 16, 1, 2, 4, 8, 32, 3, 5, 10, 12, 15, 47, 7, 11, 13, 14, 6, 9, 31, 35, 37, 42, 44, 33, 34,
    36, 40, 39, 43, 45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41,
];

/// codeNum by coded_block_pattern, intra blocks first.
pub(super) const PATTERN_CODE: [[u8; 48]; 2] = [inverse(&PATTERN_INTRA), inverse(&PATTERN_INTER)];

const fn inverse(table: &[u8; 48]) -> [u8; 48] {
    let mut by_pattern = [0; 48];
    let mut code = 0;
    while code < 48 {
        by_pattern[table[code] as usize] = code as u8;
        code += 1;
    }
    by_pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if one code begins with another.
    fn prefix_free(name: &str, codes: impl Iterator<Item = Code>) {
        let codes: Vec<Code> = codes.filter(|&(len, _)| len > 0).collect();
        for (index, &(len, bits)) in codes.iter().enumerate() {
            assert!(u32::from(bits) < 1 << len, "{name}: {len} {bits}");
            for (other, &(longer, other_bits)) in codes.iter().enumerate() {
                let is_prefix = other != index
                    && longer >= len
                    && u32::from(other_bits) >> (longer - len) == u32::from(bits);
                assert!(!is_prefix, "{name}: codes {index} and {other}");
            }
        }
    }

    #[test]
    fn no_code_of_a_table_begins_with_another() {
        for table in COEFF_TOKEN {
            prefix_free("coeff_token", table.into_iter().flatten());
        }
        let chroma = COEFF_TOKEN_CHROMA_DC.into_iter().flatten();
        prefix_free("coeff_token of chroma dc", chroma);
        let wide = (0..17).flat_map(|total: usize| {
            (0..=total.min(3)).map(move |ones| coeff_token_wide(total, ones))
        });
        prefix_free("coeff_token from 8 on", wide);
        for table in TOTAL_ZEROS {
            prefix_free("total_zeros", table.iter().copied());
        }
        for table in TOTAL_ZEROS_CHROMA_DC {
            prefix_free("total_zeros of chroma dc", table.iter().copied());
        }
        for table in RUN_BEFORE {
            prefix_free("run_before", table.iter().copied());
        }
    }

    #[test]
    fn every_token_and_every_number_of_zeros_has_a_code() {
        for table in COEFF_TOKEN {
            for (total, row) in table.iter().enumerate() {
                let codes = row.iter().filter(|(len, _)| *len > 0).count();
                assert_eq!(codes, total.min(3) + 1);
            }
        }
        for (index, table) in TOTAL_ZEROS.iter().enumerate() {
            assert_eq!(table.len(), 16 - index);
        }
    }

    #[test]
    fn every_pattern_has_one_code() {
        for (table, inverse) in [PATTERN_INTRA, PATTERN_INTER].iter().zip(PATTERN_CODE) {
            for (code, &pattern) in table.iter().enumerate() {
                assert_eq!(usize::from(inverse[usize::from(pattern)]), code);
            }
        }
    }
}
