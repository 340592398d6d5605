//! Filler data behind a picture: bytes that a decoder throws away, for those who need a rate that is really constant.
//!
//! One NAL unit of type 12 (H.264 sections 7.3.2.7 and 7.4.1.2.3) behind the picture's slices: start code, header, bytes
//! of ones, trailing bits.

/// `nal_unit_type` of filler data.
pub const NAL_TYPE: u8 = 12;
/// The shortest unit that says nothing.
pub const LEN_MIN_BYTES: u32 = 6;

const HEAD: [u8; 5] = [0, 0, 0, 1, NAL_TYPE];
const ONES: [u8; 256] = [0xff; 256];
const TRAILING_BITS: [u8; 1] = [0x80];

/// Writes a unit of `len_bytes`, piece by piece; nothing where it would be shorter than [`LEN_MIN_BYTES`].
pub fn write<E>(len_bytes: u32, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let Some(mut left) = len_bytes.checked_sub(LEN_MIN_BYTES) else {
        return Ok(());
    };
    write(&HEAD)?;
    while left > 0 {
        let piece = usize::try_from(left).map_or(ONES.len(), |left| left.min(ONES.len()));
        write(ONES.get(..piece).unwrap_or_default())?;
        left = left.saturating_sub(u32::try_from(piece).unwrap_or(u32::MAX));
    }
    write(&TRAILING_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    fn written(len_bytes: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let done = write::<Infallible>(len_bytes, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        bytes
    }

    #[test]
    fn a_unit_is_as_long_as_asked_and_holds_nothing_but_ones() {
        for len in [6, 7, 262, 263, 5000] {
            let bytes = written(len);
            assert_eq!(bytes.len(), usize::try_from(len).expect("small"));
            let (head, rest) = bytes.split_at(5);
            assert_eq!(head, [0, 0, 0, 1, 12]);
            let (last, ones) = rest.split_last().expect("trailing bits");
            assert_eq!(*last, 0x80);
            assert!(ones.iter().all(|&byte| byte == 0xff));
        }
    }

    #[test]
    fn what_is_too_short_for_a_unit_is_nothing() {
        for len in 0..6 {
            assert!(written(len).is_empty(), "{len} bytes");
        }
    }
}
