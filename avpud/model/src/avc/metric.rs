//! Distances between blocks of samples.
//!
//! The shapes of these loops matter: each is one that the compiler turns into the vector instructions every target has.

/// Sum of absolute differences of a block and the samples at the beginning of `other`.
#[inline]
pub(super) fn sad<const N: usize>(block: &[[u8; N]], other: &[u8], stride: usize) -> u32 {
    let mut sum = 0;
    let mut at = 0;
    for a in block {
        let Some(b) = other[at..].first_chunk::<N>() else {
            return sum;
        };
        sum += sad_row(a, b);
        at += stride;
    }
    sum
}

/// Sum of absolute differences of a block and the rounded mean of two others.
#[inline]
pub(super) fn sad_mean<const N: usize>(
    block: &[[u8; N]],
    first: &[u8],
    second: &[u8],
    stride: usize,
) -> u32 {
    let mut sum = 0;
    let mut at = 0;
    for a in block {
        let (Some(b), Some(c)) = (
            first[at..].first_chunk::<N>(),
            second[at..].first_chunk::<N>(),
        ) else {
            return sum;
        };
        sum += sad_row(a, &mean(b, c));
        at += stride;
    }
    sum
}

#[inline(always)]
fn sad_row<const N: usize>(a: &[u8; N], b: &[u8; N]) -> u32 {
    let mut sum = 0;
    for i in 0..N {
        sum += (i32::from(a[i]) - i32::from(b[i])).abs();
    }
    sum as u32
}

/// Mean of two rows, rounded up.
#[inline(always)]
pub(super) fn mean<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    std::array::from_fn(|i| (a[i] | b[i]) - ((a[i] ^ b[i]) >> 1))
}

/// Half the summed absolute values of the 4x4 Hadamard transforms of the difference of two blocks of `W` columns: 4 or
/// a multiple of 8.
#[inline]
pub(super) fn satd<const W: usize>(a: &[[u8; W]], b: &[[u8; W]]) -> u32 {
    let mut sum = 0;
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        let difference = |y: usize, x: usize| i16::from(a[y][x]) - i16::from(b[y][x]);
        if W == 4 {
            let rows = |y: usize| std::array::from_fn(|i| difference(y + i / 4, i % 4));
            sum += satd_4x4(rows(0), rows(2));
        } else {
            for x in (0..W).step_by(8) {
                sum += satd_8x4(std::array::from_fn(|y| {
                    std::array::from_fn(|i| difference(y, x + i))
                }));
            }
        }
    }
    sum
}

/// Eight lanes.
type Lanes = [i16; 8];

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] - b[i])
}

#[inline(always)]
fn abs(a: Lanes) -> Lanes {
    a.map(i16::abs)
}

#[inline(always)]
fn even(a: Lanes, b: Lanes) -> Lanes {
    [a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]]
}

#[inline(always)]
fn odd(a: Lanes, b: Lanes) -> Lanes {
    [a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]]
}

/// Two 4x4 tiles side by side.
#[inline(always)]
fn satd_8x4(d: [Lanes; 4]) -> u32 {
    let (a, b) = (add(d[0], d[1]), add(d[2], d[3]));
    let (c, e) = (sub(d[0], d[1]), sub(d[2], d[3]));
    total(add(
        across(add(a, b), sub(a, b)),
        across(add(c, e), sub(c, e)),
    ))
}

/// One 4x4 tile, two rows to each argument.
#[inline(always)]
fn satd_4x4(upper: Lanes, lower: Lanes) -> u32 {
    let (a, b) = (add(upper, lower), sub(upper, lower));
    let low = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
    let high = [a[4], a[5], a[6], a[7], b[4], b[5], b[6], b[7]];
    total(across(add(low, high), sub(low, high)))
}

/// Horizontal half of the transform of two vectors of lanes. Its second step needs no sums, because |a + b| + |a - b|
/// is twice the greater of |a| and |b|; the factor of two is the one that the result is halved by.
#[inline(always)]
fn across(p: Lanes, q: Lanes) -> Lanes {
    let (e, o) = (even(p, q), odd(p, q));
    let (s, d) = (abs(add(e, o)), abs(sub(e, o)));
    let (e, o) = (even(s, d), odd(s, d));
    std::array::from_fn(|i| e[i].max(o[i]))
}

