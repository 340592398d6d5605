//! Rebuilds recorded command lists and compares them word by word.
//!
//! Exit status: 0 everything equal, 1 something differs or could not be compared, 2 wrong usage.

use std::io::{self, Write};
use std::process::ExitCode;

use avpu_tests::vectors::report::{Tally, check};

const USAGE: &str = "usage: avpu-vectors FILE...

Rebuilds the command list of every recorded picture in the files (one JSON
object a line: a config, then its frames), and the register writes where they
are given, and prints every word that differs. Parameter buffers and slice
headers are shown when they differ, and not counted.";

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.iter().any(|file| file == "-h" || file == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if files.is_empty() || files.iter().any(|file| file.starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match check_files(&files) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("avpu-vectors: expected to write the report, found: {error}");
            ExitCode::from(1)
        }
    }
}

fn check_files(files: &[String]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut tally = Tally::default();
    let mut is_read = true;
    for file in files {
        match std::fs::read(file) {
            // A line that is not text is then not JSON or not a number, and is reported as that line.
            Ok(bytes) => {
                check(file, &String::from_utf8_lossy(&bytes), &mut tally, &mut out)?;
            }
            Err(error) => {
                is_read = false;
                eprintln!("avpu-vectors: expected to read {file}, found: {error}");
            }
        }
    }
    writeln!(out, "{tally}")?;
    Ok(is_read && tally.is_all_equal())
}
