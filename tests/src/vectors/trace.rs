//! Recorded register writes against the daemon's own sequences.

use std::convert::Infallible;

use avpud::driver::sequence::{self, Registers};
use avpud::hw::regs::{Core, CoreReg, Reg};
use avpud::mem::PhysAddr;

use super::record::Write;

const MASK: Reg = Reg::IrqMask;
const CLOCK: Reg = Reg::Core(Core::Video, CoreReg::Clock);
/// Reads back as one while the clock runs, and is written back as it was read.
const CLOCK_RUNS: u32 = 1 << 16;

/// Registers that remember what was written to them.
#[derive(Debug, Default)]
struct Log {
    mask: u32,
    clock: u32,
    writes: Vec<Write>,
}

impl Registers for Log {
    type Error = Infallible;

    fn read(&mut self, reg: Reg) -> Result<u32, Infallible> {
        Ok(match reg {
            MASK => self.mask,
            CLOCK => self.clock,
            _ => 0,
        })
    }

    fn write(&mut self, reg: Reg, value: u32) -> Result<(), Infallible> {
        match reg {
            MASK => self.mask = value,
            CLOCK => self.clock = value,
            _ => {}
        }
        self.writes.push(Write {
            reg: reg.offset(),
            value,
        });
        Ok(())
    }
}

/// How the writes of opening the device differ, if they do.
#[must_use]
pub fn compare_power_up(recorded: &[Write]) -> Vec<String> {
    let mut log = Log::default();
    if sequence::power_up(&mut log).is_err() {
        return vec!["the sequence ended early".to_owned()];
    }
    differences(&log.writes, recorded)
}

/// How the writes around one picture differ, if they do. The mask bits of other cores are what the
/// recording starts with; a sequence that loses them differs.
#[must_use]
pub fn compare_picture(list: u32, recorded: &[Write]) -> Vec<String> {
    let first_mask = recorded.iter().find(|write| write.reg == MASK.offset());
    let mut log = Log {
        mask: first_mask.map_or(0, |write| write.value & !1),
        ..Log::default()
    };
    let pushed = sequence::arm(&mut log)
        .and_then(|armed| armed.push(&mut log, PhysAddr::new(list)))
        .and_then(|()| sequence::finish(&mut log));
    if pushed.is_err() {
        return vec!["the sequence ended early".to_owned()];
    }
    differences(&log.writes, recorded)
}

fn differences(ours: &[Write], recorded: &[Write]) -> Vec<String> {
    let mut found = Vec::new();
    for place in 0..ours.len().max(recorded.len()) {
        let (our, theirs) = (ours.get(place), recorded.get(place));
        let is_equal = match (our, theirs) {
            (Some(our), Some(theirs)) => {
                let bits = if our.reg == CLOCK.offset() {
                    !CLOCK_RUNS
                } else {
                    u32::MAX
                };
                our.reg == theirs.reg && (our.value ^ theirs.value) & bits == 0
            }
            _ => false,
        };
        if !is_equal {
            found.push(format!(
                "write {place}: rebuilt {}, recorded {}",
                shown(our),
                shown(theirs)
            ));
        }
    }
    found
}

fn shown(write: Option<&Write>) -> String {
    write.map_or("nothing".to_owned(), |write| {
        format!("0x{:04x}=0x{:08x}", write.reg, write.value)
    })
}
