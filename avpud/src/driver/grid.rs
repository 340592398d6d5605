//! The groups of macroblocks by which the core controls the rate inside a picture.
//!
//! A group is a run of macroblocks of one row. A grid that does not tile the picture makes the core wait
//! for ever, so the grid comes from the size alone and is never configured.

use crate::picture::{BitRate, FrameRate, PictureBudget, PictureSize};

/// How a picture is divided into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    group_size: u32,
    columns: u32,
    macroblocks: u32,
}

/// What a group may cost, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBits {
    /// In an IDR.
    pub idr: u32,
    /// In a P picture.
    pub p: u32,
    /// In the long run.
    pub mean: u32,
}

/// The target goes into 24 bits, and in units of 128 bits into another 16.
const TARGET_MAX_BITS: u32 = (1 << 23) - 1;
const MEAN_MAX_BITS: u32 = (1 << 24) - 1;
/// Groups a row and a picture may have, exclusive.
const COLUMNS_LIMIT: u32 = 65;
const GROUPS_LIMIT: u32 = 1024;
/// Sizes of a group that are tried before the whole row is one.
const SIZE_MIN: u32 = 5;
const SIZE_MAX: u32 = 32;

impl Grid {
    /// The grid of a picture of this size: the smallest groups that divide a row and are few enough.
    pub fn new(size: PictureSize) -> Self {
        let (columns, rows) = (size.mb_columns(), size.mb_rows());
        let largest = if columns > SIZE_MAX {
            SIZE_MAX
        } else {
            columns - 1
        };
        let fits = |&group: &u32| {
            let across = columns / group;
            columns.is_multiple_of(group) && across < COLUMNS_LIMIT && rows * across < GROUPS_LIMIT
        };
        let group_size = (SIZE_MIN..=largest).find(fits).unwrap_or(columns);
        Self {
            group_size,
            columns: columns / group_size,
            macroblocks: size.macroblocks(),
        }
    }

    /// Macroblocks in a group.
    pub fn group_size(&self) -> u32 {
        self.group_size
    }

    /// Groups in a row of macroblocks.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// What a group may cost at these rates. P pictures aim at 85 % of the mean, as recorded; an IDR
    /// at what lands within one percent of the three recorded values and grows with the group of
    /// pictures. These are aims only: any value encodes correctly.
    pub fn bits(
        &self,
        target: BitRate,
        max: BitRate,
        frame_rate: FrameRate,
        gop_length: u32,
    ) -> GroupBits {
        let idr_share = 2 * u128::from(gop_length) + 5;
        let most = (self.group_size * GROUP_BITS_PER_MACROBLOCK_MAX).min(TARGET_MAX_BITS);
        GroupBits {
            idr: self.share(target, frame_rate, idr_share, 7).min(most),
            p: self.share(target, frame_rate, 17, 20).min(TARGET_MAX_BITS),
            mean: self.share(max, frame_rate, 1, 1).min(MEAN_MAX_BITS),
        }
    }

    /// What a group may cost in a picture with this budget.
    pub fn bits_within(&self, budget: PictureBudget) -> GroupBits {
        let share = |bits: u32| {
            let of_group = u64::from(bits) * u64::from(self.group_size);
            u32::try_from(of_group / u64::from(self.macroblocks)).unwrap_or(u32::MAX)
        };
        let most = (self.group_size * GROUP_BITS_PER_MACROBLOCK_MAX).min(TARGET_MAX_BITS);
        // Nobody has seen a device that is told to aim at nothing.
        let aim = share(budget.aim_bits).clamp(1, most);
        GroupBits {
            idr: aim,
            p: aim,
            mean: share(budget.mean_bits).min(MEAN_MAX_BITS),
        }
    }

