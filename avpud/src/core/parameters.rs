//! The parameters of a new channel: parsed once from what the client asked, with the protocol's defaults filled in.
//!
//! Defaults: 25/1 pictures a second, a group of pictures of two seconds, fixed QP 30; a bitrate is kept with QP 20 to 48,
//! and may be exceeded up to twice where an average is asked for.

use crate::codec::avc::Description;
use crate::core::config::BrokerConfig;
use crate::core::refusal::Refusal;
use crate::picture::{
    self, BitRate, ChannelSetup, Coding, Entropy, Geometry, PictureSize, Psnr, Qp, QpDelta,
    QpRange, RateTuning, StreamCount,
};
use avpu_proto::limits::NAME_LEN_MAX;
use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Class, Codec, FrameRate, Overload, Profile, RateControl};
use core::num::NonZeroU32;

/// What a channel was opened with, in the device's words and in the client's.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    /// As the client asked: zero where it leaves the choice to the daemon.
    pub(super) wish: OpenChannel,
    pub(super) setup: ChannelSetup,
    /// Empty: the daemon names the channel.
    pub(super) name: String,
    pub(super) codec: Codec,
    pub(super) profile: Profile,
    pub(super) class: Class,
    pub(super) weight: u16,
    /// Pictures a second that the client submits.
    pub(super) fps: FrameRate,
    /// Pictures a second that are encoded of those.
    pub(super) fps_out: FrameRate,
    pub(super) rate_control: RateControl,
    /// Most bytes of a picture; 0: no limit but the stream buffer's.
    pub(super) picture_bytes_max: u32,
    /// 0: the daemon chooses.
    pub(super) ring_bytes: u32,
    /// What happens to a frame that finds the queue full.
    pub(super) overload: Overload,
    /// Age up to which a frame is started; 0: any.
    pub(super) deadline_us: u32,
    /// 0: half the ring.
    pub(super) preroll_bytes: u32,
}

impl Parameters {
    /// Parses what a client asked for.
    pub(super) fn new(wish: OpenChannel, config: &BrokerConfig) -> Result<Self, Refusal> {
        match wish.codec {
            Codec::Avc => {}
            Codec::Hevc => return Err(unsupported("expected codec avc, found hevc")),
            Codec::Jpeg => return Err(unsupported("expected codec avc, found jpeg")),
        }
        let geometry = geometry(&wish, config)?;
        let fps = frame_rate(wish.fps)?;
        let fps_out = frame_rate_out(wish.fps_out, fps)?;
        let frame_rate = picture::FrameRate::new(fps_out.num, fps_out.den).map_err(invalid)?;
        let rate_control = with_defaults(wish.rate_control);
        let setup = ChannelSetup {
            geometry,
            frame_rate,
            coding: coding(wish.profile, config)?,
            rate_control: rate_control_of(rate_control)?,
            rate_tuning: RateTuning {
                fills: fills(wish.filler, rate_control)?,
                ..rate_tuning(&wish, rate_control)?
            },
            gop_length: gop_length(wish.gop_length, fps_out)?,
            stream_count: StreamCount::TWO,
        };
        if wish.weight > WEIGHT_MAX {
            return Err(Refusal::Invalid(format!(
                "expected a weight from 1 to {WEIGHT_MAX}, found {}",
                wish.weight
            )));
        }
        Ok(Self {
            setup,
            name: checked_name(&wish.name)?.to_owned(),
            codec: wish.codec,
            profile: wish.profile,
            class: wish.class,
            weight: wish.weight.max(1),
            fps,
            fps_out,
            rate_control,
            picture_bytes_max: wish.picture_bytes_max,
            ring_bytes: wish.ring_bytes,
            overload: wish.overload,
            deadline_us: wish.deadline_us,
            preroll_bytes: wish.preroll_bytes,
            wish,
        })
    }
}

