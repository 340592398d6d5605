//! The lines of a vector file.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// A parsed line.
#[derive(Clone, Debug)]
pub enum Line {
    /// Begins a channel.
    Config(Box<Config>),
    /// A picture of the channel before it.
    Frame(Box<Frame>),
}

/// Where a recording comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A camera: every bit counts.
    Camera,
    /// A simulated device: some bits are known to be off.
    Simulated,
}

/// A `config` line.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it comes from.
    pub source: Source,
    /// The codec, if given; `avc` otherwise.
    pub codec: String,
    /// Its name.
    pub name: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frame rate, numerator.
    pub fps_num: u32,
    /// Frame rate, denominator.
    pub fps_den: u32,
    /// Target in bits per second; 0 when not given.
    pub bitrate: u32,
    /// Highest rate in bits per second.
    pub max_bitrate: u32,
    /// Pictures from one IDR to the next.
    pub gop_length: u32,
    /// `cbr`, `vbr` or `fixqp`.
    pub rate_control: String,
    /// Finest quantiser.
    pub min_qp: u32,
    /// Coarsest quantiser.
    pub max_qp: u32,
    /// `profile_idc`.
    pub profile: u32,
    /// Whether entropy coding is arithmetic.
    pub is_cabac: bool,
    /// `idr_pic_id` of all IDR pictures.
    pub idr_pic_id: u32,
    /// Length of a stream buffer, if given.
    pub stream_len_bytes: Option<u32>,
    /// Register writes when the device was opened, if given.
    pub init_writes: Option<Vec<Write>>,
    /// Checksums and bytes of parameter buffers, if given.
    pub tables: Tables,
}

/// What a config line says of the parameter buffers.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// SHA-256 of the start of EP1, and how many bytes that is.
    pub ep1: Option<(String, usize)>,
    /// First bytes of EP2, in hex.
    pub ep2: Option<String>,
    /// SHA-256 of the start of each EP3 bank.
    pub ep3: Option<Vec<String>>,
}

/// A `frame` line.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Index in the group of pictures, if given.
    pub index: Option<u32>,
    /// Whether it is an IDR, if given.
    pub is_idr: Option<bool>,
    /// Quantiser, if given.
    pub qp: Option<u32>,
    /// Quantiser of the group's IDR, if given.
    pub gop_qp: Option<u32>,
    /// Target word of an IDR, if given.
    pub idr_target: Option<u32>,
    /// `idr_pic_id`, where it differs from the config's.
    pub idr_pic_id: Option<u32>,
    /// Buffers.
    pub buffers: Buffers,
    /// The recorded list.
    pub words: [u32; 128],
    /// Register writes, if given.
    pub writes: Option<Vec<Write>>,
    /// Bytes before the slice data, in hex, if given.
    pub header_hex: Option<String>,
}

/// Physical addresses of a picture's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// Source luma.
    pub source_luma: u32,
    /// Source chroma, if given.
    pub source_chroma: Option<u32>,
    /// Reconstruction.
    pub reconstruction: u32,
    /// Reference; 0 for an IDR.
    pub reference: u32,
    /// EP1, row table and EP2.
    pub intermediate: u32,
    /// EP2.
    pub ep2: u32,
    /// Bank of EP3; 0 when there is none.
    pub ep3: u32,
    /// The command list itself; 0 when not given.
    pub list: u32,
    /// Stream buffer.
    pub stream: u32,
}

/// A register write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Register id.
    pub reg: u32,
    /// Value.
    pub value: u32,
}

/// A line that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// What was expected and found.
    pub message: String,
    /// Whether frames after it have lost their config.
    pub loses_config: bool,
}

type Result<T> = std::result::Result<T, LineError>;

/// Keys that are used, and keys that describe how a recording was made and are not needed.
const CONFIG_KEYS: &[&str] = &[
    "type",
    "source",
    "codec",
    "name",
    "width",
    "height",
    "fps_num",
    "fps_den",
    "bitrate",
    "max_bitrate",
    "gop_length",
    "rate_control",
    "min_qp",
    "max_qp",
    "profile",
    "cabac",
    "idr_pic_id",
    "sizes",
    "init_writes",
    "ep1_init_sha256",
    "ep1_init_len",
    "ep2_init_hex",
    "ep3_init_sha256",
    // Not needed:
    "initial_qp",
    "stream_buffer_count",
    "stream_buffer_size_arg",
    "arena_base",
    "arena_size",
    "frames",
    "actions",
    "payload_pattern",
    "allocs",
    "src_phys",
    "src_size",
    "init_events",
    "interm",
];
const FRAME_KEYS: &[&str] = &[
    "type",
    "name",
    "n",
    "is_idr",
    "qp",
    "gop_qp",
    "w15_idr",
    "idr_pic_id",
    "bufs",
    "cl",
    "writes",
    "header_hex",
    // Not needed:
    "time",
    "frame",
    "actions_before",
    "cl_index",
    "header_len",
    "stage_off",
    "stage_hex",
    "stage_is_mirror",
    "events",
    "payload_size",
    "au_len",
    "au_first64_hex",
    "au_equals_header_plus_payload",
];
const BUFFER_KEYS: &[&str] = &[
    "src_y", "src_uv", "rec", "ref", "interm", "ep2", "ep3", "cl_entry", "stream",
];
const SIZE_KEYS: &[&str] = &[
    "stream",
    "cl_entry",
    "cl_ring",
    "cl_entries",
    "interm",
    "rec",
    "ref",
    "ep3",
    "ep3_bank",
    "src",
];

