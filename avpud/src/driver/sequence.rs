//! The register accesses of one picture, in the recorded order.
//!
//! Mask and clock registers are read, changed and written back, so that the other core's bits survive.
//! The three reset writes stand back to back: a pause or a read between them was seen to stop the bus. A
//! picture goes [`arm`], publish its memory, [`Armed::push`], wait, [`finish`]; nothing is read right
//! after the push.

use core::fmt;

use crate::hw::regs::{self, Core, CoreReg, Reg};
use crate::hw::soc;
use crate::mem::PhysAddr;

/// Something that has the encoder's registers.
pub trait Registers {
    /// Why an access failed.
    type Error;

    /// Reads a register.
    fn read(&mut self, reg: Reg) -> Result<u32, Self::Error>;

    /// Writes a register.
    fn write(&mut self, reg: Reg, value: u32) -> Result<(), Self::Error>;
}

/// A core with its clock on, reset, its line unmasked and nothing running. Push exactly once, or
/// [`finish`] to give it up.
#[derive(Debug)]
#[must_use = "an armed core keeps its clock on until it is finished"]
pub struct Armed(());

/// Why a sequence stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceError<E> {
    /// A register access failed.
    Access(E),
    /// The identification register is not the expected encoder's.
    Identity {
        /// What it should read.
        expected: u32,
        /// What it read.
        found: u32,
    },
    /// The interrupt mask does not keep what is written to it.
    Forgotten {
        /// What this core's line was written as.
        expected: u32,
        /// What the mask read.
        found: u32,
    },
    /// The core claims to be running after its reset.
    Busy {
        /// Its status register.
        status: u32,
    },
}

const CLOCK: Reg = Reg::Core(Core::Video, CoreReg::Clock);
const RESET: Reg = Reg::Core(Core::Video, CoreReg::Reset);
const STATUS: Reg = Reg::Core(Core::Video, CoreReg::Status);
const LIST_ADDRESS: Reg = Reg::Core(Core::Video, CoreReg::ListAddress);
const LIST_PUSH: Reg = Reg::Core(Core::Video, CoreReg::ListPush);
/// The line that ends a picture, as a bit of the mask.
const PICTURE_LINE: u32 = 1;

/// Checks that the encoder is the one these sequences are for.
pub fn identify<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    let expected = soc::T31.ip_id;
    match registers.read(Reg::IpId)? {
        found if found == expected => Ok(()),
        found => Err(SequenceError::Identity { expected, found }),
    }
}

/// Once per opened device, never again per channel: it drops pending lines of both cores.
pub fn power_up<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    registers.write(Reg::MiscCtrl, regs::MISC_CTRL_ON)?;
    reset(registers)?;
    registers.write(Reg::IrqPending, soc::T31.irq_bits)?;
    registers.write(Reg::TopCtrl, regs::TOP_CTRL_ON)?;
    Ok(())
}

/// Clock on, reset, line unmasked, checked to be idle.
pub fn arm<R: Registers>(registers: &mut R) -> Result<Armed, SequenceError<R::Error>> {
    clock(registers, regs::CLOCK_ON)?;
    reset(registers)?;
    change(registers, Reg::IrqMask, PICTURE_LINE, PICTURE_LINE)?;
    match registers.read(STATUS)? {
        status if status & regs::STATUS_RUNNING != 0 => Err(SequenceError::Busy { status }),
        _ => Ok(Armed(())),
    }
}

impl Armed {
    /// Starts the command list at `list`. The line may ring before this returns.
    pub fn push<R: Registers>(
        self,
        registers: &mut R,
        list: PhysAddr,
    ) -> Result<(), SequenceError<R::Error>> {
        registers.write(LIST_ADDRESS, list.value())?;
        registers.write(LIST_PUSH, regs::PUSH_PICTURE)?;
        Ok(())
    }
}

/// After a picture: line masked, clock off. Without it the next reset finds a latched status.
pub fn finish<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    change(registers, Reg::IrqMask, PICTURE_LINE, 0)?;
    clock(registers, regs::CLOCK_OFF)
}

