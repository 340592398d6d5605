//! Encodes a film with a setup and keeps what became of each picture.

use super::film::{FPS, Film};
use crate::bench::Bench;
use avpud::picture::{ChannelSetup, PictureKind, RateControl};

/// What became of the pictures of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// One entry for each picture.
    pub pictures: Vec<Traced>,
    /// Pictures that were lost and encoded again.
    pub lost: u32,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// IDR or P.
    pub kind: PictureKind,
    /// Slice quantiser.
    pub qp: u8,
    /// Mean quantiser of its macroblocks.
    pub qp_mean: f64,
    /// Bits in the stream.
    pub bits: u64,
    /// Luma PSNR in dB.
    pub psnr: f64,
}

/// Encodes the first `count` pictures of a film.
#[must_use]
pub fn encode(film: &mut Film, setup: &ChannelSetup, count: u32) -> Trace {
    encode_with(film, setup, count, &[])
}

/// As [`encode`], with other setups from some pictures on.
#[must_use]
pub fn encode_with(
    film: &mut Film,
    setup: &ChannelSetup,
    count: u32,
    changes: &[(u32, RateControl)],
) -> Trace {
    let mut bench = Bench::forgetful("pace=free");
    bench.open(*setup);
    let visible = setup.geometry.visible();
    let samples = f64::from(visible.width() * visible.height());
    let macroblocks = f64::from(setup.geometry.coded().macroblocks());
    let mut pictures = Vec::new();
    for index in 0..count {
        if let Some((_, rate_control)) = changes.iter().find(|change| change.0 == index) {
            let setup = ChannelSetup {
                rate_control: *rate_control,
                ..*setup
            };
            bench.change(0, setup);
        }
        let picture = bench.encode(0, film.picture(index));
        let sse = picture.stats.sse_luma.max(1);
        pictures.push(Traced {
            kind: picture.kind,
            qp: picture.qp.value(),
            qp_mean: f64::from(picture.stats.qp_sum) / macroblocks,
            bits: u64::from(picture.len_bytes) * 8,
            psnr: 10.0 * (255.0 * 255.0 * samples / float(sse)).log10(),
        });
    }
    let lost = bench.lost(0);
    let (_, mut engine) = bench.close();
    assert_eq!(engine.device().machine().faults(), []);
    Trace { pictures, lost }
}

impl Trace {
    /// Bits a second.
    #[must_use]
    pub fn bps(&self) -> f64 {
        let bits: u64 = self.pictures.iter().map(|picture| picture.bits).sum();
        float(bits) * f64::from(FPS) / self.count()
    }

    /// Mean of the pictures' luma PSNR.
    #[must_use]
    pub fn psnr(&self) -> f64 {
        let sum: f64 = self.pictures.iter().map(|picture| picture.psnr).sum();
        sum / self.count()
    }

    /// Mean quantiser of the slices, to the nearest whole one.
    #[must_use]
    pub fn qp(&self) -> u8 {
        let sum: u64 = self.pictures.iter().map(|p| u64::from(p.qp)).sum();
        let count = u64::try_from(self.pictures.len().max(1)).unwrap_or(u64::MAX);
        u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX)
    }

    /// Sizes of the pictures in bits.
    #[must_use]
    pub fn sizes_bits(&self) -> Vec<u64> {
        self.pictures.iter().map(|picture| picture.bits).collect()
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.pictures.len().max(1)).unwrap_or(u32::MAX))
    }
}

/// A count as a float; those of a run are far below 2^53.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53"
)]
pub fn float(value: u64) -> f64 {
    value as f64
}
