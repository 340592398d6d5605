//! Distances between blocks of samples.

/// Sum of absolute differences of two rows of 16.
#[inline(always)]
fn sad_row(a: &[u8; 16], b: &[u8; 16]) -> u32 {
    let mut sum = 0;
    for i in 0..16 {
        sum += u32::from(a[i].abs_diff(b[i]));
    }
    sum
}

/// Sum of absolute differences of a 16x16 block and the block at `at` of a plane.
#[inline]
pub(super) fn sad_16x16(block: &[[u8; 16]; 16], plane: &[u8], at: usize, stride: usize) -> u32 {
    let rows = plane[at..].chunks(stride);
    let mut sum = 0;
    for (a, row) in block.iter().zip(rows) {
        if let Some(b) = row.first_chunk() {
            sum += sad_row(a, b);
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
