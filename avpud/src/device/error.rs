//! What can go wrong with a device.

use crate::mem::addr::AddressError;
use core::fmt;
use std::io;

/// A device operation failed.
#[derive(Debug)]
pub enum DeviceError {
    /// A system call failed.
    Os {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A range does not lie where it must.
    Address {
        /// What was tried.
        operation: &'static str,
        /// What is wrong with it.
        source: AddressError,
    },
    /// The device is there but cannot be used.
    Unusable {
        /// What was expected and what was found.
        reason: String,
    },
}

/// A buffer of another driver was not taken.
#[derive(Debug)]
pub enum ImportError {
    /// The device or its kernel does not take it.
    Unsupported {
        /// What was expected and what was found.
        reason: String,
    },
    /// It should have worked.
    Device(DeviceError),
}

/// A wait for an interrupt ended without one.
#[derive(Debug)]
pub enum WaitError {
    /// The wait was cancelled; no interrupt will come any more.
    Cancelled,
    /// The device failed.
    Device(DeviceError),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os { operation, source } => write!(f, "{operation}: {source}"),
            Self::Address { operation, source } => write!(f, "{operation}: {source}"),
            Self::Unusable { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            Self::Address { source, .. } => Some(source),
            Self::Unusable { .. } => None,
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { reason } => f.write_str(reason),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unsupported { .. } => None,
            Self::Device(error) => Some(error),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the wait for interrupts was cancelled"),
            Self::Device(error) => write!(f, "waiting for an interrupt: {error}"),
        }
    }
}

impl std::error::Error for WaitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled => None,
            Self::Device(error) => Some(error),
        }
    }
}
