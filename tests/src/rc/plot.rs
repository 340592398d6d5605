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
/// Room for what is written below the last panel.
const FOOT: f64 = 24.0;
/// Pictures of two seconds.
const WINDOW: usize = 50;
const _: () = assert!(FPS * 2 == 50);

/// One of the drawings that share the time axis.
struct Panel<'a> {
    title: &'a str,
    /// Values at the lower and the upper edge.
    range: (f64, f64),
    /// Colour, name and values by picture.
    lines: &'a [(&'a str, &'a str, &'a [f64])],
}

/// The drawing of a run.
#[must_use]
pub fn svg(case: &Case, trace: &Trace) -> String {
    let target = f64::from(case.target_bps) / 1000.0;
    let fps = f64::from(FPS);
    let bits: Vec<f64> = trace.pictures.iter().map(|p| float(p.bits)).collect();
    let each: Vec<f64> = bits.iter().map(|bits| bits * fps / 1000.0).collect();
    // Less than two seconds say more of the first IDR than of the rate.
    let average: Vec<f64> = each
        .windows(WINDOW)
        .map(|window| window.iter().sum::<f64>() / count(WINDOW))
        .collect();
    let targets = vec![target; bits.len()];
    let qp: Vec<f64> = trace.pictures.iter().map(|p| f64::from(p.qp)).collect();
    let mean: Vec<f64> = trace.pictures.iter().map(|p| p.qp_mean).collect();
    let full: Vec<f64> = buffer(case, &bits)
        .iter()
        .map(|part| part * 100.0)
        .collect();
    let panels = [
        Panel {
            title: &format!("{case}: bitrate in kbit/s"),
            range: (0.0, 4.0 * target),
            lines: &[
                ("#bbbbbb", "each picture", &each),
                ("#444444", "target", &targets),
                ("#c02020", "last two seconds", &average),
            ],
        },
        Panel {
            title: "quantiser",
            range: (15.0, 51.0),
            lines: &[
                ("#88bb88", "mean of the macroblocks", &mean),
                ("#206020", "slice", &qp),
            ],
        },
        Panel {
            title: "decoder's buffer in percent",
            range: (0.0, 100.0),
            lines: &[("#2040c0", "when a picture leaves it", &full)],
        },
    ];
    let mut text = String::new();
    let height = 3.0 * (PANEL + GAP) + FOOT;
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
        WIDTH + LEFT + GAP
    );
    for (row, panel) in (0..).zip(&panels) {
        let top = GAP + f64::from(row) * (PANEL + GAP);
        panel.draw(&mut text, top, bits.len());
    }
    let seconds = count(bits.len()) / fps;
    let step = if seconds > 30.0 { 10.0 } else { 2.0 };
    let mut at = 0.0;
    while at <= seconds {
        let x = LEFT + WIDTH * at / seconds.max(1.0);
        let y = 3.0 * (PANEL + GAP) + 16.0;
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at:.0} s</text>"
        );
        at += step;
    }
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

impl Panel<'_> {
    /// Draws it with its upper edge at `top`; all lines end with the last of so many pictures.
    fn draw(&self, text: &mut String, top: f64, pictures: usize) {
        let bottom = top + PANEL;
        let (low, high) = self.range;
        let title = top - 6.0;
        let _ = write!(text, "<text x=\"{LEFT}\" y=\"{title}\">{}", self.title);
        for (colour, name, _) in self.lines {
            let _ = write!(
                text,
                "<tspan dx=\"18\" fill=\"{colour}\">\u{25a0} {name}</tspan>"
            );
        }
        let _ = writeln!(
            text,
            "</text>\n<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{PANEL}\" fill=\"none\" stroke=\"black\"/>"
        );
        for step in 0..=4 {
            let part = f64::from(step) / 4.0;
            let y = bottom - part * PANEL;
            let value = low + part * (high - low);
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{value:.0}</text>\n\
                 <line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#dddddd\"/>",
                LEFT - 6.0,
                y + 4.0,
                LEFT + WIDTH
            );
        }
        let step = WIDTH / count(pictures.max(1));
        for (colour, _, values) in self.lines {
            let mut x = LEFT + step * count(pictures.saturating_sub(values.len()));
            let points: Vec<String> = values
                .iter()
                .map(|value| {
                    let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
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
}

fn count(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
