//! A daemon, a victim that encodes, and the books that must balance after each attack.

use crate::peer::PATIENCE;
use avpu_client::proto::report::{LeaseReport, MemoryTotals};
use avpu_client::proto::request::Page;
use avpu_client::{Buffer, Channel, ChannelConfig, Client, Frame, Next, Reader};
use avpu_tests::daemon::{Daemon, comes_true};
use avpu_tests::stream::{Unit, encode, joined, pattern};
use std::fs;
use std::path::Path;

/// Pictures that are under way while an attack goes on: one in the encoder, the others queued.
const UNDER_WAY: usize = 3;
const WIDTH: u16 = 176;
const HEIGHT: u16 = 144;
/// Different pictures; the victim shows them again and again.
const PICTURES: u64 = 8;

/// The victim's channel has this name.
pub(crate) const VICTIM: &str = "victim";

/// A daemon with a victim.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) victim: Victim,
}

/// A client that encodes and reads its own stream.
pub(crate) struct Victim {
    pub(crate) client: Client,
    pub(crate) channel: Channel,
    reader: Reader,
    free: Vec<Buffer>,
    pictures: Vec<Vec<u8>>,
    submitted: usize,
    packets: Vec<Vec<u8>>,
}

/// What the daemon holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Books {
    clients: u32,
    channels: u32,
    used_bytes: u64,
    ring_bytes: u64,
    leases: Vec<LeaseReport>,
    descriptors: usize,
}

impl Scene {
    /// A daemon on the model with more options, and a victim that has encoded a first picture.
    pub(crate) fn new(options: &str) -> Self {
        Self::over(Daemon::start(
            format!("pace=free,{options}").trim_end_matches(','),
        ))
    }

    /// The same with a daemon that was started otherwise.
    pub(crate) fn over(daemon: Daemon) -> Self {
        let victim = Victim::new(&daemon.socket());
        let mut scene = Self { daemon, victim };
        scene.victim.submit(1);
        scene.victim.collect();
        scene
    }

    /// Carries out an attack while pictures of the victim are under way. Whoever made the attack has left with it, and
    /// then the daemon holds what it held before.
    pub(crate) fn beside<T>(&mut self, label: &str, attack: impl FnOnce(&Daemon) -> T) -> T {
        let before = self.books();
        self.victim.submit(UNDER_WAY);
        let result = attack(&self.daemon);
        self.victim.collect();
        // The encoder takes this one after whatever the attacker left in it.
        self.victim.submit(1);
        self.victim.collect();
        if !comes_true(|| self.books() == before) {
            assert_eq!(self.books(), before, "after {label}");
        }
        result
    }

    /// Ends the victim's stream and compares it with that of a victim alone.
    pub(crate) fn finish(self) {
        let Self { daemon, victim } = self;
        let packets = victim.finish();
        let alone = alone(packets.len());
        let alone: Vec<&[u8]> = alone.iter().map(|unit| unit.bytes.as_slice()).collect();
        let first = (0..packets.len()).find(|&index| packets[index] != alone[index]);
        assert_eq!(first, None, "the first picture that differs");
        assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
    }

    /// Connections that were closed because their peer broke the protocol or did not read.
    pub(crate) fn expelled(&self) -> u32 {
        self.victim
            .client
            .status()
            .expect("it serves")
            .clients_expelled
    }

    fn books(&self) -> Books {
        let client = &self.victim.client;
        let status = client.status().expect("it serves");
        let (totals, leases) = memory(client);
        Books {
            clients: status.clients,
            channels: status.channels,
            used_bytes: totals.used_bytes,
            ring_bytes: totals.ring_bytes,
            leases,
            descriptors: descriptors(&self.daemon),
        }
    }
}

impl Victim {
    fn new(socket: &Path) -> Self {
        let client = Client::connect(socket).expect("the daemon takes connections");
        let channel = client.open_channel(&config()).expect("there is room");
        let reader = channel.subscribe().expect("its owner may read it");
        let count = u8::try_from(UNDER_WAY).expect("few");
        let free = channel.lease(count).expect("there is room");
        Self {
            client,
            channel,
            reader,
            free,
            pictures: pattern(WIDTH, HEIGHT, PICTURES),
            submitted: 0,
            packets: Vec::new(),
        }
    }

    fn submit(&mut self, count: usize) {
        for _ in 0..count {
            let mut buffer = self.free.pop().expect("the last ones came back");
            let picture = &self.pictures[self.submitted % self.pictures.len()];
            buffer.write_nv12(picture).expect("it is mapped");
            self.channel
                .submit(buffer, Frame::default())
                .expect("it is accepted");
            self.submitted += 1;
        }
    }

    /// Takes the packets and the buffers of all that was submitted.
    fn collect(&mut self) {
        while self.packets.len() < self.submitted {
            match self
                .reader
                .next_packet(Some(PATIENCE))
                .expect("the stream goes on")
            {
                Next::Packet(packet) => self.packets.push(packet.bytes.to_vec()),
                other => panic!("expected every packet, found {other:?}"),
            }
            let released = self.channel.next_released(Some(PATIENCE)).expect("it ends");
            self.free.extend(released.source.into_buffer());
        }
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.channel.drain().expect("it can be drained");
        let end = self
            .reader
            .next_packet(Some(PATIENCE))
            .expect("the stream ends");
        let Next::EndOfStream(end) = end else {
            panic!("expected the end, found {end:?}");
        };
        assert_eq!(usize::try_from(end.packets), Ok(self.packets.len()));
        self.packets
    }
}

/// The stream of a victim that has a daemon to itself.
fn alone(count: usize) -> Vec<Unit> {
    let daemon = Daemon::start("pace=free");
    let pictures = pattern(WIDTH, HEIGHT, PICTURES);
    let pictures = pictures.into_iter().cycle().take(count);
    let units = encode(&daemon.socket(), &config(), pictures, &[]).expect("it encodes");
    assert!(
        joined(&units).len() > count,
        "there is something to compare"
    );
    units
}

fn config() -> ChannelConfig {
    ChannelConfig::new(WIDTH, HEIGHT)
        .fix_qp(30)
        .gop_length(10)
        .name(VICTIM)
}

/// All pages of who holds which memory.
pub(crate) fn memory(client: &Client) -> (MemoryTotals, Vec<LeaseReport>) {
    let mut page = Page::default();
    let mut leases = Vec::new();
    loop {
        let report = client.memory(page).expect("it serves");
        leases.extend(report.leases.entries.into_iter().map(|entry| entry.0));
        match report.leases.next {
            Some(cursor) => page = Page { cursor },
            None => return (report.totals, leases),
        }
    }
}

/// Descriptors that the daemon has open.
pub(crate) fn descriptors(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/fd", daemon.pid());
    fs::read_dir(folder).expect("the daemon runs").count()
}

/// Data that the daemon's process has mapped for itself, in KiB.
pub(crate) fn data_kib(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()));
    let status = status.expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).expect("a number")
}
