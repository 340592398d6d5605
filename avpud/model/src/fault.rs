//! Faults of the silicon that are wanted: which, when, and how strong.
//!
//! A [`FaultPlan`] is a list of rules. A rule names a [`FaultKind`] and the pictures it strikes, counted by pushes from
//! 0 since the device was made, or how often it strikes on average, drawn from the seed. The text form joins rules
//! with commas: `lost@17,late@20-24:50000,garbage/300` is a lost interrupt for picture 17, interrupts that come 50 ms
//! late for pictures 20 to 24, and garbage in the status words of every 300th picture on average. The number after
//! the colon is the fault's argument; each kind says what it means.

use crate::rng::Rng;
use std::fmt;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// `lost`: the picture completes, its interrupt never comes.
    Lost,
    /// `late`: the interrupt comes so many microseconds after the completion (50000).
    Late,
    /// `early`: the interrupt comes when the picture is done, the status words so many microseconds later (400).
    Early,
    /// `duplicate`: the interrupt comes twice.
    Duplicate,
    /// `spurious`: an interrupt comes with the push, when word 0x41 is still 0, and the real one later.
    Spurious,
    /// `wake`: a wake-up with another line (4, the JPEG core) comes with the push.
    Wake,
    /// `eintr`: the wait fails once with EINTR, with the push.
    Eintr,
    /// `stuck`: the picture never completes and the status register stays 3 until so many resets were made (1).
    Stuck,
    /// `latched`: the picture completes and the status register stays 3 until the next reset.
    Latched,
    /// `axi`: the bus hangs: no completion, every register reads 3, until so many resets were made (0: for good).
    Axi,
    /// `overflow`: word 0x41 says more bytes than the budget; the buffer is filled up to the budget.
    Overflow,
    /// `fill`: the status words hold an error pattern made of this byte (128) and the reconstruction is grey.
    ErrorFill,
    /// `garbage`: the status words hold random numbers.
    Garbage,
    /// `unescaped`: one emulation prevention byte before 00, 01 or 02 is missing, the one of this index (0). Strikes
    /// only pictures that have so many.
    Unescaped,
    /// `tail`: the last 64 bytes of the slice data arrive so many microseconds after the interrupt (1000).
    LateTail,
}

/// Which pictures a rule strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultSchedule {
    /// Those from `first` to `last`, counted by pushes from 0.
    Pictures {
        /// First one.
        first: u32,
        /// Last one.
        last: u32,
    },
    /// One in so many, drawn from the seed.
    OneIn(u32),
}

/// One rule of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// What goes wrong.
    pub kind: FaultKind,
    /// When.
    pub schedule: FaultSchedule,
    /// How strong; see [`FaultKind`].
    pub argument: u32,
}

/// All rules of a device. An empty plan is a device that works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    rules: Vec<FaultRule>,
}

/// What strikes one picture: the argument of each kind that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strike {
    arguments: [Option<u32>; FaultKind::ALL.len()],
}

/// A text that is not a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlanError {
    found: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Kind,
    Schedule,
    Number(String),
    Range,
    Argument(u32),
}

impl FaultKind {
    /// All kinds, in order.
    pub const ALL: [Self; 15] = [
        Self::Lost,
        Self::Late,
        Self::Early,
        Self::Duplicate,
        Self::Spurious,
        Self::Wake,
        Self::Eintr,
        Self::Stuck,
        Self::Latched,
        Self::Axi,
        Self::Overflow,
        Self::ErrorFill,
        Self::Garbage,
        Self::Unescaped,
        Self::LateTail,
    ];

    /// Its name in a plan's text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Early => "early",
            Self::Duplicate => "duplicate",
            Self::Spurious => "spurious",
            Self::Wake => "wake",
            Self::Eintr => "eintr",
            Self::Stuck => "stuck",
            Self::Latched => "latched",
            Self::Axi => "axi",
            Self::Overflow => "overflow",
            Self::ErrorFill => "fill",
            Self::Garbage => "garbage",
            Self::Unescaped => "unescaped",
            Self::LateTail => "tail",
        }
    }

    /// The argument when the text has none.
    #[must_use]
    pub fn default_argument(self) -> u32 {
        match self {
            Self::Late => 50_000,
            Self::Early => 400,
            Self::Wake => 4,
            Self::Stuck => 1,
            Self::ErrorFill => 0x80,
            Self::LateTail => 1_000,
            _ => 0,
        }
    }

    /// The largest argument that means something.
    fn argument_max(self) -> u32 {
        match self {
            // The driver hands on lines 0 to 19.
            Self::Wake => 19,
            Self::ErrorFill => 0xff,
            _ => u32::MAX,
        }
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|&kind| kind == self).unwrap_or(0)
    }
}

impl FaultRule {
    /// A rule for one picture with the kind's own argument.
    #[must_use]
    pub fn at(kind: FaultKind, picture: u32) -> Self {
        Self {
            kind,
            schedule: FaultSchedule::Pictures {
                first: picture,
                last: picture,
            },
            argument: kind.default_argument(),
        }
    }

