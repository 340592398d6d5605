//! Intra prediction (8.3): samples of a block from the samples around it.

/// Prediction modes of 4x4 and 8x8 blocks.
pub(super) const VERTICAL: u8 = 0;
pub(super) const HORIZONTAL: u8 = 1;
pub(super) const DC: u8 = 2;
const DIAGONAL_DOWN_LEFT: u8 = 3;
const DIAGONAL_DOWN_RIGHT: u8 = 4;
const VERTICAL_RIGHT: u8 = 5;
const HORIZONTAL_DOWN: u8 = 6;
const VERTICAL_LEFT: u8 = 7;
const HORIZONTAL_UP: u8 = 8;

/// Which neighbouring samples exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Available {
    pub(super) left: bool,
    pub(super) top: bool,
    pub(super) top_left: bool,
    pub(super) top_right: bool,
}

impl Available {
    /// What is there around the block at column `x` and row `y` of a macroblock with these neighbours. Whether what lies
    /// to the upper right is coded already goes by the size of the blocks.
    #[inline]
    pub(super) fn inside(self, (x, y): (usize, usize), top_right: bool) -> Self {
        Self {
            left: x > 0 || self.left,
            top: y > 0 || self.top,
            top_left: match (x, y) {
                (0, 0) => self.top_left,
                (_, 0) => self.top,
                (0, _) => self.left,
                _ => true,
            },
            top_right,
        }
    }

    /// Whether a block mode may be used.
    #[inline]
    fn allows(self, mode: u8) -> bool {
        match mode {
            VERTICAL | DIAGONAL_DOWN_LEFT | VERTICAL_LEFT => self.top,
            HORIZONTAL | HORIZONTAL_UP => self.left,
            DC => true,
            _ => self.left && self.top && self.top_left,
        }
    }
}

/// Index of the top-left sample in [`Contour::samples`]; the top row follows it, the left column runs down before it.
const ORIGIN: usize = 15;
const CONTOUR: usize = 34;

/// The samples around a block, walked from the bottom of the left column to the end of the top row, with the two
/// smoothings that the directional modes are made of.
pub(super) struct Contour {
    samples: [u8; CONTOUR],
    /// Mean of a sample and the next.
    pairs: [u8; CONTOUR],
    /// Weighted mean of a sample and both its neighbours.
    triples: [u8; CONTOUR],
    available: Available,
}

/// Side of the block a contour is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Four = 4,
    Eight = 8,
}

impl Contour {
    /// Collects the samples around the block whose first sample is at `at`, filtering them for 8x8 blocks. Samples
    /// that are not available keep arbitrary values.
    pub(super) fn new(
        plane: &[u8],
        at: usize,
        stride: usize,
        side: Side,
        available: Available,
    ) -> Self {
        let n = side as usize;
        let mut samples = [128; CONTOUR];
        if available.top {
            let row = &plane[at - stride..];
            let top = &mut samples[ORIGIN + 1..];
            top[..n].copy_from_slice(&row[..n]);
            if available.top_right {
                top[n..2 * n].copy_from_slice(&row[n..2 * n]);
            } else {
                top[n..2 * n].fill(row[n - 1]);
            }
        }
        if available.top_left {
            samples[ORIGIN] = plane[at - stride - 1];
        }
        if available.left {
            for y in 0..n {
                samples[ORIGIN - 1 - y] = plane[at - 1 + y * stride];
            }
        }
        if side == Side::Eight {
            filter_eight(&mut samples, available);
        }
        let last = samples[ORIGIN + 2 * n];
        samples[ORIGIN + 2 * n + 1..].fill(last);
        let bottom = samples[ORIGIN - n];
        samples[..ORIGIN - n].fill(bottom);

        let (mut pairs, mut triples) = ([0; CONTOUR], [0; CONTOUR]);
        for i in 1..CONTOUR - 1 {
            let (a, b, c) = (
                u16::from(samples[i - 1]),
                u16::from(samples[i]),
                u16::from(samples[i + 1]),
            );
            pairs[i] = ((b + c + 1) >> 1) as u8;
            triples[i] = ((a + 2 * b + c + 2) >> 2) as u8;
        }
        Self {
            samples,
            pairs,
            triples,
            available,
        }
    }

    /// Whether a block mode may be used.
    #[inline]
    pub(super) fn allows(&self, mode: u8) -> bool {
        self.available.allows(mode)
    }

