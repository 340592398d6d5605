//! Constants of the standard that several parts share.

/// Raster position of each coefficient of a 4x4 block in frame scan order.
pub(super) const ZIGZAG_4X4: [u8; 16] = zigzag::<16>(4);
/// Raster position of each coefficient of an 8x8 block in frame scan order.
pub(super) const ZIGZAG_8X8: [u8; 64] = zigzag::<64>(8);

const fn zigzag<const N: usize>(side: usize) -> [u8; N] {
    let mut table = [0; N];
    let (mut x, mut y, mut i) = (0, 0, 0);
    while i < N {
        table[i] = (y * side + x) as u8;
        let up = (x + y) % 2 == 0;
        if up {
            if x == side - 1 {
                y += 1;
            } else if y == 0 {
                x += 1;
            } else {
                x += 1;
                y -= 1;
            }
        } else if y == side - 1 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            x -= 1;
            y += 1;
        }
        i += 1;
    }
    table
}

/// Column of each 4x4 luma block, in blocks, in coding order.
pub(super) const BLOCK_X: [usize; 16] = [0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3];
/// Row of each 4x4 luma block, in blocks, in coding order.
pub(super) const BLOCK_Y: [usize; 16] = [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3];

/// QPC by qPI from 30 on; below, they are equal (table 8-15).
const CHROMA_QP: [u8; 22] = [
    29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39,
];

/// Chroma QP of a luma QP and an index offset.
#[inline]
pub(super) fn chroma_qp(luma_qp: u8, offset: i8) -> u8 {
    let index = (i32::from(luma_qp) + i32::from(offset)).clamp(0, 51) as usize;
    if index < 30 {
        index as u8
    } else {
        CHROMA_QP[index - 30]
    }
}

/// Cost of one bit in units of absolute difference by QP: 0.42^(1/2) * 2^((QP - 12) / 6) rounded up, which is what the
/// encoder parameter buffer holds for P pictures by default.
pub(super) const LAMBDA: [u8; 52] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6,
    7, 8, 9, 10, 11, 13, 14, 15, 17, 19, 21, 24, 27, 30, 33, 37, 42, 47, 53, 59,
];

/// Alpha of the loop filter by indexA (table 8-16).
pub(super) const ALPHA: [u8; 52] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 17, 20,
    22, 25, 28, 32, 36, 40, 45, 50, 56, 63, 71, 80, 90, 101, 113, 127, 144, 162, 182, 203, 226,
    255, 255,
];

/// Beta of the loop filter by indexB (table 8-16).
pub(super) const BETA: [u8; 52] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 6, 6, 7, 7, 8, 8,
    9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18,
];

/// tC0 of the loop filter for boundary strengths 1, 2 and 3 by indexA (table 8-17).
pub(super) const TC0: [[u8; 52]; 3] = [
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8, 9, 10, 11, 13,
    ],
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 8, 10, 11, 12, 13, 15, 17,
    ],
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
        2, 3, 3, 3, 4, 4, 4, 5, 6, 6, 7, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 25,
    ],
];
