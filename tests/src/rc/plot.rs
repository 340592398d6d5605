//! A run as a drawing: rate, quantiser and buffer by picture, as SVG.

use super::case::Case;
use super::film::FPS;
use super::hrd::{DELAY_DS, SIZE_DS};
use super::run::{Trace, float};
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const PANEL: f64 = 180.0;
const LEFT: f64 = 60.0;
const GAP: f64 = 30.0;
/// Pictures of two seconds.
const WINDOW: usize = 50;
const _: () = assert!(FPS * 2 == 50);

/// The drawing of a run.
#[must_use]
pub fn svg(case: &Case, trace: &Trace) -> String {
    let target = f64::from(case.target_bps);
    let fps = f64::from(FPS);
    let bits: Vec<f64> = trace.pictures.iter().map(|p| float(p.bits)).collect();
    let each: Vec<f64> = bits.iter().map(|bits| bits * fps / target).collect();
    let last_second: Vec<f64> = (0..bits.len())
        .map(|end| {
            let window = &bits[(end + 1).saturating_sub(WINDOW)..=end];
            window.iter().sum::<f64>() * fps / target / count(window.len())
        })
        .collect();
    let qp: Vec<f64> = trace.pictures.iter().map(|p| f64::from(p.qp)).collect();
    let mean: Vec<f64> = trace.pictures.iter().map(|p| p.qp_mean).collect();
    let mut text = String::new();
    let height = 3.0 * (PANEL + GAP) + GAP;
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
        WIDTH + LEFT + GAP
    );
    panel(
        &mut text,
        0,
        &format!("{case}: share of the target, each picture and the last two seconds"),
        (0.0, 4.0),
        &[("#bbbbbb", &each), ("#c02020", &last_second)],
    );
    panel(
        &mut text,
        1,
        "quantiser of the slice, and mean of the macroblocks",
        (15.0, 51.0),
        &[("#88bb88", &mean), ("#206020", &qp)],
    );
    panel(
        &mut text,
        2,
        "decoder's buffer when a picture leaves it, share",
        (0.0, 1.0),
        &[("#2040c0", &buffer(case, &bits))],
    );
    text.push_str("</svg>\n");
    text
}

/// How full a decoder's buffer is before each picture.
fn buffer(case: &Case, bits: &[f64]) -> Vec<f64> {
    let rate = f64::from(case.max_bps());
    let size = rate * float(SIZE_DS) / 10.0;
    let mut level = rate * float(DELAY_DS) / 10.0;
    bits.iter()
        .map(|bits| {
            let before = level.min(size);
            level = before - bits + rate / f64::from(FPS);
            before / size
        })
        .collect()
}

fn panel(text: &mut String, row: u32, title: &str, range: (f64, f64), lines: &[(&str, &[f64])]) {
    let top = GAP + f64::from(row) * (PANEL + GAP);
    let bottom = top + PANEL;
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\">{title}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{PANEL}\" fill=\"none\" stroke=\"black\"/>",
        top - 6.0
    );
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let y = bottom - part * PANEL;
        let value = range.0 + part * (range.1 - range.0);
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{value:.2}</text>\n\
             <line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#dddddd\"/>",
            LEFT - 6.0,
            y + 4.0,
            LEFT + WIDTH
        );
    }
    for (colour, values) in lines {
        let step = WIDTH / count(values.len().max(1));
        let mut x = LEFT;
        let points: Vec<String> = values
            .iter()
            .map(|value| {
                let part = ((value - range.0) / (range.1 - range.0)).clamp(0.0, 1.0);
                x += step;
                format!("{:.1},{:.1}", x - step, bottom - part * PANEL)
            })
            .collect();
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>",
            points.join(" ")
        );
    }
}

fn count(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