/// Gives up a picture that does not end: line masked, reset, this core's pending lines dropped, clock
/// off. In this order a line that rang up to the reset is dropped too. The other core is not touched.
pub fn recover<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    change(registers, Reg::IrqMask, PICTURE_LINE, 0)?;
    reset(registers)?;
    registers.write(Reg::IrqPending, regs::VIDEO_LINES)?;
    clock(registers, regs::CLOCK_OFF)
}

/// After a recovery: whether the registers can be reached and the core rests. Leaves it masked and gated, whatever it
/// finds.
pub fn self_test<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    identify(registers)?;
    let armed = arm(registers).and_then(|_armed| expect_line(registers, PICTURE_LINE));
    finish(registers)?;
    armed?;
    expect_line(registers, 0)
}

/// Whether the core says that it still works on a picture.
pub fn is_running<R: Registers>(registers: &mut R) -> Result<bool, SequenceError<R::Error>> {
    Ok(registers.read(STATUS)? & regs::STATUS_RUNNING != 0)
}

fn reset<R: Registers>(registers: &mut R) -> Result<(), SequenceError<R::Error>> {
    for step in regs::RESET_STEPS {
        registers.write(RESET, step)?;
    }
    Ok(())
}

fn clock<R: Registers>(registers: &mut R, command: u32) -> Result<(), SequenceError<R::Error>> {
    change(registers, CLOCK, regs::CLOCK_COMMAND, command)
}

/// Checks that the mask kept what was last written to this core's line.
fn expect_line<R: Registers>(
    registers: &mut R,
    expected: u32,
) -> Result<(), SequenceError<R::Error>> {
    match registers.read(Reg::IrqMask)? {
        found if found & PICTURE_LINE == expected => Ok(()),
        found => Err(SequenceError::Forgotten { expected, found }),
    }
}

/// Replaces the bits of `mask` by those of `value`.
fn change<R: Registers>(
    registers: &mut R,
    reg: Reg,
    mask: u32,
    value: u32,
) -> Result<(), SequenceError<R::Error>> {
    let before = registers.read(reg)?;
    registers.write(reg, (before & !mask) | value)?;
    Ok(())
}

impl<E> From<E> for SequenceError<E> {
    fn from(error: E) -> Self {
        Self::Access(error)
    }
}

