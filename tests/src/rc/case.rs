//! Which films are encoded how: the cases of the command, and their setups.

use super::film::{FPS, Scene};
use crate::bench::fixed_quality;
use avpud::picture::{BitRate, ChannelSetup, Qp, QpRange, RateControl};
use std::fmt;

/// One film at one rate in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is shown.
    pub scene: Scene,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How the rate is controlled.
    pub mode: Mode,
    /// The rate aimed at, in bits a second.
    pub target_bps: u32,
    /// Seconds.
    pub length_s: u32,
}

/// A mode of rate control that has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A constant rate.
    Cbr,
    /// An average with peaks to twice that.
    Vbr,
}

/// Quantisers of all cases: what the daemon uses by itself.
pub const QP_MIN: u8 = 20;
/// The coarsest of them.
pub const QP_MAX: u8 = 48;
/// Two seconds, as the daemon uses by itself.
pub const GOP_LENGTH: u32 = 2 * FPS;

impl Case {
    /// Pictures in it.
    #[must_use]
    pub fn pictures(&self) -> u32 {
        self.length_s * FPS
    }

    /// The highest rate, in bits a second.
    #[must_use]
    pub fn max_bps(&self) -> u32 {
        match self.mode {
            Mode::Cbr => self.target_bps,
            Mode::Vbr => 2 * self.target_bps,
        }
    }

    /// What its channel is set up with.
    #[must_use]
    pub fn setup(&self) -> ChannelSetup {
        setup(self.width, self.height, self.rate_control())
    }

    /// Its rate control.
    ///
    /// # Panics
    /// When the rate is zero.
    #[must_use]
    pub fn rate_control(&self) -> RateControl {
        let rate = |bps| BitRate::new(bps).expect("a rate");
        let qp = |value: u8| Qp::new(u32::from(value)).expect("a quantiser");
        let range = QpRange::new(qp(QP_MIN), qp(QP_MAX)).expect("a range");
        let target = rate(self.target_bps);
        match self.mode {
            Mode::Cbr => RateControl::Cbr { target, range },
            Mode::Vbr => RateControl::Vbr {
                target,
                max: rate(self.max_bps()),
                range,
            },
        }
    }
}

/// A channel for a film with this rate control.
#[must_use]
pub fn setup(width: u32, height: u32, rate_control: RateControl) -> ChannelSetup {
    ChannelSetup {
        rate_control,
        ..fixed_quality(width, height, GOP_LENGTH, 30)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cbr => "cbr",
            Self::Vbr => "vbr",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}x{}-{}-{}k",
            self.scene,
            self.width,
            self.height,
            self.mode,
            self.target_bps / 1000
        )
    }
}
