//! The client's end: says what the script wants in bytes, and learns from the bytes that come back.

use crate::world::op::{Ask, Place, Which, nth};
use crate::world::ring::RingMemory;
use crate::world::{ARENA, WINDOW};
use avpu_proto::decode::{self, DecodeError};
use avpu_proto::event::{Event, Packet};
use avpu_proto::frame::{Decoder, Header, Kind, RequestId, encode_request_with};
use avpu_proto::record::Record;
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, Drain, Explain, Fits, Flush, ImportBuffer, LeaseBuffers, Page, ParameterSets,
    Reconfigure, RegisterRegion, ReleasePackets, ReleaseQuarantine, Request, RequestIdr, Reset,
    Resume, ReturnLease, Revoke, Submit, Subscribe, UnregisterRegion, Unsubscribe, UserData, Watch,
};
use avpu_proto::types::{
    Address, Bytes, ChannelId, FrameRate, LeaseId, RegionId, Sequence, SubscriptionId,
};
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use avpud::core::time::Micros;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a client knows.
#[derive(Debug)]
pub(super) struct Client {
    channels: Vec<ChannelId>,
    /// Time between two frames of each, as it was told.
    periods: Vec<(ChannelId, u64)>,
    addresses: Vec<Address>,
    /// Those that it has submitted and not got back.
    busy: Vec<Address>,
    /// Frames that it has submitted and not been told of.
    submits: Vec<(RequestId, Address)>,
    leases: Vec<LeaseId>,
    regions: Vec<RegionId>,
    subscriptions: Vec<SubscriptionId>,
    rings: Vec<(SubscriptionId, Rc<RingMemory>)>,
    /// Packets that it has and has not given back.
    held: Vec<Packet>,
    hello: Vec<u8>,
    decoder: Decoder,
    request_next: RequestId,
    /// It takes no bytes from its socket.
    pub(super) asleep: bool,
    /// It gives packets back as they come.
    reads: bool,
    /// What it feeds a channel by itself.
    pub(super) camera: Option<Camera>,
    cookie: u64,
}

/// Frames that come by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camera {
    channel: ChannelId,
    period_us: u64,
    /// When the next one comes.
    pub(super) next: Micros,
    left: u16,
}

impl Client {
    pub(super) fn new(reads: bool) -> Self {
        Self {
            reads,
            camera: None,
            channels: Vec::new(),
            periods: Vec::new(),
            addresses: Vec::new(),
            busy: Vec::new(),
            submits: Vec::new(),
            leases: Vec::new(),
            regions: Vec::new(),
            subscriptions: Vec::new(),
            rings: Vec::new(),
            held: Vec::new(),
            hello: Vec::new(),
            decoder: Decoder::new(),
            request_next: RequestId::new(0),
            asleep: false,
            cookie: 0,
        }
    }

    /// The bytes of what it asks; none when there is nothing that it could say.
    pub(super) fn ask(&mut self, ask: &Ask) -> Vec<u8> {
        let mut bytes = Vec::new();
        let id = self.request_next;
        if let Ask::Unknown { number } = *ask {
            let header = Header {
                len_bytes: 2,
                kind: Kind::Request,
                descriptors: 0,
                id,
            };
            bytes.extend(header.encode());
            // A number of two bytes, beyond all that exist.
            bytes.extend([number | 0x80, 0x7f]);
        } else {
            let Some(request) = self.request(ask) else {
                return bytes;
            };
            let descriptors = u8::from(matches!(request, Request::ImportBuffer(_)));
            let encoded = encode_request_with(&mut bytes, id, descriptors, &request);
            encoded.expect("requests fit a frame");
        }
        self.request_next = id.next();
        bytes
    }

