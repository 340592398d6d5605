//! The same programs on an older kernel and on a camera's processor give the same bytes.

use avpu_tests::daemon::{Daemon, Scratch, program};
use avpu_tests::process::Finish;
use avpu_tests::skip::{has_program, skip};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const PICTURES: &str = "TEST:size=176x144,fps=25,frames=10";

/// Encodes pictures with daemon and client started as `machine` does it with a program's name; the stream, and what
/// the daemon had open.
fn encode(machine: impl Fn(&str) -> Command, channel: &str) -> (Vec<u8>, Vec<String>) {
    let daemon = Daemon::start_by(machine("avpud"), "pace=free", &[]);
    let stream = daemon.folder().join("out.h264");
    let client = |arguments: &[&str]| {
        let output = machine(arguments[0])
            .args(&arguments[1..])
            .env("AVPUD_SOCKET", daemon.socket())
            .stdin(Stdio::null())
            .finish();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        output.stdout
    };
    client(&[
        "avpucat",
        &format!("{PICTURES}!!H264:{}", stream.display()),
        &format!("AVPU:,name=main,{channel}"),
    ]);
    let status = client(&["avpuctl", "--json", "status"]);
    let status = String::from_utf8(status).expect("JSON is text");
    assert!(status.contains("\"uptime_us\""), "{status}");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it runs");
    let open = descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let bytes = fs::read(&stream).expect("avpucat wrote it");
    let ended = daemon.stop().expect("the daemon can be waited for");
    assert!(ended.success(), "{ended}");
    (bytes, open)
}

fn here(name: &str) -> Command {
    Command::new(program(name))
}

#[test]
fn nothing_is_missing_on_a_kernel_without_the_system_calls_after_linux_3_10() {
    if !cfg!(target_arch = "x86_64") {
        let why = "the filter knows the numbers of x86-64 and MIPS";
        return skip("the older kernel", why);
    }
    let older = |name: &str| {
        let mut command = here("avpu-old-kernel");
        command.arg(program(name));
        command
    };
    let any = |open: &[String], kind: &str| open.iter().any(|target| target.starts_with(kind));
    for channel in ["qp=28", "bitrate=500k,profile=baseline"] {
        let (expected, open) = encode(here, channel);
        assert!(any(&open, "/memfd:"), "{open:?}");
        let (stream, open) = encode(older, channel);
        // The filter works, and what took the place of the missing call.
        assert!(
            !any(&open, "/memfd:") && any(&open, "/dev/shm/"),
            "{open:?}"
        );
        assert!(expected.len() > 1000, "{channel}: {} bytes", expected.len());
        assert!(stream == expected, "{channel}: other bytes");
    }
}

#[test]
fn a_machine_without_memory_for_streams_is_told_what_is_missing() {
    let what = "a machine without memory for streams";
    if !cfg!(target_arch = "x86_64") {
        return skip(what, "the filter knows the numbers of x86-64 and MIPS");
    }
    if !has_program("unshare", "--version") {
        return skip(what, "unshare is not installed");
    }
    // Nothing can be made in /dev/shm of this one.
    const BARE: &str = "mount -t tmpfs -o ro none /dev/shm || exit 77; exec \"$@\"";
    let scratch = Scratch::new("bare");
    for words in [["--device", "model"].as_slice(), &["probe"]] {
        let mut bare = Command::new("unshare");
        bare.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            BARE,
            "sh",
        ])
        .arg(program("avpu-old-kernel"))
        .arg(program("avpud"))
        .args(words)
        .arg("--socket")
        .arg(scratch.path().join("socket"))
        .stdin(Stdio::null());
        let output = bare.finish();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        if output.status.code() == Some(77) || said.starts_with("unshare: ") {
            return skip(what, "file systems cannot be mounted here");
        }
        if words == ["probe"] {
            let line = "anonymous files  expected anonymous files (Linux 3.17) or a tmpfs at /dev/shm, found neither: ";
            assert!(said.contains(line), "{said}");
        } else {
            assert_eq!(output.status.code(), Some(1), "{said}");
            let start = "avpud: making memory for streams: expected anonymous files (Linux 3.17) or a tmpfs at \
                         /dev/shm, found neither: /dev/shm/avpud-trial-";
            assert!(said.starts_with(start), "{said}");
        }
    }
}

/// The folder in which `packaging/mips/emulated.sh` put the programs for 32-bit MIPS.
const IMAGE: &str = "AVPU_MIPS_IMAGE";

#[test]
fn a_processor_of_32_bits_encodes_the_same_bytes() {
    let what = "the processor of 32 bits";
    let Some(image) = std::env::var_os(IMAGE).map(PathBuf::from) else {
        return skip(
            what,
            "packaging/mips/emulated.sh builds for it and runs this",
        );
    };
    if !has_program("qemu-mipsel-static", "--version") {
        return skip(what, "qemu-mipsel-static is not installed");
    }
    let emulated = |name: &str| {
        let mut command = Command::new("qemu-mipsel-static");
        command.args([OsString::from("-0"), name.into(), image.join(name).into()]);
        command
    };
    for channel in ["qp=28", "bitrate=500k,profile=baseline"] {
        let (expected, _) = encode(here, channel);
        let (stream, _) = encode(emulated, channel);
        assert!(expected.len() > 1000, "{channel}: {} bytes", expected.len());
        assert!(stream == expected, "{channel}: other bytes");
    }
    // Sums of sizes and times, where a word has half as many bits.
    for plan in [
        "--ram 64M --arena 12M 1920x1080@25 640x360@15",
        "--ram 4095M --arena 2048M 2592x2048@240",
    ] {
        let said = |mut avpud: Command| {
            let output = avpud
                .arg("plan")
                .args(plan.split(' '))
                .stdin(Stdio::null())
                .finish();
            (output.status.code(), String::from_utf8(output.stdout))
        };
        let expected = said(here("avpud"));
        assert!(expected.1.as_ref().is_ok_and(|text| text.len() > 100));
        assert_eq!(said(emulated("avpud")), expected, "{plan}");
    }
}
