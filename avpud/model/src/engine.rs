//! The machine: registers in, interrupts out, in virtual time.
//!
//! The engine owns all state of the block and of the kernel driver's side of it, and nothing that takes time. A push
//! fetches and checks the command list; the picture itself is made by whoever drives the engine, who takes it with
//! [`Engine::work`], makes it, says [`Engine::ready`], and brings it to [`Engine::advance`] when it is due. So a reset
//! or a second open can come at any moment, and a picture that was given up never reaches memory.
//!
//! Time is whatever the caller says, in microseconds, and never goes back.

mod finish;
mod push;

use crate::avc::SliceKind;
use crate::cmdlist::{CommandList, WORDS, Words};
use crate::completion::{Finished, StatusWords};
use crate::fault::{FaultKind, FaultPlan, Strike};
use crate::history::History;
use crate::irq::{Interrupts, Waited};
use crate::memory::Memory;
use crate::registers::{IP_ID_T31, Place, RegisterError, ResetSequence, ResetStep, offset};
use crate::rng::Rng;
use crate::tables::Tables;
use crate::timing::Pace;
use crate::violation::{ModelFault, RegisterRule, Violation};
use std::fmt;

/// What an engine is made with.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// When pictures complete.
    pub pace: Pace,
    /// Faults that are wanted.
    pub faults: FaultPlan,
    /// What fault rates and garbage are drawn from.
    pub seed: u64,
}

/// What an engine has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pictures pushed.
    pub pushed: u32,
    /// Pictures whose slice data and reconstruction reached memory.
    pub completed: u32,
    /// Pictures given up by a reset.
    pub aborted: u32,
    /// Pictures that ended in error-filled status words.
    pub failed: u32,
    /// Pictures that were made too late for the pace.
    pub late: u32,
    /// Pictures that some fault struck.
    pub struck: u32,
    /// Resets of the core.
    pub resets: u32,
    /// Resets with a pause inside that is longer than any known to work.
    pub slow_resets: u32,
    /// Opens that were refused because the device was open; each leaves the clocks' enable count raised.
    pub refused_opens: u32,
    /// Rules broken; all of them, also those no longer listed.
    pub model_faults: u32,
}

/// The machine.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    rng: Rng,
    irq: Interrupts,
    reset: ResetSequence,
    misc_ctrl: u32,
    top_ctrl: u32,
    list_address: u32,
    clock: u32,
    image: Words,
    core: Core,
    /// A reset was completed since the last push.
    was_reset: bool,
    /// Since the last push the interrupt was masked.
    was_masked: bool,
    /// Since the last push the clock was gated.
    was_gated: bool,
    /// The status register reads 3 though no picture runs.
    latched: bool,
    /// Resets that will not help yet.
    resets_owed: u32,
    bus: Bus,
    last_push_us: Option<u64>,
    timed: Vec<(u64, Timed)>,
    history: History,
    tables: Tables,
    faults: Vec<ModelFault>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bus {
    Alive,
    /// Hangs; comes back after so many resets.
    HangsForResets(u32),
    Dead,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "kept in place: a push comes from a thread that must not allocate"
)]
enum Core {
    Idle,
    /// A picture that never completes.
    Stuck,
    /// A picture that ends in error-filled status words.
    Failing {
        due_us: u64,
        list_address: u32,
    },
    /// A picture.
    Running(Running),
}

#[derive(Debug)]
struct Running {
    number: u32,
    list: CommandList,
    default_lists: bool,
    strike: Strike,
    due_us: u64,
    taken: bool,
    ready: bool,
}

/// Something that happens later.
#[derive(Clone, Copy, Debug)]
enum Timed {
    Raise,
    Status(StatusWords),
    /// The last bytes of the slice data of a picture.
    Tail {
        number: u32,
    },
}

