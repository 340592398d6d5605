//! What the host did that the silicon would not have forgiven.
//!
//! The model never guesses what was meant: it uses what it is given, records a [`ModelFault`] for every rule that was
//! broken, and lets the picture suffer what a T31 was seen to make of it ([`Effect`]).

use std::fmt;

/// What a broken rule does to the picture, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing that shows at once.
    Noted,
    /// The status words are filled with 0x00808080; there is no slice data.
    ErrorFill,
    /// No completion and no interrupt; a reset helps.
    NeverCompletes,
    /// The bus hangs: no completion, registers stuck; no reset helps.
    BusHang,
}

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFault {
    /// Number of the picture, counted by pushes from 0; `None` between pictures.
    pub picture: Option<u32>,
    /// The rule.
    pub violation: Violation,
}

/// Which rule was broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A word of the command list does not say what the rest of the list implies.
    Word {
        /// Number of the word.
        word: u8,
        /// Value expected, with the bits in question only.
        expected: u32,
        /// Value found, with the same bits.
        found: u32,
        /// The rule in words.
        rule: &'static str,
    },
    /// The groups of the rate control inside a picture do not tile it.
    Grid {
        /// Macroblock columns of the picture.
        mb_width: u32,
        /// Columns of groups found in word 0x14.
        columns: u32,
        /// Macroblocks in a group found there.
        group: u32,
    },
    /// The core would access an address that it must not.
    Address {
        /// Number of the word that holds it; `NO_WORD` for the list itself.
        word: u8,
        /// The address.
        address: u32,
        /// Bytes accessed from there.
        len_bytes: u32,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// Two objects of one job share memory.
    Overlap {
        /// Number of the word that points at the one.
        word: u8,
        /// Number of the word that points at the other.
        other: u8,
        /// First address of the first.
        address: u32,
    },
    /// A picture refers to something else than what the core wrote there.
    Reference {
        /// Number of the word.
        word: u8,
        /// What the core wrote.
        expected: u32,
        /// What the list says.
        found: u32,
        /// The rule in words.
        rule: ReferenceRule,
    },
    /// A table in memory does not hold what the command list says it does.
    Table {
        /// Address of the first entry that differs.
        address: u32,
        /// Its value by the rule.
        expected: u32,
        /// Its value.
        found: u32,
        /// The rule in words.
        rule: &'static str,
    },
    /// The list asks for something that this model does not do.
    Unsupported {
        /// What it asks for.
        what: &'static str,
    },
    /// A register access out of order.
    Register {
        /// Offset of the register.
        offset: u32,
        /// Value written, 0 for a read.
        value: u32,
        /// The rule.
        rule: RegisterRule,
    },
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressProblem {
    /// It is 0.
    Zero,
    /// It is not a multiple of this.
    Unaligned {
        /// Alignment in bytes.
        alignment: u32,
    },
    /// Some of the range is not memory.
    Outside,
}

/// A rule about the picture referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceRule {
    /// Its order count is the one it was encoded with.
    OrderCount,
    /// The order count of its own reference is the one it was encoded with.
    OwnReference,
    /// Its chroma, map or vectors are where they were written.
    Place,
    /// It has the same size.
    Geometry,
    /// It was completed.
    Broken,
}

/// A rule about register accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterRule {
    /// Reset is 1, 2, 4.
    ResetOrder,
    /// Nothing comes between the three writes of a reset.
    ResetInterrupted,
    /// No register is read within 100 us after a push while the picture runs.
    ReadAfterPush,
    /// The clock runs when a picture is pushed.
    ClockOff,
    /// One picture at a time.
    Busy,
    /// A reset comes before every picture.
    NoReset,
    /// 0x8010 and 0x8054 are written before the first picture.
    NotPoweredUp,
    /// After a picture the interrupt is masked and the clock gated before the next one.
    NotGated,
    /// Only 2 is pushed: there is no separate entropy stage.
    PushValue,
    /// Clock commands are 0 and 1.
    ClockCommand,
    /// Bits 31:24 of the pending register are never written.
    PendingTopBits,
    /// Offset addressing is left alone.
    OffsetMode,
    /// The JPEG core is not modelled.
    JpegCore,
    /// The register is known.
    Unknown,
}

/// In [`Violation::Address`] and [`Violation::Overlap`]: the command list itself, whose address is in register 0x83E0.
pub const NO_WORD: u8 = 0xff;

