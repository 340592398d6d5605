//! `avpud plan`: what fits into how much memory, before there is any. Needs no device.
//!
//! The daemon's own core decides ([`Trial`]); here is what is asked, and how the answer is told.

mod arguments;

use crate::config::Config;
use crate::core::config::BrokerConfig;
use crate::device::Capabilities;
use crate::device::linux::{COST, PATIENCE_US, arena::MemoryMap};
use crate::limits::GUARD_PAGE_BYTES;
use crate::mem::addr::{ByteLen, PhysAddr, PhysRange};
use crate::server::{Machine, broker_config};
use crate::trial::{Carved, Outcome, QP_MIN_FINEST, QP_MIN_USUAL, Trial, Wish};
use core::fmt::Write as _;

pub use arguments::PlanError;

/// What is to be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All memory of the camera.
    ram: ByteLen,
    /// Of that for the encoder.
    arena: ByteLen,
    /// The channels, in the order in which they are opened.
    wishes: Vec<Wish>,
}

/// A plan that was tried.
struct Tried {
    opened: Vec<(Wish, Carved)>,
    refused: Vec<(Wish, String)>,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
/// Steps in which a channel is made smaller to find one that fits.
const STEPS: u32 = 8;

impl Plan {
    /// Reads the arguments behind `plan`.
    ///
    /// # Errors
    /// When one is missing or wrong.
    pub fn parse(words: &[String]) -> Result<Self, PlanError> {
        arguments::parse(words)
    }

    /// The plan in lines for people, and whether it fits.
    #[must_use]
    pub fn report(&self) -> (String, bool) {
        let mut text = String::new();
        let tried = self.attempt(&self.wishes, self.arena);
        let fits = self.tell(&mut text, &tried);
        // Writing to a string cannot fail.
        let _ = match self.nearest(&tried).filter(|_| !fits) {
            Some(nearest) => writeln!(text, "does not fit; nearest: {nearest}"),
            None if fits => writeln!(text, "fits"),
            None => writeln!(text, "does not fit, and nothing smaller does"),
        };
        (text, fits)
    }

    fn attempt(&self, wishes: &[Wish], arena: ByteLen) -> Tried {
        let mut tried = Tried {
            opened: Vec::new(),
            refused: Vec::new(),
        };
        let Some(config) = self.core_config(arena) else {
            let reason = "expected encoder memory inside the ram, found more";
            tried.refused = wishes.iter().map(|w| (*w, reason.to_owned())).collect();
            return tried;
        };
        let mut trial = Trial::new(config, QP_MIN_USUAL);
        for wish in wishes {
            match trial.open(wish) {
                Outcome::Opened(carved) => tried.opened.push((*wish, carved)),
                Outcome::Refused(reason) => tried.refused.push((*wish, reason)),
            }
        }
        tried
    }

    /// A channel whose client allows the finest quantiser, with all memory to itself.
    fn alone_finest(&self, wish: &Wish) -> Option<Carved> {
        let all = self.ram.value().checked_sub(MIB).map(ByteLen::new)?;
        let mut trial = Trial::new(self.core_config(all)?, QP_MIN_FINEST);
        match trial.open(wish) {
            Outcome::Opened(carved) => Some(carved),
            Outcome::Refused(_) => None,
        }
    }

    /// As on a camera whose encoder memory lies at the top.
    fn core_config(&self, arena: ByteLen) -> Option<BrokerConfig> {
        let base = self.ram.value().checked_sub(arena.value())?;
        let memory = MemoryMap {
            arena: PhysRange::new(PhysAddr::new(base), arena).ok()?,
            source_window: None,
            system_memory: Vec::new(),
            confirmed: true,
        };
        let device = Capabilities {
            name: "plan".to_owned(),
            synthetic: false,
            cost: COST,
            dma_buf_import: false,
            patience_us: PATIENCE_US,
            arena: memory.arena,
        };
        Some(broker_config(
            &Config::default(),
            &device,
            &Machine::camera(&memory),
        ))
    }

