//! The daemon's headers around the model's slice data, as decoders see them.

use std::num::NonZeroU32;
use std::process::Command;

use avpu_model::avc::{Encoder, Frame, Nv12View, PictureParams, SliceKind};
use avpu_tests::process;
use avpu_tests::skip::ffmpeg_or_skip;
use avpud::codec::avc::Headers;
use avpud::codec::gop::Gop;
use avpud::codec::join::join;
use avpud::picture::{
    BitRate, ChannelSetup, Coding, FrameRate, Geometry, PictureKind, PictureSize, Qp, QpRange,
    RateControl, RateTuning, StreamCount,
};

struct Stream {
    bytes: Vec<u8>,
    /// Visible luma of every reconstruction.
    luma: Vec<Vec<u8>>,
}

fn setup(width: u32, height: u32, gop_length: u32) -> ChannelSetup {
    ChannelSetup {
        geometry: Geometry::new(PictureSize::new(width, height).expect("a size")),
        frame_rate: FrameRate::new(25, 1).expect("a frame rate"),
        coding: Coding::HIGH_CABAC,
        rate_control: RateControl::Cbr {
            target: BitRate::new(2_000_000).expect("a rate"),
            range: QpRange::ALL,
        },
        rate_tuning: RateTuning::default(),
        gop_length: NonZeroU32::new(gop_length).expect("a length"),
        stream_count: StreamCount::TWO,
    }
}

/// Encodes moving gradients; the picture at `forced` is an IDR whatever the group says.
fn encode(setup: &ChannelSetup, count: u32, forced: Option<u32>) -> Stream {
    let coded = setup.geometry.coded();
    let visible = setup.geometry.visible();
    let side = |pixels: u32| usize::try_from(pixels).expect("a side");
    let columns = u16::try_from(coded.mb_columns()).expect("a side");
    let rows = u16::try_from(coded.mb_rows()).expect("a side");
    let headers = Headers::new(setup, 0).expect("headers");
    let mut gop = Gop::new(setup.gop_length);
    let mut encoder = Encoder::new(columns, rows);
    let (mut recon, mut reference) = (Frame::new(columns, rows), Frame::new(columns, rows));
    let stride = usize::from(columns) * 16;
    let height = usize::from(rows) * 16;
    let mut stream = Stream {
        bytes: Vec::new(),
        luma: Vec::new(),
    };
    for time in 0..count {
        if forced == Some(time) {
            gop.force_idr();
        }
        let shift = side(time) * 3;
        let sample = |x: usize, y: usize| ((x + shift) * (y / 8 + 3) / 7 % 256).to_le_bytes()[0];
        let luma: Vec<u8> = (0..stride * height)
            .map(|place| sample(place % stride, place / stride))
            .collect();
        let chroma: Vec<u8> = (0..stride * height / 2)
            .map(|place| sample(place, 90))
            .collect();
        let source = Nv12View {
            luma: &luma,
            luma_stride: stride,
            chroma: &chroma,
            chroma_stride: stride,
        };
        let quantiser = Qp::new(24 + time * 5 % 17).expect("a quantiser");
        let place = gop.start(quantiser);
        gop.handle_encoded();
        let kind = match place.kind {
            PictureKind::Idr => SliceKind::I,
            PictureKind::P => SliceKind::P,
        };
        let params = PictureParams::product(columns, rows, kind, quantiser.value());
        let mut payload = Vec::new();
        encoder
            .encode(&params, &source, Some(&reference), &mut recon, &mut payload)
            .expect("legal parameters");
        let header = headers.picture(place, quantiser).expect("a header");
        let len = u32::try_from(payload.len()).expect("short");
        join::<()>(
            header.bytes(),
            len,
            |offset, data| {
                let start = side(offset);
                data.copy_from_slice(&payload[start..start + data.len()]);
                Ok(())
            },
            |bytes| {
                stream.bytes.extend_from_slice(bytes);
                Ok(())
            },
        )
        .expect("memory");
        let lines = recon
            .luma()
            .chunks(recon.stride())
            .take(side(visible.height()));
        stream.luma.push(
            lines
                .flat_map(|line| line[..side(visible.width())].to_vec())
                .collect(),
        );
        std::mem::swap(&mut recon, &mut reference);
    }
    stream
}

/// Runs a program on the stream; what it says on its output, and on its error output.
fn run(program: &str, arguments: &[&str], stream: &[u8]) -> (Vec<u8>, String) {
    let output = process::run(Command::new(program).args(arguments), stream);
    (
        output.stdout,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn decodes_to_its_reconstruction(setup: &ChannelSetup, count: u32, forced: Option<u32>) {
    let stream = encode(setup, count, forced);
    let arguments = [
        "-v",
        "warning",
        "-f",
        "h264",
        "-i",
        "-",
        "-fps_mode",
        "passthrough",
        "-pix_fmt",
        "gray",
        "-vf",
        "extractplanes=y",
        "-f",
        "rawvideo",
        "-",
    ];
    let (decoded, warnings) = run("ffmpeg", &arguments, &stream.bytes);
    assert_eq!(warnings, "", "ffmpeg has something to say");
    let len = stream.luma[0].len();
    assert_eq!(
        decoded.len(),
        len * stream.luma.len(),
        "as many pictures as were encoded"
    );
    for (index, (ours, theirs)) in stream.luma.iter().zip(decoded.chunks(len)).enumerate() {
        assert!(ours == theirs, "picture {index} differs");
    }
}

#[test]
fn streams_of_any_even_size_decode_without_a_warning_to_the_reconstruction() {
    if !ffmpeg_or_skip("decoding headers") {
        return;
    }
    for (width, height, gop_length, count) in [
        (16, 16, 1, 4),
        (176, 144, 1, 6),
        (176, 144, 4, 10),
        (178, 146, 25, 6),
        (320, 192, 25, 6),
        (640, 360, 25, 4),
        (854, 480, 25, 4),
    ] {
        decodes_to_its_reconstruction(&setup(width, height, gop_length), count, None);
    }
}

#[test]
fn a_forced_idr_inside_a_group_decodes() {
    if ffmpeg_or_skip("decoding a forced idr") {
        decodes_to_its_reconstruction(&setup(176, 144, 25), 12, Some(5));
    }
}

#[test]
fn a_group_in_which_all_counters_wrap_decodes() {
    if ffmpeg_or_skip("decoding a long group") {
        decodes_to_its_reconstruction(&setup(176, 144, 600), 620, None);
    }
}

#[test]
fn ffprobe_finds_in_the_headers_what_was_asked_for() {
    if !ffmpeg_or_skip("probing headers") {
        return;
    }
    let stream = encode(&setup(854, 478, 25), 3, None);
    let arguments = [
        "-v",
        "error",
        "-f",
        "h264",
        "-show_entries",
        "stream=profile,width,height,level,r_frame_rate,has_b_frames,refs",
        "-of",
        "default=noprint_wrappers=1",
        "-",
    ];
    let (found, warnings) = run("ffprobe", &arguments, &stream.bytes);
    assert_eq!(warnings, "");
    let found = String::from_utf8(found).expect("text");
    for line in [
        "profile=High",
        "width=854",
        "height=478",
        "level=30",
        "r_frame_rate=25/1",
        "has_b_frames=0",
        "refs=1",
    ] {
        assert!(
            found.lines().any(|other| other == line),
            "{line} is not in {found}"
        );
    }
}