    fn request(&mut self, ask: &Ask) -> Option<Request> {
        let channel = |which: Which| which.resolve(&self.channels, ChannelId::new);
        // One without a channel has nothing to encode.
        if let Ask::Submit { channel: on, .. } | Ask::Lease { channel: on, .. } = ask
            && self.channels.is_empty()
            && matches!(on, Which::Own(_))
        {
            return None;
        }
        Some(match ask {
            Ask::Open(wish) => Request::OpenChannel(wish.clone()),
            Ask::Lease { channel: of, count } => Request::LeaseBuffers(LeaseBuffers {
                channel: channel(*of),
                count: *count,
            }),
            Ask::Submit {
                channel: on,
                place,
                force_idr,
            } => {
                let channel = channel(*on);
                self.cookie += 1;
                let address = self.place(*place);
                self.busy.push(address);
                self.submits.push((self.request_next, address));
                Request::Submit(Submit {
                    channel,
                    address,
                    timestamp: self.cookie,
                    cookie: self.cookie,
                    force_idr: *force_idr,
                })
            }
            Ask::Release { nth: index } => {
                let packet = nth(&self.held, *index)?;
                self.let_go(packet.subscription, packet.sequence);
                Request::ReleasePackets(ReleasePackets {
                    subscription: packet.subscription,
                    sequence: packet.sequence,
                })
            }
            Ask::Subscribe {
                channel: to,
                name,
                join,
                credits,
            } => Request::Subscribe(Subscribe {
                channel: channel(*to),
                name: (*name).to_owned(),
                join: *join,
                credits: *credits,
            }),
            Ask::Unsubscribe { subscription } => {
                let subscription = subscription.resolve(&self.subscriptions, SubscriptionId::new);
                self.held.retain(|held| held.subscription != subscription);
                Request::Unsubscribe(Unsubscribe { subscription })
            }
            Ask::CloseChannel { channel: which } => {
                let channel = channel(*which);
                self.channels.retain(|open| *open != channel);
                Request::CloseChannel(CloseChannel { channel })
            }
            Ask::Drain {
                channel: which,
                keep,
            } => Request::Drain(Drain {
                channel: channel(*which),
                keep: *keep,
            }),
            Ask::ReturnLease { lease } => Request::ReturnLease(ReturnLease {
                lease: lease.resolve(&self.leases, LeaseId::new),
            }),
            Ask::Register { offset, len } => Request::RegisterRegion(RegisterRegion {
                address: Address::new(WINDOW + offset),
                len_bytes: *len,
            }),
            Ask::Unregister { region } => Request::UnregisterRegion(UnregisterRegion {
                region: region.resolve(&self.regions, RegionId::new),
            }),
            Ask::RequestIdr {
                channel: which,
                name,
            } => Request::RequestIdr(RequestIdr {
                channel: channel(*which),
                name: (*name).to_owned(),
            }),
            Ask::Capabilities => Request::Capabilities,
            Ask::Status => Request::Status,
            Ask::Channels { cursor } => Request::Channels(Page { cursor: *cursor }),
            Ask::Clients { cursor } => Request::Clients(Page { cursor: *cursor }),
            Ask::Memory { cursor } => Request::Memory(Page { cursor: *cursor }),
            Ask::Watch { on } => Request::Watch(Watch { on: *on }),
            _ => return self.control(ask),
        })
    }

