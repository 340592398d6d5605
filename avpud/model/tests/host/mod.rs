//! A host that does everything right, for tests to spoil one thing at a time.
//!
//! The command lists here are built from the recorded layout, for one small channel.

#![allow(dead_code, reason = "every test program uses another part of it")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "samples and small test values"
)]

use avpu_model::avc::HeaderTail;
use avpu_model::cmdlist::{WORDS, Words};
use avpu_model::config::BodyKind;
use avpu_model::engine::EngineConfig;
use avpu_model::fault::FaultPlan;
use avpu_model::memory::{Memory, PlainMemory};
use avpu_model::registers::offset;
use avpu_model::timing::Pace;
use avpu_model::violation::Violation;
use avpu_model::{Machine, Waited, tables};

/// Where everything of a channel lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) hwrc: bool,
    pub(crate) profile: Profile,
    pub(crate) ep3: u32,
    pub(crate) ring: u32,
    pub(crate) pictures: [u32; 2],
    pub(crate) ep1: u32,
    pub(crate) ep2: u32,
    pub(crate) stream: u32,
    pub(crate) stream_usable: u32,
    pub(crate) source: u32,
    pub(crate) end: u32,
}

/// What a channel's pictures are coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    High,
    Main,
    /// The list says nothing of the slice header's last bits; see [`hand_over`].
    Baseline,
}

/// Puts the last bits of a slice header into a list, behind `kept` bytes of it that the host wrote.
pub(crate) fn hand_over(words: &mut Words, tail: HeaderTail, kept: u32) {
    words[0x1b] = (5 + kept) << 16 | 0xc80;
    words[0x1e] |= u32::from(tail.count) << 24;
    words[0x1f] = tail.bits;
}

pub(crate) const QP_MIN: u32 = 10;
pub(crate) const QP_MAX: u32 = 45;

impl Channel {
    pub(crate) fn new(base: u32, width: u32, height: u32) -> Self {
        let (mbw, mbh) = (width.div_ceil(16), height.div_ceil(16));
        let (w64, h64) = (width.next_multiple_of(64), height.next_multiple_of(64));
        let maps = (32 * (mbw * 16).div_ceil(4096) * h64 / 4 * 3 / 2).next_multiple_of(256);
        let picture = w64 * h64 * 3 / 2 + maps + (2 * mbw * mbh + 16) * 16;
        let ep3 = base;
        let ring = ep3 + 2 * 0x1500;
        let first = (ring + 19 * 512).next_multiple_of(256);
        let second = (first + picture).next_multiple_of(256);
        let ep1 = (second + picture).next_multiple_of(256);
        let ep2 = ep1 + 0x6400 + (4 * mbh).next_multiple_of(128);
        let stream = (ep2 + (mbw * mbh).next_multiple_of(128) + 0x40).next_multiple_of(256);
        let stream_usable = 0x220 + mbw * mbh * 416;
        let source = (stream + stream_usable).next_multiple_of(4096);
        let end = source + mbw * mbh * 384;
        Self {
            width,
            height,
            hwrc: false,
            profile: Profile::High,
            ep3,
            ring,
            pictures: [first, second],
            ep1,
            ep2,
            stream,
            stream_usable,
            source,
            end,
        }
    }

    pub(crate) fn macroblocks(&self) -> (u32, u32) {
        (self.width.div_ceil(16), self.height.div_ceil(16))
    }

    fn planes(&self) -> u32 {
        self.width.next_multiple_of(64) * self.height.next_multiple_of(64)
    }

    fn map_step(&self) -> u32 {
        let (mbw, mbh) = self.macroblocks();
        32 * (mbw * 16).div_ceil(4096) * mbh * 4
    }

    fn vectors(&self, picture: u32) -> u32 {
        let h64 = self.height.next_multiple_of(64);
        let (mbw, _) = self.macroblocks();
        let maps = (32 * (mbw * 16).div_ceil(4096) * h64 / 4 * 3 / 2).next_multiple_of(256);
        picture + self.planes() * 3 / 2 + maps + 0x100
    }

