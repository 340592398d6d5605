//! Rate control inside a picture: the QP of each group of macroblocks.
//!
//! A list says what a group should take on average (word 0x15), the range of QPs (0x17), over how many groups an
//! error is to be made good, and whether what the picture before took is to be forgotten (0x18). What each group took is
//! kept in the context of EP3, a word for each of at most 1023 groups, and the core itself forgets it: so channels do not
//! disturb each other. How the hardware uses that area is not known; its size, and that it is read and written, is.
//!
//! With a history, the bits of the picture are shared out in halves: evenly, and as the groups took them last time.
//! Without one, where in the picture its bits will lie is unknown, and a deviation counts the less the more was coded.
//! What groups took too much or too little is carried over to those after them, and moves them by at most two steps
//! from the slice's QP, which is 12 to 25 percent of their bits.

use crate::avc::MbProgress;
use crate::cmdlist::{CommandList, Hwrc};
use crate::memory::{BusError, Memory};

/// Most groups of a picture.
const GROUPS_MAX: usize = 1024;
/// Where the context starts in EP3, in bytes.
const CONTEXT_OFFSET_BYTES: u32 = 0x400;
const CONTEXT_LEN_BYTES: usize = 4 * GROUPS_MAX;
/// More than any group takes.
const GROUP_BITS_MAX: u32 = 1 << 24;

/// What the groups of the last picture took, in bits, and what those of this one do.
#[derive(Clone, Debug)]
pub(crate) struct GroupHistory {
    before: Vec<u32>,
    now: Vec<u32>,
}

impl GroupHistory {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            before: vec![0; GROUPS_MAX],
            now: vec![0; GROUPS_MAX],
        }
    }

    /// Reads the context of a picture's tables, or forgets it where the list says so.
    pub(crate) fn load(&mut self, list: &CommandList, memory: &dyn Memory) -> Result<(), BusError> {
        self.before.fill(0);
        self.now.fill(0);
        if list.hwrc.is_none_or(|hwrc| hwrc.restart) {
            return Ok(());
        }
        let mut bytes = [0; CONTEXT_LEN_BYTES];
        memory.read(context_address(list), &mut bytes)?;
        for (bits, word) in self.before.iter_mut().zip(bytes.chunks_exact(4)) {
            let word = word.try_into().map_or(0, u32::from_le_bytes);
            *bits = word.min(GROUP_BITS_MAX);
        }
        Ok(())
    }

    /// What the groups of this picture took.
    pub(crate) fn taken(&self) -> &[u32] {
        &self.now
    }
}

/// Writes what the groups of a picture took into the context of its tables.
pub(crate) fn store(
    list: &CommandList,
    taken: &[u32],
    memory: &mut dyn Memory,
) -> Result<(), BusError> {
    if list.hwrc.is_none() {
        return Ok(());
    }
    let mut bytes = [0; CONTEXT_LEN_BYTES];
    for (word, bits) in bytes.chunks_exact_mut(4).zip(taken) {
        word.copy_from_slice(&bits.to_le_bytes());
    }
    memory.write(context_address(list), &bytes)
}

fn context_address(list: &CommandList) -> u32 {
    list.at.ep3.wrapping_add(CONTEXT_OFFSET_BYTES)
}

/// The control of one picture.
pub(crate) struct GroupControl<'a> {
    hwrc: Option<Hwrc>,
    slice_qp: u8,
    mb_width: u64,
    history: &'a mut GroupHistory,
    /// What all groups took the last time; 0 without a history.
    before_bits: u64,
    groups: u64,
    /// The group being coded, and the bits before it.
    group: usize,
    start_bits: u32,
    /// Bits that the groups before it took beyond what they should.
    owed_bits: i64,
    qp: u8,
}

