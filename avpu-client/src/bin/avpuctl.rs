//! avpuctl as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    avpu_client::tools::avpuctl::main(std::env::args_os().skip(1))
}
