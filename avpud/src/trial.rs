//! What the daemon would grant: its own core is asked, with no device and no peers.
//!
//! So a plan is exact, and there is no second copy of a rule that could differ.

use crate::core::Broker;
use crate::core::config::BrokerConfig;
use crate::core::event::{Input, Output, Peer, SessionKey};
use crate::core::time::Micros;
use crate::job::CodecCost;
use crate::mem::addr::{ByteLen, PhysRange};
use avpu_proto::reply::Reply;
use avpu_proto::request::{OpenChannel, Request};
use avpu_proto::types::{FrameRate, RateControl};
use core::fmt;

/// A channel that somebody thinks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Visible width in pixels.
    pub width: u16,
    /// Visible height in pixels.
    pub height: u16,
    /// Pictures a second.
    pub fps: u32,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It would be opened.
    Opened(Carved),
    /// It would be refused, for this reason.
    Refused(String),
}

/// What a channel would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carved {
    /// Encoder memory.
    pub memory: PhysRange,
    /// Ordinary memory: the data of its ring.
    pub ring: ByteLen,
    /// Encoder memory of one source picture, should the client lease any.
    pub source: ByteLen,
}

/// A daemon's core that opens channels for nobody.
pub struct Trial {
    broker: Broker,
    sessions: u32,
    qp_min: u8,
}

/// A finer quantiser can make a picture as large as the encoder's own bound, and a stream buffer must hold that.
pub const QP_MIN_USUAL: u8 = 20;
/// The finest that a client can allow.
pub const QP_MIN_FINEST: u8 = 1;

/// Channels of a usual camera.
pub const USUAL: [Wish; 2] = [
    Wish {
        width: 1920,
        height: 1080,
        fps: 25,
    },
    Wish {
        width: 640,
        height: 360,
        fps: 15,
    },
];

const NOW: Micros = Micros::new(0);
/// About what a usual scene needs.
const BITS_PER_MACROBLOCK: u32 = 10;
const BITRATE_MIN_BPS: u32 = 256_000;

impl Wish {
    /// Macroblocks of a picture.
    #[must_use]
    pub fn macroblocks(&self) -> u32 {
        u32::from(self.width.div_ceil(16)) * u32::from(self.height.div_ceil(16))
    }

    /// Encoder time that it needs with groups of two seconds, in thousandths of all there is.
    #[must_use]
    pub fn load_permille(&self, cost: CodecCost) -> u64 {
        let idr_ns = cost.idr.picture_ns(self.macroblocks());
        let p_ns = cost.p.picture_ns(self.macroblocks());
        let p_pictures = (2 * u64::from(self.fps)).saturating_sub(1);
        let group_ns = p_ns.saturating_mul(p_pictures).saturating_add(idr_ns);
        group_ns / 2 / 1_000_000
    }

    /// Bits a second: what the plan assumes.
    #[must_use]
    pub fn bitrate_bps(&self) -> u32 {
        self.macroblocks()
            .saturating_mul(self.fps)
            .saturating_mul(BITS_PER_MACROBLOCK)
            .max(BITRATE_MIN_BPS)
    }
}

impl Trial {
    /// With nothing open, for channels of constant bitrate whose quantiser is `qp_min` or coarser.
    #[must_use]
    pub fn new(config: BrokerConfig, qp_min: u8) -> Self {
        Self {
            broker: Broker::new(config, NOW),
            sessions: 0,
            qp_min,
        }
    }

    /// Opens a channel beside those opened before.
    pub fn open(&mut self, wish: &Wish) -> Outcome {
        let session = SessionKey::new(self.sessions);
        self.sessions += 1;
        let peer = Peer {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        self.broker.handle(NOW, Input::Opened { session, peer });
        let request = Request::OpenChannel(OpenChannel {
            width: wish.width,
            height: wish.height,
            fps: FrameRate {
                num: wish.fps,
                den: 1,
            },
            rate_control: RateControl::Cbr {
                bitrate_bps: wish.bitrate_bps(),
                qp_min: self.qp_min,
                qp_max: 0,
            },
            ..OpenChannel::default()
        });
        let body = Some(request);
        let id = 0;
        self.broker
            .handle(NOW, Input::Request { session, id, body });
        self.answer()
    }

    /// Carries out what the core wants, as a daemon whose device never says no.
    fn answer(&mut self) -> Outcome {
        let mut made = None;
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::CreateChannel {
                    channel,
                    memory,
                    ring_bytes,
                    ..
                } => {
                    made = Some((memory, ring_bytes));
                    let result = Ok(());
                    self.broker
                        .handle(NOW, Input::ChannelCreated { channel, result });
                }
                Output::Reply {
                    body: Reply::ChannelOpened(opened),
                    ..
                } => {
                    if let Some((memory, ring)) = made {
                        let source = ByteLen::new(opened.source.len_bytes);
                        return Outcome::Opened(Carved {
                            memory,
                            ring,
                            source,
                        });
                    }
                }
                Output::Reply {
                    body: Reply::Refused(refusal),
                    ..
                } => return Outcome::Refused(refusal.sentence),
                _ => {}
            }
        }
        Outcome::Refused("expected an answer, found none".to_owned())
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, self.fps)
    }
}