impl Violation {
    /// What it does to the picture.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Word { .. } | Self::Overlap { .. } | Self::Unsupported { .. } => {
                Effect::ErrorFill
            }
            Self::Reference { rule, .. } => match rule {
                ReferenceRule::Broken => Effect::Noted,
                _ => Effect::ErrorFill,
            },
            Self::Table { .. } => Effect::Noted,
            Self::Grid { .. } => Effect::NeverCompletes,
            Self::Address { .. } => Effect::BusHang,
            Self::Register { rule, .. } => match rule {
                RegisterRule::NoReset | RegisterRule::NotGated => Effect::ErrorFill,
                RegisterRule::ClockOff | RegisterRule::Busy | RegisterRule::PushValue => {
                    Effect::NeverCompletes
                }
                RegisterRule::OffsetMode => Effect::BusHang,
                _ => Effect::Noted,
            },
        }
    }

    /// Number of the word concerned, where one is.
    #[must_use]
    pub fn word(&self) -> Option<u8> {
        match *self {
            Self::Word { word, .. }
            | Self::Address { word, .. }
            | Self::Overlap { word, .. }
            | Self::Reference { word, .. } => Some(word),
            Self::Grid { .. } => Some(0x14),
            Self::Table { .. } | Self::Unsupported { .. } | Self::Register { .. } => None,
        }
    }
}

impl fmt::Display for ModelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.picture {
            Some(picture) => write!(f, "picture {picture}: {}", self.violation),
            None => self.violation.fmt(f),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Word {
                word,
                expected,
                found,
                rule,
            } => write!(
                f,
                "{rule}: expected {expected:#010x} in word {word:#04x}, found {found:#010x}"
            ),
            Self::Grid {
                mb_width,
                columns,
                group,
            } => write!(
                f,
                "expected groups that tile {mb_width} macroblock columns, at most 64 a row and 1023 in all, \
                 found {columns} columns of {group}"
            ),
            Self::Address {
                word,
                address,
                len_bytes,
                problem,
            } => {
                match problem {
                    AddressProblem::Zero => write!(f, "expected an address, found 0")?,
                    AddressProblem::Unaligned { alignment } => write!(
                        f,
                        "expected a multiple of {alignment}, found {address:#010x}"
                    )?,
                    AddressProblem::Outside => write!(
                        f,
                        "expected {len_bytes} bytes of memory, found a hole at or after {address:#010x}"
                    )?,
                }
                write_place(f, word)
            }
            Self::Overlap {
                word,
                other,
                address,
            } => {
                write!(f, "expected objects apart, found one at {address:#010x}")?;
                write_place(f, word)?;
                write!(f, " and one")?;
                write_place(f, other)
            }
            Self::Reference {
                word,
                expected,
                found,
                rule,
            } => write!(
                f,
                "{rule}: expected {expected:#010x} in word {word:#04x}, found {found:#010x}"
            ),
            Self::Table {
                address,
                expected,
                found,
                rule,
            } => write!(
                f,
                "{rule}: expected {expected:#x} at {address:#010x}, found {found:#x}"
            ),
            Self::Unsupported { what } => write!(f, "expected a mode of the model, found {what}"),
            Self::Register {
                offset,
                value,
                rule,
            } => write!(
                f,
                "expected {rule}, found an access to {offset:#06x} with {value:#010x}"
            ),
        }
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, word: u8) -> fmt::Result {
    if word == NO_WORD {
        write!(f, " in register 0x83e0")
    } else {
        write!(f, " in word {word:#04x}")
    }
}

impl fmt::Display for ReferenceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OrderCount => "order count of the reference",
            Self::OwnReference => "order count of the reference's own reference",
            Self::Place => "place of a part of the reference",
            Self::Geometry => "size of the reference",
            Self::Broken => "a reference that was completed",
        })
    }
}

impl fmt::Display for RegisterRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetOrder => "reset writes 1, 2, 4",
            Self::ResetInterrupted => "nothing between the writes of a reset",
            Self::ReadAfterPush => "no read within 100 us after a push",
            Self::ClockOff => "the clock on before a push",
            Self::Busy => "a core that is idle before a push",
            Self::NoReset => "a reset before a push",
            Self::NotPoweredUp => "0x8010 and 0x8054 written before the first push",
            Self::NotGated => "interrupt masked and clock gated after the picture before",
            Self::PushValue => "a push of 2",
            Self::ClockCommand => "clock command 0 or 1",
            Self::PendingTopBits => "bits 31:24 of the pending register left alone",
            Self::OffsetMode => "absolute addressing",
            Self::JpegCore => "no access to the jpeg core, which is not modelled",
            Self::Unknown => "a register that is known",
        })
    }
}
