//! What the core writes back into a command list when a picture is done.
//!
//! The words 0x41 to 0x5D of the submitted list. Only the byte count and the squared error are proven
//! by use on cameras; the other names are matched to a relative of this encoder. All of it is hardware
//! output and treated as untrusted: a value here is a claim, and [`Status::outcome`] judges it.

use core::fmt;

/// Number of the first status word.
pub const FIRST_WORD: u8 = 0x41;
/// How many status words there are.
pub const WORDS: usize = 29;

/// The status words of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    words: [u32; WORDS],
}

/// What the status words say about the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The core has not written the byte count: not finished, or the interrupt was not about this.
    Pending,
    /// The slice data is complete.
    Done {
        /// Bytes of slice data.
        len_bytes: u32,
    },
    /// The picture is lost.
    Failed(Failure),
}

/// Why a picture is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The byte count is a fill pattern that the core writes when it gave up.
    ErrorFill {
        /// The word found.
        word: u32,
    },
    /// The slice data filled its budget, or claims to be larger.
    Overflow {
        /// Bytes the core claims.
        len_bytes: u32,
        /// Bytes it was allowed.
        budget_bytes: u32,
    },
}

/// Counts for rate control and statistics, as the core claims them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// A macroblock was over its bit bound and sent as plain samples.
    pub macroblock_overflow: bool,
    /// Arithmetic coder decisions.
    pub bins: u32,
    /// Bits of residual.
    pub residual_bits: u32,
    /// Intra coded blocks, 8x8.
    pub intra_blocks: u32,
    /// Skipped blocks, 8x8.
    pub skipped_blocks: u32,
    /// All blocks, 8x8.
    pub total_blocks: u32,
    /// Sum of the quantisers of all coding units.
    pub qp_sum: u32,
    /// Finest quantiser used.
    pub qp_min: u8,
    /// Coarsest quantiser used.
    pub qp_max: u8,
    /// Sum of squared luma errors of the reconstruction.
    pub luma_sse: u64,
}

/// Bytes that, three times over, mark a failed picture.
const ERROR_FILLS: [u8; 5] = [0x10, 0x80, 0x81, 0x82, 0x99];
const LEN_MASK: u32 = 0x3fff_ffff;
const BURST_BYTES: u32 = 32;

impl Status {
    /// The status made of the words from [`FIRST_WORD`] on.
    pub const fn new(words: [u32; WORDS]) -> Self {
        Self { words }
    }

    /// What became of a picture that was allowed `budget_bytes` of slice data.
    pub fn outcome(&self, budget_bytes: u32) -> Outcome {
        let word = self.word(0x41);
        if word == 0 {
            return Outcome::Pending;
        }
        let [low, middle, high, _] = word.to_le_bytes();
        if low == middle && middle == high && ERROR_FILLS.contains(&low) {
            return Outcome::Failed(Failure::ErrorFill { word });
        }
        let len_bytes = word & LEN_MASK;
        // The core works in bursts and stops one short of the budget, so a picture that reaches the
        // last burst may have lost its end.
        let limit = (budget_bytes / BURST_BYTES).saturating_sub(1) * BURST_BYTES;
        if len_bytes.div_ceil(BURST_BYTES) >= limit / BURST_BYTES {
            return Outcome::Failed(Failure::Overflow {
                len_bytes,
                budget_bytes,
            });
        }
        if len_bytes == 0 {
            return Outcome::Pending;
        }
        Outcome::Done { len_bytes }
    }

    /// The counts, as claimed.
    pub fn counts(&self) -> Counts {
        let [qp_min, qp_max, ..] = self.word(0x4e).to_le_bytes();
        let units = [(0x48, 1), (0x49, 4), (0x4a, 16)];
        let blocks = units
            .into_iter()
            .fold(0u32, |sum, (word, each)| {
                sum.saturating_add(self.word(word).saturating_mul(each))
            })
            .saturating_add((self.word(0x4b) & 0xffff).saturating_mul(64));
        Counts {
            macroblock_overflow: self.word(0x41) >> 31 != 0,
            bins: self.word(0x42),
            residual_bits: self.word(0x43),
            intra_blocks: self.word(0x45),
            skipped_blocks: self.word(0x47),
            total_blocks: blocks,
            qp_sum: self.word(0x4d) & 0x0fff_ffff,
            qp_min,
            qp_max,
            luma_sse: u64::from(self.word(0x56)) << 32 | u64::from(self.word(0x57)),
        }
    }

    fn word(&self, number: u8) -> u32 {
        self.words[usize::from(number - FIRST_WORD)]
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ErrorFill { word } => {
                write!(
                    f,
                    "expected a byte count, found the error fill 0x{word:08x}"
                )
            }
            Self::Overflow {
                len_bytes,
                budget_bytes,
            } => {
                write!(
                    f,
                    "expected slice data below {budget_bytes} bytes, found {len_bytes}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(word_41: u32) -> Status {
        let mut words = [0; WORDS];
        words[0] = word_41;
        Status::new(words)
    }

    #[test]
    fn a_picture_is_pending_until_the_byte_count_is_written() {
        assert_eq!(status(0).outcome(4096), Outcome::Pending);
        assert_eq!(status(0x8000_0000).outcome(4096), Outcome::Pending);
        assert_eq!(status(100).outcome(4096), Outcome::Done { len_bytes: 100 });
    }

    #[test]
    fn every_error_fill_fails_the_picture_whatever_the_top_byte() {
        for fill in [
            0x0010_1010,
            0x0080_8080,
            0x1010_1010,
            0x8181_8181,
            0x8282_8282,
            0x9999_9999,
        ] {
            let outcome = status(fill).outcome(u32::MAX);
            assert_eq!(outcome, Outcome::Failed(Failure::ErrorFill { word: fill }));
        }
        assert_eq!(
            status(0x0011_1111).outcome(u32::MAX),
            Outcome::Done {
                len_bytes: 0x11_1111
            }
        );
    }

    #[test]
    fn a_count_that_reaches_the_last_burst_of_the_budget_is_an_overflow() {
        let budget = 0x460;
        assert_eq!(
            status(0x420).outcome(budget),
            Outcome::Done { len_bytes: 0x420 }
        );
        for len_bytes in [0x421, 0x440, 0x460, 0x3fff_ffff] {
            assert_eq!(
                status(len_bytes).outcome(budget),
                Outcome::Failed(Failure::Overflow {
                    len_bytes,
                    budget_bytes: budget
                })
            );
        }
        assert!(matches!(
            status(1).outcome(0),
            Outcome::Failed(Failure::Overflow { .. })
        ));
    }

    #[test]
    fn counts_of_garbage_do_not_overflow() {
        let counts = Status::new([u32::MAX; WORDS]).counts();
        assert_eq!(counts.total_blocks, u32::MAX);
        assert_eq!(counts.luma_sse, u64::MAX);
        assert!(counts.macroblock_overflow);
    }

    #[test]
    fn counts_are_taken_from_their_words() {
        let mut words = [0; WORDS];
        words[0x48 - 0x41] = 3;
        words[0x49 - 0x41] = 5;
        words[0x4d - 0x41] = 0xf000_0123;
        words[0x4e - 0x41] = 0x0001_2d10;
        words[0x56 - 0x41] = 1;
        words[0x57 - 0x41] = 2;
        let counts = Status::new(words).counts();
        assert_eq!(counts.total_blocks, 23);
        assert_eq!(counts.qp_sum, 0x123);
        assert_eq!((counts.qp_min, counts.qp_max), (0x10, 0x2d));
        assert_eq!(counts.luma_sse, 0x1_0000_0002);
    }
}
