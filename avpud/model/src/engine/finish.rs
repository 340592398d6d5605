//! The end of a picture: write-back, status words, interrupt, and the faults that bend them.

use super::{Core, Engine, PictureInfo, Running, Timed};
use crate::cmdlist::STATUS_WORD;
use crate::completion::{Finished, StatusWords, Writeback, status_error, status_of, write_back};
use crate::fault::{FaultKind, Strike};
use crate::memory::Memory;
use crate::violation::Violation;

impl Engine {
    /// The earliest thing that is due.
    pub(super) fn step(
        &mut self,
        now_us: u64,
        finished: Option<&Finished<'_>>,
        memory: &mut dyn Memory,
    ) -> Option<PictureInfo> {
        let timed = (0..self.timed.len()).min_by_key(|&i| self.timed.get(i).map(|(at, _)| *at));
        let timed_at = timed.and_then(|i| self.timed.get(i).map(|(at, _)| *at));
        let core_at = match &self.core {
            Core::Failing { due_us, .. } => Some(*due_us),
            Core::Running(running) if running.ready => Some(running.due_us),
            _ => None,
        };
        if let (Some(index), Some(at)) = (timed, timed_at)
            && core_at.is_none_or(|core_at| at <= core_at)
        {
            let (_, event) = self.timed.remove(index);
            self.happen(event, finished, memory);
            return None;
        }
        match std::mem::replace(&mut self.core, Core::Idle) {
            Core::Failing { list_address, .. } => {
                self.counters.failed += 1;
                let words = status_error(0x80);
                self.publish_status(list_address, &words, memory);
                self.irq.raise(0);
                None
            }
            Core::Running(running) => self.complete(now_us, &running, finished, memory),
            other => {
                self.core = other;
                None
            }
        }
    }

    fn happen(&mut self, event: Timed, finished: Option<&Finished<'_>>, memory: &mut dyn Memory) {
        match event {
            Timed::Raise => self.irq.raise(0),
            Timed::Status(words) => {
                self.publish_status(words.list_address, &words, memory);
            }
            Timed::Tail { number } => {
                if let Some(finished) = finished.filter(|finished| finished.number == number)
                    && let Err(error) = finished.write_tail(memory)
                {
                    self.hang_on(error);
                }
            }
        }
    }

    fn complete(
        &mut self,
        now_us: u64,
        running: &Running,
        finished: Option<&Finished<'_>>,
        memory: &mut dyn Memory,
    ) -> Option<PictureInfo> {
        let list = &running.list;
        let strike = &running.strike;
        let finished = finished.filter(|finished| finished.number == running.number)?;
        let holds_tail = strike.has(FaultKind::LateTail);
        let result = if let Some(byte) = strike.argument(FaultKind::ErrorFill) {
            finished
                .write_grey(memory)
                .map(|()| (status_error(byte), false))
        } else {
            write_back(finished, strike, memory).map(|writeback| {
                let words = match writeback {
                    Writeback::Refused => status_error(0x80),
                    Writeback::Done if strike.has(FaultKind::Garbage) => self.garbage(),
                    Writeback::Done => status_of(finished, strike),
                };
                (words, writeback == Writeback::Done)
            })
        };
        let (mut words, good) = match result {
            Ok(result) => result,
            Err(error) => {
                self.hang_on(error);
                return None;
            }
        };
        words.list_address = list.address;
        if let Some(what) = finished.refusal {
            self.record(Some(running.number), Violation::Unsupported { what });
        }
        self.history.record(list, good);
        if good {
            self.counters.completed += 1;
        } else {
            self.counters.failed += 1;
        }
        if good && holds_tail {
            let after = strike.argument(FaultKind::LateTail).unwrap_or(0);
            let tail = Timed::Tail {
                number: running.number,
            };
            self.timed.push((now_us + u64::from(after), tail));
        }
        match strike.argument(FaultKind::Early) {
            Some(after) => self
                .timed
                .push((now_us + u64::from(after), Timed::Status(words))),
            None => self.publish_status(list.address, &words, memory),
        }
        self.latched = strike.has(FaultKind::Latched);
        self.interrupt(now_us, strike);
        good.then_some(PictureInfo {
            number: running.number,
            width: list.width,
            height: list.height,
            kind: list.kind,
            qp: list.qp,
            poc: list.poc,
            rec_luma: list.at.rec_luma,
            ref_luma: list.at.ref_luma,
            tables: list.at.ep1,
        })
    }

    /// The interrupt of a completed picture, as the faults want it.
    fn interrupt(&mut self, now_us: u64, strike: &Strike) {
        if strike.has(FaultKind::Lost) {
            return;
        }
        if let Some(after) = strike.argument(FaultKind::Late) {
            self.timed.push((now_us + u64::from(after), Timed::Raise));
            return;
        }
        self.irq.raise(0);
        if strike.has(FaultKind::Duplicate) {
            self.irq.wake(0);
        }
    }

    fn garbage(&mut self) -> StatusWords {
        let mut words = status_error(0);
        for word in &mut words.words {
            *word = self.rng.next_u32();
        }
        words
    }

    /// Stores status words into the submitted list and into the image.
    fn publish_status(&mut self, address: u32, words: &StatusWords, memory: &mut dyn Memory) {
        for (word, value) in self.image.iter_mut().skip(STATUS_WORD).zip(words.words) {
            *word = value;
        }
        if let Err(error) = words.store(address, memory) {
            self.hang_on(error);
        }
    }
}
