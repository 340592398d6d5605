//! The registers the daemon touches: offsets, access, source.
//!
//! The table is also the allow-list. The kernel driver lets its one opener write anything in the
//! window; this type does not. A register that is not here cannot be named.

use super::soc;

/// A register of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reg {
    /// `IP_ID`: which encoder this is.
    IpId,
    /// `MISC_CTRL`: written once when the device is opened; meaning unknown.
    MiscCtrl,
    /// `IRQ_MASK`: a set bit lets that line through.
    IrqMask,
    /// `IRQ_PENDING`: lines that rang; writing a one clears it.
    IrqPending,
    /// `TOP_CTRL`: written once when the device is opened; meaning unknown.
    TopCtrl,
    /// A register of one core.
    Core(Core, CoreReg),
}

/// One of the encoder's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Core {
    /// H.264 and H.265.
    Video,
    /// JPEG.
    Still,
}

/// A register that every core has, at the same place in the core's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoreReg {
    /// `CL_ADDR`: physical address of the command list to run.
    ListAddress,
    /// `CL_PUSH`: starts the command list.
    ListPush,
    /// `RESET`: three writes, back to back.
    Reset,
    /// `CLK_CMD`: the core's clock gate.
    Clock,
    /// `STATUS`: what the core is doing.
    Status,
}

/// How a register may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Written only; reading says nothing.
    Write,
    /// Read, changed and written back.
    ReadWrite,
    /// Read; writing a one clears the bit.
    WriteOneToClear,
}

/// How sure a row of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Named or used by the vendor's open kernel driver.
    Driver,
    /// Seen in a register recording from a camera.
    Observed,
    /// Inferred from the vendor's library or from third-party code.
    Inferred,
}

/// What is known about a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The datasheet-like name.
    pub name: &'static str,
    /// How it may be used.
    pub access: Access,
    /// How sure this is.
    pub confidence: Confidence,
}

/// Every register there is a name for.
pub const ALL: [Reg; 15] = [
    Reg::IpId,
    Reg::MiscCtrl,
    Reg::IrqMask,
    Reg::IrqPending,
    Reg::TopCtrl,
    Reg::Core(Core::Video, CoreReg::ListAddress),
    Reg::Core(Core::Video, CoreReg::ListPush),
    Reg::Core(Core::Video, CoreReg::Reset),
    Reg::Core(Core::Video, CoreReg::Clock),
    Reg::Core(Core::Video, CoreReg::Status),
    Reg::Core(Core::Still, CoreReg::ListAddress),
    Reg::Core(Core::Still, CoreReg::ListPush),
    Reg::Core(Core::Still, CoreReg::Reset),
    Reg::Core(Core::Still, CoreReg::Clock),
    Reg::Core(Core::Still, CoreReg::Status),
];

/// `MISC_CTRL` when the device is opened.
pub const MISC_CTRL_ON: u32 = 0x1000;
/// `TOP_CTRL` when the device is opened.
pub const TOP_CTRL_ON: u32 = 0x80;
/// `CL_PUSH` of the video core: predict, transform and code in one pass.
pub const PUSH_PICTURE: u32 = 2;
/// `RESET` of the video core: these values in this order with nothing in between.
pub const RESET_STEPS: [u32; 3] = [1, 2, 4];
/// The command bits of `CLK_CMD`; the other bits are kept.
pub const CLOCK_COMMAND: u32 = 0b11;
/// `CLK_CMD`: clock on.
pub const CLOCK_ON: u32 = 1;
/// `CLK_CMD`: clock off.
pub const CLOCK_OFF: u32 = 0;
/// `STATUS`: the main stage is running.
pub const STATUS_RUNNING: u32 = 0b10;
/// Lines of the video core in the mask and pending registers.
pub const VIDEO_LINES: u32 = 0x0f;

/// Start of the first core's window, and the distance to the next.
const CORE_WINDOW: u32 = 0x200;
const CORE_STRIDE: u32 = 0x200;

