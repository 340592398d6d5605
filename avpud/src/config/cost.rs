//! What pictures cost, where the operator knows it better than the device.

use crate::job::{CodecCost, CostTable, JobCost};

/// Encoder times in place of the device's. What is not set stays as the device states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostSettings {
    /// Fixed part of a picture of any kind, in nanoseconds.
    pub base_ns: Option<u32>,
    /// Part of a macroblock in a picture of any kind, in nanoseconds.
    pub macroblock_ns: Option<u32>,
    /// Fixed part of an IDR, in nanoseconds; goes before `base_ns`.
    pub idr_base_ns: Option<u32>,
    /// Part of a macroblock in an IDR, in nanoseconds; goes before `macroblock_ns`.
    pub idr_macroblock_ns: Option<u32>,
}

impl CostSettings {
    /// The device's statement with these settings laid over it.
    #[must_use]
    pub fn over(self, stated: CostTable) -> CostTable {
        let laid = |stated: CodecCost| CodecCost {
            idr: JobCost {
                base_ns: self
                    .idr_base_ns
                    .or(self.base_ns)
                    .unwrap_or(stated.idr.base_ns),
                macroblock_ns: self
                    .idr_macroblock_ns
                    .or(self.macroblock_ns)
                    .unwrap_or(stated.idr.macroblock_ns),
            },
            p: JobCost {
                base_ns: self.base_ns.unwrap_or(stated.p.base_ns),
                macroblock_ns: self.macroblock_ns.unwrap_or(stated.p.macroblock_ns),
            },
        };
        CostTable {
            avc: laid(stated.avc),
            turnaround_ns: stated.turnaround_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(idr: (u32, u32), p: (u32, u32)) -> CostTable {
        let cost = |(base_ns, macroblock_ns)| JobCost {
            base_ns,
            macroblock_ns,
        };
        CostTable {
            avc: CodecCost {
                idr: cost(idr),
                p: cost(p),
            },
            turnaround_ns: 7,
        }
    }

    #[test]
    fn what_is_set_for_all_pictures_holds_for_each_kind_that_nothing_else_is_said_of() {
        let stated = table((1, 2), (3, 4));
        let none = CostSettings::default();
        assert_eq!(none.over(stated), stated);
        let all = CostSettings {
            base_ns: Some(0),
            macroblock_ns: Some(9),
            ..none
        };
        assert_eq!(all.over(stated), table((0, 9), (0, 9)));
        let idr = CostSettings {
            idr_base_ns: Some(7),
            ..all
        };
        assert_eq!(idr.over(stated), table((7, 9), (0, 9)));
        let only_idr = CostSettings {
            idr_macroblock_ns: Some(8),
            ..none
        };
        assert_eq!(only_idr.over(stated), table((1, 8), (3, 4)));
    }
}
