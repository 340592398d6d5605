//! A slice header as bits, and how it is handed over to the encoder.
//!
//! Software writes the slice header, hardware the slice data behind it. With CABAC the header is
//! filled up to a byte and the two are joined as they are. With CAVLC the data starts in the middle of
//! a byte, so the encoder gets the last bits of the header in its command list and writes them again in
//! front of its data: software then keeps only the whole bytes before them.

use crate::picture::Entropy;

/// A slice header without start code, NAL byte and emulation prevention; the last byte is zero padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHeader {
    bytes: [u8; SliceHeader::LEN_MAX_BYTES],
    len_bits: u8,
}

/// What the encoder is told about the slice header, and what software keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    kept_bytes: u8,
    prefix_bits: u8,
    tail: u32,
}

impl SliceHeader {
    /// The longest header there is room for, in bytes. The longest one the headers of this project
    /// produce is shorter than 8.
    pub const LEN_MAX_BYTES: usize = 15;

    /// The first `len_bits` bits of `bytes`; `None` when `bytes` has not that many or there is no room.
    pub fn new(bytes: &[u8], len_bits: u8) -> Option<Self> {
        let len = usize::from(len_bits.div_ceil(8));
        let mut stored = [0; Self::LEN_MAX_BYTES];
        stored.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
        let left_over = len_bits % 8;
        if left_over > 0 {
            *stored.get_mut(len.checked_sub(1)?)? &= 0xff << (8 - left_over);
        }
        Some(Self {
            bytes: stored,
            len_bits,
        })
    }

    /// The header's length in bits, the NAL byte not counted.
    pub fn len_bits(&self) -> u8 {
        self.len_bits
    }

    /// The header's bytes, the last one zero padded.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.len_bits.div_ceil(8)))
            .unwrap_or(&self.bytes)
    }

    /// How this header is handed over to the encoder.
    pub fn handover(&self, entropy: Entropy) -> Handover {
        match entropy {
            // The header ends with alignment bits, so all of it stays with software.
            Entropy::Cabac => Handover {
                kept_bytes: self.len_bits.div_ceil(8),
                prefix_bits: 0,
                tail: 0,
            },
            Entropy::Cavlc => self.handover_mid_byte(),
        }
    }

    /// Rule found by comparing recorded command lists with the headers of the same pictures: the
    /// encoder gets two whole bytes and the bits left over, or all of a header shorter than 24 bits.
    fn handover_mid_byte(&self) -> Handover {
        let left_over = self.len_bits % 8;
        let whole_bytes = self.len_bits / 8;
        let prefix_bits = if whole_bytes >= 3 {
            16 + left_over
        } else {
            self.len_bits
        };
        // The last three whole bytes and the one left over; bytes before the header count as zero.
        let mut tail = 0;
        for back in (0..4).rev() {
            let byte = whole_bytes
                .checked_sub(back)
                .and_then(|index| self.bytes.get(usize::from(index)))
                .copied()
                .unwrap_or(0);
            tail = (tail << 8) | u32::from(byte);
        }
        Handover {
            kept_bytes: (self.len_bits - prefix_bits) / 8,
            prefix_bits,
            tail: tail >> (8 - left_over),
        }
    }
}

impl Handover {
    /// Bytes of the header that software writes in front of the encoder's data.
    pub fn kept_bytes(self) -> u8 {
        self.kept_bytes
    }

    /// Bits of the header that the encoder writes again in front of its data; 0 with CABAC.
    pub fn prefix_bits(self) -> u8 {
        self.prefix_bits
    }

    /// Those bits in the low end of a word; the bits above them are earlier bits of the header.
    pub fn tail(self) -> u32 {
        self.tail
    }

    /// Bytes of the slice's NAL unit that software writes: a start code of four, the NAL byte and
    /// the kept bytes of the header.
    pub fn written_bytes(self) -> u16 {
        4 + 1 + u16::from(self.kept_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header bytes, length in bits, then what a camera's command list said: prefix, tail, written.
    const RECORDED: [(&[u8], u8, u8, u32, u16); 8] = [
        (&[0xb8, 0x40, 0x00, 0x45, 0xb0], 36, 0x14, 0x0400_045b, 7),
        (&[0xe2, 0x01, 0x00, 0x85, 0xb0], 36, 0x14, 0x0010_085b, 7),
        (&[0xe4, 0x02, 0x00, 0x85, 0xb0], 36, 0x14, 0x0020_085b, 7),
        (&[0xe4, 0x12, 0x00, 0x85, 0xb0], 36, 0x14, 0x0120_085b, 7),
        (&[0xf8, 0x1c, 0x01, 0x96, 0xc0], 34, 0x12, 0x0070_065b, 7),
        (&[0xe0, 0x20, 0x0d, 0xb0], 28, 0x14, 0x0e02_00db, 6),
        (&[0xf2, 0x29, 0x03, 0xdb], 32, 0x10, 0x0029_03db, 7),
        (&[0xf4, 0x2a, 0x01, 0x36, 0xc0], 34, 0x12, 0x00a8_04db, 7),
    ];

    #[test]
    fn the_tail_of_a_cavlc_header_is_handed_over_as_on_the_camera() {
        for (bytes, len_bits, prefix_bits, tail, written) in RECORDED {
            let header = SliceHeader::new(bytes, len_bits).expect("a header");
            let handover = header.handover(Entropy::Cavlc);
            assert_eq!(handover.prefix_bits(), prefix_bits, "{bytes:02x?}");
            assert_eq!(handover.tail(), tail, "{bytes:02x?}");
            assert_eq!(handover.written_bytes(), written, "{bytes:02x?}");
        }
    }

    #[test]
    fn kept_bytes_and_handed_over_bits_are_the_whole_header() {
        let bytes = [0x9d, 0x53, 0xe1, 0x07, 0xfa, 0x31, 0x88, 0x4c];
        for len_bits in 0..=64u8 {
            let header = SliceHeader::new(&bytes, len_bits).expect("a header");
            let handover = header.handover(Entropy::Cavlc);
            let mut bits: u128 = 0;
            for &byte in header
                .bytes()
                .iter()
                .take(usize::from(handover.kept_bytes()))
            {
                bits = (bits << 8) | u128::from(byte);
            }
            let prefix = u32::from(handover.prefix_bits());
            bits = (bits << prefix) | (u128::from(handover.tail()) & ((1 << prefix) - 1));
            let whole = bytes
                .iter()
                .fold(0u128, |sum, &byte| (sum << 8) | u128::from(byte));
            assert_eq!(bits, whole >> (64 - u32::from(len_bits)), "{len_bits} bits");
        }
    }

    #[test]
    fn a_cabac_header_stays_with_software() {
        let header = SliceHeader::new(&[0xe2, 1, 4, 0x22, 0xdf], 40).expect("a header");
        let handover = header.handover(Entropy::Cabac);
        assert_eq!(
            (
                handover.written_bytes(),
                handover.prefix_bits(),
                handover.tail()
            ),
            (10, 0, 0)
        );
    }

    #[test]
    fn a_header_that_has_not_the_bits_it_claims_is_refused() {
        assert_eq!(SliceHeader::new(&[1, 2], 17), None);
        assert_eq!(SliceHeader::new(&[0; 32], 200), None);
    }
}
