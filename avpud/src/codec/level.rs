//! The H.264 level of a stream (standard, annex A, table A-1).
//!
//! A level promises a decoder how much it must be able to do. The smallest one is chosen that holds for size, rate, bit
//! rate, decoder's buffer and motion vectors. A stream that says nothing of its buffer has to fit the largest one of
//! its level (A.3.1, E.2.2), and rate control keeps one of three seconds. The encoder searches 224 lines up and down,
//! which no level below 2.1 allows; so nothing below 2.1 is ever said, and level 1b does not occur.

use core::fmt;

use crate::picture::{BitRate, FrameRate, PictureSize, Profile};

/// `level_idc` of a stream: ten times the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

/// How large the bit rate may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRate {
    /// What rate control keeps, with a decoder's buffer of [`BUFFER_S`]. Where even the highest level has no such
    /// buffer, the highest one is said: such rates are far beyond what the encoder's pictures come to.
    Kept(BitRate),
    /// No picture is larger than this; nothing else bounds the rate. Where even the highest level
    /// allows less, the highest one is said: a stream of such pictures only would be more than any
    /// level, and one picture of them is not.
    LargestPicture {
        /// Bytes of the largest picture.
        len_bytes: u32,
    },
}

/// A stream that no level allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// Too many macroblocks in a picture, or too long a side.
    Size {
        /// The size.
        size: PictureSize,
    },
    /// Too many macroblocks a second.
    Rate {
        /// Macroblocks a second, rounded up.
        macroblocks_per_s: u64,
    },
    /// Too many bits a second.
    BitRate {
        /// Bits a second.
        bps: u64,
        /// What the highest level allows.
        allowed_bps: u64,
    },
}

struct Limits {
    idc: u8,
    macroblocks_per_s: u64,
    macroblocks: u32,
    rate_kbps: u64,
    /// Of the decoder's buffer.
    buffer_kbits: u64,
}

/// Seconds of the largest rate that a decoder's buffer holds.
pub const BUFFER_S: u64 = 3;

/// From the lowest level that allows the encoder's vertical search.
const TABLE: [Limits; 11] = [
    Limits {
        idc: 21,
        macroblocks_per_s: 19_800,
        macroblocks: 792,
        rate_kbps: 4_000,
        buffer_kbits: 4_000,
    },
    Limits {
        idc: 22,
        macroblocks_per_s: 20_250,
        macroblocks: 1_620,
        rate_kbps: 4_000,
        buffer_kbits: 4_000,
    },
    Limits {
        idc: 30,
        macroblocks_per_s: 40_500,
        macroblocks: 1_620,
        rate_kbps: 10_000,
        buffer_kbits: 10_000,
    },
    Limits {
        idc: 31,
        macroblocks_per_s: 108_000,
        macroblocks: 3_600,
        rate_kbps: 14_000,
        buffer_kbits: 14_000,
    },
    Limits {
        idc: 32,
        macroblocks_per_s: 216_000,
        macroblocks: 5_120,
        rate_kbps: 20_000,
        buffer_kbits: 20_000,
    },
    Limits {
        idc: 40,
        macroblocks_per_s: 245_760,
        macroblocks: 8_192,
        rate_kbps: 20_000,
        buffer_kbits: 25_000,
    },
    Limits {
        idc: 41,
        macroblocks_per_s: 245_760,
        macroblocks: 8_192,
        rate_kbps: 50_000,
        buffer_kbits: 62_500,
    },
    Limits {
        idc: 42,
        macroblocks_per_s: 522_240,
        macroblocks: 8_704,
        rate_kbps: 50_000,
        buffer_kbits: 62_500,
    },
    Limits {
        idc: 50,
        macroblocks_per_s: 589_824,
        macroblocks: 22_080,
        rate_kbps: 135_000,
        buffer_kbits: 135_000,
    },
    Limits {
        idc: 51,
        macroblocks_per_s: 983_040,
        macroblocks: 36_864,
        rate_kbps: 240_000,
        buffer_kbits: 240_000,
    },
    Limits {
        idc: 52,
        macroblocks_per_s: 2_073_600,
        macroblocks: 36_864,
        rate_kbps: 240_000,
        buffer_kbits: 240_000,
    },
];
const HIGHEST: &Limits = &TABLE[TABLE.len() - 1];

