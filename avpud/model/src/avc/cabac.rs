//! The arithmetic encoder (ITU-T H.264, 9.3.4): contexts in, bytes out.
//!
//! `low` keeps up to four finished bytes above the standard's ten bits before they are written together. A carry
//! that leaves them is added to the bytes already written, so nothing has to be held back.

use super::cabac_tables::{HIGH_CONTEXT_FIRST, INIT, LOW_CONTEXTS, NEXT_AFTER_LPS, RANGE_LPS};
use super::params::SliceKind;

/// Contexts by number, rounded up so that a masked index needs no bounds check.
const CONTEXT_SLOTS: usize = 512;

/// One slice being written.
#[derive(Clone)]
pub(super) struct Cabac {
    /// `pStateIdx << 1 | valMPS` by context number.
    states: [u8; CONTEXT_SLOTS],
    low: u64,
    range: u32,
    /// Finished bits above the ten bits of the standard's register, minus eight.
    queue: i32,
    bins: u32,
    out: Vec<u8>,
}

/// Enough to undo everything written since; the output may only have grown.
#[derive(Clone)]
pub(super) struct Mark {
    states: [u8; CONTEXT_SLOTS],
    low: u64,
    range: u32,
    queue: i32,
    bins: u32,
    len: usize,
    /// The last bytes written: a carry may change them before the roll-back.
    tail: u64,
}

impl Cabac {
    pub(super) fn new() -> Self {
        Self {
            states: [0; CONTEXT_SLOTS],
            low: 0,
            range: 510,
            queue: -9,
            bins: 0,
            out: Vec::new(),
        }
    }

    /// Begins a slice: clears the output and sets every context from its table and SliceQPY.
    pub(super) fn start(&mut self, kind: SliceKind, init_idc: u8, slice_qp: u8) {
        let table = match kind {
            SliceKind::I => INIT[0],
            SliceKind::P => INIT[1 + usize::from(init_idc)],
        };
        let qp = i32::from(slice_qp.min(51));
        for (index, pair) in table.chunks_exact(2).enumerate() {
            let pre = (((i32::from(pair[0]) * qp) >> 4) + i32::from(pair[1])).clamp(1, 126);
            let state = if pre <= 63 {
                (63 - pre) << 1
            } else {
                (pre - 64) << 1 | 1
            };
            let context = if index < LOW_CONTEXTS {
                index
            } else {
                index - LOW_CONTEXTS + HIGH_CONTEXT_FIRST
            };
            self.states[context] = state as u8;
        }
        self.out.clear();
        self.bins = 0;
        self.restart();
    }

    fn restart(&mut self) {
        self.low = 0;
        self.range = 510;
        self.queue = -9;
    }

    /// Codes one bin with a context.
    #[inline]
    pub(super) fn bin(&mut self, context: usize, value: bool) {
        let slot = &mut self.states[context & (CONTEXT_SLOTS - 1)];
        let state = usize::from(*slot & 127);
        let lps = u32::from(RANGE_LPS[state >> 1][((self.range >> 6) & 3) as usize]);
        let mut range = self.range - lps;
        let next = TRANSITION[state];
        if (state & 1 != 0) == value {
            *slot = next[0];
        } else {
            self.low += u64::from(range);
            range = lps;
            *slot = next[1];
        }
        let shift = range.leading_zeros() - 23;
        self.bins += 1;
        self.range = range << shift;
        self.low <<= shift;
        self.queue += shift as i32;
        if self.queue >= 24 {
            self.write_bytes();
        }
    }

    /// Codes one bin of probability one half.
    #[inline]
    pub(super) fn bypass(&mut self, value: bool) {
        self.bypass_bits(u32::from(value), 1);
    }

    /// Codes the low `count` bits of `bits`, most significant first, with probability one half each; at most 16.
    #[inline]
    pub(super) fn bypass_bits(&mut self, bits: u32, count: u32) {
        debug_assert!(count <= 16 && bits >> count == 0);
        self.low = (self.low << count) + u64::from(bits) * u64::from(self.range);
        self.bins += count;
        self.queue += count as i32;
        if self.queue >= 24 {
            self.write_bytes();
        }
    }

    /// Codes an unsigned Exp-Golomb suffix of order `k` in bypass bins.
    pub(super) fn bypass_exp_golomb(&mut self, mut value: u32, mut k: u32) {
        while value >= 1 << k {
            self.bypass(true);
            value -= 1 << k;
            k += 1;
        }
        self.bypass(false);
        if k > 16 {
            self.bypass_bits(value >> 16, k - 16);
            self.bypass_bits(value & 0xFFFF, 16);
        } else {
            self.bypass_bits(value, k);
        }
    }

    /// Codes a terminate bin of 0: the slice goes on, or the macroblock is not I_PCM.
    #[inline]
    pub(super) fn go_on(&mut self) {
        self.range -= 2;
        let shift = self.range.leading_zeros() - 23;
        self.bins += 1;
        self.range <<= shift;
        self.low <<= shift;
        self.queue += shift as i32;
        if self.queue >= 24 {
            self.write_bytes();
        }
    }

