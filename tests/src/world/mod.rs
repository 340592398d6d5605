//! A world in virtual time: clients that say anything over byte-level pipes, the daemon's core, its driver, and the
//! register-level model of the encoder with faults; after every step an oracle judges what came out.
//!
//! A [`Script`] decides everything that happens, so a seed is a world, the same seed is the same world (its
//! [`Outcome::hash`] says so), and any part of a script is a script: a failure is made short before anybody reads it.
//! What is the real daemon's here: `proto`'s frames both ways, the whole core, the whole driver, the joining of header
//! and payload. What is not: the kernel, and the loop that moves bytes, time and interrupts, which `shell` and `hands` do
//! by the same rules.
//!
//! Every kind of operation, request, refusal, end of a frame and state is counted ([`Seen`]), so that a run can say what it
//! has not shown.
//!
//! What needs a busy encoder does not show here: for the order of deadlines and shares there is
//! [`schedule`](crate::schedule).

mod ahead;
mod chance;
mod client;
mod flaky;
mod hands;
mod kinds;
mod op;
mod oracle;
mod pipe;
mod ring;
mod script;
mod seen;
mod shell;
mod shrink;
mod trace;

pub use chance::{Chance, Rng, Tape};
pub use op::{Ask, Op, Place, Which};
pub use script::Script;
pub use seen::{Seen, Subject};
pub use shrink::shrink;
pub use trace::latest as latest_hash;

use shell::Shell;

/// First address of the memory that the daemon owns.
const ARENA: u32 = 0x0630_0000;
/// First address of memory that somebody else owns and that frames may lie in.
const WINDOW: u32 = 0x0500_0000;
/// Bytes there.
const WINDOW_LEN: u32 = 0x0040_0000;

/// What became of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Sum of everything that the daemon did.
    pub hash: u64,
    /// What happened in it.
    pub seen: Seen,
}

/// Lives a script through, lets everybody go, and judges what is left.
///
/// # Panics
/// When the daemon breaks an invariant.
#[must_use]
pub fn live(script: &Script) -> Outcome {
    run(Shell::new(script), script)
}

/// The same with a daemon that makes nothing ready before its turn.
///
/// # Panics
/// When the daemon breaks an invariant.
#[must_use]
pub fn live_without_ahead(script: &Script) -> Outcome {
    let mut shell = Shell::new(script);
    shell.looks_ahead = false;
    run(shell, script)
}

fn run(mut shell: Shell, script: &Script) -> Outcome {
    for op in &script.ops {
        if shell.is_over() {
            break;
        }
        shell.perform(op);
    }
    shell.wind_up()
}
