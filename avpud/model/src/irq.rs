//! Interrupts as the core raises them and as the kernel driver hands them on.
//!
//! The driver's handler acknowledges every pending bit, also masked ones, and appends the enabled ones to a queue of
//! the whole device in ascending order. A wait takes one entry. Entries are kept while nobody has the device open and
//! thrown away at the next open. UNBLOCK is for good: it is tested before the queue, and only a new open ends it.

use std::collections::VecDeque;

/// Interrupt state of the core and of the driver.
#[derive(Debug)]
pub(crate) struct Interrupts {
    mask: u32,
    pending: u32,
    queue: VecDeque<u8>,
    open: bool,
    unblocked: bool,
    interrupted: u32,
}

/// What a wait finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// One interrupt: its line.
    Line(u8),
    /// A signal: the wait fails once with EINTR.
    Interrupted,
    /// The file was unblocked: the wait fails with EINTR, now and always.
    Unblocked,
    /// The file is closed.
    Closed,
    /// Nothing yet: the wait blocks.
    Nothing,
}

/// The lines that the driver's handler looks at.
const LINES: u8 = 20;
/// The bits that the pending register has.
pub(crate) const PENDING_BITS: u32 = 0x00ff_ffff;
/// Room for entries before the queue allocates.
const QUEUE_ROOM: usize = 256;

impl Interrupts {
    pub(crate) fn new() -> Self {
        Self {
            mask: 0,
            pending: 0,
            queue: VecDeque::with_capacity(QUEUE_ROOM),
            open: false,
            unblocked: false,
            interrupted: 0,
        }
    }

    /// Opens the file; false when it is open.
    pub(crate) fn open(&mut self) -> bool {
        if self.open {
            return false;
        }
        self.open = true;
        self.unblocked = false;
        self.interrupted = 0;
        self.queue.clear();
        true
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    pub(crate) fn unblock(&mut self) {
        self.unblocked = true;
    }

    pub(crate) fn mask(&self) -> u32 {
        self.mask
    }

    pub(crate) fn pending(&self) -> u32 {
        self.pending
    }

    /// Writes the mask. A source that is pending and becomes enabled interrupts at once.
    pub(crate) fn set_mask(&mut self, mask: u32) {
        self.mask = mask;
        self.handle();
    }

    /// Clears the pending bits that are 1 in `bits`.
    pub(crate) fn acknowledge(&mut self, bits: u32) {
        self.pending &= !(bits & PENDING_BITS);
    }

    /// The core raises a line.
    pub(crate) fn raise(&mut self, line: u8) {
        self.pending |= 1_u32.checked_shl(line.into()).unwrap_or(0) & PENDING_BITS;
        self.handle();
    }

    /// A wake-up with a line that the core never raised.
    pub(crate) fn wake(&mut self, line: u8) {
        self.queue.push_back(line);
    }

    /// The next wait fails once.
    pub(crate) fn interrupt_wait(&mut self) {
        self.interrupted += 1;
    }

    /// What a wait finds now.
    pub(crate) fn take(&mut self) -> Waited {
        if !self.open {
            return Waited::Closed;
        }
        if self.unblocked {
            return Waited::Unblocked;
        }
        if self.interrupted > 0 {
            self.interrupted -= 1;
            return Waited::Interrupted;
        }
        self.queue.pop_front().map_or(Waited::Nothing, Waited::Line)
    }

    /// Whether a wait would find something.
    pub(crate) fn ready(&self) -> bool {
        !self.open || self.unblocked || self.interrupted > 0 || !self.queue.is_empty()
    }

    /// The driver's handler.
    fn handle(&mut self) {
        let active = self.pending & self.mask;
        if active == 0 {
            return;
        }
        self.pending = 0;
        for line in 0..LINES {
            if active & (1 << line) != 0 {
                self.queue.push_back(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Interrupts {
        let mut irq = Interrupts::new();
        assert!(irq.open());
        irq
    }

    #[test]
    fn a_masked_source_is_lost_when_an_enabled_one_fires() {
        let mut irq = opened();
        irq.set_mask(0x10);
        irq.raise(0);
        assert_eq!((irq.pending(), irq.take()), (1, Waited::Nothing));
        irq.raise(4);
        assert_eq!((irq.pending(), irq.take()), (0, Waited::Line(4)));
        irq.set_mask(0x11);
        assert_eq!(irq.take(), Waited::Nothing);
    }

    #[test]
    fn unmasking_a_pending_source_interrupts_at_once() {
        let mut irq = opened();
        irq.raise(0);
        irq.set_mask(1);
        assert_eq!(irq.take(), Waited::Line(0));
    }

    #[test]
    fn one_wait_takes_one_line_lowest_first_and_oldest_first() {
        let mut irq = opened();
        irq.raise(4);
        irq.raise(0);
        irq.set_mask(0x11);
        irq.raise(0);
        let taken: Vec<_> = (0..4).map(|_| irq.take()).collect();
        let lines = [
            Waited::Line(0),
            Waited::Line(4),
            Waited::Line(0),
            Waited::Nothing,
        ];
        assert_eq!(taken, lines);
    }

    #[test]
    fn unblock_is_for_good_and_comes_before_queued_lines() {
        let mut irq = opened();
        irq.set_mask(1);
        irq.raise(0);
        irq.unblock();
        assert_eq!(irq.take(), Waited::Unblocked);
        assert_eq!(irq.take(), Waited::Unblocked);
    }

    #[test]
    fn open_is_exclusive_and_throws_stale_lines_away() {
        let mut irq = opened();
        assert!(!irq.open());
        irq.set_mask(1);
        irq.unblock();
        irq.close();
        irq.raise(0);
        assert_eq!(irq.take(), Waited::Closed);
        assert!(irq.open());
        assert_eq!(irq.take(), Waited::Nothing);
    }
}