    /// `rate * num / den`, for one group of one picture.
    fn share(&self, rate: BitRate, frame_rate: FrameRate, num: u128, den: u128) -> u32 {
        let of_rate = u128::from(rate.bps()) * u128::from(self.group_size);
        let per_picture = u128::from(self.macroblocks) * u128::from(frame_rate.num());
        let bits = of_rate * u128::from(frame_rate.den()) * num / (per_picture * den);
        u32::try_from(bits).unwrap_or(u32::MAX)
    }
}

/// A macroblock never costs more than its plain samples.
const GROUP_BITS_PER_MACROBLOCK_MAX: u32 = 3200;

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: u32, height: u32) -> Grid {
        Grid::new(PictureSize::new(width, height).expect("a size"))
    }

    fn bits(width: u32, height: u32, target: u32, max: u32, fps: u32, gop: u32) -> GroupBits {
        grid(width, height).bits(
            BitRate::new(target).expect("a rate"),
            BitRate::new(max).expect("a rate"),
            FrameRate::new(fps, 1).expect("a frame rate"),
            gop,
        )
    }

    #[test]
    fn groups_are_those_of_the_recordings() {
        let table = [
            (640, 360, 5, 8),
            (1280, 720, 5, 16),
            (1920, 1080, 8, 15),
            (2304, 1296, 12, 12),
            (2560, 1440, 16, 10),
            (2592, 1944, 27, 6),
        ];
        for (width, height, group_size, columns) in table {
            let grid = grid(width, height);
            assert_eq!((grid.group_size(), grid.columns()), (group_size, columns));
        }
    }

    #[test]
    fn every_grid_tiles_its_picture_and_fits_its_fields() {
        for columns in 1..=256 {
            for rows in 1..=256 {
                let grid = grid(columns * 16, rows * 16);
                assert_eq!(
                    grid.group_size() * grid.columns(),
                    columns,
                    "{columns}x{rows}"
                );
                assert!(grid.columns() * rows < 1024, "{columns}x{rows}");
                assert!(grid.columns() * 4 < 255, "{columns}x{rows}");
            }
        }
    }

    #[test]
    fn targets_are_those_of_the_recordings() {
        let main = bits(1920, 1080, 2_000_000, 2_666_666, 25, 50);
        assert_eq!((main.p, main.mean), (0x42, 0x68));
        let sub = bits(640, 360, 500_000, 500_000, 25, 50);
        assert_eq!((sub.p, sub.mean), (0x5c, 0x6c));
        let faster = bits(640, 360, 1_000_000, 1_333_333, 25, 25);
        assert_eq!((faster.p, faster.mean), (0xb8, 0x121));
        assert_eq!(bits(1920, 1080, 3_000_000, 3_000_000, 25, 50).p, 0x64);
        assert_eq!(bits(1920, 1080, 3_000_000, 3_000_000, 30, 50).p, 0x53);
        for (ours, recorded) in [(main.idr, 0x49c), (sub.idr, 0x664), (faster.idr, 0x6bc)] {
            assert!(
                ours.abs_diff(recorded) * 100 <= recorded,
                "{ours} is far from {recorded}"
            );
        }
    }

    #[test]
    fn a_budget_is_shared_by_all_macroblocks() {
        let budget = |aim_bits, mean_bits| {
            grid(640, 360).bits_within(PictureBudget {
                aim_bits,
                mean_bits,
            })
        };
        // 40 by 23 macroblocks in groups of 5.
        assert_eq!(
            budget(18_400, 9_200),
            GroupBits {
                idr: 100,
                p: 100,
                mean: 50
            }
        );
        assert_eq!(budget(1, 1).p, 1);
        let most = budget(u32::MAX, u32::MAX);
        assert_eq!((most.idr, most.p), (16_000, 16_000));
        assert!(most.mean <= MEAN_MAX_BITS);
    }

    #[test]
    fn rates_beyond_reason_still_fit_their_fields() {
        let bits = bits(16, 16, u32::MAX, u32::MAX, 1, u32::MAX);
        assert_eq!(
            bits,
            GroupBits {
                idr: 3200,
                p: TARGET_MAX_BITS,
                mean: MEAN_MAX_BITS
            }
        );
    }
}
