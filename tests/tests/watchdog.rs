//! An encoder that fails, behind the real daemon: one picture is lost with a reason, everybody else goes on, and it is
//! said. When nothing helps any more the daemon ends with the status that asks for a restart.
//!
//! The model's faults strike pictures counted by their start. Two channels submit in turn, so the even ones are those
//! of the channel that is struck and the odd ones those of the other. Nothing here looks at a clock: a lost picture is
//! waited for as long as the daemon needs to give it up.

use avpu_client::proto::report::{ChannelReport, StatusReport};
use avpu_client::proto::request::Page;
use avpu_client::{
    Buffer, Channel, ChannelConfig, Client, ClientError, Frame, GapCause, Next, Outcome, Reader,
};
use avpu_proto::event::{Event, GapReason};
use avpu_proto::types::{ChannelState, DropReason, FailReason, FrameEnd, PictureKind, Sequence};
use avpu_tests::daemon::Daemon;
use avpu_tests::stream::pattern;
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));
const WIDTH: u16 = 176;
const HEIGHT: u16 = 144;
const ROUNDS: u32 = 8;
/// The picture of the struck channel that is struck: the device's picture 6.
const STRUCK: u32 = 3;
const RESTART: i32 = 75;

/// A client with a channel that it reads.
struct Camera {
    client: Client,
    channel: Channel,
    reader: Reader,
    free: Vec<Buffer>,
    diary: Diary,
}

/// What a camera was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Diary {
    ends: Vec<FrameEnd>,
    packets: Vec<(PictureKind, Vec<u8>)>,
    /// Each with the number of packets before it.
    gaps: Vec<(usize, GapCause, u32)>,
}

/// What became of two cameras and a daemon.
struct Story {
    struck: Diary,
    other: Diary,
    report: ChannelReport,
    status: StatusReport,
    events: Vec<Event>,
    log: String,
}

impl Camera {
    fn new(socket: &Path, name: &str) -> Self {
        let client = Client::connect(socket).expect("the daemon takes connections");
        let config = ChannelConfig::new(WIDTH, HEIGHT).gop_length(100).name(name);
        let channel = client.open_channel(&config).expect("there is room");
        let reader = channel.subscribe().expect("its owner may read it");
        let free = channel.lease(2).expect("there is room");
        Self {
            client,
            channel,
            reader,
            free,
            diary: Diary::default(),
        }
    }

    fn submit(&mut self, picture: &[u8]) {
        let mut buffer = self.free.pop().expect("it came back");
        buffer.write_nv12(picture).expect("it is mapped");
        self.channel
            .submit(buffer, Frame::default())
            .expect("it is accepted");
    }

    /// Waits for the end of the oldest frame, and for its packet where there is one.
    fn settle(&mut self) -> FrameEnd {
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        let Outcome::Ended { end, .. } = released.outcome else {
            panic!("expected an end, found {:?}", released.outcome);
        };
        self.free.extend(released.source.into_buffer());
        self.diary.ends.push(end);
        while let (FrameEnd::Encoded { .. }, true) = (end, self.lacks_a_packet()) {
            let before = self.diary.packets.len();
            match self.reader.next_packet(PATIENCE).expect("it goes on") {
                Next::Packet(packet) => {
                    let packet = (packet.meta.kind, packet.bytes.to_vec());
                    self.diary.packets.push(packet);
                }
                Next::Gap { cause, count } => self.diary.gaps.push((before, cause, count)),
                other => panic!("expected a packet, found {other:?}"),
            }
        }
        end
    }

    fn lacks_a_packet(&self) -> bool {
        let encoded = |end: &&FrameEnd| matches!(end, FrameEnd::Encoded { .. });
        self.diary.ends.iter().filter(encoded).count() > self.diary.packets.len()
    }

    /// Ends the stream; nothing is left in it.
    fn finish(mut self) -> Diary {
        self.channel.drain().expect("it can be drained");
        let last = self.reader.next_packet(PATIENCE).expect("it ends");
        assert!(matches!(last, Next::EndOfStream(_)), "{last:?}");
        self.diary
    }
}

