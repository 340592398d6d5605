//! Quantisers, and those that a rate control may use.

use super::PictureError;

/// An H.264 quantiser parameter, 0 to 51.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qp(u8);

/// The quantisers a rate control may use, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QpRange {
    min: Qp,
    max: Qp,
}

impl Qp {
    /// The finest quantiser.
    pub const MIN: Self = Self(0);
    /// The coarsest quantiser.
    pub const MAX: Self = Self(51);

    /// The quantiser `qp`.
    pub fn new(qp: u32) -> Result<Self, PictureError> {
        match u8::try_from(qp) {
            Ok(value) if value <= Self::MAX.0 => Ok(Self(value)),
            _ => Err(PictureError::Qp { qp }),
        }
    }

    /// The quantiser as a number from 0 to 51.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl QpRange {
    /// All quantisers there are.
    pub const ALL: Self = Self {
        min: Qp::MIN,
        max: Qp::MAX,
    };

    /// From `min` to `max`, both included.
    pub fn new(min: Qp, max: Qp) -> Result<Self, PictureError> {
        if min <= max {
            Ok(Self { min, max })
        } else {
            Err(PictureError::QpRange { min, max })
        }
    }

    /// `qp` and no other.
    pub(super) fn only(qp: Qp) -> Self {
        Self { min: qp, max: qp }
    }

    /// The finest quantiser allowed.
    pub fn min(self) -> Qp {
        self.min
    }

    /// The coarsest quantiser allowed.
    pub fn max(self) -> Qp {
        self.max
    }

    /// The quantiser in the range that is nearest to `qp`, which may be any number.
    pub fn clamp_i32(self, qp: i32) -> Qp {
        let low = i32::from(self.min.0);
        let high = i32::from(self.max.0);
        // The clamped value lies between two quantisers, so the fallback is never taken.
        Qp(u8::try_from(qp.clamp(low, high)).unwrap_or(self.max.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantiser_outside_the_range_is_moved_to_its_end() {
        let range = QpRange::new(Qp(16), Qp(45)).expect("a range");
        assert_eq!(range.clamp_i32(-300), Qp(16));
        assert_eq!(range.clamp_i32(30), Qp(30));
        assert_eq!(range.clamp_i32(300), Qp(45));
        assert_eq!(Qp::new(52), Err(PictureError::Qp { qp: 52 }));
        assert!(QpRange::new(Qp(45), Qp(16)).is_err());
    }
}
