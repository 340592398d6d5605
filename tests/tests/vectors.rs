//! Recorded command lists against the daemon's own, and the program that compares them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use avpu_tests::process::Finish;
use avpu_tests::skip::shared_or_skip;
use avpu_tests::vectors::compare::compare;
use avpu_tests::vectors::mask::compared_bits;
use avpu_tests::vectors::rebuild::Rebuilder;
use avpu_tests::vectors::record::{Config, Frame, Line, parse};
use avpu_tests::vectors::report::{Tally, check};

const CAMERA: &str = "vectors/avpu-cl-camera.jsonl";
const SIMULATED: &str = "vectors/avpu-cl-t31.jsonl";

fn read(what: &str, relative: &str) -> Option<String> {
    let path = shared_or_skip(what, relative)?;
    Some(fs::read_to_string(path).expect("the file can be read"))
}

fn checked(text: &str) -> (Tally, String) {
    let mut tally = Tally::default();
    let mut out = Vec::new();
    check("file", text, &mut tally, &mut out).expect("a vector takes everything");
    (tally, String::from_utf8(out).expect("text"))
}

#[test]
fn every_word_of_every_camera_recording_is_rebuilt() {
    let Some(text) = read("camera recordings", CAMERA) else {
        return;
    };
    let (tally, report) = checked(&text);
    assert!(tally.is_all_equal(), "{report}");
    assert_eq!(
        tally.to_string(),
        "words equal 2432 of 2432, frames equal 19 of 19, skipped 0"
    );
}

#[test]
fn the_simulated_recording_agrees_outside_its_known_habits() {
    let Some(text) = read("simulated recordings", SIMULATED) else {
        return;
    };
    let (tally, report) = checked(&text);
    assert!(tally.is_all_equal(), "{report}");
    assert_eq!(
        tally.to_string(),
        "words equal 760 of 760, frames equal 6 of 6, skipped 0"
    );
    // Four tables and banks and three slice headers in each of two channels, and one buffer more.
    assert!(report.contains("16 equal, 0 different"), "{report}");
}

