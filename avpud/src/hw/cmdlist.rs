//! The command list: 128 words that describe one picture to the video core.
//!
//! A word's number times four is its byte offset in the list and, plus 0x8200, the register it is
//! loaded into. Field names follow the vendor's packer where it is known; where a field was constant
//! in every recording its meaning is inferred and only its value is certain. Words that carry
//! addresses are an own type, [`AddressWord`], and take nothing but a non-zero [`PhysAddr`]: an address
//! of zero makes the core write to the bottom of memory and can stop the bus.

use core::fmt;

use super::field::{Field, FieldError};
use crate::mem::PhysAddr;

/// Words in a command list.
pub const WORDS: usize = 128;

/// The words of a command list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandList {
    words: [u32; WORDS],
}

/// A word that the core uses as a physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressWord(u8);

/// What a command list does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// A value larger than its field.
    Field(FieldError),
    /// An address of zero.
    ZeroAddress {
        /// The word it was meant for.
        word: u8,
    },
}

impl CommandList {
    /// A list of zeros; status words stay zero until the core has finished.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// The words, the first one first.
    pub const fn words(&self) -> &[u32; WORDS] {
        &self.words
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: u32) -> Result<(), ListError> {
        let word = &mut self.words[usize::from(field.word())];
        *word = field.insert(*word, value)?;
        Ok(())
    }

    /// Sets a field that holds two's complement.
    pub fn set_signed(&mut self, field: Field, value: i32) -> Result<(), ListError> {
        self.set(field, field.signed(value)?)
    }

    /// Sets an address.
    pub fn set_address(&mut self, word: AddressWord, address: PhysAddr) -> Result<(), ListError> {
        if address.value() == 0 {
            return Err(ListError::ZeroAddress { word: word.0 });
        }
        self.words[usize::from(word.0)] = address.value();
        Ok(())
    }

    /// A field's value.
    pub fn value(&self, field: Field) -> u32 {
        field.extract(self.words[usize::from(field.word())])
    }

    /// The list as the core reads it from memory.
    pub fn to_bytes(&self) -> [u8; WORDS * 4] {
        let mut bytes = [0; WORDS * 4];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(self.words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl AddressWord {
    /// Luma of the source picture.
    pub const SOURCE_LUMA: Self = Self(0x20);
    /// Interleaved chroma of the source picture.
    pub const SOURCE_CHROMA: Self = Self(0x21);
    /// Quantiser control.
    pub const EP2: Self = Self(0x23);
    /// Luma of the reconstruction.
    pub const REC_LUMA: Self = Self(0x24);
    /// Chroma of the reconstruction.
    pub const REC_CHROMA: Self = Self(0x25);
    /// Lambdas and scaling lists.
    pub const EP1: Self = Self(0x27);
    /// Luma of the reference.
    pub const REF_LUMA: Self = Self(0x28);
    /// Chroma of the reference.
    pub const REF_CHROMA: Self = Self(0x29);
    /// Motion vectors of the reference, read.
    pub const REF_VECTORS: Self = Self(0x2c);
    /// A bank of rate control tables, read and written.
    pub const EP3: Self = Self(0x2d);
    /// Motion vectors of this picture, written.
    pub const REC_VECTORS: Self = Self(0x2e);
    /// The stream buffer.
    pub const STREAM: Self = Self(0x30);
    /// Luma map of the reconstruction.
    pub const REC_LUMA_MAP: Self = Self(0x37);
    /// Luma map of the reference.
    pub const REF_LUMA_MAP: Self = Self(0x38);
    /// Chroma map of the reconstruction.
    pub const REC_CHROMA_MAP: Self = Self(0x67);
    /// Chroma map of the reference.
    pub const REF_CHROMA_MAP: Self = Self(0x68);

    /// Every word that can hold an address.
    pub const ALL: [Self; 16] = [
        Self::SOURCE_LUMA,
        Self::SOURCE_CHROMA,
        Self::EP2,
        Self::REC_LUMA,
        Self::REC_CHROMA,
        Self::EP1,
        Self::REF_LUMA,
        Self::REF_CHROMA,
        Self::REF_VECTORS,
        Self::EP3,
        Self::REC_VECTORS,
        Self::STREAM,
        Self::REC_LUMA_MAP,
        Self::REF_LUMA_MAP,
        Self::REC_CHROMA_MAP,
        Self::REF_CHROMA_MAP,
    ];

    /// The word's number.
    pub const fn word(self) -> u8 {
        self.0
    }
}

impl From<FieldError> for ListError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::ZeroAddress { word } => {
                write!(f, "expected an address in word 0x{word:02x}, found zero")
            }
        }
    }
}

