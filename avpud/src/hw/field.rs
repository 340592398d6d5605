//! A bit field inside an array of 32-bit words.
//!
//! Setting a field checks the value against the width: a number that does not fit is an error and
//! never spills into the neighbour. Tables of fields are `const`, so a field that does not fit its
//! word does not compile.

use core::fmt;

/// Bits `shift .. shift + width` of word `word`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    word: u8,
    shift: u8,
    width: u8,
}

/// A value that a field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's word.
    pub word: u8,
    /// The field's lowest bit.
    pub shift: u8,
    /// The field's width in bits.
    pub width: u8,
    /// The value that was to be set, two's complement if it was negative.
    pub value: u32,
}

impl Field {
    /// Bits `shift .. shift + width` of word `word`.
    ///
    /// # Panics
    /// When the field is empty or reaches over the word: use it in `const` items only.
    pub const fn new(word: u8, shift: u8, width: u8) -> Self {
        assert!(
            width > 0 && shift < 32 && width <= 32 - shift,
            "a field lies inside its word"
        );
        Self { word, shift, width }
    }

    /// All bits of word `word`.
    pub const fn whole(word: u8) -> Self {
        Self::new(word, 0, 32)
    }

    /// The word the field lies in.
    pub const fn word(self) -> u8 {
        self.word
    }

    /// The bits of the word that belong to the field.
    pub const fn mask(self) -> u32 {
        self.max() << self.shift
    }

    /// The largest value the field can hold.
    pub const fn max(self) -> u32 {
        u32::MAX >> (32 - self.width)
    }

    /// The field's value in a word.
    pub const fn extract(self, word: u32) -> u32 {
        (word >> self.shift) & self.max()
    }

    /// `word` with the field set to `value`.
    pub const fn insert(self, word: u32, value: u32) -> Result<u32, FieldError> {
        if value > self.max() {
            return Err(self.refuse(value));
        }
        Ok((word & !self.mask()) | (value << self.shift))
    }

    /// The two's complement pattern of `value` in the field's width.
    pub const fn signed(self, value: i32) -> Result<u32, FieldError> {
        let pattern = value.cast_unsigned();
        // All bits above the field's sign bit must repeat it.
        let rest = value >> (self.width - 1);
        if rest != 0 && rest != -1 {
            return Err(self.refuse(pattern));
        }
        Ok(pattern & self.max())
    }

    const fn refuse(self, value: u32) -> FieldError {
        FieldError {
            word: self.word,
            shift: self.shift,
            width: self.width,
            value,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a value of {} bits at bit {} of word 0x{:02x}, found 0x{:x}",
            self.width, self.shift, self.word, self.value
        )
    }
}

impl core::error::Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_is_refused_and_changes_nothing() {
        let field = Field::new(3, 16, 8);
        assert_eq!(field.insert(0xffff_ffff, 0x12), Ok(0xff12_ffff));
        assert_eq!(
            field.insert(0, 0x100),
            Err(FieldError {
                word: 3,
                shift: 16,
                width: 8,
                value: 0x100
            })
        );
        assert_eq!(Field::whole(0).insert(1, u32::MAX), Ok(u32::MAX));
    }

    #[test]
    fn what_is_inserted_comes_back_and_the_neighbours_stay() {
        for shift in 0..32u8 {
            for width in 1..=32 - shift {
                let field = Field::new(0, shift, width);
                for value in [0, 1, field.max() / 3, field.max()] {
                    let word = field.insert(0xa5a5_5a5a, value).expect("it fits");
                    assert_eq!(field.extract(word), value);
                    assert_eq!(word & !field.mask(), 0xa5a5_5a5a & !field.mask());
                }
            }
        }
    }

    #[test]
    fn negative_values_are_cut_to_the_width_only_when_they_fit() {
        let field = Field::new(4, 0, 5);
        assert_eq!(field.signed(-1), Ok(0x1f));
        assert_eq!(field.signed(-16), Ok(0x10));
        assert_eq!(field.signed(15), Ok(15));
        assert!(field.signed(16).is_err());
        assert!(field.signed(-17).is_err());
    }
}
