//! What can happen in a world, one operation at a time.
//!
//! An operation names clients, channels and buffers by position, and whoever carries it out takes what is there: any
//! part of a script is a script, which is what makes failing ones short.

use crate::world::chance::Chance;
use avpu_proto::request::{OpenChannel, Reconfigure};
use avpu_proto::types::{Class, Codec, FrameRate, Join, Overload, Profile, RateControl};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Time passes.
    Pass {
        /// How much.
        us: u32,
    },
    /// A client connects.
    Join {
        /// In whose place, by position; nobody does where that is taken.
        seat: u8,
        /// Most bytes of it that reach the daemon at once.
        chunk: u32,
        /// Its group may use raw addresses.
        raw: bool,
        /// It is the super-user, who may take from others.
        root: bool,
        /// It gives packets back as they come.
        reads: bool,
    },
    /// A client feeds a channel of its own from now on, as a camera does.
    Feed {
        /// Which, by position.
        who: u8,
        /// Which channel, by position.
        channel: u8,
        /// Time from frame to frame, in thousandths of the channel's period.
        permille: u16,
        /// How many.
        frames: u16,
    },
    /// A client asks for something.
    Ask {
        /// Which, by position.
        who: u8,
        /// What for.
        ask: Ask,
    },
    /// A client sends the first bytes of a request and then goes.
    AskHalf {
        /// Which, by position.
        who: u8,
        /// What for.
        ask: Ask,
        /// How many bytes.
        len: u8,
    },
    /// A client sends bytes that are no request.
    Babble {
        /// Which, by position.
        who: u8,
        /// Them.
        bytes: [u8; 12],
    },
    /// A client stops taking bytes from its socket, or goes on.
    Doze {
        /// Which, by position.
        who: u8,
        /// It stops.
        asleep: bool,
    },
    /// A client goes.
    Leave {
        /// Which, by position.
        who: u8,
    },
    /// An interrupt comes that belongs to nothing.
    SpuriousInterrupt,
    /// Word comes of a job that is long over.
    StaleCompletion,
    /// The next channel or lease cannot be set up.
    FailSetUp,
    /// The next picture does not get into its ring.
    FailDelivery,
    /// A register access fails.
    FailDevice {
        /// So many accesses from now.
        after: u32,
    },
    /// The daemon is told to stop.
    ShutDown,
}

/// A channel, lease, region or subscription: one's own by position, or any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One's own.
    Own(u8),
    /// Perhaps somebody else's, perhaps nobody's.
    Any(u32),
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a leased buffer, by position; one that is free where there is one.
    Own(u8),
    /// So many bytes beside one.
    Beside(i32),
    /// In the window, at this offset.
    Window(u32),
    /// In the arena, at this offset.
    Arena(u32),
    /// Anywhere.
    Anywhere(u32),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the requests of the protocol, field by field")]
pub enum Ask {
    Open(OpenChannel),
    Lease {
        channel: Which,
        count: u8,
    },
    Submit {
        channel: Which,
        place: Place,
        force_idr: bool,
    },
    Release {
        nth: u8,
    },
    Subscribe {
        channel: Which,
        name: &'static str,
        join: Join,
        credits: u16,
    },
    Unsubscribe {
        subscription: Which,
    },
    CloseChannel {
        channel: Which,
    },
    Drain {
        channel: Which,
        keep: bool,
    },
    ReturnLease {
        lease: Which,
    },
    Register {
        offset: u32,
        len: u32,
    },
    Unregister {
        region: Which,
    },
    RequestIdr {
        channel: Which,
        name: &'static str,
    },
    Capabilities,
    Status,
    Channels {
        cursor: u32,
    },
    Clients {
        cursor: u32,
    },
    Memory {
        cursor: u32,
    },
    Watch {
        on: bool,
    },
    Fits {
        wishes: Vec<OpenChannel>,
        alone: bool,
    },
    Reconfigure {
        channel: Which,
        changes: Reconfigure,
    },
    Flush {
        channel: Which,
    },
    Reset {
        channel: Which,
    },
    Resume {
        channel: Which,
    },
    ParameterSets {
        channel: Which,
    },
    UserData {
        channel: Which,
        len: u32,
        every_idr: bool,
    },
    Explain {
        channel: Which,
        number: u32,
        by_frame: bool,
    },
    Trace {
        cursor: u32,
    },
    Revoke {
        lease: Which,
        grace_us: u32,
    },
    ReleaseQuarantine {
        place: Place,
    },
    /// A buffer of somebody else's comes along.
    Import {
        /// Where it turns out to lie; address 0: nowhere.
        place: Place,
        len: u32,
    },
    /// A request of a later version.
    Unknown {
        number: u8,
    },
}

