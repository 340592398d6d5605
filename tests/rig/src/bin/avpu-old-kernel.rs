//! `avpu-old-kernel PROGRAM [ARGUMENT]...` runs a program on a kernel without the system calls after Linux 3.10.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("avpu-old-kernel: expected PROGRAM [ARGUMENT]..., found nothing");
        return ExitCode::from(2);
    };
    let mut command = Command::new(program);
    command.args(words);
    // Only a failure comes back from starting the program in place of this one.
    let error = match avpu_rig::old_kernel::restrict() {
        Ok(()) => command.exec(),
        Err(error) => error,
    };
    eprintln!("avpu-old-kernel: {error}");
    ExitCode::FAILURE
}
