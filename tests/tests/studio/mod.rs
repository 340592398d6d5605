//! A daemon of one's own whose streams are compared with what the model reconstructed.

use crate::decoders;
use avpu_client::ChannelConfig;
use avpu_tests::daemon::{Daemon, Scratch};
use avpu_tests::process::Finish;
use avpu_tests::skip::{ffmpeg_or_skip, skip};
use avpu_tests::stream::{self, Unit, encode, nv12_from_i420};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// From the smallest camera stream to the largest.
pub(crate) const SIZES: [(u16, u16); 7] = [
    (176, 144),
    (320, 192),
    (640, 360),
    (854, 480),
    (1280, 720),
    (1920, 1080),
    (2304, 1296),
];

/// Highest QP at which openh264 decodes streams with the default scaling lists: it keeps the products of scaling list
/// and step in 16 bits, and 32 << 6 times 36 is the first that does not fit.
const OPENH264_QP_MAX: u8 = 35;

/// A daemon that dumps reconstructions.
pub(crate) struct Studio {
    pub(crate) daemon: Daemon,
    dump: Scratch,
}

impl Studio {
    pub(crate) fn open() -> Self {
        Self::with("")
    }

    /// One whose model has more options, each behind a comma.
    pub(crate) fn with(options: &str) -> Self {
        let dump = Scratch::new("dump");
        let daemon = Daemon::start(&format!(
            "pace=free,dump={}{options}",
            dump.path().display()
        ));
        Self { daemon, dump }
    }

    pub(crate) fn encode(
        &self,
        config: &ChannelConfig,
        pictures: Vec<Vec<u8>>,
        forced: &[usize],
    ) -> Vec<Unit> {
        let result = encode(&self.daemon.socket(), config, pictures, forced);
        result.unwrap_or_else(|error| panic!("{error}; the daemon says: {}", self.daemon.log()))
    }

    /// What was dumped of the one channel with this size, cropped to the visible part.
    pub(crate) fn reconstruction(&self, width: u16, height: u16) -> Vec<u8> {
        let coded = (
            usize::from(width).next_multiple_of(16),
            usize::from(height).next_multiple_of(8),
        );
        let ending = format!("-{}x{}.i420", coded.0, coded.1);
        let entries = fs::read_dir(self.dump.path()).expect("the dump folder is there");
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.to_string_lossy().ends_with(&ending));
        let [path] = paths.as_slice() else {
            panic!("expected one dump of {width}x{height}, found {paths:?}");
        };
        let pictures = fs::read(path).expect("a dump can be read");
        crop(&pictures, coded, (usize::from(width), usize::from(height)))
    }
}

/// Cuts planar pictures down to the visible size.
fn crop(pictures: &[u8], coded: (usize, usize), visible: (usize, usize)) -> Vec<u8> {
    let luma = coded.0 * coded.1;
    let mut cropped = Vec::with_capacity(pictures.len());
    for picture in pictures.chunks_exact(luma * 3 / 2) {
        let (y, chroma) = picture.split_at(luma);
        let (u, v) = chroma.split_at(luma / 4);
        for (plane, share) in [(y, 1), (u, 2), (v, 2)] {
            for line in plane.chunks_exact(coded.0 / share).take(visible.1 / share) {
                cropped.extend_from_slice(&line[..visible.0 / share]);
            }
        }
    }
    cropped
}

/// Whether the stream is High: its first unit is a sequence parameter set, which begins with the profile.
fn has_scaling_lists(units: &[Unit]) -> bool {
    units.first().and_then(|unit| unit.bytes.get(5)) == Some(&100)
}

/// Decodes with both decoders.
pub(crate) fn check_decoders(what: &str, units: &[Unit], reconstruction: &[u8]) {
    let bytes: Vec<&[u8]> = units.iter().map(|unit| unit.bytes.as_slice()).collect();
    if has_scaling_lists(units) && units.iter().any(|unit| unit.qp > OPENH264_QP_MAX) {
        skip(
            what,
            "openh264 scales coefficients in 16 bits: wrong with scaling lists from QP 36 on",
        );
    } else {
        let decoded = decoders::openh264(&bytes);
        let decoded = decoded.unwrap_or_else(|error| panic!("{what}: openh264: {error}"));
        if let Some(difference) = decoders::first_difference(&decoded, reconstruction) {
            panic!("{what}: openh264's pictures differ from the reconstruction: {difference}");
        }
    }
    if ffmpeg_or_skip(what) {
        let decoded = decoders::ffmpeg(&stream::joined(units));
        let decoded = decoded.unwrap_or_else(|error| panic!("{what}: {error}"));
        if let Some(difference) = decoders::first_difference(&decoded, reconstruction) {
            panic!("{what}: ffmpeg's pictures differ from the reconstruction: {difference}");
        }
    }
}

/// A channel whose stated rate the software encoder can hold at every size here: admission would refuse it otherwise.
pub(crate) fn slow(width: u16, height: u16) -> ChannelConfig {
    ChannelConfig::new(width, height).fps(5, 1)
}

/// Encodes on a daemon of its own and checks.
pub(crate) fn check(
    what: &str,
    (width, height): (u16, u16),
    config: &ChannelConfig,
    pictures: Vec<Vec<u8>>,
) -> Vec<Unit> {
    let studio = Studio::open();
    let count = pictures.len();
    let units = studio.encode(config, pictures, &[]);
    assert_eq!(units.len(), count, "{what}: one packet a picture");
    check_decoders(what, &units, &studio.reconstruction(width, height));
    check_squared_errors(what, &units, (width, height));
    units
}

/// The device's squared error is there for every picture: streams of a lossy coder are never without.
fn check_squared_errors(what: &str, units: &[Unit], (width, height): (u16, u16)) {
    let samples = u64::from(width) * u64::from(height);
    for (index, unit) in units.iter().enumerate() {
        assert!(
            unit.sse_luma < samples * 255 * 255,
            "{what}: squared error of picture {index}"
        );
    }
}

/// The first pictures of a clip in another size.
pub(crate) fn scaled(clip: &Path, width: u16, height: u16, count: usize) -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(clip)
        .args([
            "-vf",
            &format!("scale={width}:{height}"),
            "-frames:v",
            &count.to_string(),
        ])
        .args(["-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"])
        .stdin(Stdio::null())
        .finish();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    nv12_from_i420(&output.stdout, width, height)
}
