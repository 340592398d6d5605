//! The same quantiser for every picture.

use super::RateController;
use crate::picture::{PictureKind, Qp};

/// Always the same quantiser, whatever pictures cost.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    qp: Qp,
}

impl Fixed {
    /// Always `qp`.
    pub fn new(qp: Qp) -> Self {
        Self { qp }
    }
}

impl RateController for Fixed {
    fn choose(&mut self, _kind: PictureKind) -> Qp {
        self.qp
    }

    fn handle_encoded(&mut self, _kind: PictureKind, _qp: Qp, _len_bytes: u32) {}

    fn handle_lost(&mut self, _kind: PictureKind, _qp: Qp, _claimed_bytes: Option<u32>) {}
}
