//! Whether rate control keeps what it promises, on real clips and synthetic scenes.
//!
//! `avpu-rc [--quick] [--scene NAME] [--width PIXELS] [--plots DIR]` encodes every case with the daemon's controller, the real command
//! lists and the encoder of the model, prints a table and ends with an error when a figure is not good enough. The
//! quick run has one small size and twenty seconds; the other one both sizes and sixty. Plots go to `DIR`, by default
//! `avpu-rc` in the folder of temporary files.

use avpu_tests::rc::case::{Case, Mode};
use avpu_tests::rc::curve::{Curve, Demand};
use avpu_tests::rc::film::{Film, Scene};
use avpu_tests::rc::judge::Figures;
use avpu_tests::rc::plot::svg;
use avpu_tests::rc::run::{encode, float};
use std::path::PathBuf;
use std::process::ExitCode;

/// What is run.
struct Options {
    quick: bool,
    scene: Option<String>,
    width: Option<u32>,
    plots: PathBuf,
}

const SMALL: (u32, u32) = (640, 360);
const LARGE: (u32, u32) = (1280, 720);
const QUICK_BPS: [u32; 2] = [300_000, 1_000_000];
const FULL_BPS: [u32; 3] = [300_000, 1_000_000, 4_000_000];

fn main() -> ExitCode {
    let Some(options) = parse() else {
        eprintln!("usage: avpu-rc [--quick] [--scene NAME] [--width PIXELS] [--plots DIR]");
        return ExitCode::from(2);
    };
    if let Err(error) = std::fs::create_dir_all(&options.plots) {
        eprintln!(
            "expected a folder for plots at {}: {error}",
            options.plots.display()
        );
        return ExitCode::from(2);
    }
    let (sizes, rates, length_s): (&[_], &[_], _) = match options.quick {
        true => (&[SMALL], &QUICK_BPS, 20),
        false => (&[SMALL, LARGE], &FULL_BPS, 60),
    };
    println!(
        "| case | rate | two seconds | with a cut | buffer | QP step | PSNR | to fixed QP | verdict |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut failures = 0;
    for &size in sizes {
        if options.width.is_some_and(|width| width != size.0) {
            continue;
        }
        for scene in Scene::ALL {
            if options
                .scene
                .as_ref()
                .is_some_and(|name| *name != scene.to_string())
            {
                continue;
            }
            let Some(mut film) = Film::new(scene, size.0, size.1) else {
                continue;
            };
            let mut curve = None;
            for &target_bps in rates {
                for mode in [Mode::Cbr, Mode::Vbr] {
                    let case = Case {
                        scene,
                        width: size.0,
                        height: size.1,
                        mode,
                        target_bps,
                        length_s,
                    };
                    let curve =
                        curve.get_or_insert_with(|| Curve::new(size.0, size.1, case.pictures()));
                    failures += u32::from(!run(&case, &mut film, curve, &options));
                }
            }
        }
    }
    println!("\nplots: {}", options.plots.display());
    if failures == 0 {
        println!("PASS");
        ExitCode::SUCCESS
    } else {
        println!("FAIL: {failures} cases");
        ExitCode::FAILURE
    }
}

fn parse() -> Option<Options> {
    let mut options = Options {
        quick: false,
        scene: None,
        width: None,
        plots: std::env::temp_dir().join("avpu-rc"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--scene" => options.scene = Some(arguments.next()?),
            "--width" => options.width = Some(arguments.next()?.parse().ok()?),
            "--plots" => options.plots = arguments.next()?.into(),
            _ => return None,
        }
    }
    Some(options)
}

/// Runs a case, prints its line, draws it; false when it is not good enough.
fn run(case: &Case, film: &mut Film, curve: &mut Curve, options: &Options) -> bool {
    let trace = encode(film, &case.setup(), case.pictures());
    let near = trace.qp();
    let demand = curve.demand(film, f64::from(case.target_bps), near);
    let is_judged = match demand {
        Demand::InRange => true,
        Demand::TooLittle => case.mode == Mode::Vbr,
        Demand::TooMuch => false,
    };
    if !is_judged {
        println!("| {case} | | | | | | | | out of range: {} |", why(demand));
        return true;
    }
    let fixed = match case.mode {
        Mode::Cbr => curve.psnr_at(film, trace.bps(), near),
        Mode::Vbr => None,
    };
    let figures = Figures::new(case, &trace, demand, fixed);
    let complaints = figures.complaints(case.mode);
    let (least, most) = figures.hrd.range_permille;
    println!(
        "| {case} | {:+.2} % | {:+.1} % | {:+.1} % | {:.2} to {:.2} | {} | {:.2} dB | {} | {} |",
        figures.deviation * 100.0,
        figures.calm_deviation * 100.0,
        figures.cut_deviation * 100.0,
        float(least) / 1000.0,
        float(most) / 1000.0,
        figures.qp_step,
        figures.psnr,
        figures
            .psnr_gain
            .map_or("".into(), |gain| format!("{gain:+.2} dB")),
        match complaints.as_slice() {
            [] => "good".into(),
            complaints => format!("NOT GOOD: {}", complaints.join(", ")),
        }
    );
    let path = options.plots.join(format!("{case}.svg"));
    if let Err(error) = std::fs::write(&path, svg(case, &trace)) {
        println!("expected to write {}: {error}", path.display());
        return false;
    }
    complaints.is_empty()
}

fn why(demand: Demand) -> &'static str {
    match demand {
        Demand::TooMuch => "even the coarsest quantiser needs it all",
        Demand::InRange => "not",
        Demand::TooLittle => "even the finest quantiser does not need it",
    }
}
