//! A sum of everything that a world's daemon did: two runs with the same sum did the same.

use avpu_proto::reply::Reply;
use avpu_proto::report::{AheadReport, StatusReport};
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

    /// A command list that was started, and where it lies among its channel's.
    pub(super) fn record_list(&mut self, at: u32, list: &[u8]) {
        self.add(&at.to_le_bytes());
        self.add(list);
    }

    /// The bytes of a packet, as they come out of the encoder.
    pub(super) fn record_packet(&mut self, packet: &[u8]) {
        self.add(packet);
    }

    pub(super) fn record(&mut self, now: Micros, output: &Output) {
        self.line.clear();
        let wrote = match output {
            // What is made ready is no deed: the sum is the same with and without it.
            Output::Prepare(_) => return,
            Output::Reply {
                session,
                id,
                body: Reply::Status(status),
                ..
            } => {
                let status = StatusReport {
                    ahead: AheadReport::default(),
                    ..status.clone()
                };
                write!(self.line, "{now} {session:?} {id} {status:?}")
            }
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
        let line = core::mem::take(&mut self.line);
        self.add(line.as_bytes());
        self.line = line;
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        LATEST.set(self.hash);
    }
}
