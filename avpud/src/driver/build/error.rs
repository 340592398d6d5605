//! Why a command list could not be made.

use crate::hw::cmdlist::ListError;
use crate::hw::layout::LayoutError;
use crate::mem::AddressError;
use crate::picture::PictureKind;
use core::fmt;

/// Why a command list could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A value does not fit the list.
    List(ListError),
    /// A buffer that does not exist, or a size that does not fit.
    Layout(LayoutError),
    /// An address does not fit in 32 bits.
    Address(AddressError),
    /// A group of pictures so long that order counts do not fit in 32 bits.
    OrderCount {
        /// Index of the picture.
        index: u32,
    },
    /// An IDR that is not the first of its group of pictures, or a P picture that is.
    Kind {
        /// What the job says it is.
        kind: PictureKind,
        /// Its index.
        index: u32,
    },
    /// A source range that is not as long as the picture.
    Source {
        /// Bytes found.
        len_bytes: u32,
        /// Bytes expected.
        expected_bytes: u32,
    },
}

impl From<ListError> for BuildError {
    fn from(error: ListError) -> Self {
        Self::List(error)
    }
}

impl From<LayoutError> for BuildError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl From<AddressError> for BuildError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::List(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::Address(error) => error.fmt(f),
            Self::OrderCount { index } => {
                write!(f, "expected an order count of 32 bits, found twice {index}")
            }
            Self::Kind { kind, index } => {
                write!(
                    f,
                    "expected an idr at index 0 and nowhere else, found {kind:?} at {index}"
                )
            }
            Self::Source {
                len_bytes,
                expected_bytes,
            } => {
                write!(
                    f,
                    "expected a source of {expected_bytes} bytes, found {len_bytes}"
                )
            }
        }
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::List(error) => Some(error),
            Self::Layout(error) => Some(error),
            Self::Address(error) => Some(error),
            Self::OrderCount { .. } | Self::Kind { .. } | Self::Source { .. } => None,
        }
    }
}
