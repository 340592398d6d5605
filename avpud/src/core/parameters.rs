//! The parameters of a new channel: parsed once from what the client asked, with the protocol's defaults filled in.
//!
//! Defaults: 25/1 pictures a second, a group of pictures of two seconds, fixed QP 30; constant bitrate uses QP 20 to 48.

use crate::core::config::BrokerConfig;
use crate::core::refusal::Refusal;
use crate::picture::{
    self, BitRate, ChannelSetup, Coding, Entropy, Geometry, PictureSize, Qp, QpRange, StreamCount,
};
use avpu_proto::limits::NAME_LEN_MAX;
use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Class, Codec, FrameRate, Overload, Profile, RateControl};
use core::num::NonZeroU32;

/// What a channel was opened with, in the device's words and in the client's.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    pub(super) setup: ChannelSetup,
    /// Empty: the daemon names the channel.
    pub(super) name: String,
    pub(super) codec: Codec,
    pub(super) profile: Profile,
    pub(super) class: Class,
    pub(super) weight: u16,
    pub(super) fps: FrameRate,
    pub(super) rate_control: RateControl,
    /// 0: the daemon chooses.
    pub(super) ring_bytes: u32,
}

impl Parameters {
    /// Parses what a client asked for.
    pub(super) fn new(wish: OpenChannel, config: &BrokerConfig) -> Result<Self, Refusal> {
        match wish.codec {
            Codec::Avc => {}
            Codec::Hevc => return Err(unsupported("expected codec avc, found hevc")),
            Codec::Jpeg => return Err(unsupported("expected codec avc, found jpeg")),
        }
        refuse_later_wishes(&wish)?;
        let geometry = geometry(&wish, config)?;
        let fps = frame_rate(wish.fps)?;
        let frame_rate = picture::FrameRate::new(fps.num, fps.den).map_err(invalid)?;
        let rate_control = with_defaults(wish.rate_control);
        let setup = ChannelSetup {
            geometry,
            frame_rate,
            coding: coding(wish.profile, config)?,
            rate_control: rate_control_of(rate_control)?,
            rate_tuning: picture::RateTuning::default(),
            gop_length: gop_length(wish.gop_length, fps)?,
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
            name: checked_name(wish.name)?,
            codec: wish.codec,
            profile: wish.profile,
            class: wish.class,
            weight: wish.weight.max(1),
            fps,
            rate_control,
            ring_bytes: wish.ring_bytes,
        })
    }
}

/// What the wire can say and the daemon does not do yet.
fn refuse_later_wishes(wish: &OpenChannel) -> Result<(), Refusal> {
    let plain = wish.overload == Overload::Reject
        && wish.deadline_us == 0
        && wish.preroll_bytes == 0
        && wish.fps_out == FrameRate::default()
        && wish.ip_qp_delta.is_none()
        && wish.picture_bytes_max == 0
        && !wish.access_unit_delimiters;
    if plain {
        return Ok(());
    }
    Err(unsupported(
        "expected a channel without overload policy, deadline, pre-roll budget, decimation, I/P delta, picture limit and delimiters, found one of them",
    ))
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

fn with_defaults(wish: RateControl) -> RateControl {
    let or = |value: u8, default: u8| if value == 0 { default } else { value };
    match wish {
        RateControl::FixQp { qp } => RateControl::FixQp {
            qp: or(qp, QP_DEFAULT),
        },
        RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        } => {
            // One bound beyond the other's default moves that default along.
            let (low, high) = (or(qp_min, CBR_QP_MIN), or(qp_max, CBR_QP_MAX));
            RateControl::Cbr {
                bitrate_bps,
                qp_min: if qp_min == 0 { low.min(high) } else { low },
                qp_max: if qp_max == 0 { high.max(low) } else { high },
            }
        }
        // Refused by `rate_control_of`.
        other => other,
    }
}

fn rate_control_of(wish: RateControl) -> Result<picture::RateControl, Refusal> {
    let qp = |value: u8| Qp::new(u32::from(value)).map_err(invalid);
    match wish {
        RateControl::FixQp { qp: value } => Ok(picture::RateControl::FixQp { qp: qp(value)? }),
        RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        } => {
            if !(BITRATE_BPS_MIN..=BITRATE_BPS_MAX).contains(&bitrate_bps) {
                return Err(Refusal::Invalid(format!(
                    "expected a bitrate from {BITRATE_BPS_MIN} to {BITRATE_BPS_MAX} bit/s, found {bitrate_bps}"
                )));
            }
            Ok(picture::RateControl::Cbr {
                target: BitRate::new(bitrate_bps).map_err(invalid)?,
                range: QpRange::new(qp(qp_min)?, qp(qp_max)?).map_err(invalid)?,
            })
        }
        RateControl::Vbr { .. }
        | RateControl::CappedVbr { .. }
        | RateControl::CappedQuality { .. } => Err(unsupported(
            "expected rate control FixQp or Cbr, found another mode",
        )),
    }
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

fn checked_name(name: String) -> Result<String, Refusal> {
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
/// Lowest QP that constant bitrate uses by itself. Under it stream buffers are sized for the finest quantiser, and one
/// 1080p channel takes half as much memory again.
const CBR_QP_MIN: u8 = 20;
/// Highest QP that constant bitrate uses by itself.
const CBR_QP_MAX: u8 = 48;
/// Below this a stream is parameter sets and little else.
const BITRATE_BPS_MIN: u32 = 4_000;
/// What the highest level allows in the highest profile.
const BITRATE_BPS_MAX: u32 = 300_000_000;
/// Longest group of pictures.
const GOP_LENGTH_MAX: u32 = 1_000_000;
/// Largest weight.
const WEIGHT_MAX: u16 = 100;
