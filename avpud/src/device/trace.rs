//! A device that records what is done to another one.
//!
//! Every register access and every cache operation becomes one [`Access`], handed to a sink in the order in which it
//! happened. An access is also a line of text and back, so that a log can be kept, compared with a recording from a
//! camera, and replayed onto a device ([`replay`]).

use super::error::{DeviceError, ImportError};
use super::{Caching, Capabilities, Device, Export, FlushDirection};
use crate::hw::regs::Reg;
use crate::mem::addr::{ByteLen, PhysRange, RegionOffset};
use crate::mem::map::MappedRegion;
use core::fmt;
use core::str::FromStr;
use std::os::fd::OwnedFd;

/// One thing done to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `R 8014 = 00000010`
    Read {
        /// Which register.
        register: Reg,
        /// What it read.
        value: u32,
    },
    /// `W 83f4 = 00000001`
    Write {
        /// Which register.
        register: Reg,
        /// What was written.
        value: u32,
    },
    /// `F 06802a00 + 00000200 to-device`: only of cached mappings, as others need none.
    Flush {
        /// First byte.
        start: u32,
        /// Bytes.
        len_bytes: u32,
        /// Direction.
        direction: FlushDirection,
    },
}

/// A device that hands every access of another one to a sink.
#[derive(Debug)]
pub struct Traced<D, S> {
    device: D,
    sink: S,
}

/// A line that is no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAccessError {
    line: String,
}

/// A replay that could not go on.
#[derive(Debug)]
pub enum ReplayError {
    /// A register read something else than in the log.
    Differs {
        /// Position in the log, from 0.
        index: usize,
        /// What the log says.
        expected: Access,
        /// What the register read now.
        found: u32,
    },
    /// The device failed.
    Device(DeviceError),
}

impl<D: Device, S: FnMut(Access)> Traced<D, S> {
    /// `device`, every access of which goes to `sink`.
    pub fn new(device: D, sink: S) -> Self {
        Self { device, sink }
    }
}

impl<D: Device, S: FnMut(Access)> Device for Traced<D, S> {
    fn capabilities(&self) -> &Capabilities {
        self.device.capabilities()
    }

    fn read(&mut self, register: Reg) -> Result<u32, DeviceError> {
        let value = self.device.read(register)?;
        (self.sink)(Access::Read { register, value });
        Ok(value)
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        // Before the access itself: what the device does at once comes after it in the log.
        (self.sink)(Access::Write { register, value });
        self.device.write(register, value)
    }

    fn map(&mut self, range: PhysRange, caching: Caching) -> Result<MappedRegion, DeviceError> {
        self.device.map(range, caching)
    }

    fn flush(
        &mut self,
        region: &MappedRegion,
        offset: RegionOffset,
        len: ByteLen,
        direction: FlushDirection,
    ) -> Result<(), DeviceError> {
        if region.caching() == Caching::Cached {
            (self.sink)(Access::Flush {
                start: region.range().start().value().wrapping_add(offset.value()),
                len_bytes: len.value(),
                direction,
            });
        }
        self.device.flush(region, offset, len, direction)
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        self.device.export(range)
    }

    fn withdraw(&mut self, range: PhysRange) -> Result<(), DeviceError> {
        self.device.withdraw(range)
    }

    fn import(&mut self, buffer: OwnedFd, len: ByteLen) -> Result<PhysRange, ImportError> {
        self.device.import(buffer, len)
    }

    fn release(&mut self, imported: PhysRange) -> Result<(), DeviceError> {
        self.device.release(imported)
    }

    fn take_remark(&mut self) -> Option<String> {
        self.device.take_remark()
    }

    fn summary(&self) -> Option<String> {
        self.device.summary()
    }
}

/// Does to `device` what a log says: writes are written, reads are read and compared. Cache operations are passed
/// over, as they belong to mappings of the recorded process.
///
/// # Errors
/// At the first difference, or when the device fails.
pub fn replay(
    device: &mut impl Device,
    log: impl IntoIterator<Item = Access>,
) -> Result<(), ReplayError> {
    for (index, access) in log.into_iter().enumerate() {
        match access {
            Access::Read { register, value } => {
                let found = device.read(register).map_err(ReplayError::Device)?;
                if found != value {
                    return Err(ReplayError::Differs {
                        index,
                        expected: access,
                        found,
                    });
                }
            }
            Access::Write { register, value } => {
                device.write(register, value).map_err(ReplayError::Device)?;
            }
            Access::Flush { .. } => {}
        }
    }
    Ok(())
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { register, value } => {
                write!(f, "R {:04x} = {value:08x}", register.offset())
            }
            Self::Write { register, value } => {
                write!(f, "W {:04x} = {value:08x}", register.offset())
            }
            Self::Flush {
                start,
                len_bytes,
                direction,
            } => write!(f, "F {start:08x} + {len_bytes:08x} {}", name(*direction)),
        }
    }
}

impl FromStr for Access {
    type Err = ParseAccessError;

    fn from_str(line: &str) -> Result<Self, ParseAccessError> {
        let wrong = || ParseAccessError {
            line: line.to_owned(),
        };
        let hex = |text: &str| u32::from_str_radix(text, 16).map_err(|_| wrong());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [kind @ ("R" | "W"), register, "=", value] => {
                let register = Reg::from_offset(hex(register)?).ok_or_else(wrong)?;
                let value = hex(value)?;
                Ok(if *kind == "R" {
                    Self::Read { register, value }
                } else {
                    Self::Write { register, value }
                })
            }
            ["F", start, "+", len_bytes, direction] => {
                let direction = DIRECTIONS
                    .into_iter()
                    .find(|known| name(*known) == *direction)
                    .ok_or_else(wrong)?;
                Ok(Self::Flush {
                    start: hex(start)?,
                    len_bytes: hex(len_bytes)?,
                    direction,
                })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for ParseAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected `R register = value`, `W register = value` or `F start + length direction`, found `{}`",
            self.line
        )
    }
}

impl std::error::Error for ParseAccessError {}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs {
                index,
                expected,
                found,
            } => write!(
                f,
                "expected `{expected}` as access {index}, found {found:08x}"
            ),
            Self::Device(error) => write!(f, "replaying: {error}"),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Differs { .. } => None,
            Self::Device(error) => Some(error),
        }
    }
}

const DIRECTIONS: [FlushDirection; 3] = [
    FlushDirection::ToDevice,
    FlushDirection::FromDevice,
    FlushDirection::Both,
];

fn name(direction: FlushDirection) -> &'static str {
    match direction {
        FlushDirection::ToDevice => "to-device",
        FlushDirection::FromDevice => "from-device",
        FlushDirection::Both => "both",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_the_access_it_stands_for_are_the_same() {
        for line in [
            "R 8014 = 00000010",
            "W 83f4 = 00010000",
            "W 83e0 = 06802a00",
            "F 06e8d700 + 00000220 from-device",
            "F 06802a00 + 00000200 to-device",
            "F 00000001 + 00000001 both",
        ] {
            let access: Access = line.parse().expect("an access");
            assert_eq!(access.to_string(), line);
        }
    }

    #[test]
    fn a_line_that_is_no_access_is_named() {
        for line in [
            "",
            "R 8014",
            "W 8000 = 0",
            "R 8014 = x",
            "F 1 + 2 sideways",
            "X 8014 = 1",
        ] {
            let error = line.parse::<Access>().expect_err("no access");
            assert!(error.to_string().ends_with(&format!("found `{line}`")));
        }
    }
}