    /// Predicts a block with a mode that [`Contour::allows`]; rows of `N` samples.
    #[inline]
    pub(super) fn predict<const N: usize>(&self, mode: u8, out: &mut [[u8; N]; N]) {
        let (pairs, triples) = (&self.pairs, &self.triples);
        match mode {
            VERTICAL => {
                let row: [u8; N] = std::array::from_fn(|x| self.samples[ORIGIN + 1 + x]);
                out.fill(row);
            }
            HORIZONTAL => {
                for (y, row) in out.iter_mut().enumerate() {
                    row.fill(self.samples[ORIGIN - 1 - y]);
                }
            }
            DC => out.fill([self.mean::<N>(); N]),
            DIAGONAL_DOWN_LEFT => {
                for (y, row) in out.iter_mut().enumerate() {
                    row.copy_from_slice(&triples[ORIGIN + 2 + y..][..N]);
                }
            }
            DIAGONAL_DOWN_RIGHT => {
                for (y, row) in out.iter_mut().enumerate() {
                    row.copy_from_slice(&triples[ORIGIN - y..][..N]);
                }
            }
            VERTICAL_LEFT => {
                for (y, row) in out.iter_mut().enumerate() {
                    let from = if y % 2 == 0 {
                        &pairs[1..]
                    } else {
                        &triples[2..]
                    };
                    row.copy_from_slice(&from[ORIGIN + y / 2..][..N]);
                }
            }
            VERTICAL_RIGHT => {
                for (y, row) in out.iter_mut().enumerate() {
                    for (x, sample) in row.iter_mut().enumerate() {
                        *sample = if 2 * x + 1 < y {
                            triples[ORIGIN + 1 + 2 * x - y]
                        } else if y % 2 == 0 {
                            pairs[ORIGIN + x - y / 2]
                        } else {
                            triples[ORIGIN + x - y / 2]
                        };
                    }
                }
            }
            HORIZONTAL_DOWN => {
                for (y, row) in out.iter_mut().enumerate() {
                    for (x, sample) in row.iter_mut().enumerate() {
                        *sample = if 2 * y + 1 < x {
                            triples[ORIGIN - 1 + x - 2 * y]
                        } else if x % 2 == 0 {
                            pairs[ORIGIN - 1 - y + x / 2]
                        } else {
                            triples[ORIGIN - y + x / 2]
                        };
                    }
                }
            }
            _ => {
                for (y, row) in out.iter_mut().enumerate() {
                    for (x, sample) in row.iter_mut().enumerate() {
                        let down = y + x / 2;
                        *sample = if x % 2 == 0 {
                            pairs[ORIGIN - 2 - down]
                        } else {
                            triples[ORIGIN - 2 - down]
                        };
                    }
                }
            }
        }
    }

    fn mean<const N: usize>(&self) -> u8 {
        let sum = |from: &[u8]| from.iter().map(|&s| u32::from(s)).sum::<u32>();
        let top = sum(&self.samples[ORIGIN + 1..=ORIGIN + N]);
        let left = sum(&self.samples[ORIGIN - N..ORIGIN]);
        mean_of(self.available, top, left, N as u32) as u8
    }
}

/// Mean of whichever of two rows of `count` samples exist.
fn mean_of(available: Available, top: u32, left: u32, count: u32) -> u32 {
    match (available.top, available.left) {
        (true, true) => (top + left + count) / (2 * count),
        (true, false) => (top + count / 2) / count,
        (false, true) => (left + count / 2) / count,
        (false, false) => 128,
    }
}

/// Reference sample filtering of 8x8 blocks (8.3.2.2.1).
fn filter_eight(samples: &mut [u8; CONTOUR], available: Available) {
    let raw = *samples;
    let s = |i: usize| u16::from(raw[i]);
    let three = |a: u16, b: u16, c: u16| ((a + 2 * b + c + 2) >> 2) as u8;
    if available.top {
        let first = ORIGIN + 1;
        let before = if available.top_left {
            s(ORIGIN)
        } else {
            s(first)
        };
        samples[first] = three(before, s(first), s(first + 1));
        for i in first + 1..first + 15 {
            samples[i] = three(s(i - 1), s(i), s(i + 1));
        }
        samples[first + 15] = three(s(first + 14), s(first + 15), s(first + 15));
    }
    if available.top_left {
        let corner = s(ORIGIN);
        let top = if available.top { s(ORIGIN + 1) } else { corner };
        let left = if available.left {
            s(ORIGIN - 1)
        } else {
            corner
        };
        samples[ORIGIN] = three(left, corner, top);
    }
    if available.left {
        let first = ORIGIN - 1;
        let before = if available.top_left {
            s(ORIGIN)
        } else {
            s(first)
        };
        samples[first] = three(before, s(first), s(first - 1));
        for i in first - 6..first {
            samples[i] = three(s(i + 1), s(i), s(i - 1));
        }
        samples[first - 7] = three(s(first - 6), s(first - 7), s(first - 7));
    }
}

