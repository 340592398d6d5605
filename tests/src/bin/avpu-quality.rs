//! How well and how fast the model's encoder works: PSNR at a fixed QP, speed, and bitrate against x264.
//!
//! `avpu-quality [CLIP]` decodes the clip with ffmpeg, scales it to 1280x720 and encodes it in groups of 50 pictures.
//! Without a clip it takes the street clip of the shared test material. Speed is that of one thread, by the
//! processor time it took where the system tells it, so that a busy machine does not look like a slow encoder; the best
//! of three runs. Everything but two lines is of the High profile.

use avpu_model::avc::{Encoder, Frame, Nv12View, PictureParams, SliceKind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[path = "../../../avpud/model/tests/stream/mod.rs"]
#[allow(dead_code, reason = "shared with the encoder's own tests")]
mod stream;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const MB_WIDTH: u16 = 80;
const MB_HEIGHT: u16 = 45;
const FRAME_BYTES: usize = WIDTH * HEIGHT * 3 / 2;
const GOP: usize = 50;
const FPS: f64 = 25.0;

/// Parameters of a profile by size in macroblocks, slice type and QP.
type Profile = fn(u16, u16, SliceKind, u8) -> PictureParams;

/// One encoding of the whole clip.
#[derive(Clone, Copy, Debug)]
struct Point {
    kbps: f64,
    /// Luma, averaged over pictures, in dB.
    psnr: f64,
}

fn main() -> ExitCode {
    let clip = std::env::args().nth(1).unwrap_or_else(|| {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/clips/street-1920x1080p25.h264"
        )
        .into()
    });
    if !std::path::Path::new(&clip).exists() {
        println!("SKIPPED: there is no clip at {clip}");
        return ExitCode::SUCCESS;
    }
    let scale = format!("scale={WIDTH}:{HEIGHT}");
    let arguments = [
        "-v", "error", "-i", &clip, "-vf", &scale, "-pix_fmt", "nv12", "-f", "rawvideo", "-",
    ];
    let Some((video, _)) = stream::run("ffmpeg", &arguments, &[]) else {
        println!("SKIPPED: ffmpeg is not installed");
        return ExitCode::SUCCESS;
    };
    let count = video.len() / FRAME_BYTES;
    println!("{count} pictures of {WIDTH}x{HEIGHT}, groups of {GOP}, one thread");

    let (at_26, time) = best_of_three(&video, 26, PictureParams::product);
    report_speed("at QP 26", 26, count, at_26, time);
    let others: [(&str, Profile); 2] = [
        ("Main at QP 26", PictureParams::main),
        ("Baseline at QP 26", PictureParams::baseline),
    ];
    for (what, profile) in others {
        let (point, time) = best_of_three(&video, 26, profile);
        report_speed(what, 26, count, point, time);
    }
    let qp = (20..=51)
        .find(|&qp| encode(&video, qp, PictureParams::product).0.kbps <= 2000.0)
        .unwrap_or(51);
    let (point, time) = best_of_three(&video, qp, PictureParams::product);
    report_speed("at about 2 Mbit/s", qp, count, point, time);

    let ours: Vec<_> = [22, 26, 30, 34]
        .map(|qp| encode(&video, qp, PictureParams::product).0)
        .into();
    let theirs: Option<Vec<_>> = [20, 25, 30, 35]
        .map(|qp| x264(&video, qp))
        .into_iter()
        .collect();
    let Some(theirs) = theirs else {
        println!("SKIPPED: the comparison: this ffmpeg has no libx264");
        return ExitCode::SUCCESS;
    };
    for (name, points) in [("model", &ours), ("x264 ultrafast", &theirs)] {
        for point in points {
            println!(
                "{name:>15}: {:8.1} kbit/s {:6.2} dB",
                point.kbps, point.psnr
            );
        }
    }
    let logs: Vec<f64> = ours
        .iter()
        .filter_map(|point| Some((point.kbps / rate_at(&theirs, point.psnr)?).ln()))
        .collect();
    let mean = logs.iter().sum::<f64>() / f64::from(u32::try_from(logs.len()).unwrap_or(1));
    println!(
        "bitrate at equal luma PSNR: {:.3} of x264 ultrafast (mean of {} points)",
        mean.exp(),
        logs.len()
    );
    let passed = at_26.psnr >= 36.0 && !logs.is_empty() && mean.exp() <= 1.3;
    println!("{}", if passed { "PASS" } else { "FAIL" });
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report_speed(what: &str, qp: u8, count: usize, point: Point, time: Duration) {
    let pictures = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let fps = pictures / time.as_secs_f64();
    println!(
        "{what}: QP {qp}, {:.1} kbit/s, {:.2} dB, {fps:.1} fps, {:.0} macroblocks/s",
        point.kbps,
        point.psnr,
        fps * f64::from(MB_WIDTH) * f64::from(MB_HEIGHT)
    );
}

fn best_of_three(video: &[u8], qp: u8, profile: Profile) -> (Point, Duration) {
    let runs = [(); 3].map(|()| encode(video, qp, profile));
    (
        runs[0].0,
        runs.iter().map(|run| run.1).min().unwrap_or_default(),
    )
}

fn view(picture: &[u8]) -> Nv12View<'_> {
    let (luma, chroma) = picture.split_at(WIDTH * HEIGHT);
    Nv12View {
        luma,
        luma_stride: WIDTH,
        chroma,
        chroma_stride: WIDTH,
    }
}