/// Parses a line; keys it does not know are added to `unknown`.
pub fn parse(line: &str, unknown: &mut BTreeSet<String>) -> Result<Line> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| lost(refuse(format!("expected a json object, found: {error}"))))?;
    let Value::Object(map) = value else {
        return Err(refuse(
            "expected a json object, found another json value".to_owned(),
        ));
    };
    match text(&map, "type")?.as_str() {
        "config" => {
            note_unknown(&map, "config", CONFIG_KEYS, unknown);
            config(&map, unknown)
                .map(|config| Line::Config(Box::new(config)))
                .map_err(lost)
        }
        "frame" => {
            note_unknown(&map, "frame", FRAME_KEYS, unknown);
            frame(&map, unknown).map(|frame| Line::Frame(Box::new(frame)))
        }
        other => Err(refuse(format!(
            "expected type config or frame, found {other:?}"
        ))),
    }
}

fn config(map: &Map<String, Value>, unknown: &mut BTreeSet<String>) -> Result<Config> {
    let source = match text(map, "source")?.as_str() {
        "camera" => Source::Camera,
        "simulated" => Source::Simulated,
        other => {
            return Err(refuse(format!(
                "expected source camera or simulated, found {other:?}"
            )));
        }
    };
    let rate_control = text(map, "rate_control")?;
    let is_fixed = rate_control == "fixqp";
    let bitrate = if is_fixed {
        number_or(map, "bitrate", 0)?
    } else {
        number(map, "bitrate")?
    };
    let stream_len_bytes = match given(map, "sizes") {
        None => None,
        Some(Value::Object(sizes)) => {
            note_unknown(sizes, "sizes", SIZE_KEYS, unknown);
            optional(sizes, "stream")?
        }
        Some(_) => return Err(refuse("expected sizes to be an object".to_owned())),
    };
    let limit = |key, fixed| {
        if is_fixed {
            number_or(map, key, fixed)
        } else {
            number(map, key)
        }
    };
    Ok(Config {
        source,
        codec: optional_text(map, "codec")?.unwrap_or_else(|| "avc".to_owned()),
        name: text(map, "name")?,
        width: number(map, "width")?,
        height: number(map, "height")?,
        fps_num: number(map, "fps_num")?,
        fps_den: number_or(map, "fps_den", 1)?,
        bitrate,
        max_bitrate: number_or(map, "max_bitrate", bitrate)?,
        gop_length: limit("gop_length", 1)?,
        rate_control,
        min_qp: limit("min_qp", 0)?,
        max_qp: limit("max_qp", 51)?,
        profile: number(map, "profile")?,
        is_cabac: boolean(map, "cabac")?,
        idr_pic_id: number_or(map, "idr_pic_id", 0)?,
        stream_len_bytes,
        init_writes: writes(map, "init_writes")?,
        tables: tables(map)?,
    })
}

fn tables(map: &Map<String, Value>) -> Result<Tables> {
    let ep1 = match optional_text(map, "ep1_init_sha256")? {
        None => None,
        Some(sum) => {
            let len = number(map, "ep1_init_len")?;
            let len = usize::try_from(len).map_err(|_| refuse("ep1_init_len".to_owned()))?;
            Some((sum, len))
        }
    };
    let ep3 = match given(map, "ep3_init_sha256") {
        None => None,
        Some(Value::Array(sums)) => {
            let sums: Option<Vec<String>> = sums
                .iter()
                .map(|sum| sum.as_str().map(str::to_owned))
                .collect();
            Some(sums.ok_or_else(|| {
                refuse("expected ep3_init_sha256 to be an array of strings".to_owned())
            })?)
        }
        Some(_) => return Err(refuse("expected ep3_init_sha256 to be an array".to_owned())),
    };
    Ok(Tables {
        ep1,
        ep2: optional_text(map, "ep2_init_hex")?,
        ep3,
    })
}

