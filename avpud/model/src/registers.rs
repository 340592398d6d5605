//! The register file: which offset is what, and the order that resets are written in.
//!
//! Offsets are bytes from the start of the block, as the driver's ioctls take them.

use crate::violation::RegisterRule;
use std::fmt;

/// Identification of a T31.
pub const IP_ID_T31: u32 = 0x7200_0460;

/// Register offsets of the block and of core 0.
pub mod offset {
    /// Identification.
    pub const IP_ID: u32 = 0x8004;
    /// Written once with 0x1000.
    pub const MISC_CTRL: u32 = 0x8010;
    /// Enabled interrupts.
    pub const IRQ_MASK: u32 = 0x8014;
    /// Pending interrupts; writing 1 clears.
    pub const IRQ_PENDING: u32 = 0x8018;
    /// Written once with 0x80.
    pub const TOP_CTRL: u32 = 0x8054;
    /// First word of core 0's command and status image.
    pub const IMAGE: u32 = 0x8200;
    /// Address of the command list.
    pub const CL_ADDR: u32 = 0x83e0;
    /// 2 starts the command list.
    pub const CL_PUSH: u32 = 0x83e4;
    /// 1, 2, 4 resets the core.
    pub const RESET: u32 = 0x83f0;
    /// Clock gate.
    pub const CLOCK: u32 = 0x83f4;
    /// Bit 1: a picture runs.
    pub const STATUS: u32 = 0x83f8;
    /// First register of core 1, the JPEG core.
    pub const JPEG: u32 = 0x8400;
    /// First register after core 1.
    pub const JPEG_END: u32 = 0x8600;
    /// Offset addressing, which hangs the bus.
    pub const AXI_ADDR_OFFSET: u32 = 0x9208;
    /// First offset that the driver accepts.
    pub const FIRST: u32 = 0x8000;
    /// Last offset that the driver accepts.
    pub const LAST: u32 = 0xf_fffc;
}

/// What an offset stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    IpId,
    MiscCtrl,
    IrqMask,
    IrqPending,
    TopCtrl,
    /// Word of core 0's image.
    Image(u32),
    ClAddr,
    ClPush,
    Reset,
    Clock,
    Status,
    Jpeg,
    AxiAddrOffset,
    Unknown,
}

/// An offset that the driver refuses with EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterError {
    /// The offset.
    pub offset: u32,
}

/// Where a reset stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResetSequence {
    /// The write before, when it was one of a reset, and its time.
    last: Option<(u32, u64)>,
}

/// What a write of the reset register did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetStep {
    /// The first write.
    Started,
    /// The second write.
    Going,
    /// The third: the core is reset.
    Done,
    /// Something else.
    Broken,
}

/// Longest pause between two writes of a reset that was ever seen to work, in microseconds.
const RESET_GAP_US: u64 = 500;

impl Place {
    pub(crate) fn of(offset: u32) -> Result<Self, RegisterError> {
        if !offset.is_multiple_of(4) || !(offset::FIRST..=offset::LAST).contains(&offset) {
            return Err(RegisterError { offset });
        }
        Ok(match offset {
            offset::IP_ID => Self::IpId,
            offset::MISC_CTRL => Self::MiscCtrl,
            offset::IRQ_MASK => Self::IrqMask,
            offset::IRQ_PENDING => Self::IrqPending,
            offset::TOP_CTRL => Self::TopCtrl,
            offset::CL_ADDR => Self::ClAddr,
            offset::CL_PUSH => Self::ClPush,
            offset::RESET => Self::Reset,
            offset::CLOCK => Self::Clock,
            offset::STATUS => Self::Status,
            offset::IMAGE..offset::CL_ADDR => Self::Image((offset - offset::IMAGE) / 4),
            offset::JPEG..offset::JPEG_END => Self::Jpeg,
            offset::AXI_ADDR_OFFSET => Self::AxiAddrOffset,
            _ => Self::Unknown,
        })
    }
}

impl ResetSequence {
    /// An access to another register; true when it breaks into a reset.
    pub(crate) fn other(&mut self) -> bool {
        self.last.take().is_some()
    }

    /// A write of the reset register. The flag says whether the pause before it was longer than is known to work.
    pub(crate) fn write(&mut self, now_us: u64, value: u32) -> (ResetStep, bool) {
        let before = self.last.take();
        let slow = before.is_some_and(|(_, at)| now_us.saturating_sub(at) > RESET_GAP_US);
        let step = match (before.map(|(value, _)| value), value) {
            (None, 1) => ResetStep::Started,
            (Some(1), 2) => ResetStep::Going,
            (Some(2), 4) => ResetStep::Done,
            _ => ResetStep::Broken,
        };
        if matches!(step, ResetStep::Started | ResetStep::Going) {
            self.last = Some((value, now_us));
        }
        (step, slow)
    }
}

impl ResetStep {
    /// The rule it breaks.
    pub(crate) fn rule(self) -> Option<RegisterRule> {
        (self == Self::Broken).then_some(RegisterRule::ResetOrder)
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a multiple of 4 from {:#x} to {:#x}, found register {:#x}",
            offset::FIRST,
            offset::LAST,
            self.offset
        )
    }
}

impl std::error::Error for RegisterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_outside_the_driver_window_are_refused() {
        for bad in [0, 0x7ffc, 0x8001, 0x8002, 0x10_0000, u32::MAX] {
            assert_eq!(Place::of(bad), Err(RegisterError { offset: bad }));
        }
        assert_eq!(Place::of(0x8000), Ok(Place::Unknown));
        assert_eq!(Place::of(0xf_fffc), Ok(Place::Unknown));
        assert_eq!(Place::of(0x8304), Ok(Place::Image(0x41)));
    }

    #[test]
    fn a_reset_is_one_two_four() {
        let mut reset = ResetSequence::default();
        assert_eq!(reset.write(0, 1), (ResetStep::Started, false));
        assert_eq!(reset.write(500, 2), (ResetStep::Going, false));
        assert_eq!(reset.write(1001, 4), (ResetStep::Done, true));
        assert_eq!(reset.write(1002, 4).0, ResetStep::Broken);
        assert_eq!(reset.write(1003, 1).0, ResetStep::Started);
        assert!(reset.other());
        assert_eq!(reset.write(1004, 2).0, ResetStep::Broken);
    }
}
