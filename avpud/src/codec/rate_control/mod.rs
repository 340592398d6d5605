//! Which quantiser the next picture gets.
//!
//! One controller per channel. Call order for each picture: [`RateController::choose`], then exactly one
//! of [`RateController::handle_encoded`] and [`RateController::handle_lost`]. Integers only: the same
//! pictures give the same quantisers on every machine. The encoder's own control inside a picture moves
//! around the quantiser chosen here and stays inside the same range.

#[cfg(test)]
mod adversarial_tests;
mod bucket;
mod fixed;
#[cfg(test)]
mod property_tests;
mod quality;
mod rated;
mod settings;
mod size;
mod still;
mod surprise;
#[cfg(test)]
mod tests;
mod window;

pub use fixed::Fixed;
pub use rated::Rated;
pub use settings::idr_finer_by;

use crate::picture::{ChannelSetup, PictureBudget, PictureKind, Qp, RateControl};

/// Chooses quantisers from what pictures turned out to cost.
pub trait RateController {
    /// The quantiser of the next picture, which will be of this kind.
    fn choose(&mut self, kind: PictureKind) -> Qp;

    /// That picture is in the stream.
    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, cost: &PictureCost);

    /// That picture is not in the stream. `claimed_bytes` is what it would have taken, where it was
    /// lost because it did not fit.
    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>);
}

/// What an encoded picture turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureCost {
    /// Its bytes in the stream, headers included and filler data not.
    pub len_bytes: u32,
    /// Bytes of filler data behind it.
    pub filler_bytes: u32,
    /// Sum of its macroblocks' quantisers; 0 where the device does not say.
    pub qp_sum: u32,
    /// Sum of its squared luma errors; 0 where the device does not say.
    pub sse_luma: u64,
}

/// How full the rate control's buffer is: bits that were encoded and, at the highest rate, not yet sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullness {
    /// Bits in it.
    pub level_bits: u64,
    /// Bits it can hold.
    pub size_bits: u64,
}

/// The controller of a channel: one of the kinds there are, without allocation.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a channel has one for its life, and nothing is allocated where it is used"
)]
pub enum Controller {
    /// The same quantiser always.
    Fixed(Fixed),
    /// A bit rate, constant or on average.
    Rated(Rated),
}

impl Controller {
    /// The controller that a channel's setup asks for.
    pub fn new(setup: &ChannelSetup) -> Self {
        match setup.rate_control {
            RateControl::FixQp { qp } => Self::Fixed(Fixed::new(qp, setup.rate_tuning)),
            _ => Self::Rated(Rated::new(setup)),
        }
    }

    /// Goes on with another setup of the same channel: another mode, rate, frame rate, group of pictures
    /// or range of quantisers. What was learned of the pictures stays, and so does the fullness, as a time.
    /// Not between [`RateController::choose`] and what follows it.
    pub fn change(&mut self, setup: &ChannelSetup) {
        match (self, setup.rate_control) {
            (Self::Rated(rated), control) if control.uses_hardware() => rated.change(setup),
            (this, _) => *this = Self::new(setup),
        }
    }

    /// What the encoder is told of the picture that was chosen last; `None` with a fixed quantiser.
    pub fn budget(&self) -> Option<PictureBudget> {
        match self {
            Self::Fixed(_) => None,
            Self::Rated(rated) => Some(rated.budget()),
        }
    }

    /// Bytes of filler data that belong behind the picture in flight, which has `len_bytes` without them; asked before
    /// [`RateController::handle_encoded`], which is told what came of it.
    pub fn filler_bytes(&self, len_bytes: u32) -> u32 {
        match self {
            Self::Fixed(_) => 0,
            Self::Rated(rated) => rated.filler_bytes(len_bytes),
        }
    }

    /// How full the buffer is; `None` with a fixed quantiser.
    pub fn fullness(&self) -> Option<Fullness> {
        match self {
            Self::Fixed(_) => None,
            Self::Rated(rated) => Some(rated.fullness()),
        }
    }
}

impl Fullness {
    /// Thousandths, rounded up.
    pub fn permille(self) -> u16 {
        let size = u128::from(self.size_bits.max(1));
        let share = (u128::from(self.level_bits) * 1000).div_ceil(size);
        u16::try_from(share.min(1000)).unwrap_or(1000)
    }
}

impl RateController for Controller {
    fn choose(&mut self, kind: PictureKind) -> Qp {
        match self {
            Self::Fixed(fixed) => fixed.choose(kind),
            Self::Rated(rated) => rated.choose(kind),
        }
    }

    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, cost: &PictureCost) {
        match self {
            Self::Fixed(fixed) => fixed.handle_encoded(kind, qp, cost),
            Self::Rated(rated) => rated.handle_encoded(kind, qp, cost),
        }
    }

    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>) {
        match self {
            Self::Fixed(fixed) => fixed.handle_lost(kind, qp, claimed_bytes),
            Self::Rated(rated) => rated.handle_lost(kind, qp, claimed_bytes),
        }
    }
}