impl Parameters {
    /// What the stream says of its samples.
    pub(super) const fn description(&self) -> Description {
        Description {
            full_range: self.wish.full_range,
        }
    }
}

fn geometry(wish: &OpenChannel, config: &BrokerConfig) -> Result<Geometry, Refusal> {
    let (width, height) = (wish.width, wish.height);
    let ((w_min, h_min), (w_max, h_max)) = (config.picture_min, config.picture_max);
    if !(w_min..=w_max).contains(&width) || !(h_min..=h_max).contains(&height) {
        return Err(Refusal::Invalid(format!(
            "expected a size from {w_min}x{h_min} to {w_max}x{h_max}, found {width}x{height}"
        )));
    }
    let visible = PictureSize::new(u32::from(width), u32::from(height)).map_err(invalid)?;
    Ok(Geometry::new(visible))
}

fn frame_rate(wish: FrameRate) -> Result<FrameRate, Refusal> {
    if wish == FrameRate::default() {
        return Ok(FrameRate { num: 25, den: 1 });
    }
    let FrameRate { num, den } = wish;
    let term = 1..=FPS_TERM_MAX;
    let fits = term.contains(&num)
        && term.contains(&den)
        && u64::from(num) <= FPS_MAX * u64::from(den)
        && u64::from(den) <= SECONDS_PER_FRAME_MAX * u64::from(num);
    if !fits {
        return Err(Refusal::Invalid(format!(
            "expected a frame rate from 1/{SECONDS_PER_FRAME_MAX} to {FPS_MAX} with terms up to {FPS_TERM_MAX}, found {num}/{den}"
        )));
    }
    Ok(wish)
}

/// Pictures a second that are encoded: at most those submitted.
fn frame_rate_out(wish: FrameRate, fps: FrameRate) -> Result<FrameRate, Refusal> {
    if wish == FrameRate::default() {
        return Ok(fps);
    }
    let out = frame_rate(wish)?;
    // Terms are small: no product overflows.
    if u64::from(out.num) * u64::from(fps.den) > u64::from(fps.num) * u64::from(out.den) {
        return Err(Refusal::Invalid(format!(
            "expected at most {}/{} pictures a second to be encoded, found {}/{}",
            fps.num, fps.den, out.num, out.den
        )));
    }
    Ok(out)
}

fn coding(profile: Profile, config: &BrokerConfig) -> Result<Coding, Refusal> {
    if !config.profiles.contains(&profile) {
        return Err(Refusal::Unsupported(format!(
            "expected one of the device's profiles {:?}, found {profile:?}",
            config.profiles
        )));
    }
    match profile {
        Profile::High => Ok(Coding::HIGH_CABAC),
        Profile::Main => Coding::new(picture::Profile::Main, Entropy::Cabac).map_err(invalid),
        Profile::Baseline => Ok(Coding::BASELINE),
    }
}

/// The same wish with a number wherever the client left the choice to the daemon.
pub(super) fn with_defaults(wish: RateControl) -> RateControl {
    // Twice a large average is more than any level allows.
    let most = |average: u32, max: u32| or(max, average.saturating_mul(2).min(BITRATE_BPS_MAX));
    match wish {
        RateControl::FixQp { qp } => RateControl::FixQp {
            qp: or(qp, QP_DEFAULT),
        },
        RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        } => {
            let (qp_min, qp_max) = bounds(qp_min, qp_max);
            RateControl::Cbr {
                bitrate_bps,
                qp_min,
                qp_max,
            }
        }
        RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
        } => {
            let (qp_min, qp_max) = bounds(qp_min, qp_max);
            RateControl::Vbr {
                bitrate_bps,
                bitrate_max_bps: most(bitrate_bps, bitrate_max_bps),
                qp_min,
                qp_max,
            }
        }
        RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_max_cdb,
        } => {
            let (qp_min, qp_max) = bounds(qp_min, qp_max);
            RateControl::CappedVbr {
                bitrate_bps,
                bitrate_max_bps: most(bitrate_bps, bitrate_max_bps),
                qp_min,
                qp_max,
                psnr_max_cdb: or(psnr_max_cdb, PSNR_MAX_CDB_DEFAULT),
            }
        }
        RateControl::CappedQuality {
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_cdb,
        } => {
            let (qp_min, qp_max) = bounds(qp_min, qp_max);
            RateControl::CappedQuality {
                bitrate_max_bps,
                qp_min,
                qp_max,
                psnr_cdb: or(psnr_cdb, PSNR_CDB_DEFAULT),
            }
        }
    }
}

