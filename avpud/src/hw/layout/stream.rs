//! A stream buffer: where slice data lies in it, and how much there may be.

use super::{LayoutError, PARTS_ALIGNMENT, product, sum};
use crate::mem::{Alignment, ByteLen};
use crate::picture::{PictureSize, RateControl};

/// Where slice data starts in a stream buffer; a smaller offset was seen to lose data.
pub const PAYLOAD_OFFSET_BYTES: u32 = 0x220;
/// The most slice data a macroblock may cost, which bounds a picture.
pub const MACROBLOCK_LEN_MAX_BYTES: u32 = 416;
/// A quantiser below this can make pictures larger than the rate says.
const FINE_QP: u8 = 20;

/// The parts of a stream buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLayout {
    /// Length of the whole buffer.
    pub len: ByteLen,
    /// What the encoder may use of it; the table of stream parts lies behind.
    pub usable: ByteLen,
    /// The most slice data a picture may have.
    pub budget: ByteLen,
}

impl StreamLayout {
    /// A stream buffer for pictures of this size under this rate control.
    ///
    /// A fixed or fine quantiser can make a picture as large as the encoder's own bound, so the buffer
    /// then holds that; otherwise it holds a second and a half of the target rate, as on the camera,
    /// but never more than one picture can need.
    pub fn new(size: PictureSize, rate_control: RateControl) -> Result<Self, LayoutError> {
        let rows = product(sum(size.mb_rows(), 1)?, 0x200)?;
        let blocks = product(size.width().div_ceil(64), size.height().div_ceil(64))?;
        let by_geometry = sum(product(blocks, 1792)?, rows)?;
        let bound = sum(
            sum(
                PAYLOAD_OFFSET_BYTES,
                product(size.macroblocks(), MACROBLOCK_LEN_MAX_BYTES)?,
            )?,
            parts_len(size)?.value(),
        )?;
        let fine = rate_control.range().min().value() < FINE_QP;
        let by_rate = match rate_control.target() {
            Some(target) if !fine => {
                let bytes = (u64::from(target.bps()) * 3).div_ceil(16) + u64::from(rows);
                u32::try_from(bytes).map_or(bound, |bytes| bytes.min(bound))
            }
            _ => bound,
        };
        let len = ByteLen::new(by_geometry.max(by_rate)).align_up(Alignment::constant(32))?;
        Self::of_len(size, len)
    }

    /// The parts of a stream buffer of `len` bytes for pictures of this size.
    pub fn of_len(size: PictureSize, len: ByteLen) -> Result<Self, LayoutError> {
        let parts = parts_len(size)?.value();
        let needed_bytes = sum(sum(parts, PAYLOAD_OFFSET_BYTES)?, 32)?;
        let too_small = LayoutError::StreamTooSmall {
            len_bytes: len.value(),
            needed_bytes,
        };
        if len.value() < needed_bytes {
            return Err(too_small);
        }
        let usable = len.value().checked_sub(parts).ok_or(too_small)?;
        let room = usable.checked_sub(PAYLOAD_OFFSET_BYTES).ok_or(too_small)?;
        let bound = product(size.macroblocks(), MACROBLOCK_LEN_MAX_BYTES)?;
        let budget = room.min(bound) / 32 * 32;
        Ok(Self {
            len,
            usable: ByteLen::new(usable),
            budget: ByteLen::new(budget),
        })
    }
}

/// Length of the table of stream parts at the end of a stream buffer.
fn parts_len(size: PictureSize) -> Result<ByteLen, LayoutError> {
    let rows = sum(size.mb_rows(), 16)?;
    Ok(ByteLen::new(product(rows, 16)?).align_up(PARTS_ALIGNMENT)?)
}
