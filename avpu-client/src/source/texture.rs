//! The still material of the test pattern: a tile of textured surface that repeats without a seam, and noise.
//!
//! A camera's picture has detail at every scale, soft gradients, hard edges and a little noise. Flat colour bars
//! would cost an encoder nothing and white noise everything; neither says how a stream will look.

/// Width of the tile in luma pixels.
pub(super) const TILE_WIDTH: usize = 1024;
/// Height of the tile in luma lines.
pub(super) const TILE_HEIGHT: usize = 512;
/// One more pixel than the tile is wide: the last neighbour of an interpolation.
const LINE_LEN: usize = TILE_WIDTH + 1;
/// Bytes of noise; a line of a picture starts anywhere in the first half.
const NOISE_LEN: usize = 16 * 1024;

/// Octaves of the surface: side of a cell in pixels as a power of two, and amplitude.
const OCTAVES: [(u32, i32); 6] = [(7, 44), (6, 30), (5, 18), (4, 10), (3, 6), (2, 3)];

/// A seamless surface and the noise of a sensor.
#[derive(Clone, Debug)]
pub(super) struct Texture {
    luma: Vec<u8>,
    chroma: Vec<u8>,
    noise: Vec<u8>,
}

impl Texture {
    pub(super) fn new() -> Self {
        let mut random = Random::new(0x5eed_0001);
        let mut sum = vec![0_i32; TILE_WIDTH * TILE_HEIGHT];
        for (shift, amplitude) in OCTAVES {
            add_octave(&mut sum, shift, amplitude, &mut random);
        }
        add_blocks(&mut sum, &mut random);
        let mut luma = Vec::with_capacity(LINE_LEN * TILE_HEIGHT);
        for line in sum.chunks_exact(TILE_WIDTH) {
            luma.extend(line.iter().map(|value| level(128 + value, 24, 224)));
            luma.push(luma[luma.len() - TILE_WIDTH]);
        }
        Self {
            luma,
            chroma: chroma(&mut random),
            noise: (0..NOISE_LEN).map(|_| sensor_noise(&mut random)).collect(),
        }
    }

    /// Draws a luma line of the surface; `x` and `y` are in sixteenths of a pixel and wrap.
    pub(super) fn draw_luma(&self, into: &mut [u8], x: u64, y: u64) {
        let (line, fraction_y) = split(y, TILE_HEIGHT);
        let (mut column, fraction_x) = split(x, TILE_WIDTH);
        let above = &self.luma[line * LINE_LEN..][..LINE_LEN];
        let below = &self.luma[(line + 1) % TILE_HEIGHT * LINE_LEN..][..LINE_LEN];
        let mut into = into;
        while !into.is_empty() {
            let take = into.len().min(TILE_WIDTH - column);
            let (head, rest) = into.split_at_mut(take);
            let above = &above[column..=column + take];
            let below = &below[column..=column + take];
            interpolate(head, above, below, fraction_x, fraction_y);
            into = rest;
            column = 0;
        }
    }

    /// Draws a line of interleaved chroma that goes with the luma line at `x`, `y`.
    pub(super) fn draw_chroma(&self, into: &mut [u8], x: u64, y: u64) {
        let line = split(y, TILE_HEIGHT).0 / 2;
        let mut column = split(x, TILE_WIDTH).0 / 2 * 2;
        let from = &self.chroma[line * TILE_WIDTH..][..TILE_WIDTH];
        let mut into = into;
        while !into.is_empty() {
            let take = into.len().min(TILE_WIDTH - column);
            let (head, rest) = into.split_at_mut(take);
            head.copy_from_slice(&from[column..column + take]);
            into = rest;
            column = 0;
        }
    }

    /// Adds noise to a line; the same `seed` gives the same noise.
    pub(super) fn add_noise(&self, line: &mut [u8], seed: u32) {
        let offset = usize::try_from(seed).unwrap_or(0) % (NOISE_LEN / 2);
        for part in line.chunks_mut(NOISE_LEN / 2) {
            for (pixel, noise) in part.iter_mut().zip(&self.noise[offset..]) {
                // Two's complement; the surface keeps away from 0 and 255.
                *pixel = pixel.wrapping_add(*noise);
            }
        }
    }
}

/// Whole pixels inside a tile of `len` and sixteenths.
fn split(position: u64, len: usize) -> (usize, u16) {
    let [low, ..] = position.to_le_bytes();
    let whole = usize::try_from((position >> 4) & 0xffff).unwrap_or(0) % len;
    (whole, u16::from(low & 15))
}

fn interpolate(into: &mut [u8], above: &[u8], below: &[u8], x: u16, y: u16) {
    let weights = [(16 - x) * (16 - y), x * (16 - y), (16 - x) * y, x * y];
    let neighbours = above
        .iter()
        .zip(&above[1..])
        .zip(below.iter().zip(&below[1..]));
    for (pixel, ((a, b), (c, d))) in into.iter_mut().zip(neighbours) {
        // At most 255 * 256 + 128: fits 16 bits, which is what makes this loop fast.
        let sum = u16::from(*a) * weights[0]
            + u16::from(*b) * weights[1]
            + u16::from(*c) * weights[2]
            + u16::from(*d) * weights[3]
            + 128;
        let [_, high] = sum.to_le_bytes();
        *pixel = high;
    }
}