    /// What changes a running channel, asks about it, or takes something away.
    fn control(&self, ask: &Ask) -> Option<Request> {
        let channel = |which: &Which| which.resolve(&self.channels, ChannelId::new);
        Some(match ask {
            Ask::Fits { wishes, alone } => Request::Fits(Fits {
                channels: wishes.iter().cloned().map(Record).collect(),
                alone: *alone,
            }),
            Ask::Reconfigure {
                channel: which,
                changes,
            } => Request::Reconfigure(Reconfigure {
                channel: channel(which),
                ..changes.clone()
            }),
            Ask::Flush { channel: which } => Request::Flush(Flush {
                channel: channel(which),
            }),
            Ask::Reset { channel: which } => Request::Reset(Reset {
                channel: channel(which),
            }),
            Ask::Resume { channel: which } => Request::Resume(Resume {
                channel: channel(which),
            }),
            Ask::ParameterSets { channel: which } => Request::ParameterSets(ParameterSets {
                channel: channel(which),
                name: String::new(),
            }),
            Ask::UserData {
                channel: which,
                len,
                every_idr,
            } => Request::UserData(UserData {
                channel: channel(which),
                uuid: Bytes(vec![9; 16]),
                payload: Bytes(vec![0; usize::try_from(*len).ok()?]),
                every_idr: *every_idr,
            }),
            Ask::Explain {
                channel: which,
                number,
                by_frame,
            } => Request::Explain(Explain {
                channel: channel(which),
                name: String::new(),
                number: *number,
                by_frame: *by_frame,
            }),
            Ask::Import { len, .. } => Request::ImportBuffer(ImportBuffer { len_bytes: *len }),
            Ask::Trace { cursor } => Request::Trace(Page { cursor: *cursor }),
            Ask::Revoke { lease, grace_us } => Request::Revoke(Revoke {
                lease: lease.resolve(&self.leases, LeaseId::new),
                grace_us: *grace_us,
            }),
            Ask::ReleaseQuarantine { place } => Request::ReleaseQuarantine(ReleaseQuarantine {
                address: self.place(*place),
            }),
            _ => return None,
        })
    }

    pub(super) fn place(&self, place: Place) -> Address {
        let own = |index| nth(&self.addresses, index).unwrap_or_default();
        let is_free = |address: &Address| !self.busy.contains(address);
        let free: Vec<Address> = self.addresses.iter().copied().filter(is_free).collect();
        Address::new(match place {
            Place::Own(index) => nth(&free, index).unwrap_or(own(index)).value(),
            Place::Beside(by) => own(0).value().wrapping_add_signed(by),
            Place::Window(offset) => WINDOW + offset,
            Place::Arena(offset) => ARENA + offset,
            Place::Anywhere(address) => address,
        })
    }

    /// Feeds a channel from now on.
    pub(super) fn feed(&mut self, now: Micros, index: u8, permille: u16, frames: u16) {
        self.camera = nth(&self.periods, index).map(|(channel, period_us)| Camera {
            channel,
            period_us: (period_us * u64::from(permille) / 1000).max(1),
            next: now,
            left: frames,
        });
    }

    /// The bytes of the frame that its camera has by now, if any.
    pub(super) fn shoot(&mut self, now: Micros) -> Option<Vec<u8>> {
        let camera = self.camera.as_mut().filter(|camera| camera.next <= now)?;
        camera.next = camera.next.plus_us(camera.period_us);
        camera.left -= 1;
        let channel = camera.channel;
        if camera.left == 0 || self.asleep || !self.channels.contains(&channel) {
            self.camera = None;
        }
        let ask = Ask::Submit {
            channel: Which::Any(channel.value()),
            place: Place::Own(0),
            force_idr: false,
        };
        (!self.asleep).then(|| self.ask(&ask))
    }

    /// Gives back what it has, where it does that.
    pub(super) fn read(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.reads && !self.held.is_empty() {
            let newest = u8::try_from(self.held.len() - 1).unwrap_or(u8::MAX);
            bytes.extend(self.ask(&Ask::Release { nth: newest }));
        }
        bytes
    }

    /// Gives one thing back that it has; `None` when it has nothing.
    pub(super) fn release_one(&mut self) -> Option<Vec<u8>> {
        self.held.last()?;
        Some(self.ask(&Ask::Release { nth: 0 }))
    }

    /// Packets up to this one are given back; until then they were intact.
    fn let_go(&mut self, subscription: SubscriptionId, last: Sequence) {
        let goes = |held: &Packet| {
            held.subscription == subscription
                && last.value().wrapping_sub(held.sequence.value()) < 1 << 31
        };
        for packet in self.held.iter().filter(|held| goes(held)) {
            self.check(packet);
        }
        self.held.retain(|held| !goes(held));
    }

    fn check(&self, packet: &Packet) {
        if packet.last {
            assert_eq!(
                packet.len_bytes, 0,
                "the mark behind the last packet is empty"
            );
            return;
        }
        let ring = self.rings.iter().find(|(of, _)| *of == packet.subscription);
        let (_, ring) = ring.expect("a reader has its ring before its first packet");
        ring.check(packet.position, packet.len_bytes);
    }

