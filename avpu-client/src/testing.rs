//! What the unit tests of this crate share.

use std::fs::{File, OpenOptions};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file without a name, to be mapped.
pub(crate) fn shared_file() -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("avpu-client-test-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
