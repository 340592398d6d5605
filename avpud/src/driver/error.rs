//! What can go wrong in the driver.
//!
//! A picture that the hardware could not encode is not among this: it is a
//! [`JobOutcome`](crate::job::JobOutcome). These are refusals before the hardware was asked, and failing accesses.

use super::build::BuildError;
use super::sequence::SequenceError;
use crate::device::error::DeviceError;
use crate::hw::layout::LayoutError;
use crate::job::{ChannelKey, JobId};
use crate::mem::addr::AddressError;
use core::fmt;

/// A request to the driver failed.
#[derive(Debug)]
pub enum DriverError {
    /// A register or memory access failed.
    Device(DeviceError),
    /// A channel's memory cannot hold its objects.
    Layout(LayoutError),
    /// A place that does not lie where it must.
    Address(AddressError),
    /// A command list cannot be made of a job.
    Build(BuildError),
    /// The registers did not behave.
    Sequence(SequenceError<DeviceError>),
    /// The engine has a job.
    EngineBusy {
        /// That job.
        job: JobId,
    },
    /// A channel that is not open.
    UnknownChannel {
        /// Its key.
        channel: ChannelKey,
    },
    /// A channel that is open already.
    ChannelExists {
        /// Its key.
        channel: ChannelKey,
    },
    /// A change to pictures of another size or coding, which need other memory.
    OtherPictures {
        /// The channel.
        channel: ChannelKey,
    },
    /// Every stream buffer of the channel is in use.
    NoStreamBuffer {
        /// The channel.
        channel: ChannelKey,
    },
    /// A picture that does not follow the channel's reference.
    NoReference {
        /// The index in the group that could be predicted now; `None` when only an IDR can be encoded.
        expected: Option<u32>,
        /// The index of the job.
        found: u32,
    },
    /// A job whose slice data is not held.
    NoPayload {
        /// The job.
        job: JobId,
    },
}

impl DriverError {
    /// Whether the device failed, and not what was asked for.
    pub(super) fn is_of_device(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Sequence(_))
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::Address(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Sequence(error) => error.fmt(f),
            Self::EngineBusy { job } => {
                write!(
                    f,
                    "expected a free encoder, found job {} in it",
                    job.value()
                )
            }
            Self::OtherPictures { channel } => write!(
                f,
                "expected a change that keeps size and coding of channel {}, found another one",
                channel.index()
            ),
            Self::UnknownChannel { channel } => {
                write!(
                    f,
                    "expected an open channel, found none with key {}",
                    channel.index()
                )
            }
            Self::ChannelExists { channel } => {
                write!(
                    f,
                    "expected a free channel key, found {} in use",
                    channel.index()
                )
            }
            Self::NoStreamBuffer { channel } => write!(
                f,
                "expected a free stream buffer, found all of channel {} in use",
                channel.index()
            ),
            Self::NoReference {
                expected: Some(expected),
                found,
            } => write!(
                f,
                "expected picture {expected} of the group or an idr, found picture {found}"
            ),
            Self::NoReference {
                expected: None,
                found,
            } => write!(
                f,
                "expected an idr as there is no reference, found picture {found} of a group"
            ),
            Self::NoPayload { job } => {
                write!(f, "expected slice data of job {}, found none", job.value())
            }
        }
    }
}

impl std::error::Error for DriverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Device(error) => Some(error),
            Self::Layout(error) => Some(error),
            Self::Address(error) => Some(error),
            Self::Build(error) => Some(error),
            Self::Sequence(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DeviceError> for DriverError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl From<LayoutError> for DriverError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl From<AddressError> for DriverError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<BuildError> for DriverError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<SequenceError<DeviceError>> for DriverError {
    fn from(error: SequenceError<DeviceError>) -> Self {
        Self::Sequence(error)
    }
}