impl core::error::Error for ListError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Field(error) => Some(error),
            Self::ZeroAddress { .. } => None,
        }
    }
}

/// The fields of a command list for H.264, by word.
pub mod fields {
    use super::Field;

    /// Constant; meaning unknown.
    pub const W00_CONSTANT: Field = Field::new(0x00, 0, 8);
    /// Largest transform: log2 of its side, minus 2.
    pub const TRANSFORM_MAX: Field = Field::new(0x00, 10, 2);
    /// Smallest coding unit: log2 of its side minus 4, modulo 8.
    pub const CODING_UNIT_MIN: Field = Field::new(0x00, 20, 3);
    /// This is the picture's last slice.
    pub const LAST_SLICE: Field = Field::new(0x00, 31, 1);

    /// Width in units of 8 pixels, minus 1.
    pub const WIDTH: Field = Field::new(0x01, 0, 11);
    /// Height in units of 8 pixels, minus 1.
    pub const HEIGHT: Field = Field::new(0x01, 12, 11);
    /// Bits of a luma sample.
    pub const LUMA_DEPTH: Field = Field::new(0x01, 24, 4);
    /// Bits of a chroma sample.
    pub const CHROMA_DEPTH: Field = Field::new(0x01, 28, 4);

    /// Merge candidates; constant also for H.264.
    pub const MERGE_CANDIDATES: Field = Field::new(0x02, 4, 3);
    /// `cabac_init_idc`; must be what the slice header says.
    pub const CABAC_INIT_IDC: Field = Field::new(0x02, 8, 2);
    /// Arithmetic coding.
    pub const CABAC: Field = Field::new(0x02, 10, 1);
    /// Entropy coding in the same pass.
    pub const INLINE_ENTROPY: Field = Field::new(0x02, 11, 1);
    /// Constant; meaning unknown.
    pub const W02_BIT13: Field = Field::new(0x02, 13, 1);
    /// Constant; meaning unknown.
    pub const W02_BIT15: Field = Field::new(0x02, 15, 1);
    /// Chroma format: 1 is 4:2:0.
    pub const CHROMA_FORMAT: Field = Field::new(0x02, 20, 2);
    /// Temporal motion vector prediction; set for H.264 too.
    pub const COLLOCATED: Field = Field::new(0x02, 30, 1);

    /// Quantiser of the slice.
    pub const SLICE_QP: Field = Field::new(0x03, 16, 8);
    /// Encoder option, always set.
    pub const W03_OPTION: Field = Field::new(0x03, 24, 1);
    /// Slice type.
    pub const SLICE_TYPE: Field = Field::new(0x03, 28, 2);

    /// Deblocking: half of the first offset.
    pub const DEBLOCK_BETA: Field = Field::new(0x04, 0, 5);
    /// Deblocking: half of the second offset.
    pub const DEBLOCK_ALPHA: Field = Field::new(0x04, 8, 6);
    /// Deblocking flags: 2 is on.
    pub const DEBLOCK_FLAGS: Field = Field::new(0x04, 18, 2);