impl Level {
    /// The lowest level that allows this stream.
    pub fn new(
        size: PictureSize,
        frame_rate: FrameRate,
        profile: Profile,
        rate: StreamRate,
    ) -> Result<Self, LevelError> {
        let per_s = |amount: u64| {
            (amount * u64::from(frame_rate.num())).div_ceil(u64::from(frame_rate.den()))
        };
        let macroblocks_per_s = per_s(u64::from(size.macroblocks()));
        let (bps, buffer_bits) = match rate {
            StreamRate::Kept(rate) => (
                u64::from(rate.bps()),
                Some(u64::from(rate.bps()) * BUFFER_S),
            ),
            // Four gigabytes a picture and four thousand million pictures a second are less than 64 bits
            // hold after the first factor of eight only when they are saturated.
            StreamRate::LargestPicture { len_bytes } => {
                let bits = u64::from(len_bytes).saturating_mul(8);
                let rate = bits.saturating_mul(u64::from(frame_rate.num()));
                (rate.div_ceil(u64::from(frame_rate.den())), None)
            }
        };
        let fitting = TABLE.iter().find(|limits| {
            limits.hold_size(size)
                && macroblocks_per_s <= limits.macroblocks_per_s
                && bps <= limits.rate_bps(profile)
                && buffer_bits.is_none_or(|bits| bits <= limits.buffer_bits(profile))
        });
        match fitting {
            Some(limits) => Ok(Self(limits.idc)),
            None if !HIGHEST.hold_size(size) => Err(LevelError::Size { size }),
            None if macroblocks_per_s > HIGHEST.macroblocks_per_s => {
                Err(LevelError::Rate { macroblocks_per_s })
            }
            None if buffer_bits.is_some() && bps > HIGHEST.rate_bps(profile) => {
                Err(LevelError::BitRate {
                    bps,
                    allowed_bps: HIGHEST.rate_bps(profile),
                })
            }
            None => Ok(Self(HIGHEST.idc)),
        }
    }

    /// `level_idc` as in the sequence parameter set.
    pub fn idc(self) -> u8 {
        self.0
    }
}

impl Limits {
    /// A side may be as long as the side of a square eight times the size.
    fn hold_size(&self, size: PictureSize) -> bool {
        let side_fits = |side: u32| side * side <= self.macroblocks * 8;
        size.macroblocks() <= self.macroblocks
            && side_fits(size.mb_columns())
            && side_fits(size.mb_rows())
    }

    fn rate_bps(&self, profile: Profile) -> u64 {
        self.rate_kbps * bits_per_kbit(profile)
    }

    fn buffer_bits(&self, profile: Profile) -> u64 {
        self.buffer_kbits * bits_per_kbit(profile)
    }
}

/// The table's rates and buffers are those of Baseline and Main; High may have a quarter more.
const fn bits_per_kbit(profile: Profile) -> u64 {
    match profile {
        Profile::Baseline | Profile::Main => 1000,
        Profile::High => 1250,
    }
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { size } => write!(
                f,
                "expected at most {} macroblocks in a picture, found {}x{} pixels",
                HIGHEST.macroblocks,
                size.width(),
                size.height()
            ),
            Self::Rate { macroblocks_per_s } => write!(
                f,
                "expected at most {} macroblocks a second, found {macroblocks_per_s}",
                HIGHEST.macroblocks_per_s
            ),
            Self::BitRate { bps, allowed_bps } => {
                write!(f, "expected at most {allowed_bps} bit/s, found {bps}")
            }
        }
    }
}

