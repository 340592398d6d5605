//! What the core is told at the start: from the settings, the device, and the machine around it.

use super::plan::LayoutPlanner;
use crate::config::Config;
use crate::core::config::BrokerConfig;
use crate::core::role::Rights;
use crate::device::Capabilities;
use crate::device::linux::arena::MemoryMap;
use crate::limits::{CAMERA_RING_BYTES_MAX, DEVELOPER_RING_BYTES_MAX};
use crate::mem::addr::{Alignment, ByteLen, PhysRange};
use avpu_proto::types::{Epoch, Profile};
use std::time::SystemTime;

/// What is known of the machine besides its encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory of the capture hardware; frames may lie in it where the settings do not say.
    pub source_windows: Vec<PhysRange>,
    /// The kernel's memory.
    pub system_memory: Vec<PhysRange>,
    /// Most channels where the settings do not say.
    pub channels_max: u16,
    /// Largest ring of a channel.
    pub ring_bytes_max: ByteLen,
    /// Files that a lease keeps open.
    pub files_per_lease: u32,
}

/// Smallest picture side that the command list can describe.
const PICTURE_MIN: (u16, u16) = (16, 16);
/// Largest picture: what the sensors that this SoC is sold with deliver.
const PICTURE_MAX: (u16, u16) = (2592, 2048);
/// All buffers of the vendor's software are aligned so; less is untested.
const SOURCE_ALIGNMENT: Alignment = Alignment::constant(256);

impl Machine {
    /// A developer's: there is memory for as much as the protocol can say.
    #[must_use]
    pub fn developer() -> Self {
        Self {
            source_windows: Vec::new(),
            system_memory: Vec::new(),
            channels_max: 64,
            ring_bytes_max: ByteLen::new(DEVELOPER_RING_BYTES_MAX),
            files_per_lease: 3,
        }
    }

    /// A camera's: 64 MB for everything.
    #[must_use]
    pub fn camera(memory: &MemoryMap) -> Self {
        Self {
            source_windows: memory.source_window.into_iter().collect(),
            system_memory: memory.system_memory.clone(),
            channels_max: 8,
            ring_bytes_max: ByteLen::new(CAMERA_RING_BYTES_MAX),
            files_per_lease: 0,
        }
    }
}

/// Everything that the core is told.
#[must_use]
pub fn broker_config(config: &Config, device: &Capabilities, machine: &Machine) -> BrokerConfig {
    BrokerConfig {
        daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.name.clone(),
        synthetic: device.synthetic,
        epoch: epoch(),
        pid: std::process::id(),
        cost: config.cost.over(device.cost),
        patience_us: device.patience_us,
        load_max_permille: config.load_max_permille,
        prepares_ahead: config.prepares_ahead,
        arena: device.arena,
        dma_buf_import: device.dma_buf_import,
        source_windows: if config.source_windows.is_empty() {
            machine.source_windows.clone()
        } else {
            config.source_windows.clone()
        },
        system_memory: machine.system_memory.clone(),
        rights: Rights {
            own_uid: nix::unistd::geteuid().as_raw(),
            publish: config.publish.clone(),
            raw: config.raw.clone(),
        },
        client_limits: config.client_limits.clone(),
        leases_max: u32::MAX,
        quarantine_us: config.quarantine_us,
        source_alignment: SOURCE_ALIGNMENT,
        channels_max: config.channels_max.unwrap_or(machine.channels_max),
        picture_min: PICTURE_MIN,
        picture_max: PICTURE_MAX,
        profiles: vec![Profile::High, Profile::Main, Profile::Baseline],
        ring_bytes: config.ring,
        ring_bytes_max: machine.ring_bytes_max,
        planner: &LayoutPlanner,
    }
}

/// Another value than that of the run before: the time of the start, and the process where two starts share a second.
fn epoch() -> Epoch {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let [.., a, b, c, d] = since.unwrap_or_default().as_secs().to_be_bytes();
    Epoch::new(u32::from_be_bytes([a, b, c, d]) ^ std::process::id().rotate_left(20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{CostTable, JobCost};
    use crate::mem::addr::PhysAddr;

    fn range(base: u32, len: u32) -> PhysRange {
        PhysRange::new(PhysAddr::new(base), ByteLen::new(len)).expect("a range")
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            dma_buf_import: false,
            name: "/dev/avpu".to_owned(),
            synthetic: false,
            cost: CostTable::uniform(JobCost {
                base_ns: 1,
                macroblock_ns: 2,
            }),
            patience_us: 100_000,
            arena: range(0x0530_0000, 16 << 20),
        }
    }

    #[test]
    fn frames_of_the_capture_hardware_lie_in_its_reservation_unless_the_settings_say_otherwise() {
        let machine = Machine::camera(&MemoryMap {
            arena: range(0x0530_0000, 16 << 20),
            source_window: Some(range(0x0630_0000, 29 << 20)),
            system_memory: vec![range(0, 83 << 20)],
            confirmed: true,
        });
        let mut config = Config::default();
        let found = broker_config(&config, &capabilities(), &machine);
        assert_eq!(found.source_windows, [range(0x0630_0000, 29 << 20)]);
        assert_eq!(found.system_memory, [range(0, 83 << 20)]);
        assert_eq!(found.channels_max, 8);
        config.source_windows = vec![range(0x0700_0000, 4096)];
        config.cost.base_ns = Some(7);
        let found = broker_config(&config, &capabilities(), &machine);
        assert_eq!(found.source_windows, [range(0x0700_0000, 4096)]);
        let expected = JobCost {
            base_ns: 7,
            macroblock_ns: 2,
        };
        assert_eq!(found.cost, CostTable::uniform(expected));
    }
}