/// Names of channels; the empty one leaves it to the daemon.
pub(super) const NAMES: [&str; 7] = ["", "", "", "", "main", "ch0", "nobody's"];

impl Op {
    /// The next operation of a client or of the outside world; how time passes is the script's affair.
    pub fn draw(chance: &mut impl Chance) -> Self {
        match chance.below(250) {
            0..=11 => Self::Join {
                seat: chance.byte(),
                chunk: chance.pick(&[1, 3, 7, 60, 4096, 65536, 65536, 65536]),
                raw: chance.once_in(2),
                root: chance.once_in(4),
                reads: chance.once_in(2),
            },
            12..=14 => Self::Leave { who: chance.byte() },
            15 => Self::SpuriousInterrupt,
            16 => Self::StaleCompletion,
            17 => Self::FailSetUp,
            18 => Self::FailDelivery,
            19 if chance.once_in(2) => Self::FailDevice {
                after: chance.below(40),
            },
            20 => Self::AskHalf {
                who: chance.byte(),
                ask: Ask::draw(chance),
                len: chance.byte(),
            },
            21 if chance.once_in(2) => Self::Babble {
                who: chance.byte(),
                bytes: core::array::from_fn(|_| chance.byte()),
            },
            22..=25 => Self::Doze {
                who: chance.byte(),
                asleep: chance.once_in(3),
            },
            26 if chance.once_in(20) => Self::ShutDown,
            27..=34 => Self::Feed {
                who: chance.byte(),
                channel: chance.byte(),
                permille: chance.pick(&[1000, 1000, 1000, 1000, 1001, 1300, 400, 50]),
                frames: u16::try_from(1 + chance.below(40)).expect("small"),
            },
            _ => Self::Ask {
                who: chance.byte(),
                ask: Ask::draw(chance),
            },
        }
    }
}

impl Ask {
    /// What a client asks for next.
    pub fn draw(chance: &mut impl Chance) -> Self {
        match chance.below(100) {
            0..=44 => Self::Submit {
                channel: Which::draw(chance, 20),
                place: Place::draw(chance),
                force_idr: chance.once_in(12),
            },
            45..=64 => Self::Release { nth: chance.byte() },
            65..=70 => Self::Open(open(chance)),
            71..=76 => Self::Lease {
                channel: Which::draw(chance, 20),
                count: u8::try_from(chance.below(4)).expect("small"),
            },
            77..=82 => Self::Subscribe {
                channel: Which::draw(chance, 2),
                name: chance.pick(&NAMES),
                join: chance.pick(&[Join::LastIdr, Join::NextIdr, Join::DemandIdr]),
                credits: u16::try_from(chance.below(20)).expect("small"),
            },
            _ => Self::draw_odd(chance),
        }
    }