/// Calls `each` with every picture and the state before it.
fn for_each_frame(text: &str, mut each: impl FnMut(&Config, &Rebuilder, &Frame)) {
    let mut channel: Option<(Config, Rebuilder)> = None;
    for line in text.lines() {
        match parse(line, &mut std::collections::BTreeSet::new()).expect("a good line") {
            Line::Config(config) => {
                let rebuilder = Rebuilder::new(&config).expect("a known channel");
                channel = Some((*config, rebuilder));
            }
            Line::Frame(frame) => {
                let (config, rebuilder) = channel.as_mut().expect("a config first");
                each(config, rebuilder, &frame);
                let inputs = rebuilder.inputs(&frame).expect("inputs");
                let verdict = compare(config, rebuilder, &inputs, &frame).expect("a list");
                rebuilder.advance(&inputs, verdict.qp);
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_reported_as_exactly_that_word() {
    for file in [CAMERA, SIMULATED] {
        let Some(text) = read("flipped bits", file) else {
            continue;
        };
        for_each_frame(&text, |config, rebuilder, frame| {
            let inputs = rebuilder.inputs(frame).expect("inputs");
            let is_idr = inputs.place.index == 0;
            for word in 0..128 {
                let compared = compared_bits(config, word, is_idr);
                for bit in 0..32 {
                    let mut damaged = frame.clone();
                    damaged.words[word] ^= 1 << bit;
                    let verdict = compare(config, rebuilder, &inputs, &damaged).expect("a list");
                    let place = format!("{} word 0x{word:02x} bit {bit}", config.name);
                    if compared & 1 << bit == 0 {
                        assert_eq!(verdict.mismatches, [], "{place}");
                    } else {
                        let words: Vec<usize> = verdict
                            .mismatches
                            .iter()
                            .map(|mismatch| mismatch.word)
                            .collect();
                        assert_eq!(words, [word], "{place}");
                    }
                }
            }
        });
    }
}

#[test]
fn the_report_of_a_damaged_copy_names_one_word() {
    let Some(text) = read("a damaged copy", CAMERA) else {
        return;
    };
    let damaged = text.replacen(r#""00083f1f""#, r#""00083f1e""#, 1);
    let (tally, report) = checked(&damaged);
    assert_eq!(
        tally.to_string(),
        "words equal 2431 of 2432, frames equal 18 of 19, skipped 0"
    );
    let expected = "file:2: camera_main_1920x1080p25_2000k_vbr n 0 word 0x04: \
                    rebuilt 0x00083f1f, recorded 0x00083f1e\n";
    assert_eq!(report, expected);
}

#[test]
fn a_changed_register_write_makes_the_picture_unequal_but_no_word() {
    let Some(text) = read("register writes", SIMULATED) else {
        return;
    };
    let swapped = text.replacen(
        r#"["0x83f0","0x00000002"],["0x83f0","0x00000004"],["0x8014""#,
        r#"["0x83f0","0x00000004"],["0x83f0","0x00000002"],["0x8014""#,
        1,
    );
    assert_ne!(swapped, text);
    let (tally, report) = checked(&swapped);
    assert_eq!(
        tally.to_string(),
        "words equal 760 of 760, frames equal 5 of 6, skipped 0"
    );
    assert_eq!(report.matches("register write").count(), 2, "{report}");
    let opened = text.replacen(
        r#"["0x8010","0x00001000"]"#,
        r#"["0x8010","0x00001001"]"#,
        1,
    );
    assert_ne!(opened, text);
    let (tally, report) = checked(&opened);
    assert_eq!(
        (tally.frames_equal, tally.sequences_different),
        (6, 1),
        "{report}"
    );
    assert!(!tally.is_all_equal());
}

#[test]
fn what_cannot_be_read_or_rebuilt_is_skipped_with_its_line_and_never_equal() {
    let Some(text) = read("damaged lines", CAMERA) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    let config = lines[0];
    let frame = lines[1];
    let short = frame.replacen(r#""80700411","#, "", 1);
    let hevc = config.replace(r#""profile":100"#, r#""profile":1"#);
    let other = config.replace(r#""type":"config","#, r#""type":"config","codec":"hevc","#);
    let cases: [(Vec<&str>, &str, u32); 7] = [
        (
            vec![&other, frame],
            "file:2: skipped: expected codec avc, found \"hevc\"",
            0,
        ),
        (vec![frame], "file:1: error: expected a config line", 0),
        (
            vec![config, "{\"type\":", frame],
            "file:2: error: expected a json object",
            0,
        ),
        (
            vec![config, "[]", frame],
            "file:2: error: expected a json object",
            1,
        ),
        (
            vec![config, &short, frame],
            "file:2: error: expected 128 words in cl, found 127",
            1,
        ),
        (
            vec![&hevc, frame],
            "file:2: skipped: expected profile 66, 77 or 100, found 1",
            0,
        ),
        (
            vec![config, "{\"type\":\"frame\"}", frame],
            "file:2: error: expected bufs",
            1,
        ),
    ];
    for (lines, message, equal) in cases {
        let (tally, report) = checked(&lines.join("\n"));
        assert!(report.contains(message), "{message} is not in {report}");
        assert_eq!(tally.frames_equal, equal, "{report}");
        assert!(tally.skipped > 0 && !tally.is_all_equal(), "{report}");
    }
}

#[test]
fn unknown_keys_are_reported_and_change_nothing() {
    let Some(text) = read("unknown keys", CAMERA) else {
        return;
    };
    let more = text
        .replacen(r#""type":"config","#, r#""type":"config","sensor":"x","#, 1)
        .replacen(r#""bufs":{"#, r#""bufs":{"alpha":"0x1","#, 1);
    let (tally, report) = checked(&more);
    assert!(tally.is_all_equal());
    assert!(report.contains("unknown key: config: sensor"), "{report}");
    assert!(report.contains("unknown key: bufs: alpha"), "{report}");
}

#[test]
fn a_picture_without_n_is_counted_from_the_idr_before_it() {
    let Some(text) = read("counted pictures", CAMERA) else {
        return;
    };
    let mut counted: Vec<String> = text.lines().take(4).map(str::to_owned).collect();
    for (line, n) in counted.iter_mut().skip(1).zip(0..) {
        *line = line
            .replacen(&format!("\"n\":{n},"), "", 1)
            .replacen("\"gop_qp\":38,", "", 1);
    }
    let (tally, report) = checked(&counted.join("\n"));
    assert_eq!(tally.frames_equal, 3, "{report}");
    // Without the IDR nobody knows what the other two are.
    counted.remove(1);
    let (tally, report) = checked(&counted.join("\n"));
    assert_eq!((tally.frames_equal, tally.skipped), (0, 2), "{report}");
}

fn run(arguments: &[PathBuf]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_avpu-vectors"))
        .args(arguments)
        .stdin(Stdio::null())
        .finish();
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
    )
}

#[test]
fn the_program_says_by_its_status_how_it_went() {
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--what".into()]).0, Some(2));
    let (status, out) = run(&["/nonexistent/file".into()]);
    assert_eq!(status, Some(1));
    assert!(
        out.ends_with("words equal 0 of 0, frames equal 0 of 0, skipped 0\n"),
        "{out}"
    );
    if let (Some(camera), Some(simulated)) = (
        shared_or_skip("the program", CAMERA),
        shared_or_skip("the program", SIMULATED),
    ) {
        let (status, out) = run(&[camera, simulated]);
        assert_eq!(status, Some(0));
        assert!(
            out.ends_with("words equal 3192 of 3192, frames equal 25 of 25, skipped 0\n"),
            "{out}"
        );
    }
}
