//! What the daemon says of itself when it starts: the memory and whose it is, what fits into it, the limits.

use crate::core::config::BrokerConfig;
use crate::device::linux::arena::MemoryMap;
use crate::trial::{Outcome, QP_MIN_USUAL, Trial, USUAL};
use slog::{Logger, info, warn};

/// Whose the memory is.
pub(super) fn memory(log: &Logger, memory: &MemoryMap) {
    let window = memory.source_window.map(|range| range.to_string());
    info!(log, "memory"; "arena" => %memory.arena,
        "arena_kib" => memory.arena.len().get() / 1024,
        "capture" => window.unwrap_or_else(|| "none".to_owned()));
    if !memory.confirmed {
        warn!(
            log,
            "the kernel does not say where its memory lies: the command line is believed"
        );
    }
}

/// What fits, and the limits.
pub(super) fn limits(log: &Logger, config: &BrokerConfig) {
    let mut trial = Trial::new(config.clone(), QP_MIN_USUAL);
    for wish in USUAL {
        match trial.open(&wish) {
            Outcome::Opened(carved) => info!(log, "carving"; "picture" => %wish,
                "channel_kib" => carved.memory.len().get() / 1024,
                "ring_kib" => carved.ring.value() / 1024),
            Outcome::Refused(reason) => {
                info!(log, "carving"; "picture" => %wish, "refused" => reason);
            }
        }
    }
    info!(log, "limits"; "channels" => config.channels_max,
        "largest" => format!("{}x{}", config.picture_max.0, config.picture_max.1),
        "load_permille" => config.load_max_permille,
        "p_base_ns" => config.cost.avc.p.base_ns,
        "p_macroblock_ns" => config.cost.avc.p.macroblock_ns,
        "idr_base_ns" => config.cost.avc.idr.base_ns,
        "idr_macroblock_ns" => config.cost.avc.idr.macroblock_ns,
        "ring_max_kib" => config.ring_bytes_max.value() / 1024);
}
