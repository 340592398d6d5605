//! An encoder whose registers cannot be reached any more, for a while or for good, behind a whole daemon.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, ClientError, Frame, Outcome};
use avpu_proto::event::Event;
use avpu_proto::types::{FailReason, FrameEnd};
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::in_process::InProcess;
use avpud::device::error::{DeviceError, WaitError};
use avpud::device::model::{self, Model, ModelInterrupts};
use avpud::device::{Device, IrqSource};
use avpud::hw::irq::IrqLine;
use avpud::hw::regs::{Core, CoreReg, Reg};
use avpud::server::End;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
const FOR_GOOD: u32 = u32::MAX;

/// A model of which so many register accesses fail after the next picture was pushed.
struct Unreachable {
    device: Model,
    planned: Arc<AtomicU32>,
    failing: u32,
}

impl Unreachable {
    fn reach(&mut self) -> Result<(), DeviceError> {
        if self.failing == 0 {
            return Ok(());
        }
        if self.failing != FOR_GOOD {
            self.failing -= 1;
        }
        Err(DeviceError::Unusable {
            reason: "expected a device, found none".to_owned(),
        })
    }
}

impl Around for Unreachable {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.device
    }

    fn before_register(&mut self) -> Result<(), DeviceError> {
        self.reach()
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        if register == Reg::Core(Core::Video, CoreReg::ListPush) {
            self.failing = self.planned.swap(0, Ordering::SeqCst);
        }
        self.device.write(register, value)
    }
}

/// Interrupts that cannot be waited for any more after the first ones.
struct Deaf {
    interrupts: ModelInterrupts,
    left: u32,
}

impl IrqSource for Deaf {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(WaitError::Device(DeviceError::Unusable {
                reason: "expected an interrupt, found no device".to_owned(),
            }));
        };
        self.left = left;
        self.interrupts.wait()
    }
}

/// A daemon on such a device, and how many accesses will fail.
fn daemon() -> (InProcess, Arc<AtomicU32>) {
    let planned = Arc::new(AtomicU32::new(0));
    let of_device = Arc::clone(&planned);
    let daemon = InProcess::start(move || {
        let opened = model::open("body=pattern,pace=free", &[], None);
        let (device, interrupts, canceller) = opened.expect("the model starts");
        let device = Wrapped(Unreachable {
            device,
            planned: of_device,
            failing: 0,
        });
        (device, interrupts, canceller)
    });
    (daemon, planned)
}

struct Camera {
    channel: Channel,
    buffers: Vec<Buffer>,
}

impl Camera {
    fn new(client: &Client) -> Self {
        let channel = client.open_channel(&ChannelConfig::new(176, 144));
        let channel = channel.expect("there is room");
        let buffers = channel.lease(1).expect("there is room");
        Self { channel, buffers }
    }

    fn encode(&mut self) -> FrameEnd {
        match self.encode_or_lose() {
            Outcome::Ended { end, .. } => end,
            other => panic!("expected an end, found {other:?}"),
        }
    }

    fn encode_or_lose(&mut self) -> Outcome {
        let buffer = self.buffers.pop().expect("it came back");
        let accepted = self.channel.submit(buffer, Frame::default());
        accepted.expect("it is accepted");
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.buffers.extend(released.source.into_buffer());
        released.outcome
    }
}

#[test]
fn accesses_that_fail_cost_their_picture_and_as_many_resets_as_it_takes() {
    // Mask, then what stops the core; then the resets that are asked for, each of which fails at its first access.
    // The third one would end the daemon.
    for (failing, resets) in [(1, 0), (2, 1), (3, 2)] {
        let (daemon, planned) = daemon();
        let client = Client::connect(daemon.socket()).expect("it takes connections");
        let mut camera = Camera::new(&client);
        assert!(matches!(camera.encode(), FrameEnd::Encoded { .. }));
        planned.store(failing, Ordering::SeqCst);
        assert_eq!(camera.encode(), FrameEnd::Failed(FailReason::Device));
        assert!(matches!(camera.encode(), FrameEnd::Encoded { .. }));
        let status = client.status().expect("it serves");
        assert_eq!((status.resets, status.pictures_failed), (resets, 1));
        drop(camera);
        drop(client);
        assert_eq!(daemon.stop(), End::Done);
    }
}

#[test]
fn a_device_that_is_gone_ends_the_daemon_with_a_wish_for_a_restart() {
    let (daemon, planned) = daemon();
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let mut camera = Camera::new(&client);
    assert!(matches!(camera.encode(), FrameEnd::Encoded { .. }));
    planned.store(FOR_GOOD, Ordering::SeqCst);
    assert_eq!(camera.encode(), FrameEnd::Failed(FailReason::Device));
    let mut told = Vec::new();
    while told.last() != Some(&Event::Shutdown) {
        told.push(client.next_event(PATIENCE).expect("it says goodbye"));
    }
    assert_eq!(daemon.join(), End::Restart);
    let gone = client.status().expect_err("it ended");
    assert!(matches!(gone, ClientError::Disconnected), "{gone}");
}

#[test]
fn a_daemon_that_can_wait_for_no_interrupt_any_more_ends_with_a_wish_for_a_restart() {
    let daemon = InProcess::start(|| {
        let opened = model::open("body=pattern,pace=free", &[], None);
        let (device, interrupts, canceller) = opened.expect("the model starts");
        (
            device,
            Deaf {
                interrupts,
                left: 1,
            },
            canceller,
        )
    });
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let mut camera = Camera::new(&client);
    // The wait behind this picture's interrupt is the one that fails.
    camera.encode_or_lose();
    assert_eq!(daemon.join(), End::Restart);
    let gone = client.status().expect_err("it ended");
    assert!(matches!(gone, ClientError::Disconnected), "{gone}");
}
