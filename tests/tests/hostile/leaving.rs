//! Clients that are gone from one byte to the next.

use crate::peer::{Peer, connect, rest};
use crate::scene::Scene;
use avpu_proto::event::Event;
use avpu_proto::reply::Reply;
use avpu_proto::request::{
    CloseChannel, Drain, LeaseBuffers, OpenChannel, Page, ReleasePackets, Request, RequestIdr,
    ReturnLease, Submit, Subscribe, Unsubscribe, Watch,
};
use avpu_proto::types::{Address, ChannelId, LeaseId, SubscriptionId};
use avpu_proto::version::ClientHello;
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::Process;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// A client that does everything that a client can do, one request after the other.
struct Life {
    peer: Peer,
    channel: ChannelId,
    lease: LeaseId,
    address: Address,
    subscription: SubscriptionId,
}

/// How it leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// Everything that it was told was read.
    Settled,
    /// The last reply waits unread.
    Unread,
    /// In the middle of its next request, after so many bytes.
    Midway(usize),
    /// It says that it will say no more, and stays to read.
    HalfClosed,
}

impl Life {
    fn new(daemon: &Daemon) -> Self {
        Self {
            peer: Peer::connect(&daemon.socket()),
            channel: ChannelId::new(0),
            lease: LeaseId::new(0),
            address: Address::new(0),
            subscription: SubscriptionId::new(0),
        }
    }

    /// Its request number `step`; `None` when it has done everything.
    fn request(&self, step: usize) -> Option<Request> {
        let channel = self.channel;
        let submit = |force_idr| {
            Request::Submit(Submit {
                channel,
                address: self.address,
                timestamp: 1,
                cookie: 2,
                force_idr,
            })
        };
        Some(match step {
            0 => Request::Watch(Watch { on: true }),
            1 => wish(),
            2 => Request::LeaseBuffers(LeaseBuffers { channel, count: 2 }),
            3 | 12 => Request::Subscribe(Subscribe {
                channel,
                ..Subscribe::default()
            }),
            4 | 6 => submit(false),
            5 | 7 => submit(true),
            8 => Request::RequestIdr(RequestIdr {
                channel,
                name: String::new(),
            }),
            9 => Request::Memory(Page::default()),
            10 => Request::ReleasePackets(ReleasePackets {
                subscription: self.subscription,
                ..ReleasePackets::default()
            }),
            11 => Request::Unsubscribe(Unsubscribe {
                subscription: self.subscription,
            }),
            13 => Request::Drain(Drain {
                channel,
                keep: false,
            }),
            14 => Request::ReturnLease(ReturnLease { lease: self.lease }),
            15 => Request::CloseChannel(CloseChannel { channel }),
            _ => return None,
        })
    }

    fn live(&mut self, step: usize) {
        let request = self.request(step).expect("a step of its life");
        match self.peer.ask(&request) {
            Reply::ChannelOpened(opened) => self.channel = opened.channel,
            Reply::BuffersLeased(leased) => {
                self.lease = leased.lease;
                self.address = leased.buffers[0].address;
            }
            Reply::Subscribed(subscribed) => self.subscription = subscribed.subscription,
            Reply::Refused(refusal) => panic!("step {step}: {refusal}"),
            _ => {}
        }
        if step == 13 {
            // What comes next asks for things that only a drained channel gives.
            while !matches!(self.peer.event(), Event::EndOfStream(_)) {}
        }
    }

    fn leave(mut self, next: Option<&Request>, how: Leave) {
        match (how, next) {
            (Leave::Unread, Some(request)) => self.peer.send(&[request]),
            (Leave::Midway(len), Some(request)) => self.peer.send_part(request, len),
            (Leave::HalfClosed, _) => {
                let stream = &self.peer.stream;
                stream.shutdown(Shutdown::Write).expect("it is open");
                // The daemon ends it in turn.
                rest(stream);
            }
            _ => {}
        }
    }
}

const STEPS: usize = 16;

/// Opens a large channel, so that its picture is in the encoder for a while.
fn wish() -> Request {
    Request::OpenChannel(OpenChannel {
        width: 640,
        height: 360,
        name: "passer-by".to_owned(),
        ..OpenChannel::default()
    })
}

