//! What the core is told once, at the start.

use crate::core::cost::PictureCost;
use crate::core::role::{ClientLimits, Rights};
use crate::job::CostTable;
use crate::mem::addr::{Alignment, ByteLen, PhysRange};
use crate::picture::ChannelSetup;
use avpu_proto::types::{Epoch, Profile};

/// Everything the core must know of the device, the machine and the operator's wishes.
#[derive(Clone)]
pub struct BrokerConfig {
    /// Version of the daemon, for people.
    pub daemon_version: String,
    /// The device, for people.
    pub device: String,
    /// Streams are synthetic bytes, not pictures.
    pub synthetic: bool,
    /// This run of the daemon.
    pub epoch: Epoch,
    /// The daemon's process.
    pub pid: u32,
    /// Expected encoder time of pictures.
    pub cost: CostTable,
    /// No picture is taken for lost before this time, in microseconds, however short it should take.
    pub patience_us: u32,
    /// Encoder time that may be promised, in thousandths of all there is.
    pub load_max_permille: u32,
    /// The next picture is made ready while another channel's is encoded.
    pub prepares_ahead: bool,
    /// Reserved memory that the daemon owns.
    pub arena: PhysRange,
    /// Buffers of other drivers are known to be taken; where not, it is tried when one is brought.
    pub dma_buf_import: bool,
    /// Memory in which raw source addresses may lie. Must not overlap the arena or the system's memory.
    pub source_windows: Vec<PhysRange>,
    /// The kernel's memory: never a source, whatever the windows say.
    pub system_memory: Vec<PhysRange>,
    /// Who may do what.
    pub rights: Rights,
    /// How much of it one connection may.
    pub client_limits: ClientLimits,
    /// How long memory that was not given back stays out of use where something may still write to it, in
    /// microseconds; `None`: until an operator releases it.
    pub quarantine_us: Option<u64>,
    /// A source picture's address is a multiple of this.
    pub source_alignment: Alignment,
    /// Leases at once, all clients together: each may take open files.
    pub leases_max: u32,
    /// Channels at once, all clients together.
    pub channels_max: u16,
    /// Smallest visible width and height.
    pub picture_min: (u16, u16),
    /// Largest visible width and height.
    pub picture_max: (u16, u16),
    /// Profiles that the device encodes.
    pub profiles: Vec<Profile>,
    /// Size of a ring whose client asks for none; `None`: chosen from the channel's rate and size. A power of two.
    pub ring_bytes: Option<ByteLen>,
    /// Largest ring. A power of two.
    pub ring_bytes_max: ByteLen,
    /// Sizes of a channel's memory.
    pub planner: &'static dyn ChannelPlanner,
}

impl BrokerConfig {
    /// What pictures of this setup cost.
    pub(super) fn picture_cost(&self, setup: &ChannelSetup) -> PictureCost {
        let CostTable { avc, turnaround_ns } = self.cost;
        let macroblocks = setup.geometry.coded().macroblocks();
        PictureCost::new(avc, macroblocks).apart(turnaround_ns)
    }
}

/// Says how much memory a channel needs. Pure: the same setup has the same plan.
pub trait ChannelPlanner {
    /// The plan of a channel with this setup, or why there is none, for people.
    ///
    /// # Errors
    /// When the device cannot encode the setup.
    fn plan(&self, setup: &ChannelSetup) -> Result<ChannelPlan, String>;
}

/// What a channel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelPlan {
    /// Reserved memory, aligned to [`CHANNEL_ALIGNMENT`].
    pub memory: ByteLen,
    /// Largest slice data of one picture: what a stream buffer takes.
    pub picture_max: ByteLen,
}

/// Alignment of a channel's memory and of a source buffer.
pub const CHANNEL_ALIGNMENT: Alignment = Alignment::constant(4096);