    /// Address of the list of picture `n`.
    pub(crate) fn slot(&self, n: u32) -> u32 {
        self.ring + n % 19 * 512
    }

    /// The list of picture `n` since the IDR, written to the picture buffers alternately.
    pub(crate) fn list(&self, n: u32, qp: u32) -> Words {
        let (mbw, mbh) = self.macroblocks();
        let idr = n == 0;
        let planes = self.planes();
        let step = self.map_step();
        let last = (mbw - 1) | (mbh - 1) << 12;
        let rec = self.pictures[(n % 2) as usize];
        let map = |picture: u32| picture + planes * 3 / 2;
        let slice = if idr { 0x2100_0000 } else { 0x1100_0000 } | qp << 16;
        let mut words = [0; WORDS];
        let mut set = |list: &[(usize, u32)]| {
            for &(word, value) in list {
                words[word] = value;
            }
        };
        set(&[
            (0x00, 0x8070_0411),
            (
                0x01,
                0x8800_0000 | (self.height.div_ceil(8) - 1) << 12 | (self.width.div_ceil(8) - 1),
            ),
            (0x02, 0x4010_ad50),
            (0x03, slice),
            (0x04, 0x0008_3f1f),
            (0x06, last | u32::from(!idr) << 10),
            (0x07, 1 << 31 | last),
            (0x08, if idr { 0x7700_0000 } else { 0x1100_0000 }),
            (0x09, 0xfc00_0000),
            (0x0a, 0xc80),
            (0x0b, (mbw - 1) << 12),
            (0x10, u32::MAX),
            (0x11, u32::MAX),
            (0x12, if idr { 0x003f_f3ff } else { 0x0001_b01d }),
            (0x1b, 0x000a_0c80),
            (0x1c, slice | 0x0d06),
            (0x1d, (mbw - 1) << 12),
            (0x1e, mbw * mbh - 1),
            (0x20, self.source),
            (0x21, self.source + mbw * mbh * 256),
            (0x22, mbw * 16),
            (0x23, self.ep2),
            (0x24, rec),
            (0x25, rec + planes),
            (
                0x26,
                2 << 28 | (32 * self.width.div_ceil(4096)) << 19 | (self.width.div_ceil(64) * 256),
            ),
            (0x27, self.ep1),
            (0x2e, self.vectors(rec)),
            (0x30, self.stream),
            (0x31, self.stream_usable),
            (0x32, 0x220),
            (
                0x33,
                (self.stream_usable - 0x220).min(mbw * mbh * 416) & !31,
            ),
            (0x37, map(rec)),
            (0x67, map(rec) + step),
            (0x68, step),
            (0x69, step),
        ]);
        if !idr {
            let reference = self.pictures[((n + 1) % 2) as usize];
            set(&[
                (0x0c, 2 * n),
                (0x0d, 2 * n - 2),
                (0x0f, 2 * n - 2),
                (0x10, if n == 1 { u32::MAX } else { 2 * n - 4 }),
                (0x28, reference),
                (0x29, reference + planes),
                (0x2c, self.vectors(reference)),
                (0x38, map(reference)),
                (0x68, map(reference) + step),
            ]);
        }
        // Neither lists nor the 8x8 transform, then no CABAC.
        if self.profile != Profile::High {
            words[0x00] &= !(1 << 10);
            words[0x09] &= !(3 << 30);
            words[0x1c] &= !(1 << 1);
        }
        if self.profile == Profile::Baseline {
            words[0x02] &= !(1 << 10);
            words[0x1c] &= !(1 << 10);
        }
        if self.hwrc {
            let group_bits = mbw * 40 * if idr { 8 } else { 1 };
            words[0x09] |= 1 << 16;
            let mut set = |list: &[(usize, u32)]| {
                for &(word, value) in list {
                    words[word] = value;
                }
            };
            set(&[
                (0x14, 0xf400_0000 | (mbw - 1) << 6),
                (0x15, group_bits),
                (0x16, 0x3f00_0000 | (mbw * 50)),
                (0x17, QP_MIN << 24 | qp << 16 | QP_MAX << 8 | qp),
                (
                    0x18,
                    u32::from(n < 2) << 31 | 1 << 30 | 5 << 20 | group_bits >> 7,
                ),
                (0x2d, if idr { self.ep3 + 0x1500 } else { self.ep3 }),
            ]);
        }
        words
    }