    /// Last macroblock column of the slice.
    pub const LAST_COLUMN: Field = Field::new(0x06, 0, 10);
    /// A reference list 0 exists.
    pub const HAS_REFERENCE: Field = Field::new(0x06, 10, 1);
    /// Last macroblock row of the slice.
    pub const LAST_ROW: Field = Field::new(0x06, 12, 10);
    /// Last macroblock column of the picture.
    pub const PICTURE_LAST_COLUMN: Field = Field::new(0x07, 0, 10);
    /// Last macroblock row of the picture.
    pub const PICTURE_LAST_ROW: Field = Field::new(0x07, 12, 10);
    /// Constant; meaning unknown.
    pub const W07_BIT31: Field = Field::new(0x07, 31, 1);

    /// Sub-search window, horizontal: units of 8 minus 1, 7 for none.
    pub const SUBSEARCH_X: Field = Field::new(0x08, 24, 3);
    /// Sub-search window, vertical: units of 8 minus 1, 7 for none.
    pub const SUBSEARCH_Y: Field = Field::new(0x08, 28, 3);

    /// Rate control inside the picture.
    pub const HWRC: Field = Field::new(0x09, 16, 1);
    /// Constants; bit 27 makes the core collect squared errors.
    pub const W09_CONSTANT: Field = Field::new(0x09, 26, 4);
    /// Scaling lists are in use and loaded from the first parameter buffer.
    pub const SCALING_LISTS: Field = Field::new(0x09, 30, 2);

    /// Most bits of a macroblock before it is sent as plain samples.
    pub const MACROBLOCK_BITS_MAX: Field = Field::new(0x0a, 0, 16);
    /// Last macroblock column again.
    pub const ROW_LAST_COLUMN: Field = Field::new(0x0b, 12, 10);

    /// Order count of this picture.
    pub const POC: Field = Field::whole(0x0c);
    /// Order count of the reference.
    pub const POC_REFERENCE: Field = Field::whole(0x0d);
    /// Order count of the collocated picture, which is the reference.
    pub const POC_COLLOCATED: Field = Field::whole(0x0f);
    /// Order count of the collocated picture's own reference; all ones for none.
    pub const POC_COLLOCATED_REFERENCE: Field = Field::whole(0x10);
    /// The same for list 1; always none.
    pub const POC_COLLOCATED_REFERENCE_1: Field = Field::whole(0x11);

    /// Horizontal search range: units of 64 minus 1.
    pub const SEARCH_X: Field = Field::new(0x12, 0, 10);
    /// Vertical search range: units of 8 minus 1.
    pub const SEARCH_Y: Field = Field::new(0x12, 12, 10);

    /// Groups in a macroblock row, minus 1.
    pub const GROUP_COLUMNS: Field = Field::new(0x14, 0, 6);
    /// Macroblocks in a group, minus 1.
    pub const GROUP_SIZE: Field = Field::new(0x14, 6, 10);
    /// Constants; meaning unknown.
    pub const W14_CONSTANT: Field = Field::new(0x14, 26, 6);
    /// Bits a group should cost in this picture.
    pub const GROUP_TARGET_BITS: Field = Field::new(0x15, 0, 24);
    /// Bits a group should cost in the long run.
    pub const GROUP_MEAN_BITS: Field = Field::new(0x16, 0, 24);
    /// Constant; meaning unknown.
    pub const W16_CONSTANT: Field = Field::new(0x16, 24, 8);
    /// Quantiser of the slice, for rate control.
    pub const HWRC_QP: Field = Field::new(0x17, 0, 6);
    /// Coarsest quantiser.
    pub const HWRC_QP_MAX: Field = Field::new(0x17, 8, 6);
    /// Quantiser of the group of pictures' IDR.
    pub const HWRC_QP_BASE: Field = Field::new(0x17, 16, 6);
    /// Finest quantiser.
    pub const HWRC_QP_MIN: Field = Field::new(0x17, 24, 6);
    /// The group target in units of 128 bits.
    pub const GROUP_TARGET_COARSE: Field = Field::new(0x18, 0, 16);
    /// Four times the groups of a row, plus 1.
    pub const GROUP_WINDOW: Field = Field::new(0x18, 20, 8);
    /// Constant; meaning unknown.
    pub const W18_BIT30: Field = Field::new(0x18, 30, 1);
    /// Forget what earlier pictures cost.
    pub const HWRC_RESTART: Field = Field::new(0x18, 31, 1);

