//! A sum of everything that a world's daemon did: two runs with the same sum did the same.

use avpud::core::event::Output;
use avpud::core::time::Micros;
use core::cell::Cell;
use core::fmt::Write as _;

thread_local! {
    static LATEST: Cell<u64> = const { Cell::new(0) };
}

/// The sum of the world that this thread lives through, or did last: for whoever tells of its failure.
#[must_use]
pub fn latest() -> u64 {
    LATEST.get()
}

/// The sum so far.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    line: String,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            line: String::new(),
        }
    }

    /// The sum.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn record(&mut self, now: Micros, output: &Output) {
        self.line.clear();
        let wrote = match output {
            // Its header, 256 bytes of room, is hashed as what is in it.
            Output::Submit(job) => {
                let (id, kind, index) = (job.id, job.kind, job.gop_index);
                let header = job.header.bytes();
                let (qp, source) = (job.qp, job.source);
                write!(
                    self.line,
                    "{now} {id:?} {kind:?} {index} {qp:?} {source} {header:?}"
                )
            }
            other => write!(self.line, "{now} {other:?}"),
        };
        wrote.expect("a string takes everything");
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        LATEST.set(self.hash);
    }
}
