//! `avpud demo`, as a stranger types it, and whether the figures that it shows are true.

use avpu_client::source::{FrameRate, Nv12Picture, PictureSize, TestPattern};
use avpu_tests::daemon::{Scratch, program};
use avpu_tests::process::{Finish, Process};
use avpu_tests::skip::ffmpeg_or_skip;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What luma PSNR from the device's squared errors may differ from that of the decoded pictures, in dB.
const PSNR_TOLERANCE_DB: f64 = 0.01;

#[test]
fn the_demo_passes_and_its_quality_is_that_of_the_decoded_pictures() {
    let scratch = Scratch::new("demo");
    let out = scratch.path().join("out");
    let output = Command::new(program("avpud"))
        .args(["demo", "--seconds", "2", "--out"])
        .arg(&out)
        .stdin(Stdio::null())
        .finish();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{table}\n{errors}");
    assert_eq!(table.matches("PASS  ").count(), 6, "{table}");
    assert!(table.contains("ffplay "), "{table}");
    let first = table.lines().next().expect("paths are printed first");
    assert_eq!(Path::new(first), out.join("main.h264"));

    let report = fs::read(out.join("report.json")).expect("the report is there");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    assert_eq!(report["pass"], true);
    assert_eq!(report["channels"][0]["frames_in"], 50);
    assert_eq!(report["channels"][1]["packets_out"], 30);

    if !ffmpeg_or_skip("the demo's PSNR against decoded pictures") {
        return;
    }
    let sizes = [("main", 1280, 720, 25), ("sub", 640, 360, 15)];
    for (index, (name, width, height, fps)) in sizes.into_iter().enumerate() {
        let told = report["channels"][index]["psnr_luma_db"]
            .as_f64()
            .expect("the device tells its squared errors");
        let size = PictureSize::new(width, height).expect("a size");
        let seen = psnr_db(&out.join(format!("{name}.h264")), size, fps);
        assert!(
            (told - seen).abs() < PSNR_TOLERANCE_DB,
            "{name}: told {told} dB, decoded {seen} dB"
        );
    }
}

/// Luma PSNR of a stream against the pictures that the demo draws, over all of them together.
fn psnr_db(stream: &Path, size: PictureSize, fps: u32) -> f64 {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "warning", "-i"])
        .arg(stream)
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::null())
        .finish();
    let warnings = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(warnings.is_empty(), "{}: {warnings}", stream.display());
    let pattern = TestPattern::new(size, FrameRate { num: fps, den: 1 });
    let mut picture = Nv12Picture::packed(size);
    let (mut error, mut samples) = (0_u64, 0_u32);
    for (index, frame) in (0..).zip(decoded.stdout.chunks_exact(size.packed_len())) {
        pattern.draw(index, &mut picture).expect("it is drawn");
        let width = usize::from(size.width());
        for (line, decoded) in frame[..size.luma_len()].chunks_exact(width).enumerate() {
            for (a, b) in picture.luma_line(line).iter().zip(decoded) {
                error += u64::from(a.abs_diff(*b)).pow(2);
                samples += 1;
            }
        }
    }
    assert!(samples > 0, "{}: no pictures", stream.display());
    #[allow(
        clippy::cast_precision_loss,
        clippy::as_conversions,
        reason = "far below 2^53"
    )]
    let error = error as f64;
    10.0 * (255.0 * 255.0 * f64::from(samples) / error).log10()
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let scratch = Scratch::new("demo-interrupted");
    let temporary = scratch.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder can be made");
    let mut command = Command::new(program("avpud"));
    command
        .args(["demo", "--seconds", "3600", "--out"])
        .arg(scratch.path().join("out"))
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut demo = Process::start(&mut command);
    let stdout = demo.stdout().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("report.json")));
    demo.signal(Signal::SIGINT);
    let output = demo.output();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text, "avpud demo: interrupted\n");
    // It waits for its processes before it ends; the folder of their socket goes last.
    let left = fs::read_dir(&temporary)
        .expect("the folder is there")
        .count();
    assert_eq!(left, 0);
}

#[test]
fn the_demo_says_what_is_wrong_with_its_arguments() {
    let demo = |arguments: &[&str]| {
        Command::new(program("avpud"))
            .arg("demo")
            .args(arguments)
            .stdin(Stdio::null())
            .finish()
    };
    assert_eq!(demo(&["--seconds", "0"]).status.code(), Some(2));
    assert_eq!(demo(&["--help"]).status.code(), Some(0));
    let scratch = Scratch::new("demo-input");
    let out = scratch.path().join("out");
    let missing = demo(&[
        "--input",
        "/nonexistent.y4m",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(missing.status.code(), Some(1));
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(text.contains("/nonexistent.y4m"), "{text}");
}
