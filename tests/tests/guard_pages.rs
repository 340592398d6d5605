//! Memory that is written beyond its ends, behind a whole daemon: it is told, and the memory is never given out again.

use avpu_client::proto::report::{LeaseReport, Purpose};
use avpu_client::proto::request::Page;
use avpu_client::{Channel, ChannelConfig, Client, Frame, Outcome};
use avpu_proto::types::FrameEnd;
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::in_process::InProcess;
use avpud::device::error::DeviceError;
use avpud::device::model::{self, Model};
use avpud::device::{Caching, Device, Export};
use avpud::mem::{ByteLen, PhysRange, RegionOffset};
use avpud::server::End;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
/// Bytes written beyond, where something is.
const BEYOND: u32 = 40;

/// A model beside which something writes beyond a lease, as capture hardware does that was told too large a picture.
struct Careless {
    device: Model,
    writes_beyond: Arc<AtomicBool>,
}

impl Around for Careless {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.device
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.device
    }

    fn export(&mut self, range: PhysRange) -> Result<Export<'_>, DeviceError> {
        if self.writes_beyond.load(Ordering::SeqCst) {
            let beyond = range.behind(ByteLen::new(BEYOND)).expect("inside");
            let region = self.device.map(beyond, Caching::Uncached)?;
            region
                .fill(RegionOffset::ZERO, ByteLen::new(BEYOND), 0x10)
                .expect("inside");
        }
        self.device.export(range)
    }
}

fn quarantined(client: &Client) -> Vec<LeaseReport> {
    let report = client.memory(Page::default()).expect("it serves");
    let pieces = report.leases.entries.into_iter().map(|entry| entry.0);
    pieces
        .filter(|piece| piece.purpose == Purpose::Quarantine)
        .collect()
}

/// One picture through a fresh lease, which is returned.
fn encode(channel: &Channel) -> u32 {
    let mut buffers = channel.lease(1).expect("there is room");
    let buffer = buffers.pop().expect("one");
    let address = buffer.address().value();
    channel.submit(buffer, Frame::default()).expect("accepted");
    let released = channel.next_released(PATIENCE).expect("it ends");
    let encoded = matches!(
        released.outcome,
        Outcome::Ended {
            end: FrameEnd::Encoded { .. },
            ..
        }
    );
    assert!(encoded);
    buffers.extend(released.source.into_buffer());
    channel.return_buffers(buffers).expect("it takes it back");
    address
}

#[test]
fn memory_that_was_written_beyond_is_told_counted_and_not_given_out_again() {
    let writes_beyond = Arc::new(AtomicBool::new(false));
    let careless = Arc::clone(&writes_beyond);
    let daemon = InProcess::start(move || {
        let opened = model::open("body=pattern,pace=free", &[], None);
        let (device, interrupts, canceller) = opened.expect("the model starts");
        let device = Wrapped(Careless {
            device,
            writes_beyond: careless,
        });
        (device, interrupts, canceller)
    });
    let client = Client::connect(daemon.socket()).expect("it takes connections");
    let channel = client
        .open_channel(&ChannelConfig::new(320, 192))
        .expect("there is room");
    let usual = encode(&channel);
    assert_eq!(
        encode(&channel),
        usual,
        "what came back intact is used again"
    );
    assert_eq!(client.status().expect("it serves").guards_broken, 0);

    writes_beyond.store(true, Ordering::SeqCst);
    assert_eq!(encode(&channel), usual);
    writes_beyond.store(false, Ordering::SeqCst);
    let status = client.status().expect("it serves");
    assert_eq!(status.guards_broken, 1);
    let [piece] = quarantined(&client).try_into().expect("one piece");
    assert_eq!(status.quarantined_bytes, u64::from(piece.len_bytes));
    let end = u64::from(piece.address.value()) + u64::from(piece.len_bytes);
    assert!(piece.address.value() < usual && u64::from(usual) < end);

    // Everybody goes on, elsewhere.
    let elsewhere = u64::from(encode(&channel));
    assert!(elsewhere >= end || elsewhere < u64::from(piece.address.value()));
    channel.close().expect("it closes");
    let status = client.status().expect("it serves");
    assert_eq!(status.guards_broken, 1);
    assert_eq!(status.quarantined_bytes, u64::from(piece.len_bytes));
    drop(client);
    assert_eq!(daemon.stop(), End::Done);
}
