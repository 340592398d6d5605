//! Filler data: how much goes behind a picture, and where the packet says so.

use crate::codec::filler::{LEN_MIN_BYTES, NAL_TYPE};
use crate::core::channel::Channel;
use crate::mem::addr::ByteLen;
use avpu_proto::limits::NAL_UNITS_MAX;
use avpu_proto::types::NalUnit;

impl Channel {
    /// Bytes of filler data behind a picture of `needed` bytes that may grow to `wanted`. None where there is no room in
    /// the ring, or the packet could not say where it is: then more goes behind the next one.
    pub(super) fn filler(&self, needed: u32, wanted: u32, units: &[NalUnit]) -> u32 {
        let is_named = wanted <= u32::from(u16::MAX) && units.iter().any(|unit| unit.nal_type == 0);
        if !is_named {
            return 0;
        }
        let bytes = self.coder.filler_bytes(needed);
        let fits = wanted
            .checked_add(bytes)
            .is_some_and(|all| all <= self.ring.data_bytes());
        if fits && bytes >= LEN_MIN_BYTES {
            bytes
        } else {
            0
        }
    }
}

/// Enters a packet's filler data, its last `filler` bytes, into its table of units.
pub(super) fn name_filler(units: &mut [NalUnit; NAL_UNITS_MAX], len: ByteLen, filler: ByteLen) {
    let offset = len.value().checked_sub(filler.value());
    let offset_bytes = offset.and_then(|offset| u16::try_from(offset).ok());
    let free = units.iter_mut().find(|unit| unit.nal_type == 0);
    if let (true, Some(offset_bytes), Some(unit)) = (filler.value() > 0, offset_bytes, free) {
        *unit = NalUnit {
            nal_type: NAL_TYPE,
            offset_bytes,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filler_is_the_last_unit_that_a_packet_names() {
        let mut units = [NalUnit::default(); NAL_UNITS_MAX];
        units[0].nal_type = 1;
        let before = units;
        name_filler(&mut units, ByteLen::new(500), ByteLen::ZERO);
        assert_eq!(units, before);
        name_filler(&mut units, ByteLen::new(500), ByteLen::new(100));
        let named = NalUnit {
            nal_type: 12,
            offset_bytes: 400,
        };
        assert_eq!(units[1], named);
    }
}
