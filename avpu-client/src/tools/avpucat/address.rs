//! What each address means: the typed form of the command line's last words.

use super::grammar::{AddressError, Parts, split_dual, split_keyword};
use super::nearest::nearest;
use super::units::{self, GopLength, ValueError};
use crate::source::{FrameRate, PictureSize};
use avpu_proto::limits::NAME_LEN_MAX;
use avpu_proto::types::{Class, Join, Overload, Profile, RateControl};

/// Frames a second where nothing says otherwise.
pub(crate) const FPS_DEFAULT: FrameRate = FrameRate { num: 25, den: 1 };
/// QP of a channel without a bitrate.
const QP_DEFAULT: u8 = 30;

/// All keywords, in the order of the help text.
const KEYWORDS: &[&str] = &[
    "STDIO",
    "FILE",
    "Y4M",
    "NV12",
    "TEST",
    "H264",
    "UNIX-CONNECT",
    "UNIX-LISTEN",
    "AVPU",
    "AVPU-SUB",
    "AVPU-RAW",
    "JSON",
];
const RAW_KEYS: &[&str] = &["size", "fps", "loop", "pace"];
const FLOW_KEYS: &[&str] = &["loop", "pace"];
const TEST_KEYS: &[&str] = &["size", "fps", "frames", "pace"];
const STREAM_KEYS: &[&str] = &["size", "fps"];
const AVPU_KEYS: &[&str] = &[
    "name",
    "bitrate",
    "gop",
    "rc",
    "qp",
    "qpmin",
    "qpmax",
    "profile",
    "class",
    "weight",
    "overload",
    "deadline",
    "preroll",
    "max",
    "psnr",
    "fpsout",
    "ipdelta",
    "picturemax",
    "ring",
    "delimiters",
    "fullrange",
    "filler",
];
/// An hour.
const DEADLINE_MS_MAX: u64 = 3_600_000;
const SUB_KEYS: &[&str] = &["channel", "join"];

/// An address of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// One endpoint for both directions.
    One(Endpoint),
    /// `READ!!WRITE`.
    Dual(Endpoint, Endpoint),
}

/// One end of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Standard input and output.
    Stdio(Format),
    /// A file.
    File(String, Format),
    /// The test pattern.
    Test(Pattern),
    /// A file that is written with a bitstream, or read as one.
    H264(String),
    /// A socket of somebody who listens.
    UnixConnect(String, Format),
    /// A socket of our own; one peer.
    UnixListen(String, Format),
    /// The daemon as an encoder.
    Avpu(Option<String>, ChannelKeys),
    /// The daemon as a source of one channel's bitstream.
    AvpuSub(Option<String>, WatchKeys),
    /// The daemon's protocol.
    AvpuRaw(Option<String>),
    /// Requests and replies as lines of JSON on standard input and output.
    Json,
}

/// How bytes are to be understood as pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Format {
    /// Only Y4M will do.
    pub(crate) y4m: bool,
    /// Raw NV12 of this size. Otherwise the bytes must begin with the magic of Y4M.
    pub(crate) raw: Option<Raw>,
    /// Start again at the end.
    pub(crate) repeat: bool,
    /// Not faster than the frame rate.
    pub(crate) pace: bool,
}

/// Raw pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Their size.
    pub(crate) size: PictureSize,
    /// Their rate.
    pub(crate) fps: FrameRate,
}

/// The test pattern's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Size.
    pub(crate) size: PictureSize,
    /// Rate.
    pub(crate) fps: FrameRate,
    /// So many pictures; without it no end.
    pub(crate) frames: Option<u64>,
    /// Not faster than the frame rate.
    pub(crate) pace: bool,
}

