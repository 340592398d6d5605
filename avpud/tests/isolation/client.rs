//! A client that asks for anything, sensible or not.

use crate::rng::Rng;
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, Drain, LeaseBuffers, OpenChannel, Page, RegisterRegion, ReleasePackets, Request,
    RequestIdr, ReturnLease, Submit, Subscribe, UnregisterRegion, Unsubscribe, Watch,
};
use avpu_proto::types::{
    Address, ChannelId, Class, Codec, FrameRate, Join, LeaseId, Profile, RateControl, RegionId,
    Sequence, SubscriptionId,
};
use avpud::core::event::SessionKey;

pub(crate) struct Client {
    pub(crate) session: SessionKey,
    pub(crate) channels: Vec<ChannelId>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) subscriptions: Vec<SubscriptionId>,
    pub(crate) last: Vec<(SubscriptionId, u32)>,
    /// Releases what it is sent.
    pub(crate) reads: bool,
}

impl Client {
    pub(crate) fn new(session: SessionKey, rng: &mut Rng) -> Self {
        Self {
            session,
            channels: Vec::new(),
            addresses: Vec::new(),
            subscriptions: Vec::new(),
            last: Vec::new(),
            reads: !rng.once_in(4),
        }
    }

    /// What it asks next; `None` for a request of a later version.
    pub(crate) fn request(&mut self, rng: &mut Rng, windows: (u32, u32)) -> Option<Request> {
        if self.reads && !self.last.is_empty() && rng.once_in(2) {
            let (subscription, sequence) = self.last.remove(0);
            return Some(Request::ReleasePackets(ReleasePackets {
                subscription,
                sequence: Sequence::new(sequence),
            }));
        }
        if !self.channels.is_empty() && !self.addresses.is_empty() && rng.below(3) > 0 {
            return Some(self.submit(rng, windows));
        }
        if self.channels.len() < 2 && rng.once_in(2) {
            return Some(Request::OpenChannel(open(rng)));
        }
        if !self.channels.is_empty() && self.addresses.len() < 4 && rng.once_in(2) {
            return Some(Request::LeaseBuffers(LeaseBuffers {
                channel: self.channel(rng),
                count: u8::try_from(rng.below(4)).expect("small"),
            }));
        }
        self.odd_request(rng, windows)
    }

    fn odd_request(&mut self, rng: &mut Rng, windows: (u32, u32)) -> Option<Request> {
        let channel = self.channel(rng);
        let subscription = self.subscription(rng);
        let cursor = rng.below(200);
        let name = pick_name(rng);
        Some(match rng.below(18) {
            0 => Request::Capabilities,
            1 => {
                self.channels.retain(|open| *open != channel);
                Request::CloseChannel(CloseChannel { channel })
            }
            2 => Request::ReturnLease(ReturnLease {
                lease: LeaseId::new(rng.below(20)),
            }),
            3 => Request::RegisterRegion(RegisterRegion {
                address: Address::new(windows.0 + rng.below(40) * 0x1_0000 + rng.below(2) * 4),
                len_bytes: rng.below(0x8_0000),
            }),
            4 => Request::UnregisterRegion(UnregisterRegion {
                region: RegionId::new(rng.below(8)),
            }),
            5..=8 => Request::Subscribe(Subscribe {
                channel: if rng.once_in(2) {
                    channel
                } else {
                    ChannelId::new(rng.below(40))
                },
                name,
                join: *rng
                    .pick(&[Join::LastIdr, Join::NextIdr, Join::DemandIdr])
                    .expect("three"),
                credits: u16::try_from(rng.below(20)).expect("small"),
            }),
            9 => Request::Unsubscribe(Unsubscribe { subscription }),
            10 => Request::ReleasePackets(ReleasePackets {
                subscription,
                sequence: Sequence::new(0),
            }),
            11 => Request::RequestIdr(RequestIdr { channel, name }),
            12 => {
                self.channels.retain(|open| *open != channel);
                Request::Drain(Drain {
                    channel,
                    keep: false,
                })
            }
            13 => Request::Status,
            14 => Request::Channels(Page { cursor }),
            15 => Request::Clients(Page { cursor }),
            16 => Request::Memory(Page { cursor }),
            17 if rng.once_in(2) => Request::Watch(Watch { on: rng.once_in(2) }),
            _ => return None,
        })
    }

