//! What a run is measured by, and whether that is good enough.

use super::case::{Case, Mode};
use super::curve::Demand;
use super::film::{FPS, Scene};
use super::hrd;
use super::run::{Trace, float};
use avpud::picture::PictureKind;

/// The figures of a run.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Bits a second over the target, less one.
    pub deviation: f64,
    /// The same of the worst two seconds without a cut in them or in the second before.
    pub calm_deviation: f64,
    /// The same of the worst two seconds among the others.
    pub cut_deviation: f64,
    /// The buffer of a decoder.
    pub hrd: hrd::Verdict,
    /// Largest step of the quantiser from a P picture to the next, cuts left out.
    pub qp_step: u8,
    /// Mean luma PSNR.
    pub psnr: f64,
    /// Mean luma PSNR less that of a fixed quantiser at the same rate, where that can be said.
    pub psnr_gain: Option<f64>,
    /// Where the target lies in what the film can cost.
    pub demand: Demand,
}

/// Two seconds.
const WINDOW: usize = 2 * BEFORE;
/// One second.
const BEFORE: usize = 25;
const _: () = assert!(FPS == 25);
/// Most that a constant rate may be off over the whole run.
const CBR_DEVIATION_MAX: f64 = 0.02;
/// Most that an average rate may be off over the whole run.
const VBR_DEVIATION_MAX: f64 = 0.05;
/// Most that two seconds of a constant rate may be off.
const CALM_DEVIATION_MAX: f64 = 0.10;
/// The same with a cut in them or in the second before.
const CUT_DEVIATION_MAX: f64 = 0.25;
/// Largest step of the quantiser.
const QP_STEP_MAX: u8 = 4;
/// Most that a constant rate may cost in quality, in dB.
const PSNR_LOSS_MAX: f64 = 0.7;

impl Figures {
    /// The figures of a run without those that take other runs.
    #[must_use]
    pub fn new(case: &Case, trace: &Trace, demand: Demand, psnr_fixed: Option<f64>) -> Self {
        let target = f64::from(case.target_bps);
        let (calm_deviation, cut_deviation) = windows(case.scene, trace, target);
        let hrd = hrd::check(
            &trace.sizes_bits(),
            u64::from(case.max_bps()),
            u64::from(FPS),
            case.mode == Mode::Cbr,
        );
        Self {
            deviation: trace.bps() / target - 1.0,
            calm_deviation,
            cut_deviation,
            hrd,
            qp_step: qp_step(case.scene, trace),
            psnr: trace.psnr(),
            psnr_gain: psnr_fixed.map(|fixed| trace.psnr() - fixed),
            demand,
        }
    }

    /// What is not good enough; a case out of range is not judged, but for an average that may not be exceeded.
    #[must_use]
    pub fn complaints(&self, mode: Mode) -> Vec<&'static str> {
        let mut complaints = Vec::new();
        let mut expect = |is_met: bool, what| {
            if !is_met {
                complaints.push(what);
            }
        };
        match (mode, self.demand) {
            (Mode::Cbr, Demand::InRange) => {
                expect(self.deviation.abs() <= CBR_DEVIATION_MAX, "rate");
                expect(
                    self.calm_deviation.abs() <= CALM_DEVIATION_MAX,
                    "two seconds",
                );
                expect(
                    self.cut_deviation.abs() <= CUT_DEVIATION_MAX,
                    "two seconds with a cut",
                );
                let is_good = |gain| gain >= -PSNR_LOSS_MAX;
                expect(self.psnr_gain.is_some_and(is_good), "quality");
            }
            (Mode::Vbr, Demand::InRange) => {
                expect(self.deviation.abs() <= VBR_DEVIATION_MAX, "rate");
            }
            (Mode::Vbr, Demand::TooLittle) => expect(self.deviation <= 0.0, "rate"),
            (Mode::Cbr, Demand::TooLittle) | (_, Demand::TooMuch) => return complaints,
        }
        expect(self.hrd.underflows == 0, "buffer underflow");
        expect(self.hrd.overflows == 0, "buffer overflow");
        expect(self.qp_step <= QP_STEP_MAX, "quantiser step");
        complaints
    }
}

/// The worst deviations of any two seconds: without a cut near, and with one. The first picture is a cut too.
fn windows(scene: Scene, trace: &Trace, target: f64) -> (f64, f64) {
    let cuts: Vec<bool> = (0..)
        .zip(&trace.pictures)
        .map(|(index, _)| index == 0 || scene.is_cut(index))
        .collect();
    let (mut calm, mut cut) = (0.0, 0.0);
    for (start, window) in trace.pictures.windows(WINDOW).enumerate() {
        let bits: u64 = window.iter().map(|picture| picture.bits).sum();
        let deviation = float(bits) / 2.0 / target - 1.0;
        let near = &cuts[start.saturating_sub(BEFORE)..start + WINDOW];
        let worst: &mut f64 = if near.contains(&true) {
            &mut cut
        } else {
            &mut calm
        };
        if deviation.abs() > worst.abs() {
            *worst = deviation;
        }
    }
    (calm, cut)
}

/// The largest step from a P picture to the next. A cut is seen in the picture that it is in, so the step behind that
/// one is left out.
fn qp_step(scene: Scene, trace: &Trace) -> u8 {
    let mut largest = 0;
    let mut last: Option<u8> = None;
    for (index, picture) in (0u32..).zip(&trace.pictures) {
        if picture.kind == PictureKind::Idr {
            continue;
        }
        let is_cut = scene.is_cut(index) || index > 0 && scene.is_cut(index - 1);
        if let Some(last) = last.filter(|_| !is_cut) {
            largest = largest.max(last.abs_diff(picture.qp));
        }
        last = Some(picture.qp);
    }
    largest
}
