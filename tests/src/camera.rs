//! A channel of the real daemon with its owner, who feeds and reads it, and what ffmpeg makes of the stream.

use crate::daemon::Daemon;
use crate::process::Finish;
use avpu_client::source::{Nv12Picture, PictureSize, TestPattern};
use avpu_client::{Buffer, Channel, Client, Frame, Next, Reader};
use avpu_proto::event::{FormatChanged, Packet as Meta};
use avpu_proto::reply::Reconfigured;
use avpu_proto::request::{OpenChannel, Reconfigure};
use avpu_proto::types::{FrameRate, Profile};
use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// Pictures of the pattern before it begins again.
const PICTURES: u64 = 40;

/// One channel with its owner, who reads it.
pub struct Camera {
    /// The channel.
    pub channel: Channel,
    /// What the reader was told last.
    pub format: Option<FormatChanged>,
    /// Makes the next picture an IDR.
    pub force_idr: bool,
    reader: Reader,
    buffers: VecDeque<Buffer>,
    pattern: TestPattern,
    picture: Nv12Picture,
    next: u64,
}

impl Camera {
    /// Opens a channel at a daemon.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn open(daemon: &Daemon, wish: OpenChannel) -> Self {
        let client = Client::connect(daemon.socket()).expect("the daemon takes connections");
        let (pattern, picture) = pattern(wish.width, wish.height);
        let channel = client.open_channel(&wish.into()).expect("a channel");
        let reader = channel.subscribe().expect("its owner may read it");
        let buffers = channel.lease(1).expect("a buffer").into();
        Self {
            channel,
            format: None,
            force_idr: false,
            reader,
            buffers,
            pattern,
            picture,
            next: 0,
        }
    }

    /// Pauses, takes another size and profile, and goes on.
    ///
    /// # Panics
    /// When that is refused, or the pause has no mark.
    pub fn resize(&mut self, (width, height): (u16, u16), profile: Profile) -> Reconfigured {
        self.channel.pause().expect("it runs");
        let (last, bytes) = self.packet();
        assert!(last.last && bytes.is_empty());
        let change = Reconfigure {
            width,
            height,
            profile: Some(profile),
            ..Reconfigure::default()
        };
        let changed = self.channel.reconfigure(change).expect("there is room");
        self.channel.resume().expect("it has finished");
        let old: Vec<Buffer> = self.buffers.drain(..).collect();
        self.channel.return_buffers(old).expect("they are free");
        self.buffers = self.channel.lease(1).expect("a buffer").into();
        (self.pattern, self.picture) = pattern(width, height);
        changed
    }

    /// Encodes the next `count` pictures, one after the other.
    ///
    /// # Panics
    /// When one of them has no packet.
    pub fn encode(&mut self, count: usize) -> Vec<(Meta, Vec<u8>)> {
        (0..count).map(|_| self.encode_one()).collect()
    }

    fn encode_one(&mut self) -> (Meta, Vec<u8>) {
        let mut buffer = self.buffers.pop_front().expect("it came back");
        let drawn = self.pattern.draw(self.next % PICTURES, &mut self.picture);
        drawn.expect("the sizes are equal");
        self.next += 1;
        let written = buffer.write_nv12(self.picture.bytes());
        written.expect("it is mapped");
        let frame = Frame {
            force_idr: std::mem::take(&mut self.force_idr),
            ..Frame::default()
        };
        let submitted = self.channel.submit(buffer, frame);
        submitted.expect("it is accepted");
        let released = self.channel.next_released(PATIENCE).expect("it ends");
        self.buffers.extend(released.source.into_buffer());
        self.packet()
    }

    /// The next packet; another format is kept.
    ///
    /// # Panics
    /// When there is none.
    pub fn packet(&mut self) -> (Meta, Vec<u8>) {
        let next = self.reader.next_packet(PATIENCE);
        match next.expect("the stream goes on") {
            Next::Packet(packet) => return (packet.meta, packet.bytes.to_vec()),
            Next::FormatChanged(format) => self.format = Some(format),
            other => panic!("expected a packet, found {other:?}"),
        }
        self.packet()
    }
}

/// The whole stream.
#[must_use]
pub fn joined(packets: &[(Meta, Vec<u8>)]) -> Vec<u8> {
    packets
        .iter()
        .flat_map(|(_, bytes)| bytes.clone())
        .collect()
}

/// Checksums of the pictures that ffmpeg decodes from a file, without a word of complaint.
///
/// # Panics
/// When there is one.
#[must_use]
pub fn decoded(file: &Path) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .finish();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            line.rsplit(',')
                .next()
                .expect("a checksum")
                .trim()
                .to_owned()
        })
        .collect()
}

/// What ffprobe says of a file.
///
/// # Panics
/// When it complains.
#[must_use]
pub fn probed(file: &Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", entries])
        .args(["-of", "default=noprint_wrappers=1"])
        .arg(file)
        .stdin(Stdio::null())
        .finish();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn pattern(width: u16, height: u16) -> (TestPattern, Nv12Picture) {
    let size = PictureSize::new(width.into(), height.into()).expect("an even size");
    let pattern = TestPattern::new(size, FrameRate { num: 25, den: 1 });
    (pattern, Nv12Picture::packed(size))
}