    /// Tells what was tried, and whether all of it fits.
    fn tell(&self, text: &mut String, tried: &Tried) -> bool {
        let kib = |bytes: u64| bytes / u64::from(KIB);
        let mut line = |words: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{words}");
        };
        line(format_args!(
            "{:<16} {:>16} {:>12} {:>14}",
            "channel", "encoder memory", "ring", "encoder time"
        ));
        for (wish, carved) in &tried.opened {
            line(format_args!(
                "{:<16} {:>12} KiB {:>8} KiB {:>12} %",
                wish.to_string(),
                carved.memory.len().get() / KIB,
                carved.ring.value() / KIB,
                wish.load_permille(COST.avc).div_ceil(10)
            ));
        }
        for (wish, reason) in &tried.refused {
            line(format_args!("{:<16} refused: {reason}", wish.to_string()));
        }
        let memory = tried.memory_bytes();
        let left = u64::from(self.arena.value()).saturating_sub(memory);
        line(format_args!(
            "encoder memory: {} KiB, {} KiB used, {} KiB left",
            self.arena.value() / KIB,
            kib(memory),
            kib(left)
        ));
        for (wish, carved) in &tried.opened {
            let count = left / u64::from(carved.source.value().max(1));
            line(format_args!(
                "  room for {count} leased source pictures of {wish}, {} KiB each",
                carved.source.value() / KIB
            ));
        }
        line(format_args!(
            "assumed: constant bitrate, no quantiser finer than {QP_MIN_USUAL}, as without a wish"
        ));
        for wish in &self.wishes {
            if let Some(carved) = self.alone_finest(wish) {
                line(format_args!(
                    "  {wish} needs {} KiB where its client allows the finest ones",
                    carved.memory.len().get() / KIB
                ));
            }
        }
        let ram = u64::from(self.ram.value());
        let taken = u64::from(self.arena.value()) + tried.ring_bytes();
        match ram.checked_sub(taken) {
            Some(rest) => line(format_args!(
                "ordinary memory: {} KiB for rings, {} KiB left for the kernel and all programs",
                kib(tried.ring_bytes()),
                kib(rest)
            )),
            None => line(format_args!(
                "ordinary memory: {} KiB missing for rings",
                kib(taken - ram)
            )),
        }
        tried.refused.is_empty() && taken < ram
    }

    /// The plan that is nearest to this one and fits: with more encoder memory, or else with smaller channels.
    fn nearest(&self, tried: &Tried) -> Option<String> {
        let fits = |tried: &Tried, arena: u32| {
            let taken = u64::from(arena) + tried.ring_bytes();
            tried.refused.is_empty() && taken < u64::from(self.ram.value())
        };
        let smaller = self.smaller(tried).map(|wishes| {
            let words: Vec<String> = wishes.iter().map(Wish::to_string).collect();
            words.join(" ")
        });
        let arenas = (self.arena.value() / MIB + 1)..=(self.ram.value() / MIB);
        let larger = arenas
            .filter_map(|mib| mib.checked_mul(MIB))
            .find(|arena| fits(&self.attempt(&self.wishes, ByteLen::new(*arena)), *arena))
            .map(|arena| format!("--arena {}M", arena / MIB));
        match (smaller, larger) {
            (Some(smaller), Some(larger)) => Some(format!("{smaller}, or all of it with {larger}")),
            (one, other) => one.or(other),
        }
    }

    /// Keeps what fits, and makes the rest slower or smaller step by step, or leaves it out.
    fn smaller(&self, tried: &Tried) -> Option<Vec<Wish>> {
        let mut kept: Vec<Wish> = tried.opened.iter().map(|(wish, _)| *wish).collect();
        for (wish, _) in &tried.refused {
            let found = reductions(*wish).find(|less| {
                let mut wishes = kept.clone();
                wishes.push(*less);
                self.attempt(&wishes, self.arena).refused.is_empty()
            });
            kept.extend(found);
        }
        (!kept.is_empty()).then_some(kept)
    }
}

