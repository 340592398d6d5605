//! Which register accesses are let through, tighter than the kernel's driver, which lets everything through.
//!
//! An address in a register is a write to any memory of the machine. So the list address must be a command list in the
//! daemon's own arena, and everything that the sequences of the video core do not do is refused. Pure.

use crate::hw::layout::RING_SLOT_LEN_BYTES;
use crate::hw::regs::{self, Access, Core, CoreReg, Reg};
use crate::hw::soc;
use crate::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use core::fmt;

/// An access that was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A register that is only written.
    Read(Reg),
    /// A register that is only read, or of a core that the daemon does not drive.
    Write(Reg),
    /// A value that this register is never given.
    Value(Reg, u32),
}

const LIST_LEN: ByteLen = ByteLen::new(RING_SLOT_LEN_BYTES);
const LIST_ALIGNMENT: Alignment = Alignment::constant(RING_SLOT_LEN_BYTES);

/// Whether a register may be read.
pub(super) fn check_read(register: Reg) -> Result<(), Refused> {
    match register.row().access {
        Access::Write => Err(Refused::Read(register)),
        Access::Read | Access::ReadWrite | Access::WriteOneToClear => Ok(()),
    }
}

/// Whether a register may be given a value by a daemon that owns `arena`.
pub(super) fn check_write(register: Reg, value: u32, arena: PhysRange) -> Result<(), Refused> {
    let allowed = match register {
        Reg::IpId | Reg::Core(_, CoreReg::Status) | Reg::Core(Core::Still, _) => {
            return Err(Refused::Write(register));
        }
        Reg::MiscCtrl => value == regs::MISC_CTRL_ON,
        Reg::TopCtrl => value == regs::TOP_CTRL_ON,
        // Higher bits were seen to hang the bus.
        Reg::IrqMask | Reg::IrqPending => value & !soc::T31.irq_bits == 0,
        Reg::Core(Core::Video, CoreReg::ListAddress) => is_list(PhysAddr::new(value), arena),
        Reg::Core(Core::Video, CoreReg::ListPush) => value == regs::PUSH_PICTURE,
        Reg::Core(Core::Video, CoreReg::Reset) => regs::RESET_STEPS.contains(&value),
        Reg::Core(Core::Video, CoreReg::Clock) => {
            matches!(
                value & regs::CLOCK_COMMAND,
                regs::CLOCK_ON | regs::CLOCK_OFF
            )
        }
    };
    if allowed {
        Ok(())
    } else {
        Err(Refused::Value(register, value))
    }
}

/// Whether a whole, aligned command list at this address lies in the arena.
fn is_list(address: PhysAddr, arena: PhysRange) -> bool {
    address.is_aligned(LIST_ALIGNMENT)
        && PhysRange::new(address, LIST_LEN).is_ok_and(|list| arena.contains_range(list))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(register) => {
                write!(f, "expected a readable register, found {}", name(*register))
            }
            Self::Write(register) => {
                write!(f, "expected a register to write, found {}", name(*register))
            }
            Self::Value(register, value) => write!(
                f,
                "expected a value that {} may have, found 0x{value:08x}",
                name(*register)
            ),
        }
    }
}

impl std::error::Error for Refused {}

fn name(register: Reg) -> String {
    format!("{} (0x{:04x})", register.row().name, register.offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO_LIST: Reg = Reg::Core(Core::Video, CoreReg::ListAddress);

    fn arena() -> PhysRange {
        PhysRange::new(PhysAddr::new(0x0530_0000), ByteLen::new(0x0100_0000)).expect("a range")
    }

    #[test]
    fn what_a_picture_needs_is_let_through_with_the_other_cores_bits_kept() {
        let video = |register| Reg::Core(Core::Video, register);
        for register in [
            Reg::IpId,
            Reg::IrqMask,
            video(CoreReg::Clock),
            video(CoreReg::Status),
        ] {
            check_read(register).expect("allowed");
        }
        for (register, value) in [
            (Reg::MiscCtrl, 0x1000),
            (Reg::IrqPending, 0x00ff_ffff),
            (Reg::IrqPending, 0x0f),
            (Reg::TopCtrl, 0x80),
            (Reg::IrqMask, 0x11),
            (Reg::IrqMask, 0x10),
            (video(CoreReg::Reset), 1),
            (video(CoreReg::Reset), 2),
            (video(CoreReg::Reset), 4),
            (video(CoreReg::Clock), 0x1),
            (video(CoreReg::Clock), 0x1_0000),
            (VIDEO_LIST, 0x0530_4200),
            (video(CoreReg::ListPush), 2),
        ] {
            check_write(register, value, arena()).expect("allowed");
        }
    }

    #[test]
    fn a_list_address_is_a_whole_aligned_list_in_the_arena() {
        for (address, allowed) in [
            (0x0530_0000, true),
            (0x062f_fe00, true),
            (0x0630_0000, false),
            (0x052f_fe00, false),
            (0x0530_0100, false),
            (0, false),
            (0xffff_fe00, false),
        ] {
            let found = check_write(VIDEO_LIST, address, arena());
            assert_eq!(found.is_ok(), allowed, "0x{address:08x}: {found:?}");
        }
    }

    #[test]
    fn what_no_sequence_does_is_refused() {
        let video = |register| Reg::Core(Core::Video, register);
        for (register, value) in [
            (Reg::IpId, 0),
            (Reg::MiscCtrl, 0),
            (Reg::TopCtrl, 0x81),
            (Reg::IrqPending, 0x0100_0000),
            (Reg::IrqMask, 0xffff_ffff),
            (video(CoreReg::ListPush), 8),
            (video(CoreReg::Reset), 3),
            (video(CoreReg::Clock), 2),
            (video(CoreReg::Status), 0),
            (Reg::Core(Core::Still, CoreReg::ListPush), 1),
            (Reg::Core(Core::Still, CoreReg::Clock), 1),
        ] {
            assert!(
                check_write(register, value, arena()).is_err(),
                "{register:?}"
            );
        }
        assert!(check_read(VIDEO_LIST).is_err());
    }

    #[test]
    fn a_refusal_names_the_register_and_the_value() {
        assert_eq!(
            check_write(VIDEO_LIST, 0x1000, arena())
                .expect_err("outside")
                .to_string(),
            "expected a value that CL_ADDR (0x83e0) may have, found 0x00001000"
        );
    }
}
