//! The integer transforms of the standard (8.5) and their forward counterparts.
//!
//! Blocks are raster arrays. Residuals are within ±255, so forward results fit in 16 bits; inverse transforms work in
//! 32 bits because a hostile combination of levels could not be told from a legal one otherwise.

/// Forward 4x4 core transform.
#[inline]
pub(super) fn forward_4x4(block: &mut [i16; 16]) {
    for i in 0..4 {
        let r = 4 * i;
        let (a, b) = (block[r] + block[r + 3], block[r + 1] + block[r + 2]);
        let (c, d) = (block[r + 1] - block[r + 2], block[r] - block[r + 3]);
        block[r] = a + b;
        block[r + 1] = 2 * d + c;
        block[r + 2] = a - b;
        block[r + 3] = d - 2 * c;
    }
    for i in 0..4 {
        let (a, b) = (block[i] + block[i + 12], block[i + 4] + block[i + 8]);
        let (c, d) = (block[i + 4] - block[i + 8], block[i] - block[i + 12]);
        block[i] = a + b;
        block[i + 4] = 2 * d + c;
        block[i + 8] = a - b;
        block[i + 12] = d - 2 * c;
    }
}

/// Inverse 4x4 core transform with the final rounding by 64.
#[inline]
pub(super) fn inverse_4x4(block: &mut [i32; 16]) {
    for i in 0..4 {
        let r = 4 * i;
        let (e, f) = (block[r] + block[r + 2], block[r] - block[r + 2]);
        let g = (block[r + 1] >> 1) - block[r + 3];
        let h = block[r + 1] + (block[r + 3] >> 1);
        block[r] = e + h;
        block[r + 1] = f + g;
        block[r + 2] = f - g;
        block[r + 3] = e - h;
    }
    for i in 0..4 {
        let (e, f) = (block[i] + block[i + 8], block[i] - block[i + 8]);
        let g = (block[i + 4] >> 1) - block[i + 12];
        let h = block[i + 4] + (block[i + 12] >> 1);
        block[i] = (e + h + 32) >> 6;
        block[i + 4] = (f + g + 32) >> 6;
        block[i + 8] = (f - g + 32) >> 6;
        block[i + 12] = (e - h + 32) >> 6;
    }
}

/// Hadamard transform of the 4x4 luma DC coefficients; its own inverse but for scaling.
pub(super) fn hadamard_4x4(block: &mut [i32; 16]) {
    for i in 0..4 {
        let r = 4 * i;
        let (a, b) = (block[r] + block[r + 1], block[r + 2] + block[r + 3]);
        let (c, d) = (block[r] - block[r + 1], block[r + 2] - block[r + 3]);
        block[r] = a + b;
        block[r + 1] = a - b;
        block[r + 2] = c - d;
        block[r + 3] = c + d;
    }
    for i in 0..4 {
        let (a, b) = (block[i] + block[i + 4], block[i + 8] + block[i + 12]);
        let (c, d) = (block[i] - block[i + 4], block[i + 8] - block[i + 12]);
        block[i] = a + b;
        block[i + 4] = a - b;
        block[i + 8] = c - d;
        block[i + 12] = c + d;
    }
}

/// Hadamard transform of the 2x2 chroma DC coefficients.
#[inline]
pub(super) fn hadamard_2x2(c: [i32; 4]) -> [i32; 4] {
    let (a, b, d, e) = (c[0] + c[1], c[0] - c[1], c[2] + c[3], c[2] - c[3]);
    [a + d, b + e, a - d, b - e]
}

type Rows<T> = [[T; 8]; 8];

#[inline]
fn transpose<T: Copy>(rows: &mut Rows<T>) {
    for y in 0..8 {
        for x in 0..y {
            let held = rows[y][x];
            rows[y][x] = rows[x][y];
            rows[x][y] = held;
        }
    }
}

/// Forward 8x8 transform.
#[inline]
pub(super) fn forward_8x8(rows: &mut Rows<i16>) {
    for _ in 0..2 {
        forward_columns(rows);
        transpose(rows);
    }
}

#[inline]
fn forward_columns(rows: &mut Rows<i16>) {
    for x in 0..8 {
        let s = |y: usize| rows[y][x];
        let (s07, s16, s25, s34) = (s(0) + s(7), s(1) + s(6), s(2) + s(5), s(3) + s(4));
        let (a0, a1, a2, a3) = (s07 + s34, s16 + s25, s07 - s34, s16 - s25);
        let (d07, d16, d25, d34) = (s(0) - s(7), s(1) - s(6), s(2) - s(5), s(3) - s(4));
        let a4 = d16 + d25 + (d07 + (d07 >> 1));
        let a5 = d07 - d34 - (d25 + (d25 >> 1));
        let a6 = d07 + d34 - (d16 + (d16 >> 1));
        let a7 = d16 - d25 + (d34 + (d34 >> 1));
        rows[0][x] = a0 + a1;
        rows[1][x] = a4 + (a7 >> 2);
        rows[2][x] = a2 + (a3 >> 1);
        rows[3][x] = a5 + (a6 >> 2);
        rows[4][x] = a0 - a1;
        rows[5][x] = a6 - (a5 >> 2);
        rows[6][x] = (a2 >> 1) - a3;
        rows[7][x] = (a4 >> 2) - a7;
    }
}

/// Inverse 8x8 transform with the final rounding by 64.
#[inline]
pub(super) fn inverse_8x8(rows: &mut Rows<i32>) {
    transpose(rows);
    inverse_columns(rows);
    transpose(rows);
    inverse_columns(rows);
    for row in rows {
        for value in row {
            *value = (*value + 32) >> 6;
        }
    }
}

#[inline]
fn inverse_columns(rows: &mut Rows<i32>) {
    for x in 0..8 {
        let s = |y: usize| rows[y][x];
        let (a0, a2) = (s(0) + s(4), s(0) - s(4));
        let (a4, a6) = ((s(2) >> 1) - s(6), (s(6) >> 1) + s(2));
        let (b0, b2, b4, b6) = (a0 + a6, a2 + a4, a2 - a4, a0 - a6);
        let a1 = s(5) - s(3) - s(7) - (s(7) >> 1);
        let a3 = s(1) + s(7) - s(3) - (s(3) >> 1);
        let a5 = s(7) - s(1) + s(5) + (s(5) >> 1);
        let a7 = s(3) + s(5) + s(1) + (s(1) >> 1);
        let (b1, b3) = ((a7 >> 2) + a1, a3 + (a5 >> 2));
        let (b5, b7) = ((a3 >> 2) - a5, a7 - (a1 >> 2));
        rows[0][x] = b0 + b7;
        rows[1][x] = b2 + b5;
        rows[2][x] = b4 + b3;
        rows[3][x] = b6 + b1;
        rows[4][x] = b6 - b1;
        rows[5][x] = b4 - b3;
        rows[6][x] = b2 - b5;
        rows[7][x] = b0 - b7;
    }
}
