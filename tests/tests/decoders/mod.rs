//! Two independent H.264 decoders: ffmpeg as a process, and openh264 built from source.
//!
//! Both give planar 4:2:0 pictures of the visible size, one after the other, so that a stream can be compared byte by
//! byte with what the model says it reconstructed.

#![allow(dead_code, reason = "each test program uses its part")]

use openh264::decoder::{DecodeOptions, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// Decodes a whole Annex B stream with ffmpeg. Anything that it says on standard error is an error.
pub fn ffmpeg(stream: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-xerror", "-flags", "+output_corrupt", "-f", "h264", "-i", "pipe:0"])
        .args(["-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start ffmpeg: {error}"))?;
    let mut input = child.stdin.take().ok_or("ffmpeg has no standard input")?;
    let bytes = stream.to_vec();
    // Written from a thread of its own: ffmpeg fills its output pipe long before it has read everything.
    let writer = thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().map_err(|error| format!("ffmpeg: {error}"))?;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let written = writer.join().map_err(|_| "the thread that feeds ffmpeg panicked")?;
    if !output.status.success() || !complaints.is_empty() {
        return Err(format!("ffmpeg ended with {}: {complaints}", output.status));
    }
    written.map_err(|error| format!("ffmpeg did not read the whole stream: {error}"))?;
    Ok(output.stdout)
}

/// A decoder that takes one access unit at a time and must give its picture before the next one is fed.
pub struct PromptDecoder {
    decoder: Decoder,
}

impl PromptDecoder {
    /// A new decoder.
    pub fn new() -> Self {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(openh264::OpenH264API::from_source(), config)
            .expect("openh264 starts");
        Self { decoder }
    }

    /// The picture of this access unit, planar; an error when the decoder holds it back.
    pub fn picture(&mut self, access_unit: &[u8]) -> Result<Vec<u8>, String> {
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let decoded = self
            .decoder
            .decode_with_options(access_unit, options)
            .map_err(|error| format!("openh264: {error}"))?
            .ok_or("expected the picture of this access unit, found that openh264 holds it back")?;
        let (width, height) = decoded.dimensions();
        let (stride_y, stride_u, stride_v) = decoded.strides();
        let mut planes = Vec::with_capacity(width * height * 3 / 2);
        copy_plane(&mut planes, decoded.y(), stride_y, width, height);
        copy_plane(&mut planes, decoded.u(), stride_u, width / 2, height / 2);
        copy_plane(&mut planes, decoded.v(), stride_v, width / 2, height / 2);
        Ok(planes)
    }
}

fn copy_plane(into: &mut Vec<u8>, plane: &[u8], stride: usize, width: usize, height: usize) {
    for line in plane.chunks(stride).take(height) {
        into.extend_from_slice(&line[..width]);
    }
}

/// Where two pictures or sequences of them differ first, for an error message.
pub fn first_difference(found: &[u8], expected: &[u8]) -> Option<String> {
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        return Some(format!("byte {at} is {}, expected {}", found[at], expected[at]));
    }
    (found.len() != expected.len())
        .then(|| format!("{} bytes, expected {}", found.len(), expected.len()))
}
