//! The pattern body: bytes that have the size of a picture and nothing of its content.
//!
//! The bytes are a function of the job alone and never zero, so they hold no start code and need no emulation
//! prevention. Whoever counts or shows them has to call them synthetic. The size follows the QP by 2^(-1/6) a step,
//! intra pictures are eight times as large as predicted ones, and with rate control inside the picture a sixth of
//! the distance to its target is made good.

use crate::avc::{PictureStats, SliceKind};
use crate::cmdlist::CommandList;
use crate::rng::Rng;

/// Bits of a predicted macroblock at QP 26.
const MACROBLOCK_BITS: u64 = 24;
/// How much larger intra pictures are.
const INTRA_FACTOR: u64 = 8;
/// Mean squared error at QP 26, in tenths.
const MEAN_SQUARED_ERROR_TENTHS: u64 = 80;
/// 65536 x 2^(n/6).
const SIXTH_POWERS: [u64; 6] = [65536, 73562, 82570, 92682, 104_032, 116_772];

/// Makes the slice data of a job.
pub(crate) fn make(number: u32, list: &CommandList, payload: &mut Vec<u8>) -> PictureStats {
    let macroblocks = u64::from(list.macroblocks());
    let factor = match list.kind {
        SliceKind::I => INTRA_FACTOR,
        SliceKind::P => 1,
    };
    let mut seed = Rng::new(u64::from(list.poc) << 32 | u64::from(number));
    // Content differs from picture to picture by up to a quarter.
    let content = 192 + seed.next_u64() % 128;
    let mut bits = scale(macroblocks * MACROBLOCK_BITS * factor, list.qp) * content / 256;
    if let Some(hwrc) = list.hwrc {
        let groups = macroblocks / u64::from(hwrc.group_macroblocks.max(1));
        bits = (5 * bits + groups * u64::from(hwrc.group_bits)) / 6;
    }
    // A host takes anything within 32 bytes of the budget for an overflow.
    let most = u64::from(list.at.budget_bytes.saturating_sub(96)).max(1);
    let bytes = (bits / 8).clamp(1, most);
    payload.clear();
    let words = bytes.div_ceil(8);
    for _ in 0..words {
        // Every byte gets its lowest bit set, so none is zero.
        payload.extend((seed.next_u64() | 0x0101_0101_0101_0101).to_le_bytes());
    }
    payload.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));

    let count = list.macroblocks();
    let is_intra = list.kind == SliceKind::I;
    let pixels = u64::from(list.width) * u64::from(list.height);
    PictureStats {
        payload_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        bins: u32::try_from(bits).unwrap_or(u32::MAX),
        residual_bits: u32::try_from(bits / 4 * 3).unwrap_or(u32::MAX),
        intra_8x8: if is_intra { 4 * count } else { 0 },
        inter_8x8: if is_intra { 0 } else { 4 * count },
        skipped_8x8: if is_intra { 0 } else { 2 * count },
        cu_16x16: count,
        qp_sum: count * u32::from(list.qp),
        qp_min: list.qp,
        qp_max: list.qp,
        sse_luma: unscale(pixels * MEAN_SQUARED_ERROR_TENTHS / 10, list.qp),
        ..PictureStats::default()
    }
}

/// `value` x 2^((26 - qp) / 6).
fn scale(value: u64, qp: u8) -> u64 {
    power(value, 26 - i32::from(qp))
}

/// `value` x 2^((qp - 26) / 6).
fn unscale(value: u64, qp: u8) -> u64 {
    power(value, i32::from(qp) - 26)
}

/// `value` x 2^(sixths / 6).
fn power(value: u64, sixths: i32) -> u64 {
    let octaves = sixths.div_euclid(6);
    let rest = usize::try_from(sixths.rem_euclid(6)).unwrap_or(0);
    let value = value * SIXTH_POWERS.get(rest).copied().unwrap_or(65536);
    match u32::try_from(octaves) {
        Ok(up) => (value << up) >> 16,
        Err(_) => value >> (16 + octaves.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_steps_of_qp_halve_the_size() {
        assert_eq!(scale(64_000, 26), 64_000);
        assert_eq!(scale(64_000, 32), 32_000);
        assert_eq!(scale(64_000, 20), 128_000);
        let ratio = scale(1 << 30, 27) * 10_000 / (1 << 30);
        assert_eq!(ratio, 8908);
    }
}