#[inline(always)]
fn total(lanes: Lanes) -> u32 {
    lanes.iter().map(|&v| u32::from(v as u16)).sum()
}

/// The 4x4 tile of a block at (`x`, `y`).
#[inline(always)]
pub(super) fn tile<const N: usize>(block: &[[u8; N]; N], x: usize, y: usize) -> [[u8; 4]; 4] {
    window(block, x, y)
}

/// The 8x8 quarter of a 16x16 block at (`x`, `y`).
#[inline(always)]
pub(super) fn quarter(block: &[[u8; 16]; 16], x: usize, y: usize) -> [[u8; 8]; 8] {
    window(block, x, y)
}

/// `W` columns and `H` rows of a block from (`x`, `y`).
#[inline(always)]
pub(super) fn window<const N: usize, const W: usize, const H: usize>(
    block: &[[u8; N]],
    x: usize,
    y: usize,
) -> [[u8; W]; H] {
    let mut out = [[0; W]; H];
    for (to, from) in out.iter_mut().zip(&block[y..y + H]) {
        to.copy_from_slice(&from[x..x + W]);
    }
    out
}

/// Sums of absolute differences of the four 4x4 tiles in four rows of two blocks.
#[inline]
pub(super) fn sad_tiles(a: &[[u8; 16]], b: &[[u8; 16]]) -> [u16; 4] {
    let mut columns = [0u16; 16];
    for (a, b) in a.iter().zip(b) {
        for x in 0..16 {
            columns[x] += u16::from(a[x].abs_diff(b[x]));
        }
    }
    let mut sums = [0; 4];
    for (sum, columns) in sums.iter_mut().zip(columns.chunks_exact(4)) {
        *sum = columns.iter().sum();
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{sad, sad_mean, satd};

    /// The definition, one tile.
    fn reference(a: &[[u8; 16]; 16], b: &[[u8; 16]; 16], x: usize, y: usize) -> i32 {
        let sign = [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]];
        let mut sum = 0;
        for v in 0..4 {
            for u in 0..4 {
                let mut value = 0;
                for dy in 0..4 {
                    for dx in 0..4 {
                        let d = i32::from(a[y + dy][x + dx]) - i32::from(b[y + dy][x + dx]);
                        value += d * sign[v][dy] * sign[u][dx];
                    }
                }
                sum += value.abs();
            }
        }
        sum / 2
    }

    fn noise(mut state: u32) -> [[u8; 16]; 16] {
        [(); 16].map(|()| {
            [(); 16].map(|()| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 30 == 0 {
                    255
                } else {
                    (state >> 24) as u8
                }
            })
        })
    }

    #[test]
    fn the_transformed_difference_follows_its_definition_at_every_width() {
        let (a, b) = (noise(1), noise(2));
        let mut expected = 0;
        for y in (0..16).step_by(4) {
            for x in (0..16).step_by(4) {
                expected += reference(&a, &b, x, y) as u32;
            }
        }
        assert_eq!(satd(&a, &b), expected);
        let columns = |block: &[[u8; 16]; 16], x: usize| -> [[u8; 4]; 16] {
            std::array::from_fn(|y| std::array::from_fn(|i| block[y][x + i]))
        };
        let narrow = (0..16)
            .step_by(4)
            .map(|x| satd(&columns(&a, x), &columns(&b, x)))
            .sum();
        assert_eq!(expected, narrow);
        let white = [[255; 8]; 8];
        assert_eq!(satd(&white, &[[0; 8]; 8]), 4 * 16 * 255 / 2);
    }

    #[test]
    fn absolute_differences_follow_their_definition() {
        let (a, b, c) = (noise(3), noise(4), noise(5));
        let (mut plain, mut meant) = (0, 0);
        for y in 0..16 {
            for x in 0..16 {
                let mean = (u32::from(b[y][x]) + u32::from(c[y][x])).div_ceil(2);
                plain += u32::from(a[y][x].abs_diff(b[y][x]));
                meant += u32::from(a[y][x]).abs_diff(mean);
            }
        }
        let (flat_b, flat_c) = (b.as_flattened(), c.as_flattened());
        assert_eq!(sad(&a, flat_b, 16), plain);
        assert_eq!(sad_mean(&a, flat_b, flat_c, 16), meant);
    }
}