impl<'a> GroupControl<'a> {
    pub(crate) fn new(list: &CommandList, history: &'a mut GroupHistory) -> Self {
        let size = list.hwrc.map_or(1, |hwrc| hwrc.group_macroblocks.max(1));
        Self {
            hwrc: list.hwrc,
            slice_qp: list.qp,
            mb_width: u64::from(list.mb_width),
            before_bits: history.before.iter().map(|&bits| u64::from(bits)).sum(),
            history,
            groups: u64::from(list.macroblocks() / u32::from(size)).max(1),
            group: 0,
            start_bits: 0,
            owed_bits: 0,
            qp: list.qp,
        }
    }

    /// The QP of the macroblock that comes next.
    pub(crate) fn macroblock_qp(&mut self, progress: MbProgress) -> u8 {
        let Some(hwrc) = self.hwrc else {
            return self.slice_qp;
        };
        let macroblocks = u64::from(progress.row) * self.mb_width + u64::from(progress.column);
        let group = macroblocks / u64::from(hwrc.group_macroblocks.max(1));
        let group = usize::try_from(group).unwrap_or(usize::MAX);
        if group == self.group {
            return self.qp;
        }
        self.close(progress.bits);
        self.group = group;
        self.qp = self.pulled(hwrc);
        self.qp
    }

    /// The picture is complete with so many bits.
    pub(crate) fn finish(mut self, bits: u32) {
        self.close(bits);
    }

    fn close(&mut self, bits: u32) {
        let taken = bits.saturating_sub(self.start_bits).min(GROUP_BITS_MAX);
        self.owed_bits += i64::from(taken) - self.target_bits();
        self.start_bits = bits;
        if let Some(place) = self.history.now.get_mut(self.group) {
            *place = taken;
        }
    }

    /// What the group being coded should take, of the picture's bits.
    fn target_bits(&self) -> i64 {
        let mean = u64::from(self.hwrc.map_or(0, |hwrc| hwrc.group_bits));
        if self.before_bits == 0 {
            return i64::try_from(mean).unwrap_or(0);
        }
        let before = self.history.before.get(self.group).copied().unwrap_or(0);
        let share = mean * self.groups * u64::from(before) / self.before_bits;
        i64::try_from(mean.midpoint(share)).unwrap_or(0)
    }

    fn pulled(&self, hwrc: Hwrc) -> u8 {
        let mut window = i64::from(hwrc.window_groups.max(1));
        if self.before_bits == 0 {
            window += i64::try_from(self.group).unwrap_or(0);
        }
        let aim = (window * i64::from(hwrc.group_bits)).max(1);
        let steps: i8 = match (aim + self.owed_bits) * 100 / aim {
            ..70 => -2,
            70..90 => -1,
            90..=110 => 0,
            111..=140 => 1,
            _ => 2,
        };
        self.slice_qp
            .saturating_add_signed(steps)
            .clamp(hwrc.qp_min, hwrc.qp_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: u16 = 40;
    const ROWS: u16 = 10;
    const GROUP: u16 = 5;
    const GROUPS: usize = 80;
    const MEAN_BITS: u32 = 1000;

    fn list(qp: u8, restart: bool) -> CommandList {
        CommandList {
            qp,
            mb_width: COLUMNS,
            mb_height: ROWS,
            hwrc: Some(Hwrc {
                group_macroblocks: GROUP,
                group_bits: MEAN_BITS,
                window_groups: 33,
                restart,
                qp_min: 20,
                qp_max: 40,
            }),
            ..crate::cmdlist::read(0, &[0; 128], &mut |_| {}).expect("h.264")
        }
    }

    /// Encodes a picture whose groups take `bits_of` at the slice's QP; answers the QP of each group and the bits of all.
    fn encode(
        list: &CommandList,
        history: &mut GroupHistory,
        bits_of: &dyn Fn(usize) -> u32,
    ) -> (Vec<u8>, u32) {
        let mut control = GroupControl::new(list, history);
        let mut bits = 0;
        let mut qps = Vec::new();
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let qp = control.macroblock_qp(MbProgress { column, row, bits });
                if column % GROUP == 0 {
                    // An eighth a step, near enough.
                    let steps = i32::from(qp) - i32::from(list.qp);
                    let scaled = i64::from(bits_of(qps.len())) * i64::from(8 - steps) / 8;
                    bits += u32::try_from(scaled).expect("small");
                    qps.push(qp);
                }
            }
        }
        control.finish(bits);
        (qps, bits)
    }