/// The samples beside a block of `N` columns of one plane.
pub(super) struct Beside<const N: usize> {
    pub(super) top: [u8; N],
    pub(super) left: [u8; N],
    pub(super) top_left: u8,
    pub(super) available: Available,
}

impl<const N: usize> Beside<N> {
    /// Collects the samples; `step` is the distance between samples of the plane in a row.
    pub(super) fn new(
        plane: &[u8],
        at: usize,
        stride: usize,
        step: usize,
        available: Available,
    ) -> Self {
        let mut beside = Self {
            top: [128; N],
            left: [128; N],
            top_left: 128,
            available,
        };
        if available.top {
            for (x, sample) in beside.top.iter_mut().enumerate() {
                *sample = plane[at - stride + x * step];
            }
        }
        if available.left {
            for (y, sample) in beside.left.iter_mut().enumerate() {
                *sample = plane[at - step + y * stride];
            }
        }
        if available.top_left {
            beside.top_left = plane[at - stride - step];
        }
        beside
    }

    fn plane(&self, slope_numerator: i32, slope_shift: u32, out: &mut [[u8; N]; N]) {
        let half = N / 2;
        let gradient = |row: &[u8; N]| {
            (1..=half)
                .map(|i| {
                    let before = if i == half {
                        self.top_left
                    } else {
                        row[half - 1 - i]
                    };
                    i as i32 * (i32::from(row[half - 1 + i]) - i32::from(before))
                })
                .sum::<i32>()
        };
        let slope = |sum: i32| (slope_numerator * sum + (1 << (slope_shift - 1))) >> slope_shift;
        let (b, c) = (slope(gradient(&self.top)), slope(gradient(&self.left)));
        let base = 16 * (i32::from(self.left[N - 1]) + i32::from(self.top[N - 1])) + 16
            - (half as i32 - 1) * (b + c);
        for (y, row) in out.iter_mut().enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                *sample = ((base + b * x as i32 + c * y as i32) >> 5).clamp(0, 255) as u8;
            }
        }
    }
}

impl Beside<16> {
    /// Whether an Intra16x16 mode may be used.
    pub(super) fn allows(&self, mode: u8) -> bool {
        let a = self.available;
        match mode {
            0 => a.top,
            1 => a.left,
            2 => true,
            _ => a.top && a.left && a.top_left,
        }
    }

    /// Intra16x16: 0 vertical, 1 horizontal, 2 DC, 3 plane.
    pub(super) fn predict(&self, mode: u8, out: &mut [[u8; 16]; 16]) {
        match mode {
            0 => out.fill(self.top),
            1 => {
                for (row, &sample) in out.iter_mut().zip(&self.left) {
                    row.fill(sample);
                }
            }
            2 => {
                let sum = |row: &[u8; 16]| row.iter().map(|&s| u32::from(s)).sum::<u32>();
                let mean = mean_of(self.available, sum(&self.top), sum(&self.left), 16);
                out.fill([mean as u8; 16]);
            }
            _ => self.plane(5, 6, out),
        }
    }
}

impl Beside<8> {
    /// Whether a chroma mode may be used.
    pub(super) fn allows(&self, mode: u8) -> bool {
        let a = self.available;
        match mode {
            0 => true,
            1 => a.left,
            2 => a.top,
            _ => a.top && a.left && a.top_left,
        }
    }

    /// Chroma: 0 DC, 1 horizontal, 2 vertical, 3 plane.
    pub(super) fn predict(&self, mode: u8, out: &mut [[u8; 8]; 8]) {
        match mode {
            0 => self.mean_by_quarter(out),
            1 => {
                for (row, &sample) in out.iter_mut().zip(&self.left) {
                    row.fill(sample);
                }
            }
            2 => out.fill(self.top),
            _ => self.plane(34, 6, out),
        }
    }

    fn mean_by_quarter(&self, out: &mut [[u8; 8]; 8]) {
        let sum = |row: &[u8]| row.iter().map(|&s| u32::from(s)).sum::<u32>();
        for quarter in 0..4 {
            let (x, y) = (quarter % 2 * 4, quarter / 2 * 4);
            let mut available = self.available;
            // Off the diagonal one edge is preferred where both exist.
            if available.top && available.left {
                available.left = quarter != 1;
                available.top = quarter != 2;
            }
            let (top, left) = (sum(&self.top[x..x + 4]), sum(&self.left[y..y + 4]));
            let mean = mean_of(available, top, left, 4) as u8;
            for row in &mut out[y..y + 4] {
                row[x..x + 4].fill(mean);
            }
        }
    }
}
