//! One encoder, many periodic channels, in virtual time: who waits how long under which discipline.
//!
//! The same arrivals are put to the daemon's core ([`Daemon`]) and to what a queue in front of an encoder usually does
//! ([`Fifo`], [`RoundRobin`]), behind one small interface. A picture is in the encoder for exactly the time that the
//! device states, so what differs is only who goes when.

mod daemon;
mod discipline;

pub use daemon::Daemon;
pub use discipline::{Discipline, Fifo, RoundRobin};

use crate::world::{Chance, Rng};
use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Class, FrameRate};
use avpud::job::JobCost;

/// A T31 at its default clock, as the model states it.
pub const COST: JobCost = JobCost {
    base_ns: 150_000,
    macroblock_ns: 1560,
};

/// A channel and its load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// What it is opened with.
    pub wish: OpenChannel,
    /// Time from one frame to the next; 0: as soon as a frame has ended, and some ahead.
    pub period_us: u64,
}

/// What one channel went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Frames that were encoded.
    pub frames: u64,
    /// Those that were finished after the next one had come.
    pub late: u64,
    /// Longest time from a frame's arrival until the encoder was started on it.
    pub wait_max_us: u64,
    /// Sum of these times.
    pub wait_sum_us: u64,
    /// Frames that found no room in their queue.
    pub refused: u64,
}

impl Service {
    /// Takes in what the same channel went through another time.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.late += other.late;
        self.wait_max_us = self.wait_max_us.max(other.wait_max_us);
        self.wait_sum_us += other.wait_sum_us;
        self.refused += other.refused;
    }
}

impl Load {
    /// A channel that gets as many frames a second as it says.
    #[must_use]
    pub fn periodic(width: u16, height: u16, fps: u32, class: Class) -> Self {
        let wish = OpenChannel {
            width,
            height,
            fps: FrameRate { num: fps, den: 1 },
            class,
            ..OpenChannel::default()
        };
        Self {
            wish,
            period_us: 1_000_000 / u64::from(fps),
        }
    }

    /// A channel that submits as fast as it can and was admitted with a picture a second.
    #[must_use]
    pub fn flood(width: u16, height: u16, weight: u16) -> Self {
        let mut load = Self::periodic(width, height, 1, Class::BestEffort);
        load.wish.weight = weight;
        load.period_us = 0;
        load
    }

    /// Macroblocks of a picture.
    #[must_use]
    pub fn macroblocks(&self) -> u32 {
        u32::from(self.wish.width).div_ceil(16) * u32::from(self.wish.height).div_ceil(16)
    }

    /// Time of a picture in the encoder.
    #[must_use]
    pub fn cost_us(&self) -> u64 {
        let ns = u64::from(COST.macroblock_ns) * u64::from(self.macroblocks());
        (u64::from(COST.base_ns) + ns) / 1000
    }
}

/// Eight channels of five cameras' worth of use: together 85 % of a T31.
#[must_use]
pub fn eight_channels() -> Vec<Load> {
    vec![
        Load::periodic(1920, 1080, 25, Class::Live),
        Load::periodic(1920, 1080, 15, Class::Record),
        Load::periodic(1280, 720, 25, Class::Live),
        Load::periodic(1280, 720, 10, Class::Record),
        Load::periodic(640, 360, 30, Class::Live),
        Load::periodic(640, 360, 30, Class::Live),
        Load::periodic(320, 192, 60, Class::Live),
        Load::periodic(640, 360, 5, Class::Snapshot),
    ]
}

/// Part of the encoder's time that the periodic channels need.
#[must_use]
pub fn utilisation(loads: &[Load]) -> f64 {
    let periodic = loads.iter().filter(|load| load.period_us > 0);
    periodic
        .map(|load| to_f64(load.cost_us()) / to_f64(load.period_us))
        .sum()
}

/// A number for people.
#[must_use]
pub fn to_f64(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

/// Frames that a flooding channel has waiting at all times.
const FLOOD_DEPTH: u32 = 3;

/// Lets the loads come for so long, with phases drawn from a seed, and says how each fared.
pub fn run(
    discipline: &mut impl Discipline,
    loads: &[Load],
    seed: u64,
    length_us: u64,
) -> Vec<Service> {
    let mut rng = Rng::new(seed);
    let mut served = vec![Service::default(); loads.len()];
    let mut waiting: Vec<std::collections::VecDeque<u64>> = vec![Default::default(); loads.len()];
    // Seed 0 lets all frames come at once; what can go wrong goes wrong there first.
    let mut next: Vec<Option<u64>> = loads
        .iter()
        .map(|load| match load.period_us {
            0 => None,
            period if seed == 0 => Some(period),
            period => {
                let phase = rng.below(u32::try_from(period).unwrap_or(u32::MAX));
                Some(period + u64::from(phase))
            }
        })
        .collect();
    let mut running: Option<(usize, u64, u64)> = None;
    let mut now = 0;
    for (index, load) in loads.iter().enumerate() {
        for _ in 0..FLOOD_DEPTH {
            if load.period_us == 0 && discipline.arrive(now, index) {
                waiting[index].push_back(now);
            }
        }
    }
    loop {
        if running.is_none()
            && let Some(index) = discipline.start(now)
        {
            let arrived = waiting[index].pop_front().expect("a frame that waits");
            let wait_us = now - arrived;
            let service = &mut served[index];
            service.wait_max_us = service.wait_max_us.max(wait_us);
            service.wait_sum_us += wait_us;
            running = Some((index, arrived, now + loads[index].cost_us()));
        }
        let arrival = next.iter().flatten().min().copied();
        let end = running.map(|(.., end)| end);
        let Some(at) = [arrival, end].into_iter().flatten().min() else {
            break;
        };
        // Frames that are there when the time is up are still served, if no flood feeds them.
        let is_over = at > length_us;
        if is_over && (running.is_none() || loads.iter().any(|load| load.period_us == 0)) {
            break;
        }
        now = at;
        if let Some((index, arrived, _)) = running.filter(|(.., end)| *end == now) {
            running = None;
            let service = &mut served[index];
            service.frames += 1;
            service.late +=
                u64::from(loads[index].period_us > 0 && now - arrived > loads[index].period_us);
            discipline.done(now, index);
            if loads[index].period_us == 0 && discipline.arrive(now, index) {
                waiting[index].push_back(now);
            }
        }
        for index in 0..loads.len() {
            if next[index] != Some(now) {
                continue;
            }
            next[index] = (!is_over).then(|| now + loads[index].period_us);
            if discipline.arrive(now, index) {
                waiting[index].push_back(now);
            } else {
                served[index].refused += 1;
            }
        }
    }
    served
}
