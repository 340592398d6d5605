//! Whatever happens in whatever order: one outcome a job, no buffer used twice, no reference to a lost picture.

use super::*;
use crate::device::trace::Access;

/// A small generator (xorshift); the same seed gives the same run.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }
}

/// What the engine should be about one channel.
#[derive(Default)]
struct Expected {
    /// Index of the picture that may be referred to, and where it was written.
    reference: Option<(u32, u32)>,
    /// Slice data held: job and stream buffer.
    held: Vec<(JobId, u32)>,
}

struct Run {
    engine: Engine<Fake>,
    random: Random,
    channels: [Expected; 2],
    in_flight: Option<EncodeJob>,
    next_job: JobId,
    ended: u32,
}

impl Run {
    fn step(&mut self) {
        match self.random.below(12) {
            0..=3 => self.start(),
            4 | 5 => self.write_back(),
            6 | 7 => self.interrupt(),
            8 => {
                let line = IrqLine::new(1 + self.random.below(19)).expect("a line");
                assert!(matches!(self.engine.on_irq(line), IrqVerdict::Foreign(_)));
            }
            9 => {
                if let Some(end) = self.engine.poll_completion() {
                    self.settle(&end);
                }
            }
            10 => self.release(),
            _ => self.disturb(),
        }
        assert_eq!(self.engine.in_flight(), self.in_flight.map(|job| job.id));
        self.engine.device().log.clear();
    }

    fn start(&mut self) {
        let key = ChannelKey::new(u16::try_from(self.random.below(2)).expect("small"));
        let channel = &self.channels[usize::from(key.index())];
        let next = channel.reference.map_or(0, |(index, _)| index + 1);
        let gop_index = [next, next, next, 0, self.random.below(4)][index(self.random.below(5))];
        let job = EncodeJob {
            id: self.next_job,
            ..job(0, key, gop_index)
        };
        self.next_job = self.next_job.next();
        let follows = gop_index == 0 || channel.reference.is_some() && gop_index == next;
        let allowed = self.in_flight.is_none() && follows && channel.held.len() < 2;
        let works = self.engine.device().status == 0;
        let pushed = self.engine.device().pushed.len();
        let result = self.engine.start(&job);
        assert_eq!(result.is_ok(), allowed && works, "{result:?}");
        if result.is_ok() {
            let stream = self.engine.device().word(0x30);
            let channel = &self.channels[usize::from(key.index())];
            assert!(channel.held.iter().all(|(_, held)| *held != stream));
            let reference = self.engine.device().word(0x28);
            if gop_index == 0 {
                assert_eq!(reference, 0);
            } else {
                assert_eq!(channel.reference.map(|(_, at)| at), Some(reference));
            }
            self.in_flight = Some(job);
        } else {
            assert_eq!(self.engine.device().pushed.len(), pushed);
            if allowed {
                self.channels[usize::from(key.index())].reference = None;
            }
        }
    }

    fn write_back(&mut self) {
        if self.in_flight.is_none() {
            return;
        }
        let values = [
            1,
            40,
            3000,
            0x0080_8080,
            0x9999_9999,
            0x3fff_ffff,
            0x4000_0000,
            0,
        ];
        let value = values[index(self.random.below(8))];
        self.engine.device().write_back(0x41, value);
    }

    fn interrupt(&mut self) {
        let writes = |log: &[Access]| {
            log.iter()
                .any(|access| matches!(access, Access::Write { .. }))
        };
        match self.engine.on_irq(IrqLine::VIDEO_PICTURE) {
            IrqVerdict::Completed(end) => self.settle(&end),
            IrqVerdict::Spurious(cause) => {
                assert_eq!(cause == SpuriousCause::NoJob, self.in_flight.is_none());
                assert!(!writes(&self.engine.device().log));
            }
            IrqVerdict::Foreign(line) => panic!("expected the video line, found {line:?}"),
        }
    }

    fn release(&mut self) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if self.random.below(2) == 0
                && let Some((job, _)) = channel.held.pop()
            {
                let key = ChannelKey::new(u16::try_from(index).expect("small"));
                assert!(self.engine.payload(key, job).is_ok());
                self.engine.release_payload(key, job).expect("held");
                assert!(self.engine.release_payload(key, job).is_err());
            }
        }
    }

    fn disturb(&mut self) {
        match self.random.below(5) {
            0 => self.engine.device().status = 3,
            1..=3 => self.engine.device().status = 0,
            _ => {
                let stuck = self.engine.device().status != 0;
                let report = self.engine.reset();
                assert_eq!(report.result.is_err(), stuck);
                assert_eq!(report.lost.is_some(), self.in_flight.is_some());
                if let Some(end) = report.lost {
                    assert_eq!(failed(end.outcome), JobFailure::Reset);
                    self.settle(&end);
                }
            }
        }
    }

    /// The job in flight ended.
    fn settle(&mut self, end: &Completion) {
        let job = self.in_flight.take().expect("one end for one start");
        assert_eq!((end.job, end.channel), (job.id, job.channel));
        self.ended += 1;
        let (written, stream) = {
            let device = self.engine.device();
            (device.word(0x24), device.word(0x30))
        };
        let channel = &mut self.channels[usize::from(job.channel.index())];
        match end.outcome {
            JobOutcome::Encoded(picture) => {
                assert!(matches!(picture.payload_len.value(), 1 | 40 | 3000));
                channel.reference = Some((job.gop_index, written));
                channel.held.push((job.id, stream));
            }
            JobOutcome::Failed(_) => channel.reference = None,
        }
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("small")
}

#[test]
fn any_order_of_events_leaves_one_outcome_a_job_and_no_buffer_used_twice() {
    for seed in 1..=60u32 {
        println!("seed {seed}");
        let mut run = Run {
            engine: engine(),
            random: Random(0x9e37_79b1_u32.wrapping_mul(seed)),
            channels: Default::default(),
            in_flight: None,
            next_job: JobId::FIRST,
            ended: 0,
        };
        for _ in 0..1000 {
            run.step();
        }
        assert!(
            run.ended > 20,
            "expected some pictures to end, found {}",
            run.ended
        );
        let last = run.engine.reset().lost;
        assert_eq!(last.is_some(), run.in_flight.is_some());
        for key in [MAIN, SUB] {
            assert_eq!(run.engine.close_channel(key).expect("idle"), []);
        }
    }
}
