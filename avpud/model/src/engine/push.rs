//! A push: what the registers must be like, and fetching and checking the command list.

use super::{Bus, Core, Engine, Running, note};
use crate::avc::SliceKind;
use crate::cmdlist::{self, CommandList, WORDS};
use crate::dma;
use crate::fault::FaultKind;
use crate::memory::Memory;
use crate::registers::offset;
use crate::violation::{Effect, RegisterRule, Violation};

impl Engine {
    pub(super) fn push(&mut self, now_us: u64, value: u32, memory: &dyn Memory) {
        let number = self.counters.pushed;
        self.counters.pushed += 1;
        let mut effect = Effect::Noted;
        for rule in self.broken_before_push(value) {
            let violation = Violation::Register {
                offset: offset::CL_PUSH,
                value,
                rule,
            };
            effect = effect.max(violation.effect());
            self.record(Some(number), violation);
        }
        let strike = self.config.faults.strike(number, &mut self.rng);
        if effect == Effect::NeverCompletes {
            return;
        }
        self.last_push_us = Some(now_us);
        self.was_reset = false;
        self.was_masked = false;
        self.was_gated = false;
        let list = self.fetch(number, memory, &mut effect);
        self.counters.struck += u32::from(strike.any());
        if strike.has(FaultKind::Spurious) {
            self.irq.raise(0);
        }
        if let Some(line) = strike.argument(FaultKind::Wake) {
            self.irq.wake(u8::try_from(line).unwrap_or(u8::MAX));
        }
        if strike.has(FaultKind::Eintr) {
            self.irq.interrupt_wait();
        }
        if let Some(resets) = strike.argument(FaultKind::Axi) {
            self.hang(match resets {
                0 => Bus::Dead,
                resets => Bus::HangsForResets(resets),
            });
            return;
        }
        if let Some(resets) = strike.argument(FaultKind::Stuck) {
            self.resets_owed = resets;
            effect = effect.max(Effect::NeverCompletes);
        }
        let (kind, macroblocks) = list.map_or((SliceKind::I, 0), |(list, _)| {
            (list.kind, list.macroblocks())
        });
        let due_us = now_us + self.config.pace.picture_us(kind, macroblocks);
        self.core = match (effect, list) {
            (Effect::BusHang, _) => return self.hang(Bus::Dead),
            (Effect::NeverCompletes, _) => Core::Stuck,
            (Effect::Noted, Some((list, default_lists))) => Core::Running(Running {
                number,
                list,
                default_lists,
                strike,
                due_us,
                taken: false,
                ready: false,
            }),
            (Effect::ErrorFill | Effect::Noted, _) => Core::Failing {
                due_us,
                list_address: self.list_address,
            },
        };
    }

    /// The rules that the registers break at a push.
    fn broken_before_push(&self, value: u32) -> impl Iterator<Item = RegisterRule> + use<> {
        let gated = self.was_masked && self.was_gated;
        [
            (value != 2, RegisterRule::PushValue),
            (self.is_busy() || self.latched, RegisterRule::Busy),
            (self.clock != 1, RegisterRule::ClockOff),
            (!self.was_reset, RegisterRule::NoReset),
            (!gated, RegisterRule::NotGated),
            (
                self.misc_ctrl != 0x1000 || self.top_ctrl != 0x80,
                RegisterRule::NotPoweredUp,
            ),
        ]
        .into_iter()
        .filter_map(|(broken, rule)| broken.then_some(rule))
    }

    /// Reads the command list and checks everything about it.
    fn fetch(
        &mut self,
        number: u32,
        memory: &dyn Memory,
        effect: &mut Effect,
    ) -> Option<(CommandList, bool)> {
        let address = self.list_address;
        let Self {
            faults,
            counters,
            history,
            tables,
            ..
        } = self;
        let mut report = |violation: Violation| {
            *effect = (*effect).max(violation.effect());
            note(faults, counters, Some(number), violation);
        };
        if !dma::check_list(address, memory, &mut report) {
            return None;
        }
        let mut bytes = [0; 4 * WORDS];
        if memory.read(address, &mut bytes).is_err() {
            return None;
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = bytes.try_into().map_or(0, u32::from_le_bytes);
        }
        self.image = words;
        let list = cmdlist::read(address, &words, &mut report)?;
        let mut default_lists = true;
        if dma::check(&list, memory, &mut report) {
            history.check(&list, &mut report);
            default_lists = tables.check(&list, memory, &mut report);
        }
        Some((list, default_lists))
    }
}
