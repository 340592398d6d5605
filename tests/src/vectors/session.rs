//! The register accesses of a camera's session, recorded under the vendor's library with two channels, as the daemon
//! has to repeat them.
//!
//! Left out of the recording: the lines of the still core, which the daemon does not drive. The recording does not say
//! which registers were read, only where; each read is taken to be of the register that is written or judged next.
//! Lists lie where the recorded session had them, relative to the first list of their channel.

use std::fmt;

use avpud::device::trace::Access;
use avpud::hw::regs::{Core, CoreReg, Reg};

/// Once for the process.
const OPENING: [&str; 6] = [
    "W 8010 = 00001000",
    "W 83f0 = 00000001",
    "W 83f0 = 00000002",
    "W 83f0 = 00000004",
    "W 8018 = 00ffffff",
    "W 8054 = 00000080",
];

/// One picture, the main channel's first. All others differ in the list's address only.
const PICTURE: [&str; 14] = [
    "R 83f4 = 00000000",
    "W 83f4 = 00000001",
    "W 83f0 = 00000001",
    "W 83f0 = 00000002",
    "W 83f0 = 00000004",
    "R 8014 = 00000010",
    "W 8014 = 00000011",
    "R 83f8 = 00000000",
    "W 83e0 = 06802a00",
    "W 83e4 = 00000002",
    // The interrupt came here.
    "R 8014 = 00000011",
    "W 8014 = 00000010",
    "R 83f4 = 00010001",
    "W 83f4 = 00010000",
];

/// Lines of other cores that the recorded process had enabled: its still channels'.
pub const OTHER_LINES: u32 = 0x10;

/// A channel of the recorded session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// 1920x1080, High.
    Main,
    /// 640x360, Baseline.
    Sub,
}

use Recorded::{Main, Sub};

/// The pictures that were recorded, in order: channel, index in the group, address of the list. Between some of them
/// lines are missing.
#[rustfmt::skip]
pub const PICTURES: [(Recorded, u32, u32); 34] = [
    (Main, 0, 0x0680_2a00), (Sub, 0, 0x0706_7a00), (Main, 1, 0x0680_2c00), (Sub, 1, 0x0706_7c00),
    (Main, 2, 0x0680_2e00), (Sub, 2, 0x0706_7e00),
    (Main, 14, 0x0680_4600), (Sub, 14, 0x0706_9600), (Main, 15, 0x0680_4800), (Sub, 15, 0x0706_9800),
    (Main, 16, 0x0680_4a00), (Sub, 16, 0x0706_9a00), (Main, 17, 0x0680_4c00), (Sub, 17, 0x0706_9c00),
    (Sub, 18, 0x0706_9e00), (Main, 18, 0x0680_4e00),
    (Sub, 28, 0x0706_8c00), (Main, 29, 0x0680_3e00), (Sub, 29, 0x0706_8e00), (Main, 30, 0x0680_4000),
    (Sub, 30, 0x0706_9000), (Main, 31, 0x0680_4200), (Sub, 31, 0x0706_9200), (Main, 32, 0x0680_4400),
    (Sub, 32, 0x0706_9400),
    (Sub, 41, 0x0706_8000), (Main, 42, 0x0680_3200), (Sub, 42, 0x0706_8200), (Main, 43, 0x0680_3400),
    (Sub, 43, 0x0706_8400), (Main, 44, 0x0680_3600), (Sub, 44, 0x0706_8600), (Main, 45, 0x0680_3800),
    (Sub, 45, 0x0706_8800),
];

/// Lists of a channel lie in a row, this many of them.
const LISTS: u32 = 19;
const LIST_LEN_BYTES: u32 = 512;

/// A picture as it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driven {
    /// Channels are numbered in the order of their first pictures.
    pub channel: usize,
    /// Counted from the channel's first picture.
    pub index: u32,
    /// The list's address, counted from the channel's first list.
    pub list_offset_bytes: u32,
}

/// The first access that is not the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the access, from 0; cache operations are not counted.
    pub place: usize,
    /// The recording.
    pub recorded: Access,
    /// What was done; `None` at the end.
    pub found: Option<Access>,
}

/// Compares what was done to a device from its opening on, and answers the pictures in order. The mask of the session
/// starts with the lines `other_lines` of other cores.
///
/// The accesses before the opening, which leave the core quiet whoever had it, are not of the recording, and neither
/// are those that leave it quiet at the end.
///
/// # Errors
/// With the first access that differs.
pub fn compare(done: &[Access], other_lines: u32) -> Result<Vec<Driven>, Difference> {
    let mut log = done
        .iter()
        .filter(|access| !matches!(access, Access::Flush { .. }))
        .copied()
        .enumerate()
        .skip_while(|(_, access)| !is_of(access, Reg::MiscCtrl))
        .peekable();
    for recorded in OPENING {
        expect(log.next(), access(recorded))?;
    }
    let mut firsts: Vec<(u32, u32)> = Vec::new();
    let mut pictures = Vec::new();
    // A picture begins with the clock, leaving the core quiet with the mask.
    while log.peek().is_some_and(|(_, next)| is_of(next, CLOCK)) {
        for recorded in PICTURE {
            let recorded = with_lines(access(recorded), other_lines);
            let found = log.next();
            if !is_of(&recorded, LIST_ADDRESS) {
                expect(found, recorded)?;
                continue;
            }
            let list = found.and_then(|(_, access)| list_of(&access));
            let Some(list) = list else {
                expect(found, recorded)?;
                continue;
            };
            let driven = place(&mut firsts, list);
            let slot = driven.index % LISTS * LIST_LEN_BYTES;
            let value = list - driven.list_offset_bytes + slot;
            let register = LIST_ADDRESS;
            expect(found, Access::Write { register, value })?;
            pictures.push(driven);
        }
    }
    Ok(pictures)
}

