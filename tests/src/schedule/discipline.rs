//! What decides whose frame goes next, and the two that the daemon's is compared with.

use std::collections::VecDeque;

/// Decides whose frame is encoded next.
pub trait Discipline {
    /// A frame of a channel comes; `false`: it is turned away.
    fn arrive(&mut self, now_us: u64, channel: usize) -> bool;

    /// The channel whose frame the idle encoder is started on now; `None` when none waits.
    fn start(&mut self, now_us: u64) -> Option<usize>;

    /// The frame in the encoder is finished.
    fn done(&mut self, now_us: u64, channel: usize);
}

/// First come, first served.
#[derive(Debug, Default)]
pub struct Fifo(VecDeque<usize>);

impl Discipline for Fifo {
    fn arrive(&mut self, _: u64, channel: usize) -> bool {
        self.0.push_back(channel);
        true
    }

    fn start(&mut self, _: u64) -> Option<usize> {
        self.0.pop_front()
    }

    fn done(&mut self, _: u64, _: usize) {}
}

/// One frame of each channel in turn.
#[derive(Debug)]
pub struct RoundRobin {
    waiting: Vec<u32>,
    at: usize,
}

impl RoundRobin {
    /// Over so many channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            waiting: vec![0; channels],
            at: 0,
        }
    }
}

impl Discipline for RoundRobin {
    fn arrive(&mut self, _: u64, channel: usize) -> bool {
        self.waiting[channel] += 1;
        true
    }

    fn start(&mut self, _: u64) -> Option<usize> {
        let count = self.waiting.len();
        let turns = (0..count).map(|step| (self.at + step) % count);
        let channel = turns.into_iter().find(|&turn| self.waiting[turn] > 0)?;
        self.waiting[channel] -= 1;
        self.at = (channel + 1) % count;
        Some(channel)
    }

    fn done(&mut self, _: u64, _: usize) {}
}
