//! Bits into bytes: fixed-length and exp-Golomb codes, and NAL units around them.
//!
//! Headers are short, so everything is written into arrays of fixed size and nothing allocates. A writer
//! that runs out of room remembers it and says so at the end; what it holds then is not used.

use core::fmt;

/// A header that does not fit the room there is for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Bytes there is room for.
    pub room_bytes: usize,
}

/// Writes codes most significant bit first.
#[derive(Clone, Copy, Debug)]
pub struct BitWriter {
    bytes: [u8; BitWriter::LEN_MAX_BYTES],
    len_bits: usize,
}

/// Writes NAL units in Annex B form, with emulation prevention.
#[derive(Clone, Copy, Debug)]
pub struct NalWriter<const N: usize> {
    bytes: [u8; N],
    len: usize,
    zeros: usize,
}

impl BitWriter {
    /// The most bytes one NAL unit's payload may have here.
    pub const LEN_MAX_BYTES: usize = 96;

    /// A writer that has written nothing.
    pub fn new() -> Self {
        Self {
            bytes: [0; Self::LEN_MAX_BYTES],
            len_bits: 0,
        }
    }

    /// The lowest `width` bits of `value`, at most 32: `u(width)`.
    pub fn bits(&mut self, value: u32, width: u32) {
        for place in (0..width.min(32)).rev() {
            let bit = u8::from(value >> place & 1 != 0);
            if let Some(byte) = self.bytes.get_mut(self.len_bits / 8) {
                *byte |= bit << (7 - self.len_bits % 8);
            }
            self.len_bits += 1;
        }
    }

    /// One bit.
    pub fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// An unsigned exp-Golomb code: `ue(v)`.
    pub fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let width = code.ilog2();
        self.bits(0, width);
        self.bits(1, 1);
        // Without its leading one the code fits in 32 bits again.
        let rest = code - (1 << width);
        self.bits(u32::try_from(rest).unwrap_or(u32::MAX), width);
    }

    /// A signed exp-Golomb code: `se(v)`.
    pub fn se(&mut self, value: i32) {
        let doubled = value.unsigned_abs().saturating_mul(2);
        self.ue(if value > 0 { doubled - 1 } else { doubled });
    }

    /// One bits up to the next byte: `cabac_alignment_one_bit`.
    pub fn align_with_ones(&mut self) {
        while !self.len_bits.is_multiple_of(8) {
            self.flag(true);
        }
    }

    /// A one, then zeros up to the next byte: `rbsp_trailing_bits`.
    pub fn trailing(&mut self) {
        self.flag(true);
        self.len_bits = self.len_bits.next_multiple_of(8);
    }

    /// Bits written so far.
    pub fn len_bits(&self) -> usize {
        self.len_bits
    }

    /// What was written, the last byte zero padded.
    pub fn bytes(&self) -> Result<&[u8], TooLong> {
        let room = TooLong {
            room_bytes: Self::LEN_MAX_BYTES,
        };
        self.bytes.get(..self.len_bits.div_ceil(8)).ok_or(room)
    }
}

impl Default for BitWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> NalWriter<N> {
    /// A writer that has written nothing.
    pub fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            zeros: 0,
        }
    }

    /// Starts a NAL unit: a start code of four bytes and the NAL byte.
    pub fn start(&mut self, nal_byte: u8) {
        for byte in [0, 0, 0, 1, nal_byte] {
            self.push(byte);
        }
        self.zeros = 0;
    }

    /// Payload bytes of the NAL unit, escaped.
    pub fn payload(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.zeros >= 2 && byte <= 3 {
                self.push(3);
                self.zeros = 0;
            }
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            self.push(byte);
        }
    }

    /// Bytes that are complete NAL units already.
    pub fn units(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }

    /// What was written.
    pub fn bytes(&self) -> Result<&[u8], TooLong> {
        self.bytes.get(..self.len).ok_or(TooLong { room_bytes: N })
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }
}

impl<const N: usize> Default for NalWriter<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a header of at most {} bytes, found a longer one",
            self.room_bytes
        )
    }
}

impl core::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BitWriter)) -> String {
        let mut writer = BitWriter::new();
        write(&mut writer);
        let bytes = writer.bytes().expect("room");
        let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        bits[..writer.len_bits()].to_owned()
    }

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        for (value, code) in [
            (0, "1"),
            (1, "010"),
            (2, "011"),
            (3, "00100"),
            (7, "0001000"),
        ] {
            assert_eq!(written(|writer| writer.ue(value)), code);
        }
        for (value, code) in [
            (0, "1"),
            (1, "010"),
            (-1, "011"),
            (2, "00100"),
            (-2, "00101"),
        ] {
            assert_eq!(written(|writer| writer.se(value)), code);
        }
    }

    #[test]
    fn the_longest_code_is_written_whole() {
        let code = written(|writer| writer.ue(u32::MAX));
        assert_eq!(code, format!("{}1{}", "0".repeat(32), "0".repeat(32)));
    }

    #[test]
    fn alignment_and_trailing_bits_end_on_a_byte() {
        assert_eq!(written(|writer| writer.trailing()), "10000000");
        let aligned = written(|writer| {
            writer.bits(0, 3);
            writer.align_with_ones();
        });
        assert_eq!(aligned, "00011111");
    }

    #[test]
    fn a_writer_without_room_says_so() {
        let mut writer = BitWriter::new();
        for _ in 0..=BitWriter::LEN_MAX_BYTES {
            writer.bits(0xff, 8);
        }
        assert_eq!(
            writer.bytes(),
            Err(TooLong {
                room_bytes: BitWriter::LEN_MAX_BYTES
            })
        );
        let mut nal = NalWriter::<4>::new();
        nal.start(0x27);
        assert_eq!(nal.bytes(), Err(TooLong { room_bytes: 4 }));
    }

    #[test]
    fn payload_is_escaped_and_the_start_code_is_not() {
        let mut nal = NalWriter::<32>::new();
        nal.start(0x27);
        nal.payload(&[0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4]);
        let expected = [
            0, 0, 0, 1, 0x27, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 0, 4,
        ];
        assert_eq!(nal.bytes(), Ok(expected.as_slice()));
    }
}