const CLOCK: Reg = Reg::Core(Core::Video, CoreReg::Clock);
const LIST_ADDRESS: Reg = Reg::Core(Core::Video, CoreReg::ListAddress);

/// Which channel's a list is, given the first list and the number of pictures of each.
fn place(firsts: &mut Vec<(u32, u32)>, list: u32) -> Driven {
    let is_of = |(first, _): &(u32, u32)| (*first..*first + LISTS * LIST_LEN_BYTES).contains(&list);
    let channel = firsts.iter().position(is_of).unwrap_or_else(|| {
        firsts.push((list, 0));
        firsts.len() - 1
    });
    let (first, count) = &mut firsts[channel];
    let index = *count;
    *count += 1;
    Driven {
        channel,
        index,
        list_offset_bytes: list - *first,
    }
}

fn expect(found: Option<(usize, Access)>, recorded: Access) -> Result<(), Difference> {
    match found {
        Some((_, access)) if access == recorded => Ok(()),
        _ => Err(Difference {
            place: found.map_or(usize::MAX, |(place, _)| place),
            recorded,
            found: found.map(|(_, access)| access),
        }),
    }
}

/// The recorded mask with other lines of other cores.
fn with_lines(access: Access, other_lines: u32) -> Access {
    let change = |value: u32| value & !OTHER_LINES | other_lines;
    match access {
        Access::Read {
            register: register @ Reg::IrqMask,
            value,
        } => Access::Read {
            register,
            value: change(value),
        },
        Access::Write {
            register: register @ Reg::IrqMask,
            value,
        } => Access::Write {
            register,
            value: change(value),
        },
        other => other,
    }
}

fn is_of(access: &Access, wanted: Reg) -> bool {
    match access {
        Access::Read { register, .. } | Access::Write { register, .. } => *register == wanted,
        Access::Flush { .. } => false,
    }
}

fn list_of(access: &Access) -> Option<u32> {
    match access {
        Access::Write { register, value } if *register == LIST_ADDRESS => Some(*value),
        _ => None,
    }
}

fn access(line: &str) -> Access {
    line.parse().expect("a line of the recording")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(
                f,
                "expected `{}` as access {}, found `{found}`",
                self.recorded, self.place
            ),
            None => write!(f, "expected `{}`, found the end", self.recorded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Vec<Access> {
        let lines = [
            "R 8014 = 00000010",
            "W 8014 = 00000010",
            "W 83f0 = 00000001",
        ];
        let all = lines.iter().chain(&OPENING).chain(&PICTURE);
        all.map(|line| access(line)).collect()
    }

    #[test]
    fn a_recording_is_equal_to_itself() {
        let driven = Driven {
            channel: 0,
            index: 0,
            list_offset_bytes: 0,
        };
        assert_eq!(compare(&recording(), OTHER_LINES), Ok(vec![driven]));
    }

    #[test]
    fn any_access_that_is_missing_doubled_changed_or_moved_is_a_difference() {
        let good = recording();
        // What comes before the opening does not count, and without its first access there is no opening.
        for place in 4..good.len() {
            let mut missing = good.clone();
            missing.remove(place);
            let mut doubled = good.clone();
            doubled.insert(place, good[place]);
            let mut moved = good.clone();
            moved.swap(place - 1, place);
            let mut cases = vec![("missing", missing), ("doubled", doubled)];
            if place > 4 {
                cases.push(("moved", moved));
            }
            // A first list may lie anywhere.
            if !is_of(&good[place], LIST_ADDRESS) {
                let mut changed = good.clone();
                changed[place] = match changed[place] {
                    Access::Read { register, value } => Access::Read {
                        register,
                        value: value ^ 2,
                    },
                    Access::Write { register, value } => Access::Write {
                        register,
                        value: value ^ 2,
                    },
                    flush @ Access::Flush { .. } => flush,
                };
                cases.push(("changed", changed));
            }
            for (what, done) in cases {
                let whole = compare(&done, OTHER_LINES).is_ok_and(|driven| driven.len() == 1);
                // One access more at the end begins what leaves the core quiet.
                let tail = what == "doubled" && place + 1 == good.len();
                assert!(!whole || tail, "access {place} {what}");
            }
        }
    }

    #[test]
    fn a_list_out_of_turn_is_a_difference() {
        let mut done = recording();
        for line in PICTURE {
            done.push(access(&line.replace("06802a00", "06802e00")));
        }
        let difference = compare(&done, OTHER_LINES).expect_err("a list was left out");
        let said = "expected `W 83e0 = 06802c00` as access 31, found `W 83e0 = 06802e00`";
        assert_eq!(difference.to_string(), said);
    }
}
