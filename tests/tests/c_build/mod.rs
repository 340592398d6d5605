//! Compilers of C and C++, as far as they are installed.

use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip, workspace_root};
use std::path::Path;
use std::process::{Command, Stdio};

/// One way to build.
#[derive(Clone, Copy)]
pub(crate) struct Compiler {
    /// Its command.
    pub(crate) program: &'static str,
    /// The language, and what only this compiler wants.
    flags: &'static [&'static str],
    /// What runs its programs where this machine does not.
    emulator: Option<&'static str>,
}

/// C99 as the system's compiler has it.
pub(crate) const GCC: Compiler = Compiler {
    program: "gcc",
    flags: &["-std=c99", "-O2"],
    emulator: None,
};

/// The same with whatever finds faults at run time.
pub(crate) const SANITIZED: Compiler = Compiler {
    program: "gcc",
    flags: &[
        "-std=c99",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ],
    emulator: None,
};

/// C++11, all sources taken as that.
pub(crate) const GXX: Compiler = Compiler {
    program: "g++",
    flags: &["-xc++", "-std=c++11", "-O2"],
    emulator: None,
};

/// Camera firmware's other library.
pub(crate) const MUSL: Compiler = Compiler {
    program: "musl-gcc",
    flags: &["-std=c99", "-O2", "-static"],
    emulator: None,
};

/// The camera's processor. Static: an emulator then needs no libraries.
pub(crate) const MIPSEL: Compiler = Compiler {
    program: "mipsel-linux-gnu-gcc",
    flags: &["-std=c99", "-O2", "-static"],
    emulator: Some("qemu-mipsel-static"),
};

/// All.
pub(crate) const COMPILERS: [Compiler; 5] = [GCC, SANITIZED, GXX, MUSL, MIPSEL];

impl Compiler {
    /// Whether it is installed.
    pub(crate) fn is_here(self) -> bool {
        has_program(self.program, "--version")
    }

    /// Builds `sources`, named from the root of the checkout, to a program. A warning is an error.
    ///
    /// # Panics
    /// When that does not go; says what the compiler said.
    pub(crate) fn build(self, sources: &[&str], output: &Path) {
        let built = Command::new(self.program)
            .args(self.flags)
            .args(["-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-D_GNU_SOURCE", "-pthread", "-o"])
            .arg(output)
            .args(sources)
            .current_dir(workspace_root())
            .stdin(Stdio::null())
            .finish();
        assert!(
            built.status.success(),
            "{} {:?}: {}",
            self.program,
            self.flags,
            String::from_utf8_lossy(&built.stderr)
        );
    }

    /// Builds a program that can run here, and answers how; otherwise prints that it was skipped.
    pub(crate) fn build_to_run(self, sources: &[&str], output: &Path) -> Option<Command> {
        let what = sources.join(" ");
        if !self.is_here() {
            skip(&what, &format!("{} is not installed", self.program));
            return None;
        }
        if let Some(emulator) = self.emulator.filter(|name| !has_program(name, "--version")) {
            skip(&what, &format!("{emulator} is not installed"));
            return None;
        }
        self.build(sources, output);
        let mut command = Command::new(self.emulator.unwrap_or("env"));
        command.arg(output).stdin(Stdio::null());
        Some(command)
    }
}