    fn draw_odd(chance: &mut impl Chance) -> Self {
        match chance.below(26) {
            0 => Self::Capabilities,
            1 => Self::CloseChannel {
                channel: Which::draw(chance, 8),
            },
            2 => Self::ReturnLease {
                lease: Which::draw(chance, 4),
            },
            3 | 4 => Self::Register {
                offset: chance.below(40) * 0x1_0000 + chance.below(2) * 4,
                len: chance.below(0x8_0000),
            },
            5 => Self::Unregister {
                region: Which::draw(chance, 4),
            },
            6 => Self::Unsubscribe {
                subscription: Which::draw(chance, 4),
            },
            7..=9 => Self::RequestIdr {
                channel: Which::draw(chance, 3),
                name: chance.pick(&NAMES),
            },
            10 => Self::Drain {
                channel: Which::draw(chance, 8),
                keep: chance.once_in(2),
            },
            11 => Self::Status,
            12 => Self::Channels {
                cursor: chance.below(8),
            },
            13 => Self::Clients {
                cursor: chance.below(8),
            },
            14 => Self::Memory {
                cursor: chance.below(8),
            },
            15 | 16 => Self::Watch {
                on: chance.once_in(2),
            },
            17 if chance.once_in(2) => Self::Unknown {
                number: chance.byte(),
            },
            _ => Self::draw_control(chance),
        }
    }

    /// What changes a running channel, asks about it, or takes something away.
    fn draw_control(chance: &mut impl Chance) -> Self {
        let channel = Which::draw(chance, 6);
        match chance.below(21) {
            0 => Self::Fits {
                wishes: (0..chance.below(4)).map(|_| open(chance)).collect(),
                alone: chance.once_in(2),
            },
            1..=6 => Self::Reconfigure {
                channel,
                changes: reconfigure(chance),
            },
            7 => Self::Flush { channel },
            8 => Self::Reset { channel },
            9 | 10 => Self::Resume { channel },
            11 => Self::ParameterSets { channel },
            12 => Self::UserData {
                channel,
                len: chance.below(600),
                every_idr: chance.once_in(2),
            },
            13 => Self::Explain {
                channel,
                number: chance.below(40),
                by_frame: chance.once_in(2),
            },
            14 => Self::Trace {
                cursor: chance.below(100),
            },
            15 | 18 => Self::Revoke {
                lease: Which::draw(chance, 8),
                grace_us: chance.below(30_000),
            },
            16 | 17 => Self::Import {
                place: Place::draw_foreign(chance),
                len: chance.below(0x2_0000),
            },
            _ => Self::ReleaseQuarantine {
                place: Place::draw(chance),
            },
        }
    }
}

/// One or two changes of a running channel.
fn reconfigure(chance: &mut impl Chance) -> Reconfigure {
    let mut changes = Reconfigure::default();
    for _ in 0..=chance.below(2) {
        match chance.below(9) {
            0 => changes.bitrate_bps = chance.below(1_000_000),
            1 => changes.rate_control = Some(open(chance).rate_control),
            2 => changes.fps = Some(open(chance).fps),
            3 => changes.fps_out = Some(open(chance).fps),
            4 => changes.gop_length = chance.below(12),
            5 => {
                let wish = open(chance);
                (changes.width, changes.height) = (wish.width, wish.height);
            }
            6 => changes.class = Some(open(chance).class),
            7 => {
                changes.overload = Some(overload(chance));
                changes.deadline_us = Some(chance.below(60_000));
            }
            _ => changes.weight = u16::try_from(chance.below(5)).expect("small"),
        }
    }
    changes
}

impl Which {
    fn draw(chance: &mut impl Chance, any_once_in: u32) -> Self {
        if chance.once_in(any_once_in) {
            Self::Any(chance.below(40))
        } else {
            Self::Own(chance.byte())
        }
    }

    /// The one that is meant among one's own; number 0 where there is none.
    pub(super) fn resolve<T: Copy>(self, own: &[T], number: impl Fn(u32) -> T) -> T {
        match self {
            Self::Own(index) => nth(own, index).unwrap_or_else(|| number(0)),
            Self::Any(value) => number(value),
        }
    }
}

impl Place {
    fn draw(chance: &mut impl Chance) -> Self {
        match chance.below(40) {
            0 => Self::Anywhere(chance.below(u32::MAX)),
            1 => Self::Anywhere(u32::MAX - chance.below(0x4_0000) / 256 * 256),
            2 | 3 => Self::Window(chance.below(0x40_0000) / 256 * 256),
            4 => Self::Arena(chance.below(0x80_0000) / 256 * 256),
            5 => Self::Beside(256),
            6 => Self::Beside(-4096),
            _ => Self::Own(chance.byte()),
        }
    }
}

