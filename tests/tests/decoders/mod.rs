//! Two independent H.264 decoders: ffmpeg as a process, and openh264 built from source.
//!
//! Both give planar 4:2:0 pictures of the visible size, one after the other, so that a stream can be compared byte by
//! byte with what the model says it reconstructed.

use avpu_tests::process;
use avpu_tests::skip::workspace_root;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use std::path::Path;
use std::process::{Command, Stdio};

/// Decodes a whole Annex B stream with ffmpeg. Anything that it says on standard error is an error.
pub(crate) fn ffmpeg(stream: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("ffmpeg");
    command
        .args([
            "-nostdin",
            "-v",
            "warning",
            "-xerror",
            "-flags",
            "+output_corrupt",
        ])
        .args(["-f", "h264", "-i", "pipe:0", "-fps_mode", "passthrough"])
        .args(["-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"]);
    fed(&mut command, stream)
}

/// What a program prints when it reads `input`; whatever it says on standard error is an error.
fn fed(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let output = process::run(command, input);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() || !complaints.is_empty() {
        return Err(format!(
            "the decoder ended with {}: {complaints}",
            output.status
        ));
    }
    Ok(output.stdout)
}

/// Decodes with openh264. It may hold pictures back, whatever the stream says of reordering: [`prompt`] is the one that
/// shows promptness.
pub(crate) fn openh264(units: &[&[u8]]) -> Result<Vec<u8>, String> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
        .map_err(|error| format!("openh264 does not start: {error}"))?;
    let mut planes = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let decoded = decoder
            .decode(unit)
            .map_err(|error| format!("unit {index}: {error}"))?;
        if let Some(picture) = decoded {
            copy_picture(&mut planes, &picture);
        }
    }
    for picture in decoder
        .flush_remaining()
        .map_err(|error| format!("at the end: {error}"))?
    {
        copy_picture(&mut planes, &picture);
    }
    Ok(planes)
}

/// Feeds libavcodec one access unit at a time; an error when a picture does not come before the next unit is due.
/// `None` where a program for that cannot be built.
pub(crate) fn prompt(units: &[&[u8]], folder: &Path) -> Option<Result<Vec<u8>, String>> {
    let source = workspace_root().join("tests/c/prompt.c");
    let program = folder.join("prompt");
    let built = Command::new("cc")
        .args(["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .args(["-lavcodec", "-lavutil"])
        .stderr(Stdio::null())
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut input = Vec::new();
    for unit in units {
        let len = u32::try_from(unit.len()).expect("access units are short");
        input.extend(len.to_le_bytes());
        input.extend(*unit);
    }
    Some(fed(&mut Command::new(&program), &input))
}

fn copy_picture(planes: &mut Vec<u8>, picture: &DecodedYUV<'_>) {
    let (width, height) = picture.dimensions();
    let (stride_y, stride_u, stride_v) = picture.strides();
    copy_plane(planes, picture.y(), stride_y, width, height);
    copy_plane(planes, picture.u(), stride_u, width / 2, height / 2);
    copy_plane(planes, picture.v(), stride_v, width / 2, height / 2);
}

fn copy_plane(into: &mut Vec<u8>, plane: &[u8], stride: usize, width: usize, height: usize) {
    for line in plane.chunks(stride).take(height) {
        into.extend_from_slice(&line[..width]);
    }
}

/// Where two pictures or sequences of them differ first, for an error message.
pub(crate) fn first_difference(found: &[u8], expected: &[u8]) -> Option<String> {
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        return Some(format!(
            "byte {at} is {}, expected {}",
            found[at], expected[at]
        ));
    }
    (found.len() != expected.len())
        .then(|| format!("{} bytes, expected {}", found.len(), expected.len()))
}
