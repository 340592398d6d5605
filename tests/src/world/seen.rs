//! What happened in worlds, counted by kind: what a run never saw it proves nothing about.
//!
//! Every kind has its place in a table. A thing without one ends the world it happened in, so the table is complete.

use crate::world::kinds::{ENDS, EVENTS, HAPPENED, OPERATIONS, REFUSALS, REQUESTS, STATES};

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// What clients and the outside world did.
    Operation,
    /// What was asked and not refused.
    Granted,
    /// Why the rest was refused.
    Refused,
    /// What became of accepted frames.
    End,
    /// States that were told of channels.
    State,
    /// What else clients were told unasked.
    Told,
    /// What else happened.
    Happened,
}

impl Subject {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Operation,
        Self::Granted,
        Self::Refused,
        Self::End,
        Self::State,
        Self::Told,
        Self::Happened,
    ];

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operation => "operations",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::End => "ends of frames",
            Self::State => "states",
            Self::Told => "told",
            Self::Happened => "happened",
        }
    }

    /// Everything of this kind that can happen in a world.
    #[must_use]
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Operation => &OPERATIONS,
            Self::Granted => &REQUESTS,
            Self::Refused => &REFUSALS,
            Self::End => &ENDS,
            Self::State => &STATES,
            Self::Told => &EVENTS,
            Self::Happened => &HAPPENED,
        }
    }
}

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// By subject, then by kind.
    counts: Vec<u32>,
}

/// What may be missing. A daemon that gives its encoder up ends in the same turn, and hardly anybody asks in between. A
/// picture that a reset ends is lost for what the reset was for.
const DISPENSABLE: [(Subject, &str); 2] = [
    (Subject::Refused, "engine-offline"),
    (Subject::End, "engine reset"),
];

impl Default for Seen {
    fn default() -> Self {
        let len = Subject::ALL.iter().map(|subject| subject.kinds().len());
        Self {
            counts: vec![0; len.sum()],
        }
    }
}

impl Seen {
    /// Something happened once more.
    ///
    /// # Panics
    /// When no kind of that subject has this name.
    pub fn count(&mut self, subject: Subject, kind: &str) {
        self.count_many(subject, kind, 1);
    }

    /// Something happened so many times more.
    ///
    /// # Panics
    /// When no kind of that subject has this name.
    pub fn count_many(&mut self, subject: Subject, kind: &str, times: u32) {
        let mut base = 0;
        for of in Subject::ALL {
            if of == subject {
                break;
            }
            base += of.kinds().len();
        }
        let kinds = subject.kinds();
        let Some(index) = kinds.iter().position(|known| *known == kind) else {
            panic!("expected one of the {}, found {kind}", subject.name());
        };
        if let Some(count) = self.counts.get_mut(base + index) {
            *count = count.saturating_add(times);
        }
    }

    /// Every kind with its count, by subject.
    pub fn all(&self) -> impl Iterator<Item = (Subject, &'static str, u32)> {
        let kinds = Subject::ALL
            .into_iter()
            .flat_map(|subject| subject.kinds().iter().map(move |kind| (subject, *kind)));
        kinds
            .zip(self.counts.iter().copied())
            .map(|((subject, kind), count)| (subject, kind, count))
    }

    /// The kinds that did not happen, of those that a run without them says too little about.
    pub fn missing(&self) -> impl Iterator<Item = (Subject, &'static str)> {
        self.all()
            .filter(|(.., count)| *count == 0)
            .map(|(subject, kind, _)| (subject, kind))
            .filter(|missing| !DISPENSABLE.contains(missing))
    }

    /// The counts alone, in the order of [`Self::all`].
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Adds what happened in another world.
    pub fn add(&mut self, other: &Self) {
        self.add_counts(&other.counts);
    }

    /// Adds counts in the order of [`Self::all`].
    pub fn add_counts(&mut self, counts: &[u32]) {
        for (own, other) in self.counts.iter_mut().zip(counts) {
            *own = own.saturating_add(*other);
        }
    }
}
