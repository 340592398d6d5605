//! A daemon that follows a script: the other end of a socket, in a thread of the test.

use avpu_client::Client;
use avpu_client::proto::decode;
use avpu_client::proto::event::{Event, Packet};
use avpu_client::proto::frame::{Decoder, RequestId, encode_event, encode_reply};
use avpu_client::proto::limits::RING_HEADER_BYTES;
use avpu_client::proto::reply::{BuffersLeased, ChannelOpened, LeasedBuffer, Reply, Subscribed};
use avpu_client::proto::request::Request;
use avpu_client::proto::ring::{RingLayout, offset};
use avpu_client::proto::types::{
    Address, BufferAccess, ChannelId, Epoch, LeaseId, PictureKind, Sequence, SourceLayout,
    SubscriptionId,
};
use avpu_client::proto::version::{ClientHello, HELLO_BYTES};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

/// The daemon's end of a connection.
pub(crate) struct Daemon {
    pub(crate) stream: UnixStream,
    decoder: Decoder,
}

/// The channel that the fake opens.
pub(crate) const CHANNEL: ChannelId = ChannelId::new(5);
/// The subscription that it answers.
pub(crate) const SUBSCRIPTION: SubscriptionId = SubscriptionId::new(8);
/// Where it says its memory is.
pub(crate) const BASE: u32 = 0x0600_0000;

/// A client whose daemon follows `script`; join the handle to learn whether the script was followed.
pub(crate) fn client_of(
    script: impl FnOnce(&mut Daemon) + Send + 'static,
) -> (Client, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let daemon = thread::spawn(move || {
        let mut daemon = Daemon::welcoming(theirs);
        script(&mut daemon);
    });
    (Client::over(ours).unwrap(), daemon)
}

impl Daemon {
    /// Exchanges Hellos.
    pub(crate) fn welcoming(mut stream: UnixStream) -> Self {
        let mut hello = [0; HELLO_BYTES];
        stream.read_exact(&mut hello).unwrap();
        let hello = ClientHello::decode(hello).unwrap();
        stream.write_all(&hello.answer().encode()).unwrap();
        Self {
            stream,
            decoder: Decoder::new(),
        }
    }

