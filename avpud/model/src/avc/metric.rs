//! Distances between blocks of samples.

/// Sum of absolute differences of a block and the samples at the beginning of `other`.
#[inline]
pub(super) fn sad<const N: usize>(block: &[[u8; N]; N], other: &[u8], stride: usize) -> u32 {
    let mut sum = 0;
    for (a, row) in block.iter().zip(other.chunks(stride)) {
        let b = &row[..N];
        for i in 0..N {
            sum += u32::from(a[i].abs_diff(b[i]));
        }
    }
    sum
}

/// Sum of absolute differences of a block and the rounded mean of two others.
#[inline]
pub(super) fn sad_mean<const N: usize>(
    block: &[[u8; N]; N],
    first: &[u8],
    second: &[u8],
    stride: usize,
) -> u32 {
    let mut sum = 0;
    for (a, (b, c)) in block
        .iter()
        .zip(first.chunks(stride).zip(second.chunks(stride)))
    {
        let (b, c) = (&b[..N], &c[..N]);
        let mut mean = [0; N];
        for i in 0..N {
            mean[i] = ((u16::from(b[i]) + u16::from(c[i]) + 1) >> 1) as u8;
        }
        for i in 0..N {
            sum += u32::from(a[i].abs_diff(mean[i]));
        }
    }
    sum
}

/// Half the summed absolute values of a 4x4 Hadamard transform of the difference.
#[inline]
pub(super) fn satd_4x4(a: &[[u8; 4]; 4], b: &[[u8; 4]; 4]) -> u32 {
    let mut d = [[0i16; 4]; 4];
    for y in 0..4 {
        for x in 0..4 {
            d[y][x] = i16::from(a[y][x]) - i16::from(b[y][x]);
        }
    }
    for row in &mut d {
        *row = butterfly(*row);
    }
    let mut sum = 0;
    for x in 0..4 {
        let column = butterfly([d[0][x], d[1][x], d[2][x], d[3][x]]);
        sum += column
            .iter()
            .map(|&v| u32::from(v.unsigned_abs()))
            .sum::<u32>();
    }
    sum / 2
}

#[inline(always)]
fn butterfly(v: [i16; 4]) -> [i16; 4] {
    let (a, b, c, d) = (v[0] + v[1], v[0] - v[1], v[2] + v[3], v[2] - v[3]);
    [a + c, b + d, a - c, b - d]
}

/// [`satd_4x4`] summed over a block of `N` by `N`, in tiles.
#[inline]
pub(super) fn satd<const N: usize>(a: &[[u8; N]; N], b: &[[u8; N]; N]) -> u32 {
    let mut sum = 0;
    for y in (0..N).step_by(4) {
        for x in (0..N).step_by(4) {
            sum += satd_4x4(&tile(a, x, y), &tile(b, x, y));
        }
    }
    sum
}

/// The 4x4 tile of a block at (`x`, `y`).
#[inline]
pub(super) fn tile<const N: usize>(block: &[[u8; N]; N], x: usize, y: usize) -> [[u8; 4]; 4] {
    std::array::from_fn(|dy| std::array::from_fn(|dx| block[y + dy][x + dx]))
}

/// The 8x8 quarter of a 16x16 block at (`x`, `y`).
#[inline]
pub(super) fn quarter(block: &[[u8; 16]; 16], x: usize, y: usize) -> [[u8; 8]; 8] {
    std::array::from_fn(|dy| std::array::from_fn(|dx| block[y + dy][x + dx]))
}
