//! What it is worth to make the next picture ready while one is encoded.
//!
//! `cargo bench -p avpu-tests --bench ahead`. First what the core and the driver have to do between two pictures, by
//! themselves; then the time from an interrupt to the write that starts the next picture in the whole daemon, with its
//! two threads and the kernel between them. Each without and with a picture that was made ready.

mod gap;
mod parts;

use avpu_tests::processors::Processors;

fn main() {
    let processors = Processors::allowed();
    processors.use_one();
    parts::run();
    gap::run("all on one processor");
    processors.use_all();
    gap::run("on any processor");
}