/// A picture to be made.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Names the picture; counted by pushes from 0.
    pub number: u32,
    /// What to make.
    pub list: CommandList,
    /// The scaling lists in memory are the Default ones.
    pub default_lists: bool,
    /// Index of an emulation prevention byte to leave out.
    pub omit_escape: Option<u32>,
}

/// A picture whose reconstruction is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureInfo {
    /// Counted by pushes from 0.
    pub number: u32,
    /// Coded width in pixels, a multiple of 8.
    pub width: u16,
    /// Coded height in pixels, a multiple of 8.
    pub height: u16,
    /// Slice type.
    pub kind: SliceKind,
    /// Slice QP.
    pub qp: u8,
    /// Order count.
    pub poc: u32,
    /// Address of the reconstructed luma.
    pub rec_luma: u32,
    /// Address of the reference luma, 0 in intra pictures.
    pub ref_luma: u32,
    /// Address of the lambda and scaling tables: a host keeps one set for each of its channels.
    pub tables: u32,
}

/// Model faults that are listed; later ones are only counted.
const FAULTS_MAX: usize = 256;
/// Longest time after a push in which a read was reported to wedge the chip, in microseconds.
const PUSH_QUIET_US: u64 = 100;
/// What a status register reads while a picture runs.
const STATUS_RUNNING: u32 = 3;