    /// Codes a terminate bin of 1 and flushes to a byte boundary; the stop bit is the last one bit.
    pub(super) fn terminate(&mut self) {
        self.range -= 2;
        self.bins += 1;
        self.low += u64::from(self.range);
        // Seven bits of renormalisation, then the three bits of the flush.
        self.low = ((self.low << 7) | 0x80) & !0x7F;
        self.low <<= 3;
        self.queue += 10;
        self.write_bytes();
        let pad = (8 - (self.queue & 7)) & 7;
        self.low <<= pad;
        self.queue += pad;
        self.write_bytes();
        debug_assert_eq!((self.low, self.queue), (0, -8));
    }

    /// Writes raw bytes after [`Cabac::terminate`] and begins a new arithmetic codeword.
    pub(super) fn pcm_samples(&mut self, samples: impl Iterator<Item = u8>) {
        self.out.extend(samples);
        self.restart();
    }

    /// Bits written so far, as a decoder would have read them; only differences mean anything.
    #[inline]
    pub(super) fn position_bits(&self) -> u32 {
        (self.out.len() as u32)
            .wrapping_mul(8)
            .wrapping_add(self.queue as u32)
    }

    /// Bins coded in this slice.
    pub(super) fn bins(&self) -> u32 {
        self.bins
    }

    /// Bytes written; complete after [`Cabac::terminate`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Takes a snapshot for [`Cabac::roll_back`].
    pub(super) fn mark(&self) -> Mark {
        Mark {
            states: self.states,
            low: self.low,
            range: self.range,
            queue: self.queue,
            bins: self.bins,
            len: self.out.len(),
            tail: self.tail(self.out.len()),
        }
    }

    fn tail(&self, len: usize) -> u64 {
        self.out[len.saturating_sub(8)..len]
            .iter()
            .fold(0, |acc, &b| acc << 8 | u64::from(b))
    }

    /// Forgets everything coded since `mark`.
    pub(super) fn roll_back(&mut self, mark: &Mark) {
        self.out.truncate(mark.len);
        // A carry adds one to the bytes before the mark, seen as one number: take it back if it happened.
        if self.tail(mark.len) != mark.tail {
            for byte in self.out.iter_mut().rev() {
                let (value, borrow) = byte.overflowing_sub(1);
                *byte = value;
                if !borrow {
                    break;
                }
            }
        }
        self.states = mark.states;
        self.low = mark.low;
        self.range = mark.range;
        self.queue = mark.queue;
        self.bins = mark.bins;
    }

    /// Moves all whole finished bytes from `low` to the output.
    fn write_bytes(&mut self) {
        let count = (self.queue + 8) >> 3;
        if count <= 0 {
            return;
        }
        let shift = self.queue + 18 - 8 * count;
        let value = self.low >> shift;
        self.low &= (1 << shift) - 1;
        self.queue -= 8 * count;
        if value >> (8 * count) != 0 {
            for byte in self.out.iter_mut().rev() {
                let (sum, carry) = byte.overflowing_add(1);
                *byte = sum;
                if !carry {
                    break;
                }
            }
        }
        let bytes = value.to_be_bytes();
        self.out.extend_from_slice(&bytes[8 - count as usize..]);
    }
}