/// Two cameras encode in turn on a model with these options.
fn play(options: &str) -> Story {
    let daemon = Daemon::start(&format!("pace=free,{options}"));
    let watcher = Client::connect(daemon.socket()).expect("it takes connections");
    watcher.watch(true).expect("it serves");
    let mut struck = Camera::new(&daemon.socket(), "struck");
    let mut other = Camera::new(&daemon.socket(), "other");
    for picture in &pattern(WIDTH, HEIGHT, u64::from(ROUNDS)) {
        struck.submit(picture);
        other.submit(picture);
        struck.settle();
        other.settle();
    }
    let report = watcher.channels().next().expect("two").expect("it serves");
    assert_eq!(report.name, "struck");
    let (struck, other) = (struck.finish(), other.finish());
    // Everything that was told before the reply is there with it.
    let status = watcher.status().expect("it serves");
    let mut events = Vec::new();
    while let Some(event) = watcher.try_next_event().expect("it serves") {
        events.push(event);
    }
    let log = daemon.log();
    assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
    Story {
        struck,
        other,
        report,
        status,
        events,
        log,
    }
}

impl Story {
    /// The states of a channel as they were announced, but for those that follow from how fast this machine is.
    fn states(&self, channel: &str) -> Vec<ChannelState> {
        let state = |event: &Event| match event {
            Event::ChannelChanged(changed) if changed.name == channel => Some(changed.state),
            _ => None,
        };
        let timeless = |state: &ChannelState| {
            let timely = [ChannelState::Starved, ChannelState::Stalled];
            !timely.contains(state)
        };
        let mut states: Vec<_> = self
            .events
            .iter()
            .filter_map(state)
            .filter(timeless)
            .collect();
        states.dedup();
        states
    }

    fn resets_told(&self) -> Vec<u32> {
        let reset = |event: &Event| match event {
            Event::EngineReset(reset) => {
                assert_eq!(reset.channel, self.report.channel);
                Some(reset.resets)
            }
            _ => None,
        };
        self.events.iter().filter_map(reset).collect()
    }

    /// One picture of the struck channel failed for `reason`, and nothing else happened to anybody.
    fn check_lost(&self, fault: &str, reason: FailReason, clean: &Self) {
        let mut sequence = 0;
        let expected: Vec<FrameEnd> = (0..ROUNDS)
            .map(|frame| {
                if frame == STRUCK {
                    return FrameEnd::Failed(reason);
                }
                sequence += 1;
                let sequence = Sequence::new(sequence - 1);
                FrameEnd::Encoded { sequence }
            })
            .collect();
        assert_eq!(self.struck.ends, expected, "{fault}");
        let kinds: Vec<PictureKind> = self.struck.packets.iter().map(|(kind, _)| *kind).collect();
        let at = usize::try_from(STRUCK).expect("small");
        let mut expected = vec![PictureKind::P; kinds.len()];
        expected[0] = PictureKind::Idr;
        expected[at] = PictureKind::Idr;
        assert_eq!(kinds, expected, "{fault}: an IDR follows what was lost");
        let gap = (at, GapCause::Told(GapReason::Lost), 1);
        assert_eq!(self.struck.gaps, [gap], "{fault}");
        assert!(self.other == clean.other, "{fault}: the other channel");
        assert_eq!(self.report.frames_failed, 1, "{fault}");
        assert_eq!(self.report.packets_out, ROUNDS - 1, "{fault}");
        assert_eq!(self.report.idr_out, 2, "{fault}");
        assert_eq!(self.status.pictures_failed, 1, "{fault}");
        assert_eq!(self.status.pictures, 2 * ROUNDS - 1, "{fault}");
        let states = self.states("struck");
        let told = [ChannelState::Recovering, ChannelState::Running];
        assert!(states.windows(2).any(|pair| pair == told), "{states:?}");
        assert_eq!(self.states("other"), clean.states("other"), "{fault}");
        assert!(self.log.contains("warning: a picture "), "{}", self.log);
    }
}

