//! Interrupt lines and what they mean.
//!
//! The kernel driver delivers one line index per wait, not a mask. There is no error line: a failed
//! picture shows in its status words, or in silence.

use core::fmt;

use super::soc;

/// The index of an interrupt line as the kernel driver delivers it, 0 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IrqLine(u8);

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqSource {
    /// The video core finished a picture. The only completion on a T31.
    VideoPicture,
    /// The video core's separate entropy stage; unused on a T31, never the end of a picture.
    VideoEntropy,
    /// The still picture core finished.
    StillPicture,
    /// No known source.
    Unknown,
}

/// A line index that the kernel driver cannot have delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqLineError {
    /// The index found.
    pub index: u32,
}

impl IrqLine {
    /// The line that ends a picture of the video core.
    pub const VIDEO_PICTURE: Self = Self(0);
    /// The line that ends a picture of the still picture core.
    pub const STILL_PICTURE: Self = Self(4);

    /// The line with this index.
    pub fn new(index: u32) -> Result<Self, IrqLineError> {
        match u8::try_from(index) {
            Ok(line) if line < soc::T31.irq_line_count => Ok(Self(line)),
            _ => Err(IrqLineError { index }),
        }
    }

    /// The index.
    pub fn index(self) -> u8 {
        self.0
    }

    /// The line's bit in the mask and pending registers.
    pub fn bit(self) -> u32 {
        1 << self.0
    }

    /// What the line tells.
    pub fn source(self) -> IrqSource {
        match self.0 {
            0 => IrqSource::VideoPicture,
            1 | 2 => IrqSource::VideoEntropy,
            4 => IrqSource::StillPicture,
            _ => IrqSource::Unknown,
        }
    }
}

impl fmt::Display for IrqLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected an interrupt line below {}, found {}",
            soc::T31.irq_line_count,
            self.index
        )
    }
}

impl core::error::Error for IrqLineError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_zero_ends_a_video_picture() {
        for index in 0..20 {
            let line = IrqLine::new(index).expect("a line of the kernel driver");
            assert_eq!(line.source() == IrqSource::VideoPicture, index == 0);
            assert_eq!(line.bit().trailing_zeros(), index);
        }
    }

    #[test]
    fn a_line_the_driver_cannot_deliver_is_refused() {
        assert_eq!(IrqLine::new(20), Err(IrqLineError { index: 20 }));
        assert_eq!(IrqLine::new(256), Err(IrqLineError { index: 256 }));
    }
}
