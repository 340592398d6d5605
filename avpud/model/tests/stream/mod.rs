//! What the host would add to the encoder's slice data, and a decoder to check it with.
//!
//! The headers here are written independently of the daemon's: both follow the standard, neither the other.

use avpu_model::avc::{Entropy, Frame, HeaderTail, PictureParams, Scaling, SliceKind};
use std::io::Write;
use std::process::{Command, Stdio};

pub(crate) mod check;
pub(crate) mod skip;

/// Bits of a header, most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn u(&mut self, value: u32, width: u32) {
        for bit in (0..width).rev() {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if value >> bit & 1 == 1 {
                *self.bytes.last_mut().expect("pushed") |= 0x80 >> (self.count % 8);
            }
            self.count += 1;
        }
    }

    fn ue(&mut self, value: u32) {
        let width = 32 - (value + 1).leading_zeros();
        self.u(0, width - 1);
        self.u(value + 1, width);
    }

    fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 {
            2 * magnitude - 1
        } else {
            2 * magnitude
        });
    }

    fn nal(mut self, kind: u8, stop: bool, out: &mut Vec<u8>) {
        if stop {
            self.u(1, 1);
        } else {
            while !self.count.is_multiple_of(8) {
                self.u(1, 1);
            }
        }
        self.unit(kind, out);
    }

    /// Writes all but the last bits, up to a byte, and gives those: two bytes and what is left over, or all of a short
    /// header.
    fn hand_over(mut self, kind: u8, out: &mut Vec<u8>) -> HeaderTail {
        let count = if self.count >= 24 {
            16 + self.count % 8
        } else {
            self.count
        };
        let kept = (self.count - count) / 8;
        let tail = self.bytes[kept..]
            .iter()
            .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let tail = tail >> ((self.bytes.len() - kept) * 8 - count);
        self.bytes.truncate(kept);
        self.unit(kind, out);
        HeaderTail {
            bits: u32::try_from(tail).expect("at most 23 bits"),
            count: u8::try_from(count).expect("at most 23 bits"),
        }
    }

    fn unit(self, kind: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0, 0, 1, kind]);
        avpu_model::avc::escape_into(&self.bytes, None, out);
    }
}

/// The least profile that allows the settings.
fn profile_idc(params: &PictureParams) -> u32 {
    let [cb, cr] = params.chroma_qp_offset;
    if params.transform_8x8 || params.scaling == Scaling::Default || cb != cr {
        100
    } else if params.entropy == Entropy::Cabac {
        77
    } else {
        66
    }
}

/// Appends the parameter sets.
pub(crate) fn parameter_sets(params: &PictureParams, out: &mut Vec<u8>) {
    let mut sps = Bits::default();
    let profile = profile_idc(params);
    sps.u(profile, 8);
    sps.u(if profile == 66 { 0xC0 } else { 0 }, 8);
    sps.u(51, 8);
    sps.ue(0);
    if profile == 100 {
        sps.ue(1);
        sps.ue(0);
        sps.ue(0);
        sps.u(0, 1);
        let matrix = params.scaling == Scaling::Default;
        sps.u(u32::from(matrix), 1);
        if matrix {
            sps.u(0, 8);
        }
    }
    sps.ue(0);
    sps.ue(0);
    sps.ue(6);
    sps.ue(1);
    sps.u(0, 1);
    sps.ue(u32::from(params.mb_width) - 1);
    sps.ue(u32::from(params.mb_height) - 1);
    sps.u(1, 1);
    sps.u(1, 1);
    let right = (u32::from(params.mb_width) * 16 - u32::from(params.display_width)) / 2;
    let bottom = (u32::from(params.mb_height) * 16 - u32::from(params.display_height)) / 2;
    sps.u(u32::from(right + bottom > 0), 1);
    if right + bottom > 0 {
        for edge in [0, right, 0, bottom] {
            sps.ue(edge);
        }
    }
    // Only the bitstream restriction: pictures are shown in coding order, so a decoder need not hold any back.
    sps.u(1, 1);
    sps.u(0, 8);
    sps.u(0b11, 2);
    for value in [0, 0, 13, 11, 0, 1] {
        sps.ue(value);
    }
    sps.nal(0x27, true, out);

    let mut pps = Bits::default();
    pps.ue(0);
    pps.ue(0);
    pps.u(u32::from(params.entropy == Entropy::Cabac), 1);
    pps.u(0, 1);
    pps.ue(0);
    pps.ue(0);
    pps.ue(0);
    pps.u(0, 3);
    pps.se(0);
    pps.se(0);
    pps.se(i32::from(params.chroma_qp_offset[0]));
    pps.u(1, 1);
    pps.u(0, 2);
    if profile == 100 {
        pps.u(u32::from(params.transform_8x8), 1);
        pps.u(0, 1);
        pps.se(i32::from(params.chroma_qp_offset[1]));
    }
    pps.nal(0x28, true, out);
}