#[test]
fn a_picture_that_never_completes_fails_alone_and_the_encoder_is_reset() {
    let clean = play("body=pattern");
    assert_eq!((clean.status.resets, clean.status.pictures_failed), (0, 0));
    // A core that still says that it runs after a first reset is reset again.
    for (fault, resets) in [("lost@6", 1), ("stuck@6", 1), ("stuck@6:3", 2)] {
        let story = play(&format!("body=pattern,fault={fault}"));
        story.check_lost(fault, FailReason::Timeout, &clean);
        assert_eq!(story.status.resets, resets, "{fault}");
        assert_eq!(story.resets_told(), [resets], "{fault}");
        let line = "a picture missed its deadline: resetting the encoder";
        assert_eq!(story.log.matches(line).count(), 1, "{}", story.log);
    }
}

#[test]
fn a_picture_that_the_encoder_reports_as_broken_fails_alone_and_nothing_is_reset() {
    let clean = play("body=pattern");
    let cases = [
        ("fill@6", FailReason::HardwareError),
        ("fill@6:153", FailReason::HardwareError),
    ];
    for (fault, reason) in cases {
        let story = play(&format!("body=pattern,fault={fault}"));
        story.check_lost(fault, reason, &clean);
        assert_eq!(story.status.resets, 0, "{fault}");
        assert!(story.resets_told().is_empty(), "{fault}");
    }
}

#[test]
fn a_picture_that_the_encoder_reports_as_too_large_is_encoded_once_more_as_an_idr() {
    let clean = play("body=pattern");
    for fault in ["overflow@6", "garbage@6"] {
        let story = play(&format!("body=pattern,fault={fault}"));
        assert_eq!(story.struck.ends, clean.struck.ends, "{fault}");
        let at = usize::try_from(STRUCK).expect("small");
        let kinds = story.struck.packets.iter().map(|(kind, _)| *kind);
        let is_idr = |(index, kind)| (kind == PictureKind::Idr) == (index == 0 || index == at);
        assert!(kinds.enumerate().all(is_idr), "{fault}");
        assert_eq!(story.struck.gaps, [], "{fault}");
        assert_eq!(story.other.ends, clean.other.ends, "{fault}");
        assert_eq!(story.status.pictures_failed, 0, "{fault}");
        assert_eq!(story.status.resets, 0, "{fault}");
        assert!(story.log.contains("warning: a picture "), "{}", story.log);
    }
}

#[test]
fn interrupts_out_of_place_lose_nothing_and_are_counted() {
    let clean = play("body=pattern");
    assert_eq!(clean.status.interrupts_spurious, 0);
    let cases = [
        ("spurious@6", 1),
        ("duplicate@6", 1),
        ("late@6:30000", 0),
        ("wake@6", 0),
        ("eintr@6", 0),
        ("latched@6", 0),
    ];
    for (fault, spurious) in cases {
        let story = play(&format!("body=pattern,fault={fault}"));
        assert!(story.struck == clean.struck, "{fault}");
        assert!(story.other == clean.other, "{fault}");
        let found = story.status.interrupts_spurious;
        assert!(found >= spurious, "{fault}: {found}");
        assert_eq!(story.status.resets, 0, "{fault}");
        assert_eq!(story.status.pictures_failed, 0, "{fault}");
        assert_eq!(story.states("struck"), clean.states("struck"), "{fault}");
    }
}

#[test]
fn pictures_of_the_other_channel_are_the_same_whatever_is_lost_beside_them() {
    let clean = play("body=picture");
    let story = play("body=picture,fault=lost@6");
    story.check_lost("lost@6", FailReason::Timeout, &clean);
    // What follows the loss starts anew: the IDR there is of a picture that was a P before.
    let at = usize::try_from(STRUCK).expect("small");
    assert!(story.struck.packets[..at] == clean.struck.packets[..at]);
}