    /// Most bits of a macroblock, for the entropy stage.
    pub const ENTROPY_BITS_MAX: Field = Field::new(0x1b, 0, 13);
    /// Bytes of the slice's NAL unit that software has written.
    pub const ENTROPY_WRITTEN_BYTES: Field = Field::new(0x1b, 16, 10);
    /// The 8x8 transform is on.
    pub const ENTROPY_TRANSFORM_8X8: Field = Field::new(0x1c, 1, 1);
    /// Constant; meaning unknown.
    pub const W1C_BIT2: Field = Field::new(0x1c, 2, 1);
    /// Constant; meaning unknown.
    pub const W1C_BIT8: Field = Field::new(0x1c, 8, 1);
    /// Arithmetic coding.
    pub const ENTROPY_CABAC: Field = Field::new(0x1c, 10, 1);
    /// Constant; meaning unknown.
    pub const W1C_BIT11: Field = Field::new(0x1c, 11, 1);
    /// Quantiser of the slice.
    pub const ENTROPY_QP: Field = Field::new(0x1c, 16, 6);
    /// Constant; meaning unknown.
    pub const W1C_BIT24: Field = Field::new(0x1c, 24, 1);
    /// Slice type.
    pub const ENTROPY_SLICE_TYPE: Field = Field::new(0x1c, 28, 2);
    /// Last macroblock column again.
    pub const ENTROPY_LAST_COLUMN: Field = Field::new(0x1d, 12, 10);
    /// Macroblocks of the picture, minus 1.
    pub const ENTROPY_LAST_MACROBLOCK: Field = Field::new(0x1e, 0, 20);
    /// Bits of the slice header in the next word; 0 with arithmetic coding.
    pub const ENTROPY_PREFIX_BITS: Field = Field::new(0x1e, 24, 5);
    /// The last bits of the slice header; 0 with arithmetic coding.
    pub const ENTROPY_PREFIX: Field = Field::whole(0x1f);

    /// Bytes from one source line to the next.
    pub const SOURCE_PITCH: Field = Field::new(0x22, 0, 18);
    /// Bytes from one row of reconstructed tiles to the next.
    pub const REC_PITCH: Field = Field::new(0x26, 0, 18);
    /// Bytes from one row of the maps to the next.
    pub const REC_MAP_PITCH: Field = Field::new(0x26, 19, 8);
    /// How the reconstruction is stored: 2 is 64x4 tiles.
    pub const REC_STORAGE: Field = Field::new(0x26, 28, 3);
    /// Bytes of the stream buffer the core may use.
    pub const STREAM_USABLE: Field = Field::whole(0x31);
    /// Where slice data starts in the stream buffer.
    pub const STREAM_OFFSET: Field = Field::whole(0x32);
    /// Bytes of slice data at most.
    pub const STREAM_BUDGET: Field = Field::whole(0x33);
    /// From a map of luma to the map of chroma when there is no reference in list 0.
    pub const NO_REFERENCE_MAP_STEP: Field = Field::whole(0x68);
    /// The same for list 1, which never has one.
    pub const NO_REFERENCE_1_MAP_STEP: Field = Field::whole(0x69);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_of_zero_reaches_a_list() {
        for word in AddressWord::ALL {
            let mut list = CommandList::EMPTY;
            let zero = list.set_address(word, PhysAddr::new(0));
            assert_eq!(zero, Err(ListError::ZeroAddress { word: word.word() }));
            assert_eq!(list, CommandList::EMPTY);
        }
    }

    #[test]
    fn a_list_is_little_endian_in_memory() {
        let mut list = CommandList::EMPTY;
        list.set(fields::POC, 0x0102_0304).expect("a whole word");
        let bytes = list.to_bytes();
        assert_eq!(bytes[0x30..0x34], [4, 3, 2, 1]);
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 4);
    }
}
