//! A whole session: the bytes are a script of operations, lived through in the world of the tests with its oracle.
#![no_main]

use avpu_tests::world::{Script, live};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A world answers for itself: it panics when an invariant is broken.
    let _ = live(&Script::from_bytes(bytes));
});