/// Next state by current state: after the probable symbol, after the other.
static TRANSITION: [[u8; 2]; 128] = {
    let mut table = [[0; 2]; 128];
    let mut state = 0;
    while state < 64 {
        let mps = if state < 62 { state + 1 } else { state };
        let lps = NEXT_AFTER_LPS[state];
        let mut value = 0;
        while value < 2 {
            let flipped = if state == 0 { 1 - value } else { value };
            table[state << 1 | value] = [(mps << 1 | value) as u8, lps << 1 | flipped as u8];
            value += 1;
        }
        state += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{Cabac, RANGE_LPS, SliceKind, TRANSITION};

    /// The decoding engine of 9.3.3.2, for what the encoder wrote.
    struct Decoder<'a> {
        bytes: &'a [u8],
        bit: usize,
        range: u32,
        offset: u32,
        states: [u8; 512],
    }

    impl<'a> Decoder<'a> {
        fn new(bytes: &'a [u8], states: [u8; 512]) -> Self {
            let mut decoder = Self {
                bytes,
                bit: 0,
                range: 510,
                offset: 0,
                states,
            };
            decoder.restart();
            decoder
        }

        fn restart(&mut self) {
            self.bit = self.bit.next_multiple_of(8);
            self.range = 510;
            self.offset = (0..9).fold(0, |value, _| value << 1 | self.read());
        }

        fn read(&mut self) -> u32 {
            let byte = self.bytes.get(self.bit / 8).copied().unwrap_or(0);
            self.bit += 1;
            u32::from(byte) >> (7 - (self.bit - 1) % 8) & 1
        }

        fn renormalise(&mut self) {
            while self.range < 256 {
                self.range <<= 1;
                self.offset = self.offset << 1 | self.read();
            }
        }

        fn bin(&mut self, context: usize) -> bool {
            let state = usize::from(self.states[context]);
            let lps = u32::from(RANGE_LPS[state >> 1][(self.range >> 6 & 3) as usize]);
            self.range -= lps;
            let less = self.offset >= self.range;
            if less {
                self.offset -= self.range;
                self.range = lps;
            }
            self.states[context] = TRANSITION[state][usize::from(less)];
            self.renormalise();
            (state & 1 != 0) != less
        }

        fn bypass(&mut self) -> bool {
            self.offset = self.offset << 1 | self.read();
            let one = self.offset >= self.range;
            if one {
                self.offset -= self.range;
            }
            one
        }

        fn terminate(&mut self) -> bool {
            self.range -= 2;
            let end = self.offset >= self.range;
            if !end {
                self.renormalise();
            }
            end
        }
    }

    fn random(state: &mut u32) -> u32 {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        *state
    }

    /// Codes `count` bins of a reproducible mixture.
    fn code(cabac: &mut Cabac, state: &mut u32, count: usize) {
        for _ in 0..count {
            let r = random(state);
            match r % 5 {
                0 => cabac.bypass(r & 64 != 0),
                1 => cabac.go_on(),
                // Skewed, so that long runs of probable symbols and late carries occur.
                _ => cabac.bin((r >> 8) as usize % 40, r >> 20 & 15 == 0),
            }
        }
    }

    fn verify(decoder: &mut Decoder<'_>, state: &mut u32, count: usize) {
        for index in 0..count {
            let r = random(state);
            let (have, want) = match r % 5 {
                0 => (decoder.bypass(), r & 64 != 0),
                1 => (decoder.terminate(), false),
                _ => (decoder.bin((r >> 8) as usize % 40), r >> 20 & 15 == 0),
            };
            assert_eq!(have, want, "bin {index}");
        }
    }

    #[test]
    fn what_is_coded_is_decoded_across_raw_samples_and_to_the_stop_bit() {
        for seed in 1..200 {
            let mut cabac = Cabac::new();
            cabac.start(SliceKind::P, 1, 20);
            let states = cabac.states;
            let (mut coding, mut decoding) = (seed, seed);
            code(&mut cabac, &mut coding, 700);
            cabac.terminate();
            cabac.pcm_samples([1, 2, 3].into_iter());
            code(&mut cabac, &mut coding, 300);
            cabac.terminate();

            let mut decoder = Decoder::new(cabac.bytes(), states);
            verify(&mut decoder, &mut decoding, 700);
            assert!(decoder.terminate(), "seed {seed}");
            // The decoder has read nine bits ahead, of which the flush wrote two after the terminate bin's seven.
            decoder.bit = (decoder.bit - 9 + 7 + 2).next_multiple_of(8);
            let at = decoder.bit / 8;
            assert_eq!(cabac.bytes()[at..at + 3], [1, 2, 3], "seed {seed}");
            decoder.bit += 24;
            decoder.restart();
            verify(&mut decoder, &mut decoding, 300);
            assert!(decoder.terminate(), "seed {seed}");
            let last = cabac.bytes().last().expect("something was written");
            assert_ne!(*last, 0, "seed {seed}: the stop bit is in the last byte");
        }
    }

    #[test]
    fn a_roll_back_leaves_no_trace() {
        for seed in 1..500 {
            let (mut plain, mut rolled) = (Cabac::new(), Cabac::new());
            for cabac in [&mut plain, &mut rolled] {
                cabac.start(SliceKind::I, 0, 30);
                code(cabac, &mut { seed }, 400);
            }
            let mark = rolled.mark();
            code(&mut rolled, &mut { seed + 7777 }, 900);
            rolled.roll_back(&mark);
            for cabac in [&mut plain, &mut rolled] {
                code(cabac, &mut { seed + 99 }, 100);
                cabac.terminate();
            }
            assert_eq!(plain.bytes(), rolled.bytes(), "seed {seed}");
            assert_eq!(plain.bins(), rolled.bins(), "seed {seed}");
        }
    }

    #[test]
    fn exponential_golomb_suffixes_of_any_size_are_decoded() {
        let values = [0, 1, 7, 8, 200, 65_535, 65_536, 1_000_000];
        let mut cabac = Cabac::new();
        cabac.start(SliceKind::I, 0, 30);
        let states = cabac.states;
        for k in [0, 3] {
            for value in values {
                cabac.bypass_exp_golomb(value, k);
            }
        }
        cabac.terminate();
        let mut decoder = Decoder::new(cabac.bytes(), states);
        for mut k in [0, 3] {
            let first = k;
            for value in values {
                k = first;
                let mut have = 0;
                while decoder.bypass() {
                    have += 1 << k;
                    k += 1;
                }
                let rest = (0..k).fold(0, |rest, _| rest << 1 | u32::from(decoder.bypass()));
                assert_eq!(have + rest, value);
            }
        }
    }
}