impl Place {
    /// Where memory of other drivers lies, or is said to.
    fn draw_foreign(chance: &mut impl Chance) -> Self {
        match chance.below(8) {
            0 => Self::Anywhere(0),
            1 => Self::draw(chance),
            _ => Self::Window(chance.below(64) * 0x1_0000),
        }
    }
}

/// The one at a position, counted around.
pub(super) fn nth<T: Copy>(items: &[T], index: u8) -> Option<T> {
    let index = usize::from(index).checked_rem(items.len())?;
    items.get(index).copied()
}

/// A channel, sensible or not.
pub(super) fn open(chance: &mut impl Chance) -> OpenChannel {
    let (width, height) = chance.pick(&[(64, 64), (64, 64), (176, 144), (320, 192), (640, 360)]);
    OpenChannel {
        codec: if chance.once_in(20) {
            Codec::Jpeg
        } else {
            Codec::Avc
        },
        width: if chance.once_in(20) { 7 } else { width },
        height,
        fps: chance.pick(&[
            FrameRate { num: 0, den: 0 },
            FrameRate { num: 5, den: 1 },
            FrameRate { num: 15, den: 1 },
            FrameRate { num: 25, den: 1 },
            FrameRate {
                num: 30000,
                den: 1001,
            },
            FrameRate { num: 1, den: 2 },
            FrameRate { num: 25, den: 0 },
        ]),
        profile: chance.pick(&[
            Profile::High,
            Profile::High,
            Profile::Main,
            Profile::Baseline,
        ]),
        gop_length: chance.below(12),
        rate_control: match chance.below(8) {
            0..=3 => RateControl::FixQp {
                qp: u8::try_from(chance.below(52)).expect("small"),
            },
            4..=6 => RateControl::Cbr {
                bitrate_bps: 20_000 + chance.below(1_000_000),
                qp_min: 0,
                qp_max: 0,
            },
            _ => RateControl::Cbr {
                bitrate_bps: chance.below(1_000_000),
                qp_min: u8::try_from(chance.below(30)).expect("small"),
                qp_max: u8::try_from(chance.below(60)).expect("small"),
            },
        },
        class: chance.pick(&[
            Class::BestEffort,
            Class::BestEffort,
            Class::Snapshot,
            Class::Record,
            Class::Live,
        ]),
        name: chance.pick(&NAMES).to_owned(),
        weight: u16::try_from(chance.below(4)).expect("small"),
        // Small rings, so that readers are overrun and pictures overflow.
        ring_bytes: 4096 << chance.below(5),
        ..unusual(chance)
    }
}

/// What most channels leave to the daemon.
fn unusual(chance: &mut impl Chance) -> OpenChannel {
    let plain = OpenChannel::default();
    match chance.below(24) {
        0..=3 => OpenChannel {
            overload: overload(chance),
            ..plain
        },
        4 | 5 => OpenChannel {
            overload: overload(chance),
            deadline_us: 1 + chance.below(60_000),
            ..plain
        },
        6 => OpenChannel {
            preroll_bytes: chance.below(65_536),
            ..plain
        },
        7 => OpenChannel {
            fps_out: FrameRate {
                num: chance.below(12),
                den: 1,
            },
            ip_qp_delta: Some(u8::try_from(chance.below(12)).expect("small")),
            ..plain
        },
        8 => OpenChannel {
            picture_bytes_max: chance.below(20_000),
            access_unit_delimiters: chance.once_in(2),
            full_range: chance.once_in(2),
            ..plain
        },
        9 => OpenChannel {
            filler: true,
            ..plain
        },
        _ => plain,
    }
}

fn overload(chance: &mut impl Chance) -> Overload {
    chance.pick(&[
        Overload::Reject,
        Overload::DropOldest,
        Overload::DropNewest,
        Overload::LatestOnly,
        Overload::Wait,
    ])
}