#[test]
fn an_encoder_that_no_reset_brings_back_ends_the_daemon_with_a_wish_for_a_restart() {
    for fault in ["axi@6", "stuck@6:99"] {
        let options = format!("body=pattern,pace=free,fault={fault}");
        let mut daemon = Daemon::start(&options);
        let watcher = Client::connect(daemon.socket()).expect("it takes connections");
        watcher.watch(true).expect("it serves");
        let mut struck = Camera::new(&daemon.socket(), "struck");
        let mut other = Camera::new(&daemon.socket(), "other");
        let pictures = pattern(WIDTH, HEIGHT, u64::from(STRUCK) + 1);
        let (last, good) = pictures.split_last().expect("some");
        for picture in good {
            struck.submit(picture);
            other.submit(picture);
            struck.settle();
            other.settle();
        }
        struck.submit(last);
        other.submit(last);
        let failed = FrameEnd::Failed(FailReason::Timeout);
        assert_eq!(struck.settle(), failed, "{fault}");
        let dropped = FrameEnd::Dropped(DropReason::EngineOffline);
        assert_eq!(other.settle(), dropped, "{fault}");
        let mut told = Vec::new();
        while told.last() != Some(&Event::Shutdown) {
            told.push(watcher.next_event(PATIENCE).expect("it says goodbye"));
        }
        let reset = |event: &&Event| matches!(event, Event::EngineReset(_));
        assert_eq!(told.iter().filter(reset).count(), 1, "{fault}: {told:?}");
        assert_eq!(daemon.wait().expect("it ends").code(), Some(RESTART));
        for camera in [struck, other] {
            let gone = camera.client.status().expect_err("it ended");
            assert!(matches!(gone, ClientError::Disconnected), "{gone}");
        }
        assert!(!daemon.socket().exists(), "{fault}: a clean place is left");
        assert!(daemon.log().contains("the encoder cannot be brought back"));
        assert_eq!(daemon.log().matches("the encoder did not reset").count(), 3);
    }
}

#[test]
fn memory_of_an_owner_that_leaves_a_hung_picture_comes_back_with_the_reset() {
    let daemon = Daemon::start("body=pattern,pace=free,fault=stuck@0");
    let mut other = Camera::new(&daemon.socket(), "other");
    let memory = |camera: &Camera| {
        let report = camera.client.memory(Page::default());
        report.expect("it serves").totals.used_bytes
    };
    let before = memory(&other);
    let picture = &pattern(WIDTH, HEIGHT, 1)[0];
    let mut gone = Camera::new(&daemon.socket(), "gone");
    gone.submit(picture);
    drop(gone);
    other.submit(picture);
    // It starts only when the encoder was taken from the one that is gone.
    assert!(matches!(other.settle(), FrameEnd::Encoded { .. }));
    assert_eq!(memory(&other), before);
    let status = other.client.status().expect("it serves");
    assert_eq!((status.resets, status.clients, status.channels), (1, 1, 1));
    assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
}

#[test]
fn a_daemon_that_is_told_to_stop_gives_a_hung_picture_up_first() {
    let mut daemon = Daemon::start("body=pattern,pace=free,fault=stuck@0");
    let mut struck = Camera::new(&daemon.socket(), "struck");
    struck.submit(&pattern(WIDTH, HEIGHT, 1)[0]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(struck.settle(), FrameEnd::Failed(FailReason::Timeout));
    assert_eq!(daemon.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_channel_that_only_loses_pictures_fails_and_the_next_one_does_not() {
    let daemon = Daemon::start("body=pattern,pace=free,fault=fill@0-31");
    let mut struck = Camera::new(&daemon.socket(), "struck");
    let picture = &pattern(WIDTH, HEIGHT, 1)[0];
    for _ in 0..32 {
        struck.submit(picture);
        assert_eq!(struck.settle(), FrameEnd::Failed(FailReason::HardwareError));
    }
    let refused = struck
        .free
        .pop()
        .map(|buffer| struck.channel.submit(buffer, Frame::default()));
    assert!(matches!(refused, Some(Err(_))), "it takes no more");
    let report = struck.client.channels().next().expect("one");
    let report = report.expect("it serves");
    assert_eq!(report.state, ChannelState::Failed);
    let mut other = Camera::new(&daemon.socket(), "other");
    other.submit(picture);
    assert!(matches!(other.settle(), FrameEnd::Encoded { .. }));
    assert_eq!(daemon.stop().expect("it ends").code(), Some(0));
}