/// The keys of `AVPU:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelKeys {
    /// The channel's name; empty: the daemon chooses.
    pub(crate) name: String,
    /// Rate control.
    pub(crate) rate_control: RateControl,
    /// GOP length; without it the daemon's two seconds.
    pub(crate) gop: Option<GopLength>,
    /// Profile.
    pub(crate) profile: Profile,
    /// Class.
    pub(crate) class: Class,
    /// Weight among best-effort channels; 0 is the daemon's default.
    pub(crate) weight: u16,
    /// What happens to a picture that finds the queue full.
    pub(crate) overload: Overload,
    /// Age up to which a picture is encoded, in microseconds; 0: any.
    pub(crate) deadline_us: u32,
    /// Most bytes of the past for a reader that joins; 0: the daemon's default.
    pub(crate) preroll_bytes: u32,
    /// So many of the pictures are encoded; without it all.
    pub(crate) fps_out: Option<FrameRate>,
    /// QP steps from an IDR to the pictures around it; without it the daemon's choice.
    pub(crate) ip_qp_delta: Option<u8>,
    /// Most bytes of a picture; 0: no limit.
    pub(crate) picture_bytes_max: u32,
    /// Size of the ring; 0: the daemon's choice.
    pub(crate) ring_bytes: u32,
    /// Access unit delimiters.
    pub(crate) delimiters: bool,
    /// Samples of full range.
    pub(crate) full_range: bool,
    /// A constant bitrate is kept by filler data.
    pub(crate) filler: bool,
}

/// The keys of `AVPU-SUB:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchKeys {
    /// The channel's name or id.
    pub(crate) channel: String,
    /// Where to start.
    pub(crate) join: Join,
}

/// Parses an address.
pub(crate) fn parse(text: &str) -> Result<Address, AddressError> {
    match split_dual(text)? {
        (one, None) => Ok(Address::One(endpoint(one)?)),
        (read, Some(write)) => Ok(Address::Dual(endpoint(read)?, endpoint(write)?)),
    }
}

fn endpoint(text: &str) -> Result<Endpoint, AddressError> {
    let (keyword, rest) = split_keyword(text);
    let Some(keyword) = keyword else {
        return bare(text);
    };
    match keyword.to_ascii_uppercase().as_str() {
        "STDIO" => stdio(rest),
        "FILE" => file(rest),
        "Y4M" => {
            let mut parts = Parts::new("Y4M", rest, true, FLOW_KEYS)?;
            let path = parts.needed_target("a path: Y4M:clip.y4m")?;
            let (repeat, pace) = (parts.flag("loop")?, parts.flag("pace")?);
            let format = Format {
                y4m: true,
                raw: None,
                repeat,
                pace,
            };
            Ok(path_or_stdio(path, format))
        }
        "NV12" => {
            let mut parts = Parts::new("NV12", rest, true, RAW_KEYS)?;
            let path = parts.needed_target("a path: NV12:clip.nv12,size=1280x720")?;
            let format = raw_format(&mut parts)?;
            if format.raw.is_none() {
                return Err(missing("NV12", "a size: NV12:path,size=1280x720"));
            }
            Ok(path_or_stdio(path, format))
        }
        "TEST" => test(rest),
        "H264" => {
            let mut parts = Parts::new("H264", rest, true, &[])?;
            let path = parts.needed_target("a path: H264:out.h264")?;
            Ok(match path.as_str() {
                "-" => Endpoint::Stdio(Format::default()),
                _ => Endpoint::H264(path),
            })
        }
        "UNIX-CONNECT" => {
            let (path, format) = socket_stream("UNIX-CONNECT", rest)?;
            Ok(Endpoint::UnixConnect(path, format))
        }
        "UNIX-LISTEN" => {
            let (path, format) = socket_stream("UNIX-LISTEN", rest)?;
            Ok(Endpoint::UnixListen(path, format))
        }
        "AVPU" => avpu(rest),
        "AVPU-SUB" => avpu_sub(rest),
        "AVPU-RAW" => {
            let mut parts = Parts::new("AVPU-RAW", rest, true, &[])?;
            Ok(Endpoint::AvpuRaw(parts.target()))
        }
        "JSON" => {
            let mut parts = Parts::new("JSON", rest, true, &[])?;
            match parts.target().as_deref() {
                None | Some("-") => Ok(Endpoint::Json),
                Some(_) => Err(AddressError::Conflict(
                    "JSON: works on standard input and output only: JSON:-",
                )),
            }
        }
        _ => Err(unknown(keyword)),
    }
}