    /// Learns from bytes of the daemon, and from the descriptors that came with them.
    ///
    /// # Panics
    /// When they are not what the protocol says.
    pub(super) fn hear(&mut self, mut bytes: &[u8], descriptors: &mut VecDeque<Rc<RingMemory>>) {
        let missing = HELLO_BYTES - self.hello.len();
        let (hello, rest) = bytes.split_at(missing.min(bytes.len()));
        self.hello.extend(hello);
        bytes = rest;
        if missing > 0 && self.hello.len() == HELLO_BYTES {
            let hello = core::array::from_fn(|index| self.hello.get(index).copied().unwrap_or(0));
            let answer = DaemonHello::decode(hello, ClientHello::OURS);
            assert_eq!(answer, Ok(DaemonHello::Welcome { version: 1 }));
        }
        loop {
            let count = self.decoder.push(bytes);
            bytes = bytes.split_at(count).1;
            let frame = self.decoder.next().expect("the daemon sends frames");
            let Some(frame) = frame else {
                if bytes.is_empty() {
                    return;
                }
                continue;
            };
            let ring = match frame.header.descriptors {
                0 => None,
                _ => descriptors.pop_front(),
            };
            match frame.header.kind {
                Kind::Reply => {
                    let reply = decode::reply(frame.body).expect("a reply of version 1");
                    let id = frame.header.id;
                    self.learn(id, &reply, ring);
                }
                Kind::Event => match decode::event(frame.body) {
                    Ok(event) => self.notice(&event),
                    Err(DecodeError::UnknownMessage { .. }) => {}
                    Err(error) => panic!("expected an event, found {error}"),
                },
                Kind::Request => panic!("the daemon asks for nothing"),
            }
        }
    }

    fn learn(&mut self, id: RequestId, reply: &Reply, ring: Option<Rc<RingMemory>>) {
        if let Some(index) = self.submits.iter().position(|(asked, _)| *asked == id) {
            let (_, address) = self.submits.swap_remove(index);
            if matches!(reply, Reply::Refused(_)) {
                self.get_back(address);
            }
        }
        match reply {
            Reply::ChannelOpened(opened) => {
                self.channels.push(opened.channel);
                let period_us = period_us(opened.fps);
                self.periods.push((opened.channel, period_us));
            }
            Reply::Reconfigured(changed) => {
                let mut periods = self.periods.iter_mut();
                if let Some(known) = periods.find(|(of, _)| *of == changed.channel) {
                    known.1 = period_us(changed.effective.fps);
                }
            }
            Reply::BuffersLeased(leased) => {
                self.leases.push(leased.lease);
                let addresses = leased.buffers.iter().map(|buffer| buffer.address);
                self.addresses.extend(addresses);
            }
            Reply::RegionRegistered(registered) => self.regions.push(registered.region),
            Reply::Subscribed(subscribed) => {
                self.subscriptions.push(subscribed.subscription);
                let ring = ring.expect("a subscription comes with its ring");
                self.rings.push((subscribed.subscription, ring));
            }
            _ => {}
        }
    }

    fn get_back(&mut self, address: Address) {
        if let Some(index) = self.busy.iter().position(|busy| *busy == address) {
            self.busy.swap_remove(index);
        }
    }

    fn notice(&mut self, event: &Event) {
        match event {
            // What an unsubscribed reader was still sent is of no interest.
            Event::Packet(packet) if self.subscriptions.contains(&packet.subscription) => {
                self.check(packet);
                self.held.push(*packet);
            }
            Event::SourceReleased(released) => self.get_back(released.address),
            Event::EndOfStream(end) => {
                let over = |of: &SubscriptionId| end.subscription == Some(*of);
                self.subscriptions.retain(|of| !over(of));
                self.held.retain(|held| !over(&held.subscription));
            }
            _ => {}
        }
    }
}

fn period_us(rate: FrameRate) -> u64 {
    u64::from(rate.den) * 1_000_000 / u64::from(rate.num.max(1))
}