fn frame(map: &Map<String, Value>, unknown: &mut BTreeSet<String>) -> Result<Frame> {
    let Some(Value::Object(bufs)) = given(map, "bufs") else {
        return Err(refuse("expected bufs to be an object".to_owned()));
    };
    note_unknown(bufs, "bufs", BUFFER_KEYS, unknown);
    let buffers = Buffers {
        source_luma: number(bufs, "src_y")?,
        source_chroma: optional(bufs, "src_uv")?,
        reconstruction: number(bufs, "rec")?,
        reference: number_or(bufs, "ref", 0)?,
        intermediate: number(bufs, "interm")?,
        ep2: number(bufs, "ep2")?,
        ep3: number_or(bufs, "ep3", 0)?,
        list: number_or(bufs, "cl_entry", 0)?,
        stream: number(bufs, "stream")?,
    };
    let Some(Value::Array(list)) = given(map, "cl") else {
        return Err(refuse("expected cl to be an array of 128 words".to_owned()));
    };
    let words: Vec<u32> = list
        .iter()
        .map(|word| word_of(word, "cl"))
        .collect::<Result<_>>()?;
    let words = <[u32; 128]>::try_from(words)
        .map_err(|words| refuse(format!("expected 128 words in cl, found {}", words.len())))?;
    let is_idr = match given(map, "is_idr") {
        None => None,
        Some(_) => Some(boolean(map, "is_idr")?),
    };
    Ok(Frame {
        index: optional(map, "n")?,
        is_idr,
        qp: optional(map, "qp")?,
        gop_qp: optional(map, "gop_qp")?,
        idr_target: optional(map, "w15_idr")?,
        idr_pic_id: optional(map, "idr_pic_id")?,
        buffers,
        words,
        writes: writes(map, "writes")?,
        header_hex: optional_text(map, "header_hex")?,
    })
}

fn writes(map: &Map<String, Value>, key: &str) -> Result<Option<Vec<Write>>> {
    let list = match given(map, key) {
        None => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(refuse(format!("expected {key} to be an array"))),
    };
    let mut writes = Vec::new();
    for entry in list {
        match entry.as_array().map(Vec::as_slice) {
            Some([reg, value]) => {
                writes.push(Write {
                    reg: integer(reg, key)?,
                    value: integer(value, key)?,
                });
            }
            _ => {
                return Err(refuse(format!(
                    "expected pairs of register and value in {key}"
                )));
            }
        }
    }
    Ok(Some(writes))
}

fn note_unknown(
    map: &Map<String, Value>,
    place: &str,
    known: &[&str],
    unknown: &mut BTreeSet<String>,
) {
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        unknown.insert(format!("{place}: {key}"));
    }
}

/// A key's value, unless it is missing or null.
fn given<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|value| !value.is_null())
}

fn number(map: &Map<String, Value>, key: &str) -> Result<u32> {
    optional(map, key)?.ok_or_else(|| refuse(format!("expected a number in {key}, found none")))
}

fn number_or(map: &Map<String, Value>, key: &str, default: u32) -> Result<u32> {
    Ok(optional(map, key)?.unwrap_or(default))
}

fn optional(map: &Map<String, Value>, key: &str) -> Result<Option<u32>> {
    given(map, key).map(|value| integer(value, key)).transpose()
}

/// A JSON number, or a string that holds a decimal number or `0x` and a hexadecimal one.
fn integer(value: &Value, key: &str) -> Result<u32> {
    let parsed = match value {
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    parsed.ok_or_else(|| refuse(format!("expected a 32-bit number in {key}, found {value}")))
}

/// A command list word: eight hexadecimal digits, with or without `0x`.
fn word_of(value: &Value, key: &str) -> Result<u32> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
        .ok_or_else(|| {
            refuse(format!(
                "expected a hexadecimal word in {key}, found {value}"
            ))
        })
}

fn boolean(map: &Map<String, Value>, key: &str) -> Result<bool> {
    match given(map, key) {
        Some(Value::Bool(value)) => Ok(*value),
        Some(value) if value.as_u64() == Some(0) => Ok(false),
        Some(value) if value.as_u64() == Some(1) => Ok(true),
        Some(value) => Err(refuse(format!("expected 0 or 1 in {key}, found {value}"))),
        None => Err(refuse(format!("expected 0 or 1 in {key}, found none"))),
    }
}

fn text(map: &Map<String, Value>, key: &str) -> Result<String> {
    optional_text(map, key)?
        .ok_or_else(|| refuse(format!("expected a string in {key}, found none")))
}

fn optional_text(map: &Map<String, Value>, key: &str) -> Result<Option<String>> {
    match given(map, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(value) => Err(refuse(format!("expected a string in {key}, found {value}"))),
    }
}

fn refuse(message: String) -> LineError {
    LineError {
        message,
        loses_config: false,
    }
}

/// The error of a line after which nobody knows what channel frames belong to.
fn lost(error: LineError) -> LineError {
    LineError {
        loses_config: true,
        ..error
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LineError {}
