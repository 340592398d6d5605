//! Pictures that are made up: smooth and rough parts as in a camera's view, with edges, larger than what is shown.

/// A still from which windows are taken, NV12.
#[derive(Clone, Debug)]
pub struct Texture {
    width: usize,
    height: usize,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

/// Lengths of the waves that a texture is made of, in pixels, with how high each is.
const OCTAVES: [(usize, i32); 7] = [
    (128, 60),
    (64, 36),
    (32, 24),
    (16, 22),
    (8, 24),
    (4, 26),
    (2, 20),
];

/// A generator of numbers that repeats itself for every machine.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u32);

impl Dice {
    /// Starts anywhere.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    /// The next number.
    pub fn roll(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.roll() % limit.max(1)
    }
}

impl Texture {
    /// A texture of `width` by `height` pixels, both even.
    #[must_use]
    pub fn new(width: usize, height: usize, seed: u32) -> Self {
        let mut dice = Dice::new(seed);
        let mut values = vec![128 * 16; width * height];
        for (length, strength) in OCTAVES {
            add_waves(&mut values, width, length, strength, &mut dice);
        }
        let mut luma: Vec<u8> = values.iter().map(|value| clip(value / 16)).collect();
        for _ in 0..24 {
            add_box(&mut luma, width, height, &mut dice);
        }
        let mut chroma_values = [(); 2].map(|()| vec![128 * 16; width * height / 4]);
        for plane in &mut chroma_values {
            add_waves(plane, width / 2, 64, 30, &mut dice);
            add_waves(plane, width / 2, 16, 10, &mut dice);
        }
        let [first, second] = &chroma_values;
        let chroma = first.iter().zip(second);
        Self {
            width,
            height,
            luma,
            chroma: chroma
                .flat_map(|(cb, cr)| [clip(cb / 16), clip(cr / 16)])
                .collect(),
        }
    }

    /// Copies the window at `x`, `y` (both even) into an NV12 picture of `width` by `height`; half a pixel further to
    /// the right where `half` says so.
    pub fn window(
        &self,
        (x, y): (usize, usize),
        half: bool,
        (width, height): (usize, usize),
        into: &mut Vec<u8>,
    ) {
        into.clear();
        let (x, y) = (
            x.min(self.width - width - 2) & !1,
            y.min(self.height - height) & !1,
        );
        for row in y..y + height {
            let line = &self.luma[row * self.width + x..][..width + 1];
            if half {
                let pairs = line.iter().zip(&line[1..]);
                into.extend(pairs.map(|(a, b)| a.midpoint(*b)));
            } else {
                into.extend_from_slice(&line[..width]);
            }
        }
        for row in y / 2..(y + height) / 2 {
            into.extend_from_slice(&self.chroma[row * self.width + x..][..width]);
        }
    }
}

/// Adds smooth random waves of one length.
fn add_waves(values: &mut [i32], width: usize, length: usize, strength: i32, dice: &mut Dice) {
    let columns = width / length + 2;
    let rows = values.len() / width / length + 2;
    let knots: Vec<i32> = (0..columns * rows)
        .map(|_| i32::try_from(dice.below(33)).unwrap_or(0) - 16)
        .collect();
    let scale = i32::try_from(length).unwrap_or(1);
    for (y, line) in values.chunks_mut(width).enumerate() {
        let part_y = i32::try_from(y % length).unwrap_or(0);
        for (x, value) in line.iter_mut().enumerate() {
            let part_x = i32::try_from(x % length).unwrap_or(0);
            let knot = y / length * columns + x / length;
            let top = knots[knot] * (scale - part_x) + knots[knot + 1] * part_x;
            let below = knot + columns;
            let bottom = knots[below] * (scale - part_x) + knots[below + 1] * part_x;
            let mixed = top * (scale - part_y) + bottom * part_y;
            *value += mixed * strength / (scale * scale);
        }
    }
}

/// Draws a box that is lighter or darker than what is there.
fn add_box(luma: &mut [u8], width: usize, height: usize, dice: &mut Dice) {
    let mut pick = |limit: usize| {
        let limit = u32::try_from(limit).unwrap_or(1);
        usize::try_from(dice.below(limit)).unwrap_or(0)
    };
    let (x, y) = (pick(width), pick(height));
    let (right, bottom) = (
        (x + 8 + pick(width / 6)).min(width),
        (y + 8 + pick(height / 6)).min(height),
    );
    let step = i32::try_from(pick(120)).unwrap_or(0) - 60;
    for row in y..bottom {
        for value in &mut luma[row * width + x..row * width + right] {
            *value = clip(i32::from(*value) + step);
        }
    }
}

/// The nearest sample.
#[must_use]
pub fn clip(value: i32) -> u8 {
    u8::try_from(value.clamp(16, 235)).unwrap_or(128)
}