    /// Reads one rule: `kind@picture`, `kind@first-last` or `kind/period`, each with `:argument` if wanted.
    ///
    /// # Errors
    /// [`FaultPlanError`] saying what was expected.
    pub fn parse(text: &str) -> Result<Self, FaultPlanError> {
        let fail = |problem| FaultPlanError {
            found: text.to_owned(),
            problem,
        };
        let number = |digits: &str| {
            digits
                .parse::<u32>()
                .map_err(|_| fail(Problem::Number(digits.to_owned())))
        };
        let (when, argument) = match text.split_once(':') {
            Some((when, argument)) => (when, Some(number(argument)?)),
            None => (text, None),
        };
        let mark = when
            .find(['@', '/'])
            .ok_or_else(|| fail(Problem::Schedule))?;
        let (name, schedule) = when.split_at(mark);
        let kind = FaultKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| fail(Problem::Kind))?;
        let schedule = match (schedule.strip_prefix('@'), schedule.strip_prefix('/')) {
            (Some(pictures), _) => {
                let (first, last) = pictures.split_once('-').unwrap_or((pictures, pictures));
                FaultSchedule::Pictures {
                    first: number(first)?,
                    last: number(last)?,
                }
            }
            (None, Some(period)) => FaultSchedule::OneIn(number(period)?),
            (None, None) => return Err(fail(Problem::Schedule)),
        };
        let empty = match schedule {
            FaultSchedule::Pictures { first, last } => first > last,
            FaultSchedule::OneIn(period) => period == 0,
        };
        if empty {
            return Err(fail(Problem::Range));
        }
        let argument = argument.unwrap_or(kind.default_argument());
        if argument > kind.argument_max() {
            return Err(fail(Problem::Argument(kind.argument_max())));
        }
        Ok(Self {
            kind,
            schedule,
            argument,
        })
    }
}

impl FaultPlan {
    /// A plan with these rules.
    #[must_use]
    pub fn new(rules: Vec<FaultRule>) -> Self {
        Self { rules }
    }

    /// Reads rules joined by commas.
    ///
    /// # Errors
    /// [`FaultPlanError`] for the first text that is not a rule.
    pub fn parse(text: &str) -> Result<Self, FaultPlanError> {
        let rules: Result<_, _> = text.split(',').map(FaultRule::parse).collect();
        rules.map(Self::new)
    }

    /// Adds a rule.
    pub fn push(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// What strikes picture number `picture`. Draws one number for each rule with a rate, whatever strikes, so that
    /// two runs with one seed see the same faults.
    pub fn strike(&self, picture: u32, rng: &mut Rng) -> Strike {
        let mut strike = Strike::default();
        for rule in &self.rules {
            let hit = match rule.schedule {
                FaultSchedule::Pictures { first, last } => (first..=last).contains(&picture),
                FaultSchedule::OneIn(period) => rng.one_in(period),
            };
            if hit && let Some(slot) = strike.arguments.get_mut(rule.kind.index()) {
                *slot = Some(rule.argument);
            }
        }
        strike
    }
}

impl Strike {
    /// The argument of `kind`, if it strikes.
    #[must_use]
    pub fn argument(&self, kind: FaultKind) -> Option<u32> {
        self.arguments.get(kind.index()).copied().flatten()
    }

    /// Whether `kind` strikes.
    #[must_use]
    pub fn has(&self, kind: FaultKind) -> bool {
        self.argument(kind).is_some()
    }

    /// Whether anything strikes.
    #[must_use]
    pub fn any(&self) -> bool {
        self.arguments.iter().any(Option::is_some)
    }
}

impl fmt::Display for FaultPlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        match &self.problem {
            Problem::Kind => {
                write!(f, "expected a fault, one of")?;
                for kind in FaultKind::ALL {
                    write!(f, " {}", kind.name())?;
                }
                write!(f, ", found {found}")
            }
            Problem::Schedule => write!(
                f,
                "expected a fault as kind@picture, kind@first-last or kind/period, found {found}"
            ),
            Problem::Number(digits) => {
                write!(f, "expected a number in fault {found}, found {digits:?}")
            }
            Problem::Argument(max) => {
                write!(f, "expected an argument up to {max}, found {found}")
            }
            Problem::Range => write!(
                f,
                "expected pictures in order and a period above 0, found {found}"
            ),
        }
    }
}

impl std::error::Error for FaultPlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_from_text() {
        let plan = FaultPlan::parse("lost@17,late@20-24:70000,garbage/300").expect("a plan");
        let mut rng = Rng::new(1);
        assert!(plan.strike(17, &mut rng).has(FaultKind::Lost));
        assert_eq!(
            plan.strike(22, &mut rng).argument(FaultKind::Late),
            Some(70_000)
        );
        assert!(!plan.strike(25, &mut rng).has(FaultKind::Late));
        assert_eq!(plan.rules().len(), 3);
    }

    #[test]
    fn a_rate_strikes_about_that_often_and_the_same_with_the_same_seed() {
        let plan = FaultPlan::parse("lost/10").expect("a plan");
        let struck = |seed| -> Vec<u32> {
            let mut rng = Rng::new(seed);
            (0..10_000)
                .filter(|&n| plan.strike(n, &mut rng).any())
                .collect()
        };
        let first = struck(7);
        assert!((800..1200).contains(&first.len()), "{}", first.len());
        assert_eq!(first, struck(7));
        assert_ne!(first, struck(8));
    }

    #[test]
    fn every_kind_has_a_name_that_reads_back() {
        for kind in FaultKind::ALL {
            let rule = FaultRule::parse(&format!("{}@3", kind.name())).expect("a rule");
            assert_eq!(rule, FaultRule::at(kind, 3));
        }
    }

    #[test]
    fn a_wrong_rule_says_what_was_expected() {
        for (text, part) in [
            ("loss@1", "expected a fault, one of lost late"),
            ("lost", "kind@picture"),
            ("lost@x", "expected a number"),
            ("lost@9-3", "in order"),
            ("lost/0", "above 0"),
            ("late@1:", "expected a number"),
            ("wake@1:20", "up to 19"),
        ] {
            let message = FaultRule::parse(text).expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