impl<E: fmt::Display> fmt::Display for SequenceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(error) => error.fmt(f),
            Self::Identity { expected, found } => {
                write!(
                    f,
                    "expected an encoder with id 0x{expected:08x}, found 0x{found:08x}"
                )
            }
            Self::Forgotten { expected, found } => {
                write!(
                    f,
                    "expected an interrupt mask whose lowest bit is {expected}, found 0x{found:x}"
                )
            }
            Self::Busy { status } => {
                write!(
                    f,
                    "expected an idle core after its reset, found status 0x{status:x}"
                )
            }
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for SequenceError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Access(error) => Some(error),
            Self::Identity { .. } | Self::Forgotten { .. } | Self::Busy { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    #[derive(Clone, Default)]
    struct Log {
        id: u32,
        /// What the mask reads, whatever is written to it.
        stuck_mask: Option<u32>,
        mask: u32,
        clock: u32,
        status: u32,
        accesses: Vec<(char, u32, u32)>,
    }

    impl Registers for Log {
        type Error = Infallible;

        fn read(&mut self, reg: Reg) -> Result<u32, Infallible> {
            let value = match reg {
                Reg::IpId => self.id,
                Reg::IrqMask => self.stuck_mask.unwrap_or(self.mask),
                CLOCK => self.clock,
                STATUS => self.status,
                _ => 0,
            };
            self.accesses.push(('R', reg.offset(), value));
            Ok(value)
        }

        fn write(&mut self, reg: Reg, value: u32) -> Result<(), Infallible> {
            match reg {
                Reg::IrqMask => self.mask = value,
                // Bit 16 reads back as one while the clock runs.
                CLOCK => self.clock = (value & 3) | (value & 1) << 16,
                _ => {}
            }
            self.accesses.push(('W', reg.offset(), value));
            Ok(())
        }
    }

    #[test]
    fn a_picture_beside_a_running_still_core_is_the_recorded_trace() {
        let mut log = Log {
            mask: 0x10,
            ..Log::default()
        };
        let armed = arm(&mut log).expect("idle");
        armed
            .push(&mut log, PhysAddr::new(0x0680_2a00))
            .expect("pushed");
        finish(&mut log).expect("finished");
        assert_eq!(
            log.accesses,
            [
                ('R', 0x83f4, 0),
                ('W', 0x83f4, 1),
                ('W', 0x83f0, 1),
                ('W', 0x83f0, 2),
                ('W', 0x83f0, 4),
                ('R', 0x8014, 0x10),
                ('W', 0x8014, 0x11),
                ('R', 0x83f8, 0),
                ('W', 0x83e0, 0x0680_2a00),
                ('W', 0x83e4, 2),
                ('R', 0x8014, 0x11),
                ('W', 0x8014, 0x10),
                ('R', 0x83f4, 0x1_0001),
                ('W', 0x83f4, 0x1_0000),
            ]
        );
    }

    #[test]
    fn power_up_is_the_recorded_trace() {
        let mut log = Log::default();
        power_up(&mut log).expect("written");
        let writes: Vec<_> = log
            .accesses
            .iter()
            .map(|&(_, reg, value)| (reg, value))
            .collect();
        assert_eq!(
            writes,
            [
                (0x8010, 0x1000),
                (0x83f0, 1),
                (0x83f0, 2),
                (0x83f0, 4),
                (0x8018, 0x00ff_ffff),
                (0x8054, 0x80),
            ]
        );
    }

    #[test]
    fn a_core_that_still_runs_after_its_reset_is_not_pushed() {
        let mut log = Log {
            status: 3,
            ..Log::default()
        };
        assert_eq!(
            arm(&mut log).map(|_| ()),
            Err(SequenceError::Busy { status: 3 })
        );
        assert!(log.accesses.iter().all(|access| access.1 != 0x83e4));
    }

    #[test]
    fn recovery_leaves_the_other_core_alone() {
        let mut log = Log {
            mask: 0x11,
            clock: 0x1_0001,
            ..Log::default()
        };
        recover(&mut log).expect("written");
        assert_eq!((log.mask, log.clock), (0x10, 0));
        assert!(log.accesses.contains(&('W', 0x8018, 0x0f)));
        assert!(log.accesses.iter().all(|access| access.1 < 0x8400));
    }

    #[test]
    fn a_stranger_is_not_driven() {
        let mut log = Log::default();
        let found = identify(&mut log);
        assert_eq!(
            found,
            Err(SequenceError::Identity {
                expected: 0x7200_0460,
                found: 0
            })
        );
    }

    #[test]
    fn registers_that_forget_or_belong_to_another_block_fail_the_self_test() {
        let good = Log {
            id: soc::T31.ip_id,
            mask: 0x10,
            ..Log::default()
        };
        let mut log = good.clone();
        assert_eq!(self_test(&mut log), Ok(()));
        assert_eq!((log.mask, log.clock & 1), (0x10, 0));
        let mut other = Log {
            id: 0,
            ..good.clone()
        };
        assert!(matches!(
            self_test(&mut other),
            Err(SequenceError::Identity { found: 0, .. })
        ));
        for stuck_mask in [0x10, 0x11] {
            let mut stuck = Log {
                stuck_mask: Some(stuck_mask),
                ..good.clone()
            };
            assert!(matches!(
                self_test(&mut stuck),
                Err(SequenceError::Forgotten { .. })
            ));
        }
        let mut busy = Log { status: 2, ..good };
        assert_eq!(self_test(&mut busy), Err(SequenceError::Busy { status: 2 }));
        assert_eq!(
            (busy.mask, busy.clock & 1),
            (0x10, 0),
            "left masked and gated"
        );
    }
}
