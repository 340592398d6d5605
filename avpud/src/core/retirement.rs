//! Memory on its way back: from its last use, over a look at its guards, to the pool.
//!
//! The shell is asked to take memory away from whoever reached it. It answers with what the guards around it say, and
//! only then the memory may be leased again, or never, when something wrote where nobody may.

use crate::core::broker::Broker;
use crate::core::event::{Guards, Peer};
use crate::core::note::Note;
use crate::core::pool::Lease;
use crate::mem::addr::PhysRange;

/// Memory that the shell was asked to take back.
#[derive(Debug)]
pub(super) struct Retiring {
    memory: Lease,
    /// Who held it, where something may still write to it that no descriptor bounds.
    left_by: Option<Peer>,
}

impl Broker {
    /// Keeps memory that the shell was asked to take back until [`Self::handle_memory_returned`].
    pub(super) fn retire(&mut self, memory: Lease, left_by: Option<Peer>) {
        self.retiring.push(Retiring { memory, left_by });
    }

    pub(super) fn handle_memory_returned(&mut self, memory: PhysRange, guards: Guards) {
        let index = self
            .retiring
            .iter()
            .position(|r| r.memory.range() == memory);
        let Some(index) = index else {
            return;
        };
        let Retiring {
            memory: lease,
            left_by,
        } = self.retiring.swap_remove(index);
        match (guards, left_by) {
            (Guards::Intact, Some(holder)) => return self.hold_back(lease, holder),
            (Guards::Intact, None) => return self.pool.release(lease),
            (Guards::Broken(_) | Guards::Unseen, _) => {}
        }
        if let Guards::Broken(count) = guards {
            let broken = &mut self.counters.guards_broken;
            *broken = broken.saturating_add(count);
        }
        self.condemn(lease, guards);
    }

    /// Keeps memory out of use, as something may still write to it.
    pub(super) fn condemn(&mut self, lease: Lease, guards: Guards) {
        let memory = lease.range();
        self.pool.condemn(lease);
        self.note(Note::MemoryCondemned { memory, guards });
    }
}
