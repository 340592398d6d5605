//! Tells the core what a channel needs, from the hardware's layout, which the core does not know.

use crate::core::config::{ChannelPlan, ChannelPlanner};
use crate::hw::layout::ChannelLayout;
use crate::picture::ChannelSetup;

/// Plans channels for the AVPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayoutPlanner;

impl ChannelPlanner for LayoutPlanner {
    fn plan(&self, setup: &ChannelSetup) -> Result<ChannelPlan, String> {
        let layout = ChannelLayout::new(setup).map_err(|error| error.to_string())?;
        Ok(ChannelPlan {
            memory: layout.len_bytes(),
            picture_max: layout.stream_layout().budget,
        })
    }
}