/// Addresses without a colon: `-`, a path, a keyword that needs no target.
fn bare(text: &str) -> Result<Endpoint, AddressError> {
    let (word, keys) = text.split_once(',').unwrap_or((text, ""));
    match word.to_ascii_uppercase().as_str() {
        "-" | "STDIO" => stdio(keys),
        "AVPU" => avpu(&text[word.len()..]),
        "AVPU-RAW" if keys.is_empty() => Ok(Endpoint::AvpuRaw(None)),
        "JSON" if keys.is_empty() => Ok(Endpoint::Json),
        _ if text.contains('/') => file(text),
        _ => Err(unknown(text)),
    }
}

fn unknown(found: &str) -> AddressError {
    AddressError::Keyword {
        found: found.to_owned(),
        nearest: nearest(found, KEYWORDS),
    }
}

fn missing(keyword: &'static str, what: &'static str) -> AddressError {
    AddressError::Missing { keyword, what }
}

fn path_or_stdio(path: String, format: Format) -> Endpoint {
    if path == "-" {
        Endpoint::Stdio(format)
    } else {
        Endpoint::File(path, format)
    }
}

fn stdio(rest: &str) -> Result<Endpoint, AddressError> {
    let mut parts = Parts::new("STDIO", rest, false, &["size", "fps", "pace"])?;
    let raw = raw(&mut parts)?;
    let pace = parts.flag("pace")?;
    Ok(Endpoint::Stdio(Format {
        raw,
        pace,
        ..Format::default()
    }))
}

fn file(rest: &str) -> Result<Endpoint, AddressError> {
    let mut parts = Parts::new("FILE", rest, true, RAW_KEYS)?;
    let path = parts.needed_target("a path: FILE:clip.y4m")?;
    Ok(Endpoint::File(path, raw_format(&mut parts)?))
}

fn raw_format(parts: &mut Parts) -> Result<Format, AddressError> {
    Ok(Format {
        y4m: false,
        raw: raw(parts)?,
        repeat: parts.flag("loop")?,
        pace: parts.flag("pace")?,
    })
}

fn raw(parts: &mut Parts) -> Result<Option<Raw>, AddressError> {
    let size = size(parts)?;
    let fps = parts.value("fps", units::frame_rate)?;
    match (size, fps) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(AddressError::Conflict(
            "fps is for raw pictures and needs a size as well; Y4M says both itself",
        )),
        (Some(size), fps) => Ok(Some(Raw {
            size,
            fps: fps.unwrap_or(FPS_DEFAULT),
        })),
    }
}

fn size(parts: &mut Parts) -> Result<Option<PictureSize>, AddressError> {
    match parts.text("size")? {
        Some(text) => text.parse().map(Some).map_err(AddressError::Size),
        None => Ok(None),
    }
}

fn test(rest: &str) -> Result<Endpoint, AddressError> {
    let mut parts = Parts::new("TEST", rest, false, TEST_KEYS)?;
    let size = size(&mut parts)?.ok_or(missing("TEST", "a size: TEST:size=1280x720"))?;
    let fps = parts
        .value("fps", units::frame_rate)?
        .unwrap_or(FPS_DEFAULT);
    let frames = parts.value("frames", |text| units::number(text, 1, u64::MAX))?;
    let pace = parts.flag("pace")?;
    Ok(Endpoint::Test(Pattern {
        size,
        fps,
        frames,
        pace,
    }))
}

fn socket_stream(keyword: &'static str, rest: &str) -> Result<(String, Format), AddressError> {
    let mut parts = Parts::new(keyword, rest, true, STREAM_KEYS)?;
    let path = parts.needed_target("the path of a socket")?;
    let raw = raw(&mut parts)?;
    Ok((
        path,
        Format {
            raw,
            ..Format::default()
        },
    ))
}

