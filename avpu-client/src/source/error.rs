//! What can be wrong with a picture source.

use super::PictureSize;
use std::fmt;
use std::io;

/// Why a source has no next picture.
#[derive(Debug)]
pub enum SourceError {
    /// Reading failed.
    Io(io::Error),
    /// The input is not a stream of pictures that can be encoded.
    Format(FormatError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read pictures: {error}"),
            Self::Format(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Format(error) => Some(error),
        }
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FormatError> for SourceError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// What is wrong with the bytes or the geometry of a picture stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// Not `WIDTHxHEIGHT`.
    SizeText(String),
    /// Width or height is odd or zero.
    SizeOdd {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// Width or height is above 16 bits.
    SizeLarge {
        /// Width found.
        width: u32,
        /// Height found.
        height: u32,
    },
    /// A picture buffer of one size met a source of another.
    SizeDiffers {
        /// What the source yields.
        expected: PictureSize,
        /// What the buffer holds.
        found: PictureSize,
    },
    /// A layout that cannot hold the picture, or is larger than any picture.
    Layout {
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// The stream does not begin with the magic of Y4M.
    NotY4m,
    /// The stream or picture header is longer than any real one.
    HeaderLong {
        /// Bytes looked at.
        limit_bytes: usize,
    },
    /// A header parameter cannot be understood.
    HeaderParameter(String),
    /// The header lacks width or height.
    HeaderIncomplete {
        /// Letter of the missing parameter.
        missing: char,
    },
    /// Not 8 bit 4:2:0.
    PixelFormat(String),
    /// Not progressive.
    Interlaced(char),
    /// A picture does not begin with `FRAME`.
    FrameMarker {
        /// Which picture, from 0.
        picture: u64,
    },
    /// The input ended inside a picture or header.
    Truncated {
        /// Which picture, from 0.
        picture: u64,
        /// Bytes it should have.
        expected_bytes: usize,
        /// Bytes that came.
        found_bytes: usize,
    },
    /// The input is empty.
    Empty,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SizeText(found) => {
                write!(f, "expected a size like 1280x720, found \"{found}\"")
            }
            Self::SizeOdd { width, height } => write!(
                f,
                "expected an even width and height, found {width}x{height}; with ffmpeg add \
                 -vf \"crop=trunc(iw/2)*2:trunc(ih/2)*2\""
            ),
            Self::SizeLarge { width, height } => {
                write!(f, "expected a size up to 65534x65534, found {width}x{height}")
            }
            Self::SizeDiffers { expected, found } => {
                write!(f, "expected a buffer for {expected} pictures, found one for {found}")
            }
            Self::Layout { rule } => write!(f, "unusable picture layout: {rule}"),
            Self::NotY4m => f.write_str(
                "expected a Y4M stream (beginning with YUV4MPEG2), found something else; \
                 with ffmpeg add -pix_fmt yuv420p -f yuv4mpegpipe, or say NV12:path,size=WxH for raw pictures",
            ),
            Self::HeaderLong { limit_bytes } => {
                write!(f, "expected the Y4M header to end within {limit_bytes} bytes")
            }
            Self::HeaderParameter(found) => {
                write!(f, "expected a Y4M header parameter, found \"{found}\"")
            }
            Self::HeaderIncomplete { missing } => {
                write!(f, "expected the Y4M header to have a parameter {missing}, found none")
            }
            Self::PixelFormat(found) => write!(
                f,
                "expected 8 bit 4:2:0 pictures, found Y4M format C{found}; with ffmpeg add -pix_fmt yuv420p"
            ),
            Self::Interlaced(found) => write!(
                f,
                "expected progressive pictures, found Y4M interlacing I{found}; with ffmpeg add -vf yadif"
            ),
            Self::FrameMarker { picture } => {
                write!(f, "expected FRAME before picture {picture}, found something else")
            }
            Self::Truncated {
                picture,
                expected_bytes,
                found_bytes,
            } => write!(
                f,
                "expected {expected_bytes} bytes of picture {picture}, the input ended after {found_bytes}"
            ),
            Self::Empty => f.write_str("expected pictures, the input is empty"),
        }
    }
}

impl std::error::Error for FormatError {}
