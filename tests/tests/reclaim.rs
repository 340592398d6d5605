//! An operator takes memory back from clients, with the tool and a whole daemon.

use avpu_client::proto::error::ErrorCode;
use avpu_client::proto::event::Event;
use avpu_client::proto::report::{LeaseReport, Purpose};
use avpu_client::proto::request::Page;
use avpu_client::{Channel, ChannelConfig, Client, ClientError, Frame};
use avpu_tests::around::{Around, Wrapped};
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::in_process::InProcess;
use avpu_tests::process::Finish;
use avpud::config::Config;
use avpud::device::Export;
use avpud::device::error::DeviceError;
use avpud::device::model::{self, Model};
use avpud::mem::PhysRange;
use avpud::server::End;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

/// A model whose buffers only capture hardware reaches, as on a camera for clients without the right to map memory.
struct Bare(Model);

impl Around for Bare {
    type Inner = Model;

    fn inner(&self) -> &Model {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Model {
        &mut self.0
    }

    fn export(&mut self, _: PhysRange) -> Result<Export<'_>, DeviceError> {
        Ok(Export::None)
    }

    fn withdraw(&mut self, _: PhysRange) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn avpuctl(socket: &Path, words: &[&str]) -> Output {
    let mut tool = Command::new(program("avpuctl"));
    tool.arg("--socket").arg(socket).args(words);
    tool.stdin(Stdio::null()).finish()
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).expect("text")
}

fn pieces(client: &Client) -> Vec<LeaseReport> {
    let report = client.memory(Page::default()).expect("it serves");
    report.leases.entries.into_iter().map(|e| e.0).collect()
}

fn connect(socket: &Path) -> (Client, Channel) {
    let client = Client::connect(socket).expect("it takes connections");
    let channel = client
        .open_channel(&ChannelConfig::new(320, 192))
        .expect("there is room");
    (client, channel)
}

#[test]
fn a_lease_is_revoked_by_its_number_and_its_holder_is_told_twice() {
    let daemon = Daemon::start("body=pattern,pace=free");
    let (client, channel) = connect(&daemon.socket());
    let mut buffers = channel.lease(1).expect("there is room");
    let lease = pieces(&client).iter().find_map(|piece| piece.lease);
    let lease = lease.expect("a lease that can be named");

    let number = lease.to_string();
    let output = avpuctl(&daemon.socket(), &["revoke", &number, "20"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Event::LeaseRevoked(_))) {
        let event = client.next_event(PATIENCE).expect("it is told");
        if !matches!(event, Event::ChannelChanged(_)) {
            told.push(event);
        }
    }
    let [Event::LeaseRevoking(first), Event::LeaseRevoked(second)] = told[..] else {
        panic!("expected both phases, found {told:?}");
    };
    assert_eq!((first.lease, first.grace_us), (lease, 20_000));
    assert_eq!(second.lease, lease);

    let buffer = buffers.pop().expect("one");
    let refused = channel.submit(buffer, Frame::default()).err();
    let cause = refused.map(|refused| refused.error);
    let Some(ClientError::Refused(refusal)) = cause else {
        panic!("expected a refusal, found {cause:?}");
    };
    assert_eq!(refusal.code, ErrorCode::ADDRESS_FOREIGN);
    let left = pieces(&client);
    assert!(left.iter().all(|piece| piece.purpose == Purpose::Channel));
    let output = avpuctl(&daemon.socket(), &["revoke", &number]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    // What it was leased goes on being leased, to itself as to others.
    channel.lease(1).expect("there is room");
    drop(client);
    assert!(daemon.stop().expect("it ends").success());
}

#[test]
fn what_capture_hardware_may_still_fill_waits_for_the_operators_word() {
    let config = Config {
        quarantine_us: None,
        ..Config::default()
    };
    let daemon = InProcess::start_with(config, || {
        let opened = model::open("body=pattern,pace=free", &[], None);
        let (device, interrupts, canceller) = opened.expect("the model starts");
        (Wrapped(Bare(device)), interrupts, canceller)
    });
    let (client, channel) = connect(daemon.socket());
    let buffers = channel.lease(1).expect("there is room");
    let usual = buffers.first().map(|buffer| buffer.address());
    drop((buffers, channel, client));

    // Its departure is heard of before anything that is asked later.
    let (client, channel) = connect(daemon.socket());
    let held = avpuctl(daemon.socket(), &["quarantine"]);
    let pieces = pieces(&client);
    let mut quarantined = pieces.iter().filter(|p| p.purpose == Purpose::Quarantine);
    let piece = quarantined.next().expect("it was not returned");
    let address = format!("{:#010x}", piece.address.value());
    assert!(said(&held).contains(&address), "{}", said(&held));
    let elsewhere = channel.lease(1).expect("there is room elsewhere");
    assert_ne!(elsewhere.first().map(|buffer| buffer.address()), usual);
    channel.return_buffers(elsewhere).expect("it takes it back");

    let release = ["quarantine", "release", &address];
    let output = avpuctl(daemon.socket(), &release);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let again = avpuctl(daemon.socket(), &release);
    assert_eq!(again.status.code(), Some(4), "{}", said(&again));
    let held = avpuctl(daemon.socket(), &["quarantine"]);
    assert_eq!(said(&held), "nothing is in quarantine\n");
    assert_eq!(client.status().expect("it serves").quarantined_bytes, 0);
    drop((channel, client));
    assert_eq!(daemon.stop(), End::Done);
}
