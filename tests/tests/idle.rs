//! Between pictures the encoder's clock is off and nobody touches its registers, whatever clients keep open.

use avpu_client::{Channel, ChannelConfig, Client, Frame, Next};
use avpu_proto::event::Event;
use avpu_proto::frame::{RequestId, encode_request};
use avpu_proto::request::{RegisterRegion, Request};
use avpu_proto::types::{Address, ChannelState, Join};
use avpu_proto::version::{ClientHello, HELLO_BYTES};
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::in_process::InProcess;
use avpud::config::Config;
use avpud::core::role::Members;
use avpud::device::Device;
use avpud::device::error::DeviceError;
use avpud::device::model::{self, Model};
use avpud::hw::regs::{Core, CoreReg, Reg};
use avpud::mem::{ByteLen, PhysAddr, PhysRange};
use avpud::server::End;
use nix::unistd::geteuid;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
const WINDOW: u32 = 0x0b00_0000;
/// Reads as one while the clock runs.
const RUNNING: u32 = 1 << 16;
const CLOCK: Reg = Reg::Core(Core::Video, CoreReg::Clock);

/// What the device saw.
#[derive(Default)]
struct Seen {
    accesses: AtomicU32,
    /// What the clock's register says since it was written last.
    clock: AtomicU32,
    /// Times that it was turned on.
    turns: AtomicU32,
}

struct Watched {
    device: Model,
    seen: Arc<Seen>,
}

impl Around for Watched {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.device
    }

    fn before_register(&mut self) -> Result<(), DeviceError> {
        self.seen.accesses.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        self.device.write(register, value)?;
        if register == CLOCK {
            let clock = self.device.read(CLOCK)?;
            self.seen.clock.store(clock, Ordering::SeqCst);
            let on = u32::from(clock & RUNNING != 0);
            self.seen.turns.fetch_add(on, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Encodes a picture of a channel that is not read here.
fn encode(channel: &Channel) {
    let mut buffers = channel.lease(1).expect("there is room");
    let buffer = buffers.pop().expect("one");
    let accepted = channel.submit(buffer, Frame::default());
    accepted.expect("it is accepted");
    let released = channel.next_released(PATIENCE).expect("it ends");
    let buffer = released.source.into_buffer().expect("it was one");
    channel.return_buffers(vec![buffer]).expect("it is taken");
}

/// Registers memory and closes the connection without giving it back.
fn leave_region(socket: &Path) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let mut bytes = ClientHello::OURS.encode().to_vec();
    let wish = Request::RegisterRegion(RegisterRegion {
        address: Address::new(WINDOW),
        len_bytes: 4096,
    });
    encode_request(&mut bytes, RequestId::new(1), &wish).expect("it fits");
    stream.write_all(&bytes).expect("it reads");
    let mut answer = [0; HELLO_BYTES + 1];
    stream.read_exact(&mut answer).expect("it answers");
}

#[test]
fn the_clock_is_off_and_no_register_is_touched_while_nothing_is_in_flight() {
    let window = PhysRange::new(PhysAddr::new(WINDOW), ByteLen::new(1 << 20));
    let window = window.expect("a range");
    let config = Config {
        quarantine_us: None,
        source_windows: vec![window],
        raw: Members {
            uids: vec![geteuid().as_raw()],
            gids: Vec::new(),
        },
        ..Config::default()
    };
    let seen = Arc::new(Seen::default());
    let theirs = Arc::clone(&seen);
    let daemon = InProcess::start_with(config, move || {
        let opened = model::open("body=pattern,pace=free", &[window], None);
        let (device, interrupts, canceller) = opened.expect("the model starts");
        let device = Wrapped(Watched {
            device,
            seen: theirs,
        });
        (device, interrupts, canceller)
    });
    let connect = || Client::connect(daemon.socket()).expect("it takes connections");
    let client = connect();
    let config = |name| ChannelConfig::new(64, 64).name(name);
    let unfed = client
        .open_channel(&config("unfed"))
        .expect("there is room");
    let fed = client.open_channel(&config("fed")).expect("there is room");
    let (reads, stopped) = (connect(), connect());
    let mut reader = reads.subscribe("fed", Join::NextIdr).expect("it reads");
    let _stopped = stopped.subscribe("fed", Join::NextIdr).expect("it reads");
    for _ in 0..5 {
        encode(&fed);
        let next = reader.next_packet(PATIENCE).expect("the stream goes on");
        assert!(matches!(next, Next::Packet(_)), "{next:?}");
    }
    leave_region(daemon.socket());
    let starves = |event: &Event| matches!(event, Event::ChannelChanged(c) if c.state == ChannelState::Starved);
    while !starves(&client.next_event(PATIENCE).expect("it is told")) {}

    let status = client.status().expect("it serves");
    assert_eq!((status.pictures, status.quarantined_bytes), (5, 4096));
    let count = || seen.accesses.load(Ordering::SeqCst);
    let (before, turns) = (count(), seen.turns.load(Ordering::SeqCst));
    assert!(turns >= 5, "it is turned on for each picture: {turns}");
    assert_eq!(seen.clock.load(Ordering::SeqCst) & RUNNING, 0);
    for _ in 0..100 {
        client.status().expect("it serves");
        client
            .channels()
            .for_each(|report| drop(report.expect("it serves")));
    }
    assert_eq!(count(), before, "accesses while nothing is in flight");
    encode(&unfed);
    assert!(count() > before);
    assert_eq!(seen.clock.load(Ordering::SeqCst) & RUNNING, 0);
    drop((unfed, fed, client));
    assert_eq!(daemon.stop(), End::Done);
}
