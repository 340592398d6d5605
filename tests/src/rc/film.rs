//! What is encoded: scenes of any length, one picture after the other, with the cuts that are known to be in them.

use super::texture::{Dice, Texture, clip};
use crate::skip::{ffmpeg_or_skip, shared_or_skip};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A kind of scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Two real clips in turn, each forwards and backwards for ten seconds.
    Clips,
    /// One picture all the time.
    Still,
    /// A camera that turns.
    Pan,
    /// A still in little light: new noise in every picture.
    Noise,
    /// A moving scene that gets dark and light again.
    Fade,
    /// A moving scene with a cut every second.
    Cuts,
}

/// A scene in a size.
pub struct Film {
    scene: Scene,
    width: usize,
    height: usize,
    textures: Vec<Texture>,
    /// Whole pictures, and where each clip begins.
    clips: Vec<Vec<Vec<u8>>>,
    /// Noise that is added at a new place in every picture.
    grain: Vec<i8>,
    picture: Vec<u8>,
}

/// Pictures a second of all films.
pub const FPS: u32 = 25;
/// Pictures from one clip to the next.
const CLIP_PICTURES: u32 = 10 * FPS;
/// Values of grain; a power of two.
const GRAIN: usize = 1 << 20;

impl Scene {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Clips,
        Self::Still,
        Self::Pan,
        Self::Noise,
        Self::Fade,
        Self::Cuts,
    ];

    /// Whether picture `index` shows something else than the one before it.
    #[must_use]
    pub fn is_cut(self, index: u32) -> bool {
        let period = match self {
            Self::Clips => CLIP_PICTURES,
            Self::Cuts => FPS,
            _ => return false,
        };
        index > 0 && index.is_multiple_of(period)
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clips => "clips",
            Self::Still => "static",
            Self::Pan => "pan",
            Self::Noise => "noise",
            Self::Fade => "fade",
            Self::Cuts => "cuts",
        })
    }
}

impl Film {
    /// A film of `width` by `height` pixels; pictures are stored in whole macroblocks. `None` when what it is made
    /// of is not there, which is said.
    #[must_use]
    pub fn new(scene: Scene, width: u32, height: u32) -> Option<Self> {
        let size = |side: u32| usize::try_from(side.next_multiple_of(16)).unwrap_or(16);
        let (width, height) = (size(width), size(height));
        let clips = match scene {
            Scene::Clips => clips(width, height)?,
            _ => Vec::new(),
        };
        let textures = match scene {
            Scene::Clips => 0,
            Scene::Cuts => 4,
            _ => 1,
        };
        let mut dice = Dice::new(77);
        Some(Self {
            scene,
            width,
            height,
            textures: (0..textures)
                .map(|seed| Texture::new(width * 2, height + 64, seed + 1))
                .collect(),
            clips,
            grain: (0..GRAIN).map(|_| grain(&mut dice)).collect(),
            picture: Vec::new(),
        })
    }

    /// Picture `index`, NV12 in whole macroblocks.
    pub fn picture(&mut self, index: u32) -> &[u8] {
        let size = (self.width, self.height);
        let at = usize::try_from(index).unwrap_or(0);
        match self.scene {
            Scene::Clips => {
                let second = usize::try_from(CLIP_PICTURES).unwrap_or(1);
                let clip = &self.clips[at / second % self.clips.len()];
                let place = at % second % (2 * clip.len() - 2).max(1);
                return &clip[place.min(2 * clip.len() - 2 - place)];
            }
            Scene::Still | Scene::Noise => {
                self.textures[0].window((64, 16), false, size, &mut self.picture);
            }
            // One and a half pixels a picture, there and back.
            Scene::Pan | Scene::Fade | Scene::Cuts => {
                let texture = &self.textures[match self.scene {
                    Scene::Cuts => at / usize::try_from(FPS).unwrap_or(1) % self.textures.len(),
                    _ => 0,
                }];
                let half_steps = at * 3 % (4 * self.width - 16);
                let half_steps = half_steps.min(4 * self.width - 16 - half_steps);
                let x = half_steps / 2;
                let y = (at / 4) % 64;
                let y = if at / 256 % 2 == 0 { y } else { 63 - y };
                texture.window((x, y), half_steps % 2 == 1, size, &mut self.picture);
            }
        }
        match self.scene {
            Scene::Noise => self.add_grain(at, 8),
            Scene::Pan | Scene::Cuts => self.add_grain(at, 3),
            Scene::Fade => {
                self.darken(at);
                self.add_grain(at, 3);
            }
            Scene::Clips | Scene::Still => {}
        }
        &self.picture
    }

    /// Down to half its light and back in eight seconds.
    fn darken(&mut self, at: usize) {
        let phase = i32::try_from(at % 200).unwrap_or(0);
        let light = 128 + (phase - 100).abs() * 128 / 100;
        let luma = self.width * self.height;
        for value in &mut self.picture[..luma] {
            *value = clip(16 + (i32::from(*value) - 16) * light / 256);
        }
    }

    /// Noise of any camera, and of one in little light; in eighths of what there is.
    fn add_grain(&mut self, at: usize, eighths: i32) {
        let luma = self.width * self.height;
        let start = at.wrapping_mul(7_919_111);
        for (place, value) in self.picture[..luma].iter_mut().enumerate() {
            let grain = self.grain[(start + place) % GRAIN];
            *value = clip(i32::from(*value) + i32::from(grain) * eighths / 8);
        }
    }
}

/// About a normal distribution with a deviation of four.
fn grain(dice: &mut Dice) -> i8 {
    let sum: u32 = (0..4).map(|_| dice.below(15)).sum();
    i8::try_from((i64::from(sum) - 28) * 4 / 8).unwrap_or(0)
}

fn clips(width: usize, height: usize) -> Option<Vec<Vec<Vec<u8>>>> {
    let what = "the scene of real clips";
    if !ffmpeg_or_skip(what) {
        return None;
    }
    let street = shared_or_skip(what, "clips/street-1920x1080p25.h264")?;
    let office = shared_or_skip(what, "clips/office-320x192p12.i420")?;
    let raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "320x192"];
    Some(vec![
        decode(&street, &[], width, height)?,
        decode(&office, &raw, width, height)?,
    ])
}

/// The pictures of a file, scaled.
fn decode(path: &Path, format: &[&str], width: usize, height: usize) -> Option<Vec<Vec<u8>>> {
    let scale = format!("scale={width}:{height}");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(format)
        .arg("-i")
        .arg(path)
        .args(["-vf", &scale, "-pix_fmt", "nv12", "-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    let len = width * height * 3 / 2;
    let pictures: Vec<_> = output.stdout.chunks_exact(len).map(Vec::from).collect();
    (pictures.len() > 1).then_some(pictures)
}