/// Adds smooth noise with cells of `1 << shift` pixels that wraps at the tile's borders.
fn add_octave(sum: &mut [i32], shift: u32, amplitude: i32, random: &mut Random) {
    let cell = 1_usize << shift;
    let (columns, lines) = (TILE_WIDTH >> shift, TILE_HEIGHT >> shift);
    let corners: Vec<i32> = (0..columns * lines)
        .map(|_| random.between(-256, 256))
        .collect();
    let span = i32::try_from(cell).unwrap_or(1);
    for (y, line) in sum.chunks_exact_mut(TILE_WIDTH).enumerate() {
        let top = y / cell * columns;
        let bottom = (y / cell + 1) % lines * columns;
        let dy = smooth(y % cell, span);
        for (column, part) in line.chunks_exact_mut(cell).enumerate() {
            let right = (column + 1) % columns;
            let start = mix(corners[top + column], corners[bottom + column], dy);
            let end = mix(corners[top + right], corners[bottom + right], dy);
            for (x, value) in part.iter_mut().enumerate() {
                *value += mix(start, end, smooth(x, span)) * amplitude / 256;
            }
        }
    }
}

/// 0..=256 along a cell, flat at both ends.
fn smooth(position: usize, span: i32) -> i32 {
    let t = i32::try_from(position).unwrap_or(0) * 256 / span;
    t * t / 256 * (768 - 2 * t) / 256
}

fn mix(a: i32, b: i32, t: i32) -> i32 {
    a + (b - a) * t / 256
}

/// Adds rectangles with darker windows in them: hard edges, as houses and furniture have.
fn add_blocks(sum: &mut [i32], random: &mut Random) {
    for _ in 0..28 {
        let (left, top) = (random.below(TILE_WIDTH), random.below(TILE_HEIGHT));
        let (width, height) = (24 + random.below(120), 24 + random.below(100));
        let shade = random.between(-36, 36);
        for y in 0..height {
            let line = (top + y) % TILE_HEIGHT * TILE_WIDTH;
            for x in 0..width {
                let window = x % 20 >= 8 && y % 24 >= 10;
                sum[line + (left + x) % TILE_WIDTH] += if window { shade - 22 } else { shade };
            }
        }
    }
}

/// Muted colours that change slowly: interleaved Cb and Cr at half the resolution.
fn chroma(random: &mut Random) -> Vec<u8> {
    let mut planes = Vec::with_capacity(2);
    for _ in 0..2 {
        let mut plane = vec![0_i32; TILE_WIDTH * TILE_HEIGHT];
        for (shift, amplitude) in [(7, 14), (5, 5)] {
            add_octave(&mut plane, shift, amplitude, random);
        }
        planes.push(plane);
    }
    let mut interleaved = Vec::with_capacity(TILE_WIDTH * TILE_HEIGHT / 2);
    for line in 0..TILE_HEIGHT / 2 {
        for column in 0..TILE_WIDTH / 2 {
            for plane in &planes {
                let value = plane[line * 2 * TILE_WIDTH + column * 2];
                interleaved.push(level(128 + value, 64, 192));
            }
        }
    }
    interleaved
}

/// About normal with a deviation of 1.3, in two's complement.
fn sensor_noise(random: &mut Random) -> u8 {
    let sum: i32 = (0..4).map(|_| random.between(-2, 2)).sum();
    let [low, ..] = (sum / 2).to_le_bytes();
    low
}

fn level(value: i32, low: u8, high: u8) -> u8 {
    let clamped = value.clamp(i32::from(low), i32::from(high));
    u8::try_from(clamped).unwrap_or(low)
}

/// A small generator: the pattern is the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u32);

impl Random {
    pub(super) const fn new(seed: u32) -> Self {
        Self(seed | 1)
    }

    /// Marsaglia's xorshift with 32 bits.
    pub(super) const fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 8).unwrap_or(0) % limit
    }

    fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = u32::try_from(high - low + 1).unwrap_or(1);
        low + i32::try_from((self.next() >> 8) % span).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surface_moves_by_whole_pixels_without_a_seam() {
        let texture = Texture::new();
        let width = 2 * TILE_WIDTH;
        let (mut still, mut moved) = (vec![0; width], vec![0; width]);
        texture.draw_luma(&mut still, 0, 0);
        texture.draw_luma(&mut moved, 16, 0);
        assert_eq!(still[1..], moved[..width - 1]);
        assert_eq!(still[..TILE_WIDTH], still[TILE_WIDTH..]);
    }

    #[test]
    fn a_fraction_of_a_pixel_lies_between_its_neighbours() {
        let texture = Texture::new();
        let (mut still, mut moved) = (vec![0; 64], vec![0; 64]);
        texture.draw_luma(&mut still, 0, 0);
        texture.draw_luma(&mut moved, 8, 0);
        for (pair, between) in still.windows(2).zip(&moved) {
            let expected = (u16::from(pair[0]) + u16::from(pair[1])).div_ceil(2);
            assert_eq!(u16::from(*between), expected);
        }
        assert_ne!(still, moved);
    }

    #[test]
    fn noise_is_mild_and_keeps_away_from_the_ends_of_the_range() {
        let texture = Texture::new();
        let mut line = vec![100; 8192];
        texture.add_noise(&mut line, 77);
        let differences = line.iter().map(|pixel| pixel.abs_diff(100));
        assert!(differences.clone().all(|difference| difference <= 4));
        assert!(differences.filter(|difference| *difference > 0).count() > 4096);
    }
}