    fn submit(&mut self, rng: &mut Rng, (window, window_len): (u32, u32)) -> Request {
        let address = if rng.once_in(8) {
            let hostile = [
                rng.below(u32::MAX),
                u32::MAX - rng.below(0x4_0000) / 256 * 256,
                window + rng.below(window_len) / 256 * 256,
                window + window_len - 256,
                self.address(rng).value().wrapping_add(256),
                self.address(rng).value().wrapping_sub(4096),
                0x0600_0000 + rng.below(0x40_0000) / 256 * 256,
            ];
            Address::new(*rng.pick(&hostile).expect("some"))
        } else {
            self.address(rng)
        };
        Request::Submit(Submit {
            channel: self.channel(rng),
            address,
            timestamp: rng.next(),
            cookie: rng.next(),
            force_idr: rng.once_in(12),
        })
    }

    /// Learns from what it is answered.
    pub(crate) fn learn(&mut self, reply: &Reply) {
        match reply {
            Reply::ChannelOpened(opened) => self.channels.push(opened.channel),
            Reply::BuffersLeased(leased) => {
                let addresses = leased.buffers.iter().map(|buffer| buffer.address);
                self.addresses.extend(addresses);
            }
            Reply::Subscribed(subscribed) => self.subscriptions.push(subscribed.subscription),
            _ => {}
        }
    }

    fn channel(&self, rng: &mut Rng) -> ChannelId {
        if rng.once_in(10) {
            return ChannelId::new(rng.below(40));
        }
        rng.pick(&self.channels).copied().unwrap_or_default()
    }

    fn subscription(&self, rng: &mut Rng) -> SubscriptionId {
        if rng.once_in(4) {
            return SubscriptionId::new(rng.below(40));
        }
        rng.pick(&self.subscriptions).copied().unwrap_or_default()
    }

    fn address(&self, rng: &mut Rng) -> Address {
        rng.pick(&self.addresses).copied().unwrap_or_default()
    }
}

fn pick_name(rng: &mut Rng) -> String {
    let names = ["", "", "", "", "main", "ch0", "nobody's"];
    (*rng.pick(&names).expect("some")).to_owned()
}

fn open(rng: &mut Rng) -> OpenChannel {
    let sizes = [(64, 64), (176, 144), (320, 192), (640, 360)];
    let (width, height) = *rng.pick(&sizes).expect("some");
    let odd = rng.once_in(10);
    OpenChannel {
        codec: if rng.once_in(20) {
            Codec::Jpeg
        } else {
            Codec::Avc
        },
        width: if odd { 7 } else { width },
        height,
        fps: FrameRate {
            num: rng.below(30),
            den: rng.below(3),
        },
        profile: if rng.once_in(20) {
            Profile::Baseline
        } else {
            Profile::High
        },
        gop_length: rng.below(12),
        rate_control: if rng.once_in(2) {
            RateControl::FixQp {
                qp: u8::try_from(rng.below(54)).expect("small"),
            }
        } else {
            RateControl::Cbr {
                bitrate_bps: rng.below(1_000_000),
                qp_min: u8::try_from(rng.below(30)).expect("small"),
                qp_max: u8::try_from(rng.below(52)).expect("small"),
            }
        },
        class: Class::Live,
        name: pick_name(rng),
        weight: u16::try_from(rng.below(4)).expect("small"),
        // Small rings, so that readers are overrun and pictures overflow.
        ring_bytes: 4096 << rng.below(5),
        ..OpenChannel::default()
    }
}