impl core::error::Error for LevelError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(
        (width, height): (u32, u32),
        (num, den): (u32, u32),
        rate: StreamRate,
    ) -> Result<u8, LevelError> {
        let size = PictureSize::new(width, height).expect("a size");
        let frame_rate = FrameRate::new(num, den).expect("a frame rate");
        Level::new(size, frame_rate, Profile::High, rate).map(Level::idc)
    }

    fn kept(bps: u32) -> StreamRate {
        StreamRate::Kept(BitRate::new(bps).expect("a rate"))
    }

    #[test]
    fn the_level_follows_size_rate_and_bit_rate() {
        assert_eq!(level((176, 144), (15, 1), kept(64_000)), Ok(21));
        assert_eq!(level((640, 360), (15, 1), kept(500_000)), Ok(22));
        assert_eq!(level((640, 360), (25, 1), kept(1_000_000)), Ok(30));
        assert_eq!(level((1280, 720), (30, 1), kept(2_000_000)), Ok(31));
        assert_eq!(level((1920, 1080), (30, 1), kept(4_000_000)), Ok(40));
        assert_eq!(level((1920, 1080), (30_001, 1000), kept(4_000_000)), Ok(40));
        assert_eq!(level((1920, 1080), (31, 1), kept(4_000_000)), Ok(42));
        assert_eq!(level((2304, 1296), (25, 1), kept(4_000_000)), Ok(50));
    }

    /// Three seconds of the rate have to fit the buffer of the level: 17.5 million bits of 3.1 in High.
    #[test]
    fn the_level_follows_the_decoders_buffer() {
        let at = |bps| level((1280, 720), (30, 1), kept(bps));
        assert_eq!(at(5_833_333), Ok(31));
        assert_eq!(at(5_833_334), Ok(32));
        assert_eq!(at(8_333_334), Ok(40));
        assert_eq!(at(10_416_667), Ok(41));
        assert_eq!(at(26_041_667), Ok(50));
        let main = |bps| {
            let size = PictureSize::new(640, 360).expect("a size");
            let frame_rate = FrameRate::new(15, 1).expect("a frame rate");
            Level::new(size, frame_rate, Profile::Main, kept(bps)).map(Level::idc)
        };
        assert_eq!(main(1_333_333), Ok(22));
        assert_eq!(main(1_333_334), Ok(30));
        // Its rate is allowed, three seconds of it are more than any level has.
        assert_eq!(at(300_000_000), Ok(52));
        assert!(matches!(at(300_000_001), Err(LevelError::BitRate { .. })));
    }

    #[test]
    fn nothing_below_two_one_is_said_and_never_one_b() {
        for (width, height) in [(16, 16), (128, 96), (176, 144)] {
            for fps in 1..15 {
                assert_eq!(level((width, height), (fps, 1), kept(1)), Ok(21));
            }
        }
    }

    #[test]
    fn a_side_too_long_for_a_level_takes_a_higher_one() {
        // 150 macroblocks, but 2400 pixels wide: more than the square root of 8 * 1620.
        assert_eq!(level((2400, 16), (10, 1), kept(64_000)), Ok(31));
    }

    #[test]
    fn a_fixed_quantiser_is_rated_by_its_largest_picture() {
        let nhd = StreamRate::LargestPicture {
            len_bytes: 920 * 416,
        };
        assert_eq!(level((640, 360), (25, 1), nhd), Ok(50));
        let hd = StreamRate::LargestPicture {
            len_bytes: 8160 * 416,
        };
        assert_eq!(level((1920, 1080), (25, 1), hd), Ok(52));
        let absurd = StreamRate::LargestPicture {
            len_bytes: u32::MAX,
        };
        assert_eq!(level((16, 16), (100, 1), absurd), Ok(52));
    }

    #[test]
    fn what_no_level_allows_is_refused() {
        let hd = (1920, 1080);
        assert!(matches!(
            level((4096, 4096), (1, 1), kept(1)),
            Err(LevelError::Size { .. })
        ));
        assert!(matches!(
            level(hd, (300, 1), kept(1)),
            Err(LevelError::Rate { .. })
        ));
        assert!(matches!(
            level(hd, (u32::MAX, 1), kept(1)),
            Err(LevelError::Rate { .. })
        ));
        assert!(matches!(
            level(hd, (25, 1), kept(u32::MAX)),
            Err(LevelError::BitRate { .. })
        ));
    }
}
