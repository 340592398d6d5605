//! The daemon's two threads allocate nothing for a picture: not the loop, not the one that waits for interrupts.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use avpu_proto::types::Join;
use avpu_tests::alloc::{CountingAllocator, count};
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::in_process::InProcess;
use avpud::device::IrqSource;
use avpud::device::error::WaitError;
use avpud::device::model::{self, Model, ModelInterrupts};
use avpud::hw::irq::IrqLine;
use avpud::server::End;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Pictures after which everything that grows once has grown.
const WARM_UP: u64 = 100;
/// Pictures that are counted.
const COUNTED: u64 = 200;
/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Allocations so far of the daemon's threads, without those inside of the model: it is hardware, whatever it does.
#[derive(Default)]
struct Counts {
    main_loop: AtomicU32,
    interrupts: AtomicU32,
}

/// The target has no wider atomic; a thread that allocates this often has failed already.
fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

struct Counted {
    device: Model,
    inside: u64,
    counts: Arc<Counts>,
}

impl Around for Counted {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.device
    }

    fn access<T>(&mut self, action: impl FnOnce(&mut Model) -> T) -> T {
        let before = count();
        let own = before - self.inside;
        self.counts.main_loop.store(small(own), Ordering::SeqCst);
        let result = action(&mut self.device);
        self.inside += count() - before;
        result
    }
}

struct CountedWait {
    source: ModelInterrupts,
    inside: u64,
    counts: Arc<Counts>,
}

impl IrqSource for CountedWait {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        let before = count();
        let own = before - self.inside;
        self.counts.interrupts.store(small(own), Ordering::SeqCst);
        let line = self.source.wait();
        self.inside += count() - before;
        line
    }
}

#[test]
fn neither_thread_of_the_daemon_allocates_for_a_picture() {
    let counts = Arc::new(Counts::default());
    let theirs = Arc::clone(&counts);
    let daemon = InProcess::start(move || {
        let opened = model::open("pace=free", &[], None);
        let (device, source, canceller) = opened.expect("the model starts");
        let device = Wrapped(Counted {
            device,
            inside: 0,
            counts: Arc::clone(&theirs),
        });
        let interrupts = CountedWait {
            source,
            inside: 0,
            counts: theirs,
        };
        (device, interrupts, canceller)
    });
    encode(daemon.socket(), &counts);
    assert_eq!(daemon.stop(), End::Done);
}

/// A client that encodes and reads its own channel.
struct Camera {
    channel: Channel,
    reader: Reader,
    buffers: Vec<Buffer>,
}

impl Camera {
    fn new(client: &Client, config: &ChannelConfig) -> Self {
        let channel = client.open_channel(config).expect("a channel can be had");
        Self {
            reader: channel.subscribe().expect("its owner may read it"),
            buffers: channel.lease(1).expect("a buffer can be had"),
            channel,
        }
    }

    fn submit(&mut self) {
        let buffer = self.buffers.pop().expect("it came back");
        let accepted = self.channel.submit(buffer, Frame::default());
        accepted.expect("it is accepted");
    }

    fn take(&mut self) {
        read(&mut self.reader);
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.buffers.extend(released.source.into_buffer());
    }
}

fn read(reader: &mut Reader) {
    let next = reader.next_packet(PATIENCE).expect("the stream goes on");
    assert!(matches!(next, Next::Packet(_)), "{next:?}");
}

/// Encodes pictures of two channels at a time, with either rate control, read by their owner and one of them by
/// another client too, and compares the counts before and after.
fn encode(socket: &Path, counts: &Counts) {
    let connect = || Client::connect(socket).expect("the daemon takes connections");
    let (owner, watcher) = (connect(), connect());
    let picture = || ChannelConfig::new(64, 64).gop_length(25);
    let mut cameras = [
        Camera::new(&owner, &picture().fix_qp(30).name("main")),
        Camera::new(&owner, &picture().bitrate_bps(100_000)),
    ];
    let watched = watcher.subscribe("main", Join::LastIdr);
    let mut watched = watched.expect("anybody may read it");
    let mut warm = (0, 0);
    for picture in 0..WARM_UP + COUNTED {
        let counted = || {
            (
                counts.main_loop.load(Ordering::SeqCst),
                counts.interrupts.load(Ordering::SeqCst),
            )
        };
        if picture == WARM_UP {
            warm = counted();
            assert!(warm.0 > 0, "the loop allocates when it starts");
        }
        cameras.iter_mut().for_each(Camera::submit);
        cameras.iter_mut().for_each(Camera::take);
        read(&mut watched);
        assert!(
            picture < WARM_UP || counted() == warm,
            "picture {picture}: {:?} allocations on loop and interrupt thread, {warm:?} before",
            counted()
        );
    }
}
