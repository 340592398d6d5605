//! What happens in one world, from beginning to end: a list of operations, and what the hardware does wrong.

use crate::world::chance::{Chance, Recorder, Rng, Tape};
use crate::world::op::{Ask, Op, Which};
use avpu_proto::request::{OpenChannel, Reconfigure};
use avpu_proto::types::Class;
use core::fmt::Write as _;

/// A world's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What the model draws from.
    pub seed: u64,
    /// The model's faults, in its own notation; empty for hardware that works.
    pub faults: String,
    /// The daemon is set to allow little.
    pub is_tight: bool,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

/// Names a client that has just connected, or the one before it where nobody else did.
const NEWEST: u8 = u8::MAX;

impl Script {
    /// The script of a seed, of about so many operations.
    #[must_use]
    pub fn draw(seed: u64, len: usize) -> Self {
        let mut rng = Rng::new(seed);
        let faults = faults(&mut rng);
        let is_tight = rng.once_in(3);
        let len = len / 2 + usize::try_from(rng.below(1000)).expect("small") * len / 1000;
        let mut ops = Vec::with_capacity(len + 16);
        while ops.len() < len {
            extend(&mut ops, &mut rng);
        }
        if is_slow(seed) {
            overrun(&mut ops);
        }
        Self {
            seed,
            faults,
            is_tight,
            ops,
        }
    }

    /// The script that bytes stand for: the same bytes are the same script, and a small change of them is a small
    /// change of it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut tape = Tape::new(bytes);
        let faults = faults(&mut tape);
        let is_tight = tape.once_in(3);
        let mut ops = Vec::new();
        while !tape.is_used_up() && ops.len() < OPS_MAX {
            extend(&mut ops, &mut tape);
        }
        Self {
            seed: 1,
            faults,
            is_tight,
            ops,
        }
    }

    /// Whether pictures take four times as long as the daemon is told.
    pub(super) const fn is_slow(&self) -> bool {
        is_slow(self.seed)
    }

    /// Bytes that stand for a script of about so many operations, drawn from a seed.
    #[must_use]
    pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut recorder = Recorder::new(seed);
        let _ = faults(&mut recorder);
        let _ = recorder.once_in(3);
        let mut ops = Vec::new();
        while ops.len() < len {
            extend(&mut ops, &mut recorder);
        }
        recorder.into_bytes()
    }

    /// The part of this script with these operations only.
    #[must_use]
    pub fn only(&self, keep: &[usize]) -> Self {
        let kept = keep.iter().filter_map(|&index| self.ops.get(index));
        Self {
            ops: kept.cloned().collect(),
            ..self.clone()
        }
    }
}

/// Longest script from bytes.
const OPS_MAX: usize = 4000;

/// Clients at once.
const SEATS: u8 = 6;

const fn is_slow(seed: u64) -> bool {
    seed % 16 == 3
}

/// Everybody goes, and two come: one that cannot wait for long, and one whose pictures take longer than stated for long
/// enough.
fn overrun(ops: &mut Vec<Op>) {
    ops.extend((0..SEATS).map(|who| Op::Leave { who }));
    ops.push(Op::Pass { us: 3_000_000 });
    let hurried = OpenChannel {
        width: 160,
        height: 96,
        class: Class::Live,
        deadline_us: 800,
        ring_bytes: 1 << 16,
        ..OpenChannel::default()
    };
    let large = OpenChannel {
        width: 640,
        height: 368,
        class: Class::BestEffort,
        deadline_us: 0,
        ..hurried.clone()
    };
    for (seat, wish) in (0..).zip([hurried, large]) {
        ops.push(Op::Join {
            seat,
            chunk: 4096,
            raw: false,
            root: false,
            reads: true,
        });
        let lease = Ask::Lease {
            channel: Which::Own(0),
            count: 2,
        };
        ops.extend([Ask::Open(wish), lease].map(|ask| Op::Ask { who: NEWEST, ask }));
    }
    ops.push(Op::Feed {
        who: NEWEST,
        channel: 0,
        permille: 1000,
        frames: 80,
    });
    ops.push(Op::Pass { us: 4_000_000 });
}

/// Appends what happens next, and the time until then.
fn extend(ops: &mut Vec<Op>, chance: &mut impl Chance) {
    match chance.below(20) {
        0 => ops.push(Op::Pass {
            us: chance.below(200_000),
        }),
        1..=13 => ops.push(Op::Pass {
            us: chance.below(3000),
        }),
        _ => {}
    }
    let op = Op::draw(chance);
    let joins = matches!(op, Op::Join { .. });
    ops.push(op);
    // Most come to encode something.
    if joins && !chance.once_in(4) {
        let wish = crate::world::op::open(chance);
        let own = Which::Own(0);
        let asks = [
            Ask::Open(wish),
            Ask::Lease {
                channel: own,
                count: 4,
            },
            Ask::Subscribe {
                channel: own,
                name: "",
                join: avpu_proto::types::Join::LastIdr,
                credits: 0,
            },
        ];
        ops.extend(asks.map(|ask| Op::Ask { who: NEWEST, ask }));
        if chance.once_in(2) {
            ops.push(Op::Feed {
                who: NEWEST,
                channel: 0,
                permille: 1000,
                frames: 30,
            });
        }
        return;
    }
    if !joins && chance.once_in(40) {
        rebuild(ops, chance);
    }
}

/// Somebody drains a channel, makes another of it and lets it go on.
fn rebuild(ops: &mut Vec<Op>, chance: &mut impl Chance) {
    let (who, channel) = (chance.byte(), Which::Own(chance.byte()));
    let size = crate::world::op::open(chance);
    let changes = Reconfigure {
        width: size.width,
        height: size.height,
        profile: chance.once_in(3).then_some(size.profile),
        ..Reconfigure::default()
    };
    let asks = [
        Ask::Drain {
            channel,
            keep: true,
        },
        Ask::Reconfigure { channel, changes },
        Ask::Resume { channel },
        Ask::Lease { channel, count: 2 },
    ];
    for ask in asks {
        ops.push(Op::Ask { who, ask });
        ops.push(Op::Pass {
            us: chance.below(40_000),
        });
    }
}

/// What the hardware does wrong: in one world of three nothing.
fn faults(chance: &mut impl Chance) -> String {
    let mut text = String::new();
    if chance.once_in(3) {
        return text;
    }
    // The most frequent that each may be, once in so many pictures, and its argument.
    let kinds = [
        ("lost", 30, ""),
        ("late", 10, ":3000"),
        ("late", 60, ":300000"),
        ("early", 8, ""),
        ("early", 30, ":1900"),
        ("duplicate", 6, ""),
        ("spurious", 6, ""),
        ("wake", 6, ""),
        ("eintr", 6, ""),
        ("latched", 12, ""),
        ("stuck", 40, ":1"),
        ("stuck", 60, ":3"),
        ("axi", 60, ":2"),
        ("axi", 400, ":0"),
        ("overflow", 12, ""),
        ("fill", 12, ""),
        ("garbage", 12, ""),
        ("unescaped", 4, ""),
        ("tail", 12, ""),
    ];
    for (kind, often, argument) in kinds {
        if chance.once_in(3) {
            let rate = often << chance.below(5);
            let comma = if text.is_empty() { "" } else { "," };
            write!(text, "{comma}{kind}/{rate}{argument}").expect("a string takes everything");
        }
    }
    text
}
