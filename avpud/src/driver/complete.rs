//! From what the hardware wrote back to what became of the job.
//!
//! The status words are claims of hardware that may have failed. A list that was not written back is no completion,
//! whatever interrupt came; a known fill pattern or a size beyond the budget is a failed picture. Only the size of a
//! good picture decides anything; the counts are statistics and may be nonsense.

use crate::hw::status::{Counts, Failure, Outcome, Status};
use crate::job::{EncodedPicture, JobFailure, JobOutcome, PictureStats};
use crate::mem::addr::ByteLen;

/// What became of a job whose slice data had room for `budget` bytes; `None` as long as nothing was written back.
pub(super) fn judge(status: &Status, budget: ByteLen) -> Option<JobOutcome> {
    match status.outcome(budget.value()) {
        Outcome::Pending => None,
        Outcome::Done { len_bytes } => Some(JobOutcome::Encoded(EncodedPicture {
            payload_len: ByteLen::new(len_bytes),
            stats: stats(status.counts()),
        })),
        Outcome::Failed(Failure::ErrorFill { word }) => {
            Some(JobOutcome::Failed(JobFailure::ErrorFill { status: word }))
        }
        Outcome::Failed(Failure::Overflow {
            len_bytes,
            budget_bytes,
        }) => Some(JobOutcome::Failed(JobFailure::Overflow {
            bytes: len_bytes,
            budget: budget_bytes,
        })),
    }
}

fn stats(counts: Counts) -> PictureStats {
    PictureStats {
        sse_luma: counts.luma_sse,
        qp_sum: counts.qp_sum,
        qp_min: counts.qp_min,
        qp_max: counts.qp_max,
        intra_8x8: counts.intra_blocks,
        skipped_8x8: counts.skipped_blocks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::status::{FIRST_WORD, WORDS};

    fn status(words: &[(u8, u32)]) -> Status {
        let mut all = [0; WORDS];
        for (number, value) in words {
            all[usize::from(number - FIRST_WORD)] = *value;
        }
        Status::new(all)
    }

    const BUDGET: ByteLen = ByteLen::new(4096);

    #[test]
    fn nothing_written_back_is_no_completion_whatever_else_is_there() {
        assert_eq!(judge(&status(&[]), BUDGET), None);
        assert_eq!(judge(&status(&[(0x57, 99), (0x4d, 7)]), BUDGET), None);
    }

    #[test]
    fn a_size_over_the_budget_is_an_overflow_and_never_a_payload() {
        for bytes in [4096, 4097, 0x3fff_ffff] {
            assert_eq!(
                judge(&status(&[(0x41, bytes)]), BUDGET),
                Some(JobOutcome::Failed(JobFailure::Overflow {
                    bytes,
                    budget: 4096
                }))
            );
        }
    }

    #[test]
    fn an_error_fill_keeps_its_word() {
        assert_eq!(
            judge(&status(&[(0x41, 0x0080_8080)]), BUDGET),
            Some(JobOutcome::Failed(JobFailure::ErrorFill {
                status: 0x0080_8080
            }))
        );
    }

    #[test]
    fn statistics_come_along() {
        let words = [
            (0x41, 100),
            (0x45, 5),
            (0x47, 6),
            (0x4d, 77),
            (0x4e, 0x1_2a1a),
            (0x57, 9),
        ];
        let Some(JobOutcome::Encoded(picture)) = judge(&status(&words), BUDGET) else {
            panic!("expected a picture");
        };
        assert_eq!(picture.payload_len, ByteLen::new(100));
        assert_eq!(
            picture.stats,
            PictureStats {
                sse_luma: 9,
                qp_sum: 77,
                qp_min: 0x1a,
                qp_max: 0x2a,
                intra_8x8: 5,
                skipped_8x8: 6
            }
        );
    }
}