    /// Fills the tables that a host writes once.
    pub(crate) fn prepare(&self, memory: &mut dyn Memory) {
        let lambda = [4; 52 * 4];
        memory.write(self.ep1, &lambda).expect("ep1");
        memory
            .write(self.ep1 + 0x100, &tables::default_lists())
            .expect("ep1");
        for slot in [self.ep3, self.ep3 + 0x1500] {
            memory
                .write(slot + tables::SCALES_OFFSET_BYTES, &tables::qp_scales())
                .expect("ep3");
        }
        let range = if self.hwrc {
            QP_MAX << 24 | QP_MIN << 16
        } else {
            51 << 24
        };
        let control = [
            0x03e8_09c4,
            0x1388_0100,
            0x2328_1b58,
            0x010a_0301,
            range | 0x0302,
        ];
        store(memory, self.ep2, &control);
    }

    /// Fills the source with picture `n` of a moving pattern.
    pub(crate) fn draw(&self, n: u32, memory: &mut dyn Memory) {
        let (mbw, mbh) = self.macroblocks();
        let stride = mbw * 16;
        let sample = |x: u32, y: u32| {
            let (x, y) = (x + 2 * n, y + n);
            ((x * 5) ^ (y * 3) ^ ((x / 7) * (y / 5) * 11)) as u8
        };
        let luma: Vec<u8> = (0..stride * mbh * 16)
            .map(|i| sample(i % stride, i / stride))
            .collect();
        let chroma: Vec<u8> = (0..stride * mbh * 8)
            .map(|i| 64 + sample(i % stride / 4, i / stride / 2) / 2)
            .collect();
        memory.write(self.source, &luma).expect("source");
        memory
            .write(self.source + mbw * mbh * 256, &chroma)
            .expect("source");
    }
}

pub(crate) fn store(memory: &mut dyn Memory, address: u32, words: &[u32]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    memory.write(address, &bytes).expect("memory");
}

pub(crate) fn word(memory: &dyn Memory, address: u32) -> u32 {
    let mut bytes = [0; 4];
    memory.read(address, &mut bytes).expect("memory");
    u32::from_le_bytes(bytes)
}

pub(crate) fn bytes(memory: &dyn Memory, address: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    memory.read(address, &mut bytes).expect("memory");
    bytes
}

/// A machine with one channel, and its time.
pub(crate) struct Host {
    pub(crate) machine: Machine<PlainMemory>,
    pub(crate) channel: Channel,
    pub(crate) now_us: u64,
}