impl Tried {
    fn memory_bytes(&self) -> u64 {
        let guards = u64::from(2 * GUARD_PAGE_BYTES);
        let bytes = |(_, carved): &(Wish, Carved)| u64::from(carved.memory.len().get()) + guards;
        self.opened.iter().map(bytes).sum()
    }

    fn ring_bytes(&self) -> u64 {
        let bytes = |(_, carved): &(Wish, Carved)| u64::from(carved.ring.value());
        self.opened.iter().map(bytes).sum()
    }
}

/// The same channel with fewer pictures, then with smaller ones.
fn reductions(wish: Wish) -> impl Iterator<Item = Wish> {
    let slower = (1..STEPS).rev().map(move |step| Wish {
        fps: (wish.fps * step / STEPS).max(1),
        ..wish
    });
    let smaller = (1..STEPS).rev().filter_map(move |step| {
        let side = |pixels: u16, unit: u32| {
            let scaled = u32::from(pixels) * step / STEPS / unit * unit;
            u16::try_from(scaled).ok()
        };
        Some(Wish {
            width: side(wish.width, 16)?,
            height: side(wish.height, 8)?,
            ..wish
        })
    });
    slower.chain(smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(words: &str) -> (String, bool) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Plan::parse(&words).expect("good arguments").report()
    }

    #[test]
    fn a_usual_camera_fits_into_twelve_megabytes() {
        let (text, fits) = report("--ram 64M --arena 12M 1920x1080@25 640x360@15");
        assert!(fits, "{text}");
        assert!(text.contains("encoder memory: 12288 KiB"), "{text}");
        assert!(text.ends_with("\nfits\n"), "{text}");
    }

    /// The usual wish is the one that leaves the quantiser to the daemon.
    #[test]
    fn what_finer_quantisers_take_is_told_beside_what_a_channel_takes_by_default() {
        let (text, _) = report("--ram 64M --arena 16M 1280x720@25");
        let kib = |line: &str| -> u32 {
            let words: Vec<&str> = line.split_whitespace().collect();
            let unit = words.iter().position(|word| *word == "KiB").expect(line);
            words[unit - 1].parse().expect(line)
        };
        let line = |start: &str| kib(text.lines().find(|l| l.starts_with(start)).expect(&text));
        assert!(line("  1280x720@25 needs") > line("1280x720@25 "), "{text}");
    }

    #[test]
    fn what_does_not_fit_comes_with_the_nearest_plan_that_does() {
        let (text, fits) = report("--ram 64M --arena 6M 1920x1080@25 640x360@15");
        assert!(!fits, "{text}");
        assert!(text.contains("1920x1080@25     refused: "), "{text}");
        let last = text.lines().last().unwrap_or_default();
        let nearest = last.strip_prefix("does not fit; nearest: ").expect(&text);
        let (smaller, larger) = nearest.split_once(", or all of it with ").expect(nearest);
        let (text, fits) = report(&format!("--ram 64M --arena 6M {smaller}"));
        assert!(fits, "{text}");
        let (text, fits) = report(&format!("--ram 64M {larger} 1920x1080@25 640x360@15"));
        assert!(fits, "{text}");
    }

    #[test]
    fn too_many_pictures_a_second_are_made_fewer() {
        let (text, fits) = report("--ram 128M --arena 40M 2560x1440@60");
        assert!(!fits, "{text}");
        let nearest = text.lines().last().unwrap_or_default();
        assert!(nearest.contains("nearest: 2560x1440@37"), "{text}");
    }

    #[test]
    fn more_encoder_memory_than_memory_is_no_plan() {
        let (text, fits) = report("--ram 8M --arena 12M 64x64@1");
        assert!(!fits, "{text}");
        assert!(text.contains("does not fit"), "{text}");
    }
}