    /// Waits for the next request; `None` when the client has closed.
    pub(crate) fn next_request(&mut self) -> Option<(RequestId, Request)> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some((frame.header.id, decode::request(frame.body).unwrap()));
            }
            let count = self.stream.read(self.decoder.space()).unwrap();
            if count == 0 {
                return None;
            }
            self.decoder.fill(count);
        }
    }

    /// Waits for the next request.
    pub(crate) fn request(&mut self) -> (RequestId, Request) {
        self.next_request().expect("the client asks something")
    }

    pub(crate) fn reply(&mut self, id: RequestId, reply: &Reply) {
        let mut bytes = Vec::new();
        encode_reply(&mut bytes, id, 0, reply).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn reply_with(&mut self, id: RequestId, reply: &Reply, file: &File) {
        let mut bytes = Vec::new();
        encode_reply(&mut bytes, id, 1, reply).unwrap();
        self.send_with(&bytes, file.as_raw_fd());
    }

    /// Sends bytes with a descriptor riding on the first.
    pub(crate) fn send_with(&self, bytes: &[u8], descriptor: i32) {
        let rights = [descriptor];
        let controls = [ControlMessage::ScmRights(&rights)];
        let slices = [IoSlice::new(bytes)];
        let socket = self.stream.as_raw_fd();
        let sent = sendmsg::<()>(socket, &slices, &controls, MsgFlags::empty(), None).unwrap();
        assert_eq!(sent, bytes.len());
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let mut bytes = Vec::new();
        encode_event(&mut bytes, event).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Answers the next request, which must be the opening of a channel.
    pub(crate) fn open_channel(&mut self) {
        let (id, request) = self.request();
        let Request::OpenChannel(open) = request else {
            panic!("expected OpenChannel, found {request:?}");
        };
        let opened = ChannelOpened {
            channel: CHANNEL,
            name: open.name,
            source: layout(),
            ..ChannelOpened::default()
        };
        self.reply(id, &Reply::ChannelOpened(opened));
    }

    /// Answers the next request, which must be a subscription.
    pub(crate) fn subscribe(&mut self, ring: &FakeRing) {
        let (id, request) = self.request();
        assert!(matches!(request, Request::Subscribe(_)), "{request:?}");
        let subscribed = Subscribed {
            subscription: SUBSCRIPTION,
            channel: ring.layout.channel(),
            name: "main".to_owned(),
            epoch: ring.layout.epoch(),
            ring_bytes: ring.layout.data_bytes(),
            credits: 4,
            ..Subscribed::default()
        };
        self.reply_with(id, &Reply::Subscribed(subscribed), &ring.file);
    }

    /// Answers the next request, which must be for buffers, with those of `file`.
    pub(crate) fn lease(&mut self, file: &File) {
        let (id, request) = self.request();
        let Request::LeaseBuffers(lease) = request else {
            panic!("expected LeaseBuffers, found {request:?}");
        };
        let buffers = (0..u32::from(lease.count))
            .map(|index| LeasedBuffer {
                address: Address::new(BASE + index * layout().len_bytes),
                access: BufferAccess::Descriptor {
                    offset_bytes: u64::from(index * layout().len_bytes),
                    cached: false,
                },
            })
            .collect();
        let leased = BuffersLeased {
            lease: LeaseId::new(3),
            buffers,
            layout: layout(),
            write_back: false,
        };
        self.reply_with(id, &Reply::BuffersLeased(leased), file);
    }
}

/// The layout of pictures of 20 x 10 pixels: coded 32 x 16.
pub(crate) fn layout() -> SourceLayout {
    SourceLayout {
        stride_bytes: 64,
        stored_lines: 16,
        chroma_offset_bytes: 64 * 16,
        len_bytes: 64 * 24,
        alignment_bytes: 32,
    }
}

/// A file without a name.
pub(crate) fn shared_file(len_bytes: u32) -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("avpu-client-fake-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = options.open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(u64::from(len_bytes)).unwrap();
    file
}

/// A ring of the fake daemon's.
pub(crate) struct FakeRing {
    pub(crate) file: File,
    pub(crate) layout: RingLayout,
    head: u32,
    sequence: u32,
}

impl FakeRing {
    pub(crate) fn new(epoch: u32, channel: ChannelId) -> Self {
        let layout = RingLayout::new(8192, Epoch::new(epoch), channel).unwrap();
        let file = shared_file(layout.file_bytes());
        file.write_all_at(&layout.encode(), 0).unwrap();
        Self {
            file,
            layout,
            head: 0,
            sequence: 0,
        }
    }

    /// Lays a packet into the ring and answers its event.
    pub(crate) fn put(&mut self, bytes: &[u8], kind: PictureKind) -> Event {
        let len_bytes = u32::try_from(bytes.len()).unwrap();
        let placed = self.layout.place(self.head, len_bytes).unwrap();
        let at = u64::from(RING_HEADER_BYTES + placed.offset_bytes);
        self.file.write_all_at(bytes, at).unwrap();
        self.head = placed.head;
        self.word(offset::HEAD, placed.head);
        let sequence = Sequence::new(self.sequence);
        self.sequence += 1;
        Event::Packet(Packet {
            subscription: SUBSCRIPTION,
            sequence,
            offset_bytes: placed.offset_bytes,
            len_bytes,
            position: placed.position,
            kind,
            ..Packet::default()
        })
    }

    /// Says that nothing before the head is valid any more.
    pub(crate) fn overrun(&self) {
        self.word(offset::TAIL, self.head);
    }

    fn word(&self, offset: u32, value: u32) {
        let at = u64::from(offset);
        self.file.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}
