//! What it is worth to make the next picture ready while one is encoded.
//!
//! `cargo bench -p avpu-tests --bench ahead`. First what the core and the driver have to do between two pictures, by
//! themselves; then the time from an interrupt to the write that starts the next picture in the whole daemon, with its
//! two threads and the kernel between them. Each without and with a picture that was made ready.

mod gap;
mod parts;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

fn main() {
    let everywhere = sched_getaffinity(Pid::from_raw(0)).expect("a set of processors");
    let first = (0..CpuSet::count())
        .find(|&index| everywhere.is_set(index) == Ok(true))
        .expect("a processor");
    let mut one = CpuSet::new();
    one.set(first).expect("a processor");
    let pin = |set| sched_setaffinity(Pid::from_raw(0), set).expect("processors to run on");
    pin(&one);
    parts::run();
    gap::run("all on one processor");
    pin(&everywhere);
    gap::run("on any processor");
}
