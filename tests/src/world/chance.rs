//! Where a script's decisions come from: a seed, or bytes that somebody else chose.

/// Answers questions of which the answer does not matter, only that it is the same again for the same source.
pub trait Chance {
    /// A number below `bound`; 0 where that is 0.
    fn below(&mut self, bound: u32) -> u32;

    /// True once in `n` times.
    fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, of which there is at least one.
    ///
    /// # Panics
    /// When there is none.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T
    where
        Self: Sized,
    {
        let len = u32::try_from(items.len()).expect("a short list");
        let index = usize::try_from(self.below(len)).expect("an index");
        *items.get(index).expect("at least one")
    }

    /// A number of 8 bits.
    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("below 256")
    }
}

/// A small generator: the same seed is the same run, everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Spreads small seeds; xorshift must not start at zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Chance for Rng {
    fn below(&mut self, bound: u32) -> u32 {
        let high = self.next_u64() >> 32;
        u32::try_from(high % u64::from(bound.max(1))).expect("below a 32-bit bound")
    }
}

/// A generator that writes down what it answers, so that a [`Tape`] of it answers the same.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    rng: Rng,
    bytes: Vec<u8>,
}

impl Recorder {
    /// The generator of a seed, and nothing written yet.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            bytes: Vec::new(),
        }
    }

    /// What a tape needs to answer the same.
    #[must_use]
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Chance for Recorder {
    fn below(&mut self, bound: u32) -> u32 {
        let answer = self.rng.below(bound);
        match bound {
            0 | 1 => {}
            2..=256 => self.bytes.extend(answer.to_le_bytes().first()),
            _ => self.bytes.extend(answer.to_le_bytes()),
        }
        answer
    }
}

/// Bytes, one for each small decision and four for each large one; zeros when they are used up.
#[derive(Clone, Debug)]
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// The decisions in these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left to decide by.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }
}

impl Chance for Tape<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let found = match bound {
            0 | 1 => return 0,
            2..=256 => u32::from(self.take()),
            _ => u32::from_le_bytes(core::array::from_fn(|_| self.take())),
        };
        found % bound
    }
}
