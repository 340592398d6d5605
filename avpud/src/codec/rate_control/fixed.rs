//! The same quantiser for every picture of a kind.

use super::{PictureCost, RateController};
use crate::picture::{PictureKind, Qp, QpRange, RateTuning};

/// Always the same quantiser, whatever pictures cost.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    idr: Qp,
    p: Qp,
}

impl Fixed {
    /// Always `qp`, and finer for an IDR where that is asked for.
    pub fn new(qp: Qp, tuning: RateTuning) -> Self {
        let finer_by = tuning.idr_finer_by.map_or(0, |delta| delta.steps());
        Self {
            idr: QpRange::ALL.clamp_i32(i32::from(qp.value()) - i32::from(finer_by)),
            p: qp,
        }
    }
}

impl RateController for Fixed {
    fn choose(&mut self, kind: PictureKind) -> Qp {
        match kind {
            PictureKind::Idr => self.idr,
            PictureKind::P => self.p,
        }
    }

    fn handle_encoded(&mut self, _kind: PictureKind, _qp: Qp, _cost: &PictureCost) {}

    fn handle_lost(&mut self, _kind: PictureKind, _qp: Qp, _claimed_bytes: Option<u32>) {}
}