fn or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() {
        default
    } else {
        value
    }
}

/// One bound beyond the other's default moves that default along.
fn bounds(qp_min: u8, qp_max: u8) -> (u8, u8) {
    let (low, high) = (or(qp_min, RATED_QP_MIN), or(qp_max, RATED_QP_MAX));
    (
        if qp_min == 0 { low.min(high) } else { low },
        if qp_max == 0 { high.max(low) } else { high },
    )
}

/// A wish without zeros in the device's words.
pub(super) fn rate_control_of(wish: RateControl) -> Result<picture::RateControl, Refusal> {
    let range = |qp_min: u8, qp_max: u8| QpRange::new(qp(qp_min)?, qp(qp_max)?).map_err(invalid);
    let psnr = |cdb: u16| Psnr::new(u32::from(cdb)).map_err(invalid);
    Ok(match wish {
        RateControl::FixQp { qp: value } => picture::RateControl::FixQp { qp: qp(value)? },
        RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        } => picture::RateControl::Cbr {
            target: bitrate(bitrate_bps)?,
            range: range(qp_min, qp_max)?,
        },
        RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
        } => {
            let (target, max) = bitrates(bitrate_bps, bitrate_max_bps)?;
            picture::RateControl::Vbr {
                target,
                max,
                range: range(qp_min, qp_max)?,
            }
        }
        RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_max_cdb,
        } => {
            let (target, max) = bitrates(bitrate_bps, bitrate_max_bps)?;
            picture::RateControl::CappedVbr {
                target,
                max,
                range: range(qp_min, qp_max)?,
                psnr_max: psnr(psnr_max_cdb)?,
            }
        }
        RateControl::CappedQuality {
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_cdb,
        } => picture::RateControl::CappedQuality {
            max: bitrate(bitrate_max_bps)?,
            range: range(qp_min, qp_max)?,
            psnr: psnr(psnr_cdb)?,
        },
    })
}

fn qp(value: u8) -> Result<Qp, Refusal> {
    Qp::new(u32::from(value)).map_err(invalid)
}

fn bitrate(bps: u32) -> Result<BitRate, Refusal> {
    if !(BITRATE_BPS_MIN..=BITRATE_BPS_MAX).contains(&bps) {
        return Err(Refusal::Invalid(format!(
            "expected a bitrate from {BITRATE_BPS_MIN} to {BITRATE_BPS_MAX} bit/s, found {bps}"
        )));
    }
    BitRate::new(bps).map_err(invalid)
}

/// An average and what it may come to.
fn bitrates(average_bps: u32, max_bps: u32) -> Result<(BitRate, BitRate), Refusal> {
    let average = bitrate(average_bps)?;
    if max_bps < average_bps {
        return Err(Refusal::Invalid(format!(
            "expected a largest bitrate of at least the average {average_bps} bit/s, found {max_bps}"
        )));
    }
    Ok((average, bitrate(max_bps)?))
}