fn avpu(rest: &str) -> Result<Endpoint, AddressError> {
    let mut parts = Parts::new("AVPU", rest, true, AVPU_KEYS)?;
    let socket = parts.target();
    let name = parts.value("name", name)?.unwrap_or_default();
    let rate_control = rate_control(&mut parts)?;
    let gop = parts.value("gop", GopLength::parse)?;
    let profile = parts.value("profile", profile)?.unwrap_or_default();
    let class = parts.value("class", class)?.unwrap_or_default();
    let weight = parts
        .value("weight", |text| units::number(text, 1, 100))?
        .unwrap_or(0);
    let overload = parts.value("overload", overload)?.unwrap_or_default();
    let deadline_ms = parts
        .value("deadline", |text| units::number(text, 1, DEADLINE_MS_MAX))?
        .unwrap_or(0);
    let mut bytes = |key| {
        let value = parts.value(key, |text| units::number(text, 1, u64::from(u32::MAX)))?;
        Ok(value.map_or(0, |value| u32::try_from(value).unwrap_or(u32::MAX)))
    };
    let preroll_bytes = bytes("preroll")?;
    let picture_bytes_max = bytes("picturemax")?;
    let ring_bytes = bytes("ring")?;
    let ip_qp_delta = parts.value("ipdelta", |text| units::number(text, 0, 10))?;
    let keys = ChannelKeys {
        name,
        rate_control,
        gop,
        profile,
        class,
        weight: u16::try_from(weight).unwrap_or(0),
        overload,
        deadline_us: u32::try_from(deadline_ms * 1000).unwrap_or(0),
        preroll_bytes,
        fps_out: parts.value("fpsout", units::frame_rate)?,
        ip_qp_delta: ip_qp_delta.map(|steps| u8::try_from(steps).unwrap_or(10)),
        picture_bytes_max,
        ring_bytes,
        delimiters: parts.flag("delimiters")?,
        full_range: parts.flag("fullrange")?,
        filler: filler(&mut parts, rate_control)?,
    };
    Ok(Endpoint::Avpu(socket, keys))
}

fn filler(parts: &mut Parts, control: RateControl) -> Result<bool, AddressError> {
    let is_asked = parts.flag("filler")?;
    if is_asked && !matches!(control, RateControl::Cbr { .. }) {
        return Err(AddressError::Conflict(
            "filler is for rc=cbr; other rates are not kept where pictures do not need them",
        ));
    }
    Ok(is_asked)
}

/// Constant bitrate where a bitrate is given, constant QP otherwise; or what `rc` says.
fn rate_control(parts: &mut Parts) -> Result<RateControl, AddressError> {
    let bitrate = parts.value("bitrate", units::bitrate_bps)?;
    let mut qp = |key| {
        let value = parts.value(key, |text| units::number(text, 1, 51))?;
        Ok(value.map(|qp| u8::try_from(qp).unwrap_or(51)))
    };
    let (fixed, low, high) = (qp("qp")?, qp("qpmin")?, qp("qpmax")?);
    let max = parts.value("max", units::bitrate_bps)?;
    let psnr_cdb = parts.value("psnr", units::psnr_cdb)?;
    let conflict = |sentence| Err(AddressError::Conflict(sentence));
    let default = if bitrate.is_none() { "fixqp" } else { "cbr" };
    let mode = parts.value("rc", mode)?.unwrap_or(default);
    if max.is_some() && !matches!(mode, "vbr" | "capped-vbr") {
        return conflict("max is for rc=vbr and rc=capped-vbr; for others bitrate is the most");
    }
    if psnr_cdb.is_some() && !mode.starts_with("capped") {
        return conflict("psnr is for rc=capped-vbr and rc=capped-quality");
    }
    if mode == "fixqp" {
        return match (bitrate, low.or(high)) {
            (Some(_), _) => conflict("rc=fixqp has no bitrate"),
            (_, Some(_)) => conflict("qpmin and qpmax bound a bitrate's QP; a constant one is qp"),
            _ => Ok(RateControl::FixQp {
                qp: fixed.unwrap_or(QP_DEFAULT),
            }),
        };
    }
    let Some(bitrate_bps) = bitrate else {
        return conflict("every rc but fixqp needs a bitrate: bitrate=2M");
    };
    if fixed.is_some() {
        return conflict("qp is for rc=fixqp; with a bitrate it is qpmin and qpmax");
    }
    let (qp_min, qp_max) = (low.unwrap_or(0), high.unwrap_or(0));
    if qp_max != 0 && qp_min > qp_max {
        return conflict("qpmin is above qpmax");
    }
    let bitrate_max_bps = max.unwrap_or(0);
    let psnr_cdb = psnr_cdb.unwrap_or(0);
    Ok(match mode {
        "vbr" => RateControl::Vbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
        },
        "capped-vbr" => RateControl::CappedVbr {
            bitrate_bps,
            bitrate_max_bps,
            qp_min,
            qp_max,
            psnr_max_cdb: psnr_cdb,
        },
        "capped-quality" => RateControl::CappedQuality {
            bitrate_max_bps: bitrate_bps,
            qp_min,
            qp_max,
            psnr_cdb,
        },
        _ => RateControl::Cbr {
            bitrate_bps,
            qp_min,
            qp_max,
        },
    })
}