pub(crate) const BASE: u32 = 0x0680_0000;

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(BodyKind::Picture, "", |_| {})
    }

    pub(crate) fn with(body: BodyKind, faults: &str, change: impl FnOnce(&mut Channel)) -> Self {
        let mut channel = Channel::new(BASE, 48, 40);
        change(&mut channel);
        let faults = match faults {
            "" => FaultPlan::default(),
            text => FaultPlan::parse(text).expect("a plan"),
        };
        let config = EngineConfig {
            pace: Pace::T31,
            faults,
            seed: 5,
        };
        let memory = PlainMemory::new(BASE, channel.end + 0x1_0000 - BASE);
        let mut machine = Machine::new(config, body, memory);
        channel.prepare(machine.memory());
        channel.draw(0, machine.memory());
        assert!(machine.engine().open());
        let mut host = Self {
            machine,
            channel,
            now_us: 0,
        };
        host.power_up();
        host
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.now_us += 5;
        self.machine
            .write(self.now_us, offset, value)
            .expect("a legal register");
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        self.now_us += 5;
        self.machine
            .read(self.now_us, offset)
            .expect("a legal register")
    }

    pub(crate) fn reset(&mut self) {
        for value in [1, 2, 4] {
            self.write(offset::RESET, value);
        }
    }

    pub(crate) fn power_up(&mut self) {
        self.write(offset::MISC_CTRL, 0x1000);
        self.reset();
        self.write(offset::IRQ_PENDING, 0x00ff_ffff);
        self.write(offset::TOP_CTRL, 0x80);
    }

    /// Everything of a picture up to the push.
    pub(crate) fn begin(&mut self) {
        let clock = self.read(offset::CLOCK);
        self.write(offset::CLOCK, clock & !3 | 1);
        self.reset();
        let mask = self.read(offset::IRQ_MASK);
        self.write(offset::IRQ_MASK, mask | 1);
        self.read(offset::STATUS);
    }

    pub(crate) fn push(&mut self, address: u32) {
        self.write(offset::CL_ADDR, address);
        self.write(offset::CL_PUSH, 2);
    }

    pub(crate) fn start(&mut self, n: u32, words: &Words) {
        let slot = self.channel.slot(n);
        store(self.machine.memory(), slot, words);
        self.begin();
        self.push(slot);
    }

    /// Lets time pass until the next interrupt, at most half a second.
    pub(crate) fn wait(&mut self) -> Waited {
        let deadline = self.now_us + 500_000;
        loop {
            match self.machine.take_irq(self.now_us) {
                Waited::Nothing => {}
                found => return found,
            }
            match self.machine.next_event_us() {
                Some(at) if at <= deadline => self.now_us = self.now_us.max(at),
                _ => {
                    self.now_us = deadline;
                    return self.machine.take_irq(deadline);
                }
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        let mask = self.read(offset::IRQ_MASK);
        self.write(offset::IRQ_MASK, mask & !1);
        let clock = self.read(offset::CLOCK);
        self.write(offset::CLOCK, clock & !3);
    }

    /// What a host does when no interrupt came.
    pub(crate) fn recover(&mut self) {
        let mask = self.read(offset::IRQ_MASK);
        self.write(offset::IRQ_MASK, mask & !1);
        self.reset();
        self.write(offset::IRQ_PENDING, 0x0f);
        let clock = self.read(offset::CLOCK);
        self.write(offset::CLOCK, clock & !3);
    }

    /// One picture from start to end; gives word 0x41.
    pub(crate) fn run(&mut self, n: u32, words: &Words) -> u32 {
        self.start(n, words);
        let line = self.wait();
        assert_eq!(line, Waited::Line(0), "{:?}", self.violations());
        self.finish();
        self.size(n)
    }

    /// Picture `n` by the rules; gives its slice data.
    pub(crate) fn encode(&mut self, n: u32, qp: u32) -> Vec<u8> {
        let words = self.channel.list(n, qp);
        self.channel.draw(n, self.machine.memory());
        let size = self.run(n, &words);
        assert_eq!(self.violations(), []);
        self.payload(size)
    }

    pub(crate) fn size(&mut self, n: u32) -> u32 {
        let slot = self.channel.slot(n);
        word(self.machine.memory(), slot + 0x104)
    }

    pub(crate) fn payload(&mut self, size: u32) -> Vec<u8> {
        let at = self.channel.stream + 0x220;
        bytes(self.machine.memory(), at, size & 0x3fff_ffff)
    }

    pub(crate) fn violations(&mut self) -> Vec<Violation> {
        let engine = self.machine.engine();
        engine
            .faults()
            .iter()
            .map(|fault| fault.violation)
            .collect()
    }
}