fn rate_tuning(wish: &OpenChannel, control: RateControl) -> Result<RateTuning, Refusal> {
    let picture_bytes_max = wish.picture_bytes_max;
    let steps = wish.ip_qp_delta;
    let idr_finer_by = steps.map(|steps| QpDelta::new(u32::from(steps)));
    if (1..PICTURE_BYTES_LEAST).contains(&picture_bytes_max) {
        return Err(Refusal::Invalid(format!(
            "expected at least {PICTURE_BYTES_LEAST} bytes for the largest picture, found {picture_bytes_max}"
        )));
    }
    // Nothing is left to keep a picture small with.
    if picture_bytes_max > 0 && matches!(control, RateControl::FixQp { .. }) {
        return Err(unsupported(
            "expected a mode with QP bounds with a largest picture, found a fixed quantiser; 0 takes the limit away",
        ));
    }
    Ok(RateTuning {
        idr_finer_by: idr_finer_by.transpose().map_err(invalid)?,
        picture_max_bytes: NonZeroU32::new(picture_bytes_max),
        fills: false,
    })
}

/// Other rates are not exceeded where pictures do not need them.
fn fills(wish: bool, control: RateControl) -> Result<bool, Refusal> {
    if wish && !matches!(control, RateControl::Cbr { .. }) {
        return Err(unsupported(
            "expected a constant bitrate with filler data, found another rate control",
        ));
    }
    Ok(wish)
}

fn gop_length(wish: u32, fps: FrameRate) -> Result<NonZeroU32, Refusal> {
    if wish > GOP_LENGTH_MAX {
        return Err(Refusal::Invalid(format!(
            "expected a group of at most {GOP_LENGTH_MAX} pictures, found {wish}"
        )));
    }
    let two_seconds = (fps.num * 2).div_ceil(fps.den);
    Ok(NonZeroU32::new(wish)
        .or_else(|| NonZeroU32::new(two_seconds))
        .unwrap_or(NonZeroU32::MIN))
}

fn checked_name(name: &str) -> Result<&str, Refusal> {
    let printable = name.chars().all(|c| !c.is_control());
    if name.len() > NAME_LEN_MAX || !printable || name.trim() != name {
        return Err(Refusal::Invalid(format!(
            "expected a printable name of at most {NAME_LEN_MAX} bytes without blanks around it, found {} bytes",
            name.len()
        )));
    }
    Ok(name)
}

fn unsupported(sentence: &str) -> Refusal {
    Refusal::Unsupported(sentence.to_owned())
}

fn invalid(error: picture::PictureError) -> Refusal {
    Refusal::Invalid(error.to_string())
}

/// Largest numerator and denominator of a frame rate.
const FPS_TERM_MAX: u32 = 1_000_000;
/// Most pictures a second.
const FPS_MAX: u64 = 240;
/// Most seconds between two pictures.
const SECONDS_PER_FRAME_MAX: u64 = 3600;
/// QP of a channel whose client names none.
const QP_DEFAULT: u8 = 30;
/// Lowest QP that a bitrate is kept with unless the client says. Under it stream buffers are sized for the finest
/// quantiser, and one 1080p channel takes half as much memory again.
const RATED_QP_MIN: u8 = 20;
/// Highest QP that a bitrate is kept with unless the client says.
const RATED_QP_MAX: u8 = 48;
/// Luma PSNR beyond which better pictures are not worth their bits, in hundredths of a decibel.
const PSNR_MAX_CDB_DEFAULT: u16 = 4200;
/// Luma PSNR aimed at, in hundredths of a decibel.
const PSNR_CDB_DEFAULT: u16 = 3800;
/// A limit below this holds headers and nothing else.
const PICTURE_BYTES_LEAST: u32 = 1024;
/// Below this a stream is parameter sets and little else.
pub(super) const BITRATE_BPS_MIN: u32 = 4_000;
/// What the highest level allows in the highest profile.
pub(super) const BITRATE_BPS_MAX: u32 = 300_000_000;
/// Longest group of pictures.
pub(super) const GOP_LENGTH_MAX: u32 = 1_000_000;
/// Largest weight.
pub(super) const WEIGHT_MAX: u16 = 100;