fn encode(video: &[u8], qp: u8, profile: Profile) -> (Point, Duration) {
    let mut encoder = Encoder::new(MB_WIDTH, MB_HEIGHT);
    let mut recon = Frame::new(MB_WIDTH, MB_HEIGHT);
    let mut reference = Frame::new(MB_WIDTH, MB_HEIGHT);
    let mut payload = Vec::new();
    let (mut bytes, mut psnr, mut count) = (0, 0.0, 0.0);
    let start = Stopwatch::start();
    for (index, picture) in video.chunks_exact(FRAME_BYTES).enumerate() {
        let kind = if index % GOP == 0 {
            SliceKind::I
        } else {
            SliceKind::P
        };
        let params = profile(MB_WIDTH, MB_HEIGHT, kind, qp);
        payload.clear();
        let stats = encoder
            .encode(
                &params,
                &view(picture),
                Some(&reference),
                &mut recon,
                &mut payload,
            )
            .expect("the parameters are the product's");
        bytes += stats.payload_bytes + if index % GOP == 0 { 62 } else { 10 };
        psnr += decibels(stats.sse_luma);
        count += 1.0;
        std::mem::swap(&mut recon, &mut reference);
    }
    let time = start.elapsed();
    (
        Point {
            kbps: f64::from(bytes) * 8.0 / 1000.0 * FPS / count,
            psnr: psnr / count,
        },
        time,
    )
}

/// Time of this thread on a processor, or elapsed time where the system does not say.
struct Stopwatch {
    on_processor: Option<Duration>,
    begun: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            on_processor: on_processor(),
            begun: Instant::now(),
        }
    }

    fn elapsed(&self) -> Duration {
        match (self.on_processor, on_processor()) {
            (Some(start), Some(now)) => now.saturating_sub(start),
            _ => self.begun.elapsed(),
        }
    }
}

/// The first figure of the scheduler's statistics of a thread is its time on a processor in nanoseconds.
fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(
        text.split_whitespace().next()?.parse().ok()?,
    ))
}

fn x264(video: &[u8], qp: u8) -> Option<Point> {
    let (size, qp) = (format!("{WIDTH}x{HEIGHT}"), qp.to_string());
    let arguments = [
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "nv12",
        "-s",
        &size,
        "-r",
        "25",
        "-i",
        "-",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "psnr",
        "-g",
        "50",
        "-bf",
        "0",
        "-qp",
        &qp,
        "-pix_fmt",
        "yuv420p",
        "-f",
        "h264",
        "-",
    ];
    let encoders = stream::run("ffmpeg", &["-v", "error", "-encoders"], &[])?.0;
    if !String::from_utf8_lossy(&encoders).contains("libx264") {
        return None;
    }
    let (bitstream, _) = stream::run("ffmpeg", &arguments, video)?;
    let decoded = stream::decode(&bitstream)?;
    let pairs = video
        .chunks_exact(FRAME_BYTES)
        .zip(decoded.chunks_exact(FRAME_BYTES));
    let (mut psnr, mut count) = (0.0, 0.0);
    for (a, b) in pairs {
        let luma = a[..WIDTH * HEIGHT].iter().zip(b);
        psnr += decibels(luma.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum());
        count += 1.0;
    }
    let bytes = f64::from(u32::try_from(bitstream.len()).ok()?);
    Some(Point {
        kbps: bytes * 8.0 / 1000.0 * FPS / count,
        psnr: psnr / count,
    })
}

fn decibels(sse: u64) -> f64 {
    let samples = f64::from(u32::try_from(WIDTH * HEIGHT).unwrap_or(u32::MAX));
    10.0 * (255.0 * 255.0 * samples / (sse.max(1) as f64)).log10()
}

/// Bitrate of a curve at a PSNR, interpolated in the logarithm; `None` outside the curve.
fn rate_at(curve: &[Point], psnr: f64) -> Option<f64> {
    curve.windows(2).find_map(|pair| {
        let (high, low) = (pair[0], pair[1]);
        (low.psnr..=high.psnr).contains(&psnr).then(|| {
            let part = (psnr - low.psnr) / (high.psnr - low.psnr);
            (low.kbps.ln() + part * (high.kbps.ln() - low.kbps.ln())).exp()
        })
    })
}
