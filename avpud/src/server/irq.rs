//! The thread that waits for interrupts: waits, hands each line to the loop in order, wakes the loop. Nothing else.
//!
//! It takes no lock, allocates nothing and does not log. All signals are masked in it, so an interrupted wait has one
//! meaning. When the loop falls behind the channel fills and the thread stops taking lines: the device keeps them.

use crate::device::error::WaitError;
use crate::device::{IrqCanceller, IrqSource};
use crate::hw::irq::IrqLine;
use crate::limits::INTERRUPTS_MAX;
use crate::sys;
use mio::Waker;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// What the thread tells the loop.
#[derive(Debug)]
pub(super) enum Interrupt {
    /// A line was raised.
    Line(IrqLine),
    /// Waiting failed; the thread has ended.
    Failed(WaitError),
}

/// The loop's end of the thread.
pub(super) struct Interrupts {
    receiver: Option<Receiver<Interrupt>>,
    canceller: Box<dyn IrqCanceller>,
    thread: Option<JoinHandle<()>>,
    /// Not only the thread's: one that ends takes the wake-up for its last word along when it closes the waker.
    _waker: Arc<Waker>,
}

impl Interrupts {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(
        source: impl IrqSource + 'static,
        canceller: impl IrqCanceller + 'static,
        waker: Waker,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(INTERRUPTS_MAX);
        let waker = Arc::new(waker);
        let thread_waker = Arc::clone(&waker);
        let mask = SigSet::all();
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // The thread inherits the mask: there is no moment in which a signal could reach it.
        let spawned = thread::Builder::new()
            .name("avpud-irq".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || run(source, &sender, &thread_waker));
        before.thread_set_mask()?;
        Ok(Self {
            receiver: Some(receiver),
            canceller: Box::new(canceller),
            thread: Some(spawned?),
            _waker: waker,
        })
    }

    /// The next interrupt that waits, if any.
    pub(super) fn next(&self) -> Option<Interrupt> {
        self.receiver.as_ref()?.try_recv().ok()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // First the channel, so that a thread that waits for room in it ends; then the wait itself.
        self.receiver = None;
        self.canceller.cancel();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to give back.
            let _ = thread.join();
        }
    }
}

fn run(mut source: impl IrqSource, sender: &SyncSender<Interrupt>, waker: &Waker) {
    sys::request_realtime(sys::Urgency::Interrupts);
    loop {
        let (interrupt, last) = match source.wait() {
            Ok(line) => (Interrupt::Line(line), false),
            Err(WaitError::Cancelled) => return,
            Err(error) => (Interrupt::Failed(error), true),
        };
        if sender.send(interrupt).is_err() || waker.wake().is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Scripted {
        lines: u8,
        ended: Arc<AtomicBool>,
    }

    impl IrqSource for Scripted {
        fn wait(&mut self) -> Result<IrqLine, WaitError> {
            if self.lines == 0 {
                return Err(WaitError::Cancelled);
            }
            self.lines -= 1;
            Ok(IrqLine::VIDEO_PICTURE)
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            self.ended.store(true, Ordering::SeqCst);
        }
    }

    struct Nothing;

    impl IrqCanceller for Nothing {
        fn cancel(&self) {}
    }

    fn start(lines: u8) -> (Poll, Interrupts, Arc<AtomicBool>) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let source = Scripted {
            lines,
            ended: Arc::clone(&ended),
        };
        let interrupts = Interrupts::start(source, Nothing, waker).unwrap();
        (poll, interrupts, ended)
    }

    #[test]
    fn every_line_arrives_and_wakes_the_loop() {
        let (mut poll, interrupts, _) = start(100);
        let mut events = Events::with_capacity(4);
        let mut count = 0;
        while count < 100 {
            poll.poll(&mut events, None).unwrap();
            while interrupts.next().is_some() {
                count += 1;
            }
        }
    }

    #[test]
    fn the_last_word_of_a_thread_that_has_ended_still_wakes_the_loop() {
        let (mut poll, mut interrupts, _) = start(1);
        interrupts.thread.take().unwrap().join().unwrap();
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, None).unwrap();
        assert!(matches!(interrupts.next(), Some(Interrupt::Line(_))));
    }

    #[test]
    fn the_thread_ends_with_its_owner_even_when_nobody_takes_its_lines() {
        let (_poll, interrupts, ended) = start(200);
        drop(interrupts);
        assert!(ended.load(Ordering::SeqCst));
    }
}
