//! What the broker under test is told: that of the scripts, with little memory and few channels.

#[path = "../../src/core/tests/config.rs"]
mod scripted;

use avpud::core::config::BrokerConfig;
use avpud::mem::addr::ByteLen;
use scripted::{ARENA, WINDOW, range};

const LEN: u32 = 0x0040_0000;

pub(crate) fn config() -> BrokerConfig {
    BrokerConfig {
        arena: range(ARENA, LEN),
        source_windows: vec![range(WINDOW, LEN)],
        channels_max: 6,
        ring_bytes_max: ByteLen::new(1 << 20),
        ..scripted::config()
    }
}
