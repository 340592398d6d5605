//! What is said about the platform: one line a thing, what is wrong with it, and what the daemon would do.

use super::findings::{Findings, Node};
use crate::config::Config;
use crate::device::Capabilities;
use crate::device::linux::arena::{MemoryMap, NoArena};
use crate::device::linux::cmdline::CommandLine;
use crate::device::linux::holders::{self, Holder};
use crate::device::linux::{COST, PATIENCE_US};
use crate::mem::shm;
use crate::server::{Machine, broker_config};
use crate::trial::{Outcome, QP_MIN_USUAL, Trial, USUAL};
use core::fmt;
use core::fmt::Write as _;

/// Whether the daemon could start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It could.
    Ready,
    /// There is no way to the encoder.
    Missing,
    /// Another process has the encoder.
    Held,
    /// There is no memory for it.
    NoArena,
}

impl Verdict {
    /// The status with which the daemon would end, or 0.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Missing => 1,
            Self::Held => 5,
            Self::NoArena => 6,
        }
    }
}

/// Says what was found, in lines for people.
#[must_use]
pub fn report(findings: &Findings, config: &Config) -> (String, Verdict) {
    let memory = MemoryMap::new(&findings.cmdline, &findings.iomem, config.arena);
    let mut text = Text::default();
    text.line("kernel", format_args!("{}", findings.kernel));
    tell_command_line(&mut text, findings);
    tell_memory(&mut text, &memory);
    tell_encoder(&mut text, findings);
    tell_node(&mut text, "cached memory", &findings.cached);
    tell_node(&mut text, "uncached memory", &findings.uncached);
    tell_rights(&mut text, findings);
    if let Ok(memory) = &memory {
        tell_carving(&mut text, memory, config);
    }
    let nodes = [&findings.encoder, &findings.cached, &findings.uncached];
    let (verdict, words) = if let Err(reason) = &memory {
        (Verdict::NoArena, format!("not ready: {reason}"))
    } else if let Some(node) = nodes.into_iter().find(|node| node.number.is_err()) {
        let path = node.path.display();
        (
            Verdict::Missing,
            format!("not ready: expected {path}, found none"),
        )
    } else if let Err(reason) = &findings.streams {
        (Verdict::Missing, format!("not ready: {reason}"))
    } else if findings.encoder.holders.is_empty() {
        (Verdict::Ready, "ready: start avpud".to_owned())
    } else {
        let list = holders::list(&findings.encoder.holders);
        (Verdict::Held, format!("not ready: stop {list} first"))
    };
    text.line("verdict", format_args!("{words}"));
    (text.0, verdict)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, words: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<16} {words}");
    }
}

fn tell_command_line(text: &mut Text, findings: &Findings) {
    let ours = ["mem=", "rmem=", "avpumem=", "ispmem=", "nmem="];
    let tokens: Vec<&str> = findings
        .cmdline
        .split_ascii_whitespace()
        .filter(|token| ours.iter().any(|name| token.starts_with(name)))
        .collect();
    let list = tokens.join(" ");
    let list = if list.is_empty() {
        "says nothing about memory"
    } else {
        &list
    };
    text.line("command line", format_args!("{list}"));
    let line = CommandLine::parse(&findings.cmdline).ok();
    if let Some(mistaken) = line.and_then(|line| line.rmem_misread) {
        text.line(
            "  warning",
            format_args!("the vendor's library does not find rmem= because of \"{mistaken}\""),
        );
    }
}

fn tell_memory(text: &mut Text, memory: &Result<MemoryMap, NoArena>) {
    let memory = match memory {
        Ok(memory) => memory,
        Err(reason) => return text.line("arena", format_args!("none: {reason}")),
    };
    let sure = if memory.confirmed {
        "not the kernel's, as /proc/iomem confirms"
    } else {
        "/proc/iomem tells this process nothing: the command line is believed"
    };
    let kib = memory.arena.len().get() / 1024;
    text.line("arena", format_args!("{}, {kib} KiB, {sure}", memory.arena));
    match memory.source_window {
        Some(window) => text.line("capture", format_args!("frames may lie in {window}")),
        None => text.line("capture", format_args!("no memory of its own")),
    }
}

fn tell_encoder(text: &mut Text, findings: &Findings) {
    tell_node(text, "encoder", &findings.encoder);
    let line = findings.interrupts.as_deref();
    let line = line.unwrap_or("none: the encoder's module is not loaded");
    text.line("  interrupts", format_args!("{line}"));
}

fn tell_node(text: &mut Text, name: &str, node: &Node) {
    let path = node.path.display();
    match &node.number {
        Ok((major, minor)) => {
            let held = match node.holders.as_slice() {
                [] => "nobody has it".to_owned(),
                holders => holders.iter().map(held_by).collect::<Vec<_>>().join(", "),
            };
            text.line(name, format_args!("{path} ({major}:{minor}), {held}"));
        }
        Err(found) => text.line(name, format_args!("{path}: {found}")),
    }
}

fn held_by(holder: &Holder) -> String {
    match holder.mapping {
        Some((start, len)) => format!("{holder} maps {} KiB from 0x{start:08x}", len / 1024),
        None => format!("{holder} has it open"),
    }
}