    #[test]
    fn groups_that_take_what_they_should_stay_at_the_slices_qp() {
        let (qps, _) = encode(&list(30, true), &mut GroupHistory::new(), &|_| MEAN_BITS);
        assert_eq!(qps, [30; GROUPS]);
    }

    #[test]
    fn what_groups_took_too_much_is_carried_over_until_it_is_made_good() {
        let mut history = GroupHistory::new();
        let list = list(30, true);
        // A corner with much in it, and a picture as expected around it.
        let (qps, bits) = encode(&list, &mut history, &|group| match group {
            2..10 => 2 * MEAN_BITS,
            _ => MEAN_BITS,
        });
        assert_eq!(qps[..3], [30; 3], "nothing is known yet");
        assert!(qps[10..20].iter().all(|&qp| qp > 30), "{qps:?}");
        assert_eq!(qps[GROUPS - 1], 30, "{qps:?}");
        let plain = MEAN_BITS * 88;
        let target = MEAN_BITS * 80;
        assert!(bits < plain - (plain - target) / 4, "{bits}");
    }

    #[test]
    fn with_a_history_groups_that_take_as_much_as_before_are_left_alone() {
        let mut history = GroupHistory::new();
        // Sky above, ground below: as much as expected in all.
        let bits_of = |group| if group < GROUPS / 2 { 500 } else { 1500 };
        let (without, _) = encode(&list(30, true), &mut history, &bits_of);
        let swing = |qps: &[u8]| -> u32 { qps.iter().map(|qp| u32::from(qp.abs_diff(30))).sum() };
        history.before = history.now.clone();
        let (with, bits) = encode(&list(30, false), &mut history, &bits_of);
        assert!(swing(&without) > 0, "{without:?}");
        assert!(swing(&with) < swing(&without), "{with:?} after {without:?}");
        let target = u32::try_from(GROUPS).expect("few") * MEAN_BITS;
        assert!(bits.abs_diff(target) * 20 < target, "{bits}");
    }

    #[test]
    fn groups_are_pulled_towards_their_target_and_never_out_of_the_range() {
        for (slice_qp, range) in [(30, 28..=32), (39, 37..=40), (20, 20..=22)] {
            for bits in [1, 300, 5000, GROUP_BITS_MAX / 80] {
                let mut history = GroupHistory::new();
                let (qps, _) = encode(&list(slice_qp, true), &mut history, &|_| bits);
                assert!(qps.iter().all(|qp| range.contains(qp)), "{qps:?}");
                let last = qps[GROUPS - 1];
                let expected = if bits > MEAN_BITS {
                    range.end()
                } else {
                    range.start()
                };
                assert_eq!(last, *expected, "{bits} bits at {slice_qp}");
            }
        }
    }

    #[test]
    fn what_groups_took_comes_back_from_memory_until_a_list_forgets_it() {
        use crate::memory::PlainMemory;
        let mut memory = PlainMemory::new(0x1000, 0x2000);
        let mut list = list(30, false);
        list.at.ep3 = 0x1000;
        let taken: Vec<u32> = (0..1024).collect();
        store(&list, &taken, &mut memory).expect("memory");
        let mut history = GroupHistory::new();
        history.load(&list, &memory).expect("memory");
        assert_eq!(history.before, taken);
        // Nothing but the context was written.
        let mut tables = [1; 0x400];
        memory.read(0x1000, &mut tables).expect("memory");
        assert_eq!(tables, [0; 0x400]);
        if let Some(hwrc) = &mut list.hwrc {
            hwrc.restart = true;
        }
        history.load(&list, &memory).expect("memory");
        assert_eq!(history.before, [0; 1024]);
    }
}
