//! The whole daemon: from the moment in which the thread that waits for interrupts has one to the write that starts the
//! next picture.

use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame};
use avpu_proto::report::AheadReport;
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::in_process::InProcess;
use avpud::config::Config;
use avpud::device::error::{DeviceError, WaitError};
use avpud::device::model::{self, Model, ModelInterrupts};
use avpud::device::{Device, IrqSource};
use avpud::hw::irq::IrqLine;
use avpud::hw::regs::{Core, CoreReg, Reg};
use avpud::server::End;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
/// Pictures of each of two channels in a run.
const PICTURES: u32 = 250;
/// Runs of which the best counts: whatever else the machine does only adds.
const RUNS: u32 = 5;
/// Frames of a channel that wait or are in the encoder.
const DEPTH: u8 = 3;

/// When the last interrupt came, and how long after interrupts pictures were started.
#[derive(Default)]
struct Times {
    rang: Option<Instant>,
    gaps: Vec<Duration>,
}

type Shared = Arc<Mutex<Times>>;

struct Watched {
    device: Model,
    times: Shared,
}

struct Waiting {
    source: ModelInterrupts,
    times: Shared,
}

fn locked<T>(times: &Shared, action: impl FnOnce(&mut Times) -> T) -> T {
    action(&mut times.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Around for Watched {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.device
    }

    fn write(&mut self, register: Reg, value: u32) -> Result<(), DeviceError> {
        if register == Reg::Core(Core::Video, CoreReg::ListPush) {
            locked(&self.times, |times| {
                let gap = times.rang.take().map(|rang| rang.elapsed());
                times.gaps.extend(gap);
            });
        }
        self.device.write(register, value)
    }
}

impl IrqSource for Waiting {
    fn wait(&mut self) -> Result<IrqLine, WaitError> {
        let line = self.source.wait();
        locked(&self.times, |times| times.rang = Some(Instant::now()));
        line
    }
}

pub(crate) fn run(place: &str) {
    println!("from an interrupt to the next start, two channels of 640x360 in turn, {place}");
    for ahead in [false, true] {
        let runs = (0..RUNS).map(|_| median_us(ahead));
        let (best_us, counts) = runs
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .expect("there are some");
        let how = if ahead {
            "made ready"
        } else {
            "not made ready"
        };
        println!(
            "  {how:>14}: median {best_us:>5.1} us; {} of {} pictures were started as made ready",
            counts.used,
            2 * PICTURES
        );
    }
}

struct Camera {
    channel: Channel,
    free: Vec<Buffer>,
    left: u32,
}

impl Camera {
    fn new(client: &Client) -> Self {
        let config = ChannelConfig::new(640, 360).fps(1, 1).bitrate_bps(500_000);
        let channel = client.open_channel(&config).expect("a channel can be had");
        Self {
            free: channel.lease(DEPTH).expect("buffers can be had"),
            channel,
            left: PICTURES,
        }
    }

    fn submit(&mut self) {
        if let Some(buffer) = self.free.pop().filter(|_| self.left > 0) {
            let sent = self.channel.submit_unwaited(buffer, Frame::default());
            sent.expect("the daemon is there");
            self.left -= 1;
        }
    }

    fn take(&mut self) {
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.free.extend(released.source.into_buffer());
    }
}

fn median_us(ahead: bool) -> (f64, AheadReport) {
    let times = Shared::default();
    let theirs = Arc::clone(&times);
    let config = Config {
        prepares_ahead: ahead,
        ..Config::default()
    };
    let daemon = InProcess::start_with(config, move || {
        let opened = model::open("body=pattern,pace=t31", &[], None);
        let (device, source, canceller) = opened.expect("the model starts");
        let device = Wrapped(Watched {
            device,
            times: Arc::clone(&theirs),
        });
        let source = Waiting {
            source,
            times: theirs,
        };
        (device, source, canceller)
    });
    let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
    let mut cameras = [Camera::new(&client), Camera::new(&client)];
    for _ in 0..DEPTH {
        cameras.iter_mut().for_each(Camera::submit);
    }
    for _ in 0..PICTURES {
        for camera in &mut cameras {
            camera.take();
            camera.submit();
        }
    }
    let counts = client.status().expect("the daemon answers").ahead;
    drop((cameras, client));
    assert_eq!(daemon.stop(), End::Done);
    let mut gaps = locked(&times, |times| std::mem::take(&mut times.gaps));
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).expect("pictures were started");
    (median.as_secs_f64() * 1e6, counts)
}