impl Reg {
    /// The register's id for the kernel driver: its byte offset from the start of the window.
    pub const fn offset(self) -> u32 {
        let base = soc::T31.register_base;
        match self {
            Self::IpId => base + 0x04,
            Self::MiscCtrl => base + 0x10,
            Self::IrqMask => base + 0x14,
            Self::IrqPending => base + 0x18,
            Self::TopCtrl => base + 0x54,
            Self::Core(core, reg) => base + CORE_WINDOW + core.index() * CORE_STRIDE + reg.offset(),
        }
    }

    /// The register with this id, if the daemon may touch it.
    pub fn from_offset(offset: u32) -> Option<Self> {
        ALL.into_iter().find(|reg| reg.offset() == offset)
    }

    /// What is known about the register.
    pub const fn row(self) -> Row {
        use Access::{Read, ReadWrite, Write, WriteOneToClear};
        use Confidence::{Driver, Inferred, Observed};
        let (name, access, confidence) = match self {
            Self::IpId => ("IP_ID", Read, Inferred),
            Self::MiscCtrl => ("MISC_CTRL", Write, Observed),
            Self::IrqMask => ("IRQ_MASK", ReadWrite, Driver),
            Self::IrqPending => ("IRQ_PENDING", WriteOneToClear, Driver),
            Self::TopCtrl => ("TOP_CTRL", Write, Observed),
            Self::Core(_, CoreReg::ListAddress) => ("CL_ADDR", Write, Observed),
            Self::Core(_, CoreReg::ListPush) => ("CL_PUSH", Write, Observed),
            Self::Core(_, CoreReg::Reset) => ("RESET", Write, Observed),
            Self::Core(_, CoreReg::Clock) => ("CLK_CMD", ReadWrite, Observed),
            Self::Core(_, CoreReg::Status) => ("STATUS", Read, Inferred),
        };
        Row {
            name,
            access,
            confidence,
        }
    }
}

impl Core {
    /// The core's number.
    pub const fn index(self) -> u32 {
        match self {
            Self::Video => 0,
            Self::Still => 1,
        }
    }
}

impl CoreReg {
    const fn offset(self) -> u32 {
        match self {
            Self::ListAddress => 0x1e0,
            Self::ListPush => 0x1e4,
            Self::Reset => 0x1f0,
            Self::Clock => 0x1f4,
            Self::Status => 0x1f8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_where_the_recordings_have_them() {
        let video = |reg| Reg::Core(Core::Video, reg).offset();
        let still = |reg| Reg::Core(Core::Still, reg).offset();
        assert_eq!(Reg::MiscCtrl.offset(), 0x8010);
        assert_eq!(Reg::IrqMask.offset(), 0x8014);
        assert_eq!(Reg::IrqPending.offset(), 0x8018);
        assert_eq!(Reg::TopCtrl.offset(), 0x8054);
        assert_eq!(video(CoreReg::ListAddress), 0x83e0);
        assert_eq!(video(CoreReg::ListPush), 0x83e4);
        assert_eq!(video(CoreReg::Reset), 0x83f0);
        assert_eq!(video(CoreReg::Clock), 0x83f4);
        assert_eq!(video(CoreReg::Status), 0x83f8);
        assert_eq!(still(CoreReg::ListPush), 0x85e4);
        assert_eq!(still(CoreReg::Clock), 0x85f4);
    }

    #[test]
    fn every_register_is_found_by_its_offset_and_no_other_offset_is() {
        for reg in ALL {
            assert_eq!(Reg::from_offset(reg.offset()), Some(reg));
            assert!(!reg.row().name.is_empty());
        }
        // The bus offset register that older notes write, and the still core's picture zone.
        for offset in [0x8084, 0x8094, 0x9208, 0x8400, 0x8014 - 0x8000] {
            assert_eq!(Reg::from_offset(offset), None);
        }
    }
}