fn tell_rights(text: &mut Text, findings: &Findings) {
    let yes_no = |yes, no: &'static str| if yes { "yes" } else { no };
    text.line(
        "realtime",
        format_args!(
            "{}",
            yes_no(
                findings.realtime,
                "no: the daemon runs with ordinary priority"
            )
        ),
    );
    let streams = match &findings.streams {
        Ok(shm::Source::Anonymous) => "yes",
        Ok(shm::Source::Unlinked) => "no: rings are unlinked files in /dev/shm",
        Err(reason) => reason,
    };
    text.line("anonymous files", format_args!("{streams}"));
    if !findings.root {
        text.line(
            "  warning",
            format_args!("not the super-user: processes of others are not seen"),
        );
    }
}

fn tell_carving(text: &mut Text, memory: &MemoryMap, config: &Config) {
    let device = Capabilities {
        name: "probe".to_owned(),
        synthetic: false,
        cost: COST,
        dma_buf_import: false,
        patience_us: PATIENCE_US,
        arena: memory.arena,
    };
    let core = broker_config(config, &device, &Machine::camera(memory));
    let mut trial = Trial::new(core, QP_MIN_USUAL);
    for wish in USUAL {
        match trial.open(&wish) {
            Outcome::Opened(carved) => text.line(
                "would fit",
                format_args!(
                    "{wish}: {}, ring {} KiB",
                    carved.memory,
                    carved.ring.value() / 1024
                ),
            ),
            Outcome::Refused(reason) => {
                text.line("would not fit", format_args!("{wish}: {reason}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::linux::iomem::Iomem;
    use std::path::PathBuf;

    fn node(path: &str) -> Node {
        Node {
            path: PathBuf::from(path),
            number: Ok((250, 0)),
            holders: Vec::new(),
        }
    }

    fn camera() -> Findings {
        Findings {
            kernel: "3.10.14".to_owned(),
            cmdline: "console=ttyS1 mem=83M@0x0 avpumem=16M@0x5300000 rmem=29M@0x6300000"
                .to_owned(),
            iomem: Iomem::parse("00000000-052fffff : System RAM\n"),
            encoder: node("/dev/avpu"),
            cached: node("/dev/rmem"),
            uncached: node("/dev/mem"),
            interrupts: Some("70: 12 jz-intc avpu.0".to_owned()),
            realtime: true,
            streams: Ok(shm::Source::Unlinked),
            root: true,
        }
    }

    fn told(findings: &Findings) -> (String, Verdict) {
        report(findings, &Config::default())
    }

    #[test]
    fn a_camera_that_is_set_up_is_ready() {
        let (text, verdict) = told(&camera());
        assert_eq!(verdict, Verdict::Ready, "{text}");
        for line in [
            "kernel           3.10.14\n",
            "command line     mem=83M@0x0 avpumem=16M@0x5300000 rmem=29M@0x6300000\n",
            "arena            0x05300000..=0x062fffff, 16384 KiB, not the kernel's, as /proc/iomem confirms\n",
            "capture          frames may lie in 0x06300000..=0x07ffffff\n",
            "encoder          /dev/avpu (250:0), nobody has it\n",
            "anonymous files  no: rings are unlinked files in /dev/shm\n",
            "would fit        1920x1080@25: ",
            "verdict          ready: start avpud\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn whoever_holds_the_encoder_or_maps_the_memory_is_named() {
        let mut findings = camera();
        let holder = |mapping| Holder {
            pid: 612,
            name: "rvd".to_owned(),
            mapping,
        };
        findings.encoder.holders = vec![holder(None)];
        findings.cached.holders = vec![holder(Some((0x0630_0000, 29 << 20)))];
        let (text, verdict) = told(&findings);
        assert_eq!(verdict, Verdict::Held);
        for line in [
            "/dev/avpu (250:0), process 612 (rvd) has it open\n",
            "/dev/rmem (250:0), process 612 (rvd) maps 29696 KiB from 0x06300000\n",
            "verdict          not ready: stop process 612 (rvd) first\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn no_memory_and_no_device_have_their_own_verdicts() {
        let mut findings = camera();
        findings.cmdline = "mem=99M@0x0 xrmem=1 rmem=29M@0x6300000".to_owned();
        let (text, verdict) = told(&findings);
        assert_eq!(verdict, Verdict::NoArena);
        assert!(
            text.contains("boot with mem=83M@0x0 avpumem=16M@0x5300000"),
            "{text}"
        );
        assert!(
            text.contains("does not find rmem= because of \"xrmem=1\""),
            "{text}"
        );
        let mut findings = camera();
        findings.streams = Err("expected a tmpfs at /dev/shm".to_owned());
        let (text, verdict) = told(&findings);
        assert_eq!(verdict, Verdict::Missing);
        for name in ["anonymous files  ", "verdict          not ready: "] {
            let line = format!("{name}expected a tmpfs at /dev/shm\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        let mut findings = camera();
        findings.encoder.number = Err("No such file or directory".to_owned());
        findings.interrupts = None;
        let (text, verdict) = told(&findings);
        assert_eq!(verdict, Verdict::Missing);
        assert!(
            text.contains("the encoder's module is not loaded"),
            "{text}"
        );
        assert_eq!(
            [
                Verdict::Ready,
                Verdict::Missing,
                Verdict::Held,
                Verdict::NoArena
            ]
            .map(Verdict::exit_status),
            [0, 1, 5, 6]
        );
    }
}
