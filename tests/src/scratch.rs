//! A folder of a test's own among the temporary files, which is gone when the test is.
//!
//! It is removed when its value goes. A test that is killed removes nothing: the next one that wants a folder does, once
//! in a process. A folder is locked as long as its process lives, so that nobody's is taken from under it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How the names of all these folders begin.
const PREFIX: &str = "avpud-test-";

/// A folder that is removed when this value goes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Locked.
    _folder: File,
}

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(label: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        let temporary = std::env::temp_dir();
        SWEPT.call_once(|| sweep(&temporary));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{label}", std::process::id());
        let path = temporary.join(name);
        fs::create_dir(&path).expect("a scratch folder can be made");
        let folder = File::open(&path).expect("a folder can be opened");
        folder.lock().expect("a new folder can be locked");
        Self {
            path,
            _folder: folder,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: a folder that cannot be removed is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what processes left that were killed.
fn sweep(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(pid) = number.and_then(|number| number.split('-').next()) else {
            continue;
        };
        // Two signs, because one made at this moment is not locked yet, and numbers of processes come again.
        let lives = Path::new("/proc").join(pid).exists();
        let locked = || File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_err());
        if !lives && !locked() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let temporary = Scratch::new("sweep");
        // No process has a number as large as this.
        let folder = |pid: u32, label| {
            let path = temporary.path().join(format!("{PREFIX}{pid}-0-{label}"));
            fs::create_dir(&path).expect("a folder");
            path
        };
        let left = folder(u32::MAX, "left");
        fs::write(left.join("log"), "its last words").expect("written");
        let held = folder(u32::MAX, "held");
        let lock = File::open(&held).expect("opened");
        lock.lock().expect("locked");
        let ours = folder(std::process::id(), "ours");
        let other = temporary.path().join("avpud-demo-1");
        fs::create_dir(&other).expect("a folder");
        sweep(temporary.path());
        assert!(!left.exists());
        assert!(held.exists() && ours.exists() && other.exists());
    }
}
