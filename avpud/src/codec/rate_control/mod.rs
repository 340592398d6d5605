//! Which quantiser the next picture gets.
//!
//! One controller per channel. Call order for each picture: [`RateController::choose`], then exactly one
//! of [`RateController::handle_encoded`] and [`RateController::handle_lost`]. Integers only: the same
//! pictures give the same quantisers on every machine. The encoder's own control inside a picture moves
//! around the quantiser chosen here and stays inside the same range.

mod bucket;
mod fixed;
mod size;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;
pub use fixed::Fixed;

use crate::picture::{ChannelSetup, PictureKind, Qp, RateControl};

/// Chooses quantisers from what pictures turned out to cost.
pub trait RateController {
    /// The quantiser of the next picture, which will be of this kind.
    fn choose(&mut self, kind: PictureKind) -> Qp;

    /// That picture is in the stream with this many bytes, headers included.
    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, len_bytes: u32);

    /// That picture is not in the stream. `claimed_bytes` is what it would have taken, where it was
    /// lost because it did not fit.
    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>);
}

/// The controller of a channel: one of the kinds there are, without allocation.
#[derive(Clone, Copy, Debug)]
pub enum Controller {
    /// The same quantiser always.
    Fixed(Fixed),
    /// A bit rate, constant or on average.
    Bucket(Bucket),
}

impl Controller {
    /// The controller that a channel's setup asks for.
    pub fn new(setup: &ChannelSetup) -> Self {
        let macroblocks = setup.geometry.coded().macroblocks();
        let bucket = |target, max, range, window_s| {
            Self::Bucket(Bucket::new(bucket::Settings {
                target,
                max,
                range,
                window_s,
                frame_rate: setup.frame_rate,
                gop_length: setup.gop_length.get(),
                macroblocks,
            }))
        };
        match setup.rate_control {
            RateControl::FixQp { qp } => Self::Fixed(Fixed::new(qp)),
            RateControl::Cbr { target, range } => bucket(target, target, range, CBR_WINDOW_S),
            RateControl::Vbr { target, max, range } => bucket(target, max, range, VBR_WINDOW_S),
        }
    }
}

/// Seconds within which a deviation from the target is made up for.
const CBR_WINDOW_S: u32 = 1;
const VBR_WINDOW_S: u32 = 8;

impl RateController for Controller {
    fn choose(&mut self, kind: PictureKind) -> Qp {
        match self {
            Self::Fixed(fixed) => fixed.choose(kind),
            Self::Bucket(bucket) => bucket.choose(kind),
        }
    }

    fn handle_encoded(&mut self, kind: PictureKind, qp: Qp, len_bytes: u32) {
        match self {
            Self::Fixed(fixed) => fixed.handle_encoded(kind, qp, len_bytes),
            Self::Bucket(bucket) => bucket.handle_encoded(kind, qp, len_bytes),
        }
    }

    fn handle_lost(&mut self, kind: PictureKind, qp: Qp, claimed_bytes: Option<u32>) {
        match self {
            Self::Fixed(fixed) => fixed.handle_lost(kind, qp, claimed_bytes),
            Self::Bucket(bucket) => bucket.handle_lost(kind, qp, claimed_bytes),
        }
    }
}