/// Appends a slice header up to the first byte of slice data and gives the bits that are to come again there; `n`
/// counts pictures since the IDR.
pub(crate) fn slice_header(
    params: &PictureParams,
    n: u32,
    idr_pic_id: u32,
    out: &mut Vec<u8>,
) -> HeaderTail {
    let idr = n == 0;
    let mut h = Bits::default();
    h.ue(0);
    h.ue(if params.kind == SliceKind::I { 2 } else { 0 });
    h.ue(0);
    h.u(n & 15, 4);
    if idr {
        h.ue(idr_pic_id);
    }
    h.u((2 * n) & 1023, 10);
    if params.kind == SliceKind::P {
        h.u(0, 2);
    }
    h.u(0, if idr { 2 } else { 1 });
    if params.kind == SliceKind::P && params.entropy == Entropy::Cabac {
        h.ue(params.cabac_init_idc.into());
    }
    h.se(i32::from(params.qp) - 26);
    h.ue(u32::from(params.deblock.disabled));
    if !params.deblock.disabled {
        h.se(i32::from(params.deblock.alpha_offset) / 2);
        h.se(i32::from(params.deblock.beta_offset) / 2);
    }
    let unit = if idr { 0x25 } else { 0x21 };
    match params.entropy {
        Entropy::Cabac => {
            h.nal(unit, false, out);
            HeaderTail::NONE
        }
        Entropy::Cavlc => h.hand_over(unit, out),
    }
}

/// The visible part of a frame as NV12.
pub(crate) fn visible(frame: &Frame, params: &PictureParams) -> Vec<u8> {
    let (width, height) = (
        usize::from(params.display_width),
        usize::from(params.display_height),
    );
    let rows = |plane: &[u8], rows: usize| -> Vec<u8> {
        plane
            .chunks(frame.stride())
            .take(rows)
            .flat_map(|row| &row[..width])
            .copied()
            .collect()
    };
    let mut out = rows(frame.luma(), height);
    out.extend(rows(frame.chroma(), height / 2));
    out
}

/// Runs a command with `input` on its standard input; `None` if the program is not installed.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that stops reading early says why on its standard error.
            let _ = stdin.write_all(input);
        });
        child
            .wait_with_output()
            .expect("a started program can be waited for")
    });
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} failed: {errors}");
    Some((output.stdout, errors))
}

/// Decodes an Annex B stream to NV12 with ffmpeg; anything it complains about is a failure.
pub(crate) fn decode(stream: &[u8]) -> Option<Vec<u8>> {
    let arguments = [
        "-v",
        "warning",
        "-threads",
        "1",
        "-f",
        "h264",
        "-i",
        "-",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "nv12",
        "-fps_mode",
        "passthrough",
        "-",
    ];
    let (pictures, errors) = run("ffmpeg", &arguments, stream)?;
    assert!(errors.trim().is_empty(), "the decoder complained: {errors}");
    Some(pictures)
}