#[test]
fn a_client_may_leave_after_any_byte_of_its_hello() {
    let mut scene = Scene::new("");
    let hello = ClientHello::OURS.encode();
    for count in 0..=hello.len() {
        for reads in [false, true] {
            let label = format!("{count} bytes of a hello, reads {reads}");
            scene.beside(&label, |daemon| {
                let mut stream = connect(&daemon.socket());
                stream.write_all(&hello[..count]).expect("there is room");
                if reads && count == hello.len() {
                    let mut answer = hello;
                    stream.read_exact(&mut answer).expect("it answers");
                }
            });
        }
    }
    scene.finish();
}

#[test]
fn a_client_may_leave_after_any_step() {
    let mut scene = Scene::new("");
    let ways = [
        Leave::Settled,
        Leave::Unread,
        Leave::Midway(3),
        Leave::Midway(9),
        Leave::HalfClosed,
    ];
    for steps in 0..=STEPS {
        for how in ways {
            scene.beside(&format!("{steps} steps, {how:?}"), |daemon| {
                let mut life = Life::new(daemon);
                (0..steps).for_each(|step| life.live(step));
                let next = life.request(steps);
                assert_eq!(next.is_none(), steps == STEPS);
                life.leave(next.as_ref(), how);
            });
        }
    }
    scene.finish();
}

#[test]
fn a_client_may_leave_after_any_byte_of_a_request() {
    let mut scene = Scene::new("");
    // Asked of nobody: whoever connects outside an attack may still be in the books that this begins with.
    let wish = wish();
    let mut frame = Vec::new();
    let id = avpu_proto::frame::RequestId::new(1);
    avpu_proto::frame::encode_request(&mut frame, id, &wish).expect("it fits");
    for count in 1..=frame.len() {
        scene.beside(&format!("{count} bytes of a request"), |daemon| {
            Peer::connect(&daemon.socket()).send_part(&wish, count);
        });
    }
    scene.finish();
}

/// A client in a process of its own, to which requests are typed.
struct Typist {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Typist {
    fn new(daemon: &Daemon) -> Self {
        let mut command = Command::new(program("avpucat"));
        command
            .args(["JSON:-", "AVPU-RAW:"])
            .env("AVPUD_SOCKET", daemon.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let input = process.stdin().expect("it is a pipe");
        let output = BufReader::new(process.stdout().expect("it is a pipe"));
        Self {
            process,
            input,
            output,
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.input, "{request}").expect("it reads");
        loop {
            let mut line = String::new();
            let count = self.output.read_line(&mut line).expect("it writes text");
            assert!(count > 0, "expected a reply to {request}, found the end");
            let mut line: Value = serde_json::from_str(&line).expect("it writes json");
            if let Some(reply) = line.get_mut("reply") {
                assert!(reply.get("Refused").is_none(), "{request}: {reply}");
                return reply.take();
            }
        }
    }

    fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
    }
}

#[test]
fn a_process_may_be_killed_after_any_step() {
    let mut scene = Scene::new("");
    for steps in 0..=8 {
        scene.beside(&format!("killed after {steps} steps"), |daemon| {
            let mut typist = Typist::new(daemon);
            let (mut channel, mut address) = (json!(0), json!(0));
            for step in 0..steps {
                let submit = json!({"Submit": {"channel": channel, "address": address}});
                let request = match step {
                    0 => json!({"OpenChannel": {"width": 1280, "height": 720, "name": "killed"}}),
                    1 => json!({"LeaseBuffers": {"channel": channel, "count": 2}}),
                    2 => json!({"Subscribe": {"channel": channel}}),
                    3..=6 => submit,
                    _ => json!({"Drain": {"channel": channel}}),
                };
                let reply = typist.ask(&request);
                match step {
                    0 => channel = reply["ChannelOpened"]["channel"].clone(),
                    1 => address = reply["BuffersLeased"]["buffers"][0]["address"].clone(),
                    _ => {}
                }
            }
            typist.kill();
        });
    }
    scene.finish();
}
