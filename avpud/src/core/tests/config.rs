//! What a broker under test is told: by the scripts here, and by tests outside of this crate, which have this file too.

use avpu_proto::types::{Epoch, Profile};
use avpud::core::config::{BrokerConfig, ChannelPlan, ChannelPlanner};
use avpud::core::role::{ClientLimits, Members, Rights};
use avpud::job::{CostTable, JobCost};
use avpud::mem::addr::{Alignment, ByteLen, PhysAddr, PhysRange};
use avpud::picture::ChannelSetup;

pub(crate) const ARENA: u32 = 0x0600_0000;
pub(crate) const ARENA_LEN: u32 = 0x0100_0000;
pub(crate) const WINDOW: u32 = 0x0500_0000;
pub(crate) const WINDOW_LEN: u32 = 0x0080_0000;

/// Linear in the macroblocks; the figures mean nothing.
struct Planner;

impl ChannelPlanner for Planner {
    fn plan(&self, setup: &ChannelSetup) -> Result<ChannelPlan, String> {
        let macroblocks = setup.geometry.coded().macroblocks();
        Ok(ChannelPlan {
            memory: ByteLen::new(macroblocks * 1000 + 0x1_0000),
            picture_max: ByteLen::new(macroblocks * 416),
        })
    }
}

pub(crate) fn range(start: u32, len: u32) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), ByteLen::new(len)).expect("a range")
}

pub(crate) fn config() -> BrokerConfig {
    BrokerConfig {
        daemon_version: "0.0.0".into(),
        device: "scripted".into(),
        synthetic: true,
        epoch: Epoch::new(9),
        pid: 1,
        cost: CostTable::uniform(JobCost {
            base_ns: 100_000,
            macroblock_ns: 4_000,
        }),
        dma_buf_import: false,
        patience_us: 100_000,
        load_max_permille: 1000,
        prepares_ahead: true,
        arena: range(ARENA, ARENA_LEN),
        source_windows: vec![range(WINDOW, WINDOW_LEN)],
        system_memory: vec![range(WINDOW, 0x1000)],
        rights: Rights {
            raw: Members {
                uids: Vec::new(),
                gids: vec![44],
            },
            ..Rights::default()
        },
        client_limits: ClientLimits::default(),
        leases_max: u32::MAX,
        quarantine_us: Some(1_000_000),
        source_alignment: Alignment::constant(256),
        channels_max: 8,
        picture_min: (16, 16),
        picture_max: (1920, 1088),
        profiles: vec![Profile::High],
        ring_bytes: None,
        ring_bytes_max: ByteLen::new(1 << 22),
        planner: &Planner,
    }
}