/// The word for a mode of rate control, as it is written here.
fn mode(text: &str) -> Result<&'static str, ValueError> {
    let word = text.to_ascii_lowercase();
    let mut words = ["fixqp", "cbr", "vbr", "capped-vbr", "capped-quality"].into_iter();
    words.find(|known| *known == word).ok_or(ValueError::Form {
        expected: "fixqp, cbr, vbr, capped-vbr or capped-quality",
        found: text.to_owned(),
    })
}

fn name(text: &str) -> Result<String, ValueError> {
    if text.len() > NAME_LEN_MAX {
        return Err(ValueError::Form {
            expected: "a name of at most 32 bytes",
            found: text.to_owned(),
        });
    }
    Ok(text.to_owned())
}

fn profile(text: &str) -> Result<Profile, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "high" => Ok(Profile::High),
        "main" => Ok(Profile::Main),
        "baseline" => Ok(Profile::Baseline),
        _ => Err(ValueError::Form {
            expected: "high, main or baseline",
            found: text.to_owned(),
        }),
    }
}

fn class(text: &str) -> Result<Class, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "live" => Ok(Class::Live),
        "record" => Ok(Class::Record),
        "snapshot" => Ok(Class::Snapshot),
        "besteffort" | "best-effort" => Ok(Class::BestEffort),
        _ => Err(ValueError::Form {
            expected: "live, record, snapshot or besteffort",
            found: text.to_owned(),
        }),
    }
}

fn overload(text: &str) -> Result<Overload, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Ok(Overload::Reject),
        // As avpuctl has them, too.
        "oldest" | "drop-oldest" => Ok(Overload::DropOldest),
        "newest" | "drop-newest" => Ok(Overload::DropNewest),
        "latest" | "latest-only" => Ok(Overload::LatestOnly),
        "wait" => Ok(Overload::Wait),
        _ => Err(ValueError::Form {
            expected: "reject, oldest, newest, latest or wait",
            found: text.to_owned(),
        }),
    }
}

fn avpu_sub(rest: &str) -> Result<Endpoint, AddressError> {
    let mut parts = Parts::new("AVPU-SUB", rest, true, SUB_KEYS)?;
    let socket = parts.target();
    let channel = parts
        .value("channel", name)?
        .ok_or(missing("AVPU-SUB", "a channel: AVPU-SUB:,channel=main"))?;
    let join = parts.value("join", join)?.unwrap_or_default();
    Ok(Endpoint::AvpuSub(socket, WatchKeys { channel, join }))
}

fn join(text: &str) -> Result<Join, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "last" => Ok(Join::LastIdr),
        "next" => Ok(Join::NextIdr),
        "demand" => Ok(Join::DemandIdr),
        _ => Err(ValueError::Form {
            expected: "last, next or demand",
            found: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