impl Engine {
    /// A block out of reset whose file is closed.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let rng = Rng::new(config.seed);
        Self {
            config,
            rng,
            irq: Interrupts::new(),
            reset: ResetSequence::default(),
            misc_ctrl: 0,
            top_ctrl: 0,
            list_address: 0,
            clock: 0,
            image: [0; WORDS],
            core: Core::Idle,
            was_reset: false,
            was_masked: true,
            was_gated: true,
            latched: false,
            resets_owed: 0,
            bus: Bus::Alive,
            last_push_us: None,
            timed: Vec::with_capacity(8),
            history: History::new(),
            tables: Tables::new(),
            faults: Vec::with_capacity(FAULTS_MAX),
            counters: Counters::default(),
        }
    }

    /// Opens the device file; false when it is open (ENODEV). Interrupts queued before are thrown away.
    pub fn open(&mut self) -> bool {
        let opened = self.irq.open();
        if !opened {
            self.counters.refused_opens += 1;
        }
        opened
    }

    /// Closes the device file. The block itself goes on with whatever it does.
    pub fn close(&mut self) {
        self.irq.close();
    }

    /// Unblocks waits on the open file, for good.
    pub fn unblock(&mut self) {
        self.irq.unblock();
    }

    /// What a wait finds now; takes it.
    pub fn take_irq(&mut self) -> Waited {
        self.irq.take()
    }

    /// Whether a wait would find something.
    #[must_use]
    pub fn has_irq(&self) -> bool {
        self.irq.ready()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Rules that were broken, oldest first, as far as they are listed.
    #[must_use]
    pub fn faults(&self) -> &[ModelFault] {
        &self.faults
    }

    /// Forgets the listed faults; the count stays.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Reads a register.
    ///
    /// # Errors
    /// When the driver refuses the offset with EINVAL.
    pub fn read(&mut self, now_us: u64, offset: u32) -> Result<u32, RegisterError> {
        let place = Place::of(offset)?;
        if self.bus != Bus::Alive {
            return Ok(STATUS_RUNNING);
        }
        if self.reset.other() {
            self.break_register(offset, 0, RegisterRule::ResetInterrupted);
        }
        let quiet = self.last_push_us.take();
        if quiet.is_some_and(|pushed| now_us.saturating_sub(pushed) < PUSH_QUIET_US)
            && self.is_busy()
        {
            self.break_register(offset, 0, RegisterRule::ReadAfterPush);
        }
        Ok(match place {
            Place::IpId => IP_ID_T31,
            Place::MiscCtrl => self.misc_ctrl,
            Place::TopCtrl => self.top_ctrl,
            Place::IrqMask => self.irq.mask(),
            Place::IrqPending => self.irq.pending(),
            Place::Image(word) => usize::try_from(word)
                .ok()
                .and_then(|word| self.image.get(word).copied())
                .unwrap_or(0),
            Place::ClAddr => self.list_address,
            Place::Clock => self.clock | u32::from(self.clock == 1) << 16,
            Place::Status if self.is_busy() || self.latched => STATUS_RUNNING,
            Place::Status
            | Place::ClPush
            | Place::Reset
            | Place::Jpeg
            | Place::AxiAddrOffset
            | Place::Unknown => 0,
        })
    }

    /// Writes a register. A push reads the command list from `memory`.
    ///
    /// # Errors
    /// When the driver refuses the offset with EINVAL.
    pub fn write(
        &mut self,
        now_us: u64,
        offset: u32,
        value: u32,
        memory: &dyn Memory,
    ) -> Result<(), RegisterError> {
        let place = Place::of(offset)?;
        if self.bus != Bus::Alive {
            if place == Place::Reset {
                self.write_reset(now_us, value);
            }
            return Ok(());
        }
        self.last_push_us = None;
        if place != Place::Reset && self.reset.other() {
            self.break_register(offset, value, RegisterRule::ResetInterrupted);
        }
        match place {
            Place::MiscCtrl => self.misc_ctrl = value,
            Place::TopCtrl => self.top_ctrl = value,
            Place::IrqMask => {
                self.was_masked |= value & 1 == 0;
                self.irq.set_mask(value);
            }
            Place::IrqPending => {
                if value & !crate::irq::PENDING_BITS != 0 {
                    self.break_register(offset, value, RegisterRule::PendingTopBits);
                }
                self.irq.acknowledge(value);
            }
            Place::ClAddr => self.list_address = value,
            Place::ClPush => self.push(now_us, value, memory),
            Place::Reset => self.write_reset(now_us, value),
            Place::Clock => {
                if value & 3 > 1 {
                    self.break_register(offset, value, RegisterRule::ClockCommand);
                }
                self.clock = value & 3;
                self.was_gated |= self.clock == 0;
            }
            Place::AxiAddrOffset => {
                self.break_register(offset, value, RegisterRule::OffsetMode);
                self.hang(Bus::Dead);
            }
            Place::Jpeg => self.break_register(offset, value, RegisterRule::JpegCore),
            Place::IpId | Place::Image(_) | Place::Status | Place::Unknown => {
                self.break_register(offset, value, RegisterRule::Unknown);
            }
        }
        Ok(())
    }

    /// The picture that was pushed, once, if somebody has to make it.
    pub fn work(&mut self) -> Option<Work> {
        let Core::Running(running) = &mut self.core else {
            return None;
        };
        if running.taken {
            return None;
        }
        running.taken = true;
        Some(Work {
            number: running.number,
            list: running.list,
            default_lists: running.default_lists,
            omit_escape: running.strike.argument(FaultKind::Unescaped),
        })
    }

    /// Says that picture `number` is made. False when it was given up meanwhile.
    pub fn ready(&mut self, now_us: u64, number: u32) -> bool {
        match &mut self.core {
            Core::Running(running) if running.number == number => {
                running.ready = true;
                if now_us > running.due_us && self.config.pace == Pace::T31 {
                    self.counters.late += 1;
                }
                running.due_us = running.due_us.max(now_us);
                true
            }
            _ => false,
        }
    }

    /// When [`Engine::advance`] has something to do next. `None` while it waits for a picture, or for nothing.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        let core = match &self.core {
            Core::Failing { due_us, .. } => Some(*due_us),
            Core::Running(running) if running.ready => Some(running.due_us),
            _ => None,
        };
        let timed = self.timed.iter().map(|(at, _)| *at).min();
        core.into_iter().chain(timed).min()
    }

    /// When the picture in the core is to complete, made or not.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        match &self.core {
            Core::Failing { due_us, .. } => Some(*due_us),
            Core::Running(running) => Some(running.due_us),
            Core::Idle | Core::Stuck => None,
        }
    }

    /// Does everything that is due. `finished` is the picture that was said to be ready; it is kept by the caller
    /// until the next one is made, because its last bytes may be due later than its interrupt. Returns the picture
    /// whose reconstruction reached memory.
    pub fn advance(
        &mut self,
        now_us: u64,
        finished: Option<&Finished<'_>>,
        memory: &mut dyn Memory,
    ) -> Option<PictureInfo> {
        let mut written = None;
        while self.next_event_us().is_some_and(|at| at <= now_us) {
            if let Some(info) = self.step(now_us, finished, memory) {
                written = Some(info);
            }
        }
        written
    }

    fn write_reset(&mut self, now_us: u64, value: u32) {
        let (step, slow) = self.reset.write(now_us, value);
        if let Some(rule) = step.rule() {
            self.break_register(offset::RESET, value, rule);
        }
        self.counters.slow_resets += u32::from(slow);
        // The first write already stops the core and its writes to memory; only the third brings it back. An
        // interrupt that is under way arrives all the same.
        self.timed
            .retain(|(_, event)| matches!(event, Timed::Raise));
        if matches!(self.core, Core::Failing { .. } | Core::Running(_)) {
            self.abort();
        }
        if step != ResetStep::Done {
            return;
        }
        self.counters.resets += 1;
        match self.bus {
            Bus::Alive => {}
            Bus::HangsForResets(0 | 1) => self.bus = Bus::Alive,
            Bus::HangsForResets(left) => self.bus = Bus::HangsForResets(left - 1),
            Bus::Dead => return,
        }
        self.resets_owed = self.resets_owed.saturating_sub(1);
        if self.resets_owed == 0 {
            self.counters.aborted += u32::from(matches!(self.core, Core::Stuck));
            self.core = Core::Idle;
            self.latched = false;
            self.was_reset = true;
        }
    }

    /// Gives up the picture in the core and everything it still had to do.
    fn abort(&mut self) {
        if let Core::Running(running) = &self.core {
            self.history.record(&running.list, false);
        }
        self.core = Core::Idle;
        self.counters.aborted += 1;
    }

    fn is_busy(&self) -> bool {
        !matches!(self.core, Core::Idle)
    }

    fn hang(&mut self, bus: Bus) {
        self.bus = bus;
        self.core = Core::Stuck;
        self.timed.clear();
    }

    /// Memory that was there at the push is gone.
    fn hang_on(&mut self, error: crate::memory::BusError) {
        self.record(
            self.counters.pushed.checked_sub(1),
            Violation::Address {
                word: crate::violation::NO_WORD,
                address: error.address,
                len_bytes: error.len_bytes,
                problem: crate::violation::AddressProblem::Outside,
            },
        );
        self.hang(Bus::Dead);
    }

    fn break_register(&mut self, offset: u32, value: u32, rule: RegisterRule) {
        let picture = self
            .is_busy()
            .then(|| self.counters.pushed.saturating_sub(1));
        self.record(
            picture,
            Violation::Register {
                offset,
                value,
                rule,
            },
        );
    }

    fn record(&mut self, picture: Option<u32>, violation: Violation) {
        note(&mut self.faults, &mut self.counters, picture, violation);
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pictures pushed, {} completed, {} failed, {} given up, {} later than the pace, \
             {} struck by wanted faults, {} rules broken",
            self.pushed,
            self.completed,
            self.failed,
            self.aborted,
            self.late,
            self.struck,
            self.model_faults
        )
    }
}

fn note(
    faults: &mut Vec<ModelFault>,
    counters: &mut Counters,
    picture: Option<u32>,
    violation: Violation,
) {
    counters.model_faults = counters.model_faults.saturating_add(1);
    if faults.len() < FAULTS_MAX {
        faults.push(ModelFault { picture, violation });
    }
}
