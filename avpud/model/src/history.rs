//! What the core wrote into which picture buffer.
//!
//! The real core keeps nothing between pictures and takes a reference for what the list says it is. The model
//! remembers, so that it can tell when list and memory disagree. A buffer it has not written yet is never held
//! against anyone: after a restart of the host there may be a good picture in it.

use crate::avc::SliceKind;
use crate::cmdlist::{Addresses, CommandList};
use crate::violation::{ReferenceRule, Violation};

/// A buffer and what is in it.
#[derive(Clone, Copy, Debug)]
struct Written {
    rec: Addresses,
    size: (u16, u16),
    poc: u32,
    /// Order count of its own reference, all ones if it has none.
    reference_poc: u32,
    /// It was completed without an error.
    good: bool,
    /// Larger is younger.
    age: u64,
}

/// All buffers remembered.
#[derive(Debug)]
pub(crate) struct History {
    written: Vec<Written>,
    count: u64,
}

/// Buffers remembered: two for each channel that a core can have running.
const BUFFERS_MAX: usize = 128;

impl History {
    pub(crate) fn new() -> Self {
        Self {
            written: Vec::with_capacity(BUFFERS_MAX),
            count: 0,
        }
    }

    /// Checks what a P picture says of its reference.
    pub(crate) fn check(&self, list: &CommandList, report: &mut dyn FnMut(Violation)) {
        if list.kind != SliceKind::P {
            return;
        }
        let Some(written) = self
            .written
            .iter()
            .find(|w| w.rec.rec_luma == list.at.ref_luma)
        else {
            return;
        };
        let mut compare = |word, expected, found, rule| {
            if expected != found {
                report(Violation::Reference {
                    word,
                    expected,
                    found,
                    rule,
                });
            }
        };
        compare(0x28, 1, u32::from(written.good), ReferenceRule::Broken);
        let size = |(width, height): (u16, u16)| u32::from(width) << 16 | u32::from(height);
        compare(
            0x01,
            size(written.size),
            size((list.width, list.height)),
            ReferenceRule::Geometry,
        );
        let rec = &written.rec;
        for (word, expected, found) in [
            (0x29, rec.rec_chroma, list.at.ref_chroma),
            (0x2c, rec.rec_vectors, list.at.ref_vectors),
            (0x38, rec.rec_map, list.at.ref_map),
        ] {
            compare(word, expected, found, ReferenceRule::Place);
        }
        compare(
            0x0d,
            written.poc,
            list.reference_poc,
            ReferenceRule::OrderCount,
        );
        compare(
            0x10,
            written.reference_poc,
            list.reference_reference_poc,
            ReferenceRule::OwnReference,
        );
    }

    /// Remembers that a picture was written, or that an attempt left nothing to refer to.
    pub(crate) fn record(&mut self, list: &CommandList, good: bool) {
        self.count += 1;
        let reference_poc = match list.kind {
            SliceKind::I => u32::MAX,
            SliceKind::P => list.reference_poc,
        };
        let entry = Written {
            rec: list.at,
            size: (list.width, list.height),
            poc: list.poc,
            reference_poc,
            good,
            age: self.count,
        };
        let (start, end) = luma_range(list.at.rec_luma, entry.size);
        self.written.retain(|w| {
            let (other_start, other_end) = luma_range(w.rec.rec_luma, w.size);
            other_end <= start || end <= other_start
        });
        if self.written.len() >= BUFFERS_MAX
            && let Some(oldest) =
                (0..self.written.len()).min_by_key(|&index| self.written.get(index).map(|w| w.age))
        {
            self.written.swap_remove(oldest);
        }
        self.written.push(entry);
    }
}

fn luma_range(start: u32, size: (u16, u16)) -> (u64, u64) {
    let start = u64::from(start);
    (
        start,
        start + u64::from(size.0).next_multiple_of(64) * u64::from(size.1).next_multiple_of(64),
    )
}
