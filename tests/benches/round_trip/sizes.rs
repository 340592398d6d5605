//! How much goes over the socket for one picture.

use avpu_proto::event::{Event, Packet, SourceReleased};
use avpu_proto::frame::{RequestId, encode_event, encode_reply, encode_request};
use avpu_proto::reply::{Reply, Submitted};
use avpu_proto::request::{ReleasePackets, Request, Submit};
use avpu_proto::types::{
    Address, ChannelId, FrameEnd, FrameNumber, PictureKind, Sequence, SubscriptionId, TimeUs,
};

/// Bytes each way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A frame, and the last packet given back.
    pub(crate) asked: usize,
    /// Both answers, the packet's description and the source.
    pub(crate) answered: usize,
}

impl Sizes {
    /// Those of a client that encodes and reads its own channel.
    pub(crate) fn of_a_picture() -> Self {
        // Numbers as large as they are after a while: their encoding grows with them.
        let (id, number, time) = (RequestId::new(200), 1000, TimeUs::new(1 << 33));
        let (channel, subscription) = (ChannelId::new(1), SubscriptionId::new(1));
        let (sequence, frame) = (Sequence::new(number), FrameNumber::new(number));
        let address = Address::new(0x0640_0000);
        let submit = Submit {
            channel,
            address,
            ..Submit::default()
        };
        let release = ReleasePackets {
            subscription,
            sequence,
        };
        let packet = Packet {
            subscription,
            sequence,
            offset_bytes: 100_000,
            len_bytes: 200,
            position: 100_000,
            kind: PictureKind::P,
            qp: 30,
            timestamp: 0,
            accepted_us: time,
            started_us: time,
            done_us: time,
            frame,
            sse_luma: 100_000,
            ..Packet::default()
        };
        let released = SourceReleased {
            channel,
            frame,
            address,
            cookie: 0,
            end: FrameEnd::Encoded { sequence },
        };
        let mut asked = Vec::new();
        encode_request(&mut asked, id, &Request::Submit(submit)).expect("encoded");
        encode_request(&mut asked, id, &Request::ReleasePackets(release)).expect("encoded");
        let mut answered = Vec::new();
        let submitted = Reply::Submitted(Submitted { frame });
        encode_reply(&mut answered, id, 0, &submitted).expect("encoded");
        encode_reply(&mut answered, id, 0, &Reply::Done).expect("encoded");
        encode_event(&mut answered, &Event::Packet(packet)).expect("encoded");
        encode_event(&mut answered, &Event::SourceReleased(released)).expect("encoded");
        Self {
            asked: asked.len(),
            answered: answered.len(),
        }
    }
}
