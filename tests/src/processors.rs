//! On which processors a bench runs: what one processor shares and what crosses between two are different figures.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The processors that this process may run on. Processes that it starts run where it runs then.
#[derive(Debug)]
pub struct Processors {
    all: CpuSet,
    first: CpuSet,
}

impl Processors {
    /// Those of this moment.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn allowed() -> Self {
        let all = sched_getaffinity(SELF).expect("a set of processors");
        let mut first = CpuSet::new();
        let index = (0..CpuSet::count()).find(|&index| all.is_set(index) == Ok(true));
        first.set(index.expect("one at least")).expect("it exists");
        Self { all, first }
    }

    /// Runs on one of them only from now on.
    ///
    /// # Panics
    /// When the kernel does not let it.
    pub fn use_one(&self) {
        sched_setaffinity(SELF, &self.first).expect("a processor to run on");
    }

    /// Runs on any of them from now on.
    ///
    /// # Panics
    /// When the kernel does not let it.
    pub fn use_all(&self) {
        sched_setaffinity(SELF, &self.all).expect("processors to run on");
    }
}

/// The calling thread, which is the only one as long as no other was started.
const SELF: Pid = Pid::from_raw(0);
