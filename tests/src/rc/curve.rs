//! What a film costs at fixed quantisers, and how good it is then: measured where somebody asks.

use super::case::{QP_MAX, QP_MIN, setup};
use super::film::Film;
use super::run::encode;
use avpud::picture::{Qp, RateControl};
use std::collections::BTreeMap;

/// Rate and quality of a film by fixed quantiser.
pub struct Curve {
    width: u32,
    height: u32,
    pictures: u32,
    points: BTreeMap<u8, Point>,
}

/// One fixed quantiser.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Bits a second.
    pub bps: f64,
    /// Mean luma PSNR in dB.
    pub psnr: f64,
}

/// Where a rate lies in what a film can cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// More than nine tenths of it go already at the coarsest quantiser.
    TooMuch,
    /// Between.
    InRange,
    /// Less than eleven tenths of it go even at the finest quantiser.
    TooLittle,
}

/// The nearest quantiser of the cases.
fn clamp(qp: u8) -> u8 {
    qp.clamp(QP_MIN, QP_MAX)
}

impl Curve {
    /// The curve of a film of this size and length; nothing is measured yet.
    #[must_use]
    pub fn new(width: u32, height: u32, pictures: u32) -> Self {
        Self {
            width,
            height,
            pictures,
            points: BTreeMap::new(),
        }
    }

    /// Where a rate lies; it is expected at about the quantiser `near`.
    pub fn demand(&mut self, film: &mut Film, bps: f64, near: u8) -> Demand {
        // The ends are dear or useless to measure; mostly what lies between says enough.
        let finest = [clamp(near - 2), QP_MIN];
        let coarsest = [clamp(near + 2), QP_MAX];
        if finest.iter().all(|&qp| self.is_below(film, qp, bps * 1.1)) {
            Demand::TooLittle
        } else if coarsest
            .iter()
            .any(|&qp| self.is_below(film, qp, bps * 0.9))
        {
            Demand::InRange
        } else {
            Demand::TooMuch
        }
    }

    /// The quality at a rate, interpolated between two quantisers near `near`; `None` outside the curve.
    pub fn psnr_at(&mut self, film: &mut Film, bps: f64, near: u8) -> Option<f64> {
        let mut fine = clamp(near).min(QP_MAX - 1);
        while self.is_below(film, fine, bps) {
            fine = fine.checked_sub(1).filter(|&qp| qp >= QP_MIN)?;
        }
        while fine < QP_MAX && !self.is_below(film, fine + 1, bps) {
            fine += 1;
        }
        if fine == QP_MAX {
            return None;
        }
        let coarse = fine + 1;
        let (high, low) = (self.point(film, fine), self.point(film, coarse));
        let part = (bps.ln() - low.bps.ln()) / (high.bps.ln() - low.bps.ln());
        Some(low.psnr + part * (high.psnr - low.psnr))
    }

    /// Whether a quantiser leads to a lower rate. A coarser one never costs more, so what is known of others may
    /// already say it.
    fn is_below(&mut self, film: &mut Film, qp: u8, bps: f64) -> bool {
        let finer = self.points.range(..=qp).next_back();
        if finer.is_some_and(|(_, point)| point.bps < bps) {
            return true;
        }
        let coarser = self.points.range(qp..).next();
        if coarser.is_some_and(|(_, point)| point.bps >= bps) {
            return false;
        }
        self.point(film, qp).bps < bps
    }

    fn point(&mut self, film: &mut Film, qp: u8) -> Point {
        if let Some(point) = self.points.get(&qp) {
            return *point;
        }
        let fixed = RateControl::FixQp {
            qp: Qp::new(u32::from(qp)).expect("a quantiser"),
        };
        let trace = encode(film, &setup(self.width, self.height, fixed), self.pictures);
        let point = Point {
            bps: trace.bps(),
            psnr: trace.psnr(),
        };
        self.points.insert(qp, point);
        point
    }
}
